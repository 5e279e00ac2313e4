"""The workspace: submit the run of a slot, look for it, follow it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cloud.azureml.pipeline_kind import Kind, Submission
from cloud.azureml.v1_kinds import PipelineEndpoint, PublishedPipeline
from cloud.azureml.v2_kinds import AzuremlSchedule, BatchEndpoint, PipelineJob, scoring_uri
from cloud.azureml.workspace import Run, Search, Workspace
from cloud.azureml.workspace_caller import Caller, patience

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.credentials import TokenCredential

KINDS: dict[str, type[Kind]] = {
    kind.kind: kind
    for kind in (
        PublishedPipeline,
        PipelineEndpoint,
        PipelineJob,
        AzuremlSchedule,
        BatchEndpoint,
    )
}


class AzureML:
    """A workspace; the kind of what is submitted says how it is spoken to.

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
        """Start the slot's run. Raises NotAccepted, OutcomeUnknown, ServiceRefused or ServiceBusy."""
        return submission.target.submit(self, submission)

    def search(self, submission: Submission, since: datetime, *, names_kept: bool = False) -> Search:
        """Whether a run of this slot exists, after an attempt at `since` whose outcome is unknown."""
        return submission.target.search(self, submission, since, names_kept)

    def status(self, kind: str, run: str) -> Run | None:
        """The run as it is now; None where the service does not know it."""
        return KINDS[kind].status(self, run)

    def preview(self, submission: Submission) -> dict[str, Any]:
        """The exact request that `submit` would send first, not sent: method, url, headers, body."""
        return submission.target.preview(self, submission)

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

    def scoring_uri(self, endpoint: str) -> str:
        """Where a batch endpoint is invoked; looked up once."""
        if endpoint not in self._scoring:
            self._scoring[endpoint] = scoring_uri(self, endpoint)
        return self._scoring[endpoint]

    def through(self, transport: object) -> AzureML:
        """The same workspace, its MLClients sending through another transport of azure-core."""
        return AzureML(self.workspace, self.credential, {**self._options, "transport": transport})


def _default_credential() -> TokenCredential:
    # Managed identity in the cloud, `az login` on a developer's machine. About 0.3 s to import.
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(exclude_interactive_browser_credential=True)
