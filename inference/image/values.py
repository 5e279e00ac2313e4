"""What a pixel's value, 0..255, becomes in a network's input: as a float, or as one of its whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import BadModel
from inference.manifest import Preprocess
from inference.predictions import Floats

# What the whole numbers of an input may stand for where the manifest names no mean: each end within 5 % of the span.
_USUAL_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-128.0, 127.0))
# Scales of int8 with zero point 0 that TFLite's converter gives to -1..1; others may be the positive half of it.
_OF_MINUS_ONE_TO_ONE = (1 / 128, 1 / 127.5)
_PIXELS = np.arange(256, dtype=np.float64)


@dataclass(frozen=True)
class Quantization:
    """A whole number q stands for (q - zero_point) * scale (ONNX: QuantizeLinear, DequantizeLinear)."""

    scale: float
    zero_point: int

    def values(self, numbers: NDArray[Any]) -> Floats:
        """What the numbers stand for, float32."""
        shifted: Floats = (numbers.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)
        return shifted

    def range(self, dtype: np.dtype[Any]) -> tuple[float, float]:
        """The lowest and the highest value that a tensor of this type can hold."""
        limits = np.iinfo(dtype)
        return (limits.min - self.zero_point) * self.scale, (limits.max - self.zero_point) * self.scale


def affine(how: Preprocess, channels: int) -> tuple[Floats, Floats]:
    """(gain, bias) by channel: value * gain + bias is the rescaling and the normalisation together."""
    scale = how.rescale_factor if how.do_rescale else 1.0
    gain, bias = np.full(channels, scale), np.zeros(channels)
    if how.do_normalize:
        mean, std = (np.resize(np.asarray(v, float), channels) for v in (how.image_mean, how.image_std))
        gain, bias = gain / std, -mean / std
    return gain.astype(np.float32), bias.astype(np.float32)


def levels(
    name: str, dtype: np.dtype[Any], how: Preprocess, channels: int, file: Quantization | None
) -> NDArray[Any] | None:
    """What each pixel value becomes in an input of whole numbers, (channels, 256) of its type.

    None where floats are wanted, or the pixels as they are: bytes, and 32 and 64 bits, which hold 0..255. file: what
    the graph says that the numbers stand for. Raises BadModel where nothing decides, with the lines that do.
    """
    if dtype.kind not in "iuf" or dtype.kind == "u" and dtype.itemsize > 4:
        raise BadModel(
            f"input {name!r} is of a type that holds no picture ({dtype}); export it with float or byte input"
        )
    if dtype.kind == "f" or dtype.itemsize > 2:
        return None
    gain, bias = (v.astype(np.float64)[:, None] for v in affine(how, channels))
    stated = _PIXELS * gain + bias
    if dtype == np.uint8:
        return _quantized(stated, dtype, file) if file and how.do_normalize and _fits(stated, dtype, file) else None
    if file is None:
        return _by_type(name, dtype, how, stated)
    if _fits(stated, dtype, file) and (how.do_normalize or not _halved(stated, dtype, file)):
        return _quantized(stated, dtype, file)
    if not how.do_normalize and _usual(dtype, file):
        return _whole_range(dtype, channels)
    raise BadModel(_contradiction(name, dtype, stated, file))


def _by_type(name: str, dtype: np.dtype[Any], how: Preprocess, stated: Floats) -> NDArray[Any]:
    """Where the file does not say what its numbers stand for: pixel - 128 as int8, 0..65535 as uint16, or as stated."""
    limits = np.iinfo(dtype)
    if how.do_normalize:
        whole = np.rint(stated)
        if whole.min() >= limits.min and whole.max() <= limits.max and np.ptp(whole) >= 64:
            return whole.astype(dtype)
    # Whatever range all channels share, quantisation spreads it over all numbers of the type.
    if dtype != np.int16 and np.allclose(stated, stated[:1]):
        return _whole_range(dtype, len(stated))
    usual = "do_normalize = false gives pixel - 128" if dtype == np.int8 else "do_normalize = false gives 0..65535"
    if dtype == np.int16:
        usual = (
            "do_rescale = false, do_normalize = true, image_mean = [0] and image_std = [1] give 0..255, "
            "image_std = [0.00778] gives 0..32767"
        )
    raise BadModel(
        f"input {name!r} is {dtype}, and the file does not say what its numbers stand for: the manifest's "
        f"preprocessing gives {_shown(stated)}; {usual}, or export it with float input"
    )


def _whole_range(dtype: np.dtype[Any], channels: int) -> NDArray[Any]:
    """0..255 over all numbers of the type: pixel - 128 as int8, pixel * 257 as uint16."""
    limits = np.iinfo(dtype)
    numbers = limits.min + _PIXELS * ((int(limits.max) - int(limits.min)) / 255)
    return np.tile(np.rint(numbers).astype(dtype), (channels, 1))


def _quantized(stated: Floats, dtype: np.dtype[Any], file: Quantization) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    numbers: NDArray[Any] = np.rint(stated / file.scale + file.zero_point).clip(limits.min, limits.max).astype(dtype)
    return numbers


def _fits(stated: Floats, dtype: np.dtype[Any], file: Quantization) -> bool:
    """Whether the input can hold what the manifest's preprocessing gives, and was made for something of that size."""
    low, high = file.range(dtype)
    span = high - low
    inside = low - 0.15 * span <= stated.min() and stated.max() <= high + 0.15 * span
    return bool(inside and np.ptp(stated) >= 0.4 * span)


def _halved(stated: Floats, dtype: np.dtype[Any], file: Quantization) -> bool:
    """Whether 0..1 would fill only the upper half, so that -1..1 may be meant as well."""
    low, high = file.range(dtype)
    return bool(abs(low + high) < 0.05 * (high - low) and stated.min() >= 0)


def _usual(dtype: np.dtype[Any], file: Quantization) -> bool:
    """Whether the whole range of the type is one of the usual ranges of pixels, beyond doubt."""
    low, high = file.range(dtype)
    # Signed numbers around 0 are also how -1..1 is stored of which only 0..1 is used.
    symmetric = dtype.kind == "i" and file.zero_point == 0
    certain = not symmetric or any(abs(file.scale / s - 1) < 1e-4 for s in _OF_MINUS_ONE_TO_ONE)
    slack = 0.05 * (high - low)
    usual = any(abs(low - first) < slack and abs(high - last) < slack for first, last in _USUAL_RANGES)
    return usual and (certain or high > 2)


def _contradiction(name: str, dtype: np.dtype[Any], stated: Floats, file: Quantization) -> str:
    low, high = file.range(dtype)
    return (
        f"input {name!r} is {dtype}, whose numbers stand for {low:.3g} to {high:.3g} (scale {file.scale:.6g}, zero "
        f"point {file.zero_point} in the file), while the manifest's preprocessing gives {_shown(stated)}: say in "
        "[preprocess] do_normalize = true with the image_mean and image_std it was trained with ([0] and [1] for 0 to "
        "1, [0.5] and [0.5] for -1 to 1)"
    )


def _shown(stated: Floats) -> str:
    return f"{stated.min():.3g} to {stated.max():.3g}"
