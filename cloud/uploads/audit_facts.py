"""What an audit knows of an upload's name, from listings or from a second look; and what follows from it.

Receipts are checked like everything else: what a receipt claims counts only as far as a result or an error record that
carries the key of that very version bears it out. A version's key is made of the upload's name, its ETag and the digest
of its route (receipts.make_key), of which the receipt's listing tells the digest, so that no content is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from cloud.settings import UPLOADS
from cloud.storage.containers import BlobInfo
from cloud.storage.paths import canonical
from cloud.uploads.publish import files_of, folder_name
from cloud.uploads.receipts import LONGEST_LEASE_S, ReceiptSummary, make_key
from inference.clutter import is_clutter
from inference.errors import UnsupportedMedia
from inference.routes_file import sidecar_target

Kind = Literal["right", "in_work", "waiting", "cancelled", "lost", "doubled", "stale", "ignored", "gone"]
FAULTS = ("lost", "doubled", "stale")
# An upload that nobody holds and that no sweep has taken for so long is lost, though the next one might take it.
OVERDUE_S = 86400.0
_KEY = re.compile("[0-9a-f]{12,64}")


class Blob(NamedTuple):
    """A blob as a listing or a HEAD shows it. files: how many artifacts a result names; -1 where it does not say.

    version: the ETag of the upload that a result is of; "" where it does not say.
    """

    etag: str
    modified: float  # seconds since 1970
    age_s: float
    key: str = ""
    folder: str = ""  # of its artifacts
    files: int = -1
    version: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether its metadata show that the app wrote it: people may put files of their own beside ours."""
        return bool(_KEY.fullmatch(self.key))

    @classmethod
    def of(cls, info: BlobInfo) -> Blob:
        key, folder = info.metadata.get("key", ""), folder_name(info)
        version = info.metadata.get("etag", "")
        return cls(info.etag, info.modified.timestamp(), info.age_s, key, folder, files_of(info), version)


@dataclass(slots=True)
class Folder:
    """The artifacts of a claim: how many, and for how many seconds the newest of them has been there."""

    count: int = 0
    age_s: float = LONGEST_LEASE_S


@dataclass(slots=True)
class Facts:
    """All that lies under the path of a name. upload: None where there is none (any more).

    error: what lies in the place of its error record; `record` where that is one.
    """

    path: str
    name: str = ""  # "" where only the path is known
    upload: Blob | None = None
    receipt: ReceiptSummary | None = None
    result: Blob | None = None
    error: Blob | None = None
    folders: dict[str, Folder] = field(default_factory=dict)
    # What only a second look tells.
    job_lives: bool | None = None
    has_sidecar: bool = False

    def expected_key(self, etag: str) -> str:
        """The key of that version by the route that the receipt names; "" where it names none."""
        digest = self.receipt.digest if self.receipt else ""
        return make_key(UPLOADS, self.name, etag, digest) if digest else ""

    @property
    def record(self) -> Blob | None:
        """Its error record."""
        return self.error if self.error and self.error.is_ours else None

    @property
    def is_settling(self) -> bool:
        """Whether what its answer replaces is still to be deleted, which the next sweep does where nobody else does."""
        return self.receipt is not None and self.receipt.unsettled and not _is_old(self.receipt)

    @property
    def has_older_result(self) -> bool:
        """Whether the result is of a version that was overwritten, and nobody is about to delete it. One of this
        version, by other routes or models, stays beside an error record (see publish.tidy)."""
        same = self.upload is None or self.result is None or self.result.version in ("", self.upload.etag)
        return not same and not self.is_settling

    @property
    def is_held(self) -> bool:
        """Whether a living worker, or a job, has the upload."""
        receipt = self.receipt
        if receipt is None:
            return False
        if receipt.state == "working":
            return not receipt.lease_is_over
        # A sweep revives jobs that fell silent: one of which there is no trace after a day is not looked after.
        return receipt.state == "job" and (self.job_lives is True or (self.job_lives is None and not _is_old(receipt)))

    @property
    def lacking(self) -> int:
        """How many artifacts of the result are not there, as far as it says how many it names."""
        if self.result is None or self.result.files <= 0:
            return 0
        folder = self.folders.get(self.result.folder)
        return max(0, self.result.files - (folder.count if folder else 0))


