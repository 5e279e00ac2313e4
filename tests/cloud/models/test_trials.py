"""What nobody of an installation has run is tried apart before it is opened, and how that ended is remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.cli import models_command
from cloud.models import serving_models, trial_record, trials
from cloud.models.serving_models import ServingModels
from cloud.models.trial_record import Record
from cloud.models.trials import TRIALS, Trials, retry
from cloud.storage.containers import Storage
from cloud.uploads.upload_worker import UploadWorker
from inference.engine import first_run
from inference.engine.first_run import ask_before_opening, fingerprint
from inference.engine.registry import BUILT_IN, Registry
from inference.engine.trial import Trial
from inference.engine.weights import Weights, sha256_of
from inference.errors import BadModel, ModelUnavailable, StorageUnavailable
from inference.routes_file import parse_routes
from tests.cloud.helpers import document, drop, jpeg, receipt
from tests.inference import hostile

Tries = list[tuple[str, float]]


@pytest.fixture
def storage(account: str) -> Storage:
    return Storage(BlobServiceClient.from_connection_string(account))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Tries, list[Trial]]]:
    """(what was tried, with which patience; how the next trials end: well, once there are no more)."""
    tried: Tries = []
    queue: list[Trial] = []

    def trial(root: Path, patience_s: float) -> Trial:
        tried.append((root.name, patience_s))
        return queue.pop(0) if queue else Trial()

    monkeypatch.setattr(trials, "trial", trial)
    yield tried, queue


Answers = tuple[Tries, list[Trial]]
HOSTILE = ("laughs", "hungry")
SILENT = Trial("the process that tried it ended with status -11", silent=True)


def record(storage: Storage, root: Path) -> dict[str, Any]:
    stored = storage.read_json("state", f"{TRIALS}{fingerprint(root)}.json")
    assert stored
    return dict(stored[0])


def test_what_ran_once_is_tried_by_no_later_worker(storage: Storage, answers: Answers, tmp_path: Path) -> None:
    root = hostile.healthy(tmp_path / "pets")
    Trials(storage).ask(root)
    assert record(storage, root)["state"] == "ran" and record(storage, root)["model"] == "pets"
    Trials(storage).ask(root)
    elsewhere = hostile.healthy(tmp_path / "other" / "cats")  # the same files under another name
    Trials(storage).ask(elsewhere)
    (root / "labels.txt").write_text("cat\ndog\n")
    Trials(storage).ask(root)
    assert [name for name, _ in answers[0]] == ["pets", "pets"]


def test_the_trial_is_written_down_before_it_begins(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, seen = hostile.healthy(tmp_path / "pets"), list[dict[str, Any]]()
    monkeypatch.setenv("WEBSITE_SITE_NAME", "shop")

    def trial(*_: object) -> Trial:
        seen.append(record(storage, root))
        return Trial()

    monkeypatch.setattr(trials, "trial", trial)
    Trials(storage).ask(root)
    assert seen[0]["state"] == "trying" and seen[0]["at"] and seen[0]["deployment"] == "shop"


def test_two_trials_without_an_answer_refuse_a_model_until_somebody_asks(
    storage: Storage, answers: Answers, tmp_path: Path
) -> None:
    root, (tried, queue) = hostile.healthy(tmp_path / "pets"), answers
    queue += [SILENT, SILENT]
    with pytest.raises(ModelUnavailable, match=r"model 'pets' is not opened here, it was tried 2 times: .* -11; "):
        Trials(storage).ask(root)
    (_, first), (_, second) = tried
    assert second == 2 * first
    with pytest.raises(BadModel, match="python -m cloud models try-again pets"):
        Trials(storage).require(root)
    assert len(tried) == 2
    assert retry(storage, "pets") == [fingerprint(root)] and retry(storage, "pets") == []
    Trials(storage).ask(root)
    assert len(tried) == 3


def test_one_trial_without_an_answer_may_have_been_the_machine(
    storage: Storage, answers: Answers, tmp_path: Path
) -> None:
    root = hostile.healthy(tmp_path / "pets")
    answers[1].append(SILENT)
    Trials(storage).ask(root)
    assert record(storage, root) | {"at": ""} == vars(
        Record("pets", "ran", deaths=1, deployment="local", by=trial_record._by())
    )


@pytest.mark.parametrize(("deaths", "then"), [(0, "ran"), (1, "refused")])
def test_a_worker_that_died_in_a_trial_counts(
    deaths: int, then: str, storage: Storage, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = hostile.healthy(tmp_path / "pets")
    path = f"{TRIALS}{fingerprint(root)}.json"
    storage.write_json("state", path, {"model": "pets", "state": "trying", "deaths": deaths})
    with pytest.raises(ModelUnavailable, match="is being tried by another process"):
        Trials(storage).ask(root)
    assert not answers[0]
    real = Storage.read_json

    def later(self: Storage, container: str, name: str) -> Any:
        stored = real(self, container, name)
        if stored is None or name != path:
            return stored
        info = stored[1]
        return stored[0], type(info)(**{**vars(info), "served_at": info.served_at + timedelta(hours=1)})

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "read_json", later)
        if then == "ran":
            Trials(storage).ask(root)
        else:
            with pytest.raises(ModelUnavailable, match="tried 2 times: whoever tried it ended without an answer"):
                Trials(storage).ask(root)
    assert record(storage, root)["state"] == then and len(answers[0]) == (then == "ran")


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"[]", b'{"state": 5, "deaths": "x"}', b"1" * 5000])
def test_a_record_that_cannot_be_read_is_a_trial_without_an_answer(
    content: bytes, storage: Storage, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = hostile.healthy(tmp_path / "pets")
    storage.write("state", f"{TRIALS}{fingerprint(root)}.json", content)
    monkeypatch.setattr(trials, "SILENT_S", -1.0)
    Trials(storage).ask(root)
    assert record(storage, root)["state"] == "ran" and len(answers[0]) == 1


def test_trouble_of_the_machine_is_no_verdict(storage: Storage, answers: Answers, tmp_path: Path) -> None:
    root, clock = hostile.healthy(tmp_path / "pets"), [0.0]
    answers[1].append(Trial("no space left on device", passing=True))
    asked = Trials(storage, lambda: clock[0])
    with pytest.raises(ModelUnavailable, match="no space left"):
        asked.ask(root)
    assert storage.head("state", f"{TRIALS}{fingerprint(root)}.json") is None
    clock[0] += 61
    asked.ask(root)


def test_where_no_process_can_be_started_models_are_used_without(
    storage: Storage, answers: Answers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = hostile.healthy(tmp_path / "pets")
    answers[1].append(Trial("no process could be started to try it (seccomp)", impossible=True))
    Trials(storage).ask(root)
    assert "model pets is used without a trial: no process could be started" in caplog.text


def test_what_takes_too_much_memory_is_tried_again_where_there_is_more(
    storage: Storage, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, (tried, queue) = hostile.healthy(tmp_path / "pets"), answers
    queue.append(Trial("it takes more memory than the 1,024 MiB", too_large=True))
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="not opened here, it takes more memory"):
            Trials(storage).ask(root)
    assert len(tried) == 1
    monkeypatch.setattr(trial_record, "memory_of_a_trial", lambda: 1 << 50)
    Trials(storage).ask(root)
    assert len(tried) == 2


def test_a_refusal_is_of_the_versions_that_refused(
    storage: Storage, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = hostile.healthy(tmp_path / "pets")
    answers[1].extend([SILENT, SILENT])
    with pytest.raises(ModelUnavailable):
        Trials(storage).ask(root)
    monkeypatch.setattr(trial_record, "_by", lambda: "dropsight 9, onnxruntime 9")
    Trials(storage).ask(root)


def test_without_storage_a_model_on_the_disk_is_tried_all_the_same(
    storage: Storage, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise StorageUnavailable("down")

    monkeypatch.setattr(Storage, "read_json", fail)
    Trials(storage).ask(hostile.healthy(tmp_path / "pets"))
    assert len(answers[0]) == 1


def test_models_that_hang_hold_up_nobody_for_longer_than_seconds(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, waited, clock = threading.Event(), list[float | None](), [0.0]

    def trial(*_: object) -> Trial:
        over.wait(30)
        return Trial()

    def wait(self: threading.Event, timeout: float | None = None) -> bool:
        waited.append(timeout)
        clock[0] += timeout or 0.0
        return False

    monkeypatch.setattr(trials, "trial", trial)
    asked = Trials(storage, lambda: clock[0])
    roots = [hostile.healthy(tmp_path / name) for name in "abc"]
    for root in roots:
        (root / "labels.txt").write_text(root.name)
    jobs = [asked._job(root) for root in roots]
    with monkeypatch.context() as patch:
        for job in jobs:
            patch.setattr(job.done, "wait", wait.__get__(job.done))
        for root in roots:
            with pytest.raises(ModelUnavailable, match=f"{root.name} is being tried in a process of its own"):
                asked.ask(root)
    assert waited == [10.0, 0.0, 0.0]
    over.set()
    for job in jobs:
        assert job.done.wait(30)


def test_what_ships_is_opened_without_a_trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = list[str]()
    monkeypatch.setattr(first_run._Asked, "ask", lambda root: asked.append(root.name))
    shipped = {sha256_of(file) for file in BUILT_IN.glob("[!_]*/*.onnx")}
    assert shipped == first_run.SHIPPED
    registry = Registry([BUILT_IN, tmp_path], weights=Weights([]))
    for name in ("classify", "sketch", "embed"):
        registry.load(name)
    assert not asked
    hostile.healthy(tmp_path / "pets")
    Registry([tmp_path], weights=Weights([])).load("pets")
    assert asked == ["pets"]


@pytest.mark.slow
def test_hostile_models_in_a_folder_and_in_the_container_stop_nobody(
    storage: Storage,
    make_worker: Callable[..., UploadWorker],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With true trials: a model that never ends and one that takes all memory, with no manifest and with one."""
    monkeypatch.setattr(serving_models, "STILL_S", -5.0)
    monkeypatch.setattr(trials, "_FIRST_S", 2.0)
    monkeypatch.setattr(trials, "_WAIT_S", 1.0)
    monkeypatch.setattr(trials, "_ASK_AGAIN_S", 0.0)
    monkeypatch.setattr("inference.engine.trial.memory_limit", lambda: 0)
    local = tmp_path / "local"
    hostile.laughs(local / "laughs").joinpath("model.toml").unlink()  # it is loaded where folders are listed
    for path in hostile.hungry(tmp_path / "hungry").iterdir():
        storage.write("models", f"hungry/{path.name}", path)
    asked = Trials(storage)
    ask_before_opening(asked.ask)
    began = time.monotonic()
    monkeypatch.setenv("DROPSIGHT_MODELS", str(local))
    registry = Registry()
    worker = make_worker()
    worker.models, worker.registry = ServingModels(storage, registry, 0, trials=asked), registry
    routes = "".join(f'[[route]]\nname = "{n}"\nmatch = "{n}/*"\nsteps = [{{model = "{n}"}}]\n' for n in HOSTILE)
    routes += '[[route]]\nname = "rest"\nmatch = "**"\nsteps = [{ model = "sketch" }]\n'
    worker.planner.registry, worker.planner.routes = registry, parse_routes(routes, "test routes")
    assert worker.handle(drop(worker, "a.jpg", jpeg())).status == "done"
    for name in HOSTILE:
        event = drop(worker, f"{name}.jpg", jpeg(), dropsight_route=name)
        assert worker.handle(event).status == "waiting" and receipt(worker, f"{name}.jpg").cause == f"model:{name}"
    assert time.monotonic() - began < 60
    for job in list(asked._jobs.values()):
        assert job.done.wait(60)
    worker.models.refresh()
    assert "takes more memory than" in worker.models.refused["hungry"][1]
    with pytest.raises(ModelUnavailable, match=r"'laughs' is not opened here, it was tried 2 times: it had not run"):
        registry._installed._next_look = 0.0
        registry.load("laughs")
    assert document(worker, "state", "models/refused/hungry.json")["model"] == "hungry"
    monkeypatch.setattr("cloud.storage.containers.default_storage", lambda: storage)
    options = type("Options", (), {"name": "hungry"})
    assert models_command._try_again(options) == 0  # type: ignore[arg-type]
    assert "hungry: it is tried again" in capsys.readouterr().out
    with pytest.raises(BadModel, match="no trial of a model 'hungry' is known"):
        models_command._try_again(options)  # type: ignore[arg-type]
