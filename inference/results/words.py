"""A result document in a line of English: what the console and the command line say about a file.

Imports nothing that costs. Reads documents of other versions too: a member that is missing is not spoken of.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from inference.plain_text import single
from inference.results.file_names import file_name
from inference.results.plurals import counted
from inference.results.summary import LEAST_GUESS, labels_of

Document = Mapping[str, Any]
_MOST = 6
_MADE = ("image-to-image", "depth-estimation")
# What the default route recognises scenes and things with, once `models pull --recommended` has fetched it.
_PACK = {"mobilenetv2-int8", "picodet-s-416"}
_STAND_INS = {"classify", "faces", "sketch"}
_PYTHON = r".venv\Scripts\python" if os.name == "nt" else ".venv/bin/python"
_ADVICE = f"the recommended models are missing, get them by {_PYTHON} -m inference models pull --recommended"
_RECOGNISE = ("image-classification", "object-detection", "keypoint-detection", "video-classification")
_ZONE_WORDS = {"cross_in": "in", "cross_out": "out", "enter": "entered", "loiter": "stayed long"}


def line(name: str, document: Document, *, folder: str | None = None, since_upload_s: float | None = None) -> str:
    """What a document says, in a single line: the file's name, what is in it, how long that took.

    folder: where the files that the document names lie; None: they were not written. since_upload_s: seconds.
    """
    failed = document.get("status") == "error" or "error" in document
    words = reason(document, name) if failed else content(document, folder)
    facts = [kind] if failed and (kind := _error(document).get("class")) else []
    wall_ms = (document.get("cost") or {}).get("wall_ms")
    facts += [] if since_upload_s is None else [f"{duration(since_upload_s)} after the upload"]
    facts += [] if wall_ms is None else [f"{duration(wall_ms / 1000)} of analysis"]
    return single(f"{name}: {words}" + (f" ({', '.join(facts)})" if facts else ""))


def content(document: Document, folder: str | None = None) -> str:
    """What is in a picture or video, and what was made of it; one plain sentence where that is nothing."""
    steps, labels, timeline = _rows(document, "steps"), labels_of(document), _rows(document, "timeline")
    sure = [_objects(labels.objects, steps), *_zones(document), *_spans(timeline)]
    if not any(item.get("kind") == "scene" for item in timeline):
        sure.append(several(_scored(labels.scene), 3))
    parts = [part for part in (*sure, *_maps(document, steps), *_embeddings(steps)) if part]
    unsure = not any(sure) and any(step.get("task") in _RECOGNISE for step in steps)
    if guesses := {name: score for name, score in labels.guesses.items() if score >= LEAST_GUESS}:
        parts.append(f"perhaps {several(_scored(guesses), 3)}")
    if unsure and not parts:
        parts.append("nothing recognised")
    parts += _left_out(document, steps)
    if unsure and _lacks_pack(document, steps):
        parts.append(_ADVICE)
    # A picture that was not kept is worth a word only where there is no other.
    parts += _made(document, steps, folder) if folder is not None or not parts else ()
    parts = parts or [_drawn(document, folder)]
    return "; ".join([*_clip(document), *parts, *_trouble(document)])


def _left_out(document: Document, steps: Sequence[Document]) -> Iterator[str]:
    """How many objects of a picture the route's options left out; of a video the number would be that of its frames."""
    counts = [step["left_out"] for step in steps if step.get("task") != "image-classification" and step.get("left_out")]
    count = sum(number for each in counts for option, number in each.items() if option != "merged")
    if count and "tracks" not in document:
        yield f"{count} left out"


def reason(document: Document, name: str = "") -> str:
    """Why the file `name` could not be analysed, from its error record."""
    message = str(_error(document).get("message") or "the record gives no reason")
    source = document.get("source")
    own = source.get("name") if isinstance(source, dict) else None  # the command line may show a longer path
    return f"failed: {message.removeprefix(f'{name}: ').removeprefix(f'{own}: ')}"


def _error(document: Document) -> Document:
    error = document.get("error")
    return error if isinstance(error, Mapping) else {}


