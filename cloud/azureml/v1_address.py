"""The REST address of a published pipeline or of a pipeline endpoint, as the studio and the v1 SDK show it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from cloud.azureml.workspace import ServiceRefused, Workspace

_PATH = re.compile(
    r".*?(?P<workspace>/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/workspaces/[^/]+)"
    r"/PipelineRuns/(?P<route>Pipeline(?:Endpoint)?Submit)/(?P<rest>.+)",
    re.IGNORECASE,
)
_REGION = re.compile(r"(?:.*\.)?([a-z0-9-]+)\.api\..+")
_SHAPE = "https://REGION.api.azureml.ms/pipelines/v1.0/subscriptions/.../workspaces/NAME/PipelineRuns/"


@dataclass(frozen=True)
class Address:
    """What an address names: a pipeline by `id`; a pipeline endpoint by `id` or `name`, and perhaps its version.

    workspace: the ARM id that it goes to. region: empty where the host does not say it.
    """

    region: str = ""
    workspace: str = ""
    id: str = ""
    name: str = ""
    version: str = ""

    def check(self, where: Workspace, what: str) -> None:
        """Raise ServiceRefused where the address leads to another workspace or region than `where`."""
        same = self.workspace.lower() == where.path.lower() and self.region in ("", where.region.lower())
        if not same:
            raise ServiceRefused(
                f"{what}: its address is of {self.workspace} in {self.region or 'a region it does not say'}, the app "
                f"is set to {where.path} in {where.region}; correct AZUREML_WORKSPACE and AZUREML_REGION, or the entry"
            )


def pipeline_address(text: str) -> Address | None:
    """The address of a published pipeline; None where `text` is none, but an id. Raises ValueError."""
    found = _parts(text)
    if not found:
        return None
    region, workspace, route, rest, _ = found
    if route != "pipelinesubmit" or len(rest) != 1:
        raise ValueError(
            f"id is {text!r}, no address of a published pipeline; write its id, or {_SHAPE}PipelineSubmit/ID"
            + ("; for a pipeline endpoint, kind = 'pipeline-endpoint'" if route == "pipelineendpointsubmit" else "")
        )
    return Address(region, workspace, rest[0])


def endpoint_address(text: str) -> Address | None:
    """The address of a pipeline endpoint; None where `text` is none, but a name. Raises ValueError."""
    found = _parts(text)
    if not found:
        return None
    region, workspace, route, rest, query = found
    name, version = query.get("name", ""), query.get("pipelineVersion", "")
    if route == "pipelineendpointsubmit" and rest[0].lower() == "id" and len(rest) in (2, 3):
        return Address(region, workspace, rest[1], version=rest[2] if len(rest) == 3 else version)
    if route == "pipelineendpointsubmit" and rest[0].lower() == "name" and len(rest) == 1 and name:
        return Address(region, workspace, name=name, version=version)
    raise ValueError(
        f"endpoint is {text!r}, no address of a pipeline endpoint; write its name, or {_SHAPE}"
        "PipelineEndpointSubmit/Id/ID"
        + ("; for a published pipeline, kind = 'published'" if route == "pipelinesubmit" else "")
    )


def _parts(text: str) -> tuple[str, str, str, list[str], dict[str, str]] | None:
    """Region, workspace, route in lower case, what follows it, and the query."""
    if "://" not in text and "/PipelineRuns/" not in text:
        return None
    url = urlsplit(text.strip())
    path = _PATH.fullmatch(unquote(url.path).rstrip("/"))
    if not path:
        return "", "", "", [""], {}
    region = _REGION.fullmatch(url.hostname or "")
    rest = path["rest"].split("/")
    query = {key: values[0] for key, values in parse_qs(url.query).items()}
    return region[1] if region else "", path["workspace"], path["route"].lower(), rest, query
