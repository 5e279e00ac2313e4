"""Who asks, where the host checks no key: pages and media. A key is shown once, for a cookie that says what it opens.

The host alone knows keys, and only checks those that come along as a header or in the query, as no page sends them. So
the app asks itself with the key that it was given, by each of its functions with a right of its own.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote

import azure.functions as func

from cloud.web.own_address import is_own_machine, is_own_origin
from cloud.web.problems import Forbidden, HttpError
from cloud.web.rights import RIGHTS, asks_key, rights_of_key
from cloud.web.router import SAFE
from cloud.web.signing import default_signer
from inference.errors import BadRequest

LASTS_S = 8 * 3600
# Guesses are hopeless by the length of keys alone: this bounds what the app asks itself.
_MOST_REFUSED, _PER_S = 20, 60.0
_MOST_FORM, _MOST_KEY = 16 * 1024, 512
# In ASCII: ASP.NET answers 500 in place of a header with anything else.
_NEXT = re.compile(r"gallery(?:[/?][!-\[\]-~]*)?")
# Of characters that no host escapes: ASP.NET writes + as %2B, and the browser gives that back.
_VALUE = re.compile(r"([a-z_~]+)\.([0-9]{1,12})\.([A-Za-z0-9_-]{1,100})", re.ASCII)


class TooManyAttempts(HttpError):
    """So many keys were refused a moment ago that no more are tried for a while."""

    status = HTTPStatus.TOO_MANY_REQUESTS


@dataclass(frozen=True)
class Session:
    """What whoever asks may do. rights: of `RIGHTS`. signed_in: by a key. asks_key: whether anybody has to sign in."""

    rights: frozenset[str]
    signed_in: bool = False
    asks_key: bool = True


def session_of(request: func.HttpRequest) -> Session:
    """The session of a request. Without a cookie of ours, or with one that has ended, it has no rights, unless this is
    a machine of somebody's own where no keys are asked. Raises StorageUnavailable."""
    rights = frozenset[str]().union(*(_rights_in(value) for value in _cookies(request)))
    if rights:
        return Session(rights, signed_in=True)
    if not asks_key(request):
        return Session(RIGHTS, asks_key=False)
    return Session(frozenset())


def check_origin(request: func.HttpRequest) -> None:
    """Raises Forbidden for a change that a page of another site has a browser send, with the cookie of ours."""
    site = request.headers.get("Sec-Fetch-Site", "").lower()
    origin = request.headers.get("Origin", "")
    if site == "same-origin" or (not site and origin and is_own_origin(request, origin)):
        return
    came = f"the page {origin[:100]!r}" if origin and origin != "null" else "somewhere else"
    raise Forbidden(
        f"this was sent by {came}; expected a page of this app: changes are made by its own pages, or through the API "
        "with a key (x-functions-key). If a proxy stands before the app, set APP_URL to the address that browsers see"
    )


def sign_in(request: func.HttpRequest) -> func.HttpResponse:
    """POST session: `key` opens a session, or adds to it; `action=sign-out` ends it. `next`: where to go on, a path of
    the pages such as `gallery/?state=failed`. Raises BadRequest, Forbidden, TooManyAttempts, ServiceBusy."""
    check_origin(request)
    form = _form(request)
    following = form.get("next", "")
    target = following if _NEXT.fullmatch(following) and ".." not in following else "gallery/"
    if form.get("action") == "sign-out":
        return _redirect("gallery/", _cookie(request, "", 0))
    key = form.get("key", "").strip()
    ATTEMPTS.check()
    # What is no key at all is not sent anywhere: a header takes no line ends, and no letters beyond Latin ones.
    plausible = 0 < len(key) <= _MOST_KEY and key.isascii() and key.isprintable()
    opened = rights_of_key(request, key) if plausible else frozenset[str]()
    if not opened:
        ATTEMPTS.note()
        return _redirect(f"gallery/?refused=1&next={quote(target, safe='')}")
    until = int(time.time()) + LASTS_S
    rights = opened.union(*(_rights_in(value) for value in _cookies(request)))
    return _redirect(target, _cookie(request, _signed(rights, until), LASTS_S))


class Attempts:
    """Counts keys that were refused; raises TooManyAttempts when there were too many in a minute."""

    def __init__(self) -> None:
        self._refused: deque[float] = deque(maxlen=_MOST_REFUSED)
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises TooManyAttempts."""
        with self._lock:
            first = self._refused[0] if len(self._refused) == _MOST_REFUSED else None
        wait = 0.0 if first is None else first + _PER_S - time.monotonic()
        if wait > 0:
            raise TooManyAttempts(
                f"{_MOST_REFUSED} keys were refused within a minute; try again in {wait:.0f} s",
                headers={"Retry-After": str(int(wait) + 1)},
            )

    def note(self) -> None:
        """A key was refused."""
        with self._lock:
            self._refused.append(time.monotonic())


ATTEMPTS = Attempts()


def _form(request: func.HttpRequest) -> dict[str, str]:
    body = request.get_body()
    if len(body) > _MOST_FORM:
        raise BadRequest(f"the form has {len(body):,} bytes, expected at most {_MOST_FORM:,}")
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=10)
    except ValueError as error:
        raise BadRequest(f"this is no form ({error}); expected key=... as a page sends it") from error
    return {name: values[0] for name, values in fields.items()}


def _signed(rights: frozenset[str], until: int) -> str:
    text = f"{'~'.join(sorted(rights))}.{until}"
    return f"{text}.{default_signer().sign('session', text)}"


def _rights_in(value: str) -> frozenset[str]:
    """The rights that a cookie of ours gives now; none for what is not ours, or has ended."""
    parts = _VALUE.fullmatch(value)
    if parts is None or int(parts[2]) <= time.time():
        return frozenset()
    if not default_signer().verify("session", f"{parts[1]}.{parts[2]}", parts[3]):
        return frozenset()
    return RIGHTS.intersection(parts[1].split("~"))


def _name(request: func.HttpRequest) -> str:
    # Browsers take the prefix __Host- from this very host by https alone: no neighbour below the same domain sets it.
    return "dropsight" if _is_plain(request) else "__Host-dropsight"


def _is_plain(request: func.HttpRequest) -> bool:
    """Whether browsers would keep no cookie for https only: http, to the machine itself."""
    return request.url.startswith("http:") and is_own_machine(request)


def _cookies(request: func.HttpRequest) -> Iterator[str]:
    """The values of our cookie, at most one in good order."""
    for part in request.headers.get("Cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == _name(request):
            yield value
            return


def _cookie(request: func.HttpRequest, value: str, seconds: int) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar[_name(request)] = value
    except CookieError as error:  # no value of ours
        raise AssertionError(value) from error
    morsel = jar[_name(request)]
    flags = {"httponly": True, "secure": not _is_plain(request)}
    for name, said in {"path": "/", "max-age": seconds, "samesite": "Strict", **flags}.items():
        morsel[name] = said
    return morsel.OutputString()


def _redirect(target: str, cookie: str = "") -> func.HttpResponse:
    """To a page. Relative to `session`, so that it holds under any route prefix and behind any proxy."""
    headers = {**SAFE, "Location": target, "Cache-Control": "no-store"}
    if cookie:
        headers["Set-Cookie"] = cookie
    return func.HttpResponse(status_code=HTTPStatus.SEE_OTHER, headers=headers)
