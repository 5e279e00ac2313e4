"""A person's uploads are forgotten by one command, with all that came of them, and others' are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cloud.__main__ import main
from cloud.settings import CONTAINERS, RESULTS, STATE, UPLOADS
from cloud.storage.containers import Storage
from cloud.uploads import forget, publish
from cloud.uploads.events import BlobEvent
from cloud.uploads.forget import FORGOTTEN, Forgetter, look_again, names_meant
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from tests.cloud.helpers import document, drop, during_analysis, jpeg, names
from tests.cloud.web import asking
from tests.cloud.web.asking import said, serve

pytestmark = pytest.mark.slow

Said = tuple[int, dict[str, Any]]


@pytest.fixture
def forgotten(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """The command: status, report."""
    monkeypatch.setattr("cloud.storage.containers.default_storage", lambda: worker.storage)

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        status = main(["forget", "--json", *arguments])
        return status, json.loads(capsys.readouterr().out)

    return run


def everything(worker: UploadWorker) -> list[str]:
    """All blobs but the names that are kept for the second look, and what the sweep counted."""
    found = [f"{container}/{name}" for container in CONTAINERS for name in names(worker, container)]
    return [name for name in found if not name.startswith((f"{STATE}/{FORGOTTEN}", f"{STATE}/outdated/"))]


def test_all_that_came_of_a_persons_uploads_is_deleted_and_reported(
    worker: UploadWorker, forgotten: Callable[..., Said]
) -> None:
    # GIVEN a person's photos (one with a sidecar, one unreadable, one with an odd name), and others of nearly that name
    others = ["person-1", "person-1.jpg", "person-10/a.jpg"]
    for name in others:
        drop(worker, name, jpeg())
    sweep(worker, 60)
    before = everything(worker)
    ours = ["person-1/a.jpg", "person-1/odd..", "person-1/bad.jpg"]
    for name in ours:
        drop(worker, name, b"no picture" if "bad" in name else jpeg())
    drop(worker, "person-1/a.jpg.route.toml", b'route = "classify"')
    sweep(worker, 60)
    worker.storage.service.get_blob_client(UPLOADS, "person-1/a.jpg").create_snapshot()
    there = set(everything(worker)) - set(before)
    # WHEN, THEN
    status, dry = forgotten("person-1/", "--dry-run")
    assert set(everything(worker)) == there | set(before)
    status, report = forgotten("person-1/")
    assert status == 0
    deleted = [blob for upload in report["uploads"] for blob in upload["deleted"]]
    assert set(deleted) == there == {blob for upload in dry["uploads"] for blob in upload["deleted"]}
    assert sum(upload["snapshots"] for upload in report["uploads"]) == 1
    assert everything(worker) == before
    # AND nothing brings them back
    assert sweep(worker, 60).unfinished == 0
    assert everything(worker) == before
    status, report = forgotten("person-1/")
    assert (status, report["count"]) == (1, 0)


def test_what_is_left_of_an_upload_that_is_gone_is_found_by_its_name(
    worker: UploadWorker, forgotten: Callable[..., Said]
) -> None:
    for name in ("a b/c.jpg", "a b/d.."):
        drop(worker, name, jpeg())
    drop(worker, "a b/bad.jpg", b"no picture")
    sweep(worker, 60)
    for name in names(worker, UPLOADS):
        worker.storage.delete(UPLOADS, name)
    worker.storage.delete(STATE, "receipts/a b/c.jpg")
    worker.storage.delete(STATE, "receipts/a b/bad.jpg")
    assert forgotten("a b/c.jpg")[0] == 0
    status, report = forgotten("a b/*")
    assert status == 0 and sorted(upload["name"] for upload in report["uploads"]) == ["a b/bad.jpg", "a b/d.."]
    assert everything(worker) == []


@pytest.mark.parametrize("moment", ["analysis", "result"])
def test_a_worker_that_is_at_it_leaves_nothing(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    event = drop(worker, "a.jpg", jpeg())

    def gone() -> None:
        assert [one.name for one in Forgetter(worker.storage).run(["a.jpg"])] == ["a.jpg"]

    if moment == "analysis":
        during_analysis(monkeypatch, gone)
    else:  # the worker has just seen that its upload is there
        real = publish.current_upload

        def current_upload(*given: Any) -> Any:
            found = real(*given)
            monkeypatch.setattr(publish, "current_upload", real)
            gone()
            return found

        monkeypatch.setattr(publish, "current_upload", current_upload)
    assert worker.handle(event).status == "dropped"
    assert everything(worker) == []


def test_what_a_worker_wrote_that_died_then_is_deleted_by_the_second_look(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(worker, "a.jpg", jpeg())
    drop(worker, "b.jpg", jpeg())
    sweep(worker, 60)
    result = worker.storage.read(RESULTS, "a.jpg/result.json")
    assert result
    list(Forgetter(worker.storage).run(["a.jpg", "b.jpg"]))
    worker.storage.write(RESULTS, "a.jpg/result.json", result[0])
    worker.handle(drop(worker, "b.jpg", jpeg(1)))  # is another upload, which came after that
    assert look_again(worker.storage) == 0  # not yet
    monkeypatch.setattr(forget, "SECOND_LOOK_S", -1.0)
    monkeypatch.setattr(forget, "LAST_LOOK_S", -1.0)
    assert look_again(worker.storage, 0) == 0  # without time
    assert look_again(worker.storage) == 1
    assert not [name for name in everything(worker) if "a.jpg" in name]
    assert document(worker, RESULTS, "b.jpg/result.json")["source"]["name"] == "b.jpg"
    assert any(name.startswith(FORGOTTEN) for name in names(worker, STATE))
    look_again(worker.storage)
    assert not any(name.startswith(FORGOTTEN) for name in names(worker, STATE))


def test_an_upload_that_cannot_be_deleted_is_named_and_keeps_its_receipt(
    worker: UploadWorker, forgotten: Callable[..., Said]
) -> None:
    for name in ("a.jpg", "b.jpg"):
        worker.handle(drop(worker, name, jpeg()))
    lease = worker.storage.service.get_blob_client(UPLOADS, "a.jpg").acquire_lease()
    status, report = forgotten("*.jpg")
    by_name = {upload["name"]: upload for upload in report["uploads"]}
    assert status == 1 and "LeaseIdMissing" in by_name["a.jpg"]["kept"][0] and by_name["b.jpg"]["kept"] == []
    assert worker.ledger.read("a.jpg") and not worker.ledger.read("b.jpg")
    lease.release()
    assert forgotten("*.jpg")[0] == 0


def test_a_name_of_which_nothing_is_there_is_no_success(
    worker: UploadWorker, forgotten: Callable[..., Said], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jpg", "b/c.jpg"):
        worker.handle(drop(worker, name, jpeg()))
    status, report = forgotten("a.jpg", "uploads/a.jpg", "b/", "b/*.png", "--dry-run")
    assert (status, report["count"], report["unmet"]) == (1, 2, ["uploads/a.jpg", "b/*.png"])
    assert main(["forget", "a.jpg", "uploads/a.jpg"]) == 1
    assert "nothing of 'uploads/a.jpg' is there; names begin behind the container's: 'a.jpg'" in capsys.readouterr().err
    assert names(worker, UPLOADS) == ["b/c.jpg"]


def test_what_was_deleted_before_an_error_is_reported(
    worker: UploadWorker, forgotten: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg()))
    monkeypatch.setattr(forget, "_BATCH", 1)
    status, report = forgotten("a.jpg", "p/../../models/a.onnx", "b.jpg")
    assert (status, report["count"], report["unmet"]) == (1, 1, [])
    assert "leads elsewhere" in report["stopped"] and everything(worker) == []


def test_the_second_look_goes_on_behind_what_may_not_be_deleted(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(Forgetter(worker.storage).run(["a.jpg", "b.jpg"]))
    for name in ("a.jpg", "b.jpg"):
        worker.storage.write(RESULTS, f"{name}/result.json", b"{}")
    lease = worker.storage.service.get_blob_client(RESULTS, "a.jpg/result.json").acquire_lease()
    monkeypatch.setattr(forget, "SECOND_LOOK_S", -1.0)
    monkeypatch.setattr(forget, "LAST_LOOK_S", -1.0)
    assert [look_again(worker.storage), look_again(worker.storage)] == [1, 0]
    assert names(worker, RESULTS) == ["a.jpg/result.json"]
    [kept] = names(worker, STATE)
    assert document(worker, STATE, kept) == ["a.jpg"]
    lease.release()
    assert look_again(worker.storage) == 1 and names(worker, STATE) == names(worker, RESULTS) == []


def test_files_that_may_show_it_and_belong_to_many_are_told(
    worker: UploadWorker, forgotten: Callable[..., Said]
) -> None:
    worker.storage.write(UPLOADS, "a.jpg", b"x")
    worker.storage.write(STATE, "drift/reports/20260501T000000Z/contact.jpg", b"x")
    status, report = forgotten("a.jpg")
    assert status == 0 and "state/drift/reports/ may show pictures of uploads" in " ".join(report["notes"])


def test_rows_that_cannot_be_rewritten_are_named(worker: UploadWorker, forgotten: Callable[..., Said]) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg()))
    info = worker.storage.head(RESULTS, "a.jpg/result.json")
    assert info
    hour = f"{info.modified:%Y/%m/%d/%H}"
    lake = [
        f"results/date={info.modified:%Y-%m-%d}/{info.modified:%H}.parquet",
        f"modelDataCollector/dropsight/default/model_outputs/{hour}/dropsight.jsonl",
    ]
    for path in (*lake, "results/date=2020-01-01/00.parquet"):
        worker.storage.write("lake", path, b"x")
    status, report = forgotten("a.jpg")
    assert status == 1
    assert report["uploads"][0]["kept"] == [f"lake/{path} may have rows of it" for path in lake]
    assert any("read_parquet" in note for note in report["notes"])


def test_only_what_is_named_is_meant(worker: UploadWorker) -> None:
    for name in ("street", "street/a.jpg", "street/b.png", "streets.jpg", "a*.jpg", "ab.jpg", "u\u0308.jpg"):
        worker.storage.write(UPLOADS, name, b"x")

    def meant(*texts: str) -> list[str]:
        return sorted(set(names_meant(worker.storage, texts)))

    assert meant("street") == ["street"]
    assert meant("street/") == ["street/a.jpg", "street/b.png"]
    assert meant("street/*.png", "street/") == ["street/a.jpg", "street/b.png"]
    assert meant("a*.jpg") == ["a*.jpg"]
    assert "u\u0308.jpg" in meant("\u00fc.jpg") and meant("\u00fc*") == ["u\u0308.jpg"]


def test_others_artifacts_below_a_like_name_stay(worker: UploadWorker, forgotten: Callable[..., Said]) -> None:
    worker.handle(drop(worker, "a.jpg", jpeg()))
    worker.handle(drop(worker, "a.jpg/0123456789ab/b.jpg", jpeg()))
    assert forgotten("a.jpg")[0] == 0
    assert document(worker, RESULTS, "a.jpg/0123456789ab/b.jpg/result.json")
    assert all("0123456789ab" in name for name in everything(worker))


def test_a_name_that_leads_elsewhere_deletes_nothing_there(
    worker: UploadWorker, forgotten: Callable[..., Said]
) -> None:
    worker.handle(BlobEvent(UPLOADS, "p/../../models/a.onnx"))  # as an event may say
    worker.storage.write("models", "a.onnx", b"x")
    status, report = forgotten("p/**")
    assert status == 1 and report["uploads"][0]["deleted"] == [f"errors/{'p/%2E%2E/%2E%2E/models/a.onnx'}.json"]
    assert "no client can address" in report["uploads"][0]["kept"][0]
    assert everything(worker) == ["models/a.onnx"]
    assert main(["forget", "p/../../models/a.onnx"]) == 1
    assert everything(worker) == ["models/a.onnx"]


def test_the_plans_of_its_videos_and_the_hosts_notes_go_too(
    worker: UploadWorker, forgotten: Callable[..., Said]
) -> None:
    storage: Storage = worker.storage
    etag = storage.write(UPLOADS, "a.mp4", b"x")
    note = f'blobreceipts/host/Host.Functions.on_upload/"{etag}"/uploads/a.mp4'
    storage.write("azure-webjobs-hosts", note, b"")
    for number, name in (("0" * 24, "a.mp4"), ("1" * 24, "b.mp4")):
        storage.write_json(STATE, f"jobs/{number}/job.json", {"name": name})
        storage.write(STATE, f"jobs/{number}/pictures/0.mp4", b"x")
    status, report = forgotten("a.mp4")
    assert status == 0
    assert report["uploads"][0]["deleted"] == [
        "uploads/a.mp4", f"state/jobs/{'0' * 24}/job.json", f"state/jobs/{'0' * 24}/pictures/0.mp4",
        f"azure-webjobs-hosts/{note}",
    ]  # fmt: skip
    left = [name for name in names(worker, STATE) if name.startswith("jobs/")]
    assert left == [f"jobs/{'1' * 24}/{file}" for file in ("job.json", "pictures/0.mp4")]


def test_over_http_a_single_upload_is_forgotten(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, worker)

    def ask(name: str) -> tuple[int, Any]:
        answer = asking.ask("DELETE", f"v1/uploads/{name}")
        return answer.status_code, said(answer)

    worker.storage.write(UPLOADS, "x", b"not what x/ means")
    assert ask("x/")[0] == 400
    assert ask("x")[1]["uploads"][0]["deleted"] == ["uploads/x"]
    worker.handle(drop(worker, "x/a.jpg", jpeg()))
    assert ask("x/a.jpg?dry_run=true")[1]["uploads"][0]["deleted"][0] == "uploads/x/a.jpg"
    status, report = ask("x/a.jpg")
    assert (status, report["count"], everything(worker)) == (200, 1, [])
    assert ask("x/a.jpg")[0] == 404
    assert [ask(name)[0] for name in ("../state/receipts/a", "", "a?dry_run=perhaps")] == [400, 405, 400]
    assert worker.handle(BlobEvent(UPLOADS, "x/a.jpg")).status == "dropped"
