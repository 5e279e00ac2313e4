"""Whatever the order of the lists, an audit says the same; and an account after real work is clean."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.storage.blobs import Page
from cloud.uploads import audit_listing
from cloud.uploads.audit import Audit
from cloud.uploads.sweep import sweep
from cloud.uploads.upload_worker import UploadWorker
from cloud.videos.job_worker import Videos
from tests.cloud.helpers import jpeg
from tests.cloud.videos.long_videos import deal
from tests.cloud.videos.long_videos import drop as drop_video

pytestmark = pytest.mark.slow
NAMES = ["a", "a b.jpg", "a-b.jpg", "a.", "a/b.jpg", "a/b.jpg/c.jpg", "a-b/c.jpg", "ab", "x%20y.jpg", "ü/é.jpg", "z/"]


@pytest.mark.parametrize(
    "order",
    [lambda name: name, lambda name: name.replace("/", "\0"), lambda name: random.Random(name).random()],
    ids=["by characters", "folder by folder", "none"],
)
def test_the_order_of_lists_decides_nothing(
    worker: UploadWorker, order: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(NAMES):
        worker.storage.write(UPLOADS, name, jpeg(number, 16))
    worker.storage.write(UPLOADS, "bad.jpg", b"no picture")
    sweep(worker, 60)
    for gone in ("a-b.jpg", "a/b.jpg"):
        worker.storage.delete(UPLOADS, gone)
    worker.storage.delete(RESULTS, "a/b.jpg/c.jpg/result.json")
    worker.storage.delete(ERRORS, "bad.jpg.json")
    real = worker.storage.pages

    def pages(container: str, prefix: str = "", token: str | None = None, size: int = 1000) -> Any:
        blobs = [blob for page in real(container, prefix) for blob in page.blobs]
        yield Page(sorted(blobs, key=lambda blob: order(blob.name)), None, None)

    monkeypatch.setattr(worker.storage, "pages", pages)
    monkeypatch.setattr(audit_listing, "_LOOK_BACK", 0)
    audit = Audit(worker.storage, 0.0)
    audit.run()
    assert str(audit.report) == "10 in, 8 right, 2 lost, 0 doubled, 0 stale, 0 orphaned"
    assert sorted(name.split(":")[0] for name in audit.report.named["lost"]) == ["a/b.jpg/c.jpg", "bad.jpg"]


def test_an_account_after_real_work_is_clean(videos: Videos, clip: Path) -> None:
    worker = videos.worker
    for name in ("done.jpg", "deleted.jpg", "sidecar.jpg"):
        worker.storage.write(UPLOADS, name, jpeg(1))
    worker.storage.write(UPLOADS, "failed.jpg", b"no picture")
    worker.storage.write(UPLOADS, "sidecar.jpg.route.toml", b'route = "drawn"')
    drop_video(videos, clip)
    sweep(worker, 60)
    worker.storage.delete(UPLOADS, "deleted.jpg")
    # WHEN the job of the video is at work
    before = Audit(worker.storage, 0.0)
    before.run()
    assert str(before.report) == "4 in, 3 right, 0 lost, 0 doubled, 0 stale, 0 orphaned (1 in work)"
    # and when it is over, and another upload has come
    deal([videos], random.Random(1), copies=1)
    worker.storage.write(UPLOADS, "waits.jpg", jpeg(2))
    after = Audit(worker.storage, 0.0)
    after.run()
    assert str(after.report) == "5 in, 4 right, 0 lost, 0 doubled, 0 stale, 0 orphaned (1 waiting)"
    assert after.report.counts["kept"] == 1
