"""Line ends that a transfer as text (FTP, mail, a file opened as text) changed in a compressed picture.

In coded pixels every value of a byte is about as frequent as any other, line feeds and returns as well. Decoders of
HEVC, AV1, VP8 and JPEG often go on behind the first changed byte, and give other pixels.
"""

from __future__ import annotations

import numpy as np

from inference.errors import CorruptMedia

_WINDOW = 2048
_FEEDS = 8
# Flat pictures repeat few values: those of which fewer than this many occur say nothing.
_VALUES = 200
# Of so many bytes by chance, e**-32 of the files lack a given value.
_ENOUGH = 8192


def are_alike(data: bytes) -> bool:
    """Whether the middle of the file, where pixels are, has line feeds only, or none without a return: a cheap sign."""
    middle = data[max(0, len(data) // 2 - _WINDOW) : len(data) // 2 + _WINDOW]
    feeds = middle.count(b"\n")
    return feeds >= 6 and (b"\r" not in middle or feeds == middle.count(b"\r\n"))


def check(data: bytes, media_type: str) -> None:
    """Raise CorruptMedia where line ends were changed beyond doubt: each feed has a return before it, or returns are
    the only value that never occurs. data: with line ends that `are_alike`."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    values, feeds, returns = int((counts > 0).sum()), int(counts[10]), int(counts[13])
    doubled = _FEEDS <= feeds == data.count(b"\r\n") < returns and values >= _VALUES
    if doubled or (values == 255 and not returns and len(data) >= _ENOUGH):
        raise changed(media_type)


def changed(media_type: str) -> CorruptMedia:
    """What such a file is refused with."""
    from inference.image.other_kinds import BINARY  # lazily: most pictures are whole

    return CorruptMedia(f"the {media_type} file's line ends were changed on the way: {BINARY}")
