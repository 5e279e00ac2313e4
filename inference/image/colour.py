"""What the numbers of a picture mean as colours: ICC profiles and their short forms, brought to sRGB.

Colours are converted as browsers do: by the perceptual table where a profile has one, relative to the white, with the
black point compensated (littlecms, through Pillow). High dynamic range (PQ, HLG) is mapped by a table
of colours, as that of videos is.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageFilter

from inference.image.tone_map import HDR, WIDE, Coding, table

ToSrgb = Callable[[Pillow.Image], Pillow.Image]

# Nobody's camera or printer needs more, and what lcms does with it takes time.
MAX_PROFILE = 2**20
# By this much, of 255, may a profile's colours differ from sRGB's and still count as the same.
_SAME = 3
# By this much, of 255, must a light grey be lighter than a dark one.
_CONTRAST = 32
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # ICC's names of colour spaces, Pillow's modes
# x, y of white, red, green, blue.
_SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
# ITU-T H.273: primaries as x, y of red, green, blue; the white of all of them is sRGB's.
_PRIMARIES = {1: _SRGB[2:], 9: WIDE[9], 12: WIDE[12]}
_GAMMAS = {1: None, 2: None, 6: None, 13: None, 14: None, 15: None, 4: 2.2, 5: 2.8, 8: 1.0}  # None: sRGB's curve


def to_srgb(info: Mapping[Any, Any], mode: str, notes: list[str]) -> ToSrgb | None:
    """What brings pictures of this mode (RGB, L, CMYK) to sRGB, as 8-bit RGB without a profile of their own; None
    where they are sRGB already, or nothing says what they are.

    info: Pillow's of the file, with "cicp" and "nclx_profile". May be called for a picture of any size, from several
    threads. A profile that cannot be used is ignored, and `notes` says so.
    """
    if (coding := _high_dynamic_range(info)) is not None:
        notes.append(coding.words())
        return partial(_mapped, coding)
    profile = _profile(info, notes)
    if not profile:
        return None
    convert, problem = _conversion(profile, mode)
    if problem:
        notes.append(f"its colour profile was ignored ({problem}): colours may be off")
    return convert


def _high_dynamic_range(info: Mapping[Any, Any]) -> Coding | None:
    code = info.get("cicp")
    if not code and not info.get("icc_profile") and (nclx := info.get("nclx_profile")):
        code = nclx["color_primaries"], nclx["transfer_characteristics"]
    if not code or code[1] not in HDR:
        return None
    return Coding(code[1], 9 if code[0] in (0, 2) else code[0])


def _mapped(coding: Coding, image: Pillow.Image) -> Pillow.Image:
    out = (image if image.mode == "RGB" else image.convert("RGB")).filter(_filter(coding))
    out.info = {}
    return out


@lru_cache(maxsize=4)
def _filter(coding: Coding) -> ImageFilter.Color3DLUT:
    colours = table(coding)
    values = colours.clip(0, 1).transpose(2, 1, 0, 3).astype(np.float32)  # red changes fastest
    return ImageFilter.Color3DLUT(len(colours), values.ravel())


def _profile(info: Mapping[Any, Any], notes: list[str]) -> bytes | None:
    """The profile that counts: PNG's cICP before ICC, and that before sRGB, gAMA and cHRM (PNG, 4.3)."""
    icc = info.get("icc_profile")
    if coded := info.get("cicp"):
        return _of_code(coded)
    if icc:
        return bytes(icc)
    if "icc_profile" in info:
        notes.append("its colour profile was ignored (damaged): colours may be off")
    if nclx := info.get("nclx_profile"):  # of HEIF, where there is no ICC profile
        return _of_code((nclx["color_primaries"], nclx["transfer_characteristics"]))
    if "srgb" in info or not ("gamma" in info or "chromaticity" in info):
        return None
    gamma, points = info.get("gamma"), info.get("chromaticity")
    curve = None if gamma is None or abs(gamma - 1 / 2.2) < 0.01 else 1 / gamma if 0.1 < gamma < 10 else None
    return _matrix_profile(tuple(points or _SRGB), curve)


