"""Lists of class names as people bring them: a text file with a label per line, and what other tools write.

JSON (Keras' class_indices, Hugging Face's id2label, COCO's categories, plain lists), the `names` of a YOLO data set
(YAML), TensorFlow's label maps (.pbtxt), CSV, and lines that begin with the class's number (Coral's coco_labels.txt,
Teachable Machine's "0 cat"). Where a file states ids, the names are in their order, whatever the order in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

_MOST_LABELS = 100_000  # of an id in a file, which may be any number
# display_name follows name where there are both: ids of the word net stand there, a name for people here.
_ID, _NAME = re.compile(r"\bid\s*:\s*(\d+)"), re.compile(r"\b(?:display_)?name\s*:\s*(['\"])(.*?)\1")
_NUMBERED = re.compile(r"(\d{1,6})(?:\s*[:,;.)=]\s*|\s+)(\S.*)")
# Keys that hold the names in the JSON and YAML of several tools.
_KEYS = ("names", "classes", "labels", "class_names", "label_names", "categories", "id2label", "label_list")
_ID_WORDS = ("id", "index", "idx", "class_id", "label_id", "class_index", "number")
_NAME_WORDS = ("name", "label", "class", "class_name", "label_name", "display_name", "category")


def read_labels(file: str, text: str) -> tuple[list[str], str]:
    """The labels by class index, and what was taken for what, in a sentence (empty where that is plain).

    file: its name, whose suffix tells the kind. An empty line between others keeps its place, so that the labels behind
    it keep theirs. Raises ValueError, with a sentence's end, for what is no list of labels.
    """
    head, suffix = text.lstrip()[:30].lower(), PurePath(file).suffix.lower()
    if head.startswith("version https://git-lfs"):
        raise ValueError("is a Git LFS pointer, not the labels; run `git lfs pull` or download the file")
    if head.startswith(("<!doctype", "<html")):
        raise ValueError("is a web page, not the labels; download the raw file instead of its page")
    if suffix in (".yaml", ".yml"):
        from inference.recognize._yaml import load_yaml  # lazily: few lists are

        table = load_yaml(text)
        return _listed({"names": table.get("names")} if isinstance(table, dict) else None), ""
    if suffix == ".json" or head.startswith(("[", "{")):
        return _of_json(text), ""
    if suffix == ".pbtxt":
        return _of_label_map(text), ""
    if suffix == ".csv" and (names := _of_csv(text)):
        return names, ""
    return _without_numbers(_bare(labels_in(text)))


def labels_in(text: str) -> list[str]:
    """The lines of a text, without the marks that joined files have inside and the empty lines at the end."""
    # Not splitlines(): it also splits at form feeds and at marks of Unicode, which a label may have.
    lines = [line.strip("\ufeff \t\f\v\u00a0") for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _bare(lines: list[str]) -> list[str]:
    """Without the commas or quotes that every one of several lines has: a list copied from a program."""
    filled = [line for line in lines if line]
    if len(filled) > 1 and all(line.endswith(",") for line in filled[:-1]):
        lines = [line.removesuffix(",").rstrip() for line in lines]
    for quote in "\"'":
        if len(filled) > 1 and all(len(line) > 2 and line[0] == line[-1] == quote for line in lines if line):
            lines = [line[1:-1] for line in lines]
    return lines


def _without_numbers(lines: list[str]) -> tuple[list[str], str]:
    """Lines that all begin with a number: from 0 on they are class ids, gaps named N/A; 1, 2, 3 ... count the lines.

    Left as they are where the numbers may be part of the names: one line, names that repeat, other numbers.
    """
    rows = [match for line in lines if (match := _NUMBERED.fullmatch(line))]
    named = {int(row[1]): row[2] for row in rows}
    numbers = [int(row[1]) for row in rows]
    if len(lines) < 2 or len(rows) != len(lines) or len({name.lower() for name in named.values()}) != len(lines):
        return lines, ""
    run = sorted(numbers) == list(range(min(numbers), min(numbers) + len(numbers)))
    if numbers[0] == 0 and sorted(numbers) == numbers or run and min(numbers) == 0:
        return _by_id(named), f"the numbers before the names are taken for class ids ({named[0]!r} is class 0)"
    if run and min(numbers) == 1:
        names = [named[number] for number in sorted(named)]
        return names, f"the numbers before the names are taken for a count from 1 ({names[0]!r} is the first class)"
    return lines, ""


def _of_json(text: str) -> list[str]:
    import json  # lazily: few lists are

    try:
        return _listed(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"is neither a label per line nor valid JSON ({error})") from error


def _listed(value: Any) -> list[str]:
    """The names of a parsed file. Raises ValueError."""
    if isinstance(value, Mapping):
        inner = next((value[key] for key in _KEYS if isinstance(value.get(key), list | dict)), None)
        return _of_table(value) if inner is None else _listed(inner)
    if isinstance(value, list):
        if value and all(isinstance(v, str) for v in value):
            return [name.strip() for name in value]
        rows = {v.get("id"): v.get("name") for v in value if isinstance(v, Mapping)}  # COCO's categories
        if value and len(rows) == len(value):
            return _of_table(rows)
    raise ValueError("holds no names of classes; write a labels.txt, a label per line")


def _of_table(table: Mapping[Any, Any]) -> list[str]:
    """id -> name, or name -> id; of Keras' imagenet_class_index.json a name is [id of the word net, name]."""
    pairs = {k: v[-1] if isinstance(v, list) and len(v) == 2 else v for k, v in table.items()}
    if pairs and all(isinstance(v, int) and not isinstance(v, bool) for v in pairs.values()):
        pairs = {number: name for name, number in pairs.items()}
        if len(pairs) != len(table) or min(pairs) not in (0, 1):
            raise ValueError("has no numbers that count its names; write a labels.txt, a label per line")
    named: dict[int, str] = {}
    for key, name in pairs.items():
        digits = str(key).strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 6) or not isinstance(name, str):
            raise ValueError("holds no table of class ids and names; write a labels.txt, a label per line")
        named[int(digits)] = name.strip()
    if not named:
        raise ValueError("holds no names of classes; write a labels.txt, a label per line")
    return _by_id(named)