class Orphan(NamedTuple):
    """What belongs to nothing. what: "result", "error record", "receipt", or the name of a folder of artifacts."""

    what: str
    age_s: float

    def __str__(self) -> str:
        named = self.what in ("result", "error record", "receipt")
        return self.what if named else f"artifacts {self.what}/, which no result names"


class Verdict(NamedTuple):
    """What is to be said of a name. age_s: of the youngest blob that the verdict rests on; inf where age is no matter.

    orphans: what lies beside it and belongs to nothing.
    """

    kind: Kind
    why: str = ""
    age_s: float = float("inf")
    orphans: tuple[Orphan, ...] = ()

    @property
    def is_fault(self) -> bool:
        """Whether anything is wrong."""
        return self.kind in FAULTS or bool(self.orphans)

    @property
    def youngest_s(self) -> float:
        """The age of the youngest blob that any part of it rests on."""
        return min(self.age_s, *(orphan.age_s for orphan in self.orphans), float("inf"))


# Beside the answer that stands: an error record, or that it was cancelled.
OVERWRITTEN = Verdict("stale", "its result is of a version that was overwritten")


def judge(facts: Facts, paused: bool = False) -> Verdict:
    """The verdict on a name. paused: intake is, so that nobody takes what nobody holds."""
    if facts.upload is None:
        return _of_gone(facts)
    if sidecar_target(facts.name) or is_clutter(facts.name):
        return Verdict("ignored")
    if not is_addressable(facts.name):  # the record is all that there can be
        return Verdict("right" if facts.error else "waiting")
    verdict = _answer(facts, paused)
    if verdict.kind in ("right", "doubled", "cancelled") and not facts.is_held and _is_final(facts):
        return verdict._replace(orphans=_spare_folders(facts))
    return verdict


def is_addressable(name: str) -> bool:
    """Whether a client can ask storage for a blob of this name."""
    try:
        canonical(name)
    except UnsupportedMedia:
        return False
    return True


def _is_final(facts: Facts) -> bool:
    """Whether nobody goes on from the receipt: its next result would delete what it replaces."""
    assert facts.upload
    return facts.receipt is not None and not facts.is_settling and not facts.receipt.is_open(facts.upload.etag)


def _answer(facts: Facts, paused: bool) -> Verdict:
    upload, receipt = facts.upload, facts.receipt
    assert upload
    if facts.is_held:
        return Verdict("right" if _has_result(facts) and not facts.record else "in_work")
    if receipt is None or receipt.etag != upload.etag:
        return _not_begun(facts, upload, paused)
    if receipt.expired and facts.result is None and facts.record is None:
        return Verdict("right")  # its answer was kept as long as it was to be kept
    if receipt.state == "done":
        return _done(facts, upload)
    if receipt.state == "failed":
        return _failed(facts, upload)
    if receipt.state == "job":
        return Verdict("lost", f"its job {receipt.job} is gone")
    if not receipt.is_open(upload.etag) and receipt.state != "waiting":
        return OVERWRITTEN if facts.has_older_result else Verdict("cancelled")
    if receipt.state == "working" and _has_result(facts) and not facts.record:
        return Verdict("right")  # its worker died between result and receipt
    until = receipt.until
    idle_s = (receipt.listed_at - until).total_seconds() if receipt.state == "waiting" and until else receipt.age_s
    if idle_s > OVERDUE_S and not receipt.cause and not paused:
        return Verdict("lost", f"{receipt.state} for {idle_s / 3600:.0f} hours, and no sweep has taken it")
    return Verdict("waiting")


