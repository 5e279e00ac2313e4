"""An ASGI application behind the Functions host, on every route."""

from __future__ import annotations

from typing import Any

import azure.functions as func


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = (await receive())["body"]
    text = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()} {len(body)}"
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-type", b"text/x-asgi")]})
    await send({"type": "http.response.body", "body": text.encode()})


app = func.AsgiFunctionApp(app=application, http_auth_level=func.AuthLevel.ANONYMOUS)
