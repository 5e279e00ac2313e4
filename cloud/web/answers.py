"""What the API answers, member by member: the types from which its OpenAPI document is made."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from cloud.index.entry import State
from inference.results.document import ReasonDoc, SummaryDoc

UploadState = Literal[
    "waiting", "working", "done", "partial", "failed", "cancelled", "ignored", "deleted", "result_deleted"
]


class ProblemDoc(TypedDict):
    """An error (RFC 9457). type: urn:dropsight:error: and the class; detail: what is wrong and what to do; error: the
    same as error records have it; trace: by which the app's log names it; state: of the upload without the result."""

    type: str
    title: str
    status: int
    detail: str
    error: ReasonDoc
    trace: str
    state: NotRequired[str]


class LabelsDoc(TypedDict):
    """objects: how many by label; scene: score by name of the whole picture."""

    objects: dict[str, int]
    scene: dict[str, float]


FailureDoc = TypedDict("FailureDoc", {"class": str, "message": str})
FailureDoc.__doc__ = "Why an upload failed. class: the kind of error; message: what is wrong and what to do."


class UploadItemDoc(TypedDict):
    """An upload as lists have it. created: when this version was uploaded, UTC; thumbnail: its address relative to that
    of the app's API, valid for minutes; error: of what failed; message: why it waits, or what is being done with it;
    share: of the work that is done, 0 to 1; job: by which DELETE v1/jobs/{id} ends it."""

    name: str
    state: State
    route: str
    created: str
    summary: LabelsDoc
    thumbnail: str | None
    etag: str
    media_type: str
    width: int | None
    height: int | None
    duration_s: float | None
    error: FailureDoc | None
    message: str
    share: float | None
    job: str | None


class UploadListDoc(TypedDict):
    """A page of uploads, the newest first. next: the cursor of what follows; unfiltered: filters that the account's
    index cannot apply, so that the page has more than was asked for."""

    items: list[UploadItemDoc]
    next: str | None
    unfiltered: list[str]


class SimilarItemDoc(UploadItemDoc):
    """An upload like another. similarity: the cosine of their vectors, 1 for the same."""

    similarity: float


class SimilarDoc(TypedDict):
    """Uploads like another, best first. step, model: that made its vector; seen: how many of the newest uploads with
    such a step were looked at; compared: those of them that have a vector of the same weights; complete: whether no
    others are left."""

    name: str
    step: str
    model: str
    items: list[SimilarItemDoc]
    seen: int
    compared: int
    complete: bool


class JobDoc(TypedDict):
    """The work on a video. name: of the upload; share: of the work that is done, 0 to 1, where that is known. Of long
    videos, which are split: segments: the parts, and of these detected and rendered; merged: whether what they detected
    is put together; quiet_s: since anybody wrote anything."""

    id: str
    name: str
    state: str
    reason: str
    share: NotRequired[float | None]
    trace: NotRequired[str]
    segments: NotRequired[int]
    detected: NotRequired[int]
    merged: NotRequired[bool]
    rendered: NotRequired[int]
    quiet_s: NotRequired[float]


class JobListDoc(TypedDict):
    """Videos at work, 500 at most."""

    jobs: list[JobDoc]


class ResultLinkDoc(TypedDict):
    """The result of an upload. path: below v1/results; created: UTC."""

    path: str
    route: str
    status: str
    summary: SummaryDoc
    created: str


class UploadDoc(TypedDict):
    """An upload and what came of it. etag, created: of its version, None where it was deleted; message: why it is in
    that state; retry_after_s: when asking again makes sense; share: of the work that is done, 0 to 1; job: of a long
    video; result: of what is done; error: of what failed, as its record has it."""

    name: str
    state: UploadState
    etag: str | None
    created: str | None
    message: str
    retry_after_s: int | None
    share: float | None
    job: JobDoc | None
    result: ResultLinkDoc | None
    error: ReasonDoc | None


class WrittenDoc(TypedDict):
    """An upload that was taken. replaced: whether it took the place of another version."""

    name: str
    etag: str
    created: str
    replaced: bool


class ForgottenUploadDoc(TypedDict):
    """deleted: containers and names of blobs; kept: what could not be deleted, and why."""

    name: str
    deleted: list[str]
    snapshots: int
    kept: list[str]


class ForgottenDoc(TypedDict):
    """What was deleted, or with dry_run would be. with_rest: uploads of which something could not be."""

    dry_run: bool
    uploads: list[ForgottenUploadDoc]
    count: int
    with_rest: int
    unmet: list[str]
    stopped: str
    notes: list[str]


class ReplayDoc(TypedDict):
    """What a replay takes, and how far it is: see docs/replay.md."""

    id: str
    state: Literal["running", "done", "cancelled"]
    created: str
    dry_run: bool
    names: list[str]
    filters: dict[str, Any]
    deployment: str
    is_marked: bool
    seen: int
    marked: int
    done: int
    failed: int
    waiting: int
    jobs: int
    others: int
    given_up: int
    left: int
    reasons: dict[str, int]
    undecided: int
    why: list[str]
    unmet: list[str]


class ReplayLineDoc(TypedDict):
    """A replay as the list has it."""

    id: str
    state: str


class ReplayListDoc(TypedDict):
    """The newest replays."""

    replays: list[ReplayLineDoc]


class ReplayAskedDoc(TypedDict, total=False):
    """What a replay takes. names: of uploads, beginnings of names, or patterns; all: everything; the others as the
    options of `python -m cloud replay`."""

    names: list[str]
    dry_run: bool
    all: bool
    failed: bool
    missing: bool
    changed: bool
    expired: bool
    label: str
    model: str
    deployment: str
    since: str
    until: str


class ImageAskedDoc(TypedDict, total=False):
    """A picture as base64 or a data: URL, under one of these names."""

    image: str
    data: str
    content: str
    file: str
    picture: str
