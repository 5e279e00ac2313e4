"""App settings and host options: local.settings.json, the environment, host.json and its overrides."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from localhost.errors import BindingError, SettingsError
from localhost.settings_file import read, read_local_settings, section

STORAGE = "AzureWebJobsStorage"
_OVERRIDE = "azurefunctionsjobhost__"
_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,10}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?")


@dataclass(frozen=True)
class QueueOptions:
    """How a queue is read (host.json ``extensions.queues``); times in seconds."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: float = 0.0
    max_polling_interval: float = 60.0
    #: A message taken is invisible for so long, and renewed at half-life while its function runs.
    message_lease: int = 600


@dataclass(frozen=True)
class HostOptions:
    """host.json with its overrides applied; times in seconds, ``function_timeout`` None = unbounded."""

    queues: QueueOptions = field(default_factory=QueueOptions)
    blob_parallelism: int = 8
    poison_blob_threshold: int = 5
    route_prefix: str = "api"
    function_timeout: float | None = 1800.0
    bundle: bool = False

    def blob_queue(self) -> QueueOptions:
        """The shared blob-trigger queue's options, derived from maxDegreeOfParallelism as in the real host."""
        batch = min(32, self.blob_parallelism // 2 + 1)
        return replace(
            self.queues,
            batch_size=batch,
            new_batch_threshold=self.blob_parallelism - batch,
            max_dequeue_count=self.poison_blob_threshold,
            visibility_timeout=0.0,
        )


def parse_timespan(text: str) -> timedelta | None:
    """``[d.]hh:mm[:ss[.fffffff]]`` as .NET's TimeSpan reads it; None when it is not one.

    An hour part above 23 makes .NET read ``24:00:00`` as days:hours:minutes; that trap is kept.
    """
    match = _SPAN.fullmatch(text.strip())
    if not match:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    micro = int((match[5] or "0").ljust(6, "0")[:6])
    if hours > 23:
        if match[1]:
            return None
        days, hours, minutes, seconds, micro = hours, minutes, seconds, 0, 0
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return timedelta(days, hours=hours, minutes=minutes, seconds=seconds, microseconds=micro)


def load_local_settings(app_dir: Path, environ: MutableMapping[str, str], port: int | None = None) -> int:
    """Puts local.settings.json's ``Values`` into ``environ`` (what is set there already wins); returns the port to
    listen on: ``port``, or the file's ``Host.LocalHttpPort``, or 7071.

    This must happen before the app is imported: apps read settings while they are indexed.
    """
    path = app_dir / "local.settings.json"
    content = read_local_settings(path) if path.exists() else {}
    for name, value in section(content, "Values", path).items():
        environ.setdefault(name, value)
    configured = str(section(content, "Host", path).get("LocalHttpPort", 7071))
    if not re.fullmatch("[0-9]{1,5}", configured) or int(configured) > 65535:
        raise SettingsError(f"{path}: LocalHttpPort is {configured!r}, expected a whole number from 0 to 65535.")
    port = int(configured) if port is None else port
    defaults = {
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "FUNCTIONS_WORKER_RUNTIME_VERSION": ".".join(platform.python_version_tuple()[:2]),
        "FUNCTIONS_APPLICATION_DIRECTORY": str(app_dir),
        "AzureWebJobsScriptRoot": str(app_dir),
        "PYTHON_THREADPOOL_THREAD_COUNT": "1000",  # what the real host gives a worker that has no such setting
    }
    if port != 0:  # else it is known once the host listens
        defaults["WEBSITE_HOSTNAME"] = f"localhost:{port}"
    for name, value in defaults.items():
        environ.setdefault(name, value)
    return port


def setting(environ: Mapping[str, str], name: str) -> str | None:
    """An app setting by name, case-insensitively and with ``:`` for ``__``, as .NET configuration reads it."""
    if name in environ:
        return environ[name]
    wanted = name.replace(":", "__").lower()
    return next((value for key, value in environ.items() if key.replace(":", "__").lower() == wanted), None)


def positive(environ: Mapping[str, str], name: str, default: int) -> int:
    """An app setting that is a number of things; raises :class:`SettingsError` where it is not."""
    text = setting(environ, name) or str(default)
    if not re.fullmatch(r"0*[1-9][0-9]{0,11}", text.strip()):
        raise SettingsError(f"{name} is {text!r}, expected a whole number from 1.")
    return int(text)


def resolve(text: str, environ: Mapping[str, str]) -> str:
    """Replaces each ``%NAME%`` by its app setting; raises :class:`BindingError` when one is missing or unclosed."""
    parts = text.split("%")
    if len(parts) % 2 == 0:
        raise BindingError(f"The '%' at position {text.rindex('%')} does not have a closing '%' in '{text}'.")
    for index in range(1, len(parts), 2):
        value = setting(environ, parts[index])
        if value is None:
            raise BindingError(f"'%{parts[index]}%' does not resolve to a value.")
        parts[index] = value
    return "".join(parts)


def is_disabled(environ: Mapping[str, str], function: str) -> bool:
    """Whether ``AzureWebJobs.<name>.Disabled`` (or, where dots are not allowed, with ``_`` or ``__``) says so."""
    values = (setting(environ, f"AzureWebJobs{dot}{function}{dot}Disabled") for dot in (".", "_", "__"))
    return any((value or "").strip().lower() in ("true", "1") for value in values)


class _HostJson:
    """host.json with ``AzureFunctionsJobHost__a__b`` settings on top, by dotted paths whose case does not matter."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._values: dict[str, Any] = {}
        self._add("", read(path))
        for name, value in environ.items():
            if name.lower().startswith(_OVERRIDE):
                with contextlib.suppress(ValueError):
                    value = json.loads(value)
                self._add("." + re.sub("__|:", ".", name[len(_OVERRIDE) :]), value)

    def _add(self, path: str, value: Any) -> None:
        self._values[path[1:].lower()] = value
        for key, child in value.items() if isinstance(value, dict) else ():
            self._add(f"{path}.{key}", child)

    def get(self, path: str, default: Any = None) -> Any:
        value = self._values.get(path.lower())
        return default if value is None else value

    def number(self, path: str, default: int, low: int, high: int = 2**31 - 1) -> int:
        value = self.get(path, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise SettingsError(f"host.json: {path} is {value!r}, expected a whole number from {low} to {high}.")
        return value

    def span(self, path: str, default: str) -> float:
        value = self.get(path, default)
        span = parse_timespan(value) if isinstance(value, str) else None
        if span is None:
            raise SettingsError(f"host.json: {path} is {value!r}, expected a time span hh:mm:ss.")
        return span.total_seconds()


def load_host_json(app_dir: Path, environ: Mapping[str, str]) -> HostOptions:
    """host.json of the app, with ``AzureFunctionsJobHost__a__b`` settings on top."""
    path = app_dir / "host.json"
    if not path.exists():
        raise SettingsError(f"{app_dir}: no host.json here. Name the folder that holds host.json and function_app.py.")
    content = _HostJson(path, environ)
    if content.get("version") != "2.0":
        raise SettingsError(f'{path}: version is {content.get("version")!r}, expected "2.0". Correct the file.')
    cores = os.cpu_count() or 1
    unbounded = str(content.get("functionTimeout")) == "-1"
    return HostOptions(
        queues=_queue_options(content, environ, cores),
        blob_parallelism=content.number("extensions.blobs.maxDegreeOfParallelism", 8 * cores, 1),
        poison_blob_threshold=content.number("extensions.blobs.poisonBlobThreshold", 5, 1),
        route_prefix=str(content.get("extensions.http.routePrefix", "api")).strip("/"),
        function_timeout=None if unbounded else content.span("functionTimeout", "00:30:00"),
        bundle=_has_bundle(content, path),
    )


def _queue_options(content: _HostJson, environ: Mapping[str, str], cores: int) -> QueueOptions:
    section = "extensions.queues."
    batch = content.number(section + "batchSize", 16, 1, 32)
    development = (setting(environ, "AZURE_FUNCTIONS_ENVIRONMENT") or "").lower() == "development"
    encoding = str(content.get(section + "messageEncoding", "base64")).lower()
    if encoding != "base64":
        raise SettingsError(f"host.json: {section}messageEncoding is {encoding!r}; this local host reads base64 only.")
    return QueueOptions(
        batch_size=batch,
        new_batch_threshold=content.number(section + "newBatchThreshold", batch // 2 * cores, 0),
        max_dequeue_count=content.number(section + "maxDequeueCount", 5, 1),
        visibility_timeout=content.span(section + "visibilityTimeout", "00:00:00"),
        max_polling_interval=content.span(section + "maxPollingInterval", "00:00:02" if development else "00:01:00"),
    )


def _has_bundle(content: _HostJson, path: Path) -> bool:
    bundle, parts = content.get("extensionBundle"), ("extensionBundle.id", "extensionBundle.version")
    identity, version = map(content.get, parts)
    if bundle is not None and (not identity or not re.fullmatch(r"[\[(].+[\])]", str(version))):
        raise SettingsError(
            f"{path}: extensionBundle is {bundle!r}, expected an id and a version range. Write "
            '{"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}.'
        )
    return bundle is not None


def host_id(app_dir: Path, environ: Mapping[str, str]) -> str:
    """The id that names this host's queues, timers and receipts; stable for one machine and one app folder."""
    configured = setting(environ, "AzureFunctionsWebHost__hostid")
    if configured:
        if len(configured) > 32 or not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", configured):
            raise SettingsError(
                f"AzureFunctionsWebHost__hostid is {configured!r}, expected 1 to 32 lower-case letters, digits and "
                "single dashes (it becomes part of a queue's name)."
            )
        return configured
    machine = re.sub(r"[^a-z0-9]", "", platform.node().lower()) or "local"
    digest = int.from_bytes(hashlib.sha256(str(app_dir.resolve()).encode()).digest()[:4], "big") & 0x7FFFFFFF
    return f"{machine}-{digest}"[:32].rstrip("-")