def _of_label_map(text: str) -> list[str]:
    items = re.findall(r"item\s*\{([^{}]*)\}", text)
    named = {int(i[1]): n[-1][1] for item in items if (i := _ID.search(item)) and (n := _NAME.findall(item))}
    if not named:
        raise ValueError("is no label map (item { id: 1 name: 'cat' }); write a labels.txt, a label per line")
    return _by_id(named)


def _of_csv(text: str) -> list[str]:
    """By the columns that the first line names; empty where it names none."""
    import csv  # lazily: few lists are

    lines = text.splitlines()
    rows = [row for row in csv.reader(lines, delimiter=";" if lines and ";" in lines[0] else ",") if row]
    heads = [cell.strip().lower() for cell in rows[0]] if rows else []
    name = next((heads.index(word) for word in _NAME_WORDS if word in heads), None)
    if name is None:
        return []
    number = next((heads.index(word) for word in _ID_WORDS if word in heads), None)
    full = [row for row in rows[1:] if len(row) == len(heads)]
    if number is None:
        return [row[name].strip() for row in full]
    return _of_table({row[number]: row[name] for row in full})


def _by_id(named: Mapping[int, str]) -> list[str]:
    """A list by id. Id 0 is the background where it has no name: label maps begin at 1."""
    top = min(max(named), _MOST_LABELS)
    return [named.get(i, "N/A" if i else "background") for i in range(top + 1)]


def shown_names(labels: Sequence[str], rename: Mapping[str, str]) -> tuple[str, ...]:
    """What a model's labels are called in results, by their ids."""
    return tuple(rename.get(label, label) for label in labels)


def merged_ids(labels: Sequence[str], rename: Mapping[str, str]) -> dict[int, int]:
    """The id that labels of one new name have in common: that of the label which is called so itself, else the lowest.

    Without a list, labels are called by their numbers.
    """
    known = dict(enumerate(labels)) or {int(label): label for label in rename if label.isdecimal()}
    ids: dict[int, int] = {}
    for name in dict.fromkeys(rename.values()):
        group = [i for i, label in known.items() if rename.get(label, label) == name]
        if group:
            ids |= dict.fromkeys(group, next((i for i in group if known[i] == name), min(group)))
    return ids
