"""The entries of pipelines.toml over HTTP: where they stand, and a run of one now."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus

import azure.functions as func

from cloud.azureml import pipeline_runs
from cloud.azureml.pipeline_entry import PipelineEntry
from cloud.azureml.slot import Slot
from cloud.pipelines_file import pipelines
from cloud.web.operations import Call, NoQuery, operation
from cloud.web.problems import NotFound
from cloud.web.router import json_answer
from cloud.web.status_answers import PipelineDoc, PipelineHistoryDoc, PipelineListDoc, SlotDoc
from inference.errors import BadPipeline

_SLOTS = 20


@operation("GET", "v1/pipelines", {200: PipelineListDoc})
def list_pipelines(_: Call[NoQuery]) -> func.HttpResponse:
    """The entries of pipelines.toml, with their next slots."""
    found = pipelines()
    document: PipelineListDoc = {
        "pipelines": [_pipeline(entry) for entry in found.entries],
        "problems": list(found.problems),
    }
    return json_answer(document)


@operation("GET", "v1/pipelines/{pipeline}", {200: PipelineHistoryDoc})
def read_pipeline(call: Call[NoQuery]) -> func.HttpResponse:
    """An entry of pipelines.toml and its newest slots."""
    entry, broken = _find(call.name), list[str]()
    slots = pipeline_runs.slot_store().history(entry.name, _SLOTS, broken.append)
    document: PipelineHistoryDoc = {
        "pipeline": _pipeline(entry),
        "history": [_slot(slot) for slot in slots],
        "problems": broken,
    }
    return json_answer(document)


@operation("POST", "operate/pipelines/{pipeline}", {202: SlotDoc})
def run_pipeline(call: Call[NoQuery]) -> func.HttpResponse:
    """Runs an entry of pipelines.toml now, outside its schedule; twice in a second it is the same slot."""
    slot = pipeline_runs.submit_now(_find(call.name).name)
    return json_answer(_slot(slot), HTTPStatus.ACCEPTED)


def _find(name: str) -> PipelineEntry:
    try:
        return pipelines().find(name)
    except BadPipeline as error:
        raise NotFound(str(error)) from error


def _pipeline(entry: PipelineEntry) -> PipelineDoc:
    now = datetime.now(UTC)
    upcoming = pipeline_runs.next_slot(entry, now)
    document: PipelineDoc = {
        "name": entry.name,
        "kind": entry.kind,
        "enabled": entry.enabled,
        "next": upcoming.isoformat() if upcoming else None,
        "last": None,
        "open": 0,
        "problem": "",
    }
    try:
        plan = pipeline_runs.slot_store().plan(entry.name)
    except BadPipeline as error:  # the others are listed all the same
        document["problem"] = str(error)
        return document
    document["last"] = dict(plan.last) or None
    document["open"] = len(plan.open)
    return document


def _slot(slot: Slot) -> SlotDoc:
    return {
        "slot": slot.slot,
        "state": slot.state,
        "attempts": slot.attempts,
        "run": dict(slot.run) if slot.run else None,
        "why": slot.why,
    }


OPERATIONS = (list_pipelines, read_pipeline, run_pipeline)
