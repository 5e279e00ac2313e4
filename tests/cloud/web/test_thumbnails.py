"""Thumbnails: small, upright, in the usual colours, of all that has a picture, and of nothing that is forgotten."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cloud.settings import RESULTS, STATE, UPLOADS, Settings
from cloud.uploads.forget import Forgetter
from cloud.uploads.upload_worker import UploadWorker
from cloud.web.problems import NotFound
from cloud.web.shown import Showing
from cloud.web.thumbnails import Thumbnails, thumbnail_path
from cloud.web.turns import Turns
from inference.errors import ServiceBusy
from inference.image.small_jpeg import THUMBNAIL_BYTES
from inference.image.small_jpeg import small_jpeg as real_small_jpeg
from inference.routes_file import parse_routes
from inference.video.write import VideoWriter
from tests.cloud.helpers import drop, jpeg
from tests.inference.image.profiles import DISPLAY_P3, rgb_profile, srgb_curve

pytestmark = pytest.mark.slow
ROUTES = """
[[route]]
name = "private"
match = "private/**"
steps = [{ model = "faces" }]
draw = { blur = ["face"] }
[[route]]
name = "default"
match = "**"
steps = [{ model = "sketch" }]
"""
RED, BLUE = (200, 30, 30), (30, 30, 200)


@pytest.fixture
def worker(make_worker: Callable[..., UploadWorker]) -> UploadWorker:
    made = make_worker()
    made.planner.routes = parse_routes(ROUTES, "test routes")
    return made


@pytest.fixture
def thumbs(worker: UploadWorker) -> Thumbnails:
    return Thumbnails(Showing(worker.storage, lambda: worker.planner, worker.ledger.read), Settings())


def halves(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: left is up
    return saved(halves((640, 480)), "JPEG", exif=exif, comment=b"who and where")


def deep() -> bytes:
    """16 bits of grey: dark on the left, light on the right."""
    values = np.full((200, 400), 8000, np.uint16)
    values[:, 200:] = 60000
    return saved(Image.fromarray(values), "PNG")


def transparent() -> bytes:
    image = halves((400, 200), "RGBA")
    image.paste((*RED, 0), (0, 0, 200, 200))
    return saved(image, "PNG")


def animated() -> bytes:
    frames = [halves((100, 50)), Image.new("RGB", (100, 50), (0, 255, 0))]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def noise() -> bytes:
    values = np.random.default_rng(1).integers(0, 255, (1500, 2000, 3), dtype=np.uint8)
    return saved(Image.fromarray(values), "JPEG", quality=95)


def wide_gamut() -> bytes:
    return saved(halves((400, 200)), "PNG", icc_profile=rgb_profile(DISPLAY_P3, srgb_curve))


KINDS: list[tuple[str, Callable[[], bytes], tuple[int, int], Any, Any]] = [
    ("photo", lambda: saved(halves((4000, 3000)), "JPEG"), (320, 240), RED, BLUE),
    ("small", lambda: saved(halves((64, 48)), "JPEG"), (64, 48), RED, BLUE),
    ("one pixel", lambda: saved(Image.new("RGB", (1, 1), RED), "PNG"), (1, 1), RED, RED),
    ("panorama", lambda: saved(halves((8000, 400)), "JPEG"), (320, 16), RED, BLUE),
    ("line", lambda: saved(halves((4000, 1)), "PNG"), (320, 1), RED, BLUE),
    ("16 bits", deep, (320, 160), None, None),
    ("inks", lambda: saved(halves((400, 200), "CMYK"), "JPEG"), (320, 160), RED, BLUE),
    ("palette", lambda: saved(halves((400, 200), "P"), "PNG"), (320, 160), RED, BLUE),
    ("transparent", transparent, (320, 160), (255, 255, 255), BLUE),
    ("animated", animated, (100, 50), RED, BLUE),
    ("web", lambda: saved(halves((400, 200)), "WEBP"), (320, 160), RED, BLUE),
    ("tiff", lambda: saved(halves((400, 200)), "TIFF"), (320, 160), RED, BLUE),
    ("wide gamut", wide_gamut, (320, 160), (219, 0, 17), None),
    ("noise", noise, (320, 240), None, None),
]


@pytest.mark.parametrize(("make", "size", "left", "right"), [row[1:] for row in KINDS], ids=[row[0] for row in KINDS])
def test_pictures_of_every_kind(
    thumbs: Thumbnails, worker: UploadWorker, make: Callable[[], bytes], size: Any, left: Any, right: Any
) -> None:
    etag = worker.storage.write(UPLOADS, "a/b", make())
    found = thumbs.get("a/b")
    image = check(found.data)
    assert (image.size, found.version) == (size, etag)
    for place, colour in ((size[0] // 4, left), (size[0] * 3 // 4, right)):
        if colour:
            assert away(image, (place, size[1] // 2), colour) < 14


def away(image: Image.Image, place: tuple[int, int], colour: tuple[int, ...]) -> int:
    """By how much of 255 a pixel is another colour."""
    return int(np.abs(np.asarray(image, int)[place[1], place[0]] - colour).max())


def check(data: bytes) -> Image.Image:
    """The picture of a thumbnail, which is small and says nothing but its pixels."""
    assert len(data) <= THUMBNAIL_BYTES
    image = Image.open(io.BytesIO(data))
    image.load()
    assert (image.format, image.mode) == ("JPEG", "RGB") and max(image.size) <= 320
    assert not {"exif", "icc_profile", "comment", "xmp"} & set(image.info)
    return image


def test_a_turned_photo_is_upright(thumbs: Thumbnails, worker: UploadWorker) -> None:
    worker.storage.write(UPLOADS, "a.jpg", turned())
    image = check(thumbs.get("a.jpg").data)
    assert image.size == (240, 320)
    for y, colour in ((80, RED), (240, BLUE)):
        assert away(image, (120, y), colour) < 14


def test_it_is_made_once_and_anew_for_another_version(
    thumbs: Thumbnails, worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = counted(monkeypatch)
    versions = []
    for seed in range(2):
        versions.append(worker.storage.write(UPLOADS, "a.jpg", jpeg(seed, 64)))
        first = thumbs.get("a.jpg", versions[-1])
        assert first == thumbs.get("a.jpg", versions[-1]) == thumbs.get("a.jpg") == thumbs.get("a.jpg", "outdated")
        assert (first.version, len(made)) == (versions[-1], seed + 1)
    assert [blob.name for page in worker.storage.pages(STATE, "thumbnails/") for blob in page.blobs] == [
        thumbnail_path("a.jpg")
    ]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often a thumbnail is made from now on."""
    made = list[int]()

    def small_jpeg(*args: Any) -> bytes:
        made.append(1)
        return real_small_jpeg(*args)

    monkeypatch.setattr("cloud.web.thumbnails.small_jpeg", small_jpeg)
    return made


