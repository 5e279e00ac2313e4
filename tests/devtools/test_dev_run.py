"""`dev.py run` as a newcomer meets it: photos dropped into a folder come back as results, and nothing stays behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from devtools import azurite
from inference.video.write import VideoWriter
from tests.processes import alive, eventually

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
APP = ("cloud", "devtools", "function_app.py", "host.json", "inference", "local.settings.example.json",
       "localhost", "models", "routes.toml", "samples")  # fmt: skip
RUN = """
import sys
from pathlib import Path
from devtools import run
from devtools.supervisor import handling, interrupt
port = int(sys.argv[2])
options = {"samples": "no-host" not in sys.argv, "host": "no-host" not in sys.argv, "verbose": False, "offline": True}
with handling(interrupt):
    sys.exit(run.main(Path(sys.executable), port=port, root=Path(sys.argv[1]), **options))
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the app in it, but with an inbox, settings and storage of its own."""
    folder = tmp_path / "app"
    folder.mkdir()
    for name in APP:
        try:
            (folder / name).symlink_to(ROOT / name)
        except OSError as error:
            pytest.skip(f"links cannot be made here: {error}")
    package = azurite.find_package(ROOT)
    assert package, "dev.py test installs Azurite"
    monkeypatch.setenv("DROPSIGHT_AZURITE", str(package))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


class Running:
    """`dev.py run` in a process of its own, with everything that it started."""

    def __init__(self, app: Path, *arguments: str, parts: int = 3, **environ: str) -> None:
        self.log = app.parent / "said"
        self.parts = parts
        command = [sys.executable, "-c", RUN, str(app), str(azurite.free_ports(1)[0]), *arguments]
        environ = {**os.environ, **environ}
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=app, env=environ, stdout=out, stderr=subprocess.STDOUT)
        self.wait_for("Ctrl-C stops")
        self.started = psutil.Process(self.process.pid).children(recursive=True)

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, words: str) -> None:
        def heard() -> bool:
            assert self.process.poll() is None or words in self.said(), self.said()
            return words in self.said()

        eventually(heard, f"{words!r} in {self.log}", 120)

    def over(self) -> int:
        """Its exit status, once nothing that it started is left."""
        status = self.process.wait(60)
        assert len(self.started) >= self.parts, "storage, the app, the bridge"
        eventually(lambda: not any(alive(child.pid) for child in self.started), "nothing is left behind")
        return status

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # the children notice
        self.process.wait()


def clip(photo: Path, path: Path) -> bytes:
    """Two seconds of a photo that drifts to the side."""
    with Image.open(photo) as image:
        pixels = np.asarray(image.convert("RGB").resize((240, 240)))
    with VideoWriter(path, fps=5) as writer:
        for number in range(10):
            writer.write(np.roll(pixels, number, axis=1), number / 5)
    return path.read_bytes()


# What is dropped -> the line of its result. TOOK: times, which no test can know.
TOOK = r"\d[\d.:]* (?:ms|s|min) after the upload(?:, \d[\d.:]* (?:ms|s|min) of analysis)?"
KINDS = r"expected an image \(JPEG.*\) or a video \(MP4.*\)"
LINES = {
    "face.jpg": rf"face\.jpg: 1 face \({TOOK}\)",
    "clip.mp4": rf"clip\.mp4: video of 0:02; 1 face \({TOOK}\)",
    "cut.mp4": rf"cut\.mp4: video of 0:0[12]; 1 face; broke off at 0:0[12] \(.+\), \d frames analysed \({TOOK}\)",
    "letter.pdf": rf"letter\.pdf: failed: this is a PDF document: .+; {KINDS} \(UnsupportedMedia, {TOOK}\)",
    "broken.jpg": rf"broken\.jpg: failed: the JPEG's pixel data end after about \d+% .+ \(CorruptMedia, {TOOK}\)",
}


def drop(inbox: Path, samples: Path) -> None:
    """A photo, a video, a PDF, a broken photo and a cut video."""
    astronaut = samples / "astronaut.jpg"
    video = clip(astronaut, inbox.parent / "clip.mp4")
    photo = astronaut.read_bytes()
    files = {"face.jpg": photo, "clip.mp4": video, "cut.mp4": video[: len(video) * 3 // 4],
             "letter.pdf": b"%PDF-1.7\n", "broken.jpg": photo[:20_000]}  # fmt: skip
    assert files.keys() == LINES.keys()
    for name, content in files.items():
        (inbox / name).write_bytes(content)


def last_lines(said: str, name: str) -> list[str]:
    """The lines about a file but for those that it was uploaded, and, on a slow machine, is at work."""
    lines = [line for line in said.splitlines() if line.startswith(f"{name}: ")]
    return [line for line in lines if not re.match(": (uploaded$|at work for )", line.removeprefix(name))]


def check_lines(said: str) -> None:
    """Each file has a line when it is uploaded, and a line of what came of it."""
    for name, expected in LINES.items():
        assert f"\n{name}: uploaded\n" in said
        (line,) = last_lines(said, name)
        assert re.fullmatch(expected, line), line
    assert re.search(rf"\nsamples/coffee\.jpg: espresso 0\.\d\d;? ?.*\({TOOK}\)\n", said), said


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_photos_come_back_as_results_and_nothing_stays_behind(app: Path) -> None:
    inbox, results = app / "inbox", app / "outbox" / "results"
    inbox.mkdir()
    drop(inbox, ROOT / "samples")
    samples = sorted((ROOT / "samples").glob("*.jpg"))
    with Running(app) as running:
        for photo in samples:
            running.wait_for(f"samples/{photo.name}: ")
            eventually((results / "samples" / photo.name / "result.json").is_file, photo.name, 60)
        eventually(lambda: all(last_lines(running.said(), name) for name in LINES), "a line for each file", 120)
        running.process.send_signal(signal.SIGINT)
        assert running.over() == 0
        assert running.said().rstrip().endswith("Stopping.")
        check_lines(running.said())
    for photo in samples:
        document = json.loads((results / "samples" / photo.name / "result.json").read_text(encoding="utf-8"))
        folder = results / "samples" / photo.name
        assert document["status"] == "ok" and document["source"]["name"] == f"samples/{photo.name}"
        for artifact in document["artifacts"].values():
            assert [file.stat().st_size > 0 for file in folder.rglob(artifact)] == [True]
    error = json.loads((app / "outbox" / "errors" / "broken.jpg.json").read_text(encoding="utf-8"))
    assert error["status"] == "error" and "broken.jpg" in error["error"]["message"]

    # Again: nothing is uploaded twice. And when one part dies, everything ends and its last words are shown.
    with Running(app) as running:
        (inbox / "new.jpg").write_bytes(samples[0].read_bytes())
        running.wait_for("new.jpg: uploaded")
        running.wait_for("8 files: already analysed; they have not changed since")  # five samples, three of LINES
        running.wait_for("broken.jpg: could not be analysed; the file has not changed since")
        (host,) = [child for child in running.started if "localhost" in child.cmdline()]
        host.kill()
        assert running.over() == 1
        said = running.said()
        *_, last = (app / ".azurite" / "host.log").read_text(encoding="utf-8").splitlines()
        assert (
            "The app was killed by signal 9, as the system does when memory runs out, so everything stops" in said
            and f"  {last}\n" in said
        )
        assert "`dev.py run` goes on with what was not done" in said and "misconfigured" not in said
        assert said.count(": uploaded") == 1


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_without_the_host_only_the_app_is_left_to_others(app: Path, storage_account: str) -> None:
    (app / "inbox").mkdir()
    with Running(app, "no-host", parts=1, AzureWebJobsStorage=storage_account) as running:
        (app / "inbox" / "new.jpg").write_bytes(b"any")
        running.wait_for("new.jpg: uploaded")
        assert not [child for child in running.started if "localhost" in child.cmdline()]
        running.process.send_signal(signal.SIGINT)
        assert running.over() == 0
    assert "func start, in another terminal" in running.said() and "localhost:" not in running.said()
