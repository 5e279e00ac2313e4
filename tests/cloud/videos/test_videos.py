"""A video dropped into storage: the document, and every file that it names, lie in the results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud.settings import ERRORS, RESULTS, UPLOADS
from cloud.uploads.events import BlobEvent
from cloud.uploads.upload_worker import UploadWorker
from inference.video.read import VideoReader, probe
from tests.inference.video.clips import make, number_of


@pytest.mark.slow
def test_a_video_becomes_a_document_and_everything_it_names(
    make_worker: Callable[..., UploadWorker], tmp_path: Path
) -> None:
    worker = make_worker()
    clip = make(tmp_path / "clip.mp4", [i / 25 for i in range(20)], sound=True)
    worker.storage.write(UPLOADS, "street/clip.mp4", clip.read_bytes())
    assert worker.handle(BlobEvent(UPLOADS, "street/clip.mp4")).status == "done"
    found = worker.storage.read_json(RESULTS, "street/clip.mp4/result.json")
    assert found is not None
    document = found[0]
    assert document["status"] == "ok" and document["source"]["frames"] == 20
    named = [*document["artifacts"].values(), *document["thumbnails"]]
    files = {name: worker.storage.read(RESULTS, f"street/clip.mp4/{name}") for name in named}
    assert named and all(files.values())
    annotated = tmp_path / "annotated.mp4"
    content = files[document["artifacts"]["annotated"]]
    assert content is not None
    annotated.write_bytes(content[0])
    assert probe(annotated).has_audio
    assert [number_of(frame.pixels) for frame in VideoReader(annotated)] == list(range(20))
    lines = files[document["artifacts"]["frames"]]
    assert lines is not None
    assert [json.loads(line)["frame"] for line in lines[0].splitlines()] == list(range(20))


def test_a_video_without_index_is_an_error_record_that_names_it(
    make_worker: Callable[..., UploadWorker], tmp_path: Path
) -> None:
    worker = make_worker()
    clip = make(tmp_path / "clip.mp4", [0.0, 0.04])
    worker.storage.write(UPLOADS, "street/cut.mp4", clip.read_bytes()[:-900])
    assert worker.handle(BlobEvent(UPLOADS, "street/cut.mp4")).status == "failed"
    found = worker.storage.read_json(ERRORS, "street/cut.mp4.json")
    assert found is not None
    assert found[0]["error"]["class"] == "CorruptMedia"
    assert found[0]["error"]["message"].startswith("street/cut.mp4: ")
