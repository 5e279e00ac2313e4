"""What the kinds of the v2 API share: jobs looked up by their ids, and calls of azure-ai-ml."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote

from azure.core.exceptions import AzureError

from cloud.azureml.dry_run import Recorder
from cloud.azureml.pipeline_kind import Connection, Kind, Submission
from cloud.azureml.workspace import (
    ARM,
    SLOT_TAG,
    VERSION,
    NotAccepted,
    OutcomeUnknown,
    Run,
    Search,
    ServiceRefused,
)
from cloud.azureml.workspace_caller import Caller, from_sdk
from inference.errors import ServiceBusy


class V2(Kind):
    """What the three kinds have in common. Where they are sent by azure-ai-ml, a dry run stops it there."""

    @staticmethod
    def status(service: Connection, run: str) -> Run | None:
        job = _job_named(service, run)
        return _run(service, job, run) if job else None

    def search(self, service: Connection, submission: Submission, since: datetime, names_kept: bool) -> Search:
        """Where the service chooses its runs' ids, only a run that is there proves anything."""
        run = run_of(service, submission, submission.key)
        if run:
            return Search(run)
        return Search(certain=False, why=f"a {self.kind} chooses its runs' ids, so the run cannot be looked up")

    def preview(self, service: Connection, submission: Submission) -> dict[str, Any]:
        recorder = Recorder()
        dry = service.through(recorder)
        return recorder.first(lambda: self.submit(dry, submission))


@contextmanager
def before_sending() -> Iterator[None]:
    """Around what is only looked up: whatever goes wrong there, nothing was sent."""
    try:
        yield
    except NotAccepted:
        raise
    except ServiceBusy as error:
        raise NotAccepted(str(error)) from error


def _job_named(service: Connection, name: str) -> dict[str, Any] | None:
    """The job as the workspace describes it, or None where it has none of that id."""
    url = f"{service.workspace.arm}/jobs/{quote(name, safe='')}"
    answer = service.caller.get(url, ARM, f"job {name}", VERSION)
    if answer is not None and not isinstance(answer.get("properties"), dict):
        raise ServiceBusy(f"job {name}: {str(answer)[:200]!r} is no job; a proxy may have answered")
    return answer


def _run(service: Connection, job: dict[str, Any], name: str) -> Run:
    properties = job["properties"]
    word, detail = str(properties.get("status") or "NotStarted"), str(properties.get("description") or "")
    return Run(str(job.get("name") or name), word, detail, service.workspace.page(name))


def run_of(service: Connection, submission: Submission, name: str) -> Run | None:
    """The job of that id, unless its tag says that it is another slot's."""
    job = _job_named(service, name)
    if job is None or (job["properties"].get("tags") or {}).get(SLOT_TAG, submission.key) != submission.key:
        return None
    return _run(service, job, name)


def sdk(call: Callable[[], Any], caller: Caller, what: str, *, sent: bool = True) -> Any:
    """Run a call of azure-ai-ml; its exceptions become ours."""
    from azure.ai.ml.exceptions import MlException

    try:
        return call()
    except (AzureError, MlException) as error:
        raise from_sdk(error, caller, what, sent=sent) from error
    except json.JSONDecodeError as error:  # a page of a proxy under 200, say
        unread = OutcomeUnknown if sent else ServiceBusy
        raise unread(f"{what}: azure-ai-ml was answered without JSON; a proxy may have answered ({error})") from error
    except Exception as error:  # it meets files and answers that it does not expect with errors of Python's own
        mine = OutcomeUnknown if sent else ServiceRefused
        raise mine(f"{what}: azure-ai-ml: {type(error).__name__}: {error}") from error
