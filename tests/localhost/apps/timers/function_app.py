"""Timers that put what they are given into a queue."""

from __future__ import annotations

import json
import os

import azure.functions as func
from azure.storage.queue import QueueClient

app = func.FunctionApp()


def tell(name: str, timer: func.TimerRequest) -> None:
    with QueueClient.from_connection_string(os.environ["AzureWebJobsStorage"], name) as queue:
        status = timer.schedule_status  # type: ignore[attr-defined]
        queue.send_message(json.dumps({"past_due": timer.past_due, "status": status}))


@app.timer_trigger(arg_name="timer", schedule="%DAILY%")
def daily(timer: func.TimerRequest) -> None:
    tell("daily", timer)


@app.schedule(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True, use_monitor=False)
async def on_startup(timer: func.TimerRequest) -> None:
    tell("on-startup", timer)


@app.timer_trigger(arg_name="timer", schedule="*/1 * * * * *")
def every_second(timer: func.TimerRequest) -> None:
    tell("every-second", timer)
