"""The pictures that steps make of a part of a long video, as they may be published."""

from __future__ import annotations

from collections.abc import Iterable

from inference.predictions import Objects
from inference.routes import Route
from inference.video.aggregate import Detections
from inference.video.detect import FrameDetector
from inference.video.frames import Frame
from inference.video.held import Held, most_waiting
from inference.video.outputs import VideoFiles, made_pictures
from inference.video.overlay import Shown
from inference.video.tracks import Tracks


class MadePictures:
    """Writes the pictures that steps make of a part's frames, with what must be unrecognisable blurred as in the whole
    clip: what is seen beside the part counts, too."""

    def __init__(self, detector: FrameDetector, route: Route, size: tuple[int, int], videos: VideoFiles) -> None:
        self._detector, self._blur, self._size, self._videos = detector, route.draw.blur, size, videos
        labels, facts = route.draw.blur if detector.blurs_made else (), detector.facts
        self._held = Held[float | None](labels, most_waiting(route, facts, size))
        # What has a low score counts where a track goes on with it, as in the whole clip.
        self._tracks = Tracks(route.video_options, facts.threshold, *size, facts.thresholds)
        self.waits = 0

    def write(self, detections: Detections) -> None:
        """Takes the predictions for a frame of the part."""
        self.waits += 1
        self._written(self._held.update(detections.pts_s, detections.pts_s, self._shown(detections)))

    def beside(self, frame: Frame) -> bool:
        """Takes a frame before or after the part; whether frames of the part wait for more."""
        if self._detector.blurs_made:
            self._written(self._held.update(None, frame.pts_s, self._shown(self._detector.alone(frame))))
        return self.waits > 0

    def rest(self) -> None:
        """No more frames come."""
        self._written(self._held.rest())

    def _shown(self, found: Detections) -> Shown:
        tracked = self._detector.facts.tracked
        objects = None if tracked is None or not self._detector.blurs_made else found.steps[tracked]
        if not isinstance(objects, Objects):
            return Shown(found.steps)
        assert tracked is not None
        shown = self._tracks.update(found.pts_s, objects, found.embeddings, found.warp)
        return Shown({**found.steps, tracked: shown})

    def _written(self, ready: Iterable[tuple[float | None, Shown]]) -> None:
        for pts_s, shown in ready:
            if pts_s is not None:
                self.waits -= 1
                self._videos.write(pts_s, made_pictures(shown.steps, self._blur, self._size))
