"""The HTTP side: function routes, the blob webhook and one admin call, on aiohttp."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web
from azure.functions.meta import Datum

from localhost import settings
from localhost.eventgrid import Webhook
from localhost.keys import Keys
from localhost.routes import HttpFunction, path_segments
from localhost.worker import Event, Worker

_BODY_LIMIT = 104_857_600
_HIDDEN = frozenset(("transfer-encoding", "content-length", "connection"))
REASON = "This function was programmatically called via the host APIs."

#: Starts the named function on an input's text; raises LookupError (no such function) or ValueError (no such input).
Fire = Callable[[str, str], Awaitable[None]]


class Server:
    """Listens on one port and hands requests to functions, which are tried in the order given.

    ``keys`` are asked for where there are any.
    """

    def __init__(
        self, functions: Sequence[HttpFunction], worker: Worker, webhook: Webhook, fire: Fire, keys: Keys | None
    ) -> None:
        self._functions = functions
        self._worker = worker
        self._webhook = webhook
        self._fire = fire
        self._keys = keys
        limit = settings.positive(os.environ, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", _BODY_LIMIT)
        app = web.Application(client_max_size=limit)
        app.router.add_get("/", self._answer_home)
        app.router.add_post("/runtime/webhooks/blobs", self._answer_webhook)
        app.router.add_post("/admin/functions/{name}", self._answer_admin)
        app.router.add_route("*", "/{path:.*}", self._answer_function)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)

    async def start(self, address: str, port: int) -> int:
        """Starts listening; returns the port (the free one that was found, for port 0)."""
        await self._runner.setup()
        await web.TCPSite(self._runner, address, port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer_home(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="Your Functions host is up and running.\n")

    async def _answer_function(self, request: web.Request) -> web.StreamResponse:
        path = path_segments(request.rel_url.raw_path)
        for candidate in self._functions:
            if candidate.takes(request.method) and (parameters := candidate.route.match(path)) is not None:
                if self._keys and not self._keys.open(candidate.function.name, candidate.level, _key(request)):
                    return web.Response(status=401)
                if self._worker.stopping:
                    return web.Response(status=503, text="The host is stopping.\n")
                event = http_event(request, parameters, await request.read())
                result = await self._worker.run(candidate.function, event, REASON)
                return to_response(result.response) if result.succeeded else web.Response(status=500)
        return web.Response(status=404)

    async def _answer_webhook(self, request: web.Request) -> web.StreamResponse:
        if self._keys and not self._keys.open_webhook(_key(request)):
            return web.Response(status=401)
        name, kind = request.query.get("functionName"), request.headers.get("aeg-event-type")
        answer = await self._webhook.handle(name, kind, await request.read())
        if answer.body is None:
            return web.Response(status=answer.status)
        return web.json_response(answer.body, status=answer.status)

    async def _answer_admin(self, request: web.Request) -> web.StreamResponse:
        if self._keys and not self._keys.is_master(_key(request)):
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


def _key(request: web.Request) -> str | None:
    return request.headers.get("x-functions-key") or request.query.get("code")


def http_event(request: web.Request, parameters: Mapping[str, str], body: bytes) -> Event:
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
    return Event(Datum(value, "http"))


def to_response(value: Any) -> web.Response:
    """What a function returned, as an HTTP response; a text that is a JSON object with a ``body`` shapes it."""
    if value.type == "http":
        return _from_http(value.value)
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


def _from_http(value: Mapping[str, Any]) -> web.Response:
    headers = {name: datum.value for name, datum in value["headers"].items() if name.lower() not in _HIDDEN}
    response = web.Response(status=int(value["status_code"].value), headers=headers, body=value["body"].value)
    for cookie in value["cookies"] or ():
        for morsel in cookie.values():
            response.headers.add("Set-Cookie", morsel.OutputString())
    return response
