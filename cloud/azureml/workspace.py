"""What travels to and from a workspace, and the three ways in which a submission can end badly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cloud.settings import azureml_address
from inference.errors import BadPipeline, ServiceBusy

ARM = "https://management.azure.com/.default"
VERSION = {"api-version": "2025-12-01"}  # of the ARM routes
DATA_PLANE = "https://ml.azure.com/.default"
SLOT_TAG = "dropsight-slot"
EXPERIMENT = "dropsight"
# The types of an input that is a value, not a file.
LITERALS = ("string", "integer", "number", "boolean")
RunState = Literal["running", "done", "failed", "canceled"]
_WORKSPACE_ID = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/([^/]+)/?",
    re.IGNORECASE,
)


class NotAccepted(ServiceBusy):
    """The service did not take the submission, for certain: it may be sent again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float = 60) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(ServiceBusy):
    """The submission was sent, and whether it was taken is not known: never send it again unseen."""


class ServiceRefused(BadPipeline):
    """The service refused, and will refuse again until a person changes something."""


class ExistsAlready(ServiceRefused):
    """The service refused because something of that name exists. Perhaps our own request made it: see `refusal`."""


@dataclass(frozen=True)
class Workspace:
    """Where a workspace is. `management` and `regional` are its two hosts, without a trailing slash."""

    subscription: str
    resource_group: str
    name: str
    region: str
    management: str = "https://management.azure.com"
    regional: str = ""

    @property
    def path(self) -> str:
        """The workspace's ARM id."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )

    @property
    def arm(self) -> str:
        """Base of the v2 (ARM) routes."""
        return self.management + self.path

    @property
    def v1(self) -> str:
        """Base of the v1 pipeline routes."""
        return self.area("pipelines")

    def area(self, name: str) -> str:
        """Base of the routes of a service of the region."""
        host = self.regional or f"https://{self.region}.api.azureml.ms"
        return f"{host}/{name}/v1.0{self.path}"

    def page(self, run: str) -> str:
        """The run's page in Azure Machine Learning studio."""
        return f"https://ml.azure.com/runs/{run}?wsid={self.path}"

    @classmethod
    def parse(cls, arm_id: str, region: str) -> Workspace:
        """From the workspace's ARM id and region. Raises BadPipeline.

        AZUREML_DEV_URL_MFE, the SDK's own switch, points both dialects at another host.
        """
        match = _WORKSPACE_ID.fullmatch(arm_id.strip())
        if not match:
            raise BadPipeline(
                f"the workspace is {arm_id!r}; set AZUREML_WORKSPACE to its resource id "
                "(/subscriptions/.../resourceGroups/.../providers/Microsoft.MachineLearningServices"
                "/workspaces/NAME), which the portal shows under Overview, JSON view"
            )
        if not re.fullmatch(r"[a-z0-9]+", region):
            raise BadPipeline(f"AZUREML_REGION is {region!r}; set it to the workspace's region, as in westeurope")
        local = azureml_address()
        return cls(match[1], match[2], match[3], region, *((local, local) if local else ()))


@dataclass(frozen=True)
class Run:
    """A run of the service: its id, the service's own word for its status, and ours."""

    id: str
    status: str
    detail: str = ""
    page: str = ""

    @property
    def state(self) -> RunState:
        """NotResponding may recover, so it is running."""
        known: dict[str, RunState] = {
            "finished": "done",
            "completed": "done",
            "failed": "failed",
            "canceled": "canceled",
        }
        return known.get(self.status.lower(), "running")


@dataclass(frozen=True)
class Search:
    """Whether a run of a slot exists: the run, or for certain none, or nobody can say (`why`)."""

    run: Run | None = None
    certain: bool = True
    why: str = ""
