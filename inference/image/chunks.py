"""What a file says of its samples and colours that Pillow does not pass on."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from PIL import Image as Pillow


def said(image: Pillow.Image, data: bytes, media_type: str) -> dict[Any, Any]:
    """Of a PNG "significant_bits" (sBIT, the most of any channel) and "cicp" (cICP: colour primaries and transfer
    function by ITU-T H.273), of an AVIF "nclx_profile" as of pi_heif, "icc_profile" of a JPEG 2000 and of a JPEG that
    has it twice; what is not there is left out."""
    if media_type == "image/png":
        return _of_png(data)
    profile = None
    if media_type == "image/jp2":
        from inference.image.jpeg2000 import icc_profile  # lazily: few pictures are JPEG 2000

        profile = icc_profile(data)
    elif media_type == "image/jpeg" and image.info.get("icc_profile", b"") is None:
        profile = _repeated_profile(getattr(image, "applist", ()))
    if profile:
        return {"icc_profile": profile}
    return _of_avif(data) if media_type == "image/avif" else {}


def _repeated_profile(segments: Iterable[tuple[str, bytes]]) -> bytes | None:
    """The profile of a JPEG's APP2 segments, of which some are there twice (Pillow goes by how many there are); None
    where two of a number differ, or one is missing."""
    parts: dict[int, bytes] = {}
    for _, segment in segments:
        if (
            segment.startswith(b"ICC_PROFILE\0")
            and len(segment) > 14
            and parts.setdefault(segment[12], segment) != segment
        ):
            return None
    counts = {part[13] for part in parts.values()}
    if len(counts) != 1 or sorted(parts) != list(range(1, counts.pop() + 1)):
        return None
    return b"".join(part[14:] for _, part in sorted(parts.items()))


def _of_png(data: bytes) -> dict[Any, Any]:
    from inference.image.png_chunks import chunks_of  # lazily: of a PNG it is loaded already

    found: dict[Any, Any] = {}
    for kind, start, end in chunks_of(data):
        if kind == b"IDAT":
            break
        body = data[start : min(end, start + 4)]
        if kind == b"sBIT" and body:
            found["significant_bits"] = max(body)
        elif kind == b"cICP" and len(body) == 4:
            found["cicp"] = (body[0], body[1])
    return found


def _of_avif(data: bytes) -> dict[Any, Any]:
    """By its colr boxes of kind nclx (ISO/IEC 14496-12, 12.1.5), where all that there are agree."""
    codes, at = set(), data.find(b"colrnclx")
    while at >= 4:
        if data[at - 4 : at] == b"\0\0\0\x13" and len(data) >= at + 12:
            codes.add(struct.unpack_from(">HH", data, at + 8))
        at = data.find(b"colrnclx", at + 8)
    if len(codes) != 1:
        return {}
    primaries, transfer = codes.pop()
    return {"nclx_profile": {"color_primaries": primaries, "transfer_characteristics": transfer}}