def several(words: Sequence[str], most: int = _MOST) -> str:
    """The words as a list, from the first on; those over `most` as a number."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def clock(seconds: float) -> str:
    """Minutes and seconds of a clip: 0:07, 12:30, 1:02:03."""
    whole = max(0, int(seconds + 0.5))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def duration(seconds: float) -> str:
    """A time that something took: 61 ms, 3.2 s, 25 s, 2:05 min."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.{int(seconds < 10)}f} s" if seconds < 60 else f"{clock(seconds)} min"


def _lacks_pack(document: Document, steps: Iterable[Document]) -> bool:
    """Whether the built-in default route ran with a stand-in for a model that everybody may have.

    A route of the user's own may be called `default` too: without a stand-in nothing is known to be missing.
    """
    models = {(step.get("model") or {}).get("name") for step in steps}
    return document.get("route") == "default" and bool(models & _STAND_INS) and not models >= _PACK


def _rows(document: Document, member: str) -> list[Document]:
    rows = document.get(member)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _scored(names: Mapping[str, float]) -> list[str]:
    return [f"{name} {score:.2f}" for name, score in names.items()]


def _objects(objects: Mapping[str, int], steps: Sequence[Document]) -> str:
    thresholds = {str(step.get("name")): float(step.get("threshold") or 0) for step in steps}
    detected: dict[str, list[Document]] = {}
    poses: Counter[str] = Counter()
    for step in steps:
        for item in _rows(step, "predictions"):
            label = str(item.get("label"))
            detected.setdefault(label, []).append(item)
            poses[label] += step.get("task") == "keypoint-detection" and _is_pose(item)
    words = []
    for label, count in objects.items():
        known = [counted(poses[label], "pose")] if poses[label] else []
        known += _attributes(detected.get(label, []), thresholds)
        words.append(counted(count, label) + (f" ({', '.join(known)})" if known else ""))
    return several(words)


def _attributes(objects: Sequence[Document], thresholds: Mapping[str, float]) -> Iterator[str]:
    """What later steps say about the crops of objects of a label, together for all of them."""
    answers: dict[str, list[Any]] = {}
    for item in objects:
        for step, answer in (item.get("attributes") or {}).items():
            answers.setdefault(step, []).append(answer)
    for step, given in answers.items():
        vectors = sum(isinstance(answer, Mapping) and "dim" in answer for answer in given)
        if vectors:
            yield counted(vectors, "embedding")
        rows = [[row for row in a if isinstance(row, Mapping) and "label" in row] for a in given if isinstance(a, list)]
        inner = [row for answer in rows for row in answer if "box" in row]
        if inner:
            yield _inner(inner, thresholds)
        best = [answer[0] for answer in rows if answer and "box" not in answer[0] and "score" in answer[0]]
        if best:
            yield _names(best, len(objects), thresholds.get(step, 0.0))


def _inner(objects: Sequence[Document], thresholds: Mapping[str, float]) -> str:
    """Objects and poses found on crops."""
    poses = [item for item in objects if _is_pose(item)]
    counts = Counter(str(item["label"]) for item in objects if not _is_pose(item))
    words = [counted(len(poses), "pose")] if poses else []
    for label, count in counts.most_common():
        known = list(_attributes([item for item in objects if item["label"] == label], thresholds))
        words.append(counted(count, label) + (f": {', '.join(known)}" if known else ""))
    return several(words)


def _is_pose(item: Document) -> bool:
    # The landmarks of faces and hands are no poses.
    return bool(item.get("keypoints")) and item.get("label") not in ("face", "hand")


def _names(best: Sequence[Document], objects: int, threshold: float) -> str:
    """The best names of crops: of a single object with its score, else on how many."""
    if objects == 1:
        label, score = best[0]["label"], float(best[0]["score"])
        return f"{'' if score >= threshold else 'perhaps '}{label} {score:.2f}"
    sure = Counter(str(row["label"]) for row in best if float(row["score"]) >= threshold)
    return several([f"{label} on {count}" for label, count in sure.most_common()]) or "unsure which of its names"


