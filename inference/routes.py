"""What a route says: which steps run on which uploads, and how they are drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inference.ranges import check_range, check_share
from inference.tables import nearest

if TYPE_CHECKING:
    from inference.engine.registry import Registry
    from inference.video.options import VideoOptions


REID = "video: reid"  # where a route names the model
# Of a tile's side, and of what of it no neighbour covers. With less, every photo makes more tiles than are allowed.
LEAST_TILE, MOST_TILE, LEAST_NEW = 32, 65_536, 16


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
        check_share("overlap", self.overlap, "a share", below_one=True)
        check_share("threshold", self.threshold, "a score")
        if self.tile:
            check_range("tile", self.tile, LEAST_TILE, MOST_TILE, "it is the side in pixels, and 0 is for no tiles")
            new = self.tile - round(self.tile * self.overlap)
            if new < LEAST_NEW:
                raise ValueError(
                    f"overlap is {self.overlap:g}, which leaves {new} new pixels to each tile of {self.tile}, expected "
                    f"at least {LEAST_NEW}; make it smaller"
                )

    @property
    def title(self) -> str:
        return self.name or self.model


@dataclass(frozen=True)
class Draw:
    """What the annotated picture shows.

    labels, scores, boxes: whether they are drawn. masks: their opacity, 0..1. blur: labels whose objects are made
    unrecognisable ("face"); only in the annotated picture, so give a detector of them in the same route.
    compare: in a route of image-to-image steps only, the annotated picture is before and after side by side.
    """

    labels: bool = True
    scores: bool = True
    boxes: bool = True
    masks: float = 0.45
    blur: tuple[str, ...] = ()
    compare: bool = False

    def __post_init__(self) -> None:
        check_share("masks", self.masks, "an opacity")


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
            "draw": asdict(self.draw),
            "video": self.written or _unusual(self.video),
            "models": [registry.digest(step.model) for step in self.steps],
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


def _unusual(video: VideoOptions | None) -> dict[str, Any]:
    """The options that differ from the usual ones."""
    if video is None:
        return {}
    usual = type(video)()
    return {name: value for name, value in asdict(video).items() if value != getattr(usual, name)}
