"""The triggers, and nothing else: every body is a single lazy call into cloud/.

Nothing heavy is imported here. The host indexes the app by importing this file: an import that fails would
leave it without any function. A body's import problem is shown by GET /api/health?deep=1 instead.
"""

from __future__ import annotations

import logging
from pathlib import Path

import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob

from cloud.comments import only_comments
from cloud.invocations import NO_CONTEXT, begins_thread, log_later
from cloud.plain_logs import plain_logs
from cloud.settings import BLOB_SOURCES, UPLOADS, text_of
from cloud.stopping import handle_sigterm

# azure-core logs every storage call at INFO, which drowns the app's own lines.
logging.getLogger("azure").setLevel(logging.WARNING)

plain_logs()
# Before the platform ends an instance that it takes away, uploads in work are given back.
handle_sigterm()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

CONNECTION = text_of("STORAGE_CONNECTION")


def blob_source() -> func.BlobSource:
    """Polling or Event Grid, as BLOB_TRIGGER_SOURCE says. An unknown value polls; the deep health names it."""
    requested = text_of("BLOB_TRIGGER_SOURCE")
    known = {source.lower(): source for source in BLOB_SOURCES}
    if requested.lower() not in known:
        log_later(f"BLOB_TRIGGER_SOURCE={requested!r}: expected one of {', '.join(BLOB_SOURCES)}; polling")
    return func.BlobSource(known.get(requested.lower(), BLOB_SOURCES[0]))


# A BlobClient and no output binding: the content as bytes would take 4.4 times its size in memory, and a
# binding with an expression beside it would turn the client into bytes (docs/architecture.md).
@app.function_name("on_upload")
@app.blob_trigger("upload", f"{UPLOADS}/{{name}}", CONNECTION, source=blob_source())
def on_upload(upload: blob.BlobClient, context: func.Context) -> None:
    from cloud.instance import on_blob

    on_blob(upload.container_name, upload.blob_name, begins_thread(context))


@app.function_name("sweep")
@app.timer_trigger("timer", text_of("SWEEP_SCHEDULE"), run_on_startup=False, use_monitor=True)
def sweep(timer: func.TimerRequest, context: func.Context) -> None:
    from cloud.instance import on_sweep

    on_sweep(begins_thread(context))


# A tick every minute keeps an app awake, for which an app without pipelines should not pay.
if not only_comments(Path(__file__).parent / text_of("PIPELINES_FILE")):

    @app.function_name("tick")
    @app.timer_trigger("timer", text_of("TICK_SCHEDULE"), run_on_startup=False, use_monitor=True)
    def tick(timer: func.TimerRequest, context: func.Context) -> None:
        from cloud.tick import on_timer

        on_timer(begins_thread(context))


def video_queue(name: str, poison: bool = False) -> None:
    """The function on a queue of split videos, or (`poison`) on the messages of it that the host gave up."""

    def body(message: func.QueueMessage, context: func.Context) -> None:
        from cloud.instance import on_message, on_poison

        begin_thread = begins_thread(context)
        if poison:
            on_poison(message.get_body())
        else:
            on_message(message.get_body(), message.dequeue_count or 1, begin_thread)

    queue = f"{name}-poison" if poison else name
    body.__name__ = f"on_{queue.replace('-', '_')}"
    app.function_name(body.__name__)(app.queue_trigger("message", queue, CONNECTION)(body))


for _queue in ("segments", "merges", "renders"):
    video_queue(_queue)
    video_queue(_queue, poison=True)


@app.function_name("on_replays")
@app.queue_trigger("message", "replays", CONNECTION)
def on_replays(message: func.QueueMessage, context: func.Context) -> None:
    from cloud.instance import on_replay

    on_replay(message.get_body(), begins_thread(context))


@app.function_name("on_replays_poison")
@app.queue_trigger("message", "replays-poison", CONNECTION)
def on_replays_poison(message: func.QueueMessage, context: func.Context) -> None:
    from cloud.instance import on_replay_poison

    begins_thread(context)()
    on_replay_poison(message.get_body())


# Nobody polls a queue that nothing is put into.
if text_of("NOTIFY_URL"):

    @app.function_name("on_notices")
    @app.queue_trigger("message", "notices", CONNECTION)
    def on_notices(message: func.QueueMessage, context: func.Context) -> None:
        from cloud.instance import on_notice

        on_notice(message.get_body(), begins_thread(context))


