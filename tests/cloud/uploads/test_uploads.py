"""One upload, from its event to its result, on a real Azurite and the real engine: nothing lost, nothing twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import inference.analysis as engine
from cloud import instance
from cloud.settings import ERRORS, RESULTS, STATE, UPLOADS, BadSettings, Settings
from cloud.uploads import plans, publish
from cloud.uploads.events import BlobEvent, Outcome
from cloud.uploads.receipts import Receipt
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.engine.registry import Registry
from inference.errors import ModelUnavailable, RouteUnavailable, ServiceBusy
from inference.routes import Routes
from tests.cloud.helpers import Calls, jpeg


def drop(worker: UploadWorker, name: str, content: bytes, **metadata: str) -> BlobEvent:
    worker.storage.write(UPLOADS, name, content, metadata=metadata)
    return BlobEvent(UPLOADS, name)


def names(worker: UploadWorker, container: str) -> list[str]:
    return [blob.name for page in worker.storage.pages(container) for blob in page.blobs]


def document(worker: UploadWorker, container: str, name: str) -> Any:
    found = worker.storage.read_json(container, name)
    assert found, f"{container}/{name} is missing; there are {names(worker, container)}"
    return found[0]


def receipt(worker: UploadWorker, name: str) -> Receipt:
    stored = worker.ledger.read(name)
    assert stored
    return stored.receipt


@pytest.fixture
def analyses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was analysed, in order; a hook can be set that runs in the middle of it."""
    seen: list[str] = []
    real = engine.analyze

    def analyze(media: Any, route: Any, registry: Any, source: Any, **options: Any) -> Any:
        seen.append(source.name)
        return real(media, route, registry, source, **options)

    monkeypatch.setattr(engine, "analyze", analyze)
    return seen


