"""Queue triggers of every kind, and a blob trigger; each run is recorded as a blob in `runs`."""

from __future__ import annotations

import json
import os
import time
import uuid

import azure.functions as func
from azure.storage.blob import BlobServiceClient

app = func.FunctionApp()
STORAGE = "AzureWebJobsStorage"


def record(name: str, /, **what: object) -> None:
    with BlobServiceClient.from_connection_string(os.environ[STORAGE]) as service:
        service.get_blob_client("runs", f"{name}/{uuid.uuid4()}").upload_blob(json.dumps(what, default=str))


@app.queue_trigger(arg_name="msg", queue_name="work", connection=STORAGE)
def on_work(msg: func.QueueMessage, context: func.Context) -> None:
    body = msg.get_json() if msg.get_body()[:1] == b"{" else {}
    if body.get("fail"):
        raise ValueError(f"attempt {msg.dequeue_count}")
    time.sleep(body.get("sleep", 0))
    moments = [msg.insertion_time, msg.expiration_time, msg.time_next_visible]
    record(
        "work",
        body=msg.get_body().decode(),
        count=msg.dequeue_count,
        id=bool(msg.id),
        receipt=bool(msg.pop_receipt),
        years=[moment.year for moment in moments if moment],
        context=[context.function_name, len(context.invocation_id), context.function_directory],
    )


@app.queue_trigger(arg_name="msg", queue_name="typed", connection=STORAGE)
def on_typed(msg: bytes) -> None:
    record("typed", type=type(msg).__name__, body=msg.hex())


@app.queue_trigger(arg_name="msg", queue_name="texts", connection=STORAGE, data_type=func.DataType.STRING)
async def on_text(msg: str) -> None:
    record("texts", type=type(msg).__name__, body=msg)


@app.queue_trigger(arg_name="msg", queue_name="last-poison", connection=STORAGE)
def on_poison(msg: func.QueueMessage) -> None:
    raise ValueError("poison itself")


@app.blob_trigger(arg_name="target", path="targets/{name}", connection=STORAGE)
def on_target(target: func.InputStream) -> None:
    record("targets", name=target.name)
