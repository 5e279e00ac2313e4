"""HTTP functions of every kind."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import time
from typing import Any

import azure.functions as func

logging.warning("said at the import")
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
blueprint = func.Blueprint()  # type: ignore[no-untyped-call]
ANONYMOUS = func.AuthLevel.ANONYMOUS


@app.route("echo/{id:int}", methods=["POST", "PUT"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen: dict[str, Any] = {
        "method": req.method,
        "url": req.url,
        "route": dict(req.route_params),
        "params": dict(req.params),
        "header": req.headers.get("X-Thing"),
        "names": sorted(req.headers),
        "body": req.get_body().decode(),
    }
    response = func.HttpResponse(json.dumps(seen), status_code=201, mimetype="application/json")
    response.headers.add("x-made", "yes")
    response.headers.add("Set-Cookie", "a=1; Path=/")
    response.headers.add("Set-Cookie", "b=2+3~4; HttpOnly; SameSite=Strict")
    return response


@app.route("echo/special", auth_level=ANONYMOUS)
def special(req: func.HttpRequest) -> str:
    return "special"


@app.route("files/{*path}", auth_level=ANONYMOUS)
def files(req: func.HttpRequest) -> str:
    return str(req.route_params.get("path"))


@app.route("own-name", auth_level=ANONYMOUS)
def own_name(req: func.HttpRequest) -> str:
    return os.environ["WEBSITE_HOSTNAME"]


@app.route("long", methods=["HEAD"], auth_level=ANONYMOUS)
def long(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(headers={"Content-Length": "5000000", "ETag": '"1"'}, mimetype="video/mp4")


@app.route("known", auth_level=ANONYMOUS)
def known(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=304, headers={"ETag": '"1"'})


@app.route("object", auth_level=ANONYMOUS)
def as_object(req: func.HttpRequest) -> str:
    return json.dumps({"status": 418, "body": {"tea": True}, "headers": {"x-pot": "short"}})


@app.route("tried/first", auth_level=ANONYMOUS)
def b_literal(req: func.HttpRequest) -> str:
    return "literal"


@app.route("tried/{x?}", auth_level=ANONYMOUS)
def a_parameter(req: func.HttpRequest) -> str:
    return f"parameter {req.route_params.get('x')}"


@app.route("logs", auth_level=ANONYMOUS)
def logs(req: func.HttpRequest, context: func.Context) -> str:
    def log(text: str, invocation: str | None) -> None:
        context.thread_local_storage.invocation_id = invocation  # type: ignore[attr-defined]
        logging.warning(text)

    logging.warning("said by the function")
    for text, invocation in (("said by its thread", None), ("said in its name", context.invocation_id)):
        thread = threading.Thread(target=log, args=(text, invocation))
        thread.start()
        thread.join()
    return ""


@app.route("logs-async", auth_level=ANONYMOUS)
async def logs_async(req: func.HttpRequest) -> str:
    async def log() -> None:
        logging.warning("said by its task")

    await asyncio.create_task(log())
    await asyncio.to_thread(logging.warning, "said by a thread of its task")
    return ""


@app.route("fail", auth_level=ANONYMOUS)
def fail(req: func.HttpRequest) -> str:
    raise ValueError("on purpose")


@app.route("none", auth_level=ANONYMOUS)
def nothing(req: func.HttpRequest):  # type: ignore[no-untyped-def] # noqa: ANN201
    return None


@app.route("leave", auth_level=ANONYMOUS)
def leave(req: func.HttpRequest) -> str:
    sys.exit(3)


@app.route(auth_level=func.AuthLevel.ADMIN)
def owner(req: func.HttpRequest) -> str:
    return "owner"


BARRIER = threading.Barrier(6, timeout=20)
ARRIVED: list[int] = []


@app.route("together", auth_level=ANONYMOUS)
def together(req: func.HttpRequest) -> str:
    BARRIER.wait()
    return threading.current_thread().name


@app.route("together-async", auth_level=ANONYMOUS)
async def together_async(req: func.HttpRequest) -> str:
    ARRIVED.append(1)
    deadline = time.monotonic() + 20
    while len(ARRIVED) < 6 and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return f"{len(ARRIVED)}:{threading.current_thread().name}"


@app.route("slow", auth_level=ANONYMOUS)
def slow(req: func.HttpRequest) -> str:
    time.sleep(float(req.params["s"]))
    return "done"


@blueprint.route("from-a-blueprint", auth_level=ANONYMOUS)
def of_blueprint(req: func.HttpRequest, context: func.Context) -> str:
    return context.function_name


app.register_functions(blueprint)
