"""ICC profiles (ICC.1:2001-04) made by hand, as the tests want them."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Mapping, Sequence

# XYZ of red, green, blue under D50, as Adobe and Apple publish them in their profiles.
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def icc(space: str, tags: Mapping[str, bytes], pcs: str = "XYZ ", kind: str = "mntr") -> bytes:
    """A profile of these tags. space: "RGB ", "GRAY", "CMYK"."""
    body, table = b"", struct.pack(">I", len(tags))
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name.encode(), 132 + 12 * len(tags) + len(body), len(content))
        body += content
    head = struct.pack(">I4sI", 128 + len(table) + len(body), b"", 0x02400000)
    head += (kind + space + pcs).encode() + bytes(12) + b"acsp" + bytes(28) + xyz(0.9642, 1, 0.8249)[8:]
    return head.ljust(128, b"\0") + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def curve(function: Callable[[float], float]) -> bytes:
    """A table of 1,024 points of a function from 0..1 to 0..1."""
    return b"curv" + bytes(4) + struct.pack(">I1024H", 1024, *(round(function(i / 1023) * 65535) for i in range(1024)))


def srgb_curve(v: float) -> float:
    return float(v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4)


def rgb_profile(primaries: Sequence[Sequence[float]], function: Callable[[float], float]) -> bytes:
    names = zip(("rXYZ", "gXYZ", "bXYZ"), primaries, strict=True)
    tags = {"wtpt": xyz(0.9642, 1, 0.8249), **{name: xyz(*values) for name, values in names}}
    return icc("RGB ", tags | dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve(function)))


def grey_profile(function: Callable[[float], float]) -> bytes:
    return icc("GRAY", {"wtpt": xyz(0.9642, 1, 0.8249), "kTRC": curve(function)})


def ink_profile(lab: Callable[[int, int, int, int], tuple[float, float, float]]) -> bytes:
    """A printer's profile: a table (lut8) of the L*a*b* of inks over each other. c, m, y, k: 0 none, 1 full."""
    identity = bytes(range(256))
    points = b"".join(
        bytes((round(light * 2.55), round(a) + 128, round(b) + 128))
        for light, a, b in itertools.starmap(lab, itertools.product((0, 1), repeat=4))
    )
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + identity * 4 + points + identity * 3
    return icc("CMYK", {"wtpt": xyz(0.9642, 1, 0.8249), "A2B0": lut}, "Lab ", "prtr")
