"""What is being done: clip models over overlapping windows, smoothed and merged into labelled time ranges.

A clip model takes T frames at once: NCTHW, NTCHW or NTHWC, read from the tensor (one axis of 3), or two of them
(SlowFast: Feichtenhofer et al., arXiv:1812.03982), where the slow input gets every so-manieth frame of the fast.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadModel
from inference.heads.classifier import probabilities
from inference.manifest import Manifest
from inference.media import Picture
from inference.predictions import Classes
from inference.preprocess import InputSpec, prepare
from inference.registry import Registry, sha256_of
from inference.session import Session, Tensor

Floats = NDArray[np.float32]
# Rate at which the frame counts of published recipes (T frames, every n-th) were counted.
_RECIPE_FPS = 30.0
_LAYOUTS = ("ncthw", "ntchw", "nthwc")


@dataclass(frozen=True)
class ClipInput:
    """One input tensor: its layout, frames `count`, and the picture each frame becomes."""

    name: str
    layout: str
    count: int
    frame: InputSpec

    def stack(self, frames: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """`count` frames, evenly out of those given, as one batch of one."""
        chosen = np.linspace(0, len(frames) - 1, self.count).round().astype(int)
        clip = np.stack([frames[i][0] for i in chosen])
        return np.ascontiguousarray(clip.transpose(1, 0, 2, 3) if self.layout == "ncthw" else clip)[None]


class ClipModel:
    """A model over clips. `count` frames cover `window_s` seconds."""

    def __init__(self, manifest: Manifest, session: Session, sha256: str) -> None:
        """Raises BadModel where the inputs are not clips, or T is neither in the file nor in the manifest."""
        self.manifest, self.session, self.sha256 = manifest, session, sha256
        self.inputs = [_clip_input(tensor, manifest) for tensor in session.inputs]
        self.count = max(clip.count for clip in self.inputs)
        sides = {(clip.frame.layout, clip.frame.height, clip.frame.width) for clip in self.inputs}
        if len(sides) > 1:
            raise BadModel(f"{manifest.name}: its inputs want frames of different sizes or layouts: {sides}")
        params = manifest.postprocess.params
        recipe_s = self.count * manifest.preprocess.sampling_rate / _RECIPE_FPS
        self.window_s = float(params.get("window_s", recipe_s))
        self.overlap = float(params.get("overlap", 0.5))
        if not self.window_s > 0 or not 0 <= self.overlap < 1:
            raise BadModel(f"{manifest.name}: window_s is {self.window_s} (over 0), overlap {self.overlap} (0 to < 1)")

    def frame(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """One frame as the model sees it, (1, ...) in the layout of its frames."""
        return prepare(Picture.of(pixels), self.manifest.preprocess, self.inputs[0].frame)[0]

    def run(self, frames: Sequence[NDArray[Any]]) -> Floats:
        """A probability per class (C,) for prepared frames in order; too few are repeated."""
        outputs = self.session.run({clip.name: clip.stack(frames) for clip in self.inputs})
        row = next(iter(outputs.values()))[0].ravel()
        scores: Floats = np.asarray(probabilities(row, self.manifest), np.float32)
        labels = len(self.manifest.labels)
        if labels and labels != len(scores) + self.manifest.label_offset:
            raise BadModel(f"{self.manifest.name}: {len(scores)} classes in the model, {labels} labels in the manifest")
        return scores


def _clip_input(tensor: Tensor, manifest: Manifest) -> ClipInput:
    shape = tensor.shape
    said = manifest.preprocess.layout
    layout = said if said in _LAYOUTS else _layout(shape)
    if len(shape) != 5 or layout is None:
        raise BadModel(
            f"{manifest.name}: input {tensor} is no clip; expected five axes, one of them the 3 colours "
            f"({', '.join(_LAYOUTS)}), or say layout in the manifest"
        )
    size = dict(zip(layout, shape, strict=True))
    count = size["t"] or manifest.preprocess.num_frames
    if not count:
        raise BadModel(f"{manifest.name}: input {tensor} takes any number of frames; say num_frames in the manifest")
    frame = InputSpec(tensor.name, tensor.dtype, "nhwc" if layout == "nthwc" else "nchw", size["h"], size["w"])
    return ClipInput(tensor.name, layout, count, frame)


def _layout(shape: Sequence[int | None]) -> str | None:
    if len(shape) != 5:
        return None
    return "ncthw" if shape[1] == 3 else "ntchw" if shape[2] == 3 else "nthwc" if shape[4] == 3 else None


def clip_model(registry: Registry, name: str) -> ClipModel:
    """The clip model of that name, loaded once. Raises BadModel or BadManifest."""
    entry = registry.entry(name)
    assert entry.manifest is not None and entry.weights is not None
    stat = entry.weights.stat()
    model = _loaded(entry.weights, stat.st_mtime_ns, entry.manifest.threads)
    # Only file and session are cached: the manifest may have changed.
    return ClipModel(replace(entry.manifest), *model)


@lru_cache(maxsize=4)
def _loaded(weights: Path, changed: int, threads: int) -> tuple[Session, str]:
    return Session(weights, threads), sha256_of(weights)


@dataclass(frozen=True)
class Window:
    """One run of the model: seconds covered, probabilities (C,)."""

    start_s: float
    end_s: float
    scores: Floats


@dataclass(frozen=True)
class Action:
    """Something done from `start_s` to `end_s`; `score` is the mean over its windows."""

    label: str
    label_id: int
    start_s: float
    end_s: float
    score: float

    def to_json(self) -> dict[str, Any]:
        """As the timeline holds it."""
        return {"kind": "action", "label": self.label, "label_id": self.label_id, "score": round(self.score, 4),
                "start_s": round(self.start_s, 3), "end_s": round(self.end_s, 3)}  # fmt: skip


class ActionWatch:
    """Feed it every frame; it samples them by the clip's clock and runs the model when a window is full."""

    def __init__(self, model: ClipModel) -> None:
        self.model = model
        self._rate = model.count / model.window_s
        self._hop = max(1, round(model.count * (1 - model.overlap)))
        self._frames: deque[tuple[int, NDArray[Any]]] = deque()
        self._tick = -1
        self._due = model.count - 1
        self._ran = False
        self.windows: list[Window] = []

    def update(self, t_s: float, pixels: NDArray[np.uint8]) -> None:
        """Takes one frame (H, W, 3) RGB at `t_s` seconds; times must increase."""
        tick = int((t_s + 5e-7) * self._rate)
        if tick <= self._tick:
            return
        self._tick = tick
        self._frames.append((tick, self.model.frame(pixels)))
        while self._frames[0][0] <= tick - self.model.count:
            self._frames.popleft()
        if tick >= self._due:
            self._run()
            # The grid of windows is that of the clip's clock: it does not depend on where reading began.
            self._due += self._hop * ((tick - self._due) // self._hop + 1)

    def _run(self) -> None:
        self._ran = True
        scores = self.model.run([frame for _, frame in self._frames])
        start = max(self._tick + 1 - self.model.count, 0)
        self.windows.append(Window(start / self._rate, (self._tick + 1) / self._rate, scores))

    def close(self) -> None:
        """Runs over what is left at the end."""
        if self._frames and (not self._ran or self._tick > self._due - self._hop):
            self._run()

    @property
    def facts(self) -> ClipFacts:
        """What naming the windows needs of the model."""
        manifest, postprocess = self.model.manifest, self.model.manifest.postprocess
        threshold = 0.5 if postprocess.confidence_threshold is None else postprocess.confidence_threshold
        return ClipFacts(manifest.labels, manifest.label_offset, postprocess.topk or 5, threshold, self._rate)


@dataclass(frozen=True)
class ClipFacts:
    """What names the windows of a clip model, without the model. rate: its samples a second."""

    labels: tuple[str, ...]
    label_offset: int
    topk: int
    threshold: float
    rate: float

    def name(self, label_id: int) -> str:
        """The name of a label id; one outside the list is named by its number."""
        return self.labels[label_id] if 0 <= label_id < len(self.labels) else str(label_id)


def overall(windows: Sequence[Window], clip: ClipFacts) -> Classes:
    """What the clip shows as a whole: the mean over its windows, best first."""
    if not windows:
        return Classes(np.zeros(0, np.int64), np.zeros(0, np.float32), ())
    mean = np.mean([window.scores for window in windows], axis=0)
    best = np.argsort(-mean, kind="stable")[: clip.topk]
    ids = best + clip.label_offset
    return Classes(ids, mean[best], tuple(map(clip.name, ids.tolist())))


def smoothed(windows: Sequence[Window]) -> list[Window]:
    """The pieces that the windows' borders cut the clip into, each with the mean of all windows over it."""
    edges = sorted({w.start_s for w in windows} | {w.end_s for w in windows})
    pieces = []
    for start, end in zip(edges, edges[1:], strict=False):
        over = [w.scores for w in windows if w.start_s < end - 1e-9 and w.end_s > start + 1e-9]
        if over:
            pieces.append(Window(start, end, np.mean(over, axis=0)))
    return pieces


def actions(windows: Sequence[Window], clip: ClipFacts, duration_s: float) -> list[Action]:
    """What was done when in a clip of that length: neighbouring pieces with the same best label become one range;
    those below the threshold none."""
    ranges: list[Action] = []
    # A window that ends with the last sample of the clip ends with the clip.
    last_s = duration_s - 1 / clip.rate
    for piece in smoothed([replace(w, end_s=duration_s if w.end_s > last_s else w.end_s) for w in windows]):
        best = int(piece.scores.argmax())
        score = float(piece.scores[best])
        if score < clip.threshold:
            continue
        label_id = best + clip.label_offset
        last = ranges[-1] if ranges else None
        if last is not None and last.label_id == label_id and abs(last.end_s - piece.start_s) < 1e-6:
            before, now = last.end_s - last.start_s, piece.end_s - piece.start_s
            mean = (last.score * before + score * now) / (before + now)
            ranges[-1] = replace(last, end_s=piece.end_s, score=mean)
        else:
            ranges.append(Action(clip.name(label_id), label_id, piece.start_s, piece.end_s, score))
    return ranges
