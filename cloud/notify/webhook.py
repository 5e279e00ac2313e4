"""A webhook's request, signed as Standard Webhooks 1.0 says: HMAC-SHA256 over `id.timestamp.body`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlsplit

import requests

from cloud.settings import BadSettings
from inference.errors import Permanent, ServiceBusy
from inference.loopback import is_loopback, is_private

PREFIX = "whsec_"
CONNECT_S, ANSWER_S = 5.0, 10.0
_LEAST_SECRET = 16


class Refused(Permanent):
    """The receiver says that it is gone for good (410)."""


def key_of(secret: str) -> bytes:
    """The key of a secret: the bytes that `whsec_...` encodes, or any other text as it is. Raises BadSettings."""
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except ValueError as error:
            raise BadSettings(f"NOTIFY_SECRET begins with {PREFIX}, but what follows is no base64") from error
    else:
        key = secret.encode()
    if len(key) < _LEAST_SECRET:
        raise BadSettings(
            f"NOTIFY_SECRET has {len(key)} bytes, expected at least {_LEAST_SECRET}: by it receivers tell our requests "
            'from others\'; python3 -c "import secrets; print(secrets.token_urlsafe(32))" makes one'
        )
    return key


def checked_url(url: str) -> str:
    """The address of a receiver. Raises BadSettings for one that cannot be used, or that would be spoken to in plain
    text across the internet."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadSettings("NOTIFY_URL is no address of a web server, expected such as https://example.com/hooks/new")
    if parts.scheme == "http" and not (is_loopback(url) or is_private(url)):
        raise BadSettings("NOTIFY_URL is http:// to another network, where anybody may read it; expected https://")
    return url


def signature(key: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """The value of the header `webhook-signature`."""
    digest = hmac.digest(key, b".".join((event_id.encode(), str(timestamp).encode(), body)), hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def send(url: str, key: bytes, event_id: str, body: bytes) -> None:
    """Posts an event; returns once the receiver has answered 2xx. Raises ServiceBusy, or Refused for a 410.

    Redirects are not followed: whoever answers them is not whom the setting names. Nothing of an answer is read but its
    status.
    """
    now = int(time.time())
    headers = {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "User-Agent": "dropsight",
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(key, event_id, now, body),
    }
    options: dict[str, Any] = {"timeout": (CONNECT_S, ANSWER_S), "allow_redirects": False, "stream": True}
    try:
        with requests.Session() as session, session.post(url, data=body, headers=headers, **options) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        # Not its words: they repeat the address, and what a secret in its query may be.
        raise ServiceBusy(f"the receiver did not answer ({type(error).__name__})") from None
    if status == requests.codes.gone:
        raise Refused("the receiver answered 410: it wants no more of these; take NOTIFY_URL back")
    if not 200 <= status < 300:
        moved = "; redirects are not followed: name the address that it leads to" if 300 <= status < 400 else ""
        raise ServiceBusy(f"the receiver answered {status}{moved}")
