"""The first picture of a clip, upright and square, without reading on."""

from __future__ import annotations

from contextlib import closing

from inference.errors import CorruptMedia
from inference.image.media import Picture
from inference.video.frames import Frame, Media, Sampling, VideoLimits
from inference.video.read import VideoReader


def first_frame(source: Media, limits: VideoLimits | None = None) -> Picture:
    """The clip's first picture. Raises UnsupportedMedia, CorruptMedia, LimitExceeded."""
    with closing(VideoReader(source, Sampling(), limits).shown()) as frames:
        for frame in frames:
            if isinstance(frame, Frame):
                return Picture.of(frame.pixels)
    raise CorruptMedia("no picture of this clip can be decoded; export it again")
