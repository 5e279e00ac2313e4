"""What stands beside the picture: what is in it, the steps, files to take along, where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloud.web.pages.map_colours import mapped
from cloud.web.pages.shapes import Shape, hexadecimal
from inference.draw.colours import colour
from inference.results.plurals import counted
from inference.results.summary import labels_of
from inference.results.words import clock, duration

Row = Mapping[str, Any]
_MOST_NAMES = 8


@dataclass(frozen=True)
class LabelRow:
    """A label of the panel's list. count: None for what is said of the whole picture. share: 0..100, of its bar.
    words: its number; spoken: what that is a number of."""

    label: str
    colour: str
    count: int | None
    share: int
    words: str
    kind: str

    @property
    def spoken(self) -> str:
        """What the number says."""
        if self.kind == "area":
            return "of the picture"
        return "best score" if self.count is not None else "score"


@dataclass(frozen=True)
class StepRow:
    """A step as the panel says it."""

    name: str
    task: str
    model: str
    licence: str
    provider: str
    ms: str
    left_out: str


@dataclass(frozen=True)
class File:
    """Something to take along."""

    name: str
    address: str


def label_rows(document: Row, shapes: Sequence[Shape]) -> list[LabelRow]:
    """What is in a picture or video, the surest first: objects, areas of maps, names of the whole."""
    labels = labels_of(document)
    rows = _objects(shapes) or _tracks(document, labels.objects)
    scenes = [*_names(labels.scene, "scene"), *_names(_actions(document), "action")]
    return [*rows, *_areas(document), *scenes, *_names(labels.guesses, "guess")]


def _objects(shapes: Sequence[Shape]) -> list[LabelRow]:
    by_label: dict[str, list[Shape]] = {}
    for shape in shapes:
        by_label.setdefault(shape.label, []).append(shape)
    rows = []
    for label, members in by_label.items():
        best = max(shape.score for shape in members)
        count = sum(not shape.guess for shape in members)
        rows.append(LabelRow(label, members[0].colour, count, round(100 * best), f"{best:.0%}", "object"))
    return sorted(rows, key=lambda row: (-row.share, row.label))


def _tracks(document: Row, objects: Mapping[str, int]) -> list[LabelRow]:
    scores: dict[str, float] = {}
    for track in document.get("tracks") or ():
        scores[str(track["label"])] = max(scores.get(str(track["label"]), 0.0), float(track["score"]))
    return [
        LabelRow(label, hexadecimal(colour(label)), count, round(100 * scores.get(label, 0)),
                 f"{scores.get(label, 0):.0%}", "object")
        for label, count in objects.items()
    ]  # fmt: skip


def _areas(document: Row) -> list[LabelRow]:
    pixels = (document["source"].get("width") or 0) * (document["source"].get("height") or 0)
    return [
        LabelRow(str(item["label"]), tint, None, round(100 * item["area"] / pixels),
                 f"{item['area'] / pixels:.0%}", "area")
        for step in document["steps"]
        if "map" in step and pixels
        for item, tint in mapped(step)
        if "area" in item and item.get("label")
    ]  # fmt: skip


def _actions(document: Row) -> dict[str, float]:
    """The best score of what was done in a video, by its name."""
    best: dict[str, float] = {}
    for item in document.get("timeline") or ():
        if item["kind"] == "action":
            best[str(item.get("label", ""))] = max(best.get(str(item.get("label", "")), 0.0), item.get("score", 0.0))
    return best


def _names(names: Mapping[str, float], kind: str) -> list[LabelRow]:
    return [
        LabelRow(name, "", None, round(100 * score), f"{score:.0%}", kind)
        for name, score in list(names.items())[:_MOST_NAMES]
    ]


def step_rows(document: Row, licence_of: Callable[[str], str]) -> list[StepRow]:
    """The steps. licence_of: of a model by its name, "" where nobody knows."""
    rows = []
    for step in document["steps"]:
        model, ms = step.get("model") or {}, step.get("ms") or {}
        total = sum(ms.values())
        left_out = int(sum((step.get("left_out") or {}).values()))
        rows.append(
            StepRow(
                step["name"],
                str(step.get("task", "")),
                _model(step["name"], str(model.get("name", "")), str(model.get("version", ""))),
                licence_of(str(model.get("name", ""))),
                str(model.get("provider", "")).removesuffix("ExecutionProvider"),
                duration(total / 1000),
                f"{counted(left_out, 'object')} left out by the route" if left_out else "",
            )
        )
    return rows


def _model(step: str, name: str, version: str) -> str:
    """A model beside its step, which mostly has its name."""
    return f"version {version}" if version and name == step else f"{name} {version}".strip()


def facts(document: Row) -> list[tuple[str, str]]:
    """Where it comes from and what it took, as names and values."""
    source, cost = document["source"], document.get("cost") or {}
    versions = document.get("versions") or {}
    size = f"{source['width']:,} × {source['height']:,}" if source.get("width") and source.get("height") else ""
    rate = f"{source['fps']:g} frames a second" if source.get("fps") else ""
    length = clock(source["duration_s"]) if source.get("duration_s") else ""
    rows = [
        ("Size", ", ".join(filter(None, (size, length, rate)))),
        ("Type", str(source.get("media_type") or "")),
        ("Bytes", f"{source['bytes']:,}" if source.get("bytes") else ""),
        ("Route", str(document.get("route") or "")),
        ("Analysis took", duration(cost["wall_ms"] / 1000) if cost.get("wall_ms") else ""),
        ("Processor", f"{cost['cpu_s']:.2g} s" if cost.get("cpu_s") else ""),
        ("Memory", f"{cost['peak_rss_mb']:,} MiB" if cost.get("peak_rss_mb") else ""),
        ("Analysed", str(document.get("created") or "")),
        ("Dropsight", str(versions.get("dropsight") or "")),
        ("ETag", str(source.get("etag") or "")),
        ("Trace", str(document.get("trace") or "")),
    ]
    return [(name, value) for name, value in rows if value]
