"""Registered models: looked up in the workspace, downloaded, brought into the container, registered."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cloud.azureml.client import AzureML
from cloud.azureml.listing import pages
from cloud.azureml.types import ARM, VERSION
from cloud.azureml.v2 import sdk
from cloud.models import canary, releases
from cloud.models.model_entry import ModelEntry
from cloud.settings import MODELS, STATE
from cloud.storage.containers import Storage
from inference.errors import BadModel, CorruptMedia, Permanent, StorageUnavailable, UnsupportedMedia

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

log = logging.getLogger(__name__)

_URI = re.compile(r"azureml://.*?datastores/([^/]+)/paths/(.+)")
_MOST_SAMPLES = 50
_MOST_VERSIONS = 100


@dataclass(frozen=True)
class Version:
    """One version of a registered model, as the workspace tells it."""

    name: str
    version: str
    uri: str
    stage: str = ""
    tags: Mapping[str, str] | None = None
    created: str = ""
    registry: str = ""


class Registered:
    """The registered models of one workspace.

    `container` opens the blob container of a datastore; without it the app's identity is used.
    """

    def __init__(self, azureml: AzureML, container: Callable[[Mapping[str, Any]], ContainerClient] | None = None):
        self._azureml = azureml
        self._container = container or self._with_identity

    def names(self) -> Iterator[tuple[str, str]]:
        """(name, latest version) of every registered model."""
        for row in pages(self._azureml.caller, f"{self._azureml.workspace.arm}/models", "models"):
            yield str(row["name"]), str((row.get("properties") or {}).get("latestVersion", ""))

    def get(self, name: str, version: str = "latest") -> Version:
        """One version; `latest` is the one created last. Raises BadModel."""
        if version == "latest":
            return self.newest(ModelEntry(name, name))
        url = f"{self._url(name)}/versions/{quote(version, safe='')}"
        row = self._azureml.caller.get(url, ARM, f"model {name}:{version}", VERSION)
        if row is None:
            raise BadModel(f"workspace {self._azureml.workspace.name!r} has no model {name!r} of version {version!r}")
        return _version(name, row)

    def newest(self, entry: ModelEntry) -> Version:
        """The version created last that has the entry's stage and tags. Raises BadModel where none has."""
        for number, found in enumerate(self._newest_first(entry)):
            has_tags = all((found.tags or {}).get(key) == value for key, value in entry.tags.items())
            if has_tags and entry.stage in ("", found.stage):
                return found
            if number >= _MOST_VERSIONS:
                break
        where = f"registry {entry.registry!r}" if entry.registry else f"workspace {self._azureml.workspace.name!r}"
        wanted = f" with stage {entry.stage!r} and tags {dict(entry.tags)}" if entry.stage or entry.tags else ""
        raise BadModel(f"{where} has no model {entry.name!r}{wanted}")

    def _newest_first(self, entry: ModelEntry) -> Iterator[Version]:
        if entry.registry:
            return registry_versions(self._azureml, entry.registry, entry.name)
        params = {**VERSION, "$orderBy": "createdtime desc", "listViewType": "ActiveOnly"}
        rows = pages(self._azureml.caller, f"{self._url(entry.name)}/versions", f"model {entry.name}", params)
        return (_version(entry.name, row) for row in rows)

    def download(self, version: Version, folder: Path) -> Path:
        """The model's files below `folder`; returns the folder that holds the ONNX file. Raises BadModel."""
        if version.registry:
            registry_download(self._azureml, version.registry, version.name, version.version, folder)
        else:
            self._from_datastore(version, folder)
        found = sorted(folder.rglob("*.onnx"), key=lambda each: (len(each.parts), each))
        if not found:
            held = [each.name for each in folder.rglob("*") if each.is_file()][:10]
            raise BadModel(f"model {version.name}:{version.version} holds no .onnx file, only {held}")
        return found[0].parent

    def _from_datastore(self, version: Version, folder: Path) -> None:
        match = _URI.fullmatch(version.uri)
        if not match:
            raise BadModel(f"model {version.name}:{version.version}: {version.uri!r} is not in a datastore")
        datastore, path = match[1], match[2].rstrip("/")
        url = f"{self._azureml.workspace.arm}/datastores/{quote(datastore, safe='')}"
        row = self._azureml.caller.get(url, ARM, f"datastore {datastore}", VERSION)
        if row is None:
            raise BadModel(f"model {version.name}:{version.version}: there is no datastore {datastore!r}")
        _download(self._container(row["properties"]), path, folder)

    def register(self, name: str, path: str, version: str = "", tags: Mapping[str, str] | None = None) -> Version:
        """Register a folder of this machine (uploaded), or an azureml:// path (by reference). Raises BadModel."""
        if "://" not in path and not Path(path).exists():
            raise BadModel(f"registering model {name!r}: there is no folder {path!r} on this machine")
        from azure.ai.ml.entities import Model

        model = Model(name=name, path=path, version=version or None, type="custom_model", tags=dict(tags or {}))
        made = sdk(
            lambda: self._azureml.ml().models.create_or_update(model),
            self._azureml.caller,
            f"registering model {name!r}",
            sent=False,
        )
        return Version(name, str(made.version), str(made.path), tags=tags)

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
    found = releases.read_pointer(storage, entry.serves)
    pointer = found[0] if found else None
    if pointer and pointer.version == version.version:
        now = releases.serving(storage, entry.serves)
        if not now or now.version != releases.BY_HAND:
            return f"{label} serves already"
        if not again:
            return f"{label} is released, but a folder dropped by hand since then serves; --again brings it back"
    if pointer and version.version in pointer.rejected and not again:
        return f"{label} was rolled back; `python -m cloud models deliver {entry.serves} --again` brings it back"
    record = f"models/delivery/{entry.serves}/{version.version}.json"
    if not again and (known := storage.read_json(STATE, record)):
        return f"{label} was refused: {known[0]['why']}"
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
    """The versions that were refused since the serving one was released, and why."""
    found = releases.read_pointer(storage, entry.serves)
    since = found[0].at if found else ""
    records = []
    for page in storage.pages(STATE, f"models/delivery/{entry.serves}/"):
        records += [storage.read_json(STATE, blob.name) for blob in page.blobs]
    return [
        f"{each[0]['model']} was refused: {each[0]['why']}"
        for each in records
        if each and each[0].get("at", "9999") > since
    ]


