"""Samples of more than 8 bits as 8 bits: by which scale, and what of it is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# What esri and GDAL write where nothing was measured, in files that do not say so.
_FLOAT_LIMIT = 3.4e38
_SAMPLED = 1 << 18
# Of 1,000 values this many may lie far outside (hot pixels) before they count.
_OUTLIERS = 1
# Colours are stretched from 0, unless their lowest value is this share of the highest.
_HAZE = 0.75


class Scale(NamedTuple):
    """What a file says of its numbers.

    full: its depth, as the largest number of its type, where that is not the dtype's. stated: (lowest, highest) that
    it says there are. nodata: the number of places without a measurement. white_is_zero: 0 is white.
    """

    full: float | None = None
    stated: tuple[float, float] | None = None
    nodata: float | None = None
    white_is_zero: bool = False


def to_8_bits(values: NDArray[Any], scale: Scale, notes: list[str]) -> NDArray[np.uint8]:
    """Numbers of any kind, (H, W) or (H, W, 3), as 0..255, all channels by the same scale.

    A picture that uses a good part of its type's range keeps its exposure. One that uses little of it (12 bits in 16,
    thermal cameras) is stretched, and `notes` says so. Nodata, NaN and infinity are black and do not count.
    """
    void = _void(values, scale.nodata)
    if void is not None:
        notes.append(f"{void.mean():.1%} of the pixels hold no measurement (nodata, NaN, infinity): painted black")
    elif (unsaid := None if scale.white_is_zero or values.ndim == 3 else _unsaid_nodata(values)) is not None:
        void = values == unsaid
        notes.append(
            f"{void.mean():.1%} of the pixels are {unsaid:.6g}, far below all others: taken for no measurement"
        )
    known = values if void is None else values[~void]
    if not known.size:
        return np.zeros(values.shape, np.uint8)
    low, high = _range(known.ravel(), scale, notes)
    if values.ndim == 3 and 0 < low < high * _HAZE:
        low = 0  # or colours would change with it
    if values.dtype.kind == "f" and void is not None:
        values = np.where(void if values.ndim == 2 else void[:, :, None], np.float32(0), values)
    table = values.dtype == np.uint16
    out = _scaled(np.arange(1 << 16) if table else values, low, high)
    if table:
        out = out[values]
    if scale.white_is_zero:
        out = 255 - out
    if void is not None:
        out[void] = 0
    return out


def little_used(histogram: Sequence[int], nodata: float | None) -> bool:
    """Whether the high bytes of 16-bit samples (how many there are of each, 256 or a multiple) say that the samples
    use little of their range, as `to_8_bits` takes it."""
    counts = np.asarray(histogram).reshape(-1, 256).sum(axis=0)
    if nodata is not None and 0 <= nodata < 1 << 16:
        counts[int(nodata) >> 8] = 0
    within = np.cumsum(counts)
    out = within[-1] * _OUTLIERS // 1000
    low, high = np.searchsorted(within, out, side="right"), np.searchsorted(within, within[-1] - out)
    return bool(high < 64 or high - low < 16)


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    # Halves: the difference of the largest floats is none.
    span = high / 2 - low / 2
    if not span:
        return np.full(values.shape, 128, np.uint8)
    scaled = (values.astype(np.float32) / 2 - np.float32(low / 2)) * np.float32(255 / span)
    return scaled.clip(0, 255).round().astype(np.uint8)


def _void(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    """(H, W) where nothing was measured; None where that is nowhere."""
    if nodata is None and values.dtype.kind != "f":
        return None
    void: NDArray[np.bool_] = np.zeros(values.shape, bool)
    if values.dtype.kind == "f":
        void |= ~(np.abs(values) < _FLOAT_LIMIT)  # NaN, too
    if nodata is not None:
        void |= values == (np.float32(nodata) if values.dtype == np.float32 else nodata)
    if void.ndim == 3:
        void = np.asarray(void.all(axis=2))
    return void if void.any() else None


def _unsaid_nodata(values: NDArray[Any]) -> float | None:
    """The lowest value, where it lies far below all others, as -9999 does below temperatures, and many pixels have it.
    They are black in any case; what counts is that the others are not stretched down to it."""
    sample = _sampled(values.ravel()).astype(np.float64)
    others = sample[sample > sample[0]]
    gone = 1 - len(others) / len(sample)
    if not 0.001 < gone < 0.5 or len(np.unique(others)) < 16:
        return None
    away, span = others[0] - sample[0], others[-1 - len(others) // 1000] - others[0]
    return values.dtype.type(sample[0]) if away > 4 * span else None


def _sampled(values: NDArray[Any]) -> NDArray[Any]:
    """Sorted, every n-th of very many."""
    return np.sort(values[:: -(-values.size // _SAMPLED)])


def _range(known: NDArray[Any], scale: Scale, notes: list[str]) -> tuple[float, float]:
    """(what becomes 0, what becomes 255)."""
    low, high, usual_low, usual_high = _spread(known)
    if scale.stated and scale.stated[0] <= usual_low and usual_high <= scale.stated[1]:
        full = _full(known.dtype, scale.full, 0, scale.stated[1])
        if scale.stated != (0, full):
            notes.append(f"values from {_said(scale.stated)} are scaled to 8 bits: the file's own range")
            return scale.stated
    full = _full(known.dtype, scale.full, usual_low, usual_high)
    if usual_low == usual_high and low == high:  # a single value: there is no scale to read it by
        return (0, full) if full else (low, high)
    if full and usual_high >= full / 4 and usual_high - usual_low >= full / 16:
        if full == 255 and known.dtype.kind == "u" and not scale.full:
            notes.append("values of more than 8 bits that all fit into 8 are read as 0 to 255")
        return 0, full
    notes.append(f"values from {_said((low, high))} use little of their range: stretched to 8 bits"
                 if full else f"values from {_said((low, high))} have no known scale: stretched to 8 bits")  # fmt: skip
    return low, high


def _full(dtype: np.dtype[Any], said: float | None, low: float, high: float) -> float | None:
    """The white of the smallest usual scale that holds the values; None where none does."""
    if said:
        return said if low >= 0 and high <= said else None
    usual = (1, 255) if dtype.kind == "f" else [min(white, np.iinfo(dtype).max) for white in (255, 65535)]
    return next((float(white) for white in usual if low >= 0 and high <= white), None)


def _spread(known: NDArray[Any]) -> tuple[float, float, float, float]:
    """(low, high) to stretch between, and (low, high) without the outermost values.

    The outermost are left out of the first two only where they lie far from the others: hot pixels.
    """
    least, most = float(known.min()), float(known.max())
    sample = _sampled(known)
    out = len(sample) * _OUTLIERS // 1000
    usual_low, usual_high = float(sample[out]), float(sample[-1 - out])
    if usual_low == usual_high:
        return least, most, least, most
    near = (usual_high / 2 - usual_low / 2) / 4  # of halves, see above
    low = least if usual_low / 2 - least / 2 <= near else usual_low
    high = most if most / 2 - usual_high / 2 <= near else usual_high
    return low, high, usual_low, usual_high


def _said(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.6g} to {ends[1]:.6g}"
