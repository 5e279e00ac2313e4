"""The engine as a library: what it costs to import, and that it leaves its host's process as it was."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pi_heif
import pytest
from PIL import Image

from inference import Limits
from inference.errors import CorruptMedia, LimitExceeded
from inference.image.media import decode

ROOT = Path(__file__).resolve().parents[2]
PROCESS = """
import gc, json, locale, logging, os, signal, socket, sys, threading, warnings
import av, numpy, onnxruntime
from PIL import Image, ImageFile
Image.init()

def state():
    root = logging.getLogger()
    return {
        "pixels": Image.MAX_IMAGE_PIXELS, "truncated": ImageFile.LOAD_TRUNCATED_IMAGES, "formats": sorted(Image.OPEN),
        "savers": sorted(Image.SAVE), "warnings": [repr(item) for item in warnings.filters],
        "show": repr(warnings.showwarning), "environment": dict(os.environ), "folder": os.getcwd(),
        "path": list(sys.path), "logging": [root.level, [repr(item) for item in root.handlers], logging.root.disabled],
        "loggers": {name: log.level for name in ("PIL", "av", "libav") if (log := logging.getLogger(name))},
        "av": av.logging.get_level(), "signals": {str(item): repr(signal.getsignal(item)) for item in (
            signal.SIGINT, signal.SIGTERM)}, "hooks": [repr(sys.excepthook), repr(threading.excepthook)],
        "numbers": numpy.geterr(), "printing": repr(sorted(numpy.get_printoptions().items())),
        "locale": locale.setlocale(locale.LC_ALL), "socket": socket.getdefaulttimeout(), "gc": gc.get_threshold(),
        "recursion": sys.getrecursionlimit(), "switch": sys.getswitchinterval(),
    }

before = state()
import inference
cost = sorted(name for name in sys.modules if name.startswith("inference."))
from inference import Registry, Route, Step, analyze
steps = (Step("classify"), Step("colors"), Step("sketch"))
results = [analyze(open(name, "rb").read(), Route("r", steps), Registry()) for name in sys.argv[1:]]
from inference import analyze as again
after = state()
print(json.dumps({
    "cost": cost, "changed": [key for key in before if before[key] != after[key]],
    "statuses": [a.result.status for a in results], "again": again is analyze,
}))
"""


def heic(pixels: np.ndarray) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(out)
    return out.getvalue()


@pytest.mark.slow
def test_importing_and_analysing_change_nothing_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(heic(np.full((40, 60, 3), 90, np.uint8)))
    files = [str(ROOT / "samples/cat.jpg"), str(tmp_path / "a.heic")]
    answer = subprocess.run(
        [sys.executable, "-c", PROCESS, *files], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout.splitlines()[-1])
    assert report == {"cost": [], "changed": [], "statuses": ["ok", "ok"], "again": True}


def test_pillows_own_limit_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    Image.new("RGB", (300, 200)).save(out, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(out.getvalue()).size == (300, 200)
    with pytest.raises(LimitExceeded, match="300 x 200"):
        decode(out.getvalue(), Limits(pixels=50_000))
    frame = io.BytesIO()
    Image.new("RGB", (300, 200)).save(frame, "WEBP")  # whose decoder asks for Pillow's limit by itself
    with pytest.raises(LimitExceeded, match="MAX_IMAGE_PIXELS"):
        decode(frame.getvalue())


def test_many_threads_decode_at_once_without_touching_the_warnings() -> None:
    out = io.BytesIO()
    Image.new("P", (64, 48)).save(out, "PNG", transparency=b"\1" * 9)
    filters = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        sizes = {picture.size for picture in pool.map(lambda _: decode(out.getvalue()), range(64))}
    assert sizes == {(64, 48)} and list(warnings.filters) == filters


def test_a_heic_file_needs_no_registered_opener() -> None:
    assert "HEIF" in pi_heif.HeifImageFile.format
    picture = decode(heic(np.full((40, 60, 3), 90, np.uint8)))
    assert picture.size == (60, 40) and abs(int(picture.pixels[20, 30, 0]) - 90) < 6
    with pytest.raises(CorruptMedia):
        decode(heic(np.full((40, 60, 3), 90, np.uint8))[:60])


@pytest.mark.slow
def test_what_the_page_on_pictures_shows_runs() -> None:
    page = (ROOT / "docs" / "pictures.md").read_text("utf-8").partition("## As a library")[2]
    code = page.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert "'label': 'espresso'" in done.stdout