@pytest.mark.parametrize("content", [b"", b"no picture", b"<html>", jpeg()[:200], b"%PDF-1.7"])
def test_what_has_no_picture_has_no_thumbnail(thumbs: Thumbnails, worker: UploadWorker, content: bytes) -> None:
    worker.storage.write(UPLOADS, "a.jpg", content)
    for _ in range(2):
        with pytest.raises(NotFound, match="there is no picture of 'a.jpg'"):
            thumbs.get("a.jpg")
    with pytest.raises(NotFound, match="there is no upload 'b.jpg'"):
        thumbs.get("b.jpg")


def test_names_that_are_odd_or_long_have_theirs(thumbs: Thumbnails, worker: UploadWorker) -> None:
    for name in ("a//b..", "ü %2F?#.jpg", f"{'x' * 200}/" * 4 + "y" * 150):
        worker.storage.write(UPLOADS, name, jpeg())
        check(thumbs.get(name).data)


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, fps=5.0, preset="ultrafast") as writer:
        for i in range(5):
            writer.write(np.asarray(halves((480, 270)) if i == 0 else Image.new("RGB", (480, 270))), i / 5)
    return path.read_bytes()


def put_result(worker: UploadWorker, name: str, etag: str, **members: Any) -> None:
    """A result as the app publishes it."""
    document = {"schema": "dropsight/1", "route": "default", "steps": [], "trace": "", **members}
    document["source"] = {"name": name, "etag": etag, "media_type": "image/jpeg"} | document.get("source", {})
    worker.storage.write_json(RESULTS, f"{name}/result.json", document, metadata={"folder": "0123456789ab"})


def test_a_video_has_its_first_frame_and_the_poster_of_its_result_once_there_is_one(
    thumbs: Thumbnails, worker: UploadWorker, clip: bytes
) -> None:
    etag = worker.storage.write(UPLOADS, "a.mp4", clip)
    first = thumbs.get("a.mp4", etag)
    image = check(first.data)
    assert (image.size, first.version) == ((320, 180), etag)
    assert away(image, (80, 90), RED) < 25
    worker.storage.write(RESULTS, "a.mp4/0123456789ab/poster.jpg", saved(Image.new("RGB", (480, 270), BLUE), "JPEG"))
    put_result(
        worker, "a.mp4", etag,
        source={"media_type": "video/mp4"}, artifacts={"poster": "0123456789ab/poster.jpg"},
    )  # fmt: skip
    poster = thumbs.get("a.mp4", f"{etag}.0123456789ab")
    assert poster.version == f"{etag}.0123456789ab"
    assert away(check(poster.data), (80, 90), BLUE) < 25


def test_an_upload_whose_route_blurs_is_not_shown_before_its_result_and_then_as_that_shows_it(
    thumbs: Thumbnails, worker: UploadWorker
) -> None:
    event = drop(worker, "private/a.png", saved(halves((400, 200)), "PNG"))
    for name in ("private/a.png", "private\\a.png"):  # to storage they are the same
        with pytest.raises(NotFound, match="its route blurs what is in it"):
            thumbs.get(name)
    assert worker.handle(event).status == "done"
    # In place of what the model found to hide, here: all of it.
    stored = worker.storage.read_json(RESULTS, "private/a.png/result.json")
    assert stored and stored[0]["blurred"] == ["face"]
    annotated = f"private/a.png/{stored[0]['artifacts']['annotated']}"
    worker.storage.write(RESULTS, annotated, saved(Image.new("RGB", (400, 200), (9, 9, 9)), "JPEG"))
    found = thumbs.get("private/a.png")
    assert np.asarray(check(found.data)).max() < 20
    assert found.version.endswith(stored[0]["artifacts"]["annotated"].partition("/")[0])


