"""Every line of the app arrives: the host drops those of threads that name no invocation. An upload has one line."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import cloud.invocations as invocations
import function_app
import inference.analysis as engine
from cloud.models.serving_models import ServingModels
from cloud.settings import UPLOADS
from cloud.uploads.events import BlobEvent
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from cloud.videos.job_worker import Videos
from inference.errors import OutOfMemory, StorageUnavailable
from inference.video.detect import FrameDetector
from inference.video.overlap import overlapped
from tests.cloud.helpers import drop, jpeg
from tests.cloud.host_log import Begin, HostLog
from tests.cloud.videos import long_videos
from tests.inference.video.clips import make

HOW = r" \(\d+\.\d s, attempt 1, trace [0-9a-f]{32}\)"


@pytest.fixture(params=[False, True], ids=["older worker", "newer worker"])
def host(request: pytest.FixtureRequest) -> Iterator[HostLog]:
    handler = HostLog(request.param)
    logging.getLogger().addHandler(handler)
    before = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    yield handler
    logging.getLogger().setLevel(before)
    logging.getLogger().removeHandler(handler)


def by_trigger(worker: UploadWorker, name: str, begin: Begin) -> None:
    worker.handle(BlobEvent(UPLOADS, name, begin_thread=begin))


def matches(lines: list[str], pattern: str) -> bool:
    return len(lines) == 1 and re.fullmatch(pattern, lines[0], re.DOTALL) is not None


@pytest.mark.slow
def test_an_upload_has_one_line_whoever_brings_it(
    make_worker: Callable[..., UploadWorker], host: HostLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(max_attempts=2)
    drop(worker, "good.jpg", jpeg())
    drop(worker, "torn.jpg", jpeg()[:-300])
    host.invoke("1", partial(by_trigger, worker, "good.jpg"))
    host.invoke("2", partial(by_trigger, worker, "torn.jpg"))
    host.invoke("3", partial(by_trigger, worker, "good.jpg"))  # delivered twice: there is nothing to say
    for number in range(3):
        drop(worker, f"swept/{number}.jpg", jpeg(number))
    drop(worker, "swept/torn.jpg", jpeg()[:-300])
    host.invoke("4", lambda begin: sweep(worker, 60, begin_thread=begin))
    real = engine.analyze

    def busy(*_: Any, **__: Any) -> Any:
        raise OutOfMemory("it does not fit")

    monkeypatch.setattr(engine, "analyze", busy)
    drop(worker, "later.jpg", jpeg())
    host.invoke("5", lambda begin: sweep(worker, 60, begin_thread=begin))
    monkeypatch.setattr(engine, "analyze", real)
    host.invoke("6", lambda begin: sweep(worker, 60, begin_thread=begin))

    assert host.dropped == []
    for name in ("good.jpg", "swept/0.jpg", "swept/1.jpg", "swept/2.jpg"):
        assert matches(host.of(name), f"INFO {name}: analysed{HOW}"), host.of(name)
    for name in ("torn.jpg", "swept/torn.jpg"):
        lines = [line for line in host.of(name) if f" {name}" in line]
        assert matches(lines, f"WARNING {name}: CorruptMedia: .+{HOW}"), lines
    later = host.of("later.jpg")
    assert matches(later[:1], f"WARNING later.jpg: OutOfMemory: it does not fit; it is tried again{HOW}")
    assert matches(later[1:], "INFO later.jpg: analysed" + HOW.replace("1", "2")), later
    assert {invocation for invocation, _, text in host.lines if "swept/" in text} == {"4"}


@pytest.mark.slow
def test_what_the_stages_of_a_video_say_arrives(
    make_worker: Callable[..., UploadWorker], host: HostLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: set[str] = set()
    real = FrameDetector.__call__

    def detect(self: FrameDetector, frame: Any) -> Any:
        name = threading.current_thread().name.partition("_")[0]
        if name not in said:
            said.add(name)
            logging.getLogger("stage").warning("in %s", name)
        return real(self, frame)

    monkeypatch.setattr(FrameDetector, "__call__", detect)
    worker = make_worker()
    clip = make(tmp_path / "clip.mp4", [i / 25 for i in range(5)])
    worker.storage.write(UPLOADS, "clip.mp4", clip.read_bytes())
    host.invoke("1", lambda begin: sweep(worker, 60, begin_thread=begin))  # threads of threads of threads
    assert host.dropped == [] and ("1", "WARNING", "in video-detect") in host.lines
    assert matches(host.of("clip.mp4"), f"INFO clip.mp4: analysed{HOW}")


def test_what_runs_ahead_says_it_for_whoever_iterates(host: HostLog) -> None:
    def stage(number: int) -> int:
        logging.getLogger("stage").info("%s %d", threading.current_thread().name, number)
        return number

    host.invoke("1", lambda begin: list(overlapped(map(stage, range(1)), stage)))
    assert host.lines == [("1", "INFO", "video-0 0"), ("1", "INFO", "video-1 0")] and host.dropped == []


@pytest.mark.slow
def test_a_lease_that_is_not_renewed_is_said_to_whom_it_is_about(
    make_worker: Callable[..., UploadWorker], host: HostLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(lease_seconds=0.4)
    real, renewed = engine.analyze, threading.Event()

    def renew(_: object) -> None:
        renewed.set()
        raise StorageUnavailable("no answer")

    def analyze(*args: Any, **options: Any) -> Any:
        renewed.clear()
        assert renewed.wait(30)
        return real(*args, **options)

    monkeypatch.setattr(worker.ledger, "renew", renew)
    monkeypatch.setattr(engine, "analyze", analyze)
    for number in ("1", "2"):
        drop(worker, f"{number}.jpg", jpeg())
        host.invoke(number, partial(by_trigger, worker, f"{number}.jpg"))
    # Of the one thread that renews all leases; the last line may come when its invocation is over.
    said = {(i, text) for i, _, text in host.lines if "not renewed" in text}
    assert said == {(number, f"{number}.jpg: the lease was not renewed (no answer)") for number in ("1", "2")}


@pytest.mark.slow
def test_a_stop_says_to_each_invocation_what_became_of_its_upload(
    make_worker: Callable[..., UploadWorker], host: HostLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker()
    real = engine.analyze

    def analyze(*args: Any, **options: Any) -> Any:
        stop = threading.Thread(target=worker.ledger.stop)  # as that of the signal, which serves nobody
        stop.start()
        stop.join()
        return real(*args, **options)

    monkeypatch.setattr(engine, "analyze", analyze)
    drop(worker, "a.jpg", jpeg())
    host.invoke("1", partial(by_trigger, worker, "a.jpg"))
    assert host.of("a.jpg") == ["WARNING a.jpg: given back, since this instance is being stopped"]
    assert host.dropped == []


@pytest.mark.slow
def test_a_job_and_its_sign_of_life_are_heard(
    videos: Videos, clip: Path, host: HostLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried(*about: Any, **options: Any) -> None:
        if first.acquire(blocking=False):  # without which nothing is begun
            put(*about, **options)
            return
        tries.release()
        raise StorageUnavailable("no answer")

    first, tries = threading.Semaphore(1), threading.Semaphore(0)
    real, put = videos.stages.of, videos.jobs.put

    def of(models: Any) -> Any:
        assert tries.acquire(timeout=30) and tries.acquire(timeout=30)  # the line of the first was logged by now
        return real(models)

    host.invoke("1", lambda begin: long_videos.drop(videos, clip))
    message, *rest = long_videos.taken()
    monkeypatch.setattr(videos.jobs, "put", tried)
    monkeypatch.setattr(videos.stages, "of", of)
    host.invoke("2", lambda begin: videos.deliver(message, 1, begin))
    said = [i for i, _, text in host.lines if "no sign of life was given (no answer)" in text]
    assert said and set(said) == {"2"} and host.dropped == []
    split, waits = host.of(long_videos.NAME)
    assert matches([split], f"INFO {long_videos.NAME}: split into .*")
    assert matches([waits], f"ERROR job .* of {long_videos.NAME} waits: no answer")


def test_trouble_with_the_models_is_said_to_whom_looked(
    worker: UploadWorker, host: HostLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ServingModels(worker.storage, worker.registry, 0.0)
    worker.models = models
    models.refresh()

    def away(*_: object) -> None:
        raise StorageUnavailable("no answer")

    monkeypatch.setattr(models, "_look", away)
    drop(worker, "a.jpg", jpeg())
    host.invoke("1", partial(by_trigger, worker, "a.jpg"))
    assert [i for i, _, text in host.lines if "could not be looked at" in text] == ["1"] and host.dropped == []


def test_what_was_wrong_at_import_is_said_to_the_first_invocation(
    host: HostLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.invoke("0", lambda begin: None)
    host.lines.clear()
    monkeypatch.setenv("BLOB_TRIGGER_SOURCE", "pigeon")
    function_app.blob_source()
    invocations.log_later("something else")
    assert (host.lines, host.dropped) == ([], [])
    for number in ("1", "2"):
        host.invoke(number, lambda begin: None)
    said = "BLOB_TRIGGER_SOURCE='pigeon': expected one of LogsAndContainerScan, EventGrid; polling"
    assert host.lines == [("1", "ERROR", said), ("1", "ERROR", "something else")]
