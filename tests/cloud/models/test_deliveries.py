"""A model on its way: registered, delivered, canaried, served by the running app, rolled back."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient
from PIL import Image

from cloud.azureml.azureml_client import AzureML
from cloud.models import deliveries, serving_models
from cloud.models.model_entry import ModelEntry
from cloud.models.pointer import read_pointer
from cloud.models.refusals import AlreadyRefused, refusals
from cloud.models.registered_models import Registered, Version, deliver
from cloud.models.releases import rollback
from cloud.models.serving_models import ServingModels
from cloud.models.snapshots import Snapshot, fetch
from cloud.pipelines_file import Pipelines
from cloud.settings import Settings
from cloud.storage.containers import Storage
from cloud.web import model_events, router
from inference.analysis import analyze
from inference.engine.registry import BUILT_IN, Registry
from inference.errors import BadModel, Transient
from inference.routes import Route, Step
from tests.cloud.azureml.server import Service

pytestmark = pytest.mark.slow
ENTRY = ModelEntry("shapes", "classify")
GATED = ModelEntry("shapes", "classify", min_agreement=0.9)
ROUTE = Route("r", (Step("classify"),))
AZURE = "azureml://datastores/workspaceblobstore/paths/"


@pytest.fixture
def account(storage_account: str) -> BlobServiceClient:
    return BlobServiceClient.from_connection_string(storage_account)


@pytest.fixture
def storage(account: BlobServiceClient) -> Storage:
    made = Storage(account)
    made.ensure_containers("models", "azureml")
    return made


@pytest.fixture
def registered(aml: AzureML, account: BlobServiceClient) -> Registered:
    def container(datastore: Mapping[str, Any]) -> ContainerClient:
        return account.get_container_client(datastore["containerName"])

    return Registered(aml, container)


@pytest.fixture
def running(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> tuple[Registry, ServingModels]:
    monkeypatch.setattr(serving_models, "STILL_S", -5.0)
    monkeypatch.setattr(serving_models, "PARTLY_S", -5.0)
    registry = Registry([BUILT_IN])
    return registry, ServingModels(storage, registry, 0)


def picture(colour: str) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((96, 80)).quantize(8).convert("RGB").save(out, "PNG")
    base = Image.open(io.BytesIO(out.getvalue()))
    out = io.BytesIO()
    Image.blend(base, Image.new("RGB", base.size, colour), 0.4).save(out, "PNG")
    return out.getvalue()


def make(folder: Path, version: str, **changes: str) -> Path:
    """The classifier that comes with the project as another version of it."""
    shutil.copytree(BUILT_IN / "classify", folder)
    manifest = (folder / "model.toml").read_text().replace('version = "1"', f'version = "{version}"', 1)
    for old, new in changes.items():
        manifest = manifest.replace(old, new, 1)
    (folder / "model.toml").write_text(manifest)
    return folder


def put(storage: Storage, container: str, prefix: str, folder: Path) -> None:
    for path in folder.iterdir():
        storage.write(container, f"{prefix}/{path.name}", path)


def register(storage: Storage, registered: Registered, folder: Path, version: str, **tags: str) -> None:
    put(storage, "azureml", f"LocalUpload/{version}/shapes", folder)
    registered.register("shapes", f"{AZURE}LocalUpload/{version}/shapes", version, tags)


def served(registry: Registry) -> str:
    result = analyze(picture("red"), ROUTE, registry, artifacts=False).result
    return result.steps[0].model.version


def test_a_registered_version_is_canaried_released_and_served_without_a_restart(
    tmp_path: Path, storage: Storage, registered: Registered, running: tuple[Registry, ServingModels]
) -> None:
    registry, models = running
    models.refresh()
    assert served(registry) == "1"
    for colour in ("red", "green", "blue"):
        storage.write("models", f"classify/samples/{colour}.png", picture(colour))
    register(storage, registered, make(tmp_path / "a", "7"), "7")
    assert "nothing was compared" in deliver(storage, registered, GATED)
    models.refresh()
    assert served(registry) == "7"
    assert deliver(storage, registered, GATED) == "shapes:7 serves already"
    register(storage, registered, make(tmp_path / "b", "8"), "8")
    assert "it agrees with what served before on 100%" in deliver(storage, registered, GATED)
    models.refresh()
    assert served(registry) == "8"
    rollback(storage, "classify")
    models.refresh()
    assert served(registry) == "7"
    assert "rolled back" in deliver(storage, registered, ENTRY)
    assert "released" in deliver(storage, registered, ENTRY, again=True)


def test_the_first_release_can_be_rolled_back_to_what_served_before_it(
    tmp_path: Path, storage: Storage, registered: Registered, running: tuple[Registry, ServingModels]
) -> None:
    registry, models = running
    register(storage, registered, make(tmp_path / "a", "7"), "7")
    deliver(storage, registered, ENTRY)
    models.refresh()
    assert served(registry) == "7"
    with pytest.raises(BadModel, match="before version 7 nothing served"):
        rollback(storage, "classify")
    rollback(storage, "classify", {"classify"})
    models.refresh()
    assert served(registry) == "1"  # the model that comes with the app
    assert "rolled back" in deliver(storage, registered, ENTRY)
    with pytest.raises(BadModel, match="no release to go back from"):
        rollback(storage, "classify", {"classify"})


def test_a_folder_dropped_over_a_release_serves_and_the_next_release_replaces_it(
    tmp_path: Path, storage: Storage, registered: Registered, running: tuple[Registry, ServingModels]
) -> None:
    registry, models = running
    register(storage, registered, make(tmp_path / "a", "7"), "7")
    deliver(storage, registered, ENTRY)
    models.refresh()
    time.sleep(1.1)  # storage dates blobs in whole seconds
    put(storage, "models", "classify", make(tmp_path / "b", "hand"))
    models.refresh()
    assert served(registry) == "hand"
    with pytest.raises(BadModel, match="dropped by hand serves, not version 7"):
        rollback(storage, "classify")
    assert "dropped by hand since then serves; `python -m cloud" in deliver(storage, registered, ENTRY)
    assert "is released" in deliver(storage, registered, ENTRY, again=True)
    models.refresh()
    assert served(registry) == "7"
    register(storage, registered, make(tmp_path / "c", "8"), "8")
    deliver(storage, registered, ENTRY)
    models.refresh()
    assert served(registry) == "8"


def test_of_two_entries_for_one_registered_model_the_one_that_serves_under_the_name_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = (ModelEntry("a", "x"), ModelEntry("a"), ModelEntry("b"))
    monkeypatch.setattr(deliveries, "pipelines", lambda: Pipelines(models=both))
    assert [deliveries.find(name).serves for name in ("a", "x", "b")] == ["a", "x", "b"]


def test_a_refusal_without_a_date_is_shown(tmp_path: Path, storage: Storage, registered: Registered) -> None:
    register(storage, registered, make(tmp_path / "a", "7"), "7")
    deliver(storage, registered, ENTRY)
    storage.write_json("state", "models/delivery/classify/6.json", {"model": "shapes:6", "why": "no labels"})
    assert refusals(storage, ENTRY) == [
        "shapes:6 was refused: no labels; `python -m cloud models deliver classify --again` tries it again"
    ]


def test_registering_a_folder_that_is_not_there_is_said_before_anything_is_asked(registered: Registered) -> None:
    with pytest.raises(BadModel, match="no folder '/nowhere'"):
        registered.register("shapes", "/nowhere")


def test_a_version_that_disagrees_on_the_samples_never_serves(
    tmp_path: Path, storage: Storage, registered: Registered
) -> None:
    storage.write("models", "classify/samples/red.png", picture("red"))
    register(storage, registered, make(tmp_path / "a", "7"), "7")
    deliver(storage, registered, GATED)
    odd = make(tmp_path / "b", "8")
    labels = (odd / "labels.txt").read_text().split("\n")
    (odd / "labels.txt").write_text("\n".join(labels[::-1]).strip())
    register(storage, registered, odd, "8")
    with pytest.raises(BadModel, match="agrees with version 7 on 0%"):
        deliver(storage, registered, GATED)
    with pytest.raises(AlreadyRefused, match="was refused: it agrees"):
        deliver(storage, registered, GATED)
    (line,) = refusals(storage, GATED)
    assert line.startswith("shapes:8 was refused: it agrees")
    register(storage, registered, make(tmp_path / "c", "9"), "9")
    storage.write("models", "classify/samples/notes.txt", b"no picture")
    for _ in range(2):  # the sample is wrong, not the model: it is tried again
        with pytest.raises(BadModel, match="remove what is no picture"):
            deliver(storage, registered, GATED)
    pointer = read_pointer(storage, "classify")
    assert pointer is not None
    assert pointer[0].version == "7"
    storage.delete("models", "classify/samples/notes.txt")
    assert "released" in deliver(storage, registered, GATED)
    assert refusals(storage, GATED) == []


def test_stage_and_tags_choose_the_version(tmp_path: Path, storage: Storage, registered: Registered) -> None:
    folder = make(tmp_path / "a", "7")
    register(storage, registered, folder, "7", approved="yes")
    register(storage, registered, folder, "8")
    approved = ModelEntry("shapes", tags={"approved": "yes"})
    assert registered.newest(approved).version == "7"
    assert registered.get("shapes").version == "8"
    with pytest.raises(BadModel, match="no model 'shapes' with stage 'Production'"):
        registered.newest(ModelEntry("shapes", stage="Production"))
    assert list(registered.names()) == [("shapes", "8")]


def test_a_folder_dropped_by_hand_serves_and_a_bad_one_is_refused(
    tmp_path: Path, storage: Storage, running: tuple[Registry, ServingModels]
) -> None:
    registry, models = running
    put(storage, "models", "classify", make(tmp_path / "a", "hand"))
    models.refresh()
    assert served(registry) == "hand"
    held = registry.model("classify")
    storage.write("models", "classify/model.onnx", b"version https://git-lfs.github.com/spec/v1")
    models.refresh()
    assert served(registry) == "hand"
    assert registry.model("classify") is held
    assert "a Git LFS pointer" in models.refused["classify"][1]
    record = storage.read_json("state", "models/refused/classify.json")
    assert record is not None
    fresh = Registry([BUILT_IN])  # a process that begins now must not fall back to nothing, or to another model
    beginning = ServingModels(storage, fresh, 0)
    beginning.refresh()
    assert served(fresh) == "hand"
    assert "a Git LFS pointer" in beginning.refused["classify"][1]
    storage.write("models", "classify/model.onnx", BUILT_IN / "classify" / "model.onnx")
    models.refresh()
    assert models.refused == {}


def test_a_broken_pointer_is_named_and_stops_only_its_own_model(
    tmp_path: Path, storage: Storage, registered: Registered, running: tuple[Registry, ServingModels]
) -> None:
    registry, models = running
    register(storage, registered, make(tmp_path / "a", "7"), "7")
    deliver(storage, registered, ENTRY)
    models.refresh()
    storage.write("models", "classify/serving.json", b'{"version":')
    put(storage, "models", "other", make(tmp_path / "b", "hand", **{'name = "classify"': 'name = "other"'}))
    models.refresh()
    assert models.versions == {"classify": "7", "other": "by hand"}
    assert "models/classify/serving.json cannot be read" in models.refused["classify"][1]
    beginning = ServingModels(storage, Registry([BUILT_IN]), 0)
    beginning.refresh()
    assert beginning.versions == models.versions
    with pytest.raises(BadModel, match="serving.json cannot be read .*: restore it, or delete it"):
        deliver(storage, registered, ENTRY)
    assert "serving.json cannot be read" in refusals(storage, ENTRY)[0]


def test_a_datastore_that_is_no_blob_container_is_named(
    tmp_path: Path, registered: Registered, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_datastores", lambda *_: {"properties": {"accountName": "a"}})
    with pytest.raises(BadModel, match="'workspaceblobstore' has no containerName, endpoint"):
        registered.download(Version("shapes", "7", f"{AZURE}x"), tmp_path)


def test_a_version_without_a_number_is_not_taken(
    registered: Registered, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_models", lambda *_: {"value": [{"properties": {"modelUri": f"{AZURE}x"}}]})
    with pytest.raises(BadModel, match="'shapes': the workspace lists a version without its number"):
        registered.newest(ENTRY)


def test_nothing_is_fetched_twice_and_a_storage_failure_keeps_what_serves(
    tmp_path: Path, storage: Storage, running: tuple[Registry, ServingModels], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, models = running
    put(storage, "models", "classify", make(tmp_path / "a", "hand"))
    models.refresh()
    opened: list[str] = []
    monkeypatch.setattr(storage, "open", lambda _, name, etag=None: opened.append(name))
    models.refresh()
    assert opened == []

    def down(*_: object, **__: object) -> None:
        raise Transient("storage is down")

    monkeypatch.setattr(storage, "pages", down)
    models.refresh()
    assert served(registry) == "hand"


@pytest.mark.parametrize("name", ["classify/../../x.onnx", "classify/a\\..\\x.onnx"])
def test_paths_that_lead_elsewhere_are_refused(
    name: str, storage: Storage, running: tuple[Registry, ServingModels], tmp_path: Path
) -> None:
    registry, models = running
    put(storage, "models", "other", make(tmp_path / "a", "hand"))
    with pytest.raises(BadModel, match="leads out"):
        fetch(storage, Snapshot("classify", "1", "classify/", ((name, "x", 3),), 9), tmp_path / "x")
    models.refresh()
    assert "must be 'other'" in models.refused["other"][1]
    assert served(registry) == "1"


def test_event_grid_pushes_a_registered_model(
    tmp_path: Path, storage: Storage, registered: Registered, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    monkeypatch.setattr(deliveries, "default_storage", lambda: storage)
    monkeypatch.setattr(deliveries, "registered", lambda: registered)
    monkeypatch.setattr(deliveries, "pipelines", lambda: Pipelines(models=(ENTRY,)))
    register(storage, registered, make(tmp_path / "a", "7"), "7")

    def post(kind: str, data: dict[str, Any]) -> func.HttpResponse:
        body = json.dumps([{"eventType": kind, "subject": "models/shapes:7", "data": data}]).encode()
        request = func.HttpRequest("POST", "/api/models/events", params=key, body=body)
        return router.answer("model_registered", request)

    key: dict[str, str] = {}
    answer = post("Microsoft.EventGrid.SubscriptionValidationEvent", {"validationCode": "abc"})
    assert json.loads(answer.get_body()) == {"validationResponse": "abc"}
    registered_event = "Microsoft.MachineLearningServices.ModelRegistered"
    for setting, wrong in (("", {}), ("", {"key": ""}), ("k", {}), ("k", {"key": "K"}), ("k", {"code": "k"})):
        key = wrong
        monkeypatch.setattr(model_events, "current", lambda text=setting: Settings(model_events_key=text))
        assert post(registered_event, {"ModelName": "shapes", "ModelVersion": 7}).status_code == 403
    key = {"key": "k"}
    assert post(registered_event, {"ModelName": "another", "ModelVersion": 1}).status_code == 202
    assert read_pointer(storage, "classify") is None
    assert post(registered_event, {"ModelName": "shapes", "ModelVersion": 7}).status_code == 202
    pointer = read_pointer(storage, "classify")
    assert pointer is not None
    assert pointer[0].version == "7"


def test_a_model_that_fails_in_an_unforeseen_way_stops_no_other(
    tmp_path: Path, storage: Storage, registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "default_storage", lambda: storage)
    monkeypatch.setattr(deliveries, "registered", lambda: registered)
    monkeypatch.setattr(deliveries, "pipelines", lambda: Pipelines(models=(ModelEntry(name="odd"), ENTRY)))
    real = registered.newest

    def newest(entry: ModelEntry) -> Any:
        if entry.name == "odd":
            raise AttributeError("'NoneType' object has no attribute 'properties'")
        return real(entry)

    monkeypatch.setattr(registered, "newest", newest)
    register(storage, registered, make(tmp_path / "a", "7"), "7")
    with pytest.raises(BadModel, match="odd: AttributeError: 'NoneType' object"):
        deliveries.deliver_all()
    pointer = read_pointer(storage, "classify")
    assert pointer is not None and pointer[0].version == "7"
