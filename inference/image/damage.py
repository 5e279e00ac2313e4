"""Damage is damage, intact is intact: what decoders let pass, and what they refuse although no pixel is missing."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from PIL import Image as Pillow


class File(Protocol):
    """A file that is about to be decoded."""

    @property
    def data(self) -> bytes:
        """What to give the decoder."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as it should be, and does not matter."""

    @property
    def at_once(self) -> bool:
        """Whether the decoder must have all of the data in one piece."""

    def check(self, image: Pillow.Image) -> None:
        """Raise CorruptMedia where pixels of the decoded first picture are missing or made up."""

    def without_metadata(self) -> File:
        """The file for a second try, where its header cannot be read."""


class _AsItIs(NamedTuple):
    data: bytes
    media_type: str
    notes: tuple[str, ...] = ()
    at_once: bool = False

    def check(self, image: Pillow.Image) -> None:
        from inference.image import holes  # lazily, as below

        holes.check(self.data, self.media_type, image)

    def without_metadata(self) -> File:
        return self


def prepared(data: bytes, media_type: str) -> File:
    """The file without what would cost it although it holds no pixels. Raises CorruptMedia, UnsupportedMedia,
    LimitExceeded."""
    if media_type == "image/jpeg":
        from inference.image import jpeg_damage  # lazily: the first picture pays for every import

        return jpeg_damage.prepared(data)
    if media_type == "image/png":
        from inference.image import png_chunks

        return png_chunks.prepared(data)
    if media_type == "image/gif":
        from inference.image import gif_blocks

        data, notes = gif_blocks.without_texts(data)
        return _AsItIs(data, media_type, notes)
    return _AsItIs(data, media_type)
