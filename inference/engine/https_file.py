"""A file of unknown size from an https address, block by block, within limits of time.

Who runs the command may read whatever they may reach, addresses of their own network included. Nothing but https is
followed, and no secret of an address gets into a message: these have its words as they may be shown.
"""

from __future__ import annotations

import base64
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from inference.engine.download import BLOCK, WHOLE_S, Connection, OutOfTime, Patience
from inference.errors import BadModel, ModelUnavailable, StorageUnavailable, UnreadableMedia

_AGAIN = "try again later, or download it by other means and give the file"
_OTHER = "download it by other means and give the file"


def blocks_of(
    url: str, shown: str, progress: Callable[[int, int | None], None], patience: Patience | None = None
) -> Iterator[bytes]:
    """The content of `url`. shown: the address without secrets. progress: called with the bytes so far, and of how
    many.

    patience: its limits of time; None: an hour for the whole. Raises UnreadableMedia where the server refuses or leads
    elsewhere than to https, StorageUnavailable where it may answer later.
    """
    connection = Connection(patience or Patience(until=time.monotonic() + WHOLE_S))
    try:
        with _opened(url, connection) as answer:
            yield from _blocks(answer, connection, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if not error.url.lower().startswith("https:"):
            raise UnreadableMedia(f"{shown} leads to an address without https; {_OTHER}") from None
        if error.reason.startswith(urllib.request.HTTPRedirectHandler.inf_msg):
            raise UnreadableMedia(f"{shown} leads from address to address without end; {_OTHER}") from None
        what = f"{shown} answers {error.code} {error.reason}"
        if 300 <= error.code < 400:
            raise UnreadableMedia(f"{what}; {_OTHER}") from None
        if 400 <= error.code < 500 and error.code not in (408, 425, 429):
            raise UnreadableMedia(f"{what}; check the address, and whether it can be read without signing in") from None
        raise StorageUnavailable(f"{what}; {_AGAIN}") from None
    except OutOfTime:
        raise StorageUnavailable(f"{shown}: not all of it came within {WHOLE_S / 60:.0f} minutes; {_OTHER}") from None
    except BadModel:
        what = "leads to an address without https, or of a private network"
        raise UnreadableMedia(f"{shown} {what}; {_OTHER}") from None
    except ModelUnavailable as error:  # no connection: names host and port alone
        raise StorageUnavailable(f"{shown}: {error}; {_AGAIN}") from None
    except (http.client.InvalidURL, UnicodeError, ValueError):
        raise UnreadableMedia(f"{shown}: not an address; check how it is written") from None
    except (OSError, http.client.HTTPException) as error:
        why = str(getattr(error, "reason", error)) or type(error).__name__
        raise StorageUnavailable(f"{shown}: the connection broke ({why}); {_AGAIN}") from None


def _opened(url: str, connection: Connection) -> http.client.HTTPResponse:
    """The answer's headers. Name and password of the address go to its own host alone."""
    parts = urlsplit(url)
    _ = parts.port  # raises ValueError for none
    host = (parts.hostname or "").encode("idna").decode("ascii")
    if not host:
        raise ValueError("no host")
    host = f"[{host}]" if ":" in host else host
    path, query = quote(parts.path or "/", safe="/%:=&;,+$!*'()@~"), quote(parts.query, safe="/%:=&;,+$!*'()@~?")
    plain = urlunsplit(("https", host + (f":{parts.port}" if parts.port else ""), path, query, ""))
    request = urllib.request.Request(plain, headers={"User-Agent": "dropsight"})  # noqa: S310 - https
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    with connection.answering():
        opened: http.client.HTTPResponse = connection.opener(plain).open(
            request, timeout=connection.patience.limit(connection.patience.connect_s)
        )
    return opened


def _blocks(
    answer: http.client.HTTPResponse, connection: Connection, progress: Callable[[int, int | None], None]
) -> Iterator[bytes]:
    total, have = answer.length, 0
    progress(0, total)
    while block := answer.read1(BLOCK):
        have += len(block)
        progress(have, total)
        yield block
        connection.wait_for_bytes()
    if total is not None and have < total:
        raise ConnectionError(f"{have:,} of {total:,} bytes came")
