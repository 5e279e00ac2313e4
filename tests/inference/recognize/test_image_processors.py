"""preprocessor_config.json: what each class of Hugging Face's image processors does to a picture.

The expected values are worked out by hand from the classes' formulas: a picture of one colour for what happens to the
values, and the planned sizes for what happens to the geometry.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.engine.session import Session
from inference.errors import BadManifest
from inference.image.media import Picture
from inference.image.plan import plan
from inference.image.preprocess import input_spec, prepare
from inference.manifest import Preprocess
from inference.recognize import huggingface, manifest_of
from inference.recognize._export import Draft, Export
from tests.inference.graphs import save
from tests.inference.recognize.support import floats

FREE = [1, 3, "height", "width"]
ONE_COLOUR = (51, 102, 204)  # 0.2, 0.4, 0.8 of 255
LABELS = {"id2label": {"0": "cat", "1": "dog"}}


def export_of(
    folder: Path,
    config: dict[str, Any],
    how: Any,
    shape: Any = FREE,
    outputs: dict[str, Any] | None = None,
    name: str = "preprocessor_config.json",
) -> Export:
    file = save(folder / "model.onnx", {"pixel_values": ("float32", shape)}, outputs or {"logits": floats([0, 2])})
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / name).write_text(json.dumps(how), "utf-8")
    return Export(folder, file, Session(file))


def read(folder: Path, how: Any, kind: str = "vit", shape: Any = FREE) -> tuple[Preprocess, Draft]:
    config = {"model_type": kind, "architectures": ["XForImageClassification"], **LABELS}
    export = export_of(folder, config, how, shape)
    draft = huggingface.recognize(export)
    assert draft is not None
    return manifest_of(export, draft).preprocess, draft


def colour_of(how: Preprocess, colour: tuple[int, int, int] = ONE_COLOUR) -> list[float]:
    """What the network is fed in the middle of a picture of one colour, by channel."""
    picture = Picture(Pillow.new("RGB", (600, 600), colour), (600, 600))
    tensor, _ = prepare(picture, how, input_spec("x", np.dtype(np.float32), [1, None, None, None], how))
    middle = tensor[0, :, tensor.shape[2] // 2, tensor.shape[3] // 2]
    return [round(float(v), 4) for v in middle]


VALUES: list[tuple[str, str, dict[str, Any], list[float]]] = [
    ("ViT normalises to -1..1", "vit", {}, [-0.6, -0.2, 0.6]),
    ("a flag that is null is left out", "vit", {"do_normalize": None, "do_rescale": None}, [-0.6, -0.2, 0.6]),
    ("PVT has ImageNet's mean", "pvt", {"image_std": [1, 1, 1]}, [-0.285, -0.056, 0.394]),
    ("CLIP has its own", "clip", {"image_std": 1}, [round(0.2 - 0.48145466, 4), -0.0578, round(0.8 - 0.40821073, 4)]),
    ("RT-DETR does not", "rt_detr_v2", {}, [0.2, 0.4, 0.8]),
    ("GLPN does not", "glpn", {}, [0.2, 0.4, 0.8]),
    ("MobileViT is blue first", "mobilevitv2", {}, [0.8, 0.4, 0.2]),
    ("as it is told", "mobilevit", {"do_flip_channel_order": False}, [0.2, 0.4, 0.8]),
    ("any class is, where told", "vit", {"do_flip_channel_order": True, "do_normalize": False}, [0.8, 0.4, 0.2]),
    ("by an older name, too", "vit", {"do_flip_channels": True, "do_normalize": False}, [0.8, 0.4, 0.2]),
    # (x - 0.5) / 0.5, through 0.5 once more
    ("EfficientNet's include_top is on", "efficientnet", {}, [-1.2, -0.4, 1.2]),
    ("and can be off", "efficientnet", {"include_top": False}, [-0.6, -0.2, 0.6]),
    ("it divides without a mean", "efficientnet", {"do_normalize": False}, [0.4, 0.8, 1.6]),
    # x / 127.5 - 1
    (
        "ALIGN",
        "align",
        {"rescale_factor": 0.00784313725490196, "rescale_offset": True, "do_normalize": False, "include_top": False},
        [-0.6, -0.2, 0.6],
    ),
    # (x / 127.5 - 1 - 0.5) / 0.5 / 0.5
    ("all at once", "efficientnet", {"rescale_factor": 1 / 127.5, "rescale_offset": True}, [-4.4, -2.8, 0.4]),
    # x / 127.5 - 1, and then (- 0.5) / 0.5
    ("ViViT takes 1 away, and normalises", "vivit", {}, [-2.2, -1.4, 0.2]),
    ("or not", "vivit", {"offset": False, "do_normalize": False}, [0.4, 0.8, 1.6]),
    ("no rescaling, no offset", "vivit", {"do_rescale": False, "do_normalize": False}, [51.0, 102.0, 204.0]),
    ("a factor of its own", "vit", {"rescale_factor": 0.01, "do_normalize": False}, [0.51, 1.02, 2.04]),
]


@pytest.mark.parametrize(("kind", "how", "expected"), [v[1:] for v in VALUES], ids=[v[0] for v in VALUES])
def test_values(kind: str, how: dict[str, Any], expected: list[float], tmp_path: Path) -> None:
    assert colour_of(read(tmp_path, how, kind)[0]) == pytest.approx(expected, abs=2e-4)


def planned(how: Preprocess, shape: Any = FREE) -> tuple[tuple[int, int], tuple[int, int]]:
    """((width, height) of the input, of the resized picture) for a picture of 1000 x 500."""
    spec = input_spec("x", np.dtype(np.float32), [s if isinstance(s, int) else None for s in shape], how)
    return plan(1000, 500, how, spec)[:2]


SIZES: list[tuple[str, str, dict[str, Any], tuple[int, int], tuple[int, int]]] = [
    ("ViT's number is a square", "", {"feature_extractor_type": "ViTFeatureExtractor", "size": 96}, (96, 96), (96, 96)),
    (
        "MobileViT's the shorter side",
        "",
        {"feature_extractor_type": "MobileViTFeatureExtractor", "size": 288, "crop_size": 256},
        (256, 256),
        (576, 288),
    ),
    ("default_to_square decides", "vit", {"size": 96, "default_to_square": False}, (192, 96), (192, 96)),
    ("a list is height and width", "vit", {"size": [64, 96]}, (96, 64), (96, 64)),
    ("DeiT stretches, and crops", "deit", {}, (224, 224), (256, 256)),
    ("BEiT too", "beit", {"image_processor_type": "BeitImageProcessor"}, (224, 224), (256, 256)),
    ("its Fast class does not", "beit", {"image_processor_type": "BeitImageProcessorFast"}, (224, 224), (224, 224)),
    ("CLIP crops", "clip", {}, (224, 224), (448, 224)),
    ("DINOv2 as BiT", "dinov2", {}, (224, 224), (448, 224)),
    ("ConvNeXt crops 224 / 256", "resnet", {"size": {"shortest_edge": 224}}, (224, 224), (512, 256)),
    ("but stretches from 384 on", "convnextv2", {"crop_pct": 0.9}, (384, 384), (384, 384)),
    ("LeViT resizes to 256 / 224", "levit", {}, (224, 224), (512, 256)),
    ("PoolFormer to 1 / 0.9", "poolformer", {}, (224, 224), (496, 248)),
    ("also a square", "poolformer", {"size": {"height": 90, "width": 90}}, (224, 224), (200, 100)),
    ("EfficientNet does not crop", "efficientnet", {"crop_size": 289}, (346, 346), (346, 346)),
    ("Perceiver crops 224 of 256", "perceiver", {}, (224, 224), (512, 256)),
    ("VideoMAE", "timesformer", {}, (224, 224), (448, 224)),
    ("ViViT", "vivit", {}, (224, 224), (512, 256)),
    ("the longer side alone", "vit", {"size": {"longest_edge": 200}}, (200, 100), (200, 100)),
    ("equal limits", "detr", {"size": {"max_height": 300, "max_width": 300}}, (300, 150), (300, 150)),
    ("DETR's number has a limit", "detr", {"size": 400, "max_size": 600}, (600, 300), (600, 300)),
    ("1333 if none is said", "detr", {"size": 900}, (1333, 666), (1333, 666)),
    ("YOLOS in patches of 16", "yolos", {"size": 512, "max_size": 864}, (864, 432), (864, 432)),
    ("filled up", "yolos", {}, (1344, 672), (1333, 666)),
    ("DETR's own", "conditional_detr", {}, (1333, 666), (1333, 666)),
    ("nulls among the sides", "vit", {"size": {"height": 96, "width": 64, "longest_edge": None}}, (64, 96), (64, 96)),
    ("GLPN keeps the size", "glpn", {}, (1024, 512), (1000, 500)),
    ("MaskFormer fills up", "mask2former", {}, (1344, 672), (1333, 666)),
    ("a divisor of 0 is none", "mask2former", {"size_divisor": 0}, (1333, 666), (1333, 666)),
    ("any class may have one", "oneformer", {"size_divisibility": 32}, (1344, 672), (1333, 666)),
    ("DPT pads a square", "dpt", {"do_pad": True, "size_divisor": 14}, (392, 392), (384, 384)),
    ("DPT pads around it", "dpt", {"do_resize": False, "do_pad": True, "size_divisor": 14}, (1008, 504), (1000, 500)),
    ("Swin2SR fills up", "swin2sr", {}, (1000, 504), (1000, 500)),
    (
        "Depth Anything keeps the aspect",
        "depth_anything",
        {"size": {"height": 518, "width": 518}, "keep_aspect_ratio": True, "ensure_multiple_of": 14},
        (1036, 518),
        (1036, 518),
    ),
    ("DPT does not", "dpt", {}, (384, 384), (384, 384)),
    ("nor pads what fits", "dpt", {"do_pad": True, "size_divisor": 32}, (384, 384), (384, 384)),
    ("DPT in whole multiples", "dpt", {"size": 380, "ensure_multiple_of": 32}, (384, 384), (384, 384)),
    ("padding to a square", "detr", {"size": 300, "pad_size": {"height": 640, "width": 640}}, (640, 640), (600, 300)),
    ("do_resize false", "vit", {"do_resize": False}, (1000, 500), (1000, 500)),
    ("and cropped", "vit", {"do_resize": False, "do_center_crop": True, "crop_size": 96}, (96, 96), (1000, 500)),
]


@pytest.mark.parametrize(("kind", "how", "net", "resized"), [s[1:] for s in SIZES], ids=[s[0] for s in SIZES])
def test_sizes(kind: str, how: dict[str, Any], net: Any, resized: Any, tmp_path: Path) -> None:
    assert planned(read(tmp_path, how, kind)[0]) == (net, resized)


def test_the_picture_is_padded_with_the_colour_that_becomes_zero(tmp_path: Path) -> None:
    """DETR pads after normalising: 0 there is 255 times ImageNet's mean here."""
    how, _ = read(tmp_path, {"size": 300, "pad_size": {"height": 640, "width": 640}}, "detr")
    assert how.pad_value == pytest.approx((123.7, 116.3, 103.5))
    how, _ = read(tmp_path, {"do_pad": True, "size_divisor": 14}, "dpt")
    assert colour_of(how, (255, 255, 255)) == [1, 1, 1]
    picture = Picture(Pillow.new("RGB", (9, 9), "white"), (9, 9))
    tensor, _ = prepare(picture, how, input_spec("x", np.dtype(np.float32), [1, None, None, None], how))
    edges = tensor[0, 0, [3, 4, 387, 388], 200]  # 4 rows of padding above and below
    assert edges == pytest.approx([0, 1, 1, 0], abs=0.01)


