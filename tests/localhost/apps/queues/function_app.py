"""Queue triggers, and blob and queue bindings beside them."""

from __future__ import annotations

import json
import time
from typing import List  # noqa: UP035

import azure.functions as func

app = func.FunctionApp()
STORAGE = "AzureWebJobsStorage"


@app.queue_trigger(arg_name="msg", queue_name="work", connection=STORAGE)
@app.blob_output(arg_name="log", path="log/{id}.json", connection=STORAGE)
def on_work(msg: func.QueueMessage, log: func.Out[str], context: func.Context) -> None:
    body = msg.get_json() if msg.get_body()[:1] == b"{" else {}
    if body.get("fail"):
        raise ValueError(f"attempt {msg.dequeue_count}")
    time.sleep(body.get("sleep", 0))
    moments = [msg.insertion_time, msg.expiration_time, msg.time_next_visible]
    log.set(
        json.dumps(
            {
                "body": msg.get_body().decode(),
                "count": msg.dequeue_count,
                "id": msg.id,
                "receipt": bool(msg.pop_receipt),
                "years": [moment.year for moment in moments if moment],
                "context": [context.function_name, len(context.invocation_id), context.function_directory],
            }
        )
    )


@app.queue_trigger(arg_name="msg", queue_name="copy", connection=STORAGE)
@app.blob_input(arg_name="source", path="sources/{file.name}", connection=STORAGE)
@app.blob_output(arg_name="target", path="targets/{kind}/{file.name}-{DateTime:yyyy}-{rand-guid:N}", connection=STORAGE)
@app.queue_output(arg_name="done", queue_name="done", connection=STORAGE)
def on_copy(
    msg: func.QueueMessage,
    source: func.InputStream,
    target: func.Out[bytes],
    done: func.Out[List[str]],  # noqa: UP006 - the library knows typing.List only
) -> None:
    if source is None:
        done.set(["missing"])
        return
    target.set(source.read().upper())
    done.set(["one", "two"])


@app.queue_trigger(arg_name="msg", queue_name="typed", connection=STORAGE)
@app.queue_output(arg_name="$return", queue_name="returned", connection=STORAGE)
def on_typed(msg: bytes) -> str:
    return f"{type(msg).__name__}:{msg.decode()}"


@app.queue_trigger(arg_name="msg", queue_name="texts", connection=STORAGE, data_type=func.DataType.STRING)
@app.queue_output(arg_name="out", queue_name="wrapped", connection=STORAGE)
async def on_text(msg: str, out: func.Out[func.QueueMessage]) -> None:
    out.set(func.QueueMessage(id="7", body=msg))


@app.queue_trigger(arg_name="msg", queue_name="raw", connection=STORAGE)
@app.queue_output(arg_name="$return", queue_name="raw-out", connection=STORAGE)
@app.retry(strategy="fixed_delay", max_retry_count="1", delay_interval="00:00:01")
def on_raw(msg: func.QueueMessage) -> bytes:
    return msg.get_body()[::-1]


@app.queue_trigger(arg_name="msg", queue_name="last-poison", connection=STORAGE)
def on_poison(msg: func.QueueMessage) -> None:
    raise ValueError("poison itself")


@app.blob_trigger(arg_name="target", path="targets/{name}", connection=STORAGE)
@app.queue_output(arg_name="$return", queue_name="noticed", connection=STORAGE)
def on_target(target: func.InputStream) -> str:
    return str(target.name)
