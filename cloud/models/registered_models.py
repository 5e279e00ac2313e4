"""Registered models: looked up in the workspace, downloaded, brought into the container, registered."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cloud.azureml.azureml_client import AzureML
from cloud.azureml.v2_kinds import sdk
from cloud.azureml.workspace import ARM, VERSION
from cloud.models import canary, releases
from cloud.models.model_entry import ModelEntry
from cloud.settings import MODELS, STATE
from cloud.storage.containers import Storage
from cloud.storage.parsed_json import read_parsed
from inference.engine.other_formats import onnx_files, what_is_there
from inference.errors import BadModel, CorruptMedia, Permanent, StorageUnavailable, UnsupportedMedia

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

log = logging.getLogger(__name__)

_URI = re.compile(r"azureml://.*?datastores/([^/]+)/paths/(.+)")
_MOST_SAMPLES = 50
_MOST_VERSIONS = 100


@dataclass(frozen=True)
class Version:
    """A version of a registered model, as the workspace describes it."""

    name: str
    version: str
    uri: str
    stage: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    registry: str = ""


class Registered:
    """The registered models of a workspace.

    `container` opens the blob container of a datastore; without it the app's identity is used.
    """

    def __init__(self, azureml: AzureML, container: Callable[[Mapping[str, Any]], ContainerClient] | None = None):
        self._azureml = azureml
        self._container = container or self._with_identity

    def names(self) -> Iterator[tuple[str, str]]:
        """(name, latest version) of every registered model."""
        for row in self._azureml.caller.rows(f"{self._azureml.workspace.arm}/models", ARM, "models", VERSION):
            yield str(row.get("name", "")), str((row.get("properties") or {}).get("latestVersion", ""))

    def get(self, name: str, version: str = "latest") -> Version:
        """A version; `latest` is the version created last. Raises BadModel."""
        if version == "latest":
            return self.newest(ModelEntry(name, name))
        url = f"{self._url(name)}/versions/{quote(version, safe='')}"
        row = self._azureml.caller.get(url, ARM, f"model {name}:{version}", VERSION)
        if row is None:
            raise BadModel(f"workspace {self._azureml.workspace.name!r} has no model {name!r} of version {version!r}")
        return _version(name, row)

    def newest(self, entry: ModelEntry) -> Version:
        """The version created last that has the entry's stage and tags. Raises BadModel where none has."""
        for version in islice(self._newest_first(entry), _MOST_VERSIONS):
            if entry.tags.items() <= version.tags.items() and entry.stage in ("", version.stage):
                return version
        where = f"registry {entry.registry!r}" if entry.registry else f"workspace {self._azureml.workspace.name!r}"
        wanted = f" with stage {entry.stage!r} and tags {dict(entry.tags)}" if entry.stage or entry.tags else ""
        raise BadModel(f"{where} has no model {entry.name!r}{wanted}")

    def _newest_first(self, entry: ModelEntry) -> Iterator[Version]:
        if entry.registry:
            return self._in_registry(entry.registry, entry.name)
        params = {**VERSION, "$orderBy": "createdtime desc", "listViewType": "ActiveOnly"}
        rows = self._azureml.caller.rows(f"{self._url(entry.name)}/versions", ARM, f"model {entry.name}", params)
        return (_version(entry.name, row) for row in rows)

    def download(self, version: Version, folder: Path) -> Path:
        """The model's files below `folder`; returns the folder that holds the ONNX file. Raises BadModel."""
        if version.registry:
            models = self._azureml.registry(version.registry).models
            self._by_sdk(
                f"registry {version.registry!r}, model {version.name}:{version.version}",
                lambda: models.download(version.name, version.version, download_path=str(folder)),
            )
        else:
            self._from_datastore(version, folder)
        weights = min(onnx_files(folder), key=lambda path: (len(path.parts), path), default=None)
        if weights is None:
            raise BadModel(f"model {version.name}:{version.version} holds no .onnx file; {what_is_there(folder)}")
        return weights.parent

    def _by_sdk(self, what: str, call: Callable[[], Any]) -> Any:
        return sdk(call, self._azureml.caller, what, sent=False)

    def _in_registry(self, registry: str, name: str) -> Iterator[Version]:
        """Versions in an Azure Machine Learning registry, newest first, through the SDK (it knows the way there)."""
        rows = self._by_sdk(
            f"registry {registry!r}, model {name!r}",
            lambda: list(self._azureml.registry(registry).models.list(name=name)),
        )

        def created(row: Any) -> str:
            return str(row.creation_context.created_at) if row.creation_context else ""

        for row in sorted(rows, key=created, reverse=True):
            uri, stage = str(row.path or row.id), str(row.stage or "")
            yield Version(name, str(row.version), uri, stage, row.tags or {}, created(row), registry)

    def _from_datastore(self, version: Version, folder: Path) -> None:
        match = _URI.fullmatch(version.uri)
        if not match:
            raise BadModel(f"model {version.name}:{version.version}: {version.uri!r} is not in a datastore")
        datastore, path = match[1], match[2].rstrip("/")
        url = f"{self._azureml.workspace.arm}/datastores/{quote(datastore, safe='')}"
        row = self._azureml.caller.get(url, ARM, f"datastore {datastore}", VERSION)
        if row is None:
            raise BadModel(f"model {version.name}:{version.version}: there is no datastore {datastore!r}")
        place = row.get("properties") or {}
        if missing := [key for key in ("accountName", "containerName", "endpoint") if not place.get(key)]:
            raise BadModel(
                f"model {version.name}:{version.version}: datastore {datastore!r} has no {', '.join(missing)}; it must "
                "be an Azure Blob datastore"
            )
        _download(self._container(place), path, folder)

    def register(self, name: str, path: str, version: str = "", tags: Mapping[str, str] | None = None) -> Version:
        """Register a folder of this machine (uploaded), or an azureml:// path (by reference). Raises BadModel."""
        if "://" not in path and not Path(path).exists():
            raise BadModel(f"registering model {name!r}: there is no folder {path!r} on this machine")
        from azure.ai.ml.entities import Model

        model = Model(name=name, path=path, version=version or None, type="custom_model", tags=dict(tags or {}))
        made = self._by_sdk(f"registering model {name!r}", lambda: self._azureml.ml().models.create_or_update(model))
        return Version(name, str(made.version), str(made.path))

    def _url(self, name: str) -> str:
        return f"{self._azureml.workspace.arm}/models/{quote(name, safe='')}"

    def _with_identity(self, datastore: Mapping[str, Any]) -> ContainerClient:
        from azure.storage.blob import ContainerClient

        account = f"{datastore.get('protocol') or 'https'}://{datastore['accountName']}.blob.{datastore['endpoint']}"
        return ContainerClient(account, datastore["containerName"], credential=self._azureml.credential)


