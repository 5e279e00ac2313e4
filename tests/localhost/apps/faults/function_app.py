"""One good function among functions that the host cannot set up."""

from __future__ import annotations

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
STORAGE = "AzureWebJobsStorage"


@app.route("good")
def good(req: func.HttpRequest) -> str:
    return "good"


@app.timer_trigger(arg_name="timer", schedule="%ABSENT%")
def no_setting(timer: func.TimerRequest) -> None: ...


@app.timer_trigger(arg_name="timer", schedule="every day")
def no_schedule(timer: func.TimerRequest) -> None: ...


@app.queue_trigger(arg_name="msg", queue_name="work", connection="Nowhere")
def no_connection(msg: func.QueueMessage) -> None: ...


@app.queue_trigger(arg_name="msg", queue_name="Not_Allowed", connection=STORAGE)
def bad_queue(msg: func.QueueMessage) -> None: ...


@app.blob_trigger(arg_name="blob", path="no/{name}", connection=STORAGE)
def bad_container(blob: func.InputStream) -> None: ...


@app.blob_trigger(arg_name="blob", path="uploads/{name", connection=STORAGE)
def bad_path(blob: func.InputStream) -> None: ...


@app.service_bus_queue_trigger(arg_name="msg", queue_name="bus", connection=STORAGE)
def not_served(msg: func.ServiceBusMessage) -> None: ...


@app.route("GOOD", methods=["GET"])
def good_again(req: func.HttpRequest) -> str:
    return "again"


@app.route("x/{id:nosuch}")
def bad_route(req: func.HttpRequest) -> str:
    return ""


@app.route("runtime-of/it")
def reserved(req: func.HttpRequest) -> str:
    return ""


@app.queue_trigger(arg_name="msg", queue_name="returns", connection=STORAGE)
def returns(msg: func.QueueMessage):  # type: ignore[no-untyped-def] # noqa: ANN201
    return "a value that no binding takes"
