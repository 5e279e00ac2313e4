"""Every night's audit goes on where it stopped, is one for all hosts, and shows its figures in the deep health."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud import health, instance
from cloud.__main__ import main
from cloud.settings import RESULTS, STATE, UPLOADS, current
from cloud.storage import containers
from cloud.uploads import audit_listing, audit_nightly
from cloud.uploads.audit import Audit
from cloud.uploads.audit_nightly import LAST, RUN, nightly, quietly, told
from cloud.uploads.audit_report import AuditReport
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from inference.errors import StorageUnavailable
from tests.cloud.helpers import Calls, document, jpeg, names
from tests.cloud.videos.long_videos import make_videos

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]

NIGHT = datetime(2026, 5, 4, 3, tzinfo=UTC)


@pytest.fixture
def answered(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> UploadWorker:
    """A worker whose account has seven pictures with results, and lists of two names a page."""
    for number in range(7):
        worker.storage.write(UPLOADS, f"{number}.jpg", jpeg(number))
    assert sweep(worker, 60).processed == 7
    monkeypatch.setattr(audit_listing, "PAGE", 2)
    monkeypatch.setattr("cloud.uploads.audit._BATCH", 2)
    monkeypatch.setattr("cloud.uploads.audit._PAUSE_S", 0.0)
    monkeypatch.setattr(audit_nightly, "_next_look", {})
    return worker


@pytest.fixture
def app(answered: UploadWorker) -> Iterator[UploadWorker]:
    """The account as the one of this process."""
    caches = (instance.default_worker, containers.default_storage, current)
    for made in caches:
        made.cache_clear()
    yield answered
    for made in caches:
        made.cache_clear()


def a_slice(worker: UploadWorker, now: datetime = NIGHT, **options: Any) -> AuditReport | None:
    return nightly(worker.storage, worker.settings, now=now, slice_s=0.0, **options)


def slices(worker: UploadWorker, now: datetime = NIGHT) -> tuple[AuditReport, int]:
    for number in range(1, 20):
        if report := a_slice(worker, now):
            return report, number
    raise AssertionError("it never ends")


def test_it_goes_on_where_it_stopped_and_counts_as_one_that_did_not_stop(answered: UploadWorker) -> None:
    answered.storage.delete(RESULTS, "2.jpg/result.json")
    answered.storage.delete(RESULTS, "5.jpg/result.json")
    report, number = slices(answered)
    assert number >= 3
    assert str(report) == "7 in, 5 right, 2 lost, 0 doubled, 0 stale, 0 orphaned"
    # Its night is over then; the next one begins.
    assert a_slice(answered) is None
    assert document(answered, STATE, RUN)["over"]
    assert slices(answered, NIGHT + timedelta(days=1))[0].counts["lost"] == 2


def test_uploads_that_come_and_go_between_slices_are_no_faults(answered: UploadWorker) -> None:
    assert a_slice(answered) is None
    for container in (UPLOADS, RESULTS, STATE):
        for name in names(answered, container):
            if "1.jpg" in name or "6.jpg" in name:
                answered.storage.delete(container, name)
    answered.storage.write(UPLOADS, "0-new.jpg", jpeg(8))
    answered.storage.write(UPLOADS, "9-new.jpg", jpeg(9))
    sweep(answered, 60)
    report, _ = slices(answered)
    assert report.is_clean, report.named


def test_hosts_do_not_do_it_twice_and_take_it_over_from_one_that_died(
    answered: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Audit, budget_s: float) -> None:
        # Another host comes by while this one is at work.
        assert nightly(answered.storage, answered.settings, now=NIGHT) is None
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Audit, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            a_slice(answered)
    assert document(answered, STATE, RUN)["working"]
    assert nightly(answered.storage, answered.settings, now=NIGHT) is None
    # A negative slice: the host has been silent for long enough.
    assert nightly(answered.storage, answered.settings, now=NIGHT, slice_s=-31.0) is None
    assert slices(answered)[0].counts["right"] == 7


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"marks": 5}', b'{"night": "x", "report": {"in": 1}}', b"[" * 100_000]
)
def test_a_mark_that_cannot_be_read_begins_anew(answered: UploadWorker, content: bytes) -> None:
    answered.storage.write(STATE, RUN, content)
    answered.storage.write(STATE, LAST, content)
    assert told(answered.storage)["audited_at"] is None
    assert slices(answered)[0].counts["right"] == 7


def test_a_place_that_the_service_does_not_take_any_more_is_given_up_after_three_tries(
    answered: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert a_slice(answered) is None
    marked = document(answered, STATE, RUN)["marks"]["uploads"]["token"]
    real = answered.storage.pages

    def pages(container: str, prefix: str = "", token: str | None = None, size: int = 1000) -> Any:
        if marked and token == marked:
            raise StorageUnavailable("storage answered 400 OutOfRangeInput")
        return real(container, prefix, token, size)

    monkeypatch.setattr(answered.storage, "pages", pages)
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            a_slice(answered)
    assert a_slice(answered) is None  # from the beginning
    marked = None
    assert slices(answered)[0].counts["right"] == 7
    assert document(answered, STATE, RUN)["over"]


def test_uploads_come_first_but_not_for_ever(answered: UploadWorker) -> None:
    slices(answered)
    assert a_slice(answered, NIGHT + timedelta(days=2), idle=False) is None
    assert document(answered, STATE, RUN)["over"]
    a_slice(answered, NIGHT + timedelta(days=4), idle=False)
    assert not document(answered, STATE, RUN)["over"]


def test_once_it_is_over_a_timer_costs_no_call(answered: UploadWorker, calls: Calls) -> None:
    for _ in range(3):
        quietly(answered.storage, answered.settings, idle=True, begin_thread=lambda: None)
    calls.seen.clear()
    quietly(answered.storage, answered.settings, idle=True, begin_thread=lambda: None)
    assert calls.seen == []


def test_the_deep_health_shows_the_figures_and_is_degraded_by_faults(app: UploadWorker) -> None:
    assert "no audit has come to its end" in told(app.storage)["why"]
    slices(app)
    figures = told(app.storage)
    assert (figures["in"], figures["right"], figures["lost"]) == (7, 7, 0)
    app.storage.delete(RESULTS, "2.jpg/result.json")
    slices(app, NIGHT + timedelta(days=1))
    message = health.report()["errors"]["audit"]["message"]
    assert "7 in, 6 right, 1 lost, 0 doubled, 0 stale, 0 orphaned" in message
    assert "2.jpg" not in message  # names are no business of whoever may ask for the health


def test_the_command_prints_figures_and_ends_with_0_only_where_all_is_clean(
    app: UploadWorker, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    assert main(["audit"]) == 0
    assert capsys.readouterr().out == "7 in, 7 right, 0 lost, 0 doubled, 0 stale, 0 orphaned\n"
    app.storage.delete(RESULTS, "2.jpg/result.json")
    assert main(["audit", "--repair"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "7 in, 6 right, 1 lost, 0 doubled, 0 stale, 0 orphaned",
        "lost: 2.jpg: its receipt says done, and its result is not there",
    ]
    assert said.err == "repaired: 1 left to the next sweep\n"
    assert main(["audit", "--json"]) == 0
    assert '"in": 7,\n  "right": 6,' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "disabled", "by_sweep"), [("# nothing\n", "", True), ("[drift]\n", "", False), ("[drift]\n", "true", True)]
)
def test_the_sweep_does_it_where_no_tick_does(
    app: UploadWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, disabled: str, by_sweep: bool
) -> None:
    (tmp_path / "pipelines.toml").write_text(text)
    monkeypatch.setenv("PIPELINES_FILE", str(tmp_path / "pipelines.toml"))
    monkeypatch.setenv("AzureWebJobs_tick_Disabled", disabled)
    monkeypatch.setattr(instance, "default_worker", lambda: app)
    monkeypatch.setattr(instance, "default_videos", lambda: make_videos(ROOT / "models"))
    instance.on_sweep(lambda: None)
    assert (app.storage.head(STATE, LAST) is not None) == by_sweep
