"""What a clip gives as a whole, from the predictions for its frames, fed in order: in a single run or part by part.

The only place that knows tracks, zones, actions, averages and the choice of stills; both ways to analyse a video feed
it, and read the same summary.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.draw.trails import Trail
from inference.predictions import Classes, Objects, Predictions
from inference.results.document import SkeletonDoc
from inference.results.result import Source, StepResult
from inference.results.skeletons import skeletons_of
from inference.routes import Draw
from inference.timing import NO_TIME, Timing
from inference.video.actions import actions, overall
from inference.video.follow import FollowStep
from inference.video.frames import Frame, ReadReport
from inference.video.options import FOLLOW, VideoOptions
from inference.video.outputs import CHAPTERS, FrameLines, vtt
from inference.video.overlay import ActionsNow, Crowd, Overlay, Shown, Trails
from inference.video.scenes import SceneWatch
from inference.video.stills import Choice
from inference.video.summary import RouteFacts, Summary, Work
from inference.video.time_range import TimeRange
from inference.video.tracks import Tracks

_BEST = 5


@dataclass(frozen=True)
class Detections:
    """The predictions for a frame, by step; where requested, (N, E) embeddings of what is tracked and the (2, 3) motion
    of the camera. actions: by step, what a clip model says of the window that ended with the frame, if one did; None
    where it is sure of nothing."""

    index: int
    pts_s: float
    steps: Mapping[str, Predictions]
    embeddings: NDArray[Any] | None = None
    warp: NDArray[Any] | None = None
    actions: Mapping[str, TimeRange | None] = field(default_factory=dict)


class Averages:
    """What a clip shows as a whole, for steps that classify frames: the mean of the frames' scores.

    Sums scores by label; a label that a frame does not list counts as 0 there.
    """

    def __init__(self) -> None:
        self._sums: dict[str, dict[tuple[int, str], float]] = {}
        self._frames = 0

    def update(self, steps: Mapping[str, Predictions]) -> None:
        """Takes a frame's predictions by step."""
        self._frames += 1
        for step, predictions in steps.items():
            if isinstance(predictions, Classes):
                sums = self._sums.setdefault(step, {})
                rows = zip(predictions.label_ids.tolist(), predictions.names, predictions.scores.tolist(), strict=True)
                for number, name, score in rows:
                    sums[number, name] = sums.get((number, name), 0.0) + score

    def of(self, step: str, threshold: float, thresholds: Mapping[str, float]) -> Predictions:
        """The best labels of the whole clip whose mean reaches the step's threshold, or their own.

        No predictions for a step of another kind (see frames.jsonl).
        """
        if step not in self._sums:
            return Objects.empty()
        candidates = [
            ((number, name), total)
            for (number, name), total in self._sums[step].items()
            if total >= thresholds.get(name, threshold) * self._frames
        ]
        best = sorted(candidates, key=lambda item: -item[1])[:_BEST]
        return Classes(
            np.array([number for (number, _), _ in best], np.int64),
            np.array([total / self._frames for _, total in best], np.float32),
            tuple(name for (_, name), _ in best),
        )


