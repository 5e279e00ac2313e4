"""Streams of H.264 and H.265 without a container, by their first units (ITU-T H.264 and H.265, annex B)."""

from __future__ import annotations

import re

_START = re.compile(rb"\0\0\x01(?=(...))", re.DOTALL)
# Profiles of H.264 (profile_idc).
_PROFILES = (66, 77, 88, 100, 110, 122, 144, 244, 44, 118, 128, 138, 139, 134, 135, 83, 86)
_AUD, _SEI, _SPS, _PPS = 9, 6, 7, 8
# Slices of pictures, and how the first of one begins: its first block, its type, and the first parameters, in codes of
# Exp-Golomb (7.3.3).
_SLICES = (1, 5)
_FIRST_SLICE = re.compile("1(?:1|01[01]|001[01]{2}|0001(?:00[01]|010))1")
_VPS_5, _SPS_5, _PPS_5, _AUD_5, _SEI_5 = 32, 33, 34, 35, 39
_SLICES_5 = (*range(10), *range(16, 22))


def _units(head: bytes) -> list[bytes]:
    """The first three bytes of every unit, where a start code is what the file begins with."""
    if head[:2] != b"\0\0" or not head.lstrip(b"\0").startswith(b"\x01"):
        return []
    return [match[1] for match in _START.finditer(head)]


def _begins(head: bytes, kinds: list[int], before: set[int]) -> int:
    """The kind of the first unit that is none of those that come before all others in a picture; -1 where it is not
    clear that a picture begins there, as a stream does and other files hardly do."""
    return next((kind for kind in kinds if kind not in before), -1) if head.startswith(b"\0\0\0\x01") else -1


def is_h264(head: bytes) -> bool:
    """Whether it begins with a delimiter, SEI or parameters: of the sequence, of a known profile, then of a picture; or
    with a picture, as the later files of a recorder do."""
    units = _units(head)
    kinds = [first & 31 for first, *_ in units]
    if any(first >> 7 for first, *_ in units):
        return False
    if (kind := _begins(head, kinds, {_AUD, _SEI})) in _SLICES:
        first, *header = units[kinds.index(kind)]
        referred = first & 0x60 != 0 or kinds[0] != kind  # else too many other files begin so
        return referred and _FIRST_SLICE.match("{:08b}{:08b}".format(*header)) is not None
    if _SPS not in kinds:
        return False
    at = kinds.index(_SPS)
    known = {_AUD, _SEI} >= {*kinds[:at]} and units[at][0] & 0x60 != 0 and units[at][1] in _PROFILES
    return known and _PPS in kinds[at:]


def is_h265(head: bytes) -> bool:
    """Whether it begins with a delimiter, SEI or parameters of the base layer: of the sequence and of a picture; or
    with a picture."""
    units = _units(head)
    of_base = [unit for unit in units if unit[0] < 128 and unit[1] == 1]
    kinds = [first >> 1 for first, *_ in of_base]
    if not kinds or len(kinds) * 4 < len(units) * 3:
        return False
    if (kind := _begins(head, kinds, {_AUD_5, _SEI_5})) in _SLICES_5:
        return of_base[kinds.index(kind)][2] > 127  # the first slice of its picture
    return kinds[0] in (_VPS_5, _SPS_5, _AUD_5, _SEI_5) and {_SPS_5, _PPS_5} <= {*kinds}
