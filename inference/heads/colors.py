"""Colour segmentation without any network: k-means (Lloyd, 1982; seeded as k-means++) over a picture's pixels in Lab.

The manifest has no weights. params: count = how many colours (default 6); seed (default 0). preprocess.size =
{ longest_edge = N }: pixels across that are looked at (default 256). Labels are the mean colours, "#rrggbb",
the commonest first.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from inference.heads import Head, Outputs
from inference.manifest import Manifest
from inference.media import Picture
from inference.predictions import LabelMap
from inference.preprocess import Fit

FITTED_PIXELS = 20_000


def segment(picture: Picture, manifest: Manifest) -> LabelMap:
    import cv2  # lazily, as scipy: only this head needs them
    from scipy.cluster.vq import kmeans2, vq

    params = manifest.postprocess.params
    small = picture.image.copy()
    longest = manifest.preprocess.size.get("longest_edge", 256)
    small.thumbnail((longest, longest), Pillow.Resampling.BOX)
    pixels = np.asarray(small, np.float32).reshape(-1, 3)
    lab = cv2.cvtColor(pixels[None] / 255, cv2.COLOR_RGB2Lab)[0]
    generator = np.random.default_rng(int(params.get("seed", 0)))
    sample = lab if len(lab) <= FITTED_PIXELS else lab[generator.choice(len(lab), FITTED_PIXELS, replace=False)]
    count = min(int(params.get("count", 6)), len(np.unique(sample.round(), axis=0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cluster that runs empty is dropped below
        centres, _ = kmeans2(sample, count, iter=20, minit="++", seed=generator)
    nearest, _ = vq(lab, centres)
    return _map(nearest, pixels, small.size, picture.size)


def _map(nearest: NDArray[Any], pixels: NDArray[Any], small: tuple[int, int], size: tuple[int, int]) -> LabelMap:
    counts = np.bincount(nearest)
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    names = tuple("#{:02x}{:02x}{:02x}".format(*np.rint(pixels[nearest == i].mean(axis=0)).astype(int)) for i in order)
    place = np.zeros(len(counts), np.uint8)
    place[order] = np.arange(len(order))
    ids = Pillow.fromarray(place[nearest].reshape(small[1], small[0]))
    return LabelMap(np.asarray(ids.resize(size, Pillow.Resampling.NEAREST)), names)


def decode(outputs: Outputs, fit: Fit, manifest: Manifest) -> LabelMap:
    raise NotImplementedError("this head sees the picture itself; there are no outputs to decode")


HEAD = Head(("image-segmentation",), decode, alone=segment, params=("count", "seed"))
