"""Results as a data set of Ultralytics: pictures, text labels of the same names, and data.yaml.

A data set holds labels of one kind: boxes, polygons (for masks), keypoints or oriented boxes. What is exported decides:
where all objects can have the same richer kind they get it, else all are boxes, and a note says how to get the others.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.errors import DropsightError
from inference.folder_files import RESULTS_NOTE
from inference.plain_text import single
from inference.results.classes import ClassList
from inference.results.data_set import DataSetPictures
from inference.results.export_rows import BOX, Export, Exported, predictions_of, whole_file
from inference.results.label_files import SUFFIXES, is_renamed, places
from inference.results.map_files import label_ids
from inference.results.strict_json import cell, json_text
from inference.results.yolo_lines import KINDS, Labels, flip_idx, labels_of, line_of

# Ultralytics leaves out pictures whose sides are shorter.
_SHORTEST = 10
_RENAMED = "renamed.csv"


def write_yolo(export: Export, out: Path) -> int:
    """A folder: images/, labels/<picture>.txt with a line per object, and data.yaml with the names of the classes."""
    names = [item.name for item in export.pictures()]
    if export.lacks("yolo", BOX) or not names:
        return 0
    own = places(names)
    labels, classes = _labels(export), export.classes()
    (out / "data.yaml").unlink(missing_ok=True)  # of an earlier export: nobody shall train on half of this one
    for item, place in zip(export.pictures(), own, strict=True):
        with whole_file(out / "labels" / f"{place}.txt") as file:
            file.writelines(_lines(export, item, labels, classes))
    files = _put_pictures(export, out / "images", own)
    _say_renamed(export, out, names, own, files)
    _say_left(export, out, own, files)
    if export.options.put != "none":
        _mark(out, export.options.pictures)
    with whole_file(out / "data.yaml") as file:
        file.write(_data_yaml(labels, classes.names))
    return len(names)


def _mark(out: Path, pictures: Sequence[Path]) -> None:
    """Has later runs over a folder that this one lies in leave the copies out."""
    if not os.path.lexists(out / RESULTS_NOTE):
        with whole_file(out / RESULTS_NOTE) as file:
            file.write(json_text({"folders": [os.path.abspath(folder) for folder in pictures]}, ascii_only=True))


def _labels(export: Export) -> Labels:
    """The kind that all objects of the export can have."""
    by_step: dict[str, Counter[Labels]] = {}
    for item in export.pictures():
        for step, prediction, _ in predictions_of(item.document, export.options.step):
            if "box" in prediction:
                by_step.setdefault(step["name"], Counter())[labels_of(step, prediction)] += 1
    # an object or two of a step may lack what the others have
    kinds = {
        name: max(found, key=lambda labels: (labels.kind != "detect", found[labels])) for name, found in by_step.items()
    }
    if len(set(kinds.values())) <= 1:
        return next(iter(kinds.values()), Labels())
    listed = ", ".join(f"{name}: {KINDS[labels.kind]}" for name, labels in kinds.items())
    export.notes.add(
        f"the steps give labels of several kinds ({single(listed)}), and a data set holds one: all are boxes here; "
        "--step NAME exports those of one step as they are"
    )
    return Labels()


def _lines(export: Export, item: Exported, labels: Labels, classes: ClassList) -> Iterator[str]:
    source = item.document["source"]
    size = source["width"], source["height"]
    if min(size) < _SHORTEST:
        export.notes.add(f"{{count}} pictures have sides under {_SHORTEST} pixels: Ultralytics ignores them", item.name)

    def mask(name: str) -> tuple[Any, int, int]:
        try:
            content = export.options.read_file(item.place, name)
            return label_ids(content, *size, f"{item.place}/{name}") > 0, 0, 0
        except DropsightError as error:
            raise ValueError(str(error)) from error

    for step, prediction, _ in predictions_of(item.document, export.options.step):
        if "box" in prediction:
            number = classes.number(step, prediction)
            yield line_of(number, prediction, labels, size, mask, lambda what: export.notes.add(what, item.name))


def _put_pictures(export: Export, folder: Path, own: Sequence[str]) -> list[str]:
    """The files in the folder of pictures, empty for one that is not there. The folder is made in any case."""
    folder.mkdir(parents=True, exist_ok=True)
    if export.options.put == "none":
        export.notes.add(f"the pictures are not copied: put them into {folder} under their names")
        return [""] * len(own)
    pictures = DataSetPictures(folder, export.options, export.notes)
    rows = zip(export.pictures(), own, strict=True)
    files = (pictures.add(item.name, place, item.document["source"]) for item, place in rows)
    return [file.relative_to(folder.parent).as_posix() if file else "" for file in files]


def _say_renamed(export: Export, out: Path, names: Sequence[str], own: Sequence[str], files: Sequence[str]) -> None:
    rows = [
        (name, file or f"labels/{place}.txt")
        for name, place, file in zip(names, own, files, strict=True)
        if is_renamed(name, place)
    ]
    for name, file in rows:
        export.notes.add(
            f"{{count}} pictures have another name in the data set, as {_RENAMED} lists: their own is another "
            "picture's, too, or not every file system can hold it, or trainers would not find it",
            f"{name} -> {file}",
        )
    if rows:
        with whole_file(out / _RENAMED) as table:
            csv.writer(table).writerows([("picture", "file"), *([cell(v) for v in row] for row in rows)])
    else:
        (out / _RENAMED).unlink(missing_ok=True)  # of an earlier export


def _say_left(export: Export, out: Path, own: Sequence[str], files: Sequence[str]) -> None:
    """Says what else is in the folder, from an earlier export say, and removes what trainers noted about the labels
    there, which some of them take for current as long as the files are as large as before."""
    written = {f"labels/{place}.txt" for place in own} | set(files)
    # Where no picture was put, whoever exports may have put the one that was analysed.
    put_by_hand = {
        f"images/{place}": 0 if export.options.put == "none" else item.document["source"].get("bytes") or 0
        for item, place, file in zip(export.pictures(), own, files, strict=True)
        if not file
    }
    for path in sorted(path for folder in ("images", "labels") for path in (out / folder).rglob("*")):
        name = path.relative_to(out)
        size = put_by_hand.get(name.with_suffix("").as_posix(), -1)
        known = name.as_posix() in written or (path.suffix != ".txt" and size in (0, path.stat().st_size))
        if path.suffix.lower() in (*SUFFIXES, ".txt") and path.is_file() and not known:
            export.notes.add(
                "{count} files that are not of this export are in its folder, where trainers read them, too: export "
                "into an empty folder",
                name.as_posix(),
            )
    for noted in [out / "labels.cache", *(out / "labels").rglob("*.cache")]:
        if noted.is_file():
            noted.unlink()


def _data_yaml(labels: Labels, names: Mapping[int, str]) -> str:
    """Without `path`: trainers take the folder of the file then, whichever they are started in."""
    lines = [
        f"# {KINDS[labels.kind]}: for models of Ultralytics' task {labels.kind}",
        "# Training and validation see the same pictures: move some to a folder of their own to measure with, or the",
        "# figures say nothing about other pictures.",
        "train: images",
        "val: images",
    ]
    if labels.kind == "pose":
        lines.append(f"# keypoints: {', '.join(map(single, labels.points))}")
        lines.append(f"kpt_shape: [{len(labels.points)}, 3]")
        if (mirrored := flip_idx(labels.points)) is not None:
            lines.append(f"flip_idx: {mirrored}")
    return "\n".join([*lines, "names:", *(f"  {number}: {_quoted(name)}" for number, name in names.items())]) + "\n"


def _quoted(text: str) -> str:
    """A YAML scalar that is text whatever it looks like (yes, 007, null)."""
    import yaml  # lazily: only exports to YOLO need it

    dumped: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9)
    return dumped.rstrip("\n")
