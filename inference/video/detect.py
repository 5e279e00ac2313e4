"""The predictions of the models for a frame: every step of the route, embeddings and camera motion where requested."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.engine.clip import ClipModel
from inference.engine.cores import yielding
from inference.engine.model import Model
from inference.engine.registry import Registry
from inference.errors import BadRoute
from inference.heads import threshold as default_threshold
from inference.image.media import Picture
from inference.predictions import Embedding, Objects
from inference.results.result import StepResult
from inference.routes import Route, Step
from inference.steps import model_facts, run_steps
from inference.tracking.algorithms import TRACKERS
from inference.tracking.flow import CameraMotion
from inference.tracking.pace import PACE_GAPS
from inference.video.actions import ActionWatch, answer
from inference.video.aggregate import Detections
from inference.video.frames import Frame
from inference.video.held import MAKES_PICTURES
from inference.video.options import VideoOptions
from inference.video.places import LOOKS_BACK_S
from inference.video.summary import RouteFacts, StepFacts, Work


@dataclass(frozen=True)
class Detected:
    """A frame with the predictions that need no other frame."""

    frame: Frame
    steps: list[StepResult]
    embeddings: NDArray[np.float64] | None


class FrameDetector:
    """Runs a route's steps over frames, from several threads at once; what needs their order is `in_order`."""

    def __init__(self, route: Route, registry: Registry, options: VideoOptions, threshold: float | None) -> None:
        """Loads all models. Raises BadModel, BadManifest, BadRoute."""
        self._steps: list[Step] = []
        self._models: list[Model] = []
        self._watches: list[tuple[Step, ActionWatch]] = []
        self._look, self._blur = route.look, route.draw.blur
        for step in route.steps:
            if step.title in options.without:
                continue
            step = step if threshold is None else replace(step, threshold=threshold)
            if isinstance(model := registry.load(step.model), ClipModel):
                self._watches.append((step, ActionWatch(model, step)))
            else:
                self._steps.append(step)
                self._models.append(registry.model(step.model))
        self._reid = registry.model(options.reid) if options.reid else None
        if self._reid is not None and self._reid.manifest.task != "image-feature-extraction":
            raise BadRoute(f"video.reid: {options.reid!r} does {self._reid.manifest.task}, expected embeddings")
        self._camera = CameraMotion() if options.camera_motion else None
        self._tracked = next((i for i, s in enumerate(self._steps) if _detects(s, self._models[i])), None)
        self.facts = self._route_facts(None if options.tracker == "none" else TRACKERS[options.tracker].low_score)
        self._lost_s = options.lost_s
        self._work = Work()

    def _route_facts(self, low_score: float | None) -> RouteFacts:
        """What comes after needs of the models. The tracked step runs down to `low_score`, if the tracker uses it."""
        tracked, threshold, thresholds = None, 0.0, {}
        self._floors: dict[str, float] = {}
        if self._tracked is not None:
            step, model = self._steps[self._tracked], self._models[self._tracked]
            tracked, thresholds = step.title, dict(step.thresholds)
            threshold = default_threshold(model.manifest, model.head) if step.threshold is None else step.threshold
            if low_score is not None or thresholds:
                low = threshold if low_score is None else min(low_score, threshold)
                self._floors[tracked] = min(low, *thresholds.values()) if thresholds else low
        steps = [
            StepFacts(
                step.title, model.manifest.task, model_facts(model), step.on, step.threshold or 0.0,
                thresholds=step.thresholds, renamed=step.rename,
            )
            for step, model in zip(self._steps, self._models, strict=True)
        ]  # fmt: skip
        clips = [
            StepFacts(
                step.title, watch.model.manifest.task, model_facts(watch.model), clip=watch.facts, renamed=step.rename
            )
            for step, watch in self._watches
        ]
        return RouteFacts((*steps, *clips), tracked, threshold, thresholds)

    def __call__(self, frame: Frame) -> Detected:
        """The predictions that need no other frame."""
        picture = Picture.of(frame.pixels, "video/frame")
        with yielding():
            steps = run_steps(picture, self._steps, self._models, look=self._look, blur=self._blur, floors=self._floors)
            objects = None if self._tracked is None else steps[self._tracked].predictions
            return Detected(frame, steps, self._embeddings(picture, objects if isinstance(objects, Objects) else None))

    def lead(self, frame: Frame) -> None:
        """Takes a frame before the requested part: only what looks back in time needs it."""
        for _, watch in self._watches:
            watch.update(frame.pts_s, frame.pixels)
            watch.windows.clear()
        if self._camera is not None:
            self._camera.update(frame.pixels)

    def lead_seconds(self) -> float:
        """How far back anything looks: clip models their window, camera motion the last frame, blur what is held, and
        the tracks with which what is faint goes on."""
        windows = [watch.model.window_s + 1.0 for _, watch in self._watches]
        # Who was out of sight for longer is seldom faint at once; every frame of the lead is analysed.
        blurs_s = LOOKS_BACK_S + min(self._lost_s, LOOKS_BACK_S) if self.blurs_made else 0.0
        return max([*windows, 0.0 if self._camera is None else 1e-3, blurs_s])

    def lead_samples(self) -> int:
        """How many analysed pictures back anything looks, however far apart they are."""
        return 1 + PACE_GAPS if self.blurs_made else 1

    @property
    def blurs_made(self) -> bool:
        """Whether steps make pictures in which something has to be unrecognisable."""
        return bool(self._blur) and any(model.manifest.task in MAKES_PICTURES for model in self._models)

    def alone(self, frame: Frame) -> Detections:
        """The predictions for a frame that counts for others alone: without what needs the order, nor their timings."""
        detected = self(frame)
        steps = {step.name: step.predictions for step in detected.steps}
        return Detections(frame.index, frame.pts_s, steps, detected.embeddings)

    def in_order(self, detected: Detected) -> Detections:
        """What depends on the frames before: clip models, the camera's motion. Called in the order of the frames."""
        frame = detected.frame
        for result in detected.steps:
            self._work.time(result.name, result.timing)
        actions = {}
        for step, watch in self._watches:
            if (window := watch.update(frame.pts_s, frame.pixels)) is not None:
                actions[step.title] = answer(window, watch.facts, step.title)
        warp = None
        if self._camera is not None:
            objects = None if self._tracked is None else detected.steps[self._tracked].predictions
            boxes = objects.boxes if isinstance(objects, Objects) else Objects.empty().boxes
            warp = self._camera.update(frame.pixels, boxes)
        steps = {result.name: result.predictions for result in detected.steps}
        return Detections(frame.index, frame.pts_s, steps, detected.embeddings, warp, actions)

    def work(self, complete: bool = True) -> Work:
        """What the models did so far; `complete`: no more frames come, so that what is left of windows is run."""
        if complete:
            for _, watch in self._watches:
                watch.close()
        self._work.windows = [watch.windows for _, watch in self._watches]
        return self._work

    def _embeddings(self, picture: Picture, objects: Objects | None) -> NDArray[np.float64] | None:
        """(N, E) L2-normalised embeddings of the detections, where the route names a model for them."""
        if self._reid is None or objects is None:
            return None
        rows = []
        for x1, y1, x2, y2 in objects.boxes.tolist():
            predictions, _ = self._reid.run(picture, (x1, y1, max(x2, x1 + 1.0), max(y2, y1 + 1.0)))
            assert isinstance(predictions, Embedding)
            rows.append(predictions.vector)
        vectors = np.asarray(rows, np.float64).reshape(len(rows), -1) if rows else np.zeros((0, 1))
        result: NDArray[np.float64] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return result


def _detects(step: Step, model: Model) -> bool:
    """Whether the step gives objects that can be tracked: those of a segmenter only where it finds single ones."""
    single = model.manifest.task == "image-segmentation" and "object-detection" in model.head.tasks
    return not step.on and (single or model.manifest.task in ("object-detection", "keypoint-detection"))
