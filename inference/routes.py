"""What a route says: which steps run on which uploads, and how they are drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inference.tables import nearest

if TYPE_CHECKING:
    from inference.engine.registry import Registry
    from inference.video.options import VideoOptions


REID = "video: reid"  # where a route names the model
QUALITY = 90  # of JPEG files, unless a route says another
MOST_JPEG_SIDE = 65_500  # what libjpeg writes
_LEAST_SIDE = 32
# The fields of Draw that every route's digest has; others count only where they are used, so that a later release
# with more of them takes no result for outdated.
_ALWAYS = ("labels", "scores", "boxes", "masks", "blur", "compare")


@dataclass(frozen=True)
class Step:
    """A run of a model.

    name: in the result (default: the model's name). on: run on the crops of earlier steps' objects with this label.
    threshold: 0..1, in place of the model's own score threshold. tile: run on tiles of that many pixels, too; overlap:
    the share of a tile that its neighbour also covers.
    """

    model: str
    name: str = ""
    on: str = ""
    threshold: float | None = None
    tile: int = 0
    overlap: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap is {self.overlap}, expected a share from 0 to below 1")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold:g}, expected a score from 0 to 1")
        if self.tile < 0:
            raise ValueError(f"tile is {self.tile}, expected pixels, or 0 for none")

    @property
    def title(self) -> str:
        return self.name or self.model


@dataclass(frozen=True)
class Draw:
    """What the annotated picture shows, and what else is drawn.

    labels, scores, boxes: whether they are drawn. masks: their opacity, 0..1. blur: labels whose objects are made
    unrecognisable ("face"), in crops as well; not in the output images of steps. Needs a detector of them in the same
    route. compare: in a route of image-to-image steps only, the annotated picture is before and after side by side.
    annotated: whether there is an annotated picture (video and poster) at all. quality: of JPEG files, 1..95.
    longest_side: of annotated pictures and videos and of crops, in pixels, at most. crops: labels whose objects
    (videos: tracks) are saved as pictures of their own.
    """

    labels: bool = True
    scores: bool = True
    boxes: bool = True
    masks: float = 0.45
    blur: tuple[str, ...] = ()
    compare: bool = False
    annotated: bool = True
    quality: int | float = QUALITY
    longest_side: int | float | None = None
    crops: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.masks <= 1:
            raise ValueError(f"masks is {self.masks}, expected an opacity from 0 to 1")
        share = 0 < self.quality < 1
        _check_whole("quality", self.quality, 1, 95, self.quality * 100 if share else self.quality)
        if self.longest_side is not None:
            side = self.longest_side
            _check_whole("longest_side", side, _LEAST_SIDE, MOST_JPEG_SIDE, side, of="pixels")


@dataclass(frozen=True)
class Route:
    """match: a glob on the blob's name (`**` any depth, `*` within one folder, `?` a character).

    when: an NCRONTAB schedule; the media of this route wait for its next slot.
    draw: the annotated picture. video: the table [route.video]; None, the usual options, costs pictures no import.
    """

    name: str
    steps: tuple[Step, ...]
    match: str = "**"
    when: str | None = None
    draw: Draw = field(default_factory=Draw)
    video: VideoOptions | None = None
    place: str = field(default="", init=False, repr=False, compare=False)  # where it was read
    written: Mapping[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)  # `video` as read

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", f"route {self.name!r}")
        follow = self.video.follow if self.video else None
        if not self.steps and not (follow and follow.box):
            raise ValueError('it has no steps; give a step, such as { model = "classify" }')
        titles = [step.title for step in self.steps]
        if twice := next((title for title in titles if titles.count(title) > 1), None):
            raise ValueError(f"two steps are called {twice!r}; give them different names")
        if self.steps and self.steps[0].on:
            raise ValueError("the first step has nothing to run on; put a detecting step before it")
        if self.video:
            _check_video(self.video, titles)

    @cached_property
    def video_options(self) -> VideoOptions:
        """What holds for videos: `video`, or the usual options."""
        from inference.video.options import VideoOptions  # lazily: pictures need none of it

        return self.video or VideoOptions()

    @property
    def annotates_videos(self) -> bool:
        """Whether videos have an annotated one."""
        return self.draw.annotated and self.video_options.annotated

    @staticmethod
    def late_types() -> dict[str, Any]:
        """The types of fields that are imported only where a table is read."""
        from inference.video.options import VideoOptions

        return {"VideoOptions": VideoOptions}

    def digest(self, registry: Registry) -> str:
        """Hex sha256 over everything of this route that decides its results: steps, options and models.

        The options of videos count as they are written, so that the same text has the same digest in every version.
        Raises BadModel where a model cannot be used.
        """
        facts = {
            "name": self.name,
            "steps": [asdict(step) for step in self.steps],
            "draw": _counted(self.draw, _ALWAYS),
            "video": self.written or _unusual(self.video),
            "models": [registry.digest(name) for _, name in self.models()],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()

    def models(self) -> Iterator[tuple[str, str]]:
        """The models that it needs: (where in the route, name)."""
        yield from ((f"steps[{i}]", step.model) for i, step in enumerate(self.steps))
        if self.video and self.video.reid:
            yield REID, self.video.reid


def _check_video(video: VideoOptions, titles: Sequence[str]) -> None:
    """Raises ValueError for options that do not fit the steps of these titles."""
    from inference.video.options import FOLLOW

    if unknown := next((name for name in video.without if name not in titles), None):
        raise ValueError(f"video: without: no step is called {unknown!r}{nearest(unknown, titles)}")
    if video.follow and FOLLOW in titles:
        raise ValueError(f"a step is called {FOLLOW!r}, as is what video.follow gives; give it another name")


def _check_whole(name: str, value: float, least: int, most: int, meant: float, of: str = "number") -> None:
    """Raises ValueError with the nearest right value for what is no whole number from `least` to `most`. meant: what
    the value may be meant for."""
    if not least <= value <= most or value != int(value):
        right = round(min(max(meant, least), most))
        what = "a whole number" if of == "number" else f"whole {of}"
        raise ValueError(f"{name} is {value}, expected {what} from {least} to {most}; did you mean {right}?")


def _counted(part: Any, always: Collection[str]) -> dict[str, Any]:
    """The fields that a digest has: those of `always`, and others that differ from their default."""
    defaults = {f.name: f.default for f in fields(part)}
    return {name: value for name, value in asdict(part).items() if name in always or value != defaults[name]}


def _unusual(video: VideoOptions | None) -> dict[str, Any]:
    """The options that differ from the usual ones."""
    if video is None:
        return {}
    usual = type(video)()
    return {name: value for name, value in asdict(video).items() if value != getattr(usual, name)}
