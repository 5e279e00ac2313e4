"""Requests as a browser sends them, without following where an answer leads."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import urlencode

from localhost.host_process import HostProcess
from tests.localhost.support import Answer, Store

ALL = ["contribute", "operate", "operate_actions", "read"]


class Site:
    """A running host, its account and its keys."""

    def __init__(self, host: HostProcess, connection: str) -> None:
        self.host, self.store = host, Store(connection)
        self.own = f"http://127.0.0.1:{host.port}"

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request, below the host's root."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=60)) as connection:
            connection.request(method, f"/{path}", body, dict(headers or {}))
            found = connection.getresponse()
            return Answer(found.status, found.read(), found.headers)

    def key(self, name: str) -> str:
        """A key of a function, or the host's."""
        document = json.loads(self.store.read(f"azure-webjobs-secrets/web/{name}.json") or b"")
        return str(document["functionKeys" if name == "host" else "keys"][0]["value"])

    def post(self, fields: Mapping[str, str], cookie: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """The form of the sign-in page."""
        sent = {"Origin": self.own, "Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        sent |= {"Cookie": cookie} if cookie else {}
        return self.ask("POST", "api/session", urlencode(fields).encode(), sent)

    def signed_in(self, name: str, cookie: str = "") -> str:
        """The cookie of a session that a key opens."""
        answer = self.post({"key": self.key(name)}, cookie)
        assert answer.status == 303, answer.body
        return f"dropsight={morsel_of(answer).value}"

    def whoami(self, cookie: str = "", path: str = "api/gallery/") -> Any:
        """The session of a cookie, as the app sees it."""
        answer = self.ask("GET", path, headers={"Cookie": cookie} if cookie else {})
        assert answer.status == 200, answer.body
        return json.loads(answer.body)


def morsel_of(answer: Answer) -> Morsel[str]:
    """The app's cookie in an answer."""
    return SimpleCookie(answer.headers["Set-Cookie"])["dropsight"]
