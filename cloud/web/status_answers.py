"""What the API answers of the app itself: models, routes, pipelines, drift, health, rights; see answers.py."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from cloud.web.answers import FailureDoc


class ServingDoc(TypedDict):
    """A model. usable: whether routes can use it; reason: why not, or what else is to be known of it; refused: the last
    version that was refused, and why."""

    name: str
    version: str
    task: str
    licence: str
    usable: bool
    reason: str
    refused: str


class ServingListDoc(TypedDict):
    """All models of the app. refused: what of pipelines.toml's [[model]] entries was refused."""

    models: list[ServingDoc]
    refused: list[str]


class RouteStepDoc(TypedDict):
    """A step of a route. on: the label whose crops it runs on."""

    name: str
    model: str
    on: str


class RouteDoc(TypedDict):
    """A route. match: the pattern of names; when: an NCRONTAB schedule; problem: why its uploads wait."""

    name: str
    match: str
    when: str | None
    priority: int
    steps: list[RouteStepDoc]
    problem: str


class RouteListDoc(TypedDict):
    """The routes, in the order in which names are tried."""

    routes: list[RouteDoc]


class SlotDoc(TypedDict):
    """A scheduled moment of an entry of pipelines.toml. run: id, status and page of its run; why: what went wrong."""

    slot: str
    state: str
    attempts: int
    run: dict[str, str] | None
    why: str


class PipelineDoc(TypedDict):
    """An entry of pipelines.toml. next: its next slot, None where it has none within a year; last: its newest slot that
    is over; open: slots that are not; problem: why it cannot be said where it stands."""

    name: str
    kind: str
    enabled: bool
    next: str | None
    last: dict[str, Any] | None
    open: int
    problem: str


class PipelineListDoc(TypedDict):
    """The entries of pipelines.toml, and what is wrong with that file."""

    pipelines: list[PipelineDoc]
    problems: list[str]


class PipelineHistoryDoc(TypedDict):
    """An entry and its newest slots, the newest first. problems: receipts that cannot be read."""

    pipeline: PipelineDoc
    history: list[SlotDoc]
    problems: list[str]


class DriftDoc(TypedDict):
    """The last verdict of the drift check. status: "unknown" where there was none."""

    status: str
    why: str
    at: str | None
    verdict: dict[str, Any]


class HealthDoc(TypedDict):
    """The deep health. errors: by part; beside these a member a part."""

    status: Literal["ok", "degraded"]
    errors: dict[str, FailureDoc]
    versions: dict[str, str]


class RightDoc(TypedDict):
    """A right that the key at hand opens."""

    right: Literal["read", "contribute", "operate", "operate_actions"]
