"""High dynamic range and wide gamut as a screen of sRGB shows them: a table of colours, computed.

HLG and PQ (ITU-R BT.2100) are shown with their white at 203 cd/m2 (BT.2408) as the screen's white, colours of BT.2020
and P3 as those of BT.709 (ITU-T H.273). Colours that the screen has stay what they are; what is lighter than it can
show is rolled off, with its hue, and what is more saturated gets the next saturation of its own lightness.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Colours = NDArray[np.float64]

# Transfer characteristics and matrices of ITU-T H.273.
PQ, HLG = 16, 18
HDR = {PQ: "PQ", HLG: "HLG"}
YCGCO, ICTCP = 8, 14
# Primaries of H.273 that differ visibly from BT.709's: x, y of red, green, blue; the white is D65.
_BT709 = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
WIDE = {9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046), 11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)}
WIDE[12] = WIDE[11]
GAMUTS = {9: "BT.2020", 11: "P3", 12: "P3"}
_D65 = (0.3127, 0.3290)
# cd/m2 of a screen's white, and of HLG's peak at its nominal system gamma.
_WHITE, _HLG_PEAK, _HLG_GAMMA = 203.0, 1000.0, 1.2
# Screens show BT.709 by this exponent (BT.1886); from this signal on, highlights are rolled off.
_GAMMA, _KNEE = 2.4, 0.8
# Of a signal: a little over the full one, where a table's last point lies.
_MOST = 1.01
# What a BT.2100 constant-intensity picture is made of, by transfer; and LMS of linear BT.2020 colours.
_ICTCP = {
    PQ: np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096,
    HLG: np.array([[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]) / 4096,
}
_LMS = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096


class Coding(NamedTuple):
    """What 16-bit samples say: transfer characteristics and primaries of ITU-T H.273, of which those that need no
    table may be 0. white: the sample of a full signal.

    matrix YCGCO or ICTCP: the samples are Cr, Y and Cb in place of red, green and blue, in `full_range` or not.
    """

    transfer: int
    primaries: int
    matrix: int = 0
    full_range: bool = True
    white: int = 65535

    def words(self) -> str:
        """What is done with such colours."""
        gamut = GAMUTS.get(self.primaries, "BT.709")
        if self.transfer in HDR:
            return f"{HDR[self.transfer]}, {gamut}: mapped to SDR"
        return f"colours of {gamut}: mapped to BT.709"


@lru_cache(maxsize=8)
def table(coding: Coding, size: int = 49) -> Colours:
    """(size, size, size, 3) signals of BT.709, 0..1, by red, green and blue sample, red first.

    Linear parts may lie beyond 0..1, so that what is between their points is right: to be clipped by the reader.
    """
    grid = np.linspace(0, 1, size)
    samples = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1)
    if coding.matrix == ICTCP:
        light = _constant_intensity(_components(samples, coding.full_range), coding.transfer)
    else:
        signal = samples * 65535 / coding.white
        if coding.matrix == YCGCO:
            luma, green, orange = np.moveaxis(_components(samples, coding.full_range), -1, 0)
            signal = np.stack([luma - green + orange, luma + green, luma - green - orange], axis=-1)
        if coding.transfer not in HDR and coding.primaries not in WIDE:
            return signal
        light = _light(signal.clip(0, _MOST), coding.transfer)
    return _shown(light @ _to_bt709(coding.primaries).T, coding.transfer in HDR)


def _components(coded: Colours, full_range: bool) -> Colours:
    """Luma 0..1 and two differences -0.5..0.5, of Cr, Y, Cb as they are coded in 16 bits."""
    values = coded[..., [1, 2, 0]] * 65535 / 256
    if full_range:
        return (values - [0, 128, 128]) / 255  # within 0.4 % of any depth's own scale
    return (values - [16, 128, 128]) / [219, 224, 224]


def _light(signal: Colours, transfer: int) -> Colours:
    """Linear light of the display, 1 for the white of SDR, of signals 0..1."""
    if transfer == PQ:
        return _pq(signal) / _WHITE
    if transfer == HLG:
        return _hlg_shown(_hlg(signal)) / _WHITE
    return signal**_GAMMA


def _pq(signal: Colours) -> Colours:
    """SMPTE ST 2084: cd/m2."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal.clip(0, _MOST) ** (1 / m2)
    return np.asarray(10_000 * ((root - c1).clip(0) / (c2 - c3 * root)) ** (1 / m1))


def _hlg(signal: Colours) -> Colours:
    """Linear light of the scene, 0..1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = signal.clip(0, _MOST)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def _hlg_shown(scene: Colours) -> Colours:
    """cd/m2 on the nominal display.

    The system gamma works on each channel, as in FFmpeg's zscale, with which most converted clips are made: on
    luminance alone, as BT.2100 has it, those lose a sixth of their saturation.
    """
    return np.asarray(_HLG_PEAK * scene.clip(0) ** _HLG_GAMMA)


def _constant_intensity(components: Colours, transfer: int) -> Colours:
    signal = components @ np.linalg.inv(_ICTCP[transfer]).T
    to_rgb = np.linalg.inv(_LMS).T
    if transfer == PQ:
        return np.asarray(_pq(signal) / _WHITE @ to_rgb)
    return _hlg_shown(_hlg(signal) @ to_rgb) / _WHITE


def _shown(light: Colours, rolled_off: bool) -> Colours:
    """Signals of BT.709 for linear light in its primaries, in any amount."""
    grey = (light @ _weights(1))[..., None].clip(0)
    light = _towards(light, grey, light.min(axis=-1, keepdims=True), 0.0)
    if not rolled_off:
        light = _towards(light, grey.clip(0, 1), light.max(axis=-1, keepdims=True), 1.0)
        return np.asarray(light.clip(0, 1) ** (1 / _GAMMA))
    signal = light.clip(0) ** (1 / _GAMMA)
    most = signal.max(axis=-1, keepdims=True)
    over = ((most - _KNEE) / (1 - _KNEE)).clip(0)
    rolled = _KNEE + (1 - _KNEE) * over / np.sqrt(1 + over**2)  # of 255: 203 cd/m2 become 240, and 1,000 cd/m2 254
    return np.asarray(signal * np.where(over > 0, rolled / most.clip(_KNEE), 1.0))


def _towards(light: Colours, grey: Colours, extreme: Colours, limit: float) -> Colours:
    """Mixed with the grey of the same luminance until the extreme channel is within its limit."""
    beyond = (extreme < limit) if limit == 0 else (extreme > limit)
    span = np.where(beyond, grey - extreme, 1.0)
    share = np.where(beyond, (limit - extreme) / np.where(span == 0, 1.0, span), 0.0).clip(0, 1)
    return light + share * (grey - light)


def _xyz(primaries: tuple[float, ...]) -> Colours:
    """(3, 3) from linear RGB to XYZ, white at luminance 1."""
    xy = np.array([*primaries, *_D65]).reshape(4, 2)
    points = np.column_stack([xy, 1 - xy.sum(axis=1)]) / xy[:, 1:]
    return np.asarray(points[:3].T * np.linalg.solve(points[:3].T, points[3]))


def _to_bt709(primaries: int) -> Colours:
    if primaries not in WIDE:
        return np.eye(3)
    return np.asarray(np.linalg.solve(_xyz(_BT709), _xyz(WIDE[primaries])))


def _weights(primaries: int) -> Colours:
    """The luminance of red, green and blue."""
    return np.asarray(_xyz(WIDE.get(primaries, _BT709))[1])
