"""What users run: a video through the default route with the pack, its time and memory; and video analysis against its
bound, the slower of decoding and inference."""

from __future__ import annotations

import json
import queue
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import av

from benchmarks import SHARED, Row, in_new_process, interleaved, reference_models
from inference.analysis import analyze
from inference.defaults import PACK
from inference.engine.catalog import load_catalog
from inference.engine.model import Model
from inference.engine.pull import pull
from inference.image.media import Picture
from inference.routes import Route, Step
from inference.video.colours import fitted
from inference.video.read import VideoReader
from inference.video.write import VideoWriter

MODEL = "det-nanodet-m-320"
CLIP = "media/video/skiing_carve_medium_radius.mp4"
ROUNDS, BAR = 7, 0.90
# Width, height, frames a second, seconds of the clips whose analysis is measured; the first as a phone makes them.
PHONE = (1920, 1080, 30, 10)
CLIPS = (
    PHONE,
    (1920, 1080, 60, 10),
    (1920, 1080, 30, 60),
    (1280, 720, 30, 10),
    (768, 432, 30, 10),
    (426, 240, 30, 600),
)
TIME_ROUNDS, TIME_BAR, MEMORY_BAR_MIB = 3, 1.0, 400

# Analyses a clip as the app and the command line do, everything written; prints seconds, this process's peak memory,
# the number of analysed frames, and the steps.
CHILD = """
import json, sys, time
from pathlib import Path
from inference.analysis import analyze
from inference.defaults import default_routes
from inference.engine.registry import BUILT_IN, Registry
from inference.machine import peak_rss_mb
clip, pack = map(Path, sys.argv[1:])
started = time.perf_counter()
registry = Registry([pack, BUILT_IN])
result = analyze(clip, default_routes(registry).named("default"), registry).result
seconds = time.perf_counter() - started
print(json.dumps([seconds, peak_rss_mb(), result.extra["analysed_frames"], [step.name for step in result.steps]]))
"""


def decoded(clip: Path) -> Any:
    """Frames as one writes it by hand."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            yield frame.to_ndarray(format="rgb24")


def infer(model: Model, frames: Iterable[Any]) -> None:
    for pixels in frames:
        model.run(Picture.of(pixels))


def by_hand(model: Model, clip: Path) -> None:
    """One decoding thread, one queue: what a person writes who knows that the two should overlap."""
    frames: queue.Queue[Any] = queue.Queue(4)

    def decode() -> None:
        for pixels in decoded(clip):
            frames.put(pixels)
        frames.put(None)

    threading.Thread(target=decode, daemon=True).start()
    while (pixels := frames.get()) is not None:
        model.run(Picture.of(pixels))


def speed() -> list[Row]:
    clip = SHARED / CLIP
    registry = reference_models()
    model, route = registry.model(MODEL), Route("benchmark", (Step(MODEL),))
    frames = list(decoded(clip))
    works = {
        "decode": lambda: sum(1 for _ in decoded(clip)),
        "infer": lambda: infer(model, frames),
        "by hand": lambda: by_hand(model, clip),
        "ours": lambda: analyze(clip, route, registry, artifacts=False),
        "files": lambda: analyze(clip, route, registry),
    }
    times = interleaved(ROUNDS, works)
    bounds = [max(d, i) for d, i in zip(times["decode"], times["infer"], strict=True)]
    ratio = median(b / o for b, o in zip(bounds, times["ours"], strict=True))
    hand = median(h / o for h, o in zip(times["by hand"], times["ours"], strict=True))
    rates = ", ".join(f"{name} {1e3 * len(frames) / median(t):.0f}" for name, t in times.items())
    note = f"frames a second: {rates}; {clip.name}, {MODEL}, median of {ROUNDS} interleaved"
    return [
        Row("video analysis over its bound", f"{ratio:.2f} x", f">= {BAR} x", ratio >= BAR, note),
        Row("video analysis over a hand-written overlap", f"{hand:.2f} x", f">= {BAR} x", hand >= BAR, "same run"),
    ]


def pack_in(folder: Path) -> Path:
    """The models of the pack, installed from ../shared. Without the body pose, which videos leave out."""
    for purpose, name in PACK.items():
        if purpose != "pose-estimation":
            pull(load_catalog().named(name), folder, [SHARED / "models"])
    return folder


def clip_of(folder: Path, width: int, height: int, fps: int, length_s: int) -> Path:
    """A clip that goes back and forth over real frames: ten seconds coded at a phone's rate, repeated by copying."""
    base, path = folder / f"{height}p{fps}.mp4", folder / f"{height}p{fps}-{length_s}s.mp4"
    if not base.exists():
        frames = [fitted(frame.pixels, (width, height)) for frame in VideoReader(SHARED / CLIP)]
        swing = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
        with VideoWriter(base, fps=fps, preset="ultrafast", crf=18) as writer:
            for i in range(10 * fps):
                writer.write(frames[swing[i % len(swing)]], i / fps)
    with av.open(str(path), "w") as output:
        target = None
        for turn in range(length_s // 10):
            with av.open(str(base)) as source:
                stream = source.streams.video[0]
                target = target or output.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.size and packet.pts is not None and packet.dts is not None and packet.time_base:
                        shift = round(10 * turn / packet.time_base)
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, target
                        output.mux(packet)
    return path


def what_users_run() -> list[Row]:
    """Time of a phone's clip, and memory of several clips, each in a new process."""
    peaks: dict[str, int] = {}
    times: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        pack = pack_in(Path(name) / "pack")
        for size in CLIPS:
            clip = clip_of(Path(name), *size)
            for _ in range(TIME_ROUNDS if size == PHONE else 1):
                seconds, peak, frames, steps = json.loads(in_new_process(CHILD, clip, pack))
                peaks[clip.stem] = max(peak, peaks.get(clip.stem, 0))
                share = f"{seconds:.1f} s, {seconds / size[3]:.2f} x its length, {size[2] * size[3] / seconds:.0f} fps"
                print(f"  {clip.stem}: {share}, {peak} MiB, {frames} frames by {', '.join(steps)}",
                      file=sys.stderr, flush=True)  # fmt: skip
                times += [seconds / size[3]] if size == PHONE else []
            clip.unlink()
    took, worst = median(times), max(peaks.values())
    note = f"{PHONE[3]} s of {PHONE[1]}p at {PHONE[2]} fps, a new process; annotated video included"
    value = ", ".join(f"{peak} MiB ({clip})" for clip, peak in peaks.items())
    return [
        Row("a video through the default route", f"{took:.2f} x its length", f"< {TIME_BAR} x", took < TIME_BAR, note),
        Row("its memory", value, f"< {MEMORY_BAR_MIB} MiB", worst < MEMORY_BAR_MIB, "peak of the process"),
    ]


def run() -> list[Row]:
    if not SHARED.is_dir():
        return [Row("video analysis", "not run: no ../shared")]
    return speed() + what_users_run()