def deliver(storage: Storage, registered: Registered, entry: ModelEntry, *, again: bool = False) -> str:
    """Bring the entry's newest version into the container if it is new; what happened, in words.

    It is verified, tried on the samples and, where `min_agreement` says so, compared with the serving
    version first. A version that fails is remembered and not tried again, unless `again`. Raises Permanent.
    """
    version = registered.newest(entry)
    label = f"{entry.name}:{version.version}"
    stored = releases.read_pointer(storage, entry.serves)
    pointer = stored[0] if stored else None
    if pointer and pointer.version == version.version:
        now = releases.serving(storage, entry.serves)
        if not now or now.version != releases.BY_HAND:
            return f"{label} serves already"
        if not again:
            return f"{label} is released, but a folder dropped by hand since then serves; --again brings it back"
    if pointer and version.version in pointer.rejected and not again:
        return f"{label} was rolled back; `python -m cloud models deliver {entry.serves} --again` brings it back"
    record = f"models/delivery/{entry.serves}/{version.version}.json"
    if not again and (known := read_parsed(storage, STATE, record, _why_and_when, BadModel)):
        return known[0][0]
    try:
        with tempfile.TemporaryDirectory(prefix="dropsight-model-") as scratch:
            canaried = _try(storage, registered, entry, version, Path(scratch))
            facts = {"canary": canaried, "source": version.uri}
            folder = Path(scratch, "new", entry.serves)
            releases.release(storage, entry.serves, version.version, folder, **facts)
    except (UnsupportedMedia, CorruptMedia) as error:  # not the model's fault: it is tried again
        raise BadModel(f"{label} cannot be tried: remove what is no picture from {MODELS}: {error}") from error
    except Permanent as error:
        storage.write_json(STATE, record, {"model": label, "why": str(error), "at": datetime.now(UTC).isoformat()})
        raise BadModel(f"{label} is refused, the old version serves on: {error}") from error
    log.info("%s is released as %s: %s", label, entry.serves, canaried)
    return f"{label} is released as {entry.serves}: {canaried}"


