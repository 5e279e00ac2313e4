"""What a file says of its samples and colours that Pillow does not pass on."""

from __future__ import annotations

import struct
from typing import Any


def said(data: bytes, media_type: str) -> dict[Any, Any]:
    """Of a PNG "significant_bits" (sBIT, the most of any channel) and "cicp" (cICP: colour primaries and transfer
    function by ITU-T H.273), of an AVIF "nclx_profile" as of pi_heif; what is not there is left out."""
    if media_type == "image/png":
        return _of_png(data)
    return _of_avif(data) if media_type == "image/avif" else {}


def _of_png(data: bytes) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    at = 8
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            break
        body = data[at + 8 : at + 8 + min(size, 4)]
        if name == b"sBIT" and body:
            found["significant_bits"] = max(body)
        elif name == b"cICP" and len(body) == 4:
            found["cicp"] = (body[0], body[1])
        at += 12 + size
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
