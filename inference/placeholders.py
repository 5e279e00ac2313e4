"""Lines of a label list that stand for no class: label maps have them where class ids begin at 1 or have gaps.

Used as: ??? (labelmap.txt of TensorFlow's COCO models), background (TensorFlow, Pascal VOC), dummy (TensorFlow's
first ImageNet labels), __background__ and N/A (torchvision, maskrcnn-benchmark), _background_ and __ignore__ (labelme),
BG (Matterport's Mask R-CNN), --bg-- (AutoML), unlabeled (COCO-Stuff, Cityscapes), none_of_the_above (Caffe's SSD),
background_class83422 (Roboflow's RF-DETR packages).
"""

from __future__ import annotations

_WORDS = frozenset(
    ("", "???", "background", "__background__", "_background_", "__ignore__", "dummy", "n/a", "bg", "--bg--", "__bg__")
    + ("unlabeled", "unlabelled", "none_of_the_above", "background_class83422", "no object", "no_object")
)


def is_placeholder(name: str) -> bool:
    """Whether a line of a label list stands for no class. A classifier may have a class of such a name all the same:
    ask only where the number of classes or the family's convention leaves room for a placeholder."""
    return name.strip().lower() in _WORDS
