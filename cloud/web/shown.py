"""What is shown of an upload: the upload itself, or, where its result hides something, what was published of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cloud.index.entry import Entry
from cloud.settings import RESULTS, UPLOADS
from cloud.storage.containers import BlobInfo, Conflict, Storage
from cloud.storage.paths import printable
from cloud.uploads.plans import Planner
from cloud.uploads.publish import RESULT, folder_name, result_path
from cloud.uploads.receipts import StoredReceipt
from cloud.web.problems import NotFound
from cloud.web.signing import media_address
from inference.errors import LimitExceeded, StorageUnavailable
from inference.results.hidden import is_hidden
from inference.routes import Route

log = logging.getLogger(__name__)

_MOST_BYTES = 64 * 1024 * 1024
ReadReceipt = Callable[[str], StoredReceipt | None]


@dataclass(frozen=True)
class Shown:
    """container, name: of the file that is shown. still: the name in `results` of a picture that stands for it, ""
    where it is a picture itself, or a video without one. version: of what a thumbnail is made of, as
    `thumbnail_version` has it. etag: of the upload, where that is what is shown.
    """

    container: str
    name: str
    version: str
    still: str = ""
    etag: str = ""

    @property
    def original(self) -> bool:
        """Whether it is the upload itself."""
        return bool(self.etag)


@dataclass(frozen=True)
class _Facts:
    """What a result document says that matters here. etag: of the upload that it is about."""

    etag: str
    route: str
    hidden: bool
    media_type: str
    annotated: str
    still: str

    @property
    def is_video(self) -> bool:
        return self.media_type.startswith("video/")


def thumbnail_address(entry: Entry) -> str:
    """The address of an upload's thumbnail, as `media_address`."""
    version = thumbnail_version(entry.etag, entry.folder, blurred=entry.blurred, media_type=entry.media_type)
    return media_address("thumbnails", entry.name, version=version)


def thumbnail_version(etag: str, folder: str, *, blurred: bool, media_type: str) -> str:
    """What a thumbnail is made of: of the upload in a version, and for a video, or where something is blurred, of the
    result whose artifacts lie in `folder`. Another version is another picture."""
    by_result = folder and (blurred or media_type.startswith("video/"))
    return f"{etag}.{folder}" if by_result else etag


class Showing:
    """Decides what is shown of uploads. planner: is asked for by the first upload that has no result."""

    def __init__(self, storage: Storage, planner: Callable[[], Planner], receipt: ReadReceipt) -> None:
        self.storage = storage
        self._planner, self._receipt = planner, receipt
        # Of a version of a result: a video is played by many requests, and its document may be large.
        self._facts = lru_cache(maxsize=256)(self._read_facts)

    def of(self, name: str) -> Shown:
        """What is shown of an upload; two calls, and some more where there is no result of it. Raises NotFound."""
        name = name.replace("\\", "/")  # as storage calls it: else the route of another name would decide
        upload, result = self.storage.head(UPLOADS, name), self._result(name)
        facts = self._facts(result.name, result.etag) if result else None
        if facts and upload and facts.etag != upload.etag:
            facts = None  # it is about what is not there any more
        if upload is None and facts is None:
            raise NotFound(f"there is no upload {name[:200]!r}, and no result of it")
        folder = folder_name(result) if facts and result else ""
        etag = upload.etag if upload else facts.etag if facts else ""
        if upload and not self._hides(upload, facts):
            version = thumbnail_version(etag, folder, blurred=False, media_type=facts.media_type if facts else "")
            return Shown(UPLOADS, name, version, _beside(result, facts.still if facts else ""), etag)
        if facts is None or not facts.annotated:
            raise NotFound(
                f"{name[:200]!r} is not shown: its route blurs what is in it, and there is no annotated file of it"
                + ("" if facts else " before it is analysed")
            )
        version = thumbnail_version(etag, folder, blurred=True, media_type=facts.media_type)
        still = facts.still or ("" if facts.is_video else facts.annotated)
        return Shown(RESULTS, _beside(result, facts.annotated), version, _beside(result, still))

    def _result(self, name: str) -> BlobInfo | None:
        try:
            return self.storage.head(RESULTS, result_path(name))
        except LimitExceeded:  # a name for whose results there is no room
            return None

    def _hides(self, upload: BlobInfo, facts: _Facts | None) -> bool:
        """Whether the upload itself is not to be shown. Without a result: whether its route would hide anything."""
        if facts:
            # Results of before the member `blurred` do not say it: there the route does, as it is now.
            entries = [] if facts.hidden else self._planner().routes.entries
            return facts.hidden or any(_blurs(entry) for entry in entries if entry.name == facts.route)
        planner = self._planner()
        if not any(map(_blurs, planner.routes.entries)) and not planner.inline_routes:
            return False
        stored = self._receipt(upload.name)
        route = planner.plan(upload, stored.receipt.override if stored else None).route
        return _blurs(route) if route else True

    def _read_facts(self, path: str, etag: str) -> _Facts | None:
        try:
            reading = self.storage.open(RESULTS, path, etag)
            return _facts_of(json.loads(reading.read(_MOST_BYTES))) if reading else None
        except Conflict as error:
            raise StorageUnavailable(f"{RESULTS}/{path} was replaced while it was read; ask again") from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, LimitExceeded) as error:
            log.warning("%s", printable(f"{RESULTS}/{path} is no result that can be shown: {error!r:.200}"))
            return None


def _facts_of(document: Mapping[str, Any]) -> _Facts:
    """Raises what a document raises that is none of ours."""
    source, artifacts = document["source"], document.get("artifacts") or {}
    thumbnails = document.get("thumbnails") or [""]
    media_type = str(source.get("media_type"))
    return _Facts(
        etag=str(source["etag"]),
        route=str(document.get("route")),
        hidden=is_hidden(document),
        media_type=media_type,
        annotated=str(artifacts.get("annotated") or ""),
        still=str(artifacts.get("poster") or thumbnails[0]) if media_type.startswith("video/") else "",
    )


def _blurs(route: object) -> bool:
    """Whether a route hides something; one that is refused may."""
    return bool(route.draw.blur) if isinstance(route, Route) else True


def _beside(result: BlobInfo | None, relative: str) -> str:
    """The name of a file that a result document names, "" where it names none."""
    inside = relative and ".." not in relative.split("/") and not relative.startswith("/")
    return f"{result.name.removesuffix(RESULT)}{relative}" if result and inside else ""
