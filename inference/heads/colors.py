"""Colour segmentation without any network: k-means (Lloyd, 1982; seeded as k-means++) over a picture's pixels in Lab.

The manifest has no weights. params: count = how many colours (default 6); seed (default 0). preprocess.size =
{ longest_edge = N }: the size at which pixels are clustered (default 256). Labels are the mean colours, "#rrggbb",
the most frequent first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.heads import Head, Outputs
from inference.image.kmeans import kmeans, nearest
from inference.image.lab import rgb_to_lab
from inference.image.media import Picture
from inference.image.preprocess import Fit
from inference.manifest import Manifest
from inference.predictions import LabelMap

FITTED_PIXELS = 20_000


def segment(picture: Picture, manifest: Manifest) -> LabelMap:
    params = manifest.postprocess.params
    small = picture.native.copy()
    longest = manifest.preprocess.size.get("longest_edge", 256)
    small.thumbnail((longest, longest), Pillow.Resampling.BOX)
    small = picture.srgb(small)
    pixels = np.asarray(small, np.float32).reshape(-1, 3)
    lab = rgb_to_lab(pixels / 255)
    generator = np.random.default_rng(int(params.get("seed", 0)))
    sample = lab if len(lab) <= FITTED_PIXELS else lab[generator.choice(len(lab), FITTED_PIXELS, replace=False)]
    count = min(int(params.get("count", 6)), len(np.unique(sample.round(), axis=0)))
    centres, _ = kmeans(sample, count, generator, rounds=20)
    return _map(nearest(lab, centres), pixels, small.size, picture.size)


def _map(clusters: NDArray[Any], pixels: NDArray[Any], small: tuple[int, int], size: tuple[int, int]) -> LabelMap:
    counts = np.bincount(clusters)
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    names = tuple("#{:02x}{:02x}{:02x}".format(*np.rint(pixels[clusters == i].mean(axis=0)).astype(int)) for i in order)
    place = np.zeros(len(counts), np.uint8)
    place[order] = np.arange(len(order))
    ids = Pillow.fromarray(place[clusters].reshape(small[1], small[0]))
    return LabelMap(np.asarray(ids.resize(size, Pillow.Resampling.NEAREST)), names)


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> LabelMap:
    raise NotImplementedError("this head works on the picture itself; there are no outputs to decode")


HEAD = Head(("image-segmentation",), decode, alone=segment, params=("count", "seed"))
