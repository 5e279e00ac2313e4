"""Video analysis against its bound (the slower of decoding and inference), and its memory over the length of a clip."""

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
import numpy as np

from benchmarks import SHARED, Row, in_new_process, interleaved, reference_models
from inference.analysis import analyze
from inference.engine.model import Model
from inference.image.media import Picture
from inference.routes import Route, Step
from inference.video.write import VideoWriter

MODEL = "det-nanodet-m-320"
CLIP = "media/video/skiing_carve_medium_radius.mp4"
ROUNDS, BAR = 7, 0.90
LENGTHS_S, MEMORY_BAR_MB = (10, 60, 600), 400

# Analyses one clip with everything written; prints this process's peak memory and the number of analysed frames.
CHILD = """
import json, sys
from pathlib import Path
from inference.analysis import analyze
from inference.machine import peak_rss_mb
from benchmarks import reference_models
from inference.routes import Route, Step
from inference.video.options import VideoOptions
clip, model, fps = sys.argv[1:]
route = Route("r", (Step(model),), video=VideoOptions(fps=float(fps)))
analysis = analyze(Path(clip), route, reference_models())
print(json.dumps([peak_rss_mb(), analysis.result.extra["analysed_frames"]]))
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


def clip_of(folder: Path, length_s: int) -> Path:
    """A 1080p clip of that length at 25 frames a second: ten seconds coded once, repeated by copying packets."""
    base, path = folder / "base.mp4", folder / f"{length_s}.mp4"
    if not base.exists():
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 255, (300, 480, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        with VideoWriter(base, preset="ultrafast") as writer:
            for i in range(250):
                writer.write(noise[i % 100 : i % 100 + 1080], i / 25)
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


def memory() -> list[Row]:
    peaks: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as name:
        for length_s in LENGTHS_S:
            clip = clip_of(Path(name), length_s)
            fps = "25" if length_s <= 10 else "2"
            peaks[length_s], frames = json.loads(in_new_process(CHILD, clip, MODEL, fps))
            print(f"  {length_s} s: {peaks[length_s]} MiB, {frames} frames analysed", file=sys.stderr, flush=True)
            clip.unlink()
    value = ", ".join(f"{peak} MiB at {length} s" for length, peak in peaks.items())
    note = "1080p, every frame decoded; every frame (10 s) or two a second analysed, drawn and encoded"
    worst = max(peaks.values())
    return [Row("memory of a video analysis", value, f"< {MEMORY_BAR_MB} MiB", worst < MEMORY_BAR_MB, note)]


def run() -> list[Row]:
    if not SHARED.is_dir():
        return [Row("video analysis", "not run: no ../shared")]
    return speed() + memory()