def _zones(document: Document) -> Iterator[str]:
    zones = document.get("zones")
    for name, zone in zones.items() if isinstance(zones, Mapping) else ():
        total = zone.get("total") or {}
        # Every stay ends with an `exit`, be it that the clip or the track ends: of who walked out it says nothing.
        words = [f"{n} {_ZONE_WORDS.get(kind, kind)}" for kind, n in total.items() if kind not in ("exit", "dwell")]
        if total.get("enter", 0) > 1 and (peak := (zone.get("occupancy") or {}).get("peak")):
            words.append(f"at most {peak} at once")
        yield f"{name}: {several(words) or 'nothing passed'}"


def _spans(timeline: Iterable[Document]) -> Iterator[str]:
    """Scenes, actions and the followed object with their times."""
    spans: dict[str, list[str]] = {"scene": [], "action": [], "follow": []}
    for item in timeline:
        if item.get("kind") in spans:
            start, end = clock(float(item.get("start_s", 0))), clock(float(item.get("end_s", 0)))
            spans[item["kind"]].append(f"{start if start == end else f'{start}-{end}'} {item.get('label', '')}".strip())
    for kind, words in zip(("", "did: ", "followed: "), spans.values(), strict=True):
        if words:
            yield kind + several(words)


def _maps(document: Document, steps: Sequence[Document]) -> Iterator[str]:
    """The largest areas of label maps, in percent of the picture."""
    source = document.get("source") or {}
    pixels = (source.get("width") or 0) * (source.get("height") or 0)
    for step in steps:
        areas = [
            (str(row.get("label")), row["area"])
            for row in _rows(step, "predictions")
            if "area" in row and "box" not in row
        ]
        whole = pixels or sum(area for _, area in areas)
        largest = sorted(areas, key=lambda row: -row[1])
        yield several([f"{label} {100 * area / whole:.0f} %" for label, area in largest if 200 * area >= whole])


def _embeddings(steps: Iterable[Document]) -> Iterator[str]:
    for step in steps:
        if isinstance(vector := step.get("embedding"), Mapping):
            yield f"embedding of {vector.get('dim')} numbers"


def _made(document: Document, steps: Iterable[Document], folder: str | None) -> Iterator[str]:
    """The pictures and videos that steps made, with their files."""
    artifacts = document.get("artifacts") or {}
    for step in steps:
        name = str(step.get("name"))
        if step.get("task") in _MADE and "on" not in step:
            file = artifacts.get(file_name(name))
            if file and folder is not None:
                yield f"made {_path(folder, file)}"
            else:
                yield f"the picture of {name} is not kept without --out DIR"


def _drawn(document: Document, folder: str | None) -> str:
    """For results without words, such as the maps of a video's frames: where they can be seen."""
    annotated = (document.get("artifacts") or {}).get("annotated")
    return f"see {_path(folder, annotated)}" if annotated and folder is not None else "nothing to report"


def _path(folder: str, file: str) -> str:
    return f"{folder.rstrip('/')}/{file}"


def _clip(document: Document) -> Iterator[str]:
    length = (document.get("source") or {}).get("duration_s")
    if length is not None:
        yield f"video of {clock(float(length))}"


def _trouble(document: Document) -> Iterator[str]:
    broken = document.get("broken")
    if isinstance(broken, Mapping):
        at_s, length = float(broken.get("at_s") or 0), float((document.get("source") or {}).get("duration_s") or 0)
        how = "damaged from" if length - at_s > 1 else "broke off at"
        frames = document.get("analysed_frames")
        seen = f", {counted(int(frames), 'frame')} analysed" if frames is not None else ""
        yield f"{how} {clock(at_s)} ({broken.get('reason')}){seen}"
    if sound := document.get("sound"):
        yield str(sound)
    yield from (str(note) for note in document.get("notes") or ())
    for step in _rows(document, "steps"):
        yield from (f"{step.get('name')}: {note}" for note in step.get("notes") or ())
