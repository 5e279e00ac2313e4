"""A blob as a file: any order of reading, little memory, few requests, and never two versions mixed."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest

from cloud.settings import UPLOADS
from cloud.storage.containers import BlobInfo, Conflict
from cloud.storage.ranged import AHEAD, BLOCK, KEPT, RangedFile
from cloud.uploads.upload_worker import UploadWorker
from inference.video.read import VideoReader
from inference.video.write import VideoWriter

SIZE = 26 * 1024 * 1024 + 12_345


def put(worker: UploadWorker, content: bytes) -> BlobInfo:
    worker.storage.write(UPLOADS, "a.bin", content)
    info = worker.storage.head(UPLOADS, "a.bin")
    assert info
    return info


def held(file: RangedFile) -> int:
    return sum(len(block) for block in file._blocks.values())


@pytest.mark.slow
def test_reading_on_takes_few_requests_and_little_memory(worker: UploadWorker) -> None:
    content = np.random.default_rng(0).bytes(SIZE)
    file, peak = RangedFile(worker.storage, UPLOADS, put(worker, content)), 0
    for start in range(0, SIZE, 32_768):
        assert file.read(32_768) == content[start : start + 32_768]
        peak = max(peak, held(file))
    assert file.read(100) == b""
    assert file.requests <= SIZE // (AHEAD * BLOCK) + 2
    assert AHEAD * BLOCK <= peak <= (KEPT + AHEAD) * BLOCK
    assert held(file) <= KEPT * BLOCK


def test_jumping_reads_what_is_there(worker: UploadWorker) -> None:
    content = np.random.default_rng(1).bytes(3 * 1024 * 1024 + 17)
    chance, plain = random.Random(1), io.BytesIO(content)
    file = RangedFile(worker.storage, UPLOADS, put(worker, content), content[: 1024 * 1024 + 5])
    assert file.read(1024 * 1024) == content[: 1024 * 1024]
    assert file.requests == 0  # what came with the opening call is not asked for again
    for _ in range(200):
        offset, whence = chance.choice([(chance.randrange(len(content)), 0), (-chance.randrange(1000), 2)])
        size = chance.choice([1, 700, 300_000])
        assert file.seek(offset, whence) == plain.seek(offset, whence)
        assert file.read(size) == plain.read(size)
        assert file.tell() == plain.tell()
    with pytest.raises(ValueError, match="not read as a whole"):
        file.read()


@pytest.mark.slow
def test_an_overwritten_or_deleted_blob_is_noticed_even_if_a_library_swallows_it(
    worker: UploadWorker, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    noise = np.random.default_rng(2).integers(0, 255, (40, 192, 320, 3), dtype=np.uint8)
    with VideoWriter(clip, fps=10, crf=1) as writer:
        for i, frame in enumerate(noise):
            writer.write(frame, i / 10)
    assert clip.stat().st_size > 8 * BLOCK
    info = put(worker, clip.read_bytes())
    whole = RangedFile(worker.storage, UPLOADS, info)
    assert [f.pixels.sum() for f in VideoReader(whole.binary)] == [f.pixels.sum() for f in VideoReader(clip)]
    whole.check()
    file = RangedFile(worker.storage, UPLOADS, info)
    frames = iter(VideoReader(file.binary))
    next(frames)
    worker.storage.write(UPLOADS, "a.bin", bytes(info.size))
    with pytest.raises(Conflict):
        list(frames)
        file.check()
    worker.storage.delete(UPLOADS, "a.bin")
    with pytest.raises(Conflict):
        RangedFile(worker.storage, UPLOADS, info).read(1)