def _not_begun(facts: Facts, upload: Blob, paused: bool) -> Verdict:
    """Of a version that no receipt speaks of."""
    if paused:
        return Verdict("waiting")
    if facts.receipt and facts.receipt.etag and facts.result:
        return OVERWRITTEN._replace(age_s=upload.age_s)
    if upload.age_s > OVERDUE_S:
        return Verdict("lost", f"nobody has begun it for {upload.age_s / 3600:.0f} hours")
    return Verdict("waiting")


def _has_result(facts: Facts) -> bool:
    """Whether the complete result of this version is there, proven by its key."""
    assert facts.upload
    key = facts.expected_key(facts.upload.etag)
    return bool(key and facts.result and facts.result.key == key and not facts.lacking)


def _done(facts: Facts, upload: Blob) -> Verdict:
    if facts.result is None:
        return Verdict("lost", "its receipt says done, and its result is not there")
    if not _speaks_of(facts.result, facts, upload):
        return Verdict("stale", "its result is of another version or route than its receipt says")
    if facts.lacking:
        return Verdict("lost", f"{facts.lacking} of the {facts.result.files} files of its result are not there")
    if facts.record and not facts.is_settling:
        return Verdict("doubled", "an error record lies beside its result", facts.record.age_s)
    return Verdict("right")


def _failed(facts: Facts, upload: Blob) -> Verdict:
    record = facts.record
    if _has_result(facts):
        if record is None:
            return Verdict("right")
        return Verdict("doubled", "its receipt says failed, and its result lies beside the error record")
    if record is None:
        return Verdict("lost", "its receipt says failed, and its error record is not there")
    if not _speaks_of(record, facts, upload):
        return Verdict("stale", "its error record is of another version or route than its receipt says")
    return OVERWRITTEN if facts.has_older_result else Verdict("right")


def _speaks_of(answer: Blob, facts: Facts, upload: Blob) -> bool:
    """Whether an answer is of this version. Where no digest is known (receipts of older versions; an upload without a
    route) times tell: it was written after the upload."""
    key = facts.expected_key(upload.etag)
    return answer.key == key if key else answer.modified >= upload.modified


def _spare_folders(facts: Facts) -> tuple[Orphan, ...]:
    named = facts.result.folder if facts.result else ""
    return tuple(Orphan(key, folder.age_s) for key, folder in sorted(facts.folders.items()) if key != named)


def _of_gone(facts: Facts) -> Verdict:
    """Of a name without an upload. Its result is kept, as long as its receipt is there."""
    receipt, result, record = facts.receipt, facts.result, facts.record
    if facts.is_held or sidecar_target(facts.name) or is_clutter(facts.name):
        return Verdict("gone")
    orphans: list[Orphan] = []
    if result and result.is_ours and not is_kept(facts):
        orphans.append(Orphan("result", result.age_s))
    elif facts.folders:
        orphans += _spare_folders(facts)
    if record:
        orphans.append(Orphan("error record", record.age_s))
    # What a sidecar says is kept in the receipt, and counts when its upload comes.
    if receipt and not (result or record or facts.has_sidecar or _is_over(receipt)):
        orphans.append(Orphan("receipt", receipt.age_s))
    return Verdict("gone", "its upload is gone", orphans=tuple(orphans))


def is_kept(facts: Facts) -> bool:
    """Whether the result of a deleted upload is kept: an upload of that name was there, as its receipt says. It may be
    that of an older version, where the newer one was deleted before it was analysed."""
    return bool(facts.receipt and facts.receipt.etag and facts.result and facts.result.is_ours)


def _is_over(receipt: ReceiptSummary) -> bool:
    """Whether the receipt itself says that there is nothing (any more)."""
    return receipt.state in ("dropped", "cancelled")


def _is_old(receipt: ReceiptSummary) -> bool:
    return receipt.age_s > OVERDUE_S
