"""Functions that the real worker refuses, each for its own reason, and one that it loads."""

from __future__ import annotations

from typing import Any

import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
STORAGE = "AzureWebJobsStorage"


@app.blob_trigger(arg_name="client", path="uploads/{name}", connection=STORAGE)
def fine(client: blob.BlobClient, context: func.Context) -> None: ...


@app.route("undeclared")
def undeclared(req: func.HttpRequest, x: int) -> str:
    return ""


@app.queue_trigger(arg_name="msg", queue_name="work", connection=STORAGE)
def misnamed() -> None: ...


@app.queue_trigger(arg_name="msg", queue_name="work", connection=STORAGE)
def mistyped(msg: func.HttpRequest) -> None: ...


@app.queue_trigger(arg_name="msg", queue_name="work", connection=STORAGE)
@app.queue_output(arg_name="out", queue_name="done", connection=STORAGE)
def writes(msg: func.QueueMessage, out: func.Out[str]) -> None: ...


@app.blob_trigger(arg_name="client", path="uploads/{name}", connection=STORAGE)
@app.blob_input(arg_name="other", path="others/{name}", connection=STORAGE)
def reads(client: blob.BlobClient, other: func.InputStream) -> None: ...


@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:01")
def retries(timer: func.TimerRequest) -> None: ...


@app.event_grid_trigger(arg_name="event")
def foreign(event: func.EventGridEvent) -> None: ...


@app.queue_trigger(arg_name="msg", queue_name="work", connection=STORAGE)
def not_in(msg: func.Out[str]) -> None: ...


@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
def odd_context(timer: func.TimerRequest, context: str) -> None: ...


@app.route("returned")
def returned(req: func.HttpRequest) -> dict[str, Any]:
    return {}


@app.queue_trigger(arg_name="msg", queue_name="promises", connection="AzureWebJobsStorage")
def promising(msg: func.QueueMessage) -> str:
    return ""


@app.route("administration/x")
def reserved(req: func.HttpRequest) -> str:
    return ""


@app.route("same/{a}", methods=["GET"])
def same_one(req: func.HttpRequest) -> str:
    return ""


@app.route("Same/{b}")
def same_two(req: func.HttpRequest) -> str:
    return ""


@app.route("same/{a}", methods=["GET", "POST"])
def same_zero(req: func.HttpRequest) -> str:
    return ""


@app.route("same/{a}", methods=["PUT"])
def same_put(req: func.HttpRequest) -> str:
    return ""


@app.route("same/it", methods=["DELETE"])
def alone(req: func.HttpRequest) -> str:
    return ""


@app.function_name("9lives")
@app.route("nine")
def nine(req: func.HttpRequest) -> str:
    return ""


@app.timer_trigger(arg_name="timer", schedule="%ABSENT%")
def unset(timer: func.TimerRequest) -> None: ...
