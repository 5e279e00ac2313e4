"""Two deployments with other routes over one account: a job stays with the one that began it, until that is dead."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.settings import ERRORS, STATE, UPLOADS, app_identity
from cloud.uploads.events import BlobEvent
from cloud.uploads.ledger import Ledger
from cloud.uploads.sweep import ReceiptCursor, sweep
from cloud.videos.job_worker import Videos
from cloud.videos.jobs import PLAN
from cloud.videos.revive import revive
from inference.errors import ModelUnavailable
from inference.routes_file import parse_routes
from tests.cloud.videos.long_videos import NAME, ROUTES, deal, document, drop, job_of, make_videos, names, taken

pytestmark = pytest.mark.slow


def named(videos: Videos, deployment: str, fps: str = "9.0") -> Videos:
    """As another deployment, whose routes look at so many frames a second."""
    ledger = Ledger(videos.ledger.store, videos.settings.lease_seconds, deployment)
    videos.ledger = videos.worker.ledger = ledger
    videos.worker.planner.routes = parse_routes(ROUTES.replace("9.0", fps), "test routes")
    return videos


@pytest.fixture
def blue(videos: Videos) -> Videos:
    return named(videos, "app-blue")


@pytest.fixture
def green(blue: Videos, models: Path) -> Videos:
    return named(make_videos(models), "app-green", "5.0")


def test_whose_routes_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEBSITE_SITE_NAME", "WEBSITE_SLOT_NAME", "AzureFunctionsWebHost__hostid"):
        monkeypatch.delenv(name, raising=False)
    assert app_identity() == "local"
    monkeypatch.setenv("AzureFunctionsWebHost__hostid", "laptop7")
    assert app_identity() == "laptop7"
    monkeypatch.setenv("WEBSITE_SITE_NAME", "App")
    monkeypatch.setenv("WEBSITE_SLOT_NAME", "blue")
    assert app_identity() == "app-blue"


def test_a_living_job_of_another_deployment_is_left_to_it(blue: Videos, green: Videos, clip: Path) -> None:
    job_id = drop(blue, clip)
    messages = taken()
    for message in messages[:2]:
        green.deliver(message, 1)
    assert names(blue) == [f"jobs/{job_id}/{PLAN}"]  # green has done nothing
    assert blue.queues.waiting("detect") == 2  # and has put them back
    assert green.worker.handle(BlobEvent(UPLOADS, NAME)).status == "busy"
    assert sweep(green.worker, 60).unfinished == 0 and revive(green) == 0
    blue.queues.send(messages[2:])
    deal([blue], random.Random(3), copies=1)
    while document(blue) is None:  # what green had put back comes after its delay
        deal([blue], random.Random(3), copies=1)
    assert document(blue)["route"] == "street" and blue.jobs.read(job_id).state == "done"  # type: ignore[union-attr]
    assert green.worker.handle(BlobEvent(UPLOADS, NAME)).status == "done"


def test_a_dead_one_is_taken_over_and_ours_with_another_key_is_begun_anew(
    blue: Videos, green: Videos, models: Path, clip: Path
) -> None:
    job_id = drop(blue, clip)
    message = taken()[0]
    green.settings = replace(green.settings, lease_seconds=0.0)
    green.deliver(message, 1)
    assert blue.jobs.read(job_id).state == "superseded"  # type: ignore[union-attr]
    mine = job_of(green)
    taken()
    restarted = named(make_videos(models), "app-green", "4.0")
    restarted.deliver(replace(message, job=mine), 1)
    assert job_of(green) not in (job_id, mine)
    taken()


def test_a_sign_that_a_job_waits_is_none_that_it_goes_on(
    blue: Videos, green: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise ModelUnavailable("missing")

    job_id = drop(blue, clip)
    message = taken()[0]
    with monkeypatch.context() as patch:
        patch.setattr(blue.worker.planner, "route", missing)
        blue.deliver(message, 1)
    blobs = green.jobs.progress(job_id).blobs
    assert set(blobs) == {PLAN, "waits"}
    taken()
    monkeypatch.setattr("cloud.videos.job_worker.SILENT_LEASES", 0)
    green.deliver(message, 1)
    assert job_of(green) != job_id
    taken()


def test_an_upload_whose_job_was_cleaned_away_begins_anew(
    blue: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, other = drop(blue, clip), drop(blue, clip, "other.mp4")
    stored = blue.storage.read(STATE, f"receipts/{NAME}")
    assert stored
    for told in (True, False):  # older receipts do not say in a listing which job it is
        handed = sweep(blue.worker, 60).handed
        assert handed == {NAME: job_id if told else "", "other.mp4": other}
        revive(blue, handed)
        assert job_of(blue) == job_id
        older = {"state": "job", "etag": stored[1].metadata["etag"]}
        blue.storage.write(STATE, f"receipts/{NAME}", stored[0], metadata=older)
    blue.storage.delete(STATE, f"jobs/{job_id}/{PLAN}")
    revive(blue, handed)
    began = job_of(blue)
    assert began != job_id and job_of(blue, "other.mp4") == other
    revive(blue, handed)  # what that sweep saw is older than what began since
    assert job_of(blue) == began and names(blue, ERRORS, "") == []
    with monkeypatch.context() as patch:
        patch.setattr("cloud.videos.revive.PREFIX", "jobs/as-before/")  # it began after jobs were listed
        revive(blue, handed)
    assert job_of(blue) == began
    # Of a receipt at another place of the listing, only claiming the upload tells that a job has it.
    monkeypatch.setattr(ReceiptCursor, "of", lambda *_: None)
    blue.storage.delete(STATE, f"jobs/{began}/{PLAN}")
    revive(blue, sweep(blue.worker, 60).handed)
    assert job_of(blue) != began and job_of(blue, "other.mp4") == other
    taken()


def test_a_job_is_cancelled_for_good_whatever_its_route_is_by_now(blue: Videos, clip: Path) -> None:
    job_id = drop(blue, clip)
    job = blue.jobs.read(job_id)
    assert job
    named(blue, "app-blue", "4.0")
    blue.cancel(job)
    stored = blue.ledger.read(NAME)
    assert stored and (stored.receipt.state, stored.receipt.reason) == ("cancelled", "cancelled")
    blue.cancel(job)
    ended = blue.jobs.read(job_id)
    assert ended and ended.state == "cancelled" and job_of(blue) == job_id
    taken()