def test_a_picture_of_the_original_is_not_shown_any_more_once_its_result_hides_something(
    thumbs: Thumbnails, worker: UploadWorker
) -> None:
    etag = worker.storage.write(UPLOADS, "a.png", saved(halves((400, 200)), "PNG"))
    assert np.asarray(check(thumbs.get("a.png").data)).max() > 100
    put_result(worker, "a.png", etag, blurred=["face"], artifacts={"annotated": "0123456789ab/annotated.jpg"})
    dark = saved(Image.new("RGB", (400, 200), (9, 9, 9)), "JPEG")
    worker.storage.write(RESULTS, "a.png/0123456789ab/annotated.jpg", dark)
    assert np.asarray(check(thumbs.get("a.png", f"{etag}.0123456789ab").data)).max() < 20
    assert np.asarray(check(thumbs.get("a.png").data)).max() < 20
    # AND where nothing was drawn, nothing is shown
    put_result(worker, "a.png", etag, blurred=["face"], artifacts={})
    with pytest.raises(NotFound, match="no annotated file"):
        thumbs.get("a.png")


def test_results_of_earlier_releases_do_not_say_that_they_blur_so_their_route_does(
    thumbs: Thumbnails, worker: UploadWorker
) -> None:
    etag = worker.storage.write(UPLOADS, "a.png", saved(halves((400, 200)), "PNG"))
    put_result(worker, "a.png", etag, route="private", artifacts={})
    with pytest.raises(NotFound, match="no annotated file"):
        thumbs.get("a.png")


def test_of_what_is_forgotten_no_thumbnail_is_left(thumbs: Thumbnails, worker: UploadWorker) -> None:
    worker.storage.write(UPLOADS, "a.jpg", jpeg())
    thumbs.get("a.jpg")
    (report,) = Forgetter(worker.storage).run(["a.jpg"])
    assert f"{STATE}/thumbnails/a.jpg" in report.deleted
    assert not worker.storage.head(STATE, "thumbnails/a.jpg")


def test_of_what_is_forgotten_while_it_is_made_none_is_left(
    thumbs: Thumbnails, worker: UploadWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.storage.write(UPLOADS, "a.jpg", jpeg())

    def forgotten(*args: Any) -> bytes:
        list(Forgetter(worker.storage).run(["a.jpg"]))
        return real_small_jpeg(*args)

    monkeypatch.setattr("cloud.web.thumbnails.small_jpeg", forgotten)
    with pytest.raises(NotFound, match="deleted a moment ago"):
        thumbs.get("a.jpg")
    assert not worker.storage.head(STATE, "thumbnails/a.jpg")


def test_a_result_whose_upload_is_gone_is_shown_by_what_was_published(thumbs: Thumbnails, worker: UploadWorker) -> None:
    put_result(worker, "a.jpg", "0x1", artifacts={"annotated": "0123456789ab/annotated.jpg"})
    worker.storage.write(RESULTS, "a.jpg/0123456789ab/annotated.jpg", saved(halves((400, 200)), "JPEG"))
    assert thumbs.get("a.jpg").version == "0x1.0123456789ab"
    assert worker.storage.head(STATE, "thumbnails/a.jpg")


class _Waiters:
    """Threads that each take a turn, and keep it until they are let go."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.entered, self.leave = turns, list[str](), threading.Event()
        self.came = threading.Semaphore(0)
        self.threads: list[threading.Thread] = []

    def start(self, name: str) -> None:
        self.threads.append(threading.Thread(target=self._work, args=(name,)))
        self.threads[-1].start()

    def _work(self, name: str) -> None:
        with self.turns.take(name):
            self.entered.append(name)
            self.came.release()
            self.leave.wait(60)

    def end(self) -> None:
        self.leave.set()
        for thread in self.threads:
            thread.join(60)


def test_two_are_made_at_once_and_each_name_by_one() -> None:
    waiters = _Waiters(Turns(2, waiting=5, patience_s=60))
    waiters.start("a")
    assert waiters.came.acquire(timeout=60)
    waiters.start("a")  # the same picture
    waiters.start("b")
    assert waiters.came.acquire(timeout=60)
    assert waiters.entered == ["a", "b"]
    waiters.end()
    assert waiters.entered == ["a", "b", "a"]


def test_nobody_waits_long_or_in_a_crowd() -> None:
    patient, impatient = Turns(1, waiting=0, patience_s=60), Turns(1, waiting=5, patience_s=0.01)
    for turns, why in ((patient, "0 are waiting already"), (impatient, "no turn came within 0.01 s")):
        with turns.take("a"), pytest.raises(ServiceBusy, match=why), turns.take("b"):
            raise AssertionError("both at once")
        with turns.take("b"):
            pass