# A function for each right, so that a function's key is that right, given and taken back by the platform's own means;
# all lead to one router. No two templates may match one request: the host tries functions in alphabetical order, not
# the most specific template first (tests/cloud/test_function_app.py).
@app.function_name("read")
@app.route("v1/{*path}", methods=["GET", "HEAD"])
def read(req: func.HttpRequest, context: func.Context = NO_CONTEXT) -> func.HttpResponse:
    """Results, lists, states; no key of it changes anything."""
    return _answer("read", req, context)


@app.function_name("contribute")
@app.route("v1/{*path}", methods=["PUT", "POST"])
def contribute(req: func.HttpRequest, context: func.Context = NO_CONTEXT) -> func.HttpResponse:
    """Uploads and analyses; no key of it deletes or reads what is there."""
    return _answer("contribute", req, context)


@app.function_name("operate")
@app.route("v1/{*path}", methods=["DELETE"])
def operate(req: func.HttpRequest, context: func.Context = NO_CONTEXT) -> func.HttpResponse:
    """Deletes uploads and cancels jobs."""
    return _answer("operate", req, context)


@app.function_name("operate_actions")
@app.route("operate/{*path}", methods=["POST"])
def operate_actions(req: func.HttpRequest, context: func.Context = NO_CONTEXT) -> func.HttpResponse:
    """Replays, runs of pipelines, cancels."""
    return _answer("operate_actions", req, context)


@app.function_name("model_registered")
@app.route("models/events", methods=["POST", "OPTIONS"])
def model_registered(req: func.HttpRequest, context: func.Context = NO_CONTEXT) -> func.HttpResponse:
    """The webhook of the workspace's Event Grid subscription."""
    return _answer("model_registered", req, context)


# A page cannot send a key, which the host takes as a header or in the query only: these check for themselves who asks
# (cloud/web/session.py).
@app.function_name("gallery")
@app.route("gallery/{*path}", methods=["GET", "HEAD", "POST", "PUT", "DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
def gallery(req: func.HttpRequest, context: func.Context = NO_CONTEXT) -> func.HttpResponse:
    """The pages, and below gallery/v1 and gallery/operate the API for their scripts."""
    return _answer("gallery", req, context)


@app.function_name("media")
@app.route("media/{*path}", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
def media(req: func.HttpRequest, context: func.Context = NO_CONTEXT) -> func.HttpResponse:
    """Pictures and videos of the pages, at signed addresses."""
    return _answer("media", req, context)


@app.function_name("session")
@app.route("session", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
def session(req: func.HttpRequest, context: func.Context = NO_CONTEXT) -> func.HttpResponse:
    """Signs in by a key, and out."""
    return _answer("session", req, context)


@app.function_name("static")
@app.route("static/{*path}", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
def static(req: func.HttpRequest, context: func.Context = NO_CONTEXT) -> func.HttpResponse:
    """The style sheet and the scripts of the pages."""
    return _answer("static", req, context)


@app.function_name("health")
@app.route("health", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest, context: func.Context = NO_CONTEXT) -> func.HttpResponse:
    """The status, importing nothing. `?deep=1` leads on to a route for which the host checks the key."""
    deep = _deep(req)
    if deep is None:
        return _answer("health", req, context)
    if deep:
        # Relative, so that it holds under any route prefix. The host checks no key of an anonymous function
        # and does not tell us the keys: a key in a header goes along, a key in the query is handed on.
        up = "../" if req.url.partition("?")[0].endswith("/") else ""
        query = f"?code={_quoted(req.params['code'])}" if "code" in req.params else ""
        return func.HttpResponse(status_code=307, headers={"Location": f"{up}v1/health{query}"})
    return func.HttpResponse('{"status": "ok"}', mimetype="application/json")


DEEP = {**dict.fromkeys(("1", "true", "yes", "on"), True), **dict.fromkeys(("0", "false", "no", "off"), False)}


def _deep(req: func.HttpRequest) -> bool | None:
    """Whether the deep answer is asked for; None where the question is misspelt."""
    from urllib.parse import parse_qsl

    asked = [name for name, _ in parse_qsl(req.url.partition("?")[2], keep_blank_values=True)]
    if asked.count("deep") > 1 or not {*asked, *req.params} <= {"deep", "code", "clientId"}:
        return None
    return DEEP.get(req.params.get("deep", "" if "deep" in asked else "0").lower())


def _answer(function: str, req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    from cloud.web.router import answer

    begins_thread(context)
    return answer(function, req)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
