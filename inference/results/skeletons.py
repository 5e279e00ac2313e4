"""Skeletons as data: the names of keypoints in order, and which pairs a bone joins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.predictions import Objects, Predictions

if TYPE_CHECKING:
    from inference.results.document import SkeletonDoc


# A keypoint from this score on counts as visible in exports.
VISIBLE = 0.3
_OF_PEOPLE = ("person", "face", "hand")


@dataclass(frozen=True)
class Skeleton:
    """names of the keypoints in order; bones: pairs of their indices."""

    names: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]


COCO17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
COCO17_BONES = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12),
    (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip

FINGERS = ("thumb", "index", "middle", "ring", "little")

# coco17, halpe26 and wholebody133 in the order of their data sets, blazepose33 and hand21 in MediaPipe's; left and
# right are the person's own.
SKELETONS = {
    "coco17": Skeleton(COCO17, COCO17_BONES),
    "face5": Skeleton(("right_eye", "left_eye", "nose", "right_mouth", "left_mouth"), ()),
    "hand21": Skeleton(
        ("wrist", *(f"{finger}_{joint}" for finger in FINGERS for joint in range(1, 5))),
        tuple((0 if k % 4 == 1 else k - 1, k) for k in range(1, 21)),
    ),
    "halpe26": Skeleton(
        (
            *COCO17, "head", "neck", "hip", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe",
            "left_heel", "right_heel",
        ),
        (
            (0, 1), (0, 2), (1, 3), (2, 4), (17, 18), (18, 5), (18, 6), (5, 7), (7, 9), (6, 8), (8, 10), (18, 19),
            (19, 11), (19, 12), (11, 13), (13, 15), (12, 14), (14, 16), (15, 20), (15, 22), (15, 24), (16, 21),
            (16, 23), (16, 25),
        ),
    ),
    "blazepose33": Skeleton(
        (
            "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
            "left_ear", "right_ear", "left_mouth", "right_mouth", "left_shoulder", "right_shoulder", "left_elbow",
            "right_elbow", "left_wrist", "right_wrist", "left_little", "right_little", "left_index", "right_index",
            "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
            "right_ankle", "left_heel", "right_heel", "left_foot", "right_foot",
        ),
        (
            (0, 2), (0, 5), (2, 7), (5, 8), (9, 10), (11, 12), (11, 13), (13, 15), (15, 17), (15, 19), (15, 21),
            (12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (11, 23), (12, 24), (23, 24), (23, 25), (25, 27),
            (27, 29), (27, 31), (29, 31), (24, 26), (26, 28), (28, 30), (28, 32), (30, 32),
        ),
    ),
    "wholebody133": Skeleton(
        (
            *COCO17, "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
            *(f"face_{k}" for k in range(68)), *(f"left_hand_{k}" for k in range(21)),
            *(f"right_hand_{k}" for k in range(21)),
        ),
        (
            *COCO17_BONES, (15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22),
            *((91 + (0 if k % 4 == 1 else k - 1), 91 + k) for k in range(1, 21)),
            *((112 + (0 if k % 4 == 1 else k - 1), 112 + k) for k in range(1, 21)),
        ),
    ),
}  # fmt: skip


def skeletons_of(steps: Mapping[str, Predictions]) -> dict[str, SkeletonDoc]:
    """The skeletons by step, of those steps (by name) whose predictions have keypoints, those on crops included."""
    found: dict[str, SkeletonDoc] = {}
    for name, predictions in steps.items():
        if not isinstance(predictions, Objects):
            continue
        if predictions.keypoints is not None:
            found.setdefault(name, skeleton_doc(predictions.skeleton, predictions.keypoints.shape[1]))
        for answers in predictions.attributes:
            for inner, skeleton in skeletons_of(answers).items():
                found.setdefault(inner, skeleton)
    return found


def skeleton_doc(name: str | None, count: int) -> SkeletonDoc:
    """A skeleton as the document gives it; where it is not known, `count` numbered points and no edges."""
    document: SkeletonDoc = {"points": [f"point_{k}" for k in range(count)], "edges": []}
    known = SKELETONS.get(name or "")
    if known and len(known.names) == count:
        document = {"points": list(known.names), "edges": [list(bone) for bone in known.bones]}
    return {"name": name, **document} if name else document


def skeleton_of(step: Mapping[str, Any], prediction: Mapping[str, Any]) -> SkeletonDoc:
    """The skeleton of a prediction with keypoints in a document: its step's, or, before release 0.2.0, when objects
    named theirs or none did, its own."""
    name, count, own = prediction.get("skeleton"), len(prediction["keypoints"]), step.get("skeleton")
    if own and len(own["points"]) == count:
        return own  # type: ignore[no-any-return]
    if name is None and prediction["label"] in _OF_PEOPLE:
        name = next((n for n, skeleton in SKELETONS.items() if len(skeleton.names) == count), None)
    return skeleton_doc(name, count)
