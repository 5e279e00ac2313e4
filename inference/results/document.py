"""The result document `dropsight/1`, member by member: the types from which its JSON Schema is made.

Coordinates are pixels of the upright picture, boxes xyxy, times seconds of the clip.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class SourceDoc(TypedDict):
    """The media. width, height: upright, in pixels; orientation: the file's EXIF value; fps: mean frames a second."""

    container: str
    name: str
    etag: str
    bytes: int
    media_type: str | None
    width: int | None
    height: int | None
    orientation: int | None
    duration_s: float | None
    frames: int | None
    fps: float | None


class ModelDoc(TypedDict):
    """The model that ran. provider_asked: the provider that was asked for, where another had to run."""

    name: str
    version: str
    sha256: str
    provider: str
    provider_asked: NotRequired[str]


class RleDoc(TypedDict):
    """A mask in COCO's compressed run-length encoding; size is height, width."""

    size: list[int]
    counts: str


class VectorDoc(TypedDict):
    """An embedding of an object's crop: dim numbers."""

    dim: int
    vector: list[float]


class PredictionDoc(TypedDict):
    """A label or an object. id: unique in the document (in frames.jsonl: in the line); keypoints: rows of x, y, (z,)
    score in the order of the step's skeleton; corners: x, y of an oriented box; area: pixels; mask, crop: files beside
    the document; attributes: by the step's name the predictions of later steps on its crop, and "world", the keypoints
    as x, y, z in metres."""

    id: str
    label: NotRequired[str]
    label_id: NotRequired[int]
    score: NotRequired[float]
    box: NotRequired[list[float]]
    corners: NotRequired[list[list[float]]]
    keypoints: NotRequired[list[list[float]]]
    mask: NotRequired[str]
    mask_rle: NotRequired[RleDoc]
    crop: NotRequired[str]
    area: NotRequired[int]
    track: NotRequired[int]
    attributes: NotRequired[dict[str, list[PredictionDoc] | list[list[float]] | VectorDoc]]


class SkeletonDoc(TypedDict):
    """What the keypoints of a step are. name: where it is a known one; points: their names in order; edges: pairs of
    places in that list that a bone joins."""

    name: NotRequired[str]
    points: list[str]
    edges: list[list[int]]


class EmbeddingDoc(TypedDict):
    """dim: of the vector; artifact: the .npy file beside the document that holds it."""

    dim: int
    artifact: NotRequired[str]


class TimingDoc(TypedDict):
    """Milliseconds of a step."""

    preprocess: float
    inference: float
    postprocess: float


class LeftoutDoc(TypedDict):
    """How many of a step's predictions the route's options left out, by the option: labels, a label's threshold, size,
    region (also ignore and mask); merged: found under another label of the same new name, too. In a video of all its
    frames; of a map the labels that lost area."""

    label: NotRequired[int]
    threshold: NotRequired[int]
    size: NotRequired[int]
    region: NotRequired[int]
    merged: NotRequired[int]


class StepDoc(TypedDict):
    """The results of a step. threshold: the score from which an answer counts on its own; a route may let lower ones
    through. on: the label whose crops it ran on, where its predictions are attributes. map: a PNG of label ids. notes:
    what of the model's answer was left out, and why. renamed: what the route calls the model's labels; left_out: what
    else its options changed."""

    name: str
    task: str
    model: ModelDoc
    threshold: float
    predictions: list[PredictionDoc]
    ms: TimingDoc
    on: NotRequired[str]
    skeleton: NotRequired[SkeletonDoc]
    map: NotRequired[str]
    notes: NotRequired[list[str]]
    renamed: NotRequired[dict[str, str]]
    left_out: NotRequired[LeftoutDoc]
    embedding: NotRequired[EmbeddingDoc]


class SummaryDoc(TypedDict):
    """What is in the picture or clip, highest first. objects: how many by label (videos: tracks); scene: score by name
    of the whole that reaches its step's threshold; guesses: the best name of a step whose scores do not."""

    objects: dict[str, int]
    scene: dict[str, float]
    guesses: dict[str, float]


