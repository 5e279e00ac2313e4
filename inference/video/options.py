"""What a route may say about videos: the table `[route.video]`, every key checked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

from inference.ranges import MOST, check_points, check_range
from inference.tracking.tracker_options import TrackerOptions
from inference.video.frames import MOST_SIDE, Sampling, VideoLimits
from inference.video.soundtrack import Span
from inference.video.zones import Zone

FOLLOW = "follow"  # the step that `follow` adds
# From, to. Beyond these nothing is meant: no camera takes 1,000 frames a second of what is tracked.
_RANGES: dict[str, tuple[float, float, str]] = {
    "confirm_hits": (1, 10_000, "1 makes a track of every detection"),
    "start_s": (0, MOST, "0 is the beginning"),
    "lost_s": (0, MOST, "0 ends a track with its first gap"),
    "reid_s": (0, MOST, "0 is for lost_s alone"),
    "thumbnails": (0, 1000, "0 is for none"),
    "annotated_side": (16, MOST_SIDE, "annotated = false is for no annotated video"),
}
_OF_TRACKS = ("zones", "metres_per_pixel", "heat_map", "reid")
_MOST_METRES = 1e6  # of a pixel: the whole earth is in a few
_POSITIVE = {
    "metres_per_pixel": "leave it out for no speeds",
    **dict.fromkeys(("max_duration_s", "max_pixels", "max_frames"), "leave it out for the usual limit"),
}


@dataclass(frozen=True)
class Follow:
    """One object to follow by the movement of its points.

    box: xyxy, relative (0..1), in the first frame; empty takes the most confident detection (of `label`, if said).
    """

    box: tuple[float, ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        if not self.box:
            return
        if len(self.box) != 4:
            raise ValueError(f"box is {list(self.box)}, expected x1, y1, x2, y2 within 0..1")
        x1, y1, x2, y2 = self.box
        check_points("box", [self.box])
        if not (x1 < x2 and y1 < y2):
            corner = [round(x1 + x2, 9), round(y1 + y2, 9)]
            sized = x2 > 0 and y2 > 0 and max(corner) <= 1
            hint = f"; if these are x, y, width and height, write {[x1, y1, *corner]}" if sized else ""
            raise ValueError(f"box is {list(self.box)}, expected x1, y1, x2, y2 with x1 < x2 and y1 < y2{hint}")


@dataclass(frozen=True, kw_only=True)
class VideoOptions(TrackerOptions, Sampling, VideoLimits):
    """Options of a route: which frames are analysed, inside which limits, how they are tracked, and what is written.

    tracker: the algorithm that joins detections over time. camera_motion: make up for a moving camera.
    reid: the embedding model by which a track is recognised, up to reid_s.
    zones: lines and areas, relative. metres_per_pixel: gives tracks a speed. heat_map: write heat.jpg.
    follow: the object to follow. annotated: write annotated.mp4. between: it shows the frames between samples, too.
    annotated_side: its shorter side in pixels, at most. thumbnails: about how many (0: none).
    without: steps of the route that videos leave out, by name.
    animations: take animated GIF, WebP and PNG as videos, too.
    """

    tracker: Literal["bytetrack", "sort", "none"] = "bytetrack"
    camera_motion: bool = False
    reid: str = ""
    zones: tuple[Zone, ...] = ()
    metres_per_pixel: float | None = None
    heat_map: bool = False
    follow: Follow | None = None
    annotated: bool = True
    between: bool = True
    annotated_side: int = 720
    thumbnails: int = 8
    without: tuple[str, ...] = ()
    animations: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, (least, most, what) in _RANGES.items():
            check_range(name, getattr(self, name), least, most, what)
        for name, what in _POSITIVE.items():
            most = _MOST_METRES if name == "metres_per_pixel" else MOST
            check_range(name, getattr(self, name), 0, most, what, above=True)
        if self.end_s is not None and not self.end_s > self.start_s:
            raise ValueError(
                f"end_s is {self.end_s:g}, expected more than start_s, {self.start_s:g}; leave it out for the end of "
                "the clip"
            )
        if self.start_s >= self.max_duration_s:
            raise ValueError(f"start_s is {self.start_s:g}, expected less than max_duration_s, {self.max_duration_s:g}")
        if self.tracker == "none" and not self.follow:
            needless = [name for name in _OF_TRACKS if getattr(self, name)]
            if needless:
                raise ValueError(f"{needless[0]} needs tracks, and tracker is 'none'; take another tracker")
        named = tuple(replace(z, name=z.name or f"zone {number}") for number, z in enumerate(self.zones, 1))
        if twice := [name for name, count in Counter(z.name for z in named).items() if count > 1]:
            raise ValueError(f"two zones are called {twice[0]!r}; names must differ")
        object.__setattr__(self, "zones", named)

    @property
    def samples(self) -> bool:
        """Whether frames are left out between those analysed."""
        return self.stride > 1 or self.fps is not None

    @property
    def span(self) -> Span:
        """Which of the clip's sound the videos have."""
        return Span(self.start_s, self.end_s, self.max_duration_s)

    def sampling(self) -> Sampling:
        """Which frames are analysed, alone: a part of the clip has an end of its own."""
        return Sampling(self.stride, self.fps, self.start_s, self.end_s, self.keyframes_only)
