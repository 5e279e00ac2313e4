"""One frozen object read from the app settings (environment variables), validated once.

The environment is read here and nowhere else in the app; `inference.engine.registry` reads its own DROPSIGHT_* where
it is used without the app. Standard library only: function_app.py imports this when the app is indexed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from cloud.setting_values import FALSE as FALSE
from cloud.setting_values import TRUE as TRUE
from cloud.setting_values import BadSettings as BadSettings
from cloud.setting_values import parsed, setting

UPLOADS = "uploads"
RESULTS = "results"
ERRORS = "errors"
MODELS = "models"
STATE = "state"
CONTAINERS = (UPLOADS, RESULTS, ERRORS, MODELS, STATE)

MAX_SETTINGS = 37
BLOB_SOURCES = ("LogsAndContainerScan", "EventGrid")
_MIB = 1024 * 1024
_INTAKE = {**dict.fromkeys(TRUE, "on"), **dict.fromkeys((*FALSE, "pause"), "paused")}


@dataclass(frozen=True)
class Settings:
    """What an operator can change without changing code. docs/settings.md is generated from this class."""

    storage_connection: str = setting(
        "STORAGE_CONNECTION",
        "AzureWebJobsStorage",
        "Name of the setting that holds the connection to the account with the containers: a connection "
        "string, or (managed identity) the prefix of `__serviceUri`, `__blobServiceUri` or `__accountName`.",
    )
    blob_trigger_source: str = setting(
        "BLOB_TRIGGER_SOURCE",
        "LogsAndContainerScan",
        "How new uploads are noticed: `LogsAndContainerScan` (polling, local and Premium) or `EventGrid` "
        "(the only source that Flex Consumption has). Read when the app is indexed.",
        choices=BLOB_SOURCES,
    )
    intake: str = setting(
        "INTAKE",
        "on",
        "`paused` (or `off`) has new uploads wait where they are: none is begun or lost, and the sweep takes them once "
        "it is `on` again. What was begun goes on (jobs of long videos), and so does POST /api/v1/analyze.",
        choices=("on", "paused"),
        also=_INTAKE,
    )
    sweep_schedule: str = setting(
        "SWEEP_SCHEDULE",
        "0 */5 * * * *",
        "NCRONTAB of the timer that finds uploads without a finished receipt. Read when the app is indexed.",
    )
    tick_schedule: str = setting(
        "TICK_SCHEDULE",
        "0 * * * * *",
        "NCRONTAB of the timer that starts and follows what pipelines.toml puts on a schedule; there is none where "
        "that holds only comments. Read when the app is indexed; `dev.py doctor` says whether another fits better.",
    )
    sweep_seconds: float = setting(
        "SWEEP_SECONDS", 240.0, "How long a sweep may work before it leaves a mark for the next sweep.", low=1
    )
    lease_seconds: float = setting(
        "LEASE_SECONDS",
        120.0,
        "How long an upload stays reserved for a worker that gives no sign of life; a living worker renews it.",
        low=1,
    )
    max_attempts: int = setting(
        "MAX_ATTEMPTS", 5, "After so many attempts that did not end, an upload is recorded as failed.", low=1
    )
    max_concurrent: int = setting(
        "MAX_CONCURRENT",
        4,
        "Uploads that a process fetches, decodes and analyses at the same time, whatever "
        "PYTHON_THREADPOOL_THREAD_COUNT says. Videos take one of these places for every two cores, and never the last; "
        "where there is a single one, a video may run beside it. It bounds memory; the engine bounds cores by itself.",
        low=1,
    )
    max_image_bytes: int = setting(
        "MAX_IMAGE_BYTES", 50 * _MIB, "Larger images are refused before they are downloaded.", low=1
    )
    max_video_bytes: int = setting(
        "MAX_VIDEO_BYTES",
        500 * _MIB,
        "Larger videos are refused before they are downloaded; those that are split are not downloaded.",
        low=1,
    )
    video_split_above_seconds: float = setting(
        "VIDEO_SPLIT_ABOVE_SECONDS",
        300.0,
        "Videos of which more than this is analysed are split over the queues `segments`, `merges` and `renders`.",
        low=0,
    )
    video_segment_seconds: float = setting(
        "VIDEO_SEGMENT_SECONDS",
        120.0,
        "About how long the work on a segment of a split video takes, by the speed on its first frames; "
        "a small part of functionTimeout.",
        low=0,
    )
    max_request_bytes: int = setting(
        "MAX_REQUEST_BYTES",
        20 * _MIB,
        "The largest body that POST /api/v1/analyze and PUT /api/v1/uploads take, and the largest file that is sent "
        "at once; larger ones are sent by ranges.",
        low=1,
    )
    run_seconds: float = setting(
        "RUN_SECONDS",
        60.0,
        "A single run of a model that takes longer is ended, unless it is still within 50 times its shortest run. Two "
        "such runs of a model that never came to its end, and it is not run any more.",
        low=0.001,
    )
    picture_seconds: float = setting(
        "PICTURE_SECONDS", 120.0, "All that is done for one picture is ended after so long.", low=0.001
    )
    request_seconds: float = setting(
        "REQUEST_SECONDS",
        60.0,
        "Work for a request over HTTP is ended after so long, with 503; Azure's load balancer gives up after 230 s.",
        low=0.001,
    )
    app_url: str = setting(
        "APP_URL",
        "",
        "The address under which the app is reached, such as `https://pictures.example.org`: there it asks itself what "
        "a key opens that somebody signs in with. Azure says it by itself (`WEBSITE_HOSTNAME`); needed elsewhere.",
    )
    inline_routes: bool = setting(
        "INLINE_ROUTES",
        False,
        "`true` lets a sidecar bring a route of its own (`[[route]]`), and not only name one of the routes: who "
        "uploads then says which models run, and whether anything is blurred.",
    )
    delete_results_with_uploads: bool = setting(
        "DELETE_RESULTS_WITH_UPLOADS",
        False,
        "`true` deletes what came of an upload (result, artifacts, error record, receipt) within some hours after the "
        "upload was deleted.",
    )
    retention_days: float = setting(
        "RETENTION_DAYS",
        0.0,
        "So many days after an upload was written its result, artifacts and error record are deleted; 0 keeps them. A "
        "route's `retention_days` says otherwise for its uploads.",
        low=0,
    )
    retention_deletes_uploads: bool = setting(
        "RETENTION_DELETES_UPLOADS",
        False,
        "`true` has that delete the upload, too, where it was analysed.",
    )
    read_only: bool = setting(
        "READ_ONLY",
        False,
        "`true` refuses whatever would change anything over HTTP (uploads, deletions, replays, cancels, runs of "
        "pipelines); what is put into storage is analysed all the same, and so is POST /api/v1/analyze.",
    )
    notify_url: str = setting(
        "NOTIFY_URL",
        "",
        "Where an event is posted for each result that was written, has failed or was cancelled (docs/notify.md). Read "
        "when the app is indexed.",
    )
    notify_secret: str = setting(
        "NOTIFY_SECRET",
        "",
        "By which these requests are signed (HMAC-SHA256, as Standard Webhooks says): `whsec_` and base64, or any text "
        "of at least 16 bytes.",
    )
    notify_queue: str = setting(
        "NOTIFY_QUEUE",
        "",
        "A queue of the same account that is given the same events, for whoever reads queues.",
    )
    routes_file: str = setting("ROUTES_FILE", "routes.toml", "The routes, relative to the app's folder.")
    pipelines_file: str = setting(
        "PIPELINES_FILE", "pipelines.toml", "The Azure Machine Learning pipelines, relative to the app's folder."
    )
    azureml_workspace: str = setting(
        "AZUREML_WORKSPACE",
        "",
        "Resource id of the Azure Machine Learning workspace: /subscriptions/.../workspaces/NAME.",
    )
    model_events_key: str = setting(
        "MODEL_EVENTS_KEY",
        "",
        "What POST /api/models/events must be given as `key` in its address, or in the header `x-model-events-key`, "
        "beside a key of the host; empty takes no events (the tick delivers all the same).",
    )
    azureml_region: str = setting("AZUREML_REGION", "", "Region of that workspace, as in westeurope.")
    models_seconds: float = setting(
        "MODELS_SECONDS", 60.0, "How often a process looks for new models in the container `models`.", low=0
    )
    models: str = setting(
        "DROPSIGHT_MODELS",
        "",
        "Further folders of models, and single .onnx files, beside the app's `models/`; a path list.",
    )
    public_models: str = setting(
        "DROPSIGHT_PUBLIC_MODELS",
        "",
        "The folder in which `models pull` puts public models; empty is `models/_public`.",
    )
    weights: str = setting(
        "DROPSIGHT_WEIGHTS",
        "",
        "Folders in which a manifest's weights are looked up by their sha256; a path list.",
    )
    providers: str = setting(
        "DROPSIGHT_PROVIDERS",
        "",
        "Execution providers of onnxruntime, best first, such as `cuda,cpu`; those that are absent are passed over.",
    )
    allow_research_models: bool = setting(
        "DROPSIGHT_ALLOW_RESEARCH_MODELS",
        True,
        "`false` leaves out models whose data or weights are for research or non-commercial use.",
    )

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Settings:
        """The settings in `env`; empty values count as unset. Raises BadSettings with all that is wrong."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        for item in fields(cls):
            text = env.get(item.metadata["name"], "").strip()
            if not text:
                continue
            try:
                values[item.name] = parsed(text, item.default, item.metadata)
            except ValueError as error:
                problems.append(f"{item.metadata['name']}={text!r}: {error}")
        if problems:
            raise BadSettings("App settings that cannot be used: " + "; ".join(problems))
        return cls(**values)


