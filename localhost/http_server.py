"""HTTP, on aiohttp: function routes, the Event Grid webhook of blob triggers, the admin call, and keys."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from aiohttp import web
from azure.functions.meta import Datum

from localhost.blob_trigger import BlobFunction, BlobQueue
from localhost.errors import PortError
from localhost.function_worker import FunctionWorker, TriggerEvent
from localhost.host_settings import positive
from localhost.host_storage import Account, is_loopback
from localhost.http_routes import HttpFunction, path_segments

REASON = "This function was programmatically called via the host APIs."
_BODY_LIMIT = 104_857_600
_HIDDEN = frozenset(("transfer-encoding", "content-length", "connection"))
_SECRETS = "azure-webjobs-secrets"
_BLOB_EXTENSION = "blobs_extension"
# The host that a request line names, as one to a proxy does.
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
# As browsers write it: no user, no path, no port that is none.
_PLAIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)

#: Starts the named function on an input's text; raises LookupError (no such function) or ValueError (no such input).
Fire = Callable[[str, str], Awaitable[None]]


class FunctionKeys:
    """The keys of the host and of its functions, in the real host's documents; made at the first start, and kept where
    there is storage."""

    def __init__(self, home: Account | None, host_id: str) -> None:
        self._home = home
        self._host_id = host_id
        self._host: dict[str, Any] = {}
        self._functions: dict[str, dict[str, Any]] = {}

    async def load(self, functions: list[str]) -> None:
        """Reads the keys of the host and of these functions, and makes those that are missing."""
        fresh = {
            "masterKey": _new_key("master"),
            "functionKeys": [_new_key("default")],
            "systemKeys": [_new_key(_BLOB_EXTENSION)],
        }
        self._host = await self._read("host", fresh)
        for name in functions:
            self._functions[name] = await self._read(name.lower(), {"keys": [_new_key("default")]})

    async def _read(self, name: str, fresh: dict[str, Any]) -> dict[str, Any]:
        fresh |= {"hostName": "localhost", "instanceId": self._host_id, "source": "runtime", "decryptionKeyId": ""}
        blob = f"{self._host_id}/{name}.json"
        content = await self._home.download(_SECRETS, blob) if self._home else None
        if content is None:
            if self._home:
                await self._home.upload(_SECRETS, blob, json.dumps(fresh, indent=2).encode())
            return fresh
        stored: dict[str, Any] = json.loads(content)
        return stored

    def hint(self, name: str, level: str) -> str:
        """``?code=...`` for the console."""
        if level == "ANONYMOUS":
            return ""
        key = self._host["masterKey"] if level == "ADMIN" else self._functions[name]["keys"][0]
        return f"?code={key['value']}"

    def open_function(self, name: str, level: str, request: web.Request) -> bool:
        """Whether a function of this level may be called: by a key of its own, of the host, or the master key."""
        keys = [] if level == "ADMIN" else [*self._functions[name]["keys"], *self._host["functionKeys"]]
        return level == "ANONYMOUS" or self.open(request, *keys)

    def open_webhook(self, request: web.Request) -> bool:
        return self.open(request, *(key for key in self._host["systemKeys"] if key["name"] == _BLOB_EXTENSION))

    def open(self, request: web.Request, *keys: dict[str, Any]) -> bool:
        """Whether the request carries the master key or another of these; a header goes before the query."""
        text = request.headers.get("x-functions-key") or request.query.get("code") or ""
        values = [str(key["value"]).encode() for key in (self._host["masterKey"], *keys)]
        return bool(text) and any(hmac.compare_digest(text.encode(), value) for value in values)


def _new_key(name: str) -> dict[str, Any]:
    return {"name": name, "value": secrets.token_urlsafe(40), "encrypted": False}


@web.middleware
async def _from_here_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuses what a page of another site has a browser send: nobody is asked for a key here.

    By the Origin that browsers add where a page sends something elsewhere, and by the Host, which is the other site's
    where that gives its own name our address (DNS rebinding). A request line with a whole address says the host, too.
    """
    hosts = request.headers.getall("Host", [])
    if named := _AUTHORITY.match(request.raw_path):
        hosts.append(named[1])
    origins = request.headers.getall("Origin", [])
    said = [("Host", host, f"http://{host}") for host in hosts] + [("Origin", origin, origin) for origin in origins]
    for header, value, address in said:
        if not _leads_here(address):
            text = (
                f"The header {header} is {value!r}; this host answers only what comes from this machine: localhost.\n"
            )
            return web.Response(status=403, text=text)
    return await handler(request)


