"""What the streams of an Ogg file are, by their first pages (RFC 3533: those of all streams come before all others)."""

from __future__ import annotations

# What the first packet of a stream begins with; the last of each is of OGM, from before there were rules.
_VIDEOS = (b"\x80theora", b"OVP80", b"BBCD", b"\x01video\0")
_SOUNDS = {
    b"\x01vorbis": "Vorbis", b"OpusHead": "Opus", b"\x7fFLAC": "FLAC", b"Speex": "Speex", b"\x01audio": "OGM",
}  # fmt: skip


def _streams(head: bytes) -> list[bytes]:
    at, found = 0, []
    while head[at : at + 4] == b"OggS" and len(head) > at + 27 and head[at + 5] & 2:
        start = at + 27 + head[at + 26]
        found.append(head[start : start + 8])
        at = start + sum(head[at + 27 : start])
    return found


def is_ogg_video(head: bytes) -> bool:
    """Whether one of its streams is a video."""
    return any(stream.startswith(_VIDEOS) for stream in _streams(head))


def ogg_sound(head: bytes) -> str | None:
    """The name of its sound ("Vorbis"); None where no known sound is in it."""
    return next(
        (name for stream in _streams(head) for start, name in _SOUNDS.items() if stream.startswith(start)), None
    )