@pytest.mark.parametrize(("word", "number"), [("bicubic", 3), ("PILImageResampling.LANCZOS", 1), (2.0, 2)])
def test_resample_may_be_a_word(word: Any, number: int, tmp_path: Path) -> None:
    assert read(tmp_path, {"resample": word})[0].resample == number


def test_a_grey_network_is_fed_grey(tmp_path: Path) -> None:
    how, _ = read(tmp_path, {"size": 28, "image_mean": [0.5] * 3, "image_std": 0.25}, shape=[1, 1, 28, 28])
    assert (how.color_order, how.image_mean, how.image_std) == ("gray", (0.5,), (0.25,))


def test_what_a_class_does_not_read_is_done_and_said(tmp_path: Path) -> None:
    draft = read(tmp_path, {"do_flip_channel_order": True, "offset": True, "rescale_factor": 1 / 127.5})[1]
    assert [a.split(" is done")[0] for a in draft.assumed] == ["offset", "do_flip_channel_order"]


def test_the_defaults_that_were_used_are_said(tmp_path: Path) -> None:
    how = {"do_resize": True, "size": 224, "do_normalize": False, "feature_extractor_type": "DeiTFeatureExtractor"}
    draft = read(tmp_path, how)[1]
    assert draft.reasons[-1] == (
        "left out there, so the defaults of DeiTFeatureExtractor: do_center_crop, crop_size, resample, do_rescale"
    )


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("vit", {"do_equalize": True}, "do_equalize = True"),
    ("vit", {"target_resolution": 448}, "target_resolution = 448"),
    ("vit", {"do_grayscale": True}, "do_grayscale"),
    ("eomt", {"do_split_image": True}, "do_split_image"),
    ("donut-swin", {"image_processor_type": "DonutImageProcessor", "size": 9}, "thumbnails"),
    ("imagegpt", {}, "colour clusters"),
    ("perceiver", {"do_resize": False}, "do_resize"),
    ("detr", {"size": {"max_height": 300, "max_width": 400}}, "max_height"),
    ("yolos", {"pad_size": {"height": 300, "width": 400}}, "pad_size"),
    ("convnext", {"size": {"height": 224, "width": 224}}, "size is .* expected shortest_edge"),
    # nobody knows what a class from elsewhere does where it says nothing
    ("birefnet", {"size": 224}, "a square or the shorter side"),
    ("birefnet", {"size": {"height": 9, "width": 9}, "do_rescale": True}, "leaves out do_normalize"),
    ("birefnet", {"do_rescale": True, "do_normalize": False}, "leaves out size"),
]


