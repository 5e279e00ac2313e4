"""What the app is and how it is over HTTP: models, routes, drift, and videos at work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cloud.drift.drift_entry import VERDICT
from cloud.index.entry import Entry, EntryPage, Query
from cloud.settings import STATE, UPLOADS
from cloud.uploads.ledger import Claim
from cloud.uploads.plans import UploadPlan
from cloud.uploads.upload_worker import UploadWorker
from cloud.videos.job_worker import Videos
from cloud.videos.messages import Queues
from inference.routes_file import parse_routes
from tests.cloud.helpers import receipt
from tests.cloud.web.asking import ask, said, serve

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def served(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, worker)
    monkeypatch.setattr("cloud.web.status_api.default_storage", lambda: worker.storage)


def test_models_say_whether_they_can_be_used() -> None:
    models = {model["name"]: model for model in said(ask("GET", "v1/models"))["models"]}
    classify = models["classify"]
    assert (classify["usable"], classify["task"], classify["refused"]) == (True, "image-classification", "")
    assert classify["version"] and classify["licence"]


def test_routes_say_their_steps_and_why_uploads_wait(worker: UploadWorker) -> None:
    worker.planner.routes = parse_routes(
        '[[route]]\nname = "a"\nmatch = "a/**"\nsteps = [{ model = "faces" }, { model = "expression", on = "face" }]\n'
        '[[route]]\nname = "b"\nmatch = "b/**"\nsteps = [{ model = "sketsh" }]\n',
        "test routes",
    )
    a, b = said(ask("GET", "v1/routes"))["routes"]
    assert a["steps"] == [
        {"name": "faces", "model": "faces", "on": ""},
        {"name": "expression", "model": "expression", "on": "face"},
    ]
    assert (a["match"], a["problem"]) == ("a/**", "") and "did you mean 'sketch'" in b["problem"]


def test_drift_is_the_last_verdict_or_none(worker: UploadWorker) -> None:
    assert said(ask("GET", "v1/drift"))["status"] == "unknown"
    worker.storage.write_json(STATE, VERDICT, {"status": "alert", "why": "moved", "at": "2026-05-31T00:00:00+00:00"})
    found = said(ask("GET", "v1/drift"))
    assert (found["status"], found["why"], found["at"]) == ("alert", "moved", "2026-05-31T00:00:00+00:00")
    worker.storage.write_json(STATE, VERDICT, [1])
    answer = ask("GET", "v1/drift")
    assert answer.status_code == 422 and VERDICT in said(answer)["detail"]


class OneWorking:
    """An index with a single video at work, behind a page of pictures."""

    def __init__(self, job: str) -> None:
        now = datetime(2026, 5, 31, tzinfo=UTC)
        self.pages = {
            None: EntryPage([Entry("a.jpg", "0x1", "working", now)], "next"),
            "next": EntryPage([Entry("b.mp4", "0x2", "working", now, share=0.25, job=job, message="drawing")]),
        }

    def page(self, query: Query, cursor: str | None = None, size: int = 60) -> EntryPage:
        assert query == Query(state="working")
        return self.pages[cursor]


@pytest.fixture
def at_work(worker: UploadWorker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Claim[UploadPlan]]:
    """The claim of b.mp4, which a worker has as a whole."""
    etag = worker.storage.write(UPLOADS, "b.mp4", b"a clip")
    claim = worker.ledger.claim("b.mp4", etag, lambda _: UploadPlan("k" * 64))
    assert isinstance(claim, Claim)
    index = OneWorking(claim.receipt.owner)
    monkeypatch.setattr("cloud.web.jobs_api.default_index", lambda: index)
    videos = Videos(worker, Queues("AzureWebJobsStorage"))
    monkeypatch.setattr("cloud.web.jobs_api.default_videos", lambda: videos)
    yield claim


def test_a_video_that_a_worker_has_as_a_whole_is_a_job_and_is_cancelled(
    worker: UploadWorker, at_work: Claim[UploadPlan]
) -> None:
    job = at_work.receipt.owner
    expected = {"id": job, "name": "b.mp4", "state": "running", "reason": "drawing", "share": 0.25}
    assert said(ask("GET", "v1/jobs")) == {"jobs": [expected]}
    assert said(ask("GET", f"v1/jobs/{job}")) == expected
    answer = ask("DELETE", f"v1/jobs/{job}")
    assert (answer.status_code, said(answer)["state"]) == (200, "cancelled")
    assert receipt(worker, "b.mp4").state == "cancelled"
    worker.ledger.renew(at_work)
    assert at_work.lost  # so that its worker publishes nothing
    assert ask("DELETE", f"v1/jobs/{job}").status_code == 404  # the index lags behind
    assert ask("GET", "v1/jobs/other").status_code == 404
