"""Registered models: looked up in the workspace, downloaded, brought into the container, registered."""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cloud.azureml.azureml_client import AzureML
from cloud.azureml.v2_jobs import sdk
from cloud.azureml.workspace import ARM, VERSION
from cloud.models import canary, refusals
from cloud.models.model_entry import ModelEntry
from cloud.models.model_files import fetch_files, in_our_words, listed, model_folder, state_of
from cloud.models.pointer import BY_HAND, Release, read_pointer
from cloud.models.releases import release
from cloud.models.snapshots import files_at, serving
from cloud.models.trials import Trials
from cloud.settings import MODELS
from cloud.storage.containers import Storage
from inference.errors import BadModel, CorruptMedia, LimitExceeded, Permanent, Transient, UnsupportedMedia

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

log = logging.getLogger(__name__)

_URI = re.compile(r"azureml://(?:.*?/)?datastores/([^/]+)/paths(?:/(.*))?", re.IGNORECASE)
_MOST_SAMPLES = 50


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

    @property
    def label(self) -> str:
        """As people call it."""
        return f"{self.name}:{self.version}"

    @property
    def release(self) -> Release:
        """What the container remembers of it."""
        return Release(self.version, self.name, self.uri, self.created)


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
        # Of a version like ".." the address is that of something else.
        if row is None or str(row.get("name")).casefold() != version.casefold():
            raise BadModel(f"workspace {self._azureml.workspace.name!r} has no model {name!r} of version {version!r}")
        return _version(name, row)

    def newest(self, entry: ModelEntry) -> Version:
        """The version created last that has the entry's stage and tags. Raises BadModel where none has."""
        for version in self._newest_first(entry):
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
        """As `fetch`; returns the folder below that holds the model. Raises BadModel where there is none."""
        self.fetch(version, folder)
        return model_folder(folder, version.label)

    def fetch(self, version: Version, folder: Path) -> None:
        """Bring the version's files, all of them, below `folder`. Raises BadModel, LimitExceeded, Transient."""
        if version.registry:
            models = self._azureml.registry(version.registry).models
            self._by_sdk(
                f"registry {version.registry!r}, model {version.label}",
                lambda: models.download(version.name, version.version, download_path=str(folder)),
            )
        else:
            container, path = self._place(version)
            fetch_files(container, path, version.label, folder)

    def state(self, version: Version) -> str:
        """Changes whenever the version's files do; empty where only fetching them would tell. Raises Transient."""
        if version.registry:
            return ""
        try:
            return state_of(listed(*self._place(version)))
        except Permanent as error:  # there is no such place; when there is one, that is another state
            return hashlib.sha256(str(error).encode()).hexdigest()[:24]

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

    def _place(self, version: Version) -> tuple[ContainerClient, str]:
        """The container, and the path in it, where the version's files lie. Raises BadModel."""
        match = _URI.fullmatch(version.uri)
        if not match:
            raise BadModel(
                f"model {version.label}: its path is {version.uri!r}, which is not in a datastore; expected "
                "azureml://datastores/NAME/paths/PATH: register the files from there, or from a folder"
            )
        datastore = match[1]
        url = f"{self._azureml.workspace.arm}/datastores/{quote(datastore, safe='')}"
        row = self._azureml.caller.get(url, ARM, f"datastore {datastore}", VERSION)
        if row is None:
            raise BadModel(f"model {version.label}: there is no datastore {datastore!r}")
        place = row.get("properties") or {}
        if missing := [key for key in ("accountName", "containerName", "endpoint") if not place.get(key)]:
            raise BadModel(
                f"model {version.label}: datastore {datastore!r} has no {', '.join(missing)}; it must be an Azure Blob "
                "datastore"
            )
        return self._container(place), (match[2] or "").rstrip("/")

    def register(self, name: str, path: str, version: str = "", tags: Mapping[str, str] | None = None) -> Version:
        """Register a folder of this machine (uploaded), or an azureml:// path (by reference). Raises BadModel."""
        if not name:
            raise BadModel("registering a model: its name is empty")
        if not path or ("://" not in path and not Path(path).exists()):  # "" would be the folder one is in
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

    It is verified, tried on the samples and, where `min_agreement` says so, compared with the serving version first.
    again: whatever serves, was rolled back or was refused. Raises AlreadyRefused where it was refused before and its
    files have not changed since; BadModel where it is refused now, which is remembered; Transient.
    """
    version = registered.newest(entry)
    if not again and (words := _stays(storage, entry, version)):
        return words
    files = registered.state(version)
    if not again:
        refusals.refuse_what_is_known(storage, entry.serves, version.release, files)
    try:
        with tempfile.TemporaryDirectory(prefix="dropsight-model-") as scratch:
            canaried = _try(storage, registered, entry, version, Path(scratch))
            folder = Path(scratch, "new", entry.serves)
            release(storage, entry.serves, version.release, folder, canary=canaried, again=again)
    except (UnsupportedMedia, CorruptMedia) as error:  # not the model's fault: it is tried again
        raise BadModel(f"{version.label} cannot be tried: remove what is no picture from {MODELS}: {error}") from error
    except Transient:
        raise
    except Exception as error:
        known = in_our_words(error)
        if isinstance(known, Transient):
            raise known from error
        refusals.remember(storage, entry.serves, version.release, files, str(known))
        raise BadModel(f"{version.label} is refused, what served before serves on: {known}") from error
    refusals.forget(storage, entry.serves, version.release)
    words = f"{version.label} is released as {entry.serves}: {canary.in_words(canaried)}"
    log.info("%s", words)
    return words


def _stays(storage: Storage, entry: ModelEntry, version: Version) -> str:
    """Why nothing is to be delivered; empty where something is."""
    stored = read_pointer(storage, entry.serves)
    if stored is None:
        return ""
    pointer = stored[0]
    again = f"`python -m cloud models deliver {entry.serves} --again` brings it back"
    if pointer.release.is_same(version.release):
        now = serving(storage, entry.serves)
        if now and now.version == BY_HAND:
            return f"{version.label} is released, but a folder dropped by hand since then serves; {again}"
        # What points to files that are gone serves nothing.
        return f"{version.label} serves already" if now and not now.problem else ""
    if any(rejected.is_same(version.release) for rejected in pointer.rejected):
        return f"{version.label} was rolled back; {again}"
    return ""


def _try(
    storage: Storage, registered: Registered, entry: ModelEntry, version: Version, scratch: Path
) -> dict[str, Any]:
    place = scratch / "new" / entry.serves
    place.parent.mkdir()
    registered.download(version, scratch / "download").rename(place)
    Trials(storage).require(place)
    try:
        return canary.tried(storage, entry, scratch, _samples(storage, entry.serves))
    except LimitExceeded as error:  # of a picture: those of the model are checked before and after
        raise UnsupportedMedia(
            f"{MODELS}/{entry.serves}/samples/ holds a picture that is too large: {error}"
        ) from error


def _samples(storage: Storage, name: str) -> dict[str, bytes]:
    blobs = files_at(storage, f"{name}/samples/")[:_MOST_SAMPLES]
    contents = {blob.name: storage.read(MODELS, blob.name) for blob in blobs}
    return {name: content[0] for name, content in contents.items() if content}


def _version(name: str, row: Mapping[str, Any]) -> Version:
    if not row.get("name"):
        raise BadModel(f"model {name!r}: the workspace lists a version without its number; try again")
    properties = row.get("properties") or {}
    created = str((row.get("systemData") or {}).get("createdAt", ""))
    stage, uri = str(properties.get("stage") or ""), str(properties.get("modelUri") or "")
    return Version(name, str(row["name"]), uri, stage, properties.get("tags") or {}, created)