@pytest.mark.parametrize(("kind", "how", "words"), REFUSED)
def test_what_is_not_done_here_is_refused_by_the_field(
    kind: str, how: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(BadManifest, match=words) as refusal:
        read(tmp_path, how, kind)
    assert "preprocessor_config.json" in str(refusal.value)


def test_fields_that_are_not_about_pixels_are_named(tmp_path: Path) -> None:
    draft = read(tmp_path, {"made_by": "me", "do_equalize": False, "auto_map": {"A": "b"}})[1]
    assert [a for a in draft.assumed if a.startswith("made_by in")] and "do_equalize" not in str(draft.assumed)


def test_a_class_from_elsewhere_is_read_where_it_says_everything(tmp_path: Path) -> None:
    how = {
        "feature_extractor_type": "ImageFeatureExtractor",
        "size": {"width": 64, "height": 32},
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": [0.2, 0.4, 0.8],
        "image_std": [1, 1, 1],
    }
    read_how, draft = read(tmp_path, how, "birefnet")
    assert colour_of(read_how) == pytest.approx([0, 0, 0], abs=1e-4)
    assert "ImageFeatureExtractor is an image processor that is not known here" in draft.assumed[0]
    assert "bilinear" in draft.assumed[1]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"size": {"height": 384, "width": 384}}, "pictures are stretched to"),
        ({"do_resize": False}, "do_resize is false"),
        ({"image_processor_type": "DPTImageProcessor", "keep_aspect_ratio": True}, "keep_aspect_ratio is true"),
        ({"do_center_crop": True, "size": 224, "image_processor_type": "DeiTImageProcessor"}, "crop_size is left out"),
    ],
)
def test_a_fixed_input_decides_and_it_is_said(how: dict[str, Any], words: str, tmp_path: Path) -> None:
    ours, draft = read(tmp_path, how, shape=[1, 3, 96, 96])
    assert planned(ours, [1, 3, 96, 96])[0] == (96, 96) and words in str(draft.assumed)