def during_analysis(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Run `act` once, in the middle of the next analysis."""
    real, left = engine.analyze, [act]

    def analyze(*args: Any, **options: Any) -> Any:
        if left:
            left.pop()()
        return real(*args, **options)

    monkeypatch.setattr(engine, "analyze", analyze)


def test_a_photo_becomes_a_document_and_everything_it_names(worker: UploadWorker) -> None:
    assert worker.handle(drop(worker, "street/a.jpg", jpeg())) == Outcome("done", 1)
    found = document(worker, RESULTS, "street/a.jpg/result.json")
    upload = worker.storage.head(UPLOADS, "street/a.jpg")
    assert upload
    assert found["source"] | {"container": "uploads", "name": "street/a.jpg", "etag": upload.etag} == found["source"]
    assert found["status"] == "ok"
    assert found["artifacts"]
    for file in found["artifacts"].values():
        assert worker.storage.head(RESULTS, f"street/a.jpg/{file}")
    assert receipt(worker, "street/a.jpg").state == "done"
    assert names(worker, ERRORS) == []


def test_six_storage_calls_three_of_them_the_ledgers(make_worker: Callable[..., UploadWorker], calls: Calls) -> None:
    worker = make_worker(lease_seconds=600.0)  # on a busy machine a short lease is renewed, which is a call more
    event = drop(worker, "a.jpg", jpeg(), dropsight_route="classify")
    calls.seen.clear()
    worker.handle(event)
    path = f"a.jpg/{receipt(worker, 'a.jpg').short_key}/annotated.jpg"
    made = [call.removeprefix("PUT ").split("?")[0] for call in calls.seen]
    assert [call.split(" ")[0] for call in calls.seen[:6]] == ["GET", "PUT", "PUT", "HEAD", "PUT", "PUT"]
    assert made[1] == made[5] == "state/receipts/a.jpg"
    # A loop without a ledger: read the photo, write the picture, write the document.
    assert (made[2], made[4]) == (f"results/{path}", "results/a.jpg/result.json")
    assert len(calls) == 7  # the seventh is this test's own reading of the receipt


def test_a_second_delivery_costs_three_calls_and_no_analysis(
    worker: UploadWorker, calls: Calls, analyses: list[str]
) -> None:
    event = drop(worker, "a.jpg", jpeg())
    worker.handle(event)
    calls.seen.clear()
    assert worker.handle(event) == Outcome("done")
    assert len(calls) == 3
    assert analyses == ["a.jpg"]


def test_delivered_to_many_threads_at_once_it_is_analysed_once(worker: UploadWorker, analyses: list[str]) -> None:
    event, together = drop(worker, "a.jpg", jpeg()), threading.Barrier(4)

    def deliver(_: int) -> Outcome:
        together.wait()
        return worker.handle(event)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(deliver, range(4)))
    assert analyses == ["a.jpg"]
    assert sum(each == Outcome("done", 1) for each in outcomes) == 1


def test_of_many_threads_only_so_many_work_at_once(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, real = make_worker(max_concurrent=2), engine.analyze
    counting, inside, most = threading.Lock(), 0, 0

    def analyze(*args: Any, **options: Any) -> Any:
        nonlocal inside, most
        with counting:
            inside, most = inside + 1, max(most, inside + 1)
        time.sleep(0.02)  # long enough for the others to come in, were they let
        try:
            return real(*args, **options)
        finally:
            with counting:
                inside -= 1

    monkeypatch.setattr(engine, "analyze", analyze)
    events = [drop(worker, f"{number}.jpg", jpeg(number)) for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        assert {outcome.status for outcome in pool.map(worker.handle, events)} == {"done"}
    assert most == 2


def test_overwritten_during_the_analysis_the_newest_content_wins(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, analyses: list[str]
) -> None:
    event = drop(worker, "a.jpg", jpeg(1, side=64))
    during_analysis(monkeypatch, lambda: drop(worker, "a.jpg", jpeg(2, side=80)))
    assert worker.handle(event).status == "done"
    found = document(worker, RESULTS, "a.jpg/result.json")
    assert found["source"]["width"] == 80
    assert analyses == ["a.jpg", "a.jpg"]
    # Nothing of the version in between is left.
    assert {name.split("/")[1] for name in names(worker, RESULTS)} == {
        "result.json",
        receipt(worker, "a.jpg").short_key,
    }


def test_a_slow_worker_does_not_publish_over_a_newer_version(
    worker: UploadWorker, make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a worker that has just seen that the upload is unchanged WHEN another finishes a newer version
    event, other = drop(worker, "a.jpg", jpeg(1, side=64)), make_worker()
    real, left = publish.current_upload, [True]

    def current_upload(*args: Any) -> Any:
        answer = real(*args)
        if left:
            left.clear()
            assert other.handle(drop(other, "a.jpg", jpeg(2, side=80))).status == "done"
        return answer

    monkeypatch.setattr(publish, "current_upload", current_upload)
    # THEN its own document is refused by the version it was based on, and the newer one stays.
    assert worker.handle(event) == Outcome("done")
    assert document(worker, RESULTS, "a.jpg/result.json")["source"]["width"] == 80


def test_an_overwritten_upload_replaces_its_result_and_its_artifacts(worker: UploadWorker) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg(1, side=64)))
    first = receipt(worker, "a.jpg").short_key
    # A hostile upload whose results lie in that very folder keeps them.
    worker.handle(drop(worker, f"a.jpg/{first}/x.jpg", jpeg(3)))
    worker.handle(drop(worker, "a.jpg", jpeg(2, side=80)))
    second = receipt(worker, "a.jpg").short_key
    found = names(worker, RESULTS)
    assert f"a.jpg/{second}/sketch.jpg" in found
    assert f"a.jpg/{first}/sketch.jpg" not in found
    assert f"a.jpg/{first}/x.jpg/result.json" in found


def test_a_corrupt_file_is_recorded_at_once_and_its_correction_removes_the_record(worker: UploadWorker) -> None:
    event = drop(worker, "a.jpg", jpeg(side=256)[:300])
    assert worker.handle(event) == Outcome("failed", 1)
    record = document(worker, ERRORS, "a.jpg.json")
    assert record["error"]["class"] == "CorruptMedia"
    assert record["error"]["message"].startswith("a.jpg: ")
    assert record["trace"]
    assert worker.handle(event) == Outcome("failed")
    worker.handle(drop(worker, "a.jpg", jpeg()))
    assert names(worker, ERRORS) == []
    assert document(worker, RESULTS, "a.jpg/result.json")["status"] == "ok"


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("empty.jpg", b"", "UnsupportedMedia"),
        ("page.jpg", b"<!doctype html><p>404", "UnsupportedMedia"),
        ("large.jpg", jpeg() + b"\0" * 40_000, "LimitExceeded"),
        ("x" * 950 + ".jpg", jpeg(), "LimitExceeded"),
    ],
)
def test_what_cannot_be_analysed_says_why(
    make_worker: Callable[..., UploadWorker], name: str, content: bytes, error: str
) -> None:
    worker = make_worker(max_image_bytes=30_000)
    assert worker.handle(drop(worker, name, content)).status == "failed"
    [record] = names(worker, ERRORS)
    told = document(worker, ERRORS, record)
    assert told["error"]["class"] == error and told["source"]["bytes"] == len(content)
    assert worker.handle(BlobEvent(UPLOADS, name)) == Outcome("failed")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("é✓/日本.jpg", "é✓/日本.jpg"),
        ("100%.jpg", "100%.jpg"),
        ("a%20b.jpg", "a%2520b.jpg"),
        ("/lead.jpg", "%2Flead.jpg"),
        ("a//b.jpg", "a/%2Fb.jpg"),
        ("dots..", "dots%2E%2E"),
        ("q?x=1#f", "q?x=1#f"),
        ("back\\slash.jpg", "back/slash.jpg"),
        ("\U0001f600.jpg", "\U0001f600.jpg"),
    ],
)
def test_odd_names_get_their_results_in_a_place_of_their_own(worker: UploadWorker, name: str, folder: str) -> None:
    assert worker.handle(drop(worker, name, jpeg())) == Outcome("done", 1)
    assert document(worker, RESULTS, f"{folder}/result.json")["status"] == "ok"


def test_a_name_that_leads_elsewhere_is_recorded_and_touches_nothing(worker: UploadWorker, calls: Calls) -> None:
    assert worker.handle(BlobEvent(UPLOADS, "../state/receipts/x")).status == "failed"
    assert names(worker, ERRORS) == ["%2E%2E/state/receipts/x.json"]
    assert not any("/state/" in call and "errors" not in call for call in calls.seen)


def test_folders_of_a_hierarchical_account_are_no_uploads(worker: UploadWorker, calls: Calls) -> None:
    event = drop(worker, "street", b"", hdi_isfolder="true")
    assert worker.handle(event).status == "ignored"
    assert names(worker, ERRORS) == names(worker, STATE) == []


def test_a_name_with_line_breaks_writes_no_log_lines_of_its_own(
    worker: UploadWorker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    worker.handle(drop(worker, "a\nERROR everything is lost.jpg", jpeg()))
    worker.handle(drop(worker, "b\nERROR everything is lost.jpg", b""))
    assert [line for line in caplog.text.splitlines() if line.startswith("ERROR everything")] == []
    assert caplog.text.count("everything is lost") == 2


def test_one_worker_per_process_whoever_asks_first(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    instance.default_worker.cache_clear()
    together = threading.Barrier(8)

    def ask(_: int) -> int:
        together.wait()
        return id(instance.default_worker())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    instance.default_worker.cache_clear()


def test_our_own_results_are_never_analysed(worker: UploadWorker, analyses: list[str], calls: Calls) -> None:
    assert worker.handle(BlobEvent(RESULTS, "a.jpg/0123/annotated.jpg")).status == "ignored"
    assert analyses == []
    assert len(calls) == 0


def test_deleted_before_it_was_analysed_is_no_error(worker: UploadWorker) -> None:
    assert worker.handle(BlobEvent(UPLOADS, "gone.jpg")).status == "dropped"
    assert names(worker, ERRORS) == names(worker, STATE) == []


def test_deleted_during_the_analysis_leaves_nothing_behind(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = drop(worker, "a.jpg", jpeg())
    during_analysis(monkeypatch, lambda: worker.storage.delete(UPLOADS, "a.jpg"))
    assert worker.handle(event).status == "dropped"
    assert receipt(worker, "a.jpg").state == "dropped"
    assert names(worker, RESULTS) == names(worker, ERRORS) == []


def test_what_may_pass_is_raised_until_the_attempts_are_used_up(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(max_attempts=3)
    event = drop(worker, "a.jpg", jpeg())

    def busy(*_: Any, **__: Any) -> Any:
        raise ServiceBusy("the accelerator is taken")

    monkeypatch.setattr(engine, "analyze", busy)
    for _ in range(2):
        with pytest.raises(ServiceBusy):
            worker.handle(event)
    assert names(worker, ERRORS) == []
    assert worker.handle(event) == Outcome("failed", 3)
    record = document(worker, ERRORS, "a.jpg.json")
    assert (record["error"]["class"], record["error"]["permanent"]) == ("ServiceBusy", False)


@pytest.mark.parametrize(
    ("when", "error"),
    [
        ("planned", ModelUnavailable("model m is missing")),
        ("planned", RouteUnavailable("route r is refused")),
        ("analysed", RouteUnavailable("model m is broken")),
    ],
)
def test_an_installation_that_must_be_mended_spends_no_attempt_and_then_it_runs(
    make_worker: Callable[..., UploadWorker], monkeypatch: pytest.MonkeyPatch, when: str, error: Exception
) -> None:
    worker = make_worker(max_attempts=2)
    event = drop(worker, "a.jpg", jpeg())

    def refused(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        place: tuple[object, str] = (Routes, "match") if when == "planned" else (engine, "analyze")
        patch.setattr(*place, refused)
        for _ in range(3):
            assert worker.handle(event) == Outcome("waiting")
            assert sweep(worker, 60).failed == 0
    waiting = receipt(worker, "a.jpg")
    assert (waiting.state, waiting.attempt, waiting.reason) == ("retry", 0, str(error))
    assert names(worker, ERRORS) == names(worker, RESULTS) == []
    assert sweep(worker, 60).processed == 1
    assert receipt(worker, "a.jpg").attempt == 1


def _deliver(connection_string: str, together: Any, outcomes: Any) -> None:
    # In a child process: a second instance of the app that gets the same event at the same moment.
    os.environ["STORAGE_CONNECTION"] = "THE_ACCOUNT"
    os.environ["THE_ACCOUNT"] = connection_string
    worker = instance.default_worker()
    together.wait(60)
    outcome = worker.handle(BlobEvent(UPLOADS, "a.jpg"))
    outcomes.put((outcome.status, outcome.attempt))


@pytest.mark.slow
def test_delivered_to_two_processes_at_once_it_is_analysed_once(worker: UploadWorker, account: str) -> None:
    drop(worker, "a.jpg", jpeg())
    context = multiprocessing.get_context("spawn")
    together, outcomes = context.Barrier(2), context.Queue()
    children = [context.Process(target=_deliver, args=(account, together, outcomes)) for _ in range(2)]
    for child in children:
        child.start()
    found = sorted(outcomes.get(timeout=60) for _ in children)
    for child in children:
        child.join(60)
    assert found in ([("busy", 0), ("done", 1)], [("done", 0), ("done", 1)])
    assert document(worker, RESULTS, "a.jpg/result.json")["status"] == "ok"


def _die_in_the_middle(connection_string: str) -> None:
    # In a child process: takes the upload and is killed while it analyses it, as by the out-of-memory killer.
    os.environ["STORAGE_CONNECTION"] = "THE_ACCOUNT"
    os.environ["THE_ACCOUNT"] = connection_string
    os.environ["LEASE_SECONDS"] = "2"
    vars(engine)["analyze"] = lambda *_, **__: os.kill(os.getpid(), 9)
    instance.on_blob(UPLOADS, "a.jpg", lambda: None)


def kill_a_worker(account: str) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_die_in_the_middle, args=(account,))
    child.start()
    child.join(60)
    assert child.exitcode == -9


def until_the_lease_is_dead(worker: UploadWorker, name: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        stored = worker.ledger.read(name)
        assert stored
        if stored.age_s >= stored.receipt.lease_s:
            return
        time.sleep(0.2)
    raise AssertionError("the lease did not end")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_the_next_delivery_picks_up_what_a_killed_worker_left(worker: UploadWorker, account: str) -> None:
    event = drop(worker, "a.jpg", jpeg())
    kill_a_worker(account)
    assert receipt(worker, "a.jpg").state == "working"
    assert worker.handle(event).status == "busy"
    until_the_lease_is_dead(worker, "a.jpg")
    assert worker.handle(event) == Outcome("done", 2)
    assert document(worker, RESULTS, "a.jpg/result.json")["status"] == "ok"


@pytest.mark.slow
def test_what_kills_every_worker_is_recorded_after_its_attempts(
    make_worker: Callable[..., UploadWorker], analyses: list[str]
) -> None:
    worker = make_worker(max_attempts=2, lease_seconds=1)
    event = drop(worker, "bomb.jpg", jpeg())
    head = worker.storage.head(UPLOADS, "bomb.jpg")
    assert head
    for _ in range(2):  # two workers that took it and were never heard of again
        worker.ledger.claim("bomb.jpg", head.etag, lambda override: worker.planner.plan(head, override))
        until_the_lease_is_dead(worker, "bomb.jpg")
    assert worker.handle(event) == Outcome("failed", 3)
    assert "ended without a word" in document(worker, ERRORS, "bomb.jpg.json")["error"]["message"]
    assert analyses == []


@pytest.mark.slow
def test_killed_between_the_last_two_writes_the_work_is_not_done_again(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, analyses: list[str]
) -> None:
    worker.handle(drop(worker, "a.jpg", b"not a picture"))
    event = drop(worker, "a.jpg", jpeg())
    with monkeypatch.context() as patch:
        patch.setattr(worker.ledger, "finish", lambda *_, **__: "ok")
        patch.setattr(publish, "tidy", lambda *_: None)  # killed before it could tidy up
        worker.handle(event)
    assert receipt(worker, "a.jpg").state == "working"
    until_the_lease_is_dead(worker, "a.jpg")
    assert worker.handle(event) == Outcome("done", 2)
    assert analyses == ["a.jpg"]
    assert receipt(worker, "a.jpg").state == "done"
    assert names(worker, ERRORS) == []


def test_the_document_is_written_last_and_readers_never_see_a_part(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real = worker.storage.write

    def write(container: str, name: str, *args: Any, **options: Any) -> str:
        order.append(f"{container}/{name.rsplit('/', 1)[1]}")
        return real(container, name, *args, **options)

    monkeypatch.setattr(worker.storage, "write", write)
    worker.handle(drop(worker, "a/a.jpg", jpeg(), dropsight_route="classify"))
    assert order == ["uploads/a.jpg", "state/a.jpg", "results/annotated.jpg", "results/result.json", "state/a.jpg"]


def test_metadata_chooses_another_route(worker: UploadWorker) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg(), dropsight_route="classify"))
    assert document(worker, RESULTS, "a.jpg/result.json")["route"] == "classify"
    worker.handle(drop(worker, "b.jpg", jpeg(), dropsight_route="clasify"))
    assert "classify" in document(worker, ERRORS, "b.jpg.json")["error"]["message"]


@pytest.mark.parametrize("text", ['route = "classify"', '[[route]]\nname="own"\nsteps=[{model="classify"}]'])
@pytest.mark.parametrize("first", ["sidecar", "photo"])
def test_a_sidecar_chooses_another_route_whichever_comes_first(worker: UploadWorker, text: str, first: str) -> None:
    files = {"sidecar": ("a.jpg.route.toml", text.encode()), "photo": ("a.jpg", jpeg())}
    for kind in sorted(files, reverse=first == "sidecar"):
        assert worker.handle(drop(worker, *files[kind])).status == "done"
    found = document(worker, RESULTS, "a.jpg/result.json")
    assert [step["name"] for step in found["steps"]] == ["classify"]
    assert not any("route.toml" in name for name in names(worker, RESULTS))
    # An empty one takes it back.
    worker.handle(drop(worker, "a.jpg.route.toml", b""))
    assert document(worker, RESULTS, "a.jpg/result.json")["route"] == "default"


@pytest.mark.parametrize("content", [b"route = 'x", b"\xff\xfa", b"#" * 70_000])
def test_a_wrong_sidecar_is_the_error_of_its_photo(worker: UploadWorker, content: bytes) -> None:
    assert worker.handle(drop(worker, "a.jpg.route.toml", content)).status == "done"
    worker.handle(drop(worker, "a.jpg", jpeg()))
    assert "a.jpg.route.toml: not valid TOML" in document(worker, ERRORS, "a.jpg.json")["error"]["message"]


def test_a_sidecar_during_the_analysis_is_not_overlooked(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    event = drop(worker, "a.jpg", jpeg())
    sidecar = drop(worker, "a.jpg.route.toml", b'route = "classify"')
    during_analysis(monkeypatch, lambda: worker.handle(sidecar))
    assert worker.handle(event).status == "done"
    assert document(worker, RESULTS, "a.jpg/result.json")["route"] == "classify"


def test_a_route_with_a_schedule_waits_for_its_slot(worker: UploadWorker, analyses: list[str]) -> None:
    event = drop(worker, "night/a.jpg", jpeg())
    assert worker.handle(event) == Outcome("waiting")
    waiting = receipt(worker, "night/a.jpg")
    assert waiting.state == "waiting"
    assert (waiting.until or "")[10:] == "T02:00:00+00:00"
    assert analyses == []
    # Its slot has passed: a delivery that comes after it runs.
    info = worker.storage.head(UPLOADS, "night/a.jpg")
    assert info
    object.__setattr__(info, "served_at", info.served_at + timedelta(days=1))
    assert worker.planner.plan(info, None).until is None


def test_every_file_that_a_document_names_is_named_as_it_lies_there(worker: UploadWorker) -> None:
    analysis = engine.analyze(jpeg(), worker.planner.route("a.jpg"), worker.registry)
    files = {"thumbs/0.jpg": b"", "sketch.jpg": b""}
    extra = {"thumbnails": ["thumbs/0.jpg"], "timeline": [{"label": "thumbs", "poster": "sketch.jpg", "start_s": 0.5}]}
    found = publish.placed(replace(analysis, artifacts=files, result=replace(analysis.result, extra=extra)), "k")
    assert found.to_json()["artifacts"]["sketch"] == "k/sketch.jpg"
    assert found.extra == {
        "thumbnails": ["k/thumbs/0.jpg"],
        "timeline": [{"label": "thumbs", "poster": "k/sketch.jpg", "start_s": 0.5}],
    }


def test_a_video_too_large_for_memory_goes_through_a_file(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, shared: Path
) -> None:
    seen: list[Any] = []
    real = engine.analyze

    def analyze(media: Any, *args: Any, **options: Any) -> Any:
        seen.append(media)
        return real(media, *args, **options)

    monkeypatch.setattr(engine, "analyze", analyze)
    video = (shared / "media" / "video" / "street-people-5frames.mp4").read_bytes()
    assert worker.handle(drop(worker, "street.mp4", video, dropsight_route="classify")) == Outcome("done", 1)
    found = document(worker, RESULTS, "street.mp4/result.json")
    assert found["source"]["frames"] == 5
    for file in [*found["artifacts"].values(), *found.get("thumbnails", [])]:
        assert worker.storage.head(RESULTS, f"street.mp4/{file}"), file
    [media] = seen
    assert not media.exists(), "the temporary file is left"


def test_a_document_holds_what_the_index_tags_say(worker: UploadWorker) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg(), dropsight_route="classify"))
    found = document(worker, RESULTS, "a.jpg/result.json")
    tags = publish.tags(found)
    assert tags["task"] == "image-classification"
    assert tags["top"] in found["summary"]
    [blob] = worker.storage.service.find_blobs_by_tags("model='classify' and status='ok'")
    assert blob.name == "a.jpg/result.json"
    assert json.dumps(found)


def test_the_routes_file_as_it_comes_leaves_the_default_route_to_the_engine(registry: Registry) -> None:
    route = plans.app_routes(Settings(), registry).match("any/name.jpg")
    assert route
    assert [step.model for step in route.steps] == ["classify", "faces", "expression", "sketch"]


@pytest.mark.parametrize(
    ("text", "said"), [("[[route]\n", "not valid TOML"), ("[[rout]]\n", "unknown key 'rout'; did you mean 'route'")]
)
def test_a_misspelt_routes_file_fails_no_upload_for_good(
    registry: Registry, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(text)
    with pytest.raises(BadSettings, match=said):
        plans.app_routes(Settings(routes_file=str(file)), registry)
