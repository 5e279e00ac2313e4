"""How long pictures take while long videos are analysed, on the local host with a real Azurite: p95 against without."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import numpy as np
from azure.storage.blob import BlobServiceClient
from PIL import Image

from benchmarks import ROOT, Row
from benchmarks.storage import emulator
from inference.video.write import VideoWriter
from localhost.host_process import HostProcess

BAR = 2.0
VIDEOS = 4
SECONDS = 120  # of each clip: not split, and longer at work than the pictures take
PICTURES = 40
PAUSE_S = 0.5
PATIENCE_S = 60
WARM_UP = 5
ARGUMENTS = ("--scan-interval", "0.2", "--max-polling-interval", "0.1")
NEVER = "0 0 0 1 1 *"


def picture(seed: int) -> bytes:
    """A JPEG of 1024 x 768, as a camera's preview."""
    noise = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((1024, 768), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def clip(path: Path) -> Path:
    """A clip of 1280 x 720 with some movement, 15 frames a second."""
    large = np.asarray(Image.open(io.BytesIO(picture(0))).resize((1680, 960)))
    with VideoWriter(path, fps=15) as out:
        for number in range(SECONDS * 15):
            at = abs(number % 480 - 240)
            out.write(np.ascontiguousarray(large[at : at + 720, at : at + 1280]), number / 15)
    return path


def latencies(service: BlobServiceClient, folder: str, contents: Sequence[tuple[str, bytes]]) -> list[float]:
    """Seconds from the upload of each until its result or error record is there; one begins every PAUSE_S seconds.

    One thread looks for all: many that ask would keep storage busy, and that is what would be measured."""
    uploads = [(f"{folder}/{number:03}{ending}", content) for number, (ending, content) in enumerate(contents)]
    begun: dict[str, float] = {}
    took: dict[str, float] = {}
    places = (("results", "/result.json"), ("errors", ".json"))
    while len(took) < len(uploads):
        for container, ending in places:
            now = time.monotonic()
            for blob in service.get_container_client(container).list_blob_names(name_starts_with=f"{folder}/"):
                name = blob.removesuffix(ending)
                if blob.endswith(ending) and name in begun:
                    took.setdefault(name, now - begun[name])
        now = time.monotonic()
        for name, at in begun.items():
            if now - at > PATIENCE_S:
                took.setdefault(name, PATIENCE_S)
        if len(begun) < len(uploads) and now - max(begun.values(), default=0.0) >= PAUSE_S:
            name, content = uploads[len(begun)]
            service.get_blob_client("uploads", name).upload_blob(content)
            begun[name] = time.monotonic()
        time.sleep(0.02)
    return list(took.values())


@contextmanager
def app(service: BlobServiceClient, folder: Path, connection: str) -> Iterator[HostProcess]:
    """The app on the local host, with the models that lie in it."""
    environ = {"AzureWebJobsStorage": connection, "SWEEP_SCHEDULE": NEVER}
    with HostProcess(ROOT, environ, ARGUMENTS, folder / "host.log") as host:
        latencies(service, "warm", [(".jpg", picture(seed)) for seed in range(WARM_UP)])
        yield host


def p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20)[-1]


def run() -> list[Row]:
    """Pictures alone, then beside four long videos; and files that are refused, beside them."""
    pictures = [(".jpg", picture(seed)) for seed in range(PICTURES)]
    refused = [(".pdf", b"%PDF-1.7\n" + bytes(2000)), (".jpg", pictures[0][1][:2000])] * 4
    with tempfile.TemporaryDirectory() as name, emulator() as (service, connection):
        video = clip(Path(name, "clip.mp4"))
        with app(service, Path(name), connection) as host:
            alone = latencies(service, "alone", pictures)
            for number in range(VIDEOS):
                with video.open("rb") as data:
                    service.get_blob_client("uploads", f"videos/{number}.mp4").upload_blob(data)
            time.sleep(5)  # until they are at work
            beside = latencies(service, "beside", pictures)
            others = latencies(service, "refused", refused)
            done = sum(
                service.get_blob_client("results", f"videos/{n}.mp4/result.json").exists() for n in range(VIDEOS)
            )
            host.kill()
    ratio = p95(beside) / p95(alone)
    note = (
        f"alone {median(alone):.2f} s, p95 {p95(alone):.2f} s; beside {median(beside):.2f} s, p95 {p95(beside):.2f} s; "
        f"{done} of {VIDEOS} videos were done meanwhile"
    )
    what = f"p95 of pictures beside {VIDEOS} long videos / alone"
    return [
        Row(what, f"{ratio:.2f}", f"<= {BAR:g}", ratio <= BAR, note),
        Row("longest wait of PDFs and broken files beside them", f"{max(others):.2f} s"),
    ]
