"""What is guessed of every family alike where the tensors leave it open, in sentences with the line that changes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from inference.engine.graph_ends import ending, scale_of_input, scale_of_output
from inference.engine.tensors import Tensor
from inference.heads import PROBABILITIES
from inference.recognize._export import IMAGENET, Draft, Export

_NAMED = ("image-classification", "object-detection", "image-segmentation", "video-classification")


def guesses(export: Export, draft: Draft) -> tuple[str, ...]:
    """The sentences for an export and the draft of its manifest."""
    table = draft.table
    how: Mapping[str, Any] = table.get("preprocess", {})
    return (*_of_input(export, how), *_of_scores(export, table), *_of_labels(draft))


def _of_mean(how: Mapping[str, Any]) -> Iterator[str]:
    """Where mean and deviation are of another range than the values: the exporters' own code computes so, too."""
    mean, std = (how.get(name) or IMAGENET[name] for name in ("image_mean", "image_std"))
    top = 255 * how.get("rescale_factor", 1 / 255) if how.get("do_rescale", True) else 255.0
    if top <= 2.5 < max(mean):
        said, other = "0..255", "do_rescale = false"
    elif top >= 100 and max(map(abs, mean)) <= 1.5 and max(std) <= 1.5 and any(mean):
        said, other = "0..1", "do_rescale = true (and no rescale_factor)"
    else:
        return
    yield (
        f"image_mean {mean[0]:.4g} is one of {said}, but it is fed 0..{top:.4g} as stated: done so; {other} under "
        "[preprocess] of model.toml if the mean is right"
    )


def _of_labels(draft: Draft) -> Iterator[str]:
    labels = draft.table.get("labels") or []
    if draft.table["task"] not in _NAMED or draft.table["head"] == "classifier_map":
        return
    if not labels and not any("labels.txt" in said for said in draft.assumed):
        yield "no labels beside it: numbers stand in their place; put labels.txt there, a label per line"
    unnamed = [name for i, name in enumerate(labels) if name == str(i)] if isinstance(labels, list) else []
    if unnamed and len(unnamed) < len(labels):
        yield (
            f"its labels leave out {', '.join(unnamed)[:60]}: numbers stand in their place; labels = [...] in "
            "model.toml names them"
        )


def _of_input(export: Export, how: Mapping[str, Any]) -> Iterator[str]:
    picture = export.picture
    batch = (picture.shape[0] or 1) if len(picture.shape) in (4, 5) else 1
    if batch > 1:
        yield (
            f"its batch is fixed at {batch}: a picture is run {batch} times over, which takes as much longer; export "
            "it again with batch=1 or dynamic=True"
        )
    if how.get("do_normalize") and picture.dtype.kind == "f":
        yield from _of_mean(how)
    by_type = {"int8": "pixel - 128", "uint16": "0..65535 (pixel * 257)"}.get(picture.dtype.name)
    if by_type and not how.get("do_normalize") and scale_of_input(export.graph, picture.name) is None:
        yield (
            f"its {picture.dtype} input is taken for {by_type}; say do_rescale = false, do_normalize = true, and the "
            "image_mean and image_std that make other numbers of 0..255"
        )
    size, fixed = how.get("size", {}), export.size()
    if "shortest_edge" in size and fixed and not how.get("do_center_crop"):
        yield (
            f"its input is fixed at {fixed['width']} x {fixed['height']}: a picture is shrunk to fit, the rest is "
            f"padding; size = {{ height = {fixed['height']}, width = {fixed['width']} }} stretches it"
        )


def _of_scores(export: Export, table: Mapping[str, Any]) -> Iterator[str]:
    post: Mapping[str, Any] = table.get("postprocess", {})
    output = _scores(export, post)
    if table["head"] != "classifier" or output is None:
        return
    if output.dtype.kind in "iu" and scale_of_output(export.graph, output.name) is None:
        yield f"its {output.dtype} scores are taken for 256ths, as TFLite's; else export it with float outputs"
    if output.shape[1:2] != (1,) or "activation" in post.get("params", {}):
        return
    labels = table.get("labels", ())
    names = labels if isinstance(labels, list) else []
    whose = f"of {names[-1]!r}" if 0 < len(names) < 3 else "of its class"
    rest = f", and {names[0]!r} has the rest" if len(names) == 2 else ""
    if ending(export.graph, output.name) == PROBABILITIES:
        yield f"its single output is taken for the probability {whose}{rest}; labels in another order change that"
    else:
        yield (
            f"its single output is taken for a logit, whose sigmoid is the probability {whose}{rest}; "
            'postprocess.params.activation = "none" takes it as it is'
        )


def _scores(export: Export, post: Mapping[str, Any]) -> Tensor | None:
    named = post.get("outputs", {}).get("scores", "")
    return export.outputs.get(named) or next(iter(export.outputs.values()), None)
