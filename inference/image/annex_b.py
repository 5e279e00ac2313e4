"""Streams of H.264 and H.265 without a container, by their first units (ITU-T H.264 and H.265, annex B)."""

from __future__ import annotations

import re

_START = re.compile(rb"\0\0\x01(?=(..))", re.DOTALL)
# Profiles of H.264 (profile_idc).
_PROFILES = (66, 77, 88, 100, 110, 122, 144, 244, 44, 118, 128, 138, 139, 134, 135, 83, 86)
_AUD, _SEI, _SPS, _PPS = 9, 6, 7, 8
_VPS_5, _SPS_5, _PPS_5, _AUD_5, _SEI_5 = 32, 33, 34, 35, 39


def _units(head: bytes) -> list[bytes]:
    """The first two bytes of every unit, where a start code is what the file begins with."""
    if head[:2] != b"\0\0" or not head.lstrip(b"\0").startswith(b"\x01"):
        return []
    return [match[1] for match in _START.finditer(head)]


def is_h264(head: bytes) -> bool:
    """Whether it begins with a delimiter, SEI or parameters: of the sequence, of a known profile, then of a picture."""
    units = _units(head)
    kinds = [first & 31 for first, _ in units]
    if _SPS not in kinds or any(first >> 7 for first, _ in units):
        return False
    at = kinds.index(_SPS)
    known = {_AUD, _SEI} >= {*kinds[:at]} and units[at][0] & 0x60 != 0 and units[at][1] in _PROFILES
    return known and _PPS in kinds[at:]


def is_h265(head: bytes) -> bool:
    """Whether it begins with a delimiter, SEI or parameters of the base layer: of the sequence and of a picture."""
    units = _units(head)
    kinds = [first >> 1 for first, second in units if first < 128 and second == 1]
    begins = bool(kinds) and kinds[0] in (_VPS_5, _SPS_5, _AUD_5, _SEI_5) and len(kinds) * 4 >= len(units) * 3
    return begins and {_SPS_5, _PPS_5} <= {*kinds}
