"""The retraining pipeline's files as azure-ai-ml reads them, and the steps that need no PyTorch."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from azure.ai.ml import MLClient, load_component, load_job
from azure.ai.ml.entities import CommandComponent, PipelineComponent
from PIL import Image

from cloud.azureml.azureml_client import AzureML
from cloud.azureml.pipeline_kind import Submission
from cloud.azureml.v2_kinds import PipelineJob
from tests.cloud.azureml.credential import FakeCredential
from tests.cloud.azureml.server import Service
from training.pipeline import prepare, register, steps

pytestmark = pytest.mark.slow
FOLDER = Path(steps.__file__).parent
REQUIREMENTS = FOLDER.parent / "requirements.txt"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> MLClient:
    monkeypatch.setenv("AZUREML_DEV_URL_MFE", "http://127.0.0.1:9")  # nothing listens there: all is local
    return MLClient(FakeCredential(), "sub", "rg", "ws", enable_telemetry=False, show_progress=False)


@pytest.mark.parametrize("step", steps.STEPS, ids=lambda step: step.name)
def test_a_component_is_valid_and_says_the_command_of_the_local_run(step: steps.PipelineStep, client: MLClient) -> None:
    component = load_component(FOLDER / f"{step.name}.yml")
    assert isinstance(component, CommandComponent)
    assert client.components.validate(component, skip_remote_validation=True).passed
    assert component.command == step.component_command(tuple(component.inputs))
    assert set(component.outputs) == {"out"}


def test_registering_is_never_reused() -> None:
    kept = {step.name: load_component(FOLDER / f"{step.name}.yml").is_deterministic for step in steps.STEPS}
    assert kept == {"prepare": True, "train": True, "evaluate": True, "export": True, "register": False}


@pytest.mark.parametrize("name", ["job", "many_job"])
def test_the_pipeline_jobs_are_valid(name: str, client: MLClient) -> None:
    job = load_job(FOLDER / f"{name}.yml")
    assert client.jobs.validate(job, skip_remote_validation=True).passed


def test_the_pipeline_component_runs_the_five_steps(client: MLClient) -> None:
    component = load_component(FOLDER / "retrain.yml")
    assert isinstance(component, PipelineComponent)
    assert client.components.validate(component, skip_remote_validation=True).passed
    assert list(component.jobs) == [step.name for step in steps.STEPS]


def test_jobs_have_the_packages_that_training_has() -> None:
    pinned = {line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")}
    (packages,) = (entry["pip"] for entry in yaml.safe_load((FOLDER / "conda.yml").read_text())["dependencies"][2:])
    assert pinned <= set(packages)


def pictures(folder: Path, count: int, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        noise = np.random.default_rng([seed, number]).integers(0, 255, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((120, 90)).save(folder / f"{number}.png")


def test_preparing_splits_by_content(tmp_path: Path) -> None:
    pictures(tmp_path / "data" / "cats", 60)
    pictures(tmp_path / "data" / "dogs", 10, seed=1)
    (tmp_path / "data" / "cats" / "copy.png").write_bytes((tmp_path / "data" / "cats" / "3.png").read_bytes())
    (tmp_path / "data" / "dogs" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    report = prepare.prepare(tmp_path / "data", tmp_path / "out")
    assert report["pictures"] == {"cats": 60, "dogs": 10}
    assert [line.split(":")[0] for line in report["skipped"]] == ["broken.jpg"]  # type: ignore[attr-defined]
    with np.load(tmp_path / "out" / "pictures.npz") as arrays:
        train, test = arrays["train_pictures"], arrays["test_pictures"]
        assert set(arrays["test_classes"]) == {0, 1}
    assert len(train) + len(test) == 70
    assert 4 <= len(test) <= 26
    both = {row.tobytes() for row in train} & {row.tobytes() for row in test}
    assert both == set()
    assert train.shape[1:] == (64, 64, 3)
    assert prepare.prepare(tmp_path / "data", tmp_path / "again") == report


def test_preparing_says_what_is_missing(tmp_path: Path) -> None:
    pictures(tmp_path / "cats", 9)
    with pytest.raises(SystemExit, match="one folder of pictures for each label"):
        prepare.prepare(tmp_path, tmp_path / "out")
    pictures(tmp_path / "dogs", 2)
    with pytest.raises(SystemExit, match="dogs: 2 different pictures; at least 5"):
        prepare.prepare(tmp_path, tmp_path / "out")


def test_registering_in_a_folder_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in register.JOB:
        monkeypatch.delenv(name, raising=False)
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.toml").write_text('name = "x"\nsha256 = "0"\naccuracy = "9 of 10"\n')
    for version in ("1", "2"):
        register.main(["--model", str(model), "--name", "shop", "--out", str(tmp_path / "out")])
        answer = json.loads((tmp_path / "out" / "registered.json").read_text())
        assert answer == {"name": "shop", "version": version, "accuracy": "9 of 10"}
        assert (tmp_path / "out" / "shop" / version / "model.toml").is_file()


def test_a_dry_run_uploads_no_local_input(
    aml: AzureML, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.ai.ml._artifacts import _blob_storage_helper as storage

    uploads: list[object] = []
    monkeypatch.setattr(storage.BlobStorageClient, "upload", lambda *given, **named: uploads.append((given, named)))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("private")
    path = tmp_path / "job.yml"
    path.write_text(
        "type: command\ncommand: echo ${{inputs.d}}\nenvironment: azureml:env:1\ncompute: azureml:cpu\n"
        "inputs: {d: {type: uri_folder, path: ./data}}\n"
    )
    shown = aml.preview(Submission("nightly", datetime(2026, 11, 23, tzinfo=UTC), PipelineJob(yaml=str(path))))
    assert uploads == [] and "local input" in shown["body"]["note"]
    assert [method for method, *_ in service.seen if method not in ("GET", "HEAD")] == []


def test_the_whole_pipeline_is_submitted_with_its_code(aml: AzureML, service: Service, tmp_path: Path) -> None:
    # A copy without what dev.py installs: azure-ai-ml looks at each of its files, which takes minutes.
    root = FOLDER.parents[1]
    installed = shutil.ignore_patterns(".venv", "node_modules", ".*_cache", ".hypothesis", ".azurite", "build")
    shutil.copytree(root, tmp_path / "project", ignore=installed)
    yaml_file = tmp_path / "project" / FOLDER.relative_to(root) / "job.yml"
    job = Submission("retrain", datetime(2026, 11, 23, tzinfo=UTC), PipelineJob(yaml=str(yaml_file)))
    shown = aml.preview(job)
    assert [method for method, *_ in service.seen if method not in ("GET", "HEAD")] == []
    aml.submit(job)
    ((_, path, body, _),) = service.posts("/jobs/")
    assert path.endswith("/jobs/retrain-20261123T000000Z")
    shown_step, sent_step = (job["properties"]["jobs"]["retrain"] for job in (shown["body"], body))
    # The SDK names uploaded code by chance, and a component without a name by what it holds.
    assert shown_step.pop("componentId").split("/")[-3:-1] == sent_step.pop("componentId").split("/")[-3:-1]
    assert (shown["method"], shown["body"]) == ("PUT", body)
    assert set(body["properties"]["jobs"]) == {"retrain"}
    sent = {step["command"] for step in service.components.values() if "command" in step}
    assert len(sent) == len(steps.STEPS)
    uploaded = {name.split("/", 5)[5] for name in service.blobs}
    assert {"training/pipeline/train.py", "training/net.py", "models/classify/labels.txt"} <= uploaded
    assert [name for name in uploaded if name.startswith(("cloud/", "tests/", "inference/", ".git"))] == []
