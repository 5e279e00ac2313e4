"""What lists say of a long video while it is worked on, and of one that was cancelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.index.entry import Query
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter
from cloud.uploads.index_notes import IndexNotes, Truth
from cloud.videos.job_worker import Videos
from tests.cloud.videos.long_videos import NAME, document, drop, taken

pytestmark = pytest.mark.slow


def test_its_row_says_its_job_how_far_it_is_and_what_came_of_it(
    videos: Videos, clip: Path, index_table: UploadTable
) -> None:
    writer = IndexWriter(lambda: index_table, Truth(videos.storage, videos.ledger.store, lambda _: False), 60)
    videos.ledger.notes = IndexNotes(writer)
    job, shares = drop(videos, clip), list[float]()
    assert writer.flush()
    [row] = index_table.page(Query(state="working")).entries
    assert (row.name, row.job, row.share) == (NAME, job, None)
    while messages := taken():
        for message in messages:
            videos.deliver(message, 1)
            assert writer.flush()
            [row] = index_table.page(Query()).entries
            shares += [row.share] if row.share is not None else []
    assert shares == sorted(shares) and shares and 0 < shares[0] < 1
    assert (row.state, row.job, row.share) == ("done", "", None)
    said = document(videos)
    assert row.duration_s == said["source"]["duration_s"] and row.objects == said["summary"]["objects"]
    assert index_table.page(Query(label="field", min_score=0.1)).entries == [row]


def test_a_cancelled_job_is_listed_as_cancelled(videos: Videos, clip: Path, index_table: UploadTable) -> None:
    writer = IndexWriter(lambda: index_table, Truth(videos.storage, videos.ledger.store, lambda _: False), 60)
    videos.ledger.notes = IndexNotes(writer)
    job = videos.jobs.read(drop(videos, clip))
    assert job and not videos.ledger.cancel(NAME)  # it is the job that is cancelled
    videos.cancel(job)
    assert writer.flush()
    assert [one.state for one in index_table.page(Query()).entries] == ["cancelled"]
