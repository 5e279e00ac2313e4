"""Thumbnails of uploads: made when the first page asks, kept in `state/thumbnails/`, one an upload.

Whoever makes one looks afterwards whether the upload is still there, and whoever forgets an upload deletes it before it
looks for a thumbnail: of what is forgotten none is left.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from cloud.settings import RESULTS, STATE, UPLOADS, Settings
from cloud.storage.blobs import BlobHeld
from cloud.storage.containers import Conflict, Reading
from cloud.storage.paths import printable, record_path
from cloud.storage.ranged import RangedFile
from cloud.uploads.pieces import THUMBNAILS
from cloud.uploads.publish import result_path
from cloud.web.problems import NotFound
from cloud.web.shown import Showing, Shown
from cloud.web.turns import Turns
from inference.errors import LimitExceeded, Permanent, StorageUnavailable
from inference.image.limits import Limits
from inference.image.media import Picture, decode
from inference.image.small_jpeg import THUMBNAIL_BYTES, THUMBNAIL_SIDE, small_jpeg
from inference.image.sniff import sniff
from inference.memory import share
from inference.time_limits import within

log = logging.getLogger(__name__)

_AT_ONCE = 2
_MOST_BROKEN = 1000


def thumbnail_path(name: str) -> str:
    """Where the thumbnail of an upload lies in the container `state`."""
    return f"{THUMBNAILS}{record_path(name)}"


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG file, and of what it was made (`Shown.version`)."""

    data: bytes
    version: str


class Thumbnails:
    """The thumbnails of an account. limits: of the pictures that are decoded."""

    def __init__(self, showing: Showing, settings: Settings) -> None:
        self._showing, self._storage = showing, showing.storage
        self._limits = Limits(bytes=settings.max_image_bytes, seconds=settings.picture_seconds)
        self._turns = Turns(_AT_ONCE, waiting=64, patience_s=15.0)
        self._broken: OrderedDict[str, str] = OrderedDict()  # by version: why there is no picture, for this process

    def get(self, name: str, version: str = "") -> Thumbnail:
        """The thumbnail of an upload. version: the one that the caller knows to be right: where it is stored, no more
        is asked. Raises NotFound where no picture can be made, ServiceBusy, StorageUnavailable."""
        stored = self._stored(name)
        if stored and stored.version == version:
            return stored
        with self._turns.take(name):
            shown = self._showing.of(name)
            stored = self._stored(name)  # another may have made it meanwhile
            if stored and stored.version == shown.version:
                return stored
            return self._made(name, shown)

    def _stored(self, name: str) -> Thumbnail | None:
        stored = self._storage.read(STATE, thumbnail_path(name))
        return Thumbnail(stored[0], stored[1].metadata.get("version", "")) if stored else None

    def _made(self, name: str, shown: Shown) -> Thumbnail:
        known = f"{shown.version} {shown.name}"
        if why := self._broken.get(known):
            raise NotFound(why)
        try:
            seconds = self._limits.seconds
            with share(), within(seconds, f"a picture may take {seconds:g} s (PICTURE_SECONDS)"):
                data = small_jpeg(self._picture(shown), THUMBNAIL_SIDE, THUMBNAIL_BYTES)
        except NotFound:
            raise
        except Permanent as error:
            why = f"there is no picture of {name[:200]!r}: {error}"
            self._broken[known] = why
            while len(self._broken) > _MOST_BROKEN:
                self._broken.popitem(last=False)
            raise NotFound(why) from error
        self._keep(name, shown, data)
        return Thumbnail(data, shown.version)

    def _picture(self, shown: Shown) -> Picture:
        container, path = (RESULTS, shown.still) if shown.still else (shown.container, shown.name)
        with _again_if_replaced(path):
            reading = self._storage.open(container, path, None if shown.still else shown.etag or None)
        if reading is None:
            raise NotFound(f"{container}/{path} is not there any more; load the page again")
        if sniff(reading.head).startswith("video/"):
            return self._first_frame(container, reading)
        with _again_if_replaced(path):
            return decode(reading.read(self._limits.bytes), self._limits, THUMBNAIL_SIDE)

    def _first_frame(self, container: str, reading: Reading) -> Picture:
        from inference.video.first_frame import first_frame  # lazily: pictures need no decoder of videos

        if reading.packed:
            raise NotFound(f"{reading.info.name} is stored packed (Content-Encoding); upload the video itself")
        # By ranges: the first frame of a video of an hour is in its first bytes, and its index at either end.
        file = RangedFile(self._storage, container, reading.info, reading.head)
        with _again_if_replaced(reading.info.name), file:
            try:
                return first_frame(file.binary)
            finally:
                file.check()

    def _keep(self, name: str, shown: Shown, data: bytes) -> None:
        """Stores it, unless what it shows is gone by now. That it cannot be stored is no reason not to show it."""
        path = thumbnail_path(name)
        try:
            etag = self._storage.write(
                STATE, path, data, metadata={"version": shown.version}, content_type="image/jpeg"
            )
            if self._is_there(name, shown):
                return
            with suppress(Conflict, BlobHeld):
                self._storage.delete(STATE, path, if_match=etag)
        except StorageUnavailable as error:
            log.warning("%s", printable(f"the thumbnail of {name} was not stored: {error}"))
            return
        raise NotFound(f"{name[:200]!r} was deleted a moment ago")

    def _is_there(self, name: str, shown: Shown) -> bool:
        if self._storage.head(UPLOADS, name):
            return True
        with suppress(LimitExceeded):
            return not shown.original and self._storage.head(RESULTS, result_path(name)) is not None
        return False


@contextmanager
def _again_if_replaced(path: str) -> Iterator[None]:
    try:
        yield
    except Conflict as error:
        raise StorageUnavailable(f"{path} was replaced while it was read; ask again") from error
