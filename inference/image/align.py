"""Turns a face upright by its five landmarks, as face recognition networks want it.

The reference points are those that ArcFace (Deng et al., 2019, arXiv:1801.07698) and SFace were trained with, for
112 x 112 pixels; the turn is the similarity of least squares (Umeyama, 1991).
"""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from inference.image.media import Picture
from inference.predictions import Floats

SIDE = 112
# x, y of the eye on the left of the picture, the other, nose, mouth's corner on the left, the other
REFERENCE = (
    (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041),
)  # fmt: skip


def similarity(source: Floats, target: Floats) -> tuple[complex, complex]:
    """(a, b) so that a * z + b takes the points `source` (N, 2) nearest to `target`; a turns and scales."""
    z, w = (p[:, 0].astype(float) + 1j * p[:, 1].astype(float) for p in (source, target))
    centred = z - z.mean()
    spread = float((np.abs(centred) ** 2).sum())
    a = complex((centred.conj() * (w - w.mean())).sum() / spread) if spread else 1 + 0j
    return a, complex(w.mean() - a * z.mean())


def aligned(picture: Picture, landmarks: Floats) -> Picture:
    """The face as a picture of 112 x 112 pixels.

    landmarks (5, 2 or more): right eye, left eye, nose, right and left corner of the mouth of the person, in picture
    pixels, as YuNet gives them.
    """
    a, b = similarity(np.asarray(REFERENCE), landmarks[:, :2])
    kx, ky = picture.native.width / picture.size[0], picture.native.height / picture.size[1]
    matrix = (a.real * kx, -a.imag * kx, b.real * kx, a.imag * ky, a.real * ky, b.imag * ky)
    turned = picture.native.transform((SIDE, SIDE), Pillow.Transform.AFFINE, matrix, Pillow.Resampling.BILINEAR)
    turned = picture.srgb(turned)
    return Picture(turned, turned.size, picture.media_type)
