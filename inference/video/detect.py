"""What the models say of one frame: every step of the route, appearance and camera motion where asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadRoute
from inference.heads import threshold as default_threshold
from inference.manifest import Manifest
from inference.media import Picture
from inference.model import NO_TIME, Model, Timing
from inference.predictions import Embedding, Objects
from inference.registry import Registry
from inference.result import StepResult
from inference.routes import Route, Step
from inference.steps import model_facts, run_steps
from inference.video.actions import ActionWatch, clip_model
from inference.video.averages import Averages
from inference.video.flow import CameraMotion
from inference.video.frames import Frame
from inference.video.options import VideoOptions

# ByteTrack's idea is that faint detections go on with a track: detectors run down to here for it.
FAINT = 0.1


@dataclass(frozen=True)
class Detected:
    """One frame with what the models said. `tracked` is the place in `steps` of the detections that are tracked."""

    frame: Frame
    steps: list[StepResult]
    tracked: int | None
    embeddings: NDArray[np.float64] | None = None
    warp: NDArray[np.float64] | None = None

    @property
    def objects(self) -> Objects:
        """The detections that are tracked; none where the route has no detector."""
        found = None if self.tracked is None else self.steps[self.tracked].predictions
        return found if isinstance(found, Objects) else Objects.empty()


class Detector:
    """Runs a route's steps over frames, from several threads at once; what needs their order is `in_order`."""

    def __init__(self, route: Route, registry: Registry, options: VideoOptions, threshold: float | None) -> None:
        """Loads all models. Raises BadModel, BadManifest, BadRoute."""
        self._threshold = threshold
        self.steps: list[Step] = []
        self.models: list[Model] = []
        self.watches: list[tuple[Step, ActionWatch]] = []
        for step in route.steps:
            manifest = registry.entry(step.model).manifest
            if manifest is not None and manifest.task == "video-classification":
                self.watches.append((step, ActionWatch(clip_model(registry, step.model))))
            else:
                self.steps.append(step)
                self.models.append(registry.model(step.model))
        self._reid = registry.model(options.reid) if options.reid else None
        if self._reid is not None and self._reid.manifest.task != "image-feature-extraction":
            raise BadRoute(f"video.reid: {options.reid!r} does {self._reid.manifest.task}, expected embeddings")
        self._camera = CameraMotion() if options.camera_motion else None
        self.tracked = next((i for i, s in enumerate(self.steps) if _detects(s, self.models[i].manifest)), None)
        self.timings: dict[str, Timing] = {}
        self.sure = self._set_thresholds(threshold, faint=options.tracker == "bytetrack")

    def _set_thresholds(self, threshold: float | None, faint: bool) -> float:
        """Gives each step its threshold; returns the score from which a tracked detection counts by itself."""
        if threshold is not None:
            self.steps = [replace(step, threshold=threshold) for step in self.steps]
        if self.tracked is None:
            return 0.0
        step, model = self.steps[self.tracked], self.models[self.tracked]
        sure = default_threshold(model.manifest, model.head) if step.threshold is None else step.threshold
        if faint:
            self.steps[self.tracked] = replace(step, threshold=min(FAINT, sure))
        return sure

    def __call__(self, frame: Frame) -> Detected:
        """What the models say of this frame alone."""
        picture = Picture.of(frame.pixels, "video/frame")
        steps = run_steps(picture, self.steps, self.models)
        found = None if self.tracked is None else steps[self.tracked].predictions
        boxes = found.boxes if isinstance(found, Objects) else None
        return Detected(frame, steps, self.tracked, self._looks(picture, boxes))

    def lead(self, frame: Frame) -> None:
        """A frame before the part that is asked for: it is looked at only by what looks back in time."""
        for _, watch in self.watches:
            watch.update(frame.pts_s, frame.pixels)
            watch.windows.clear()
        if self._camera is not None:
            self._camera.update(frame.pixels)

    def in_order(self, detected: Detected) -> Detected:
        """What depends on the frames before: clip models, the camera's motion. Called in the order of the frames."""
        frame = detected.frame
        for step in detected.steps:
            self.timings[step.name] = self.timings.get(step.name, NO_TIME) + step.timing
        for _, watch in self.watches:
            watch.update(frame.pts_s, frame.pixels)
        if self._camera is None:
            return detected
        return replace(detected, warp=self._camera.update(frame.pixels, detected.objects.boxes))

    def _looks(self, picture: Picture, boxes: NDArray[np.floating] | None) -> NDArray[np.float64] | None:
        """(N, E) L2-normalised embeddings of the detections, where the route names a model for them."""
        if self._reid is None or boxes is None:
            return None
        rows = []
        for box in boxes.tolist():
            x1, y1, x2, y2 = box
            found, _ = self._reid.run(picture, (x1, y1, max(x2, x1 + 1.0), max(y2, y1 + 1.0)))
            assert isinstance(found, Embedding)
            rows.append(found.vector)
        looks = np.asarray(rows, np.float64).reshape(len(rows), -1) if rows else np.zeros((0, 1))
        result: NDArray[np.float64] = looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-12)
        return result

    def step_results(self, frames: int, averages: Averages) -> list[StepResult]:
        """Per step: the model, the mean time a frame, and what the clip shows as a whole."""
        results, frames = [], max(frames, 1)
        for step, model in zip(self.steps, self.models, strict=True):
            total = self.timings.get(step.title, NO_TIME)
            mean = Timing(total.preprocess / frames, total.inference / frames, total.postprocess / frames)
            found = averages.of(step.title, step.threshold or 0.0)
            results.append(StepResult(step.title, model.manifest.task, model_facts(model), found, mean, step.on))
        for step, watch in self.watches:
            clips = watch.model
            results.append(StepResult(step.title, clips.manifest.task, model_facts(clips), watch.overall()))
        return results


def _detects(step: Step, manifest: Manifest) -> bool:
    return not step.on and manifest.task in ("object-detection", "keypoint-detection")
