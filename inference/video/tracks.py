"""Tracks of a clip, where they stood and how fast they were, from the detections of its frames in order.

Needs no pixels: a long video can be detected in parts and aggregated once, with the same tracks to the number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.keep import hide, with_hidden
from inference.predictions import Objects
from inference.tracking.algorithms import TRACKERS
from inference.tracking.assignment import iou
from inference.video.heat import HeatMap
from inference.video.options import VideoOptions
from inference.video.zone_counts import counts
from inference.video.zones import ZoneCount, ZoneWatch

Floats = NDArray[np.float64]
# From this overlap on, a detection and the object that is followed are the same.
_SAME_IOU = 0.5
# Pictures further apart than this show somebody who walks in places that hardly overlap.
_SPARSE_S = 0.4
_OFTEN, _OFTEN_SHARE = 3, 0.1


@dataclass
class Speeds:
    """Path lengths of tracks. `metres_per_pixel` holds for the whole picture: a camera that looks straight down."""

    metres_per_pixel: float
    _last: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    _path: dict[int, tuple[float, float]] = field(default_factory=dict)

    def update(self, t_s: float, ids: NDArray[np.integer], boxes: NDArray[np.floating]) -> None:
        """Takes the tracked boxes (N, 4) xyxy of a frame."""
        for track, (x1, y1, x2, y2) in zip(ids.tolist(), boxes.tolist(), strict=True):
            if track < 0:
                continue
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            last_s, last_x, last_y = self._last.setdefault(track, (t_s, x, y))
            # Twice a second is often enough: between two frames the box's own trembling would count as way.
            if t_s - last_s >= 0.5:
                metres, seconds = self._path.get(track, (0.0, 0.0))
                way = float(np.hypot(x - last_x, y - last_y)) * self.metres_per_pixel
                self._path[track] = metres + way, seconds + t_s - last_s
                self._last[track] = (t_s, x, y)

    def mean(self, track: int) -> float | None:
        """Metres per second over the track's life; None when it was seen too shortly."""
        metres, seconds = self._path.get(track, (0.0, 0.0))
        return metres / seconds if seconds > 0 else None