def refusals(storage: Storage, entry: ModelEntry) -> list[str]:
    """The versions that were refused since the last release, and why."""
    try:
        pointer = releases.read_pointer(storage, entry.serves)
        since = pointer[0].at if pointer else ""
        refused = []
        for page in storage.pages(STATE, f"models/delivery/{entry.serves}/"):
            refused += [read_parsed(storage, STATE, blob.name, _why_and_when, BadModel) for blob in page.blobs]
        return [record[0][0] for record in refused if record and record[0][1] > since]
    except BadModel as error:
        return [str(error)]


def _why_and_when(document: Mapping[str, Any]) -> tuple[str, str]:
    return f"{document['model']} was refused: {document['why']}", str(document.get("at", "9999"))


def _try(
    storage: Storage, registered: Registered, entry: ModelEntry, version: Version, scratch: Path
) -> dict[str, Any]:
    place = scratch / "new" / entry.serves
    place.parent.mkdir()
    registered.download(version, scratch / "download").rename(place)
    samples = _samples(storage, entry.serves)
    return canary.tried(storage, entry, scratch, samples)


def _samples(storage: Storage, name: str) -> dict[str, bytes]:
    blobs = (blob for page in storage.pages(MODELS, f"{name}/samples/", size=_MOST_SAMPLES) for blob in page.blobs)
    contents = {blob.name: storage.read(MODELS, blob.name) for blob in islice(blobs, _MOST_SAMPLES)}
    return {name: content[0] for name, content in contents.items() if content}


def _version(name: str, row: Mapping[str, Any]) -> Version:
    if not row.get("name"):
        raise BadModel(f"model {name!r}: the workspace lists a version without its number; try again")
    properties = row.get("properties") or {}
    created = str((row.get("systemData") or {}).get("createdAt", ""))
    stage, uri = str(properties.get("stage") or ""), str(properties.get("modelUri") or "")
    return Version(name, str(row["name"]), uri, stage, properties.get("tags") or {}, created)


def _download(container: ContainerClient, path: str, folder: Path) -> None:
    """A blob, or all below a path. Nothing leaves `folder`, nothing larger than a model may be is taken."""
    from azure.core.exceptions import AzureError

    try:
        total = 0
        for blob in container.list_blobs(name_starts_with=path):
            relative = blob.name.removeprefix(path).lstrip("/") or path.rpartition("/")[2]
            beside = blob.name != path and not blob.name.startswith(f"{path}/")
            if beside or (blob.metadata or {}).get("hdi_isfolder") == "true":
                continue
            total += blob.size
            if total > releases.MAX_BYTES:
                raise BadModel(f"{path} holds more than {releases.MAX_BYTES:,} bytes")
            target = (folder / relative).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise BadModel(f"{blob.name!r} leads out of the model's folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                container.download_blob(blob.name).readinto(out)
    except AzureError as error:
        raise StorageUnavailable(f"the model's files at {path} cannot be read: {error}") from error
