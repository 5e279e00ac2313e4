"""What happened at zones in numbers: events, distinct tracks, how full an area was, how long stays were."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from inference.video.zones import Zone, ZoneEvent

# A day in minutes is 1,440; of finer intervals several are taken together.
_MOST_INTERVALS = 10_000
_LEFT, _CAME, _VANISHED = range(3)
_ROUNDING = 1e-9  # of an interval: 0.3 s lies at the beginning of the fourth tenth, though 0.3 // 0.1 is 2


def counts(zones: Sequence[Zone], events: Sequence[ZoneEvent], span_s: tuple[float, float]) -> dict[str, Any]:
    """Per zone: the number of events by kind, in all and in every interval of its `every_s`; of how many distinct
    tracks they are; of areas how full they were and how long stays lasted. span_s: the first and the last picture."""
    by_zone: defaultdict[str, list[ZoneEvent]] = defaultdict(list)
    for event in events:
        by_zone[event.zone].append(event)
    return {zone.name: _of_zone(zone, by_zone[zone.name], span_s) for zone in zones}


def _slot(t_s: float, every_s: float) -> int:
    """In which interval a time is."""
    return math.floor(t_s / every_s + _ROUNDING)


def _edge(slot: int, every_s: float) -> float:
    """Where an interval begins, as it is written."""
    return round(slot * every_s, 6)


def _of_zone(zone: Zone, events: Sequence[ZoneEvent], span_s: tuple[float, float]) -> dict[str, Any]:
    slots: dict[int, Counter[str]] = {}
    tracks: defaultdict[str, set[int]] = defaultdict(set)
    for event in events:
        slots.setdefault(_slot(event.t_s, zone.every_s), Counter())[event.counted] += 1
        tracks[event.counted].add(event.track)
    document: dict[str, Any] = {
        "total": dict(Counter(event.counted for event in events)),
        "unique": {kind: len(numbers) for kind, numbers in tracks.items() if kind not in ("exit", "dwell")},
        "intervals": [{"start_s": _edge(k, zone.every_s), "end_s": _edge(k + 1, zone.every_s), **slots[k]}
                      for k in sorted(slots)],
    }  # fmt: skip
    if not zone.is_line:
        document["occupancy"] = _occupancy(events, span_s, zone.every_s)
        document["dwell"] = _dwell([event.seconds or 0.0 for event in events if event.kind == "dwell"])
    return document


def _dwell(stays: Sequence[float]) -> dict[str, float]:
    if not stays:
        return {"count": 0}
    return {"count": len(stays), "mean_s": round(sum(stays) / len(stays), 3), "median_s": round(median(stays), 3),
            "longest_s": round(max(stays), 3)}  # fmt: skip


def _occupancy(events: Sequence[ZoneEvent], span_s: tuple[float, float], every_s: float) -> dict[str, Any]:
    """How many were inside at once: at most, when first, and on average over time; the same in intervals with
    somebody inside."""
    start_s, end_s = span_s
    every_s *= max(1, math.ceil((end_s - start_s) / every_s / _MOST_INTERVALS))
    # Who steps out as another steps in was not there with him; who was last seen inside, was.
    steps = sorted(
        (event.t_s, _CAME if event.kind == "enter" else _VANISHED if event.vanished else _LEFT)
        for event in events
        if event.kind in ("enter", "exit")
    )
    inside, peak, peak_s, before_s = 0, 0, None, start_s
    peaks: dict[int, int] = {}
    seconds: defaultdict[int, float] = defaultdict(float)
    for t_s, step in steps:
        if inside:
            _spread(seconds, peaks, inside, (before_s, t_s), every_s)
        inside += 1 if step == _CAME else -1
        before_s = t_s
        slot = _slot(t_s, every_s)
        if inside > 0:
            peaks[slot] = max(peaks.get(slot, 0), inside)
        if inside > peak:
            peak, peak_s = inside, round(t_s, 3)
    intervals = []
    for slot in sorted(peaks):
        first, last = _edge(slot, every_s), _edge(slot + 1, every_s)
        length = min(last, end_s) - max(first, start_s)
        mean = seconds[slot] / length if length > 0 else float(peaks[slot])
        intervals.append({"start_s": first, "end_s": last, "peak": peaks[slot], "mean": round(mean, 3)})
    length = end_s - start_s
    mean = sum(seconds.values()) / length if length > 0 else float(peak)
    document: dict[str, Any] = {"peak": peak, "mean": round(mean, 3), "intervals": intervals}
    return document if peak_s is None else {"peak": peak, "peak_s": peak_s, **document}


def _spread(
    seconds: defaultdict[int, float], peaks: dict[int, int], inside: int, span_s: tuple[float, float], every_s: float
) -> None:
    """Adds the time that so many were inside to the intervals it lies in."""
    start_s, end_s = span_s
    for slot in range(_slot(start_s, every_s), _slot(end_s, every_s) + 1):
        share = min(end_s, (slot + 1) * every_s) - max(start_s, slot * every_s)
        if share > _ROUNDING * every_s:
            seconds[slot] += share * inside
            peaks[slot] = max(peaks.get(slot, 0), inside)
