"""What a key opens, found by asking: the app calls its own functions with it, each of which has a right of its own."""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import azure.functions as func

from cloud.settings import ca_bundle
from cloud.web.own_address import is_own_machine, own_address
from inference.errors import NotReady, ServiceBusy
from inference.loopback import is_loopback
from inference.threads import begin_thread

log = logging.getLogger(__name__)

# A function and how it is asked whether a key opens it: the answer names the right, and nothing is done.
QUESTIONS = {
    "read": ("GET", "v1/rights"),
    "contribute": ("POST", "v1/rights"),
    "operate": ("DELETE", "v1/rights"),
    "operate_actions": ("POST", "operate/rights"),
}
RIGHTS = frozenset(QUESTIONS)
_PATIENCE_S = 10.0
_MOST_ANSWER = 4096
_KNOWN_S = 60.0


def rights_of_key(request: func.HttpRequest, key: str) -> frozenset[str]:
    """The rights that a key opens, by the host's own word. Raises ServiceBusy where the app cannot ask itself, NotReady
    where it does not know its own address."""
    address = own_address(request)
    with ThreadPoolExecutor(len(QUESTIONS), "dropsight-rights", begin_thread()) as pool:
        opened = dict(zip(QUESTIONS, pool.map(lambda right: _opens(address, right, key), QUESTIONS), strict=True))
    if failed := [str(answer) for answer in opened.values() if not isinstance(answer, bool)]:
        log.warning("a key cannot be checked at %s: %s", address, failed[0])
        raise ServiceBusy(
            f"the app asked itself at {address} what this key opens, and got no answer ({failed[0]}); try again. If it "
            "is reached elsewhere, set APP_URL; if PYTHON_THREADPOOL_THREAD_COUNT is 1, it has no thread to answer with"
        )
    return frozenset(right for right, answer in opened.items() if answer is True)


def _opens(address: str, right: str, key: str) -> bool | str:
    """Whether the key opens a right; in words, why that is not known."""
    method, path = QUESTIONS[right]
    parts = urlsplit(f"{address}/{path}")
    try:
        # No redirect is followed, and no proxy asked: whoever got the request would have the key.
        with closing(_connection(parts.scheme, parts.netloc)) as connection:
            connection.request(method, parts.path, headers={"x-functions-key": key} if key else {})
            answer = connection.getresponse()
            status, said = answer.status, answer.read(_MOST_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    if status in (401, 403):
        return False
    # Whatever else may listen there: what answers is this app, or it opens nothing.
    return (status == 200 and _right_in(said) == right) or f"{method} {parts.path} answered {status}, and no right"


def _right_in(said: bytes) -> object:
    try:
        document = json.loads(said)
    except ValueError:
        return None
    return document.get("right") if isinstance(document, dict) else None


def _connection(scheme: str, host: str) -> http.client.HTTPConnection:
    if scheme == "https":
        trusted = ssl.create_default_context(cafile=ca_bundle())
        return http.client.HTTPSConnection(host, timeout=_PATIENCE_S, context=trusted)
    return http.client.HTTPConnection(host, timeout=_PATIENCE_S)


class _NoKey:
    """Whether functions answer without a key, as `dev.py run` and `func start` have them; asked once a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[bool, float]] = {}

    def opens(self, address: str) -> bool:
        with self._lock:
            opens, at = self._known.get(address, (False, -_KNOWN_S))
            if time.monotonic() - at >= _KNOWN_S:
                opens = _opens(address, "read", "") is True
                self._known = {address: (opens, time.monotonic())}
            return opens


_NO_KEY = _NoKey()


def asks_key(request: func.HttpRequest) -> bool:
    """Whether a key is to be shown: everywhere but on a machine of somebody's own, where the host asks for none. Both
    the request and the app's own address have to be of that machine, which Azure's never are."""
    if not is_own_machine(request):
        return True
    try:
        address = own_address(request)
    except NotReady:
        return True
    return not (is_loopback(address) and _NO_KEY.opens(address))
