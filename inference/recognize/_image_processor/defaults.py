"""What the image processors of Hugging Face's transformers do where preprocessor_config.json leaves a field out.

From their sources, image_processing_<model>.py: the defaults of each class, and what a size means to it. Where a class
and its Fast twin differ, both are here. Names of old feature extractors stand for the same classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Three = tuple[float, float, float]
HALF: Three = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

# What a class does with its size beside resizing to it.
Special = Literal[
    "", "convnext", "levit", "poolformer", "perceiver", "glpn", "dpt", "eomt", "multiple", "swin2sr", "vitpose"
]  # fmt: skip


@dataclass(frozen=True)
class Processor:
    """Defaults of a class.

    size: {height, width} or {shortest_edge[, longest_edge]}, pixels; empty: it resizes to none.
    square: whether a size that is a single number means a square, not the shorter side (transformers'
    default_to_square). longest: the longest side where the size is a single number.
    crop: side of the centre crop; center_crop: whether it is made. multiple: its size_divisor or ensure_multiple_of.
    offset: takes 1 away after rescaling. include_top: divides by image_std once more. flip: RGB to BGR.
    """

    size: Mapping[str, int]
    mean: Three = HALF
    std: Three = HALF
    resample: int = 2
    square: bool = True
    longest: int = 0
    center_crop: bool = False
    crop: int = 0
    crop_pct: float = 0.0
    normalize: bool = True
    rescale_factor: float = 1 / 255
    offset: bool = False
    include_top: bool = False
    flip: bool = False
    pad: bool = False
    multiple: int = 1
    keep_aspect_ratio: bool = False
    antialias: bool = True
    special: Special = ""


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


_VIT = Processor(_square(224))
_CLIP = Processor({"shortest_edge": 224}, CLIP_MEAN, CLIP_STD, 3, square=False, center_crop=True, crop=224)
_DETR = Processor(
    {"shortest_edge": 800, "longest_edge": 1333}, IMAGENET_MEAN, IMAGENET_STD, square=False, longest=1333, pad=True
)
_MASKFORMER = replace(_DETR, multiple=32, special="multiple")
_BEIT = Processor(_square(256), resample=3, center_crop=True, crop=224)
_EFFICIENTNET = Processor(_square(346), resample=0, crop=289, include_top=True)
_PVT = Processor(_square(224), IMAGENET_MEAN, IMAGENET_STD)
_MOBILENET = Processor({"shortest_edge": 256}, square=False, center_crop=True, crop=224)
_DPT = Processor(_square(384), resample=3, special="dpt")
_LEVIT = Processor(
    {"shortest_edge": 224}, IMAGENET_MEAN, IMAGENET_STD, 3, square=False, center_crop=True, crop=224, special="levit"
)

PROCESSORS: Mapping[str, Processor] = {
    "vit": _VIT,
    "deit": Processor(_square(256), resample=3, center_crop=True, crop=224),
    "beit": _BEIT,
    "beit fast": replace(_BEIT, size=_square(224), center_crop=False),
    "blip": Processor(_square(384), CLIP_MEAN, CLIP_STD, 3),
    "bit": _CLIP,
    "chineseclip": _CLIP,
    "clip": _CLIP,
    "vithybrid": _CLIP,
    "conditionaldetr": _DETR,
    "deformabledetr": _DETR,
    "deta": _DETR,
    "detr": _DETR,
    "yolos": replace(_DETR, multiple=16, special="multiple"),
    "convnext": Processor({"shortest_edge": 384}, square=False, crop_pct=224 / 256, special="convnext"),
    "depthpro": Processor(_square(1536), antialias=False),
    "dinov3vit": Processor(_square(224), IMAGENET_MEAN, IMAGENET_STD),
    "dpt": _DPT,
    "promptdepthanything": _DPT,
    "zoedepth": Processor({"height": 384, "width": 512}, pad=True, multiple=32, keep_aspect_ratio=True, special="dpt"),
    "efficientformer": Processor(_square(224), IMAGENET_MEAN, IMAGENET_STD, 3, center_crop=True, crop=224),
    "efficientnet": _EFFICIENTNET,
    "efficientnet fast": replace(_EFFICIENTNET, resample=3),
    "eomt": Processor(
        {"shortest_edge": 640, "longest_edge": 640}, IMAGENET_MEAN, IMAGENET_STD, square=False, special="eomt"
    ),
    "glpn": Processor({}, normalize=False, multiple=32, special="glpn"),
    "levit": _LEVIT,
    "maskformer": _MASKFORMER,
    "mask2former": _MASKFORMER,
    "oneformer": _DETR,
    "mobilenetv1": _MOBILENET,
    "mobilenetv2": _MOBILENET,
    "mobilevit": Processor(
        {"shortest_edge": 224}, square=False, center_crop=True, crop=256, normalize=False, flip=True
    ),
    "perceiver": Processor(
        _square(224), IMAGENET_MEAN, IMAGENET_STD, 3, center_crop=True, crop=256, special="perceiver"
    ),
    "poolformer": replace(_LEVIT, crop_pct=0.9, special="poolformer"),
    "pvt": _PVT,
    "pvt fast": replace(_PVT, resample=3),
    "rtdetr": Processor(_square(640), IMAGENET_MEAN, IMAGENET_STD, square=False, normalize=False),
    "segformer": Processor(_square(512), IMAGENET_MEAN, IMAGENET_STD),
    "siglip": Processor(_square(224), resample=3, square=False),
    "swin2sr": Processor({}, normalize=False, pad=True, multiple=8, special="swin2sr"),
    "textnet": Processor(
        {"shortest_edge": 640}, IMAGENET_MEAN, IMAGENET_STD, square=False, multiple=32, special="multiple"
    ),
    "videomae": Processor({"shortest_edge": 224}, square=False, center_crop=True, crop=224),
    "vivit": Processor(
        {"shortest_edge": 256}, square=False, center_crop=True, crop=224, rescale_factor=1 / 127.5, offset=True
    ),
    "vitpose": Processor({"height": 256, "width": 192}, IMAGENET_MEAN, IMAGENET_STD, special="vitpose"),
}

# Classes that make something else of a picture than one resized and scaled tensor.
ELSEWHERE = {
    "donut": "thumbnails and padding",
    "flava": "codebook pictures",
    "fuyu": "patches",
    "imagegpt": "colour clusters",
    "layoutlmv2": "recognised text beside the picture",
    "layoutlmv3": "recognised text beside the picture",
    "nougat": "cropped margins",
    "owlv2": "grey padding to a square",
    "pix2struct": "patches of varying number",
    "sam": "padding to a square, and prompts",
    "siglip2": "patches of varying number",
    "tvp": "padded frames, and text",
    "vitmatte": "a trimap beside the picture",
}

# The class for a config.json's model_type, where the side file does not name one (transformers' AutoImageProcessor);
# letters and digits only.
_BY_MODEL_TYPE = {
    "aimv2": "clip",
    "aimv2visionmodel": "clip",
    "align": "efficientnet",
    "clipseg": "vit",
    "clipvisionmodel": "clip",
    "convnextv2": "convnext",
    "cvt": "convnext",
    "data2vecvision": "beit",
    "depthanything": "dpt",
    "dfine": "rtdetr",
    "dinat": "vit",
    "dinov2": "bit",
    "dinov2withregisters": "bit",
    "donutswin": "donut",
    "focalnet": "bit",
    "groupvit": "clip",
    "hgnetv2": "rtdetr",
    "hiera": "bit",
    "ijepa": "vit",
    "metaclip2": "clip",
    "mlcd": "clip",
    "mobilevitv2": "mobilevit",
    "nat": "vit",
    "pvtv2": "pvt",
    "regnet": "convnext",
    "resnet": "convnext",
    "rtdetrv2": "rtdetr",
    "siglipvisionmodel": "siglip",
    "swiftformer": "vit",
    "swin": "vit",
    "swinv2": "vit",
    "tabletransformer": "detr",
    "timesformer": "videomae",
    "upernet": "segformer",
    "van": "convnext",
    "vitmae": "vit",
    "vitmsn": "vit",
}


def stem_of(class_name: str, kind: str) -> str:
    """The name that PROCESSORS has for a class, with " fast" where the Fast one has other defaults; "" for none.

    kind: model_type in letters and digits, for a side file that names no class.
    """
    if not class_name:
        return _BY_MODEL_TYPE.get(kind, kind)
    found = re.fullmatch(r"(\w*?)(?:Image|Video)?(?:Processor|FeatureExtractor)(Fast|Pil)?", class_name)
    stem, fast = (found[1].lower(), found[2] == "Fast") if found else (class_name.lower(), False)
    return f"{stem} fast" if fast and f"{stem} fast" in PROCESSORS else stem