class TrackDoc(TypedDict):
    """An object over time. frames: in how many it was seen; score: their mean; speed_mps: metres a second;
    crop: a file beside the document with its best sight."""

    id: int
    label: str
    start_s: float
    end_s: float
    frames: int
    score: float
    speed_mps: NotRequired[float]
    crop: NotRequired[str]


class TimelineDoc(TypedDict):
    """A time range of a clip. kind: track, scene, action, follow, or an event at a zone (enter, exit, cross, dwell,
    loiter), of which t_s is the time; a later release may add others. vanished: of an exit, that nobody was seen to
    leave: the clip ended, or the track was lost inside."""

    kind: str
    start_s: float
    end_s: float
    id: NotRequired[int]
    label: NotRequired[str]
    label_id: NotRequired[int]
    score: NotRequired[float]
    step: NotRequired[str]
    zone: NotRequired[str]
    track: NotRequired[int]
    direction: NotRequired[str]
    t_s: NotRequired[float]
    vanished: NotRequired[bool]


class OccupancyDoc(TypedDict):
    """How many were inside an area at once. peak: at most, peak_s: when first so many; mean: over the time from the
    first analysed picture to the last; intervals: with anybody inside, each with start_s, end_s, peak and mean."""

    peak: int
    peak_s: NotRequired[float]
    mean: float
    intervals: list[dict[str, float]]


class DwellDoc(TypedDict):
    """How long stays in an area lasted, in seconds; count: how many stays."""

    count: int
    mean_s: NotRequired[float]
    median_s: NotRequired[float]
    longest_s: NotRequired[float]


class ZoneDoc(TypedDict):
    """What happened at a zone: counts by event in all, and by interval (start_s, end_s, then counts). unique: how many
    distinct tracks did so; occupancy and dwell: of areas."""

    total: dict[str, int]
    intervals: list[dict[str, float]]
    unique: NotRequired[dict[str, int]]
    occupancy: NotRequired[OccupancyDoc]
    dwell: NotRequired[DwellDoc]


class BrokenDoc(TypedDict):
    """Where and why a clip could not be read to its end."""

    reason: str
    at_s: float
    damaged_frames: int


class CostDoc(TypedDict):
    """cpu_s: of this analysis, seconds; peak_rss_mb: the process's highest so far, MiB; wall_ms: milliseconds."""

    cpu_s: float
    peak_rss_mb: int | None
    wall_ms: float


class VersionsDoc(TypedDict):
    """What made the document."""

    dropsight: str
    onnxruntime: str


class ResultDoc(TypedDict):
    """The results of a picture or video. artifacts: files beside the document; trace: W3C trace id; created: UTC.
    notes: what was assumed or left out while the media was read, a sentence each. blurred: labels whose objects are
    unrecognisable in all files beside the document, where the upload itself shows them. Members from tracks on: of
    videos only; sound: what of the clip's sound its videos lack, and why."""

    schema: Literal["dropsight/1"]
    source: SourceDoc
    route: str
    status: Literal["ok", "partial"]
    steps: list[StepDoc]
    artifacts: dict[str, str]
    summary: SummaryDoc
    cost: CostDoc
    trace: str
    versions: VersionsDoc
    created: str
    notes: NotRequired[list[str]]
    blurred: NotRequired[list[str]]
    tracks: NotRequired[list[TrackDoc]]
    timeline: NotRequired[list[TimelineDoc]]
    zones: NotRequired[dict[str, ZoneDoc]]
    analysed_frames: NotRequired[int]
    broken: NotRequired[BrokenDoc]
    sound: NotRequired[str]
    thumbnails: NotRequired[list[str]]


class FrameDoc(TypedDict):
    """A line of frames.jsonl. frame: index in the clip, from 0; t_s: when it is shown; predictions: by step."""

    frame: int
    t_s: float
    predictions: dict[str, list[PredictionDoc]]


ReasonDoc = TypedDict("ReasonDoc", {"class": str, "message": str, "permanent": bool})
ReasonDoc.__doc__ = (
    "class: the kind of error; message: what is wrong and what to do; permanent: trying again cannot help."
)


class ErrorDoc(TypedDict):
    """What is recorded for media that could not be analysed."""

    schema: Literal["dropsight/1"]
    source: SourceDoc
    status: Literal["error"]
    error: ReasonDoc
    trace: str
    versions: VersionsDoc
    created: str