def test_a_crop_that_is_not_the_inputs_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="cropped to 224 high and 224 wide, but the file's input is 96 high"):
        read(tmp_path, {"crop_size": 224}, "clip", [1, 3, 96, 96])


def test_the_processor_may_be_nested(tmp_path: Path) -> None:
    """transformers 5 saves a processor as one file."""
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"], **LABELS}
    how = {"image_processor": {"size": {"height": 48, "width": 32}}, "processor_class": "X"}
    export = export_of(tmp_path, config, how, name="processor_config.json")
    draft = huggingface.recognize(export)
    assert draft is not None and draft.table["preprocess"]["size"] == {"height": 48, "width": 32}
    assert draft.reasons[1] == "preprocessing from processor_config.json, image_processor"
    nested = {"image_processor": {"size": {"height": 24, "width": 24}}}
    export = export_of(tmp_path / "older", config, nested, name="preprocessor_config.json")
    draft = huggingface.recognize(export)
    assert draft is not None and draft.table["preprocess"]["size"] == {"height": 24, "width": 24}


def test_the_nested_processor_comes_before_an_older_one(tmp_path: Path) -> None:
    """As get_image_processor_dict of transformers 5; the other is said where it differs."""
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"], **LABELS}
    export_of(tmp_path, config, {"size": {"height": 24, "width": 24}, "resample": 3})
    how = {"image_processor": {"size": {"height": 48, "width": 48}, "resample": 3}}
    draft = huggingface.recognize(export_of(tmp_path, config, how, name="processor_config.json"))
    assert draft is not None and draft.table["preprocess"]["size"] == {"height": 48, "width": 48}
    assert [said for said in draft.assumed if said.startswith("size: processor_config.json is followed")]
