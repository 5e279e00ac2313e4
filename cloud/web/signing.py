"""What the app signs for itself: cookies of sessions, and addresses of media that are good for minutes.

By HMAC-SHA256 with 32 random bytes that all processes of the app read from `state/web/secret`: who deletes that blob
ends all sessions and addresses.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import math
import os
import threading
import time
from typing import Literal, get_args
from urllib.parse import quote

from cloud.once import once
from cloud.settings import STATE
from cloud.storage.containers import Conflict, Storage, default_storage
from inference.errors import NotReady

log = logging.getLogger(__name__)

Kind = Literal["uploads", "results", "thumbnails", "view"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SECRET = "web/secret"
_BYTES = 32
# How long a process goes by what it has read: who deletes the secret ends what it has signed within that time. As
# often, a signature that does not fit has it read at once, since another process may have made another.
_KNOWN_S = 60.0
# Addresses change as seldom, so that browsers keep what they have got and pages their ETags; they are good for once to
# twice as long.
PERIOD_S = 600


class Signer:
    """Signs texts for a purpose. Safe to use from many threads."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._secret = b""
        self._read_at = self._doubted_at = -math.inf
        self._lock = threading.Lock()

    def sign(self, purpose: str, text: str) -> str:
        """The signature of a text, in letters that need no quotes anywhere. Raises StorageUnavailable, NotReady."""
        return _signature(self._known(), purpose, text)

    def verify(self, purpose: str, text: str, signature: str) -> bool:
        """Whether this is a signature of the text for this purpose. Raises as `sign`."""
        given = signature.encode("utf-8", "replace")
        if hmac.compare_digest(self.sign(purpose, text).encode(), given):
            return True
        return self._doubted() and hmac.compare_digest(self.sign(purpose, text).encode(), given)

    def _known(self) -> bytes:
        with self._lock:
            if time.monotonic() - self._read_at >= _KNOWN_S:
                self._secret, self._read_at = _stored_or_new(self._storage), time.monotonic()
            return self._secret

    def _doubted(self) -> bool:
        """Has the secret read again, unless that was done for another signature a moment ago; whether it is."""
        with self._lock:
            if time.monotonic() - self._doubted_at < _KNOWN_S:
                return False
            self._doubted_at, self._read_at = time.monotonic(), -math.inf
            return True


def _stored_or_new(storage: Storage) -> bytes:
    for _ in range(3):  # it may be deleted between two calls
        stored = storage.read(STATE, SECRET)
        if stored:
            if len(stored[0]) != _BYTES:
                raise NotReady(
                    f"{STATE}/{SECRET} has {len(stored[0]):,} bytes, expected the {_BYTES} with which sessions are "
                    "signed: delete it, and it is made anew",
                    "secret",
                )
            return stored[0]
        made = os.urandom(_BYTES)
        try:
            storage.write(STATE, SECRET, made, if_absent=True, content_type="application/octet-stream")
            return made
        except Conflict:
            log.info("%s/%s was made by another process at the same moment", STATE, SECRET)
    raise NotReady(f"{STATE}/{SECRET} is made and deleted again and again; see who deletes it", "secret")


def _signature(secret: bytes, purpose: str, text: str) -> str:
    # The purpose ends with a line end, which none has: what is signed for one is no signature for another.
    digest = hmac.digest(secret, f"dropsight {purpose}\n{text}".encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@once
def default_signer() -> Signer:
    """The signer of this process's account."""
    return Signer(default_storage())


def media_address(kind: Kind, path: str, *, version: str = "", now: float | None = None) -> str:
    """The address of a file, relative to the app's own (`../` leads there from `gallery/`), good for 10 to 20 minutes.

    path: an upload's name (`uploads`, `view`, `thumbnails`), or a name in the container `results`. version: of the
    file, such as its ETag: browsers keep what has one, and do not ask again. now: seconds of Unix time.
    """
    until = (int(time.time() if now is None else now) // PERIOD_S + 2) * PERIOD_S
    asked = f"v={quote(version, safe='')}&" if version else ""
    signature = default_signer().sign("media", signed_text(kind, path, version, until))
    return f"media/{kind}/{quoted(path)}?{asked}until={until}&sig={signature}"


def quoted(path: str) -> str:
    """A name as the path of an address. Its last slash would be dropped on the way, were it written as one."""
    text = quote(path.encode("utf-8", "surrogatepass"), safe="/")
    return f"{text[:-1]}%2F" if text.endswith("/") else text


def signed_text(kind: str, path: str, version: str, until: int) -> str:
    """What an address of media vouches for."""
    return "\n".join((kind, quote(path.encode("utf-8", "surrogatepass")), quote(version, safe=""), str(until)))
