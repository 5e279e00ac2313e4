"""Uploads like another one over HTTP."""

from __future__ import annotations

from dataclasses import dataclass

import azure.functions as func

from cloud.index.default import default_index
from cloud.instance import default_worker
from cloud.settings import RESULTS
from cloud.uploads.intake import is_paused
from cloud.uploads.publish import result_path
from cloud.uploads.upload_worker import UploadWorker
from cloud.web.answers import SimilarDoc, SimilarItemDoc
from cloud.web.no_result import no_result
from cloud.web.operations import Call, operation
from cloud.web.parameters import parameter
from cloud.web.problems import NotFound
from cloud.web.router import json_answer
from cloud.web.similar import SHOWN, TASK, Near, read_vector, similar_uploads
from cloud.web.upload_items import item_of
from cloud.web.upload_names import upload_name
from inference.errors import DropsightError


@dataclass(frozen=True)
class SimilarQuery:
    """The parameters of GET v1/similar/{name}."""

    limit: int = parameter(SHOWN, "How many uploads are given at most.", low=1, high=60)


@operation("GET", "v1/similar/{name}", {200: SimilarDoc}, query=SimilarQuery)
def read_similar(call: Call[SimilarQuery]) -> func.HttpResponse:
    """The uploads most like this one, best first, by the vectors of an embedding step. At most 500 are compared, the
    newest that the same model has seen, in a second."""
    name, worker = upload_name(call.name), default_worker()
    own = read_vector(worker.storage, name)
    if own is None:
        if worker.storage.head(RESULTS, result_path(name)) is None:
            raise no_result(worker.storage, worker.ledger, name, paused=is_paused(worker.settings)).error()
        raise NotFound(f"the result of {name[:100]!r} has no vector to compare; {_remedy(worker)}")
    found = similar_uploads(worker.storage, default_index(), own, name, call.query.limit)
    document: SimilarDoc = {
        "name": name,
        "step": found.step,
        "model": found.model,
        "items": [_item(near) for near in found.nearest],
        "seen": found.seen,
        "compared": found.compared,
        "complete": found.complete,
    }
    return json_answer(document)


def _item(near: Near) -> SimilarItemDoc:
    return {**item_of(near.entry), "similarity": round(near.similarity, 4)}


def _remedy(worker: UploadWorker) -> str:
    names = embedding_routes(worker)
    if not names:
        return (
            f"no route has a step that makes one (task {TASK}): add one to routes.toml, "
            'steps = [{ model = "embed" }] say, and have it analysed again'
        )
    return f"have it analysed by a route that makes one: {', '.join(names)} (PUT v1/uploads/{{name}}?route={names[0]})"


def embedding_routes(worker: UploadWorker) -> list[str]:
    """The names of the routes with a step that makes a vector of the whole picture."""

    def embeds(model: str) -> bool:
        try:
            manifest = worker.registry.entry(model).manifest
        except DropsightError:  # a model that is not here
            return False
        return manifest is not None and manifest.task == TASK

    routes = worker.planner.routes.routes
    return [route.name for route in routes if any(not step.on and embeds(step.model) for step in route.steps)]


OPERATIONS = (read_similar,)
