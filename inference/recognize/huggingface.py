"""Hugging Face folders (optimum): config.json says what the model is, preprocessor_config.json how it is fed.

Both are believed only as far as the file's tensors agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.errors import BadManifest, Permanent
from inference.heads import find_head
from inference.manifest import manifest_from
from inference.recognize._export import Draft, Export
from inference.recognize._fields import Fields
from inference.recognize._hf_heads import head_of, kind_of, labels_of, task_of

if TYPE_CHECKING:
    from inference.recognize._image_processor.reader import Reading

_WITHOUT_LABELS = ("depth-estimation", "image-to-image", "keypoint-detection", "image-feature-extraction")
# Of transformers, the newest first: version 5 nests what is left of a processor, and reads the nested one first.
_SIDE_FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
_NESTED = ("image_processor", "video_processor")


def recognize(export: Export) -> Draft | None:
    table = export.json("config.json")
    if not isinstance(table, dict):
        return None
    # transformers' TimmWrapperImageProcessor has it in its own file
    own = table if "pretrained_cfg" in table else export.json(_SIDE_FILES[1])
    if isinstance(own, dict) and "pretrained_cfg" in own:
        from inference.recognize import timm  # lazily, as _image_processor below: only these exports need it

        return timm.recognize(export, {**table, "pretrained_cfg": own["pretrained_cfg"]})
    if not {"model_type", "architectures"} & set(table):
        return None
    return _draft(export, Fields(table, f"{export.folder}: config.json"))


def _draft(export: Export, config: Fields) -> Draft:
    """Raises BadManifest where a field is odd, the tensors say something else, or too little is said."""
    from inference.recognize._image_processor import read

    kind, said = kind_of(config), " ".join(config.words("architectures"))
    task, side = task_of(export, said), _side_file(export)
    if task is None or side is None:
        raise BadManifest(_too_little(export, said or kind, task))
    _check_input(export, config, said or kind)
    reading = read(side, kind, export)
    head = head_of(export, config, kind, said, task)
    table: dict[str, Any] = {"task": task, "preprocess": reading.how, **head.table}
    if task == "video-classification":
        reading.how["num_frames"] = config.whole("num_frames", 0) or 0
    elif task == "keypoint-detection":
        table["labels"] = ["person"]
        reading.how["crop_scale"] = 1.25
    count = _check_outputs(export, table, config, said or kind)
    labels = [] if task in _WITHOUT_LABELS else _labels(export, config, count, reading)
    if labels:
        table["labels"] = labels
        if config.get("id2label", "label2id") is not None:
            table["label_offset"] = 0  # it gives ids, whatever the first is called
    by = f"config.json: {config.text('model_type')} {said}".strip()
    reasons = (by, f"preprocessing from {side.where.rpartition(': ')[2]}", *reading.reasons)
    return Draft("Hugging Face", table, reasons, (*head.assumed, *reading.assumed, *_contradictions(export, side)))


def _too_little(export: Export, said: str, task: str | None) -> str:
    outputs = "; ".join(map(str, export.outputs.values()))
    lacks = (
        "preprocessor_config.json is missing; put it beside it"
        if task
        else f"its task is not known here, nor do the outputs tell it ({outputs[:300]})"
    )
    return f"{export.folder}: config.json says {said}, but {lacks}, or write a model.toml"


def _side_file(export: Export) -> Fields | None:
    for name in _SIDE_FILES:
        found = export.json(name)
        nested = found if isinstance(found, dict) else {}
        inner = next((key for key in _NESTED if isinstance(nested.get(key), dict)), "")
        if inner:
            return Fields(nested[inner], f"{export.folder}: {name}, {inner}")
        if found is not None and name != _SIDE_FILES[0]:
            return Fields(found, f"{export.folder}: {name}")
    return None


def _contradictions(export: Export, side: Fields) -> list[str]:
    """Fields of preprocessor_config.json that are not as in a processor_config.json, which was then saved later."""
    older = export.json(_SIDE_FILES[1]) if _SIDE_FILES[0] in side.where else None
    if not isinstance(older, dict):
        return []
    shared = sorted(k for k, v in older.items() if v is not None and side.get(k) is not None and side.get(k) != v)
    names = ", ".join(k for k in shared if not k.endswith("_type"))[:100]
    if not names:
        return []
    return [
        f"{names}: processor_config.json is followed, as transformers 5 does, where preprocessor_config.json says "
        "otherwise; delete the one that is wrong"
    ]


def _check_input(export: Export, config: Fields, said: str) -> None:
    """Raises BadManifest where the input is none that this exporter writes: [n, channels, height, width] of floats."""
    picture = export.picture
    last = len(picture.shape) == 4 and picture.shape[3] in (1, 3) and picture.shape[1] not in (1, 3)
    if last:
        raise BadManifest(
            f"{config.where}: it says {said}, whose exports have the channels first, but the file's input is "
            f'{picture}: this config.json is another file\'s; write a model.toml with [preprocess] (layout = "nhwc", '
            "color_order, do_rescale)"
        )
    channels = config.whole("num_channels")
    found = export.channels
    if channels and found in (1, 3) and channels != found:
        raise BadManifest(
            f"{config.where}: num_channels is {channels}, but the file's input {picture} has {found}; put the "
            "config.json of this export beside it, or write a model.toml"
        )


def _check_outputs(export: Export, table: dict[str, Any], config: Fields, said: str) -> int | None:
    """How many classes the outputs have, where that shows. Raises BadManifest where they are not this task's."""
    shapes = {name: tensor.shape for name, tensor in export.outputs.items()}
    problem: str | None
    count: int | None = None
    try:
        manifest = manifest_from({"name": export.name, **table}, str(export.folder), export.folder)
        head = find_head(manifest.head)
        problem = head.misfit(shapes, manifest)
        if problem is None:
            count = head.classes(shapes, manifest)
    except Permanent as error:
        problem = str(error)
    said_count = config.whole("num_labels", 0)
    if problem is None and count and said_count and count != said_count and not config.get("id2label"):
        problem = f"num_labels is {said_count}, the outputs have {count} classes"
    if problem:
        outputs = "; ".join(map(str, export.outputs.values()))
        raise BadManifest(
            f"{config.where}: it says {said}, but {problem} (outputs: {outputs[:300]}); put the config.json of this "
            "export beside it, or write a model.toml"
        )
    return count


def _labels(export: Export, config: Fields, count: int | None, reading: Reading) -> list[str]:
    """id2label as a list, else the list beside the file.

    transformers writes LABEL_0, LABEL_1 ... where nobody gave names. With do_reduce_labels, label 0 of the data set may
    have no class, and is left out then.
    """
    labels = labels_of(config)
    if all(name == f"LABEL_{i}" for i, name in enumerate(labels)):
        beside = export.labels(None)
        if isinstance(beside, list):
            return beside
        if labels:
            reading.assumed.append(
                f"config.json names its classes {labels[0]} and so on; put labels.txt there for names"
            )
        return labels
    if not (reading.reduces_labels and count and len(labels) == count + 1):
        return labels
    reading.assumed.append(
        f"do_reduce_labels: label {labels[0]!r} has no output, so class 0 is {labels[1]!r}; labels = [...] says "
        "another list"
    )
    return labels[1:]
