"""Replay takes what its filters name, says how many, does none twice, and leaves what cannot be told."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from cloud.__main__ import main
from cloud.connection import blob_service
from cloud.index.entry import Query
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter
from cloud.settings import CONTAINERS, ERRORS, RESULTS, STATE, UPLOADS
from cloud.storage.paths import record_prefix
from cloud.uploads.events import BlobEvent
from cloud.uploads.index_notes import IndexNotes, Truth
from cloud.uploads.receipt_blobs import PREFIX
from cloud.uploads.replay import Filters, Selection
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.routes_file import parse_routes
from tests.cloud.conftest import ROUTES
from tests.cloud.helpers import document, drop, jpeg, names, receipt

pytestmark = pytest.mark.slow

Said = tuple[int, list[str], str]
OTHERWISE = ROUTES.replace('model = "sketch"', 'model = "sketch", name = "drawn"')


@pytest.fixture
def replay(
    worker: UploadWorker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """The command: status, names, last line."""
    monkeypatch.setattr("cloud.instance.default_worker", lambda: worker)

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        status = main(["replay", "--here", *arguments])
        out, err = capsys.readouterr()
        return status, out.split(), err.splitlines()[-1]

    return run


def routes(worker: UploadWorker, text: str) -> None:
    worker.planner.routes = parse_routes(text, "test routes")


def forget_digest(worker: UploadWorker, name: str) -> None:
    """As a receipt was written before there were digests."""
    worker.ledger.store.replace(replace(receipt(worker, name), digest=""), _version(worker, name))


def _version(worker: UploadWorker, name: str) -> str:
    stored = worker.ledger.read(name)
    assert stored
    return stored.version


def test_what_the_routes_of_today_would_answer_otherwise(
    worker: UploadWorker, replay: Callable[..., Said], analyses: list[str]
) -> None:
    # GIVEN six finished uploads, and another step in the route of three: listed, of a sidecar, of an older version
    listed, by_sidecar, older = "x/a.jpg", "x/b.jpg", "x/c.jpg"
    same = ["x/d.jpg", "x/e.jpg", "x/f.jpg"]
    for name in (listed, older, *same):
        drop(worker, name, jpeg(), **({"dropsight_route": "classify"} if name in same else {}))
    drop(worker, by_sidecar, jpeg(), dropsight_route="classify")
    drop(worker, f"{by_sidecar}.route.toml", b'route = "default"')
    drop(worker, f"{same[1]}.route.toml", b'route = "classify"')
    assert sweep(worker, 60).failed == 0
    for name in (older, same[2]):
        forget_digest(worker, name)
    assert replay("--changed", "--dry-run") == (0, [], "would analyse 0 of 6 uploads")
    routes(worker, OTHERWISE)
    analyses.clear()
    # WHEN, THEN
    taken = [listed, by_sidecar, older]
    assert replay("x/", "--changed", "--dry-run") == (0, taken, "would analyse 3 of 6 uploads below x/ (3 changed)")
    assert analyses == []
    assert replay("x/", "--changed") == (0, taken, "replayed 3 of 6 uploads below x/ (3 changed): 3 done, 0 failed")
    assert sorted(analyses) == taken
    assert {document(worker, RESULTS, f"{name}/result.json")["steps"][0]["name"] for name in taken} == {"drawn"}
    assert replay("x/", "--changed") == (0, [], "replayed 0 of 6 uploads below x/")


def test_what_others_finish_meanwhile_is_not_done_again(worker: UploadWorker, analyses: list[str]) -> None:
    drop(worker, "a.jpg", jpeg())
    sweep(worker, 60)
    routes(worker, OTHERWISE)
    asked = Selection(worker, Filters(changed=True))
    event = BlobEvent(UPLOADS, "a.jpg", "replay", again=asked.again)
    assert [worker.handle(event).attempt, worker.handle(event).attempt] == [1, 0]
    assert len(analyses) == 2


def test_what_another_deployment_has_answered_is_told_apart(worker: UploadWorker, replay: Callable[..., Said]) -> None:
    for name in ("ours.jpg", "theirs.jpg"):
        drop(worker, name, jpeg())
    sweep(worker, 60)
    theirs = replace(receipt(worker, "theirs.jpg"), deployment="blue")
    worker.ledger.store.replace(theirs, _version(worker, "theirs.jpg"))
    routes(worker, OTHERWISE)
    both = "would analyse 2 of 2 uploads (1 changed, 1 changed by others)"
    assert replay("--changed", "--dry-run")[1:] == (["ours.jpg", "theirs.jpg"], both)
    assert replay("--changed", "--dry-run", "--deployment", "local")[1] == ["ours.jpg"]
    assert replay("--dry-run", "--deployment", "blue")[1] == ["theirs.jpg"]


def test_uploads_whose_route_cannot_be_used_are_named_and_left(
    worker: UploadWorker, replay: Callable[..., Said], capsys: pytest.CaptureFixture[str]
) -> None:
    drop(worker, "a.jpg", jpeg())
    sweep(worker, 60)
    before = receipt(worker, "a.jpg")
    routes(worker, ROUTES.replace('"sketch"', '"sketsh"'))
    status, taken, last = replay("--changed")
    assert (status, taken, last.split("; ")) == (
        1, [], ["replayed 0 of 1 uploads", "1 cannot be analysed as routes and models are"],
    )  # fmt: skip
    main(["replay", "--here", "--changed", "--dry-run"])
    assert "not redone: a.jpg: " in (said := capsys.readouterr().err) and "did you mean 'sketch'" in said
    assert receipt(worker, "a.jpg") == before


def test_what_was_deleted_comes_back_and_nothing_is_left_over(
    worker: UploadWorker, replay: Callable[..., Said], analyses: list[str]
) -> None:
    # GIVEN names that sort otherwise with what results add to them, one that is escaped, and one that fails
    good = ["a", "a-1.jpg", "a.b", "a/b.jpg", "odd..", "\U0001f600.jpg"]
    for name in good:
        drop(worker, name, jpeg())
    drop(worker, "bad.jpg", b"not a picture")
    drop(worker, "a/b.jpg.route.toml", b'route = "default"')
    sweep(worker, 60)
    assert replay("--missing", "--dry-run") == (0, [], "would analyse 0 of 7 uploads")
    everything = without_folders(names(worker, RESULTS))
    gone = ["a", "a/b.jpg", "odd.."]
    for path in ("a/result.json", "a/b.jpg/result.json", "odd%2E%2E/result.json"):
        assert worker.storage.delete(RESULTS, path)
    assert worker.storage.delete(ERRORS, "bad.jpg.json")
    analyses.clear()
    # WHEN, THEN
    said = "4 of 7 uploads (4 missing)"
    assert replay("--missing", "--dry-run") == (0, ["a", "a/b.jpg", "bad.jpg", "odd.."], f"would analyse {said}")
    assert replay("a/", "--missing", "--dry-run")[1:] == (
        ["a/b.jpg"],
        "would analyse 1 of 1 uploads below a/ (1 missing)",
    )
    assert replay("odd.", "--missing", "--dry-run")[1] == ["odd.."]
    status, _, last = replay("--missing")
    assert (status, last) == (1, f"replayed {said}: 3 done, 1 failed")
    assert sorted(analyses) == gone
    assert without_folders(names(worker, RESULTS)) == everything
    assert names(worker, ERRORS) == ["bad.jpg.json"]
    assert replay("--missing", "--dry-run")[1] == []


def without_folders(results: list[str]) -> list[str]:
    """Each claim has a folder of another name for its artifacts."""
    return sorted(re.sub(r"/[0-9a-f]{12}/", "/FOLDER/", name) for name in results)


def test_another_route_meanwhile_leaves_no_artifacts_of_the_deleted_result(
    worker: UploadWorker, replay: Callable[..., Said]
) -> None:
    drop(worker, "a.jpg", jpeg())
    sweep(worker, 60)
    before = set(names(worker, RESULTS)) - {"a.jpg/result.json"}
    worker.storage.delete(RESULTS, "a.jpg/result.json")
    routes(worker, OTHERWISE)
    assert replay()[::2] == (0, "replayed 1 of 1 uploads (1 missing): 1 done, 0 failed")  # without a filter, too
    after = set(names(worker, RESULTS))
    assert "a.jpg/result.json" in after and before and not before & after


def test_names_take_what_they_name_and_no_more(
    worker: UploadWorker, replay: Callable[..., Said], capsys: pytest.CaptureFixture[str]
) -> None:
    # The last with its umlaut as a Mac writes it
    odd = ["50% off #2.jpg", "a [1]*.jpg", "b c.jpg", "b/c.jpg", "u\u0308.jpg"]
    for name in ("a", "a.jpg", "a.jpg-2", "a/x.jpg", "a/x.png", *odd):
        worker.storage.write(UPLOADS, name, b"x")
    worker.storage.write(UPLOADS, "a.jpg.route.toml", b'route = "classify"')
    taken = {
        ("a.jpg",): ["a.jpg.route.toml", "a.jpg"],
        ("a.jpg.route.toml",): ["a.jpg.route.toml"],
        ("a",): ["a"],
        ("a/",): ["a/x.jpg", "a/x.png"],
        ("a.",): ["a.jpg", "a.jpg-2", "a.jpg.route.toml"],
        ("*.jpg",): ["50% off #2.jpg", "a [1]*.jpg", "a.jpg", "a.jpg.route.toml", "b c.jpg", odd[-1]],
        ("a/*.jpg", "a/", "a/x.png", "a/x.png"): ["a/x.jpg", "a/x.png"],
        ("b c.jpg", "a"): ["a", "b c.jpg"],
        ("b\\c.jpg",): ["b/c.jpg"],
        ("a [1]*.jpg",): ["a [1]*.jpg"],
        ("50% off #",): ["50% off #2.jpg"],
        ("\u00fc",): [odd[-1]],
    }
    for named, expected in taken.items():
        capsys.readouterr()
        assert main(["replay", "--here", *named, "--dry-run"]) == 0, named
        out, err = capsys.readouterr()
        assert sorted(out.splitlines()) == sorted(expected), named
        assert f"would analyse {len(expected)} of {len(expected)} uploads below {', '.join(named)} (" in err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stret/", "no upload's name is, or begins with, 'stret/'"),
        ("street/*.png", "no upload's name fits 'street/*.png'"),
        ("uploads/street/", "names begin behind the container's: 'street/'"),
        ("../state/sweep.json", "begins with, '../state/sweep.json'"),
        ("x" * 2000, "begins with, 'xxx"),
    ],
)
def test_a_name_that_is_no_uploads_is_said(
    worker: UploadWorker, replay: Callable[..., Said], name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.storage.write(UPLOADS, "street/a.jpg", b"x")
    for more in ((), ("--dry-run",)):
        assert main(["replay", "--here", name, "--changed", *more]) == 1
        assert said in capsys.readouterr().err
    assert main(["replay", "--here", "street/a.jpg", "--changed"]) == 0


def test_rows_are_written_before_the_process_of_the_command_ends(
    worker: UploadWorker, replay: Callable[..., Said], index_table: UploadTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = IndexWriter(lambda: index_table, Truth(worker.storage, worker.ledger.store, lambda _: False), 60)
    worker.ledger.notes = IndexNotes(writer)
    monkeypatch.setattr("cloud.index.default.default_writer", lambda: writer)
    drop(worker, "street/a.jpg", jpeg())
    assert replay("street/a.jpg", "--all")[0] == 0
    assert [one.state for one in index_table.page(Query()).entries] == ["done"]


def test_before_the_app_has_ever_run_there_is_nothing(
    account: str, worker: UploadWorker, replay: Callable[..., Said]
) -> None:
    for container in CONTAINERS:
        blob_service("AzureWebJobsStorage").delete_container(container)
    assert replay() == (0, [], "replayed 0 of 0 uploads")


@pytest.mark.parametrize(("name", "said"), [("", "a name is empty"), ("\udcff.jpg", "is no UTF-8")])
def test_a_name_that_is_none_is_wrong_usage(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):  # of no name, all uploads would be taken
        main(["replay", "--here", name, "--all"])
    assert said in capsys.readouterr().err


def test_what_a_rule_of_the_account_deleted_is_said_where_it_was_not_asked_for(
    worker: UploadWorker, replay: Callable[..., Said], capsys: pytest.CaptureFixture[str]
) -> None:
    drop(worker, "a.jpg", jpeg())
    sweep(worker, 60)
    worker.storage.delete(RESULTS, "a.jpg/result.json")
    said = "1 of these were analysed before: somebody, or a rule of the account, has deleted"
    for arguments, is_said in ((["--missing"], False), (["--all"], False), ([], True)):
        main(["replay", "--here", "--dry-run", *arguments])
        assert (said in capsys.readouterr().err) == is_said


def test_filters_add_up_and_each_upload_counts_once(worker: UploadWorker, replay: Callable[..., Said]) -> None:
    drop(worker, "bad.jpg", b"not a picture")
    for name in ("gone.jpg", "kept.jpg", "old.jpg"):
        drop(worker, name, jpeg(), **({"dropsight_route": "classify"} if name == "kept.jpg" else {}))
    sweep(worker, 60)
    drop(worker, "new.jpg", jpeg())
    routes(worker, OTHERWISE)
    worker.storage.delete(RESULTS, "gone.jpg/result.json")
    taken = {
        ("--failed",): ["bad.jpg"],
        ("--missing",): ["gone.jpg", "new.jpg"],
        ("--changed",): ["bad.jpg", "gone.jpg", "old.jpg"],
        ("--failed", "--missing"): ["bad.jpg", "gone.jpg", "new.jpg"],
        ("--missing", "--changed"): ["bad.jpg", "gone.jpg", "new.jpg", "old.jpg"],
        (): ["bad.jpg", "gone.jpg", "new.jpg"],
        ("--all",): ["bad.jpg", "gone.jpg", "kept.jpg", "new.jpg", "old.jpg"],
    }
    for filters, expected in taken.items():
        assert replay(*filters, "--dry-run")[1] == expected, filters
    status, _, last = replay("--changed", "--failed", "--missing")
    why = "1 failed, 1 missing, 1 unfinished, 1 changed"
    assert (status, last) == (1, f"replayed 4 of 5 uploads ({why}): 3 done, 1 failed")


def test_what_waits_or_is_being_worked_on_is_no_success(worker: UploadWorker, replay: Callable[..., Said]) -> None:
    drop(worker, "a.jpg", jpeg())
    drop(worker, "busy.jpg", jpeg())
    info = worker.storage.head(UPLOADS, "busy.jpg")
    assert info
    worker.ledger.claim("busy.jpg", info.etag, lambda override: worker.planner.plan(info, override))
    routes(worker, ROUTES.replace('"sketch"', '"sketsh"'))
    status, taken, last = replay("--all")
    assert (status, taken) == (1, ["a.jpg", "busy.jpg"])
    assert last == "replayed 2 of 2 uploads (1 unfinished, 1 working): 0 done, 0 failed, 1 waiting, 1 busy"


def test_receipts_that_lost_what_a_listing_shows_are_read(worker: UploadWorker, replay: Callable[..., Said]) -> None:
    drop(worker, "a.jpg", jpeg())
    sweep(worker, 60)
    content = worker.storage.read(STATE, f"{PREFIX}a.jpg")
    assert content
    worker.storage.write(STATE, f"{PREFIX}a.jpg", content[0])  # as after a copy
    assert replay("--changed", "--dry-run")[1] == []
    assert replay() == (0, ["a.jpg"], "replayed 1 of 1 uploads (1 unfinished): 0 done, 0 failed, 1 finished by others")


@pytest.mark.parametrize(
    ("prefix", "below"),
    [
        ("", ""), ("street/", "street/"), ("street/a.j", "street/a.j"), ("a.", "a"), ("a//b", "a/"), ("/a", ""),
        ("50%", "50"), ("50%4", "50"), ("50%41", "50"), ("50% off", "50% off"), ("x./y", "x"), ("a\nb", "a"),
    ],
)  # fmt: skip
def test_receipts_of_a_prefix_are_listed_below_what_all_of_them_have(prefix: str, below: str) -> None:
    assert record_prefix(prefix) == below
