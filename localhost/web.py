"""The HTTP side: function routes, the blob webhook and the admin API, on aiohttp."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

from aiohttp import web
from azure.functions.meta import Datum

from localhost import settings
from localhost.app import Function
from localhost.invoke import Event
from localhost.routes import Route, path_segments

if TYPE_CHECKING:
    from localhost.host import Host

_BODY_LIMIT = 104_857_600
_HIDDEN = frozenset(("transfer-encoding", "content-length", "connection"))


class HttpFunction:
    """An HTTP-triggered function with its route."""

    def __init__(self, function: Function, prefix: str) -> None:
        raw = function.trigger
        self.function = function
        self.path = "/".join(part for part in (prefix, str(raw.get("route") or function.name).strip("/")) if part)
        self.route = Route(self.path)
        self.methods = frozenset(str(method).upper() for method in raw.get("methods") or ())
        self.level = str(raw.get("authLevel") or "FUNCTION").upper()

    def takes(self, method: str) -> bool:
        return not self.methods or method in self.methods


class Server:
    """Listens on one port and hands requests to functions."""

    def __init__(self, host: Host, functions: list[HttpFunction], enable_auth: bool) -> None:
        self._host = host
        self._functions = sorted(functions, key=lambda function: function.route.order)
        self._enable_auth = enable_auth
        self._started = time.monotonic()
        limit = settings.positive(os.environ, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", _BODY_LIMIT)
        self._app = web.Application(client_max_size=limit)
        if not settings.is_true(settings.setting(os.environ, "AzureWebJobsDisableHomepage")):
            self._app.router.add_get("/", self._home)
        self._app.router.add_post("/runtime/webhooks/blobs", self._webhook)
        self._app.router.add_route("*", "/admin/{path:.*}", self._admin)
        self._app.router.add_route("*", "/{path:.*}", self._function)
        self._runner = web.AppRunner(self._app, access_log=None, handle_signals=False, shutdown_timeout=1)

    async def start(self, address: str, port: int) -> int:
        """Starts listening; returns the port (the free one that was found, for port 0)."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _home(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="Your Functions host is up and running.\n")

    async def _function(self, request: web.Request) -> web.StreamResponse:
        path = path_segments(request.rel_url.raw_path)
        for candidate in self._functions:
            if candidate.takes(request.method) and (parameters := candidate.route.match(path)) is not None:
                if not self._allowed(request, candidate):
                    return web.Response(status=401)
                return await self._invoke(candidate.function, request, parameters)
        return web.Response(status=404)

    def _allowed(self, request: web.Request, candidate: HttpFunction) -> bool:
        if not self._enable_auth or candidate.level == "ANONYMOUS":
            return True
        key = _key(request)
        if candidate.level == "ADMIN":
            return self._host.keys.is_master(key)
        return self._host.keys.opens_function(candidate.function.name, key)

    async def _invoke(self, function: Function, request: web.Request, parameters: Mapping[str, str]) -> web.Response:
        if self._host.invoker.stopping:
            return web.Response(status=503, text="The host is stopping.\n")
        body = await request.read()
        event = http_event(request, parameters, body)
        result = await self._host.invoker.run(
            function, event, "This function was programmatically called via the host APIs."
        )
        return to_response(result.response) if result.succeeded else web.Response(status=500)

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        if self._enable_auth and not self._host.keys.opens_webhook(_key(request)):
            return web.Response(status=401)
        name, kind = request.query.get("functionName"), request.headers.get("aeg-event-type")
        answer = await self._host.webhook.handle(name, kind, await request.read())
        return (
            web.Response(status=answer.status)
            if answer.body is None
            else web.json_response(answer.body, status=answer.status)
        )

    async def _admin(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"].strip("/").lower()
        # Ping is open in the real host too: load balancers use it.
        if self._enable_auth and path != "host/ping" and not self._host.keys.is_master(_key(request)):
            return web.Response(status=401)
        if path == "host/ping":
            return web.Response()
        if path == "host/status":
            return web.json_response(self._status())
        if path == "host/synctriggers" and request.method == "POST":
            return web.json_response({"status": "success"})
        if path == "functions":
            return web.json_response(
                [self._host.describe(function) for function in self._host.functions + self._host.disabled]
            )
        if path.startswith("functions/"):
            return await self._admin_function(request, request.match_info["path"].strip("/").split("/")[1:])
        return web.Response(status=404)

    def _status(self) -> dict[str, Any]:
        return {
            "id": self._host.id,
            "state": "Running" if self._host.ready else "Initialized",
            "version": "localhost",
            "processUptime": int((time.monotonic() - self._started) * 1000),
            "errors": self._host.errors,
        }

    async def _admin_function(self, request: web.Request, path: list[str]) -> web.StreamResponse:
        function = next((f for f in self._host.functions if f.name.lower() == path[0].lower()), None)
        if function is None:
            return web.Response(status=404)
        if request.method == "GET" and len(path) == 1:
            return web.json_response(self._host.describe(function))
        if request.method == "GET" and path[1:] == ["status"]:
            return web.json_response({})
        if request.method != "POST" or len(path) != 1:
            return web.Response(status=404)
        if function.kind == "httpTrigger":
            return web.json_response({"error": f"{function.name} is an HTTP function: call its route."}, status=400)
        try:
            content = json.loads(await request.read() or b"{}")
            given = content.get("input") or ""
            if not isinstance(given, str):
                raise ValueError(f"input is {given!r}, expected a string (an object goes in as its JSON text)")
            event = await self._host.admin_event(function, given)
        except (ValueError, AttributeError) as error:
            return web.json_response({"error": f'Expected {{"input": "..."}}: {error}'}, status=400)
        self._host.start_work(function, event, "This function was programmatically called via the host APIs.")
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
    data: dict[str, Any] = {}
    try:
        content = json.loads(body) if body else None
    except ValueError:
        content = None
    if isinstance(content, dict):
        data |= content
    data |= {**query, **parameters, "headers": headers, "query": query}
    return Event(Datum(value, "http"), data)


def to_response(value: Any) -> web.Response:
    """What a function returned, as an HTTP response."""
    if value is None:
        return web.Response(status=204)
    if value.type == "http":
        return _from_http(value.value)
    if isinstance(value.value, bytes):
        return web.Response(body=value.value, content_type="application/octet-stream")
    text = value.value if isinstance(value.value, str) else json.dumps(value.value)
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if isinstance(content, dict) and "body" in content:
        return _from_object(content)
    return web.Response(text=text)


def _from_http(value: Mapping[str, Any]) -> web.Response:
    headers = {name: datum.value for name, datum in value["headers"].items() if name.lower() not in _HIDDEN}
    response = web.Response(status=int(value["status_code"].value), headers=headers, body=value["body"].value)
    for cookie in value["cookies"] or ():
        _add_cookies(response, cookie)
    return response


def _from_object(content: Mapping[str, Any]) -> web.Response:
    body = content["body"]
    headers = {str(name): str(text) for name, text in (content.get("headers") or {}).items()}
    text = body if isinstance(body, str) else json.dumps(body)
    if not isinstance(body, str) and not any(name.lower() == "content-type" for name in headers):
        headers["content-type"] = "application/json; charset=utf-8"
    status = content.get("status", content.get("statusCode", 200))
    return web.Response(status=int(status), headers=headers, body=text.encode())


def _add_cookies(response: web.Response, cookie: SimpleCookie) -> None:
    for morsel in cookie.values():
        response.headers.add("Set-Cookie", morsel.OutputString())
