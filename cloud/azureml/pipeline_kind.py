"""What a kind of pipeline is: the keys of its entries, and how the workspace is spoken to for it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from cloud.azureml.workspace import EXPERIMENT, LITERALS, SLOT_TAG, Run, Search, Workspace
from cloud.azureml.workspace_caller import Caller

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

Plain = bool | int | float | str
FILES = ("uri_folder", "uri_file")


class Connection(Protocol):
    """What kinds need of `cloud.azureml.azureml_client.AzureML`."""

    workspace: Workspace
    caller: Caller

    def ml(self, retry: bool = True) -> MLClient: ...

    def scoring_uri(self, endpoint: str) -> str: ...

    def through(self, transport: object) -> Connection: ...


@dataclass(frozen=True, kw_only=True)
class Kind(ABC):
    """The keys of a kind, as an entry of pipelines.toml writes them. A value that cannot be sent is a ValueError."""

    kind: ClassVar[str]
    experiment: ClassVar[str] = EXPERIMENT  # where the entry names none

    def as_table(self) -> dict[str, Any]:
        """The keys that the entry gave."""
        given = ((item.name, getattr(self, item.name)) for item in fields(self))
        return {name: value for name, value in given if value not in (None, "", {})}

    def check_names(self) -> None:  # noqa: B027 - nothing is published of most names
        """Raise ValueError for what the service would refuse. Asked once expressions are filled in."""

    @abstractmethod
    def submit(self, service: Connection, submission: Submission) -> Run:
        """Start the slot's run. Raises NotAccepted, OutcomeUnknown, ServiceRefused or ServiceBusy."""

    @abstractmethod
    def search(self, service: Connection, submission: Submission, since: datetime, names_kept: bool) -> Search:
        """Whether a run of this slot exists, after an attempt at `since` whose outcome is unknown."""

    @staticmethod
    @abstractmethod
    def status(service: Connection, run: str) -> Run | None:
        """The run as it is now; None where the service does not know it."""

    @abstractmethod
    def preview(self, service: Connection, submission: Submission) -> dict[str, Any]:
        """The exact request that `submit` would send first, not sent: method, url, headers, body."""

    def is_at_work(self, name: str) -> bool:
        """Whether this process itself works on a slot of that entry now: then its worker is not dead."""
        return False


@dataclass(frozen=True)
class Submission:
    """The run of a slot, all expressions filled in. number: counts the runs that a slot had one after the other."""

    pipeline: str
    slot: datetime
    target: Kind
    experiment: str = EXPERIMENT  # empty: what the job's YAML names
    description: str = ""
    tags: Mapping[str, Plain] = field(default_factory=dict)
    number: int = 1

    @property
    def key(self) -> str:
        """Names the slot's run for ever; the id of the job where we may choose it."""
        again = f"-{self.number}" if self.number > 1 else ""
        return f"{self.pipeline}-{self.slot:%Y%m%dT%H%M%SZ}{again}"

    @property
    def all_tags(self) -> dict[str, str]:
        """The entry's tags, and the tag by which the run is looked up."""
        return {**{key: as_text(value) for key, value in self.tags.items()}, SLOT_TAG: self.key}


def as_text(value: Plain) -> str:
    """A value where only texts travel, as TOML writes it: Python's True is the service's true."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_given(**values: str) -> None:
    """Raise ValueError for the first key that is empty."""
    for name, value in values.items():
        if not value:
            raise ValueError(f"{name!r} is empty; it must name what is to run")


def check_name(key: str, value: str, longest: int = 255) -> None:
    """Raise ValueError for a name that Azure Machine Learning refuses: the pattern of its ARM resources."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", value) or len(value) > longest:
        raise ValueError(
            f"{key} is {value!r}, which Azure Machine Learning refuses: 1 to {longest} letters (a to z), digits, "
            "hyphens and underscores, the first one a letter or digit"
            + ("; {slot} alone has colons: write {slot:%Y-%m-%d}" if re.search(r"-\d\dT\d\d:", value) else "")
        )


def check_inputs(inputs: Mapping[str, Any], types: tuple[str, ...]) -> None:
    """Raise ValueError for an input that is no plain value, no typed literal and no place of these `types`."""
    for name, value in inputs.items():
        where = f"inputs.{name}"
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{where}: an input's name has letters, digits and underscores only")
        if isinstance(value, Plain):
            continue
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} is {value!r}; it must be a text, a number, true, false or a table with a path")
        if value.get("type") not in LITERALS:
            check_place(where, value, types)
        elif not isinstance(value.get("value"), Plain):
            raise ValueError(f"{where} is {dict(value)!r}; a {value['type']} needs a value")


def check_place(where: str, value: Mapping[str, Any], types: tuple[str, ...]) -> None:
    """Raise ValueError for a table that names no place of these `types`."""
    kind, path = value.get("type", types[0]), value.get("path")
    if kind not in types:
        raise ValueError(f"{where} has the type {kind!r}; it must be one of {', '.join(types)}")
    if not isinstance(path, str) or not path:
        raise ValueError(f'{where} needs a path, as in path = "azureml://datastores/NAME/paths/FOLDER/"')


def job_input(value: object) -> object:
    """An input of an entry as a job's YAML has it."""
    # Without a type it is the commonest, a folder; a literal is its value.
    if not isinstance(value, Mapping):
        return value
    return value["value"] if value.get("type") in LITERALS else {"type": "uri_folder", **value}


def batch_input(value: object) -> dict[str, Any]:
    """An input of an entry as a batch endpoint takes it."""
    if not isinstance(value, Mapping):
        return {"jobInputType": "Literal", "value": value}
    if value.get("type") in LITERALS:
        return {"jobInputType": "Literal", "value": value.get("value")}
    return {"jobInputType": pascal(str(value.get("type", "uri_folder"))), "uri": value["path"]}


def pascal(word: str) -> str:
    """`uri_folder` as UriFolder, the spelling of the service."""
    return "".join(part.capitalize() for part in word.split("_"))