def _of_code(code: tuple[int, int]) -> bytes | None:
    primaries, transfer = code
    if primaries in _PRIMARIES and transfer in _GAMMAS:
        return _matrix_profile((*_SRGB[:2], *_PRIMARIES[primaries]), _GAMMAS[transfer])
    return None


@lru_cache(maxsize=16)
def _conversion(profile: bytes, mode: str) -> tuple[ToSrgb | None, str]:
    """(conversion or None, why the profile cannot be used or "")."""
    if len(profile) > MAX_PROFILE:
        return None, f"it has {len(profile):,} bytes, more than {MAX_PROFILE:,}"
    from PIL import ImageCms  # lazily: most pictures have no profile

    try:
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        own = _SPACES.get(space, "")
        if own != mode and (own, mode) != ("RGB", "L"):  # grey that an RGB profile describes is R = G = B
            return None, f"it is for {space if space.isalnum() and space.isascii() else 'unknown'} colours"
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        transform = ImageCms.buildTransform(source, srgb, own, "RGB", ImageCms.Intent.PERCEPTUAL, flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        return None, f"damaged: {error}"[:60]

    def convert(image: Pillow.Image) -> Pillow.Image:
        out = transform.apply(image if image.mode == own else image.convert(own))
        out.info = {}  # the profile of sRGB, which would be written with whatever is saved of it
        return out

    before, after = _shown(convert, own)
    if int(after[0].sum()) - int(after[1].sum()) < 3 * _CONTRAST:
        return None, "damaged: its light is not lighter than its dark"
    same = own != "CMYK" and np.abs(after - before).max() <= _SAME
    return None if same else convert, ""


def _shown(convert: ToSrgb, mode: str) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Colours (N, 3) before and after a conversion: a light and a dark grey, all greys, and 9 x 9 x 9 others."""
    if mode == "CMYK":
        probe = Pillow.fromarray(np.array([[[0] * 4, [255] * 4]], np.uint8), "CMYK")
    else:
        ramp = np.concatenate([[192, 64], np.arange(256)]).astype(np.uint8)
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
        rgb = np.concatenate([np.repeat(ramp[:, None], 3, axis=1), colours])
        probe = Pillow.fromarray(ramp[None] if mode == "L" else rgb[None])
    return np.asarray(probe.convert("RGB"), np.int16)[0], np.asarray(convert(probe), np.int16)[0]


def _matrix_profile(points: Sequence[float], gamma: float | None) -> bytes:
    """An ICC profile (4.3) of primaries and a curve. points: x, y of white, red, green, blue; gamma None: sRGB's curve.

    Empty, which is no profile, where they are sRGB's, or no colours have such primaries.
    """
    if gamma is None and np.allclose(points, _SRGB, atol=0.002):
        return b""
    try:
        columns = _adapted(points)
    except (np.linalg.LinAlgError, ZeroDivisionError, ValueError):
        return b""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))

    curve = b"para" + bytes(4) + (struct.pack(">HH", 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
                                  if gamma is None else struct.pack(">HH", 0, 0) + fixed(gamma))  # fmt: skip
    white = b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)
    tags = {b"wtpt": white, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    tags |= {n: b"XYZ " + bytes(4) + fixed(*c) for n, c in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, 128 + 4 + 12 * len(tags) + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", 132 + 12 * len(tags) + len(body), bytes(4), 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + body


def _adapted(points: Sequence[float]) -> list[list[float]]:
    """XYZ of the primaries under D50 (Bradford, as ICC asks), red, green, blue, whose sum is the white."""
    xy = np.asarray(points, float).reshape(4, 2)
    if not (xy[:, 1] > 0).all():
        raise ValueError("a primary without luminance")
    xyz: NDArray[np.float64] = np.column_stack([xy, 1 - xy.sum(axis=1)]) / xy[:, 1:]
    white, primaries = xyz[0], xyz[1:].T
    primaries = primaries * np.linalg.solve(primaries, white)
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    cone = (bradford @ (0.9642, 1.0, 0.8249)) / (bradford @ white)
    adapted = np.linalg.inv(bradford) @ np.diag(cone) @ bradford @ primaries
    if np.abs(adapted).max() > 100:
        raise ValueError("primaries that no display has")
    columns: list[list[float]] = adapted.T.tolist()
    return columns