def _leads_here(address: str) -> bool:
    """Whether this is the plain address of a server of this machine."""
    with contextlib.suppress(ValueError):  # a port above 65535
        return bool(_PLAIN.fullmatch(address)) and urlsplit(address).port != 0 and is_loopback(address)
    return False


class FunctionServer:
    """Listens on one port and hands requests to functions, which are tried in the order given.

    ``keys`` are asked for where there are any; ``blobs`` get what the webhook is sent.
    """

    def __init__(
        self,
        functions: Sequence[HttpFunction],
        worker: FunctionWorker,
        blobs: BlobQueue | None,
        fire: Fire,
        keys: FunctionKeys | None,
    ) -> None:
        self._functions = functions
        self._worker = worker
        self._blobs = blobs
        self._fire = fire
        self._keys = keys
        limit = positive(os.environ, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", _BODY_LIMIT)
        app = web.Application(client_max_size=limit, middlewares=[_from_here_only])
        app.router.add_get("/", self._answer_home)
        app.router.add_post("/runtime/webhooks/blobs", self._answer_webhook)
        app.router.add_post("/admin/functions/{name}", self._answer_admin)
        app.router.add_route("*", r"/{path:[\s\S]*}", self._answer_function)
        self._runner = web.AppRunner(
            # As the real host: a packed body goes to the function as it came.
            app, access_log=None, handle_signals=False, shutdown_timeout=1, auto_decompress=False,
        )  # fmt: skip

    async def start(self, address: str, port: int) -> int:
        """Starts listening; returns the port (a free one for port 0). Raises PortError."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, address, port).start()
        except OSError as error:
            why = error.strerror or error
            raise PortError(f"Port {port} cannot be used: {why}. Choose another with --port.") from error
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer_home(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="Your Functions host is up and running.\n")

    async def _answer_function(self, request: web.Request) -> web.StreamResponse:
        path = path_segments(request.rel_url.raw_path)
        for candidate in self._functions:
            if candidate.takes(request.method) and (parameters := candidate.route.match(path)) is not None:
                if self._keys and not self._keys.open_function(candidate.function.name, candidate.level, request):
                    return web.Response(status=401)
                if self._worker.stopping:
                    return web.Response(status=503, text="The host is stopping.\n")
                event = http_event(request, parameters, await request.read())
                succeeded, returned = await self._worker.run(candidate.function, event, REASON)
                return to_response(returned, request.method) if succeeded else web.Response(status=500)
        return web.Response(status=404)

    async def _answer_webhook(self, request: web.Request) -> web.StreamResponse:
        """One delivery of Event Grid; of each event only ``data.url``, ``data.eTag`` and ``data.blobType`` are read."""
        if self._keys and not self._keys.open_webhook(request):
            return web.Response(status=401)
        name, kind = request.query.get("functionName", ""), request.headers.get("aeg-event-type")
        function = self._blobs and self._blobs.functions.get("Host." + name.removeprefix("Host."))
        if not self._blobs or not function or not function.by_events:
            return web.json_response({"error": f"No Event Grid blob trigger named {name!r}."}, status=404)
        if kind == "Unsubscribe":
            return web.Response(status=202)
        try:
            content = json.loads(await request.read())
            events = content if isinstance(content, list) else [content]
            if kind == "SubscriptionValidation":
                return web.json_response({"validationResponse": events[0]["data"]["validationCode"]})
            if kind != "Notification":
                return web.json_response({"error": f"Header aeg-event-type is {kind!r}."}, status=400)
            for event in events:
                await _enqueue(self._blobs, function, event["data"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            text = f"Not an Event Grid delivery: {type(error).__name__}: {error}"
            return web.json_response({"error": text}, status=400)
        return web.Response(status=202)

    async def _answer_admin(self, request: web.Request) -> web.StreamResponse:
        if self._keys and not self._keys.open(request):
            return web.Response(status=401)
        try:
            content = json.loads(await request.read() or b"{}")
            text = content.get("input") or ""
            if not isinstance(text, str):
                raise ValueError(f"input is {text!r}, expected a string (an object goes in as its JSON text)")
            await self._fire(request.match_info["name"], text)
        except LookupError:
            return web.Response(status=404)
        except (ValueError, AttributeError) as error:
            return web.json_response({"error": f'Expected {{"input": "..."}}: {error}'}, status=400)
        return web.Response(status=202)


async def _enqueue(queue: BlobQueue, function: BlobFunction, data: Mapping[str, Any]) -> None:
    container, blob = blob_of_url(str(data["url"]), function.account.name)
    etag, kind = str(data.get("eTag") or ""), str(data.get("blobType") or "BlockBlob")
    await queue.enqueue(function, container, blob, etag, kind)


def blob_of_url(url: str, account: str) -> tuple[str, str]:
    """Container and blob of a blob's address, ``http://account.host/container/blob`` or, as Azurite's,
    ``http://host/account/container/blob``; raises ValueError when it names no blob."""
    parts = urlsplit(url)
    path = parts.path.lstrip("/").split("/")
    if path[0] == account and not (parts.hostname or "").startswith(f"{account}."):
        del path[0]
    container, blob = unquote(path[0]) if path else "", unquote("/".join(path[1:]))
    if not container or not blob:
        raise ValueError(f"The event's data.url {url!r} names no blob.")
    return container, blob


def http_event(request: web.Request, parameters: Mapping[str, str], body: bytes) -> TriggerEvent:
    """A request as the worker is given it: one string per header and query value, empty ones dropped, body as bytes."""
    query = {key: ",".join(request.query.getall(key)) for key in request.query}
    headers = {key.lower(): ",".join(request.headers.getall(key)) for key in request.headers}
    value = {
        "method": Datum(request.method, "string"),
        "url": Datum(str(request.url), "string"),
        "headers": {key: Datum(text, "string") for key, text in headers.items() if text},
        "query": {key: Datum(text, "string") for key, text in query.items() if text},
        "params": {key: Datum(text, "string") for key, text in parameters.items()},
        "body": Datum(body, "bytes"),
    }
    return TriggerEvent(Datum(value, "http"))


def to_response(value: Any, method: str = "GET") -> web.Response:
    """What a function returned, as an HTTP response; a text that is a JSON object with a ``body`` shapes it."""
    if value.type == "http":
        return _from_http(value.value, method)
    try:
        content = json.loads(value.value)
    except ValueError:
        content = None
    if not isinstance(content, dict) or "body" not in content:
        return web.Response(text=value.value)
    body = content["body"]
    headers = {str(name): str(text) for name, text in (content.get("headers") or {}).items()}
    if not isinstance(body, str) and not any(name.lower() == "content-type" for name in headers):
        headers["content-type"] = "application/json; charset=utf-8"
    text = body if isinstance(body, str) else json.dumps(body)
    status = int(content.get("status") or content.get("statusCode") or 200)
    return web.Response(status=status, headers=headers, body=text.encode())


def _from_http(value: Mapping[str, Any], method: str) -> web.Response:
    # Only an answer to HEAD has a length of its own: that of what GET would bring.
    hidden = _HIDDEN - {"content-length"} if method == "HEAD" else _HIDDEN
    headers = {name: datum.value for name, datum in value["headers"].items() if name.lower() not in hidden}
    response = web.Response(status=int(value["status_code"].value), headers=headers, body=value["body"].value)
    for cookie in value["cookies"] or ():
        for morsel in cookie.values():
            # The real host writes cookies through ASP.NET, which escapes their values, and reads none back.
            morsel.set(morsel.key, morsel.value, quote(morsel.value, safe="-_.~"))
            response.headers.add("Set-Cookie", morsel.OutputString())
    return response
