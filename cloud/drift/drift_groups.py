"""Which groups of results are compared: every route as a whole, and its folders one by one.

A camera that went dark is lost in the mean of its route where it has a twentieth of the traffic, but not in its own
folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cloud.drift.drift_profile import Profile
from cloud.drift.drift_shifts import (
    FEWEST,
    INPUTS,
    OUTPUTS,
    Codes,
    Shift,
    Turn,
    codes,
    enough,
    of_labels,
    of_numbers,
    of_vectors,
    weights,
)

# At most so many are compared, those with most results: each takes a part of what chance may explain.
MOST = 40
# The folder of all folders with too few results to be compared: one for each customer, say.
_SMALL = "(small folders)"
BASELINE_ANEW = "save it anew with `python -m cloud drift baseline`"


def in_words(route: str, folder: str | None) -> str:
    """What a group is called."""
    return f"route {route}" if folder is None else f"route {route}, folder {folder or '/'}"


@dataclass(frozen=True)
class Group:
    """Results of a route, or of a folder of it (None: the whole route), on both sides.

    regardless: of what they are compared, in words, where the baseline has too little that is alike.
    """

    route: str
    folder: str | None
    baseline: Profile
    window: Profile
    regardless: str = ""

    def __str__(self) -> str:
        return in_words(self.route, self.folder)

    @cached_property
    def cells(self) -> tuple[Codes, Codes]:
        """What inputs are weighted by: folder and hour."""
        return codes((self.baseline.folder, self.window.folder), (self.baseline.hour, self.window.hour))

    @cached_property
    def _output_cells(self) -> tuple[Codes, Codes]:
        # Predictions of another model, or version, are another measurement: they are held against none.
        return codes(self.cells, (self.baseline.model, self.window.model))

    @cached_property
    def matched(self) -> tuple[int, NDArray[np.bool_]]:
        """How many rows of the baseline are compared, and which of the window (M,)."""
        weight, kept = weights(*self.cells)
        return int((weight > 0).sum()), kept

    @property
    def is_enough(self) -> bool:
        """Whether a comparison says anything."""
        return enough(*weights(*self.cells))

    def inputs(self, share: float) -> Iterator[Shift]:
        """Shifts of what the pictures are like."""
        for name in INPUTS:
            if shift := of_numbers(name, self.baseline, self.window, self.cells, share):
                yield shift

    def outputs(self, share: float) -> Iterator[Shift]:
        """Shifts of what the models say of them."""
        if shift := of_labels(self.baseline.label, self.window.label, self._output_cells, share):
            yield shift
        for name in OUTPUTS:
            if shift := of_numbers(name, self.baseline, self.window, self._output_cells, share):
                yield shift

    def turn(self, share: float) -> Turn | None:
        """That of the embeddings."""
        return of_vectors(self.baseline.vectors, self.window.vectors, share)

    @property
    def left_out(self) -> str:
        """How many results of the window have nothing in the baseline to be held against, and why; "" for none."""
        lost = self.window.where(~self.matched[1])
        if self.regardless and self.is_enough:
            return (
                f"{self}: the baseline has too little from the same folders at the same hours (UTC), so they are "
                f"compared regardless of {self.regardless}; a baseline of whole days tells more: {BASELINE_ANEW}"
            )
        if not lost.count or not self.baseline.count:
            return ""
        known = set(self.baseline.folder.tolist())
        new = Counter(folder for folder in lost.folder.tolist() if folder not in known)
        hours = {hour for folder, hour in zip(lost.folder.tolist(), lost.hour.tolist(), strict=True) if folder in known}
        why = []
        if new:
            why.append(f"none of {_listed('folder', [name or '/' for name, _ in new.most_common()])}")
        if hours:
            why.append(f"none of the same folder at {_listed('hour', sorted(hours), 6)} (UTC)")
        lost_of = f"{lost.count} of {self.window.count} results are left out"
        return f"{self}: {lost_of}, as the baseline has {' and '.join(why)}"

    @property
    def another_model(self) -> tuple[int, str]:
        """How many results of the window come from a model, or version, that the baseline does not know; in words."""
        known, now = (Counter(model for model in side.model.tolist() if model) for side in (self.baseline, self.window))
        new = Counter({model: count for model, count in now.items() if model not in known})
        if not new or not known:
            return 0, ""
        names = (_listed("", [model for model, _ in side.most_common()]) for side in (new, known))
        return new.total(), "{}: {} of {} results are by {}, the baseline is of {}: {}".format(
            self, new.total(), self.window.count, *names, BASELINE_ANEW
        )


def groups_of(baseline: Profile, window: Profile) -> tuple[list[Group], int]:
    """The groups to compare, routes first, those with most results first; and how many more there would have been.

    A route is among them whatever it has, so that it can be said what is missing.
    """
    routes = [_route(route, baseline, window) for route, _ in Counter(window.route.tolist()).most_common()]
    folders = [folder for route in routes for folder in _folders(route)]
    folders.sort(key=lambda group: -group.window.count)
    found = [*routes, *folders]
    return found[:MOST], len(found[MOST:])


def _route(route: str, baseline: Profile, window: Profile) -> Group:
    old, new = baseline.of_route(route), window.of_route(route)
    counts = [Counter(side.folder.tolist()) for side in (old, new)]
    small = {name: _SMALL for name in {*counts[0], *counts[1]} if max(side[name] for side in counts) < FEWEST}
    group = Group(route, None, old.renamed(small), new.renamed(small))
    return next((each for each in (group, *_coarser(group)) if each.is_enough), group)


def _coarser(group: Group) -> Iterator[Group]:
    """Comparisons that are less exact: a guess that is said is better than never a verdict."""
    old, new = group.baseline, group.window
    together = dict.fromkeys({*old.folder.tolist(), *new.folder.tolist()}, "")
    yield Group(group.route, None, old.renamed(together), new.renamed(together), "the folder")
    old, new = old.at_any_hour(), new.at_any_hour()
    yield Group(group.route, None, old, new, "the hour")
    yield Group(group.route, None, old.renamed(together), new.renamed(together), "folder and hour")


def _folders(route: Group) -> Iterator[Group]:
    """Its folders with enough results on both sides, unless that is the whole of it."""
    counts = [Counter(side.folder.tolist()) for side in (route.baseline, route.window)]
    if len({*counts[0], *counts[1]}) < 2:
        return
    for name in sorted({*counts[0], *counts[1]} - {_SMALL}):
        if min(side[name] for side in counts) >= FEWEST:
            group = Group(route.route, name, route.baseline.of_folder(name), route.window.of_folder(name))
            if group.is_enough:
                yield group


def _listed(what: str, names: Sequence[object], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    plural = "s" if what and len(names) > 1 else ""
    return f"{what}{plural} {', '.join(map(str, names[:most]))}{more}".strip()
