"""What of `analyze`'s options concerns the files under --out: as in `draw` of a route, for every route of this run."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from inference.errors import BadModel, BadRoute
from inference.routes import Draw, Route
from inference.tables import nearest

if TYPE_CHECKING:  # --help needs no numpy
    from inference.engine.registry import Registry
    from inference.routes_file import Routes

# By the field of Draw, what is typed.
_TYPED = {
    "annotated": "--no-annotated",
    "quality": "--quality",
    "longest_side": "--longest-side",
    "crops": "--crops",
}


def add_artifact_arguments(run: argparse.ArgumentParser) -> None:
    files = run.add_argument_group("files under --out")
    files.add_argument("--no-annotated", dest="annotated", action="store_false", default=None,
                       help="no annotated pictures, videos and posters")  # fmt: skip
    files.add_argument("--quality", type=_number, metavar="N", help="of JPEG files, 1 to 95 (90)")
    files.add_argument("--longest-side", type=_number, metavar="PIXELS",
                       help="of annotated pictures and videos and of crops, at most")  # fmt: skip
    files.add_argument("--crops", type=_labels, action="extend", metavar="LABEL[,LABEL]",
                       help="save the objects with these labels as pictures of their own")  # fmt: skip


def with_artifact_options(
    routes: Routes, options: argparse.Namespace, registry: Registry, *, check: bool = True
) -> Routes:
    """The routes with what the options say of files. Labels to crop hold for the routes that can find them.

    Raises BadRoute for values that cannot be meant, options without --out and, with check, labels that no route finds.
    """
    given = {name: value for name in _TYPED if (value := getattr(options, name)) is not None}
    if not given:
        return routes
    if options.out is None:
        typed = ", ".join(_TYPED[name] for name in given)
        raise BadRoute(f"{typed}: for the files of results, which only --out DIR writes; give it, too")
    for name in given.keys() - {"crops"}:
        try:
            Draw(**{name: given[name]})
        except ValueError as error:
            raise BadRoute(f"{_TYPED[name]}: {error}") from None
    if "crops" not in given:
        return routes.each(lambda route: route.changed(draw=replace(route.draw, **given)))
    labels = tuple(dict.fromkeys(given.pop("crops")))
    if check:
        _check_labels(labels, [_labels_of(route, registry) for route in routes.routes])

    def changed(route: Route) -> Route:
        known = _labels_of(route, registry)
        crops = tuple(label for label in labels if known is None or label in known)
        return route.changed(draw=replace(route.draw, **given, crops=crops))

    return routes.each(changed)


def _labels_of(route: Route, registry: Registry) -> set[str] | None:
    from inference.route_problems import findable

    try:
        return findable(route, registry, route.steps, kept=True)
    except BadModel:  # not there yet: its files wait
        return None


def _check_labels(labels: Iterable[str], known: list[set[str] | None]) -> None:
    """Raises BadRoute for a label that no route finds. known: by route, None where that is not known."""
    for label in labels:
        if None in known or any(those and label in those for those in known):
            continue
        every = set[str]().union(*(those or () for those in known))
        hint = nearest(label, every) if every else "; give a model that detects objects"
        raise BadRoute(f"--crops: {label!r}, which no step finds{hint}")


def _labels(text: str) -> list[str]:
    labels = [label for part in text.split(",") if (label := part.strip())]
    if not labels:
        raise argparse.ArgumentTypeError("no label in it, as in --crops person,car")
    return labels


def _number(text: str) -> int | float:
    """As TOML would read it, so that 0.9 is told what is right."""
    try:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError
        return int(number) if number.is_integer() else number
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