def _try(
    storage: Storage, registered: Registered, entry: ModelEntry, version: Version, scratch: Path
) -> dict[str, Any]:
    place = scratch / "new" / entry.serves
    place.parent.mkdir()
    registered.download(version, scratch / "download").rename(place)
    samples = _samples(storage, entry.serves)
    ours = canary.verify(scratch / "new", entry.serves, samples)
    told: dict[str, Any] = {"samples": len(samples)}
    if not samples or not entry.min_agreement:
        return told
    serving = next((each for each in releases.snapshots(storage) if each.name == entry.serves), None)
    if serving is None:
        return told
    releases.fetch(storage, serving, scratch / "old" / entry.serves)
    told["agreement"] = round(canary.agreement(ours, canary.verify(scratch / "old", entry.serves, samples)), 4)
    if told["agreement"] < entry.min_agreement:
        raise BadModel(
            f"it agrees with version {serving.version} on {told['agreement']:.0%} of {len(samples)} samples; "
            f"min_agreement is {entry.min_agreement:.0%}"
        )
    return told


def _samples(storage: Storage, name: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for page in storage.pages(MODELS, f"{name}/samples/", size=_MOST_SAMPLES):
        for blob in page.blobs[: _MOST_SAMPLES - len(found)]:
            if content := storage.read(MODELS, blob.name):
                found[blob.name] = content[0]
    return found


def _version(name: str, row: Mapping[str, Any]) -> Version:
    properties = row.get("properties") or {}
    created = str((row.get("systemData") or {}).get("createdAt", ""))
    stage, uri = str(properties.get("stage") or ""), str(properties.get("modelUri") or "")
    return Version(name, str(row["name"]), uri, stage, properties.get("tags") or {}, created)


def _download(container: ContainerClient, path: str, folder: Path) -> None:
    """One blob, or all below a path. Nothing leaves `folder`, nothing larger than a model may be is taken."""
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


def registry_versions(azureml: AzureML, registry: str, name: str) -> Iterator[Version]:
    """Versions in an Azure Machine Learning registry, newest first, through the SDK (it knows the way there)."""

    def listed() -> list[Any]:
        return list(azureml.registry(registry).models.list(name=name))

    rows = sdk(listed, azureml.caller, f"registry {registry!r}, model {name!r}", sent=False)

    def created(row: Any) -> str:
        return str(row.creation_context.created_at) if row.creation_context else ""

    for row in sorted(rows, key=created, reverse=True):
        yield Version(
            name, str(row.version), str(row.path or row.id), str(row.stage or ""), row.tags, created(row), registry
        )


def registry_download(azureml: AzureML, registry: str, name: str, version: str, folder: Path) -> None:
    """A registry's model below `folder`."""
    sdk(
        lambda: azureml.registry(registry).models.download(name, version, download_path=str(folder)),
        azureml.caller,
        f"registry {registry!r}, model {name}:{version}",
        sent=False,
    )