@dataclass
class TrackSummary:
    """A track over its life; `label` is the label it had most often, `score` its mean."""

    id: int
    start_s: float
    end_s: float
    frames: int = 0
    scores: float = 0.0
    labels: dict[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return max(self.labels, key=lambda name: self.labels[name])

    def to_json(self, speed: float | None = None) -> dict[str, Any]:
        """As the document lists it."""
        document = {"id": self.id, "label": self.label, "start_s": round(self.start_s, 3),
                    "end_s": round(self.end_s, 3), "frames": self.frames,
                    "score": round(self.scores / self.frames, 4)}  # fmt: skip
        if speed is not None:
            document["speed_mps"] = round(speed, 2)
        return document


def relative(scores: NDArray[np.floating], limits: NDArray[np.floating], threshold: float) -> Floats:
    """Scores (N,) as a tracker with one threshold reads them: those that reach their own limits (N,) reach it."""
    above = threshold + (scores - limits) / np.maximum(1.0 - limits, 1e-6) * (1.0 - threshold)
    below = scores / np.maximum(limits, 1e-6) * threshold
    result: Floats = np.where(scores >= limits, np.clip(above, threshold, 1.0), np.minimum(below, threshold - 1e-6))
    return result


class Tracks:
    """Feed it every analysed frame's detections; it numbers them and remembers."""

    def __init__(
        self,
        options: VideoOptions,
        threshold: float,
        width: int,
        height: int,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        """threshold: the score from which a detection counts by itself; thresholds: by label."""
        self._threshold, self._thresholds = threshold, thresholds or {}
        self._tracker = None if options.tracker == "none" else TRACKERS[options.tracker](options, threshold)
        self._zones = ZoneWatch(options.zones, width, height, options.confirm_hits)
        self._speeds = Speeds(options.metres_per_pixel) if options.metres_per_pixel else None
        self._tracks: dict[int, TrackSummary] = {}
        self.heat = HeatMap(width, height) if options.heat_map else None
        self._most: dict[str, int] = {}
        self._detections: Counter[str] = Counter()
        self._loose: Counter[str] = Counter()  # detections without a track
        self._seen_on: Counter[str] = Counter()  # pictures
        self._last_s, self._wide_gaps, self._least_gap_s = 0.0, 0, np.inf
        self._options = options
        self._confirm_hits, self._frames, self._first_s = options.confirm_hits, 0, 0.0
        self._followed, self._own = -1, -1  # the number of the object that is followed; where no detection had one

    def update(
        self,
        t_s: float,
        objects: Objects,
        embeddings: NDArray[np.floating] | None = None,
        warp: NDArray[np.floating] | None = None,
    ) -> Objects:
        """The detections of a frame with their track numbers; without those below the threshold that have none."""
        self._first_s = self._first_s if self._frames else t_s
        if self._frames:
            self._wide_gaps += t_s - self._last_s > _SPARSE_S
            self._least_gap_s = min(self._least_gap_s, t_s - self._last_s)
        self._last_s = t_s
        self._frames += 1
        limits = np.array([self._thresholds.get(name, self._threshold) for name in objects.names], np.float32)
        if self._tracker is None:
            shown = self._shown(objects, objects.scores >= limits)
        else:
            scores = relative(objects.scores, limits, self._threshold) if self._thresholds else objects.scores
            ids = self._tracker.update(objects.boxes, scores, objects.label_ids, t_s, embeddings, warp)
            shown = self._shown(replace(objects, tracks=ids), (ids >= 0) | (objects.scores >= limits))
            self._remember(t_s, shown)
            tracks = [] if shown.tracks is None else shown.tracks.tolist()
            self._detections.update(shown.names)
            self._seen_on.update(set(shown.names))
            self._loose.update(n for n, track in zip(shown.names, tracks, strict=True) if track < 0)
        for name in set(shown.names):
            self._most[name] = max(self._most.get(name, 0), shown.names.count(name))
        return shown

    def _shown(self, objects: Objects, keep: NDArray[np.bool_]) -> Objects:
        """The objects that count; of the others only those are known that lack nothing but their label's own score.

        What was found on the crops of the rest stays hidden, without them: it is seen well enough to be blurred.
        """
        sure = keep | (objects.scores >= self._threshold)
        shown, rest = objects.take(sure), objects.take(~sure)
        if any(rest.attributes):
            shown = with_hidden(shown, replace(rest, names=("",) * len(rest)))
        return hide(shown, keep[sure], "threshold")

    def follow(self, t_s: float, followed: Objects, shown: Objects) -> Objects:
        """The object that is followed with the number of its track: of the detection `shown` that it is, or its own.

        followed: one object or none. Where no detection shows it, its track goes on with it.
        """
        if not len(followed):
            return followed
        same = np.zeros(0, np.intp)
        if shown.tracks is not None:
            overlap = iou(np.asarray(followed.boxes, np.float64), np.asarray(shown.boxes, np.float64))[0]
            same = np.flatnonzero(overlap >= _SAME_IOU)
            same = same[np.argsort(-overlap[same], kind="stable")]
        numbers = [] if shown.tracks is None else [int(n) for n in shown.tracks[same] if n >= 0]
        if numbers:
            self._adopt(numbers[0])
        elif self._followed < 0 and not len(same):  # a detection that is the object may still become a track
            self._followed = self._own = self._tracker.number() if self._tracker else 1
        if self._followed < 0:
            return followed
        followed = replace(followed, tracks=np.array([self._followed], np.int64))
        if shown.tracks is None or self._followed not in shown.tracks:
            self._remember(t_s, followed)
        return followed

    def _adopt(self, number: int) -> None:
        """The object that is followed is the track of that number: what was its own until now joins it."""
        if own := self._tracks.pop(self._own, None):
            track = self._tracks[number]
            self._zones.join(self._own, number)
            track.start_s = min(track.start_s, own.start_s)
            track.frames, track.scores = track.frames + own.frames, track.scores + own.scores
        self._followed, self._own = number, -1

    def _remember(self, t_s: float, objects: Objects) -> None:
        assert objects.tracks is not None
        for i in np.flatnonzero(objects.tracks >= 0).tolist():
            number = int(objects.tracks[i])
            track = self._tracks.setdefault(number, TrackSummary(number, t_s, t_s))
            track.end_s = t_s
            track.frames += 1
            track.scores += float(objects.scores[i])
            track.labels[objects.names[i]] = track.labels.get(objects.names[i], 0) + 1
        boxes = np.asarray(objects.boxes, np.float64)
        living = {self._followed} | (self._tracker.living if self._tracker else set())
        labels = [self._tracks[n].label if n >= 0 else "" for n in objects.tracks.tolist()]
        self._zones.update(t_s, objects.tracks, boxes, labels, living, self._tracker.firsts if self._tracker else None)
        if self._speeds is not None:
            self._speeds.update(t_s, objects.tracks, boxes)
        if self.heat is not None:
            self.heat.update(t_s, objects.tracks, boxes)

    def counters(self) -> list[ZoneCount]:
        """What the zones have counted up to the last frame."""
        return self._zones.counters()

    def objects(self) -> dict[str, int]:
        """The number of tracks by label; without a tracker, the most seen at once, and at least that of what could not
        be joined to tracks because pictures are few and far between.

        What is in the first frame is a track at once; where it is gone before it would be one, it does not count.
        """
        if self._tracker is None:
            followed = {track.label: 1 for track in self._tracks.values()}
            return dict(sorted((followed | self._most).items(), key=lambda item: -item[1]))
        found = self._tracked()
        # Beside tracks, what a detector sees once or twice is as likely its mistake.
        found |= Counter({n: self._most[n] for n in self._missed() if not found or self._often(n)})
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def _often(self, label: str) -> bool:
        return self._seen_on[label] >= max(min(_OFTEN, self._frames / 2), _OFTEN_SHARE * self._frames)

    def _tracked(self) -> Counter[str]:
        enough = min(self._confirm_hits, self._frames)
        return Counter(t.label for t in self._tracks.values() if t.frames >= enough or t.start_s > self._first_s)

    def _missed(self) -> list[str]:
        """The labels most of whose detections belong to no track, where pictures are too few, or most of them too far
        apart, for all that is seen to become one."""
        if self._frames > self._confirm_hits and 2 * self._wide_gaps <= self._frames - 1:
            return []
        tracked = self._tracked()
        return sorted(n for n, seen in self._detections.items() if not tracked[n] or 2 * self._loose[n] > seen)

    def _left_out(self) -> bool:
        """Whether the clip has pictures that were not analysed."""
        options = self._options
        if options.fps is not None and (self._frames == 1 or self._least_gap_s < 1.5 / options.fps):
            return True
        return options.stride > 1 or options.keyframes_only

    def notes(self) -> Iterator[str]:
        """What was seen and could not be tracked, why, and what to do; of what is hardly ever seen, nothing."""
        zones = "; zones count only what is tracked" if self._zones.zones else ""
        why = "there is only one picture" if self._frames == 1 else f"there are only {self._frames} pictures"
        if self._wide_gaps:
            why = f"pictures are about {(self._last_s - self._first_s) / (self._frames - 1):.2g} s apart"
        advice = "record more pictures a second (all that there are were analysed)"
        if self._left_out():
            advice = "analyse more of the clip's pictures (a higher fps, or a lower stride)"
        missed, objects, nothing = self._missed(), self.objects(), not self._tracked()
        for label, seen in sorted(self._detections.items()):
            if label in missed and label in objects:
                yield (f"{label}: {self._loose[label]} of {seen} detections could not be joined to a track, because "
                       f"{why}; the summary counts {objects[label]}, and there may have been more{zones}; to track "
                       f"them, {advice}")  # fmt: skip
            elif nothing and self._often(label):
                yield (f"{label}: found on {self._seen_on[label]} of {self._frames} pictures, but never in about the "
                       f"same place on {self._confirm_hits} in a row; taken for mistakes and not counted")  # fmt: skip

    def extra(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The members that a video adds to the document: tracks, timeline (with these items), zones; and `objects`,
        which the summary takes."""
        speeds, events = self._speeds, self._zones.finish()
        tracks = [t.to_json(speeds.mean(n) if speeds else None) for n, t in sorted(self._tracks.items())]
        lines = [{"kind": "track", **{k: t[k] for k in ("id", "label", "start_s", "end_s")}} for t in tracks]
        timeline = sorted([*lines, *items, *(e.to_json() for e in events)], key=lambda item: item["start_s"])
        document: dict[str, Any] = {"objects": self.objects(), "tracks": tracks, "timeline": timeline}
        if self._zones.zones:
            document["zones"] = counts(self._zones.zones, events, self._zones.span_s)
        return document
