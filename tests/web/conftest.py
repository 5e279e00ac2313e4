"""An app whose pages are asked for, and a browser that shows them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.page_server import App, serve, stand_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WAIT_MS = 15_000


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    """An app with nothing in it, of which the pages are asked in this process."""
    made = App()
    stand_in(made, monkeypatch)
    return made


@pytest.fixture
def address(app: App) -> Iterator[str]:
    """Where the app's gallery/ is served."""
    with serve(app) as where:
        yield where


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        # A build that was meant to have it must not pass by skipping.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"there is no Chromium here ({', '.join(_NAMES)}): apt-get install chromium"
        )
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this process; skipped where there is none, a failure where CI is set."""
    path = _chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without its sandbox, which machines that build have no right to; the pages are ours.
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield running
        running.close()


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrowserContext]:
    """A fresh context, 1,440 x 900 and light unless the test's parameter says otherwise; a trace is kept on failure."""
    wanted = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light", **getattr(request, "param", {})}
    made = browser.new_context(**wanted)
    made.set_default_timeout(_WAIT_MS)
    made.tracing.start(snapshots=True)
    failed = request.session.testsfailed
    yield made
    kept = tmp_path / "trace.zip"
    made.tracing.stop(path=kept)
    if request.session.testsfailed == failed:
        kept.unlink()
    made.close()


def _is_missing(answer: Response) -> bool:
    return "/static/" in answer.url and answer.status >= 400


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page; errors of its scripts, what its policy forbids, and what it does not find of its own fail the test."""
    said: list[str] = []
    made = context.new_page()

    def heard(message: ConsoleMessage) -> None:
        # That an answer was an error, which many tests are about, is said by the browser itself.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            said.append(message.text)

    made.on("console", heard)
    made.on("pageerror", lambda error: said.append(str(error)))
    made.on("response", lambda answer: said.append(answer.url) if _is_missing(answer) else None)
    yield made
    assert not said


@pytest.fixture(scope="session")
def video_bytes() -> bytes:
    """Four seconds of WebM, which every Chromium plays: grey that becomes brighter."""
    import io

    import av
    import numpy as np

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=10, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), number * 6, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
