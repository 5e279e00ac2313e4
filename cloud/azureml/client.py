"""One object for one workspace: submit a slot's run, look for it, follow it, list what there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cloud.azureml import v1, v2
from cloud.azureml.http import Caller, patience
from cloud.azureml.types import ARM, DATA_PLANE, NotAccepted, Run, Search, Submission, Workspace
from inference.errors import ServiceBusy

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.credentials import TokenCredential

_V1 = ("published", "pipeline-endpoint")


class AzureML:
    """The two dialects behind one call.

    `options` go to every MLClient (a transport or an authentication policy, say).
    """

    def __init__(
        self,
        workspace: Workspace,
        credential: TokenCredential | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.workspace = workspace
        self.credential = credential or _default_credential()
        self.caller = Caller(workspace, self.credential)
        self._options = dict(options or {})
        self._scoring: dict[str, str] = {}

    def submit(self, submission: Submission) -> Run:
        """Start the slot's run. Raises NotAccepted, OutcomeUnknown, Refused or ServiceBusy."""
        if submission.kind in _V1:
            return v1.submit(self.workspace, self.caller, submission)
        if submission.kind == "job":
            return v2.submit_job(self.workspace, self.caller, self.ml, submission)
        if submission.kind == "schedule":
            return v2.trigger_schedule(self.workspace, self.caller, self.ml, submission)
        try:
            uri = self._scoring_uri(submission.target["endpoint"])
        except ServiceBusy as error:  # only looked up so far: whatever went wrong, nothing was sent
            raise NotAccepted(str(error)) from error
        return v2.invoke_batch(self.caller, self.workspace, uri, submission)

    def search(self, submission: Submission, since: datetime, *, names_kept: bool = False) -> Search:
        """Whether a run of this slot exists, after an attempt at `since` whose outcome is unknown."""
        if submission.kind in _V1:
            return v1.search(self.workspace, self.caller, submission, since)
        return v2.search(self.workspace, self.caller, submission, names_kept)

    def status(self, kind: str, run: str) -> Run | None:
        """The run as it is now; None where the service does not know it."""
        if kind in _V1:
            return v1.status(self.workspace, self.caller, run)
        return v2.status(self.workspace, self.caller, run)

    def latest_model(self, name: str) -> str:
        """The latest version of a registered model."""
        return v2.latest_model(self.workspace, self.caller, name)

    def remote(self) -> Iterator[tuple[str, str, str]]:
        """(kind, name, id) of everything in the workspace that an entry could name."""
        yield from v1.published(self.workspace, self.caller)
        yield from v2.remote(self.workspace, self.caller)
        kept = list(v1.experiments(self.workspace, self.caller))
        yield from kept
        yield from v2.experiments(self.workspace, self.caller, {name for _, name, _ in kept})

    def preview(self, submission: Submission) -> dict[str, Any]:
        """The exact request that `submit` would send first, not sent: method, url, headers, body."""
        if submission.kind in _V1:
            url, body = v1.request(self.workspace, submission)
            return {"method": "POST", "url": url, "audience": ARM, "headers": {}, "body": body}
        if submission.kind == "batch-endpoint":
            url, headers, body = v2.batch_request(submission, self._scoring_uri(submission.target["endpoint"]))
            return {"method": "POST", "url": url, "audience": DATA_PLANE, "headers": headers, "body": body}
        from cloud.azureml.dryrun import Recorder

        recorder = Recorder()
        dry = AzureML(self.workspace, self.credential, {**self._options, "transport": recorder})
        return recorder.first(lambda: dry.submit(submission))

    def ml(self, retry: bool = True) -> MLClient:
        """A client of azure-ai-ml. Without `retry`, azure-core never repeats a request by itself."""
        from azure.ai.ml import MLClient

        where = self.workspace
        options = {"enable_telemetry": False, "show_progress": False, "read_timeout": 60, **self._options}
        if retry:
            options["retry_policy"] = patience()
        else:
            options["retry_total"] = 0
        return MLClient(self.credential, where.subscription, where.resource_group, where.name, **options)

    def registry(self, name: str) -> MLClient:
        """A client of azure-ai-ml for an Azure Machine Learning registry."""
        from azure.ai.ml import MLClient

        return MLClient(
            self.credential, registry_name=name, enable_telemetry=False, show_progress=False, **self._options
        )

    def _scoring_uri(self, endpoint: str) -> str:
        if endpoint not in self._scoring:
            self._scoring[endpoint] = v2.scoring_uri(self.caller, self.ml, self.workspace, endpoint)
        return self._scoring[endpoint]


def _default_credential() -> TokenCredential:
    # Managed identity in the cloud, `az login` on a developer's machine. About 0.3 s to import.
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(exclude_interactive_browser_credential=True)