@cache
def current() -> Settings:
    """The settings of this process. `current.cache_clear()` reads them again."""
    return Settings.read(os.environ)


def environment() -> MutableMapping[str, str]:
    """The app settings of this process themselves, for whoever adds to them before anybody reads them."""
    return os.environ


def text_of(name: str) -> str:
    """One setting as it is written, or its default, whatever the others say: by these the host indexes the app."""
    default = next(item.default for item in fields(Settings) if item.metadata["name"] == name)
    return os.environ.get(name, "").strip() or str(default)


def slips(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Names in `env` (None: of this process) that were meant as settings and are none, each with a sentence."""
    from cloud.setting_names import wrong_names  # lazily: the index of the app does without

    known = {item.metadata["name"] for item in fields(Settings)}
    return wrong_names(os.environ if env is None else env, known)


def is_disabled(function: str) -> bool:
    """Whether the host's own setting switches this function off, in either spelling (Linux has no dots in names)."""
    names = (f"AzureWebJobs.{function}.Disabled", f"AzureWebJobs_{function}_Disabled")
    return any(os.environ.get(name, "").lower() in ("true", "1") for name in names)


def ca_bundle() -> str | None:
    """The file of certificates that requests is told to trust, for clients that otherwise ignore the environment."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or None


def host_name() -> str:
    """The name by which the platform says that the app is reached, with a port where that is not the usual one."""
    return os.environ.get("WEBSITE_HOSTNAME", "").strip()


def deployment() -> str:
    """Which of several deployments over one account this is: app and slot in Azure, `local` elsewhere."""
    parts = (os.environ.get(name, "") for name in ("WEBSITE_SITE_NAME", "WEBSITE_SLOT_NAME"))
    return "-".join(part.lower() for part in parts if part) or "local"


def app_identity() -> str:
    """Whose routes and models work on an upload: as `deployment`; outside Azure the host's own id, if it has one."""
    here = deployment()
    return os.environ.get("AzureFunctionsWebHost__hostid", "").strip() or here if here == "local" else here


@dataclass(frozen=True)
class Endpoint:
    """Where a service of an account is: by a connection string, or by its address and an identity (None: any)."""

    text: str = ""
    uri: str = ""
    client_id: str | None = None


def endpoint(connection: str, kind: str) -> Endpoint:
    """Where the connection setting `connection` leads for "blob", "queue" or "table". Raises BadSettings."""

    def get(name: str) -> str | None:
        return os.environ.get(name, "").strip() or None  # blank counts as unset

    if ";" in connection or "=" in connection:  # not shown: it has the account's key
        raise BadSettings(
            "STORAGE_CONNECTION is a connection string itself; put that into AzureWebJobsStorage, or into a setting of "
            "another name, and say the name here"
        )
    if text := get(connection):
        return Endpoint(text)
    if uri := get(f"{connection}__{kind}ServiceUri"):
        pass
    elif uri := get(f"{connection}__serviceUri"):
        uri = uri.replace(".blob.", f".{kind}.")
    elif account := get(f"{connection}__accountName"):
        uri = f"https://{account}.{kind}.core.windows.net"
    else:
        raise BadSettings(
            f"No storage connection: neither {connection} nor {connection}__serviceUri, __{kind}ServiceUri or "
            "__accountName is set; set any of them (local.settings.example.json shows how)"
        )
    return Endpoint(uri=uri, client_id=get(f"{connection}__clientId"))


def azureml_address() -> str:
    """The host that stands in for Azure Machine Learning's, by the switch of its own SDK; "" for Azure's own."""
    return os.environ.get("AZUREML_DEV_URL_MFE", "").rstrip("/")


def document() -> str:
    """The table of docs/settings.md (a test compares the two)."""
    rows = [
        f"| `{item.metadata['name']}` | {f'`{item.default}`' if item.default != '' else '(empty)'} "
        f"| {item.metadata['doc']} |"
        for item in fields(Settings)
    ]
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])
