"""The caps on a picture, checked before anything of it is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from inference.errors import CorruptMedia, LimitExceeded
from inference.machine import memory_limit


@dataclass(frozen=True)
class Limits:
    """The largest picture that is accepted.

    bytes: of the file. pixels, side: of the picture. memory: bytes that decoding it may take, all copies counted.
    seconds: that all of its analysis may take; the setting PICTURE_SECONDS.
    """

    bytes: int = 100 * 2**20
    pixels: int = 120_000_000
    side: int = 32_768
    memory: int = field(default_factory=lambda: memory_limit() // 2)
    seconds: float = 120.0


DEFAULT_LIMITS = Limits()


def read_bytes(path: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The content of a file, refused before reading when it is over the limit. Raises LimitExceeded, OSError."""
    check_bytes(path.stat().st_size, limits)
    with path.open("rb") as file:
        return file.read(limits.bytes + 1)


def check_bytes(size: int, limits: Limits) -> None:
    """Raises LimitExceeded for a file of more bytes than the limit."""
    if size > limits.bytes:
        raise LimitExceeded(
            f"the file has {size:,} bytes, more than the limit of {limits.bytes:,}; "
            "send a smaller file or raise the limit on bytes"
        )


def check_count(found: int, allowed: int, what: str) -> None:
    """Raises LimitExceeded for more parts of a file than any picture needs: each costs time, however little it says."""
    if found > allowed:
        raise LimitExceeded(f"the file has at least {found:,} {what}; allowed are {allowed:,}: save the picture again")


def check_size(width: int, height: int, limits: Limits, memory_a_pixel: int = 10) -> None:
    """Raises LimitExceeded for a picture with too many pixels, CorruptMedia for a picture without any.

    memory_a_pixel: bytes, all copies counted. Pillow keeps 4, conversion and numpy make two more copies of 3.
    """
    pixels = width * height
    if pixels <= 0:
        raise CorruptMedia(f"the header says {width} x {height} pixels; export or upload the file again")
    if max(width, height) > limits.side or pixels > limits.pixels:
        raise LimitExceeded(
            f"the picture is {width} x {height} ({pixels / 1e6:.0f} megapixels); allowed are "
            f"{limits.pixels / 1e6:.0f} megapixels and {limits.side:,} pixels a side: scale it down first"
        )
    check_memory(width, height, pixels * memory_a_pixel, limits)


def check_memory(width: int, height: int, memory: int, limits: Limits) -> None:
    """Raises LimitExceeded where decoding a picture takes more bytes of memory than the limit."""
    if memory > limits.memory:
        raise LimitExceeded(
            f"decoding {width} x {height} pixels takes about {memory / 2**20:.0f} MiB; "
            f"this process may use {limits.memory / 2**20:.0f} MiB: scale it down or give it more memory"
        )
