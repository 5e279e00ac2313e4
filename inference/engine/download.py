"""A file over HTTP within limits of time, going on where an earlier download broke off."""

from __future__ import annotations

import http.client
import math
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

from inference.errors import BadModel, ModelUnavailable
from inference.loopback import is_loopback, is_private
from inference.threads import begin_thread

BLOCK = 1 << 18
# For a file, unless whoever asks says otherwise: a server that sends a byte a minute does not keep us for ever.
WHOLE_S = 3600.0

OnBytes = Callable[[int, int], None]  # called with (bytes so far, bytes in all)


class NoConnection(ModelUnavailable):
    """The server cannot be reached."""


class OutOfTime(ModelUnavailable):
    """The time that was given is over; what has come is kept."""


def is_safe(url: str, led_from: str = "") -> bool:
    """Whether nobody on the way can read or change what comes from this address: https, or this machine itself.

    led_from: what led there. What is asked for from elsewhere leads to no server of this machine, and to no address of
    a private network.
    """
    if url.lower().startswith("https://"):
        return not led_from or is_private(led_from) or not is_private(url)
    from_here = not led_from or (led_from.lower().startswith("http://") and is_loopback(led_from))
    return url.lower().startswith("http://") and is_loopback(url) and from_here


@dataclass(frozen=True)
class Patience:
    """How long to wait.

    connect_s: seconds for a connection, looking up the name included. silence_s: seconds for the next bytes.
    until: the time.monotonic() at which everything ends. attempts: how often a broken download is taken up again.
    """

    connect_s: float = 30.0
    silence_s: float = 60.0
    until: float = math.inf
    attempts: int = 3

    def limit(self, seconds: float) -> float:
        """So many seconds, or what is left of the whole. Raises OutOfTime where nothing is left."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise OutOfTime("the time for downloads is over")
        return min(seconds, left)


def download(url: str, part: Path, size: int, patience: Patience, progress: OnBytes) -> None:
    """Fetch `size` bytes from `url` into `part`, after what is in it already.

    Raises BadModel where the server has something else, NoConnection, OutOfTime or ModelUnavailable where it may be
    there later; OSError where `part` cannot be written.
    """
    problem = ""
    for _ in range(patience.attempts):
        have = part.stat().st_size if part.is_file() else 0
        if have > size:
            part.unlink()
            have = 0
        problem = "" if have == size else _Request(url, part, size, patience, progress).fetch(have)
        if not problem:
            return
    have = part.stat().st_size if part.is_file() else 0
    raise ModelUnavailable(
        f"{have:,} of {size:,} bytes came from {url}: {problem}; run the same command again to go on from there"
    )


class Connection:
    """A connection within the limits of `patience`."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._socket: socket.socket | None = None

    def opener(self, url: str) -> urllib.request.OpenerDirector:
        """Opens `url`, and what it leads to where `is_safe`; raises BadModel where it leads elsewhere.

        By the system's proxies, but for addresses of this machine.
        """
        proxies = urllib.request.ProxyHandler({} if is_loopback(url) else None)
        return urllib.request.build_opener(proxies, _Http(self), _Https(self), _Redirect())

    def connected(self, connection: http.client.HTTPConnection, connect: Callable[[], None]) -> None:
        """Connect within the limits; later reads then wait as long as a silence may last."""
        limit = self.patience.limit(self.patience.connect_s)
        where = f"{connection.host}:{connection.port}"
        try:
            _within(limit, connect)
        except TimeoutError as error:
            self.patience.limit(1)
            raise NoConnection(f"no connection to {where} within {limit:.0f} s") from error
        except ssl.SSLCertVerificationError as error:
            ca = "behind a proxy that reads TLS, name the file with your company's CA in SSL_CERT_FILE"
            raise NoConnection(f"no connection to {where}: {error.verify_message}; {ca}") from error
        except OSError as error:
            raise NoConnection(f"no connection to {where}: {error.strerror or error}") from error
        self._socket = connection.sock
        self.wait_for_bytes()

    def wait_for_bytes(self) -> None:
        """Have the next bytes come before the silence is too long, or the time over. Raises OutOfTime."""
        assert self._socket is not None
        self._socket.settimeout(self.patience.limit(self.patience.silence_s))

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Ends the connection where an answer does not begin in time: headers may come byte by byte."""
        limit = self.patience.limit(self.patience.connect_s + self.patience.silence_s)
        timer = threading.Timer(limit, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS's own would say goodbye first


class _Request(Connection):
    """A single request for the rest of a file."""

    def __init__(self, url: str, part: Path, size: int, patience: Patience, progress: OnBytes) -> None:
        super().__init__(patience)
        self.url, self.part, self.size, self.progress = url, part, size, progress

    def fetch(self, have: int) -> str:
        """What went wrong, or nothing. Raises what a further request cannot mend."""
        if not is_safe(self.url):
            raise BadModel(f"{self.url}: expected an https address (http only of this machine), or a folder")
        headers = {"User-Agent": "dropsight"} | ({"Range": f"bytes={have}-"} if have else {})
        request = urllib.request.Request(self.url, headers=headers)  # noqa: S310 (http or https: callers check)
        try:
            with self.answering():
                answer = self.opener(self.url).open(request, timeout=self.patience.limit(self.patience.connect_s))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # what we have does not fit what is there
                self.part.unlink(missing_ok=True)
            elif 400 <= error.code < 500 and error.code not in (408, 429):
                raise BadModel(f"{self.url} answers {error.code} {error.reason}") from error
            return f"the server answers {error.code} {error.reason}"
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: led to an address that is none
            return self._broken(error)
        with answer:
            if have and not (answer.status == 206 and _starts_at(answer.headers.get("Content-Range", ""), have)):
                have = 0  # the server sends everything anew
            self._refuse_other_size(answer.length, have)
            return self._copy(answer, have)

    def _broken(self, error: Exception) -> str:
        """Why the connection broke. Raises OutOfTime where the silence lasted to the end."""
        self.patience.limit(1)
        return str(getattr(error, "reason", error)) or type(error).__name__

    def _refuse_other_size(self, length: int | None, have: int) -> None:
        """length: of what is to come, None where the server does not say so."""
        if length is not None and length + have != self.size:
            raise BadModel(
                f"{self.url} has {length + have:,} bytes, the catalog expects {self.size:,}; the file there has changed"
            )

    def _copy(self, answer: http.client.HTTPResponse, have: int) -> str:
        self.progress(have, self.size)  # a server that keeps silent now is seen to do so
        with self.part.open("ab" if have else "wb") as file:
            while True:
                try:
                    # What has come, not a whole block, for which a slow server may take as long as it likes.
                    block = answer.read1(BLOCK)
                except (OSError, http.client.HTTPException) as error:
                    return self._broken(error)
                if not block:
                    return "" if have == self.size else "the connection ended early"
                have += len(block)
                if have > self.size:
                    file.truncate(0)
                    raise BadModel(f"{self.url} sends more than the {self.size:,} bytes expected")
                file.write(block)
                self.progress(have, self.size)
                self.wait_for_bytes()


class _Redirect(urllib.request.HTTPRedirectHandler):
    """To safe addresses only: the library would follow to http, and to ftp, past all limits of time."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if not is_safe(newurl, req.full_url):
            fp.close()
            raise BadModel(f"{req.full_url} leads to {newurl}, expected an https address of no private network")
        parts = urlsplit(newurl)  # the library would look for a host called `name:password@host`
        plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        return super().redirect_request(req, fp, code, msg, headers, plain)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = _bounded(http.client.HTTPConnection, connection)

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = _bounded(http.client.HTTPSConnection, connection)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)


def _bounded(kind: type[http.client.HTTPConnection], connection: Connection) -> Any:
    class Bounded(kind):  # type: ignore[valid-type, misc]
        def connect(self) -> None:
            connection.connected(self, super().connect)

    return Bounded


def _within(seconds: float, act: Callable[[], None]) -> None:
    """Raises TimeoutError where it takes longer: no timeout of a socket covers the look-up of a name."""
    failures: list[OSError] = []
    begin = begin_thread()

    def run() -> None:
        begin()
        try:
            act()
        except OSError as error:
            failures.append(error)
        except (UnicodeError, http.client.HTTPException) as error:  # of a host's name; of a proxy's answer
            failures.append(OSError(str(error)))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if failures:
        raise failures[0]


def _starts_at(content_range: str, have: int) -> bool:
    return content_range.replace("=", " ").split("-")[0].split()[-1:] == [str(have)]
