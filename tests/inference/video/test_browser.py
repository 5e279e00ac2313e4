"""The annotated video in a real browser: it loads, knows its length, seeks, and shows the right frame."""

from __future__ import annotations

import functools
import http.server
import json
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inference.video.join import join
from inference.video.write import VideoWriter
from tests.inference.video.clips import make, picture

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE_S = 90.0
# Each of these times falls into the middle of a frame of TIMES.
TIMES = [0.0, 0.1, 0.2, 0.3, 0.8, 1.3, 1.4, 1.5, 2.0]
LOOKS = {0.15: 1, 0.55: 3, 1.05: 4, 1.35: 5, 1.7: 7, 0.05: 0}

# `seeked` says where the player is, not what is shown: the new frame goes to the compositor by another thread, and
# until it is there drawImage paints the frame before, or none. So a look waits for the frame's own callback, asked
# for before the seek; neighbours in LOOKS lie in different frames, so that each seek presents one.
PAGE = """<!doctype html><video id=v muted playsinline></video><script>
const report = seen => fetch("/report", {method: "POST", body: JSON.stringify(seen)});
const failed = new Promise((_, no) => v.addEventListener("error", () => no(v.error.message)));
const on = name => Promise.race([failed, new Promise(yes => v.addEventListener(name, yes, {once: true}))]);
const presented = () => Promise.race([failed, new Promise(yes => v.requestVideoFrameCallback((_, of) => yes(of)))]);
(async () => {
  const loaded = on("loadeddata"), first = presented();
  v.src = "/clip.mp4";
  await loaded;
  await first;
  const seen = {duration: v.duration, width: v.videoWidth, height: v.videoHeight, numbers: {}, times: {}};
  const canvas = document.createElement("canvas");
  canvas.width = v.videoWidth; canvas.height = v.videoHeight;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  for (const at of AT) {
    const seeked = on("seeked"), frame = presented();
    v.currentTime = at;
    await seeked;
    seen.times[at] = (await frame).mediaTime;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(v, 0, 0);
    let number = 0;
    for (let bit = 0; bit < 8; bit++) {
      const x = (bit + 0.5) * canvas.width / 8, pixel = pen.getImageData(x, 24, 1, 1).data;
      if (pixel[3] !== 255) throw new Error(`nothing is shown at ${at} s`);
      if (pixel[0] > 128) number |= 1 << bit;
    }
    seen.numbers[at] = number;
  }
  await v.play();
  while (v.currentTime <= AT[AT.length - 1] + 0.1) await on("timeupdate");
  seen.played = true;
  seen.sound = v.webkitAudioDecodedByteCount;
  report(seen);
})().catch(error => report({error: String(error)}));
</script>"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one clip by ranges, as storage does, and takes the page's report."""

    protocol_version = "HTTP/1.1"

    def __init__(self, clip: Path, reports: queue.Queue[Any], *arguments: Any) -> None:
        self.clip, self.reports = clip, reports
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path != "/clip.mp4":
            self.answer(200, "text/html", PAGE.replace("AT", json.dumps(list(LOOKS))).encode())
            return
        data = self.clip.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "bytes=0-"))
        assert asked is not None
        first, last = int(asked[1]), int(asked[2] or len(data) - 1)
        headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}", "Accept-Ranges": "bytes"}
        self.answer(206, "video/mp4", data[first : last + 1], headers)

    def do_POST(self) -> None:
        self.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(204, "text/plain", b"")

    def answer(self, status: int, kind: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """browser(clip) -> what the page saw."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; install chromium to test playback in a browser")
    started: list[Any] = []

    def look(clip: Path) -> dict[str, Any]:
        reports: queue.Queue[Any] = queue.Queue()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, clip, reports))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        process = subprocess.Popen(
            [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--autoplay-policy=no-user-gesture-required", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}",
             f"http://127.0.0.1:{server.server_port}/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        started.extend((server, process))
        report = reports.get(timeout=PATIENCE_S)
        assert isinstance(report, dict)
        return report

    yield look
    for thing in started:
        if isinstance(thing, subprocess.Popen):
            thing.terminate()
            thing.wait(PATIENCE_S)
        else:
            thing.shutdown()
            thing.server_close()


def check(report: dict[str, Any]) -> None:
    assert "error" not in report, report
    assert (report["width"], report["height"]) == (160, 96)
    assert report["duration"] == pytest.approx(2.5, abs=0.05)
    assert {float(at): number for at, number in report["numbers"].items()} == LOOKS
    times = {float(at): time for at, time in report["times"].items()}
    assert times == pytest.approx({at: TIMES[number] for at, number in LOOKS.items()}, abs=1e-3)
    assert report["played"] and report["sound"] > 0


def test_a_written_clip_plays(tmp_path: Path, browser: Any) -> None:
    source = make(tmp_path / "source.mp4", [i / 25 for i in range(60)], sound=True)
    with VideoWriter(tmp_path / "out.mp4", fps=10, sound=source) as writer:
        for number, at in enumerate(TIMES):
            writer.write(picture(number), at)
    check(browser(tmp_path / "out.mp4"))


def test_a_joined_clip_plays(tmp_path: Path, browser: Any) -> None:
    source = make(tmp_path / "source.mp4", [i / 25 for i in range(60)], sound=True)
    parts = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for part, numbers in zip(parts, (range(5), range(5, 9)), strict=True):
        with VideoWriter(part, fps=10) as writer:
            for number in numbers:
                writer.write(picture(number), TIMES[number])
    join(parts, tmp_path / "out.mp4", sound=source)
    check(browser(tmp_path / "out.mp4"))
