"""The pictures that are kept of a video: poster, thumbnails, the best sights of tracks, the heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from inference.draw.artifacts import jpeg
from inference.draw.crops import MOST_CROPS, Box, area_of, crop_of
from inference.draw.heat import heat_picture
from inference.draw.privacy import Redaction
from inference.predictions import Floats, Predictions
from inference.routes import Draw
from inference.video.frames import Frame, Pixels
from inference.video.sights import Sights, crop_name, sights_in
from inference.video.summary import Summary

THUMBNAIL_WIDTH = 320
CROP_SIDE = 1024  # of the longer side of a track's picture, where the route says nothing
_BETTER = 1.05  # by as much a frame has more to see than the poster so far: each is drawn, and made into a file
POSTER, HEAT = "poster.jpg", "heat.jpg"


class Choice:
    """Which frames become the poster (the frame with most to see) and thumbnails, evenly over an unknown length.

    When there are twice as many thumbnails as requested, every other is dropped and the step doubles. crops: labels
    whose tracks are saved as pictures.
    """

    def __init__(self, requested: int, crops: Sequence[str] = ()) -> None:
        self._requested = requested
        self.sights = Sights(crops)
        self._step = 1
        self._seen = 0
        self._most = -1.0
        self.thumbnails: list[int] = []
        self.poster: int | None = None

    def take(self, index: int, scores: Floats, steps: Mapping[str, Predictions]) -> None:
        """One frame, the scores (N,) of the things on it, and its predictions."""
        self.sights.take(index, steps)
        # Squared: one thing that is sure is more to see than two guesses.
        seen = float(np.square(scores, dtype=np.float64).sum())
        if seen > _BETTER * self._most:
            self._most, self.poster = seen, index
        if self._requested and self._seen % self._step == 0:
            self.thumbnails.append(index)
            if len(self.thumbnails) >= 2 * self._requested:
                self.thumbnails = self.thumbnails[::2]
                self._step *= 2
        self._seen += 1

    def sight(self, track: int) -> int | None:
        """The frame of which the track is saved, so far; None where it is not."""
        return self.sights.frame(track)


@dataclass(frozen=True)
class Cut:
    """A track's part of a frame, at most as long as its picture, with nothing unrecognisable yet; area: where it was,
    xyxy in pixels of the frame."""

    image: Image.Image
    area: Box


Cuts = Mapping[int, Cut]  # by track


class Stills:
    """The pictures that are kept of frames: poster and thumbnails, drawn; best sights of tracks, and what the heat map
    is painted over, with what must be unrecognisable blurred there, too."""

    def __init__(self, draw: Draw, heat: bool = False) -> None:
        """heat: whether there is a heat map. It is painted over the poster's frame, without its drawings."""
        self._draw, self._heat = draw, heat
        self._crops: dict[int, tuple[int, bytes]] = {}  # by track, of which frame
        self._poster: tuple[int, bytes] | None = None
        self._thumbnails: dict[int, bytes] = {}
        self._coming: Frame | None = None  # the poster's, as it was cut
        self._ground: tuple[Frame, Mapping[str, Predictions]] | None = None

    def wants(self, frame: Frame, choice: Choice | Summary) -> bool:
        """Whether the frame has to be drawn for a still."""
        return (self._draw.annotated and frame.index == choice.poster) or frame.index in choice.thumbnails

    def cut(self, frame: Frame, steps: Mapping[str, Predictions], choice: Choice | Summary) -> Cuts:
        """What the stills need of a frame's own pixels, which then may be scaled down until it is taken."""
        if self._heat and frame.index == choice.poster:
            self._coming = frame
        seen = sights_in(steps, self._draw.crops)
        best = {track: box for track, (_, box) in seen.items() if choice.sight(track) == frame.index}
        if not best:
            return {}
        image, side = Image.fromarray(frame.pixels), self._draw.longest_side or CROP_SIDE
        return {track: Cut(crop_of(image, box, side), area_of(image.size, box)) for track, box in best.items()}

    def take(
        self,
        frame: Frame,
        steps: Mapping[str, Predictions],
        picture: Pixels | None,
        choice: Choice | Summary,
        cuts: Cuts,
    ) -> None:
        """A frame, what is shown of it, the picture with that on it, and what was cut of it. `choice` may still change:
        what it takes back is left out at last."""
        coming = self._coming  # which the thread that cuts may replace
        if coming is not None and coming.index == frame.index == choice.poster:
            self._ground = coming, steps
        self._take_crops(frame.index, steps, choice, cuts)
        if picture is None:
            return
        if self._draw.annotated and frame.index == choice.poster:
            self._poster = frame.index, jpeg(Image.fromarray(picture), quality=self._draw.quality)
        if frame.index in choice.thumbnails:
            image = Image.fromarray(picture)
            image.thumbnail((THUMBNAIL_WIDTH, THUMBNAIL_WIDTH), reducing_gap=2.0)
            self._thumbnails[frame.index] = jpeg(image, quality=self._draw.quality)

    def _take_crops(self, index: int, steps: Mapping[str, Predictions], choice: Choice | Summary, cuts: Cuts) -> None:
        """The tracks whose best sight, so far, is in this frame."""
        for track, cut in cuts.items():
            if choice.sight(track) == index:
                redaction = Redaction(list(steps.items()), self._draw.blur, cut.image.size)
                part = redaction.part(cut.image, cut.area)
                self._crops[track] = index, jpeg(part, quality=self._draw.quality)
        if len(self._crops) > 2 * MOST_CROPS:
            self._crops = {t: kept for t, kept in self._crops.items() if choice.sight(t) is not None}

    def files(self, summary: Summary) -> dict[str, bytes]:
        """By name: poster.jpg, thumbnails/000.jpg ..., crops/track-1.jpg ..., heat.jpg; those whose frames were among
        the ones taken."""
        kept = self._thumbnails
        chosen = enumerate(summary.thumbnails)
        files = {f"thumbnails/{number:03}.jpg": kept[index] for number, index in chosen if index in kept}
        crops = self._crops.items()
        files |= {crop_name(track): data for track, (index, data) in crops if summary.sight(track) == index}
        if self._poster is not None and self._poster[0] == summary.poster:
            files[POSTER] = self._poster[1]
        if summary.heat is not None and self._ground is not None and self._ground[0].index == summary.poster:
            frame, steps = self._ground
            image = Image.fromarray(frame.pixels)
            ground = Redaction(list(steps.items()), self._draw.blur, image.size).picture(image)
            if side := int(self._draw.longest_side or 0):
                ground.thumbnail((side, side))
            files[HEAT] = jpeg(heat_picture(summary.heat, ground), quality=self._draw.quality)
        return files
