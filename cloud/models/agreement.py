"""How far two versions of a model agree about a picture, as a share from 0 to 1, by what the task answers:

labels of the picture    1 where the best label is the same, however unsure, else 0
boxes                    Dice (1945): twice the pairs over all boxes; a pair has the same label and IoU of 0.5 or more
turned boxes             as boxes, by ProbIoU (Llerena et al., 2021, arXiv:2106.06072)
masks                    as boxes by the IoU of the masks, and each pair counts as much as its IoU: the panoptic quality
                         of Kirillov et al. (2019, arXiv:1801.00868)
keypoints                as masks, by COCO's object keypoint similarity (OKS; cocodataset.org/#keypoints-eval); beside
                         boxes that a detector found, only where the boxes are a pair, too
labels of the pixels     mean IoU over the classes that either shows (Everingham et al., 2010), by name, without what
                         is declared as background
vectors                  cosine of their angle, 0 from 90 degrees on
pictures                 structural similarity (SSIM; Wang et al., 2004) of red, green or blue, whichever agrees least
cut-outs                 sum of the lower alphas over the sum of the higher: the IoU of soft masks
depth                    Pearson's correlation: scale and offset of relative depth are open (Ranftl et al., 2022,
                         arXiv:1907.01341); 0 where it is negative

Answers of different kinds cannot be compared: vectors of other lengths, pictures of other sizes, other skeletons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.image.nms import gaussian_overlap, gaussians, iou
from inference.image.views import oriented
from inference.predictions import Bytes, Classes, Embedding, Floats, LabelMap, Masks, Objects, OutputImage, Predictions
from inference.tracking.assignment import assign

_SAME = 0.5  # from this overlap or similarity on, two objects are the same
_SEEN = 0.2  # score above which a keypoint is seen, as the pose heads take it

# COCO's sigmas, from its evaluation code (pycocotools); other skeletons get about their mean for every point.
_COCO17 = (.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089)  # fmt: skip  # noqa: E501
_SIGMA = 0.07
# COCO measures people by the area of their mask: about so much of their box, as xtcocotools takes it.
_OF_THE_BOX = 0.53

_BLOCK = 8  # pixels a side of the windows of SSIM
_STRIP = 512  # rows at a time: floats of a whole picture take much memory
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True)
class Agreement:
    """share: 0 to 1; None where it could not be measured. measure: how it was measured.

    samples: how many count; those on which neither version finds anything do not. why: what the answers cannot be
    compared for; empty where they can, or where there is nothing in them to compare.
    """

    share: float | None
    measure: str = ""
    samples: int = 0
    why: str = ""


def compared(task: str, new: Predictions, old: Predictions) -> Agreement:
    """The agreement of two answers to the same picture."""
    if _nothing(new) and _nothing(old):
        return Agreement(None)
    ours, theirs = _kind(task, new), _kind(task, old)
    if type(new) is not type(old) or (ours != theirs and not _found_none(new) and not _found_none(old)):
        return Agreement(None, why=f"the new version answers {ours}, the serving one {theirs}")
    name, measure = _measure(task, old if _found_none(new) else new)
    share = measure(new, old)
    if share is None:
        return Agreement(None)
    if not np.isfinite(share):
        return Agreement(None, why="an answer holds NaN or infinity")
    return Agreement(min(max(share, 0.0), 1.0), name, 1)


def together(parts: Sequence[Agreement]) -> Agreement:
    """The mean over the samples that say something, each of which counts the same."""
    if why := next((part.why for part in parts if part.why), ""):
        return Agreement(None, why=why)
    shares = [part.share for part in parts if part.share is not None]
    if not shares:
        return Agreement(None)
    measure = next(part.measure for part in parts if part.share is not None)
    return Agreement(sum(shares) / len(shares), measure, len(shares))


def _found_none(answer: Predictions) -> bool:
    """Whether it is objects, and none of them: it then lacks the columns that tell of which kind they would be."""
    return isinstance(answer, Objects) and len(answer) == 0


def _nothing(answer: Predictions) -> bool:
    if isinstance(answer, LabelMap):
        return answer.background is not None and bool(np.all(answer.ids == answer.background))
    if isinstance(answer, OutputImage):
        return _is_cut_out(answer) and not bool(np.any(answer.pixels[..., 3]))
    if isinstance(answer, Embedding):
        return not bool(np.any(answer.vector))
    return len(answer) == 0


def _kind(task: str, answer: Predictions) -> str:
    """What an answer consists of, in words that are the same for answers that can be compared."""
    if isinstance(answer, Objects):
        return _kind_of_objects(answer)
    if isinstance(answer, LabelMap):
        return f"labels of {_size(answer.ids)} pixels"
    if isinstance(answer, OutputImage):
        what = "the depth" if task == "depth-estimation" else "a cut-out" if _is_cut_out(answer) else "a picture"
        return f"{what} of {_size(answer.pixels)} pixels"
    if isinstance(answer, Embedding):
        return f"a vector of {answer.vector.size} numbers"
    return "labels of the picture"


def _kind_of_objects(objects: Objects) -> str:
    what = "masks" if objects.masks is not None else "turned boxes" if objects.corners is not None else "boxes"
    if objects.keypoints is None:
        return what
    count, columns = objects.keypoints.shape[1:]
    named = f" ({objects.skeleton})" if objects.skeleton else ""
    return f"{what} with {count} keypoints{named} in {columns - 1} coordinates"


def _size(pixels: NDArray[Any]) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _is_cut_out(image: OutputImage) -> bool:
    return bool(image.pixels.shape[2] == 4)


def _measure(task: str, answer: Predictions) -> tuple[str, Callable[[Any, Any], float | None]]:
    """(name of the measure of answers like this, the measure: (new, old) -> share, None where nothing is found)."""
    if isinstance(answer, Objects):
        name, pairs = _pairs(task, answer)
        return name, lambda new, old: _matched(new, old, pairs)
    if isinstance(answer, LabelMap):
        return "mean IoU of the classes", _label_maps
    if isinstance(answer, Embedding):
        return "cosine of the vectors", _vectors
    if isinstance(answer, Classes):
        return "the best label", lambda new, old: float(new.names[:1] == old.names[:1])
    if task == "depth-estimation":
        return "correlation of the depths", _depths
    return ("IoU of the cut-outs", _cut_outs) if _is_cut_out(answer) else ("SSIM of the pictures", _pictures)


# (new objects, old objects) -> how alike they are, (N, M) in 0..1
Pairs = Callable[[Objects, Objects], Floats]


def _pairs(task: str, answer: Objects) -> tuple[str, Pairs]:
    if answer.keypoints is not None and task == "keypoint-detection":
        return "similarity of the keypoints (OKS)", _oks
    if answer.masks is not None:
        return "IoU of the masks", _mask_ious
    name = "boxes at IoU 0.5" if answer.corners is None else "turned boxes at ProbIoU 0.5"
    if answer.keypoints is not None:
        return f"{name}, their keypoints by OKS", lambda new, old: _same_boxes(new, old) * _oks(new, old)
    return name, _same_boxes


def _matched(new: Objects, old: Objects, pairs: Pairs) -> float:
    """What the best pairs of objects with the same label are worth, over the mean number of objects."""
    if not len(new) or not len(old):
        return 0.0
    same = np.asarray(new.names)[:, None] == np.asarray(old.names)
    alike = np.where(same, pairs(new, old), 0.0)
    rows, columns = assign(np.where(alike >= _SAME, 1.0 - alike, 2.0), 1.0)
    return float(2 * alike[rows, columns].sum() / (len(new) + len(old)))


def _same_boxes(new: Objects, old: Objects) -> Floats:
    if new.corners is not None and old.corners is not None:
        overlaps = gaussian_overlap(gaussians(oriented(new.corners)), gaussians(oriented(old.corners)))
    else:
        overlaps = iou(new.boxes.astype(np.float64), old.boxes.astype(np.float64))
    return (overlaps >= _SAME).astype(np.float64)


def _mask_ious(new: Objects, old: Objects) -> Floats:
    assert new.masks is not None and old.masks is not None
    result = np.zeros((len(new), len(old)))
    for i in range(len(new)):
        for j in range(len(old)):
            if new.names[i] == old.names[j]:
                common = _common(new.masks, i, old.masks, j)
                result[i, j] = common / max(new.masks.area(i) + old.masks.area(j) - common, 1)
    return result


def _common(a: Masks, i: int, b: Masks, j: int) -> int:
    """Pixels that mask `i` of `a` and mask `j` of `b` share."""
    ax1, ay1, ax2, ay2 = map(int, a.windows[i])
    bx1, by1, bx2, by2 = map(int, b.windows[j])
    x1, y1, x2, y2 = max(ax1, bx1), max(ay1, by1), min(ax2, bx2), min(ay2, by2)
    if x1 >= x2 or y1 >= y2:
        return 0
    ours = a.bits[i][y1 - ay1 : y2 - ay1, x1 - ax1 : x2 - ax1]
    return int(np.count_nonzero(ours & b.bits[j][y1 - by1 : y2 - by1, x1 - bx1 : x2 - bx1]))


def _oks(new: Objects, old: Objects) -> Floats:
    """OKS (N, M), the serving version in the place of the truth: its boxes give the size. Distances in 3D where there
    is a z, which is in pixels, too. The keypoints count that either version sees; all where neither sees any."""
    assert new.keypoints is not None and old.keypoints is not None
    ours, theirs = new.keypoints[:, None].astype(np.float64), old.keypoints[None].astype(np.float64)
    apart = ((ours[..., :-1] - theirs[..., :-1]) ** 2).sum(axis=-1)
    sides = (old.boxes[:, 2:] - old.boxes[:, :2]).astype(np.float64)
    area = np.maximum(_OF_THE_BOX * sides.prod(axis=1), 1.0)[None, :, None]
    sigmas = np.asarray(_COCO17) if old.skeleton == "coco17" else np.full(apart.shape[2], _SIGMA)
    alike = np.exp(-apart / (2 * area * (2 * sigmas) ** 2))
    seen = (ours[..., -1] > _SEEN) | (theirs[..., -1] > _SEEN)
    seen |= ~seen.any(axis=2, keepdims=True)
    result: Floats = (alike * seen).sum(axis=2) / seen.sum(axis=2)
    return result


def _label_maps(new: LabelMap, old: LabelMap) -> float | None:
    present = [sorted({_name(m, i) for i, _ in m.areas()}) for m in (new, old)]
    names = sorted({*present[0], *present[1]})
    ours, theirs = (_by_name(m, names) for m in (new, old))
    count = len(names)
    both = np.bincount((ours * count + theirs).ravel(), minlength=count**2).reshape(count, count)
    common = both.diagonal()
    ious = common / (both.sum(axis=0) + both.sum(axis=1) - common)
    nothing = {_name(m, m.background) for m in (new, old) if m.background is not None}
    counted = [share for name, share in zip(names, ious, strict=True) if name not in nothing]
    return float(np.mean(counted)) if counted else None


def _name(labels: LabelMap, i: int) -> str:
    return labels.names[i] if i < len(labels.names) else str(i)


def _by_name(labels: LabelMap, names: Sequence[str]) -> NDArray[np.int64]:
    """(height, width) places in `names`."""
    place = np.zeros(int(labels.ids.max(initial=0)) + 1, np.int64)
    for i, _ in labels.areas():
        place[i] = names.index(_name(labels, i))
    places: NDArray[np.int64] = place[labels.ids]
    return places


def _vectors(new: Embedding, old: Embedding) -> float:
    ours, theirs = new.vector.astype(np.float64).ravel(), old.vector.astype(np.float64).ravel()
    lengths = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    return float(ours @ theirs) / lengths if lengths else 0.0


def _depths(new: OutputImage, old: OutputImage) -> float | None:
    ours, theirs = (image.pixels[..., 0].astype(np.float32) for image in (new, old))
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    if not ours.any() and not theirs.any():  # both are flat
        return None
    spread = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    return float((ours * theirs).sum()) / spread if spread else 0.0


def _cut_outs(new: OutputImage, old: OutputImage) -> float:
    ours, theirs = new.pixels[..., 3], old.pixels[..., 3]
    return float(np.minimum(ours, theirs).sum(dtype=np.int64) / np.maximum(ours, theirs).sum(dtype=np.int64))


def _pictures(new: OutputImage, old: OutputImage) -> float:
    return min(_ssim(new.pixels[..., i], old.pixels[..., i]) for i in range(3))


def _ssim(a: Bytes, b: Bytes) -> float:
    """The mean over windows of 8 x 8 pixels, side by side; what is left at the edges is mirrored to fill one."""
    margins = [(0, -side % _BLOCK) for side in a.shape]
    a, b = (np.pad(plane, margins, mode="symmetric") for plane in (a, b))
    strips = range(0, len(a), _STRIP)
    total = sum(_ssims(a[y : y + _STRIP], b[y : y + _STRIP]).sum(dtype=np.float64) for y in strips)
    return float(total * _BLOCK**2 / a.size)


def _ssims(a: Bytes, b: Bytes) -> Floats:
    x, y = a.astype(np.float32), b.astype(np.float32)
    mx, my = _means(x), _means(y)
    xx, yy, xy = _means(x * x) - mx * mx, _means(y * y) - my * my, _means(x * y) - mx * my
    result: Floats = (2 * mx * my + _C1) * (2 * xy + _C2) / ((mx * mx + my * my + _C1) * (xx + yy + _C2))
    return result


def _means(plane: Floats) -> Floats:
    height, width = plane.shape
    means: Floats = plane.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).mean(axis=(1, 3))
    return means