class Aggregate(contextlib.ExitStack):
    """`with Aggregate(options, facts, folder) as aggregate`: update it with every frame in order, then finish.

    frames.jsonl, the tracks and the chapters lie in `folder` then; without a folder no files are written. draw: which
    tracks are to be saved as pictures, and whether trails are drawn.
    """

    def __init__(
        self,
        options: VideoOptions,
        facts: RouteFacts,
        folder: Path | None = None,
        draw: Draw | None = None,
    ) -> None:
        super().__init__()
        draw = draw or Draw()
        self._options, self._facts, self._folder, self._draw = options, facts, folder, draw
        self._lines = None if folder is None else self.enter_context(FrameLines(folder, options.tracker != "none"))
        self._tracks: Tracks | None = None
        self._follow = FollowStep(options.follow) if options.follow else None
        self._averages = Averages()
        self._scenes = {
            step.name: SceneWatch(step.name, step.sure)
            for step in facts.steps
            if step.clip is None and step.task == "image-classification" and not step.on
        }
        self._skeletons: dict[str, SkeletonDoc] = {}
        self._notes: dict[str, dict[str, None]] = {}  # by step, each once, in the order of their first frame
        self._left_out: dict[str, Counter[str]] = {}
        self._frames = 0
        self._trails: Trails | None = None
        self._crowd = Crowd()
        self._actions_now = ActionsNow([step.name for step in facts.steps if step.clip is not None])
        self.choice = Choice(options.thumbnails, () if folder is None else draw.crops)

    def update(self, detections: Detections, size: tuple[int, int], frame: Frame | None = None) -> Shown:
        """What is shown of a frame: by step the tracked predictions numbered, without those of low scores and no
        track, in place of its labels those of the scene; and what is drawn beside them.

        size: width and height of the upright frames. The `follow` step needs the frame itself.
        """
        if self._tracks is None:
            self._tracks = Tracks(self._options, self._facts.threshold, *size, self._facts.thresholds)
            self._trails = Trails(size) if self._draw.trails else None
        tracked, at_s = self._facts.tracked, detections.pts_s
        objects = Objects.empty() if tracked is None else detections.steps[tracked]
        assert isinstance(objects, Objects)
        shown = self._tracks.update(at_s, objects, detections.embeddings, detections.warp)
        steps = dict(detections.steps)
        if tracked is not None:
            steps[tracked] = shown
        if self._follow is not None and frame is not None:
            steps[FOLLOW] = self._tracks.follow(at_s, self._follow.update(frame, shown), shown)
        self._averages.update(steps)
        for name, watch in self._scenes.items():
            classes = steps[name]
            assert isinstance(classes, Classes)
            watch.update(at_s, classes)
        self._skeletons |= skeletons_of(steps)
        for name, predictions in detections.steps.items():
            if notes := getattr(predictions, "notes", ()):
                self._notes.setdefault(name, {}).update(dict.fromkeys(notes))
        for name, predictions in steps.items():
            if left_out := getattr(predictions, "left_out", None):
                self._left_out.setdefault(name, Counter()).update(left_out)
        self.choice.take(detections.index, shown.scores, steps)
        self._frames += 1
        if self._lines is not None:
            self._lines.write(detections.index, at_s, steps)
        scenes = {name: watch.now() for name, watch in self._scenes.items()}
        return Shown({**steps, **scenes}, self._overlay(detections, steps))

    def _overlay(self, detections: Detections, steps: Mapping[str, Predictions]) -> Overlay:
        assert self._tracks is not None
        trails: tuple[Trail, ...] = ()
        if self._trails is not None:
            trails = self._trails.update(detections.pts_s, steps.values(), detections.warp)
        actions = self._actions_now.update(detections.actions)
        crowded = self._crowd.update(sum(len(p) for p in steps.values() if isinstance(p, Objects)))
        zones = self._tracks.counters() if self._draw.zones else ()
        return Overlay(tuple(zones), trails, actions, crowded)

    def finish(self, report: ReadReport, work: Work, source: Source) -> Summary:
        """The clip as a whole. `source`: as far as it is known without decoding."""
        size = max(report.width, 1), max(report.height, 1)
        tracks = self._tracks or Tracks(self._options, self._facts.threshold, *size)
        followed = self._follow.timeline() if self._follow else []
        scenes = [scene for watch in self._scenes.values() for scene in watch.finish(report.duration_s)]
        ranges = [*scenes, *self._actions(work, report.duration_s)]
        extra = tracks.extra([*(item.to_json() for item in ranges), *followed])
        extra["summary"] = {"objects": extra.pop("objects"), **self._in_a_word(scenes)}
        extra["analysed_frames"] = self._frames
        if report.broken:
            extra["broken"] = {"reason": report.broken, "at_s": round(report.broken_at_s or 0.0, 3),
                               "damaged_frames": report.damaged_frames}  # fmt: skip
        if self._folder is not None and extra["timeline"]:
            (self._folder / CHAPTERS).write_text(vtt(extra["timeline"]), encoding="utf-8")
        labels, sights = {track["id"]: track["label"] for track in extra["tracks"]}, self.choice.sights
        return Summary(
            source=_described(source, report),
            steps=tuple(self._step_results(work)),
            status="partial" if report.broken else "ok",
            extra=extra,
            poster=self.choice.poster,
            thumbnails=self.choice.thumbnails,
            heat=None if tracks.heat is None else tracks.heat.cells,
            cpu_s=work.cpu_s,
            notes=(*report.notes, *report.clock_notes, *tracks.notes(), *sights.notes(labels)),
            sights=sights.of(labels),
        )

    def _in_a_word(self, scenes: Sequence[TimeRange]) -> dict[str, dict[str, float]]:
        """The summary's `scene`, labels with the best mean of their scenes, and `guesses`, the best label of the clip
        for every step that is sure of none."""
        best: dict[str, float] = {}
        for scene in scenes:
            best[scene.label] = max(best.get(scene.label, 0.0), round(scene.score, 4))
        guesses: dict[str, float] = {}
        for step in self._facts.steps:
            if step.name in self._scenes and step.name not in {scene.step for scene in scenes}:
                mean = self._averages.of(step.name, step.threshold, step.thresholds)
                if isinstance(mean, Classes) and len(mean) and mean.names[0] not in best:
                    guesses[mean.names[0]] = round(float(mean.scores[0]), 4)
        return {name: dict(sorted(found.items(), key=lambda item: -item[1]))
                for name, found in (("scene", best), ("guesses", guesses))}  # fmt: skip

    def _actions(self, work: Work, duration_s: float) -> list[TimeRange]:
        clips = [(step.name, step.clip) for step in self._facts.steps if step.clip is not None]
        return [
            action
            for (name, clip), windows in zip(clips, work.windows, strict=False)
            for action in actions(windows, clip, duration_s, name)
        ]

    def _step_results(self, work: Work) -> list[StepResult]:
        """Per step: the model, the mean time a frame, and what the clip shows as a whole."""
        results, frames, windows = [], max(self._frames, 1), iter(work.windows)
        for step in self._facts.steps:
            total = work.timings.get(step.name, NO_TIME)
            mean = Timing(total.preprocess / frames, total.inference / frames, total.postprocess / frames)
            predictions: Predictions
            if step.clip is None:
                predictions = self._averages.of(step.name, step.threshold, step.thresholds)
            else:
                predictions = overall(next(windows, []), step.clip)
            if (notes := self._notes.get(step.name)) and isinstance(predictions, Objects | Classes):
                predictions = replace(predictions, notes=tuple(notes)[:_BEST])
            if (left_out := self._left_out.get(step.name)) and isinstance(predictions, Objects | Classes):
                predictions = replace(predictions, left_out=dict(left_out))
            skeleton = self._skeletons.get(step.name)
            results.append(
                StepResult(step.name, step.task, step.model, predictions, mean, step.on, skeleton, step.renamed)
            )
        return results


def _described(source: Source, report: ReadReport) -> Source:
    """The source as decoding shows it, not as the header claims."""
    return replace(
        source,
        width=report.width,
        height=report.height,
        duration_s=round(report.duration_s, 3),
        frames=report.frames,
        fps=None if report.fps is None else round(report.fps, 3),
    )


def whole_report(reports: Sequence[ReadReport]) -> ReadReport:
    """The report of a clip that was read in parts, in their order; what broke first is what is said."""
    # How long the last picture of a part is shown, a part before the last takes from the picture before that.
    last = next((report for report in reversed(reports) if report.duration_s > 0), reports[-1])
    broken = next((report for report in reports if report.broken), None)
    return replace(
        last,
        frames=max(report.frames for report in reports),
        broken=broken.broken if broken else None,
        broken_at_s=broken.broken_at_s if broken else None,
        damaged_frames=sum(report.damaged_frames for report in reports),
        first_s=reports[0].first_s,
        clock=next((report.clock for report in reports if report.clock), None),
        clock_faults=sum(report.clock_faults for report in reports),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
    )
