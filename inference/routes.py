"""What a route says: which steps run on which uploads, and how they are drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from inference.meant_values import shown
from inference.ranges import check_range, check_share
from inference.tables import nearest

if TYPE_CHECKING:
    from inference.engine.registry import Registry
    from inference.regions import Look, Polygon
    from inference.video.options import VideoOptions


REID = "video: reid"  # where a route names the model
# Fields that count in a route's digest only where they are set: an upgrade outdates no result.
FILTERS = ("labels", "thresholds", "rename", "min_size", "max_size")
QUALITY = 90  # of JPEG files, unless a route says another
MOST_JPEG_SIDE = 65_500  # what libjpeg writes
_LEAST_SIDE = 32
# The fields of Draw that every route's digest has; others count only where they are used, so that a later release
# with more of them takes no result for outdated.
_ALWAYS = ("labels", "scores", "boxes", "masks", "blur", "compare")
MAX_PRIORITY = 1000
MAX_DAYS = 100_000
# Of a tile's side, and of what of it no neighbour covers. With less, every photo makes more tiles than are allowed.
LEAST_TILE, MOST_TILE, LEAST_NEW = 32, 65_536, 16


@dataclass(frozen=True)
class Step:
    """A run of a model.

    name: in the result (default: the model's name). on: run on the crops of earlier steps' objects with this label.
    threshold: 0..1, in place of the model's own score threshold. tile: run on tiles of that many pixels, too; overlap:
    the share of a tile that its neighbour also covers.
    rename: what the model's labels are called in results; those that get the same name are one. All else in a route
    means the new names. labels: only these are kept (none: all). thresholds: 0..1 by label, in place of `threshold`.
    min_size, max_size: of what is kept, as shares of the picture's area, 0..1; an object has that of its box, a label
    of a map all its area.
    """

    model: str
    name: str = ""
    on: str = ""
    threshold: float | None = None
    tile: int = 0
    overlap: float = 0.2
    labels: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict, hash=False)
    rename: Mapping[str, str] = field(default_factory=dict, hash=False)
    min_size: float = 0.0
    max_size: float = 1.0
    # Keys of models and of other tools, by what they are here.
    not_here: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("conf", "confidence", "confidence_threshold", "score", "scores"), "; did you mean 'threshold'?"
        ),
        **dict.fromkeys(
            ("iou", "iou_threshold", "nms", "nms_threshold", "topk", "max_det"),
            "; that is the model's: write it into [postprocess] of its model.toml (iou_threshold, max_detections)",
        ),
        **dict.fromkeys(("classes", "class", "label"), "; did you mean 'labels'?"),
    }

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
        _check_filters(self)

    @property
    def title(self) -> str:
        return self.name or self.model

    @property
    def filters(self) -> bool:
        """Whether anything of the model's answer is renamed or left out."""
        return any(getattr(self, name) != getattr(_PLAIN, name) for name in FILTERS)


def _check_filters(step: Step) -> None:
    """Raises ValueError for what cannot be meant."""
    for label, score in step.thresholds.items():
        check_share(f"thresholds: {label!r}", score, "a score")
    for name in ("min_size", "max_size"):
        check_share(name, getattr(step, name), "a share of the picture's area")
    if not step.min_size < step.max_size:
        raise ValueError(f"min_size is {step.min_size:g} and max_size {step.max_size:g}, expected a larger max_size")
    if empty := next((label for label, name in step.rename.items() if not name.strip()), None):
        raise ValueError(f"rename: {empty!r} gets an empty name; to leave a label out, give `labels` without it")


_PLAIN = Step("")
_ALWAYS_OF_STEP = {f.name for f in fields(Step)} - {*FILTERS}


@dataclass(frozen=True)
class Draw:
    """What the annotated picture shows, and what else is drawn.

    labels, scores, boxes: whether they are drawn. masks: their opacity, 0..1. blur: labels whose objects are made
    unrecognisable ("face") in all that is published. Needs a detector of them in the same route. compare: in a route
    of image-to-image steps only, the annotated picture is before and after side by side.
    annotated: whether there is an annotated picture (video and poster) at all. quality: of JPEG files, 1..95.
    longest_side: of annotated pictures and videos and of crops, in pixels, at most. crops: labels whose objects
    (videos: tracks) are saved as pictures of their own.
    trails, zones: whether videos show where tracks came from, and lines and areas with their counters.
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
    trails: bool = True
    zones: bool = True

    def __post_init__(self) -> None:
        check_share("masks", self.masks, "an opacity")
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
    regions, ignore: polygons of points (x, y) in 0..1; only objects that stand in any of the regions (none: everywhere)
    and in none of `ignore` count, by the middle of their box's lower edge. mask: a PNG, white where to look, black what
    to ignore. They hold for objects and maps, in pictures and videos, and not for names of the whole picture.
    priority: sweep and replay take uploads of a higher one first; no part of `digest`, since it changes no result.
    retention_days: in place of the setting RETENTION_DAYS, 0 for ever; no part of `digest` either.
    """

    name: str
    steps: tuple[Step, ...]
    match: str = "**"
    when: str | None = None
    draw: Draw = field(default_factory=Draw)
    video: VideoOptions | None = None
    regions: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    mask: str = ""
    look: Look | None = field(default=None, init=False, repr=False, compare=False)  # regions, ignore and mask, as read
    priority: int = 0
    retention_days: float | None = None
    place: str = field(default="", init=False, repr=False, compare=False)  # where it was read
    written: Mapping[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)  # `video` as read

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", f"route {self.name!r}")
        if abs(self.priority) > MAX_PRIORITY:
            raise ValueError(f"priority is {shown(self.priority)}, expected -{MAX_PRIORITY} to {MAX_PRIORITY}")
        if self.retention_days is not None and not 0 <= self.retention_days < MAX_DAYS:
            raise ValueError(
                f"retention_days is {shown(self.retention_days)}, expected 0 (for ever) to {MAX_DAYS:,} days"
            )
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
        if self.regions or self.ignore or self.mask:
            from inference.regions import Look  # lazily: most routes look everywhere

            object.__setattr__(self, "look", Look.of(self.regions, self.ignore, self.mask))

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
        from inference.regions import Look, Polygon
        from inference.video.options import VideoOptions

        return {"VideoOptions": VideoOptions, "Look": Look, "Polygon": Polygon}

    def changed(self, **changes: Any) -> Route:
        """This route with other values in these fields, as read at the same place."""
        other = replace(self, **changes)
        object.__setattr__(other, "place", self.place)
        object.__setattr__(other, "written", self.written)
        return other

    def digest(self, registry: Registry) -> str:
        """Hex sha256 over everything of this route that decides its results: steps, options and models.

        The options of videos count as they are written, so that the same text has the same digest in every version.
        Raises BadModel where a model cannot be used.
        """
        facts = {
            "name": self.name,
            "steps": [_counted(step, _ALWAYS_OF_STEP) for step in self.steps],
            "draw": _counted(self.draw, _ALWAYS),
            "video": self.written or _unusual(self.video),
            "models": [registry.digest(name) for _, name in self.models()],
        }
        if self.look:
            mask = self.look.mask.digest if self.look.mask else ""
            facts["look"] = {"regions": self.regions, "ignore": self.ignore, "mask": mask}
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
        raise ValueError(f"{name} is {shown(value)}, expected {what} from {least} to {most}; did you mean {right}?")


def _counted(part: Any, always: Collection[str]) -> dict[str, Any]:
    """The fields that a digest has: those of `always`, and others that differ from their default."""
    defaults = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(part)}
    return {name: value for name, value in asdict(part).items() if name in always or value != defaults[name]}


def _unusual(video: VideoOptions | None) -> dict[str, Any]:
    """The options that differ from the usual ones."""
    if video is None:
        return {}
    usual = type(video)()
    return {name: value for name, value in asdict(video).items() if value != getattr(usual, name)}
