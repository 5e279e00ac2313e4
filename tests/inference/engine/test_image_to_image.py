"""Image to image: aspect, size, seams, clipping, and what the output is joined with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image as Pillow

from inference.engine.registry import Registry
from inference.engine.weights import Weights, sha256_of
from inference.image.media import Picture, decode
from inference.image.tile import Blend, starts, tiles
from inference.predictions import OutputImage
from tests.inference.graphs import build, picture_input

ROOT = Path(__file__).resolve().parents[3]


def save_model(
    folder: Path,
    nodes: list[Any],
    shape_in: list[Any],
    shape_out: list[Any],
    manifest: str,
    consts: list[Any] | None = None,
) -> str:
    """A model folder with a tiny graph image -> out; returns its name."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape_in)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape_out)],
        consts or [],
    )
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    (folder / "model.toml").write_text(
        f'task = "image-to-image"\nhead = "image"\nsha256 = "{sha256_of(folder / "model.onnx")}"\n{manifest}'
    )
    return folder.name


def photo(width: int, height: int) -> Picture:
    ys, xs = np.mgrid[0:height, 0:width]
    channels = [127 + 120 * np.sin(xs / 19), 127 + 120 * np.cos(ys / 23), 127 + 120 * np.sin((xs + ys) / 31)]
    return Picture.of(np.stack(channels, axis=2).astype(np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(500, 300), (64, 64), (300, 2000), (40, 30), (900, 70)])
def test_a_fixed_size_identity_gives_the_picture_back_without_seams(tmp_path: Path, size: tuple[int, int]) -> None:
    nodes = [helper.make_node("Identity", ["image"], ["out"])]
    shape = [1, 3, 64, 64]
    name = save_model(tmp_path / "identity", nodes, shape, shape, "[preprocess]\ndo_rescale = false\n")
    picture = photo(*size)
    made, _ = Registry([tmp_path]).model(name).run(picture)
    assert isinstance(made, OutputImage)
    height, width = made.pixels.shape[:2]
    assert abs(width / height - size[0] / size[1]) < 0.03 * size[0] / size[1]
    expected = np.asarray(picture.image.resize((width, height), Pillow.Resampling.LANCZOS), int)
    assert np.abs(made.pixels.astype(int) - expected).max() <= 1


def test_values_outside_the_range_are_clipped_not_wrapped(tmp_path: Path) -> None:
    from onnx import numpy_helper

    gain = numpy_helper.from_array(np.asarray(-3.0, np.float32), "gain")
    nodes = [helper.make_node("Mul", ["image", "gain"], ["out"])]
    shape = [1, 3, "h", "w"]
    name = save_model(tmp_path / "loud", nodes, shape, shape, "[preprocess]\ndo_rescale = false\n", [gain])
    made, _ = Registry([tmp_path]).model(name).run(photo(50, 40))
    assert isinstance(made, OutputImage)
    assert made.pixels.shape == (40, 50, 3) and made.pixels.max() == 0


def test_alpha_keeps_the_picture_and_takes_the_model_as_transparency(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["image"], ["out"], axes=[1], keepdims=1)]
    name = save_model(
        tmp_path / "matte", nodes, [1, 3, 32, 32], [1, 1, 32, 32], '[postprocess]\nparams = { kind = "alpha" }\n'
    )
    pixels = np.zeros((100, 160, 3), np.uint8)
    pixels[:, 80:] = (255, 255, 255)
    made, _ = Registry([tmp_path]).model(name).run(Picture.of(pixels))
    assert isinstance(made, OutputImage)
    assert np.array_equal(made.pixels[:, :, :3], pixels)
    assert made.pixels[50, 20, 3] == 0 and made.pixels[50, 140, 3] == 255


def test_ab_planes_colour_a_grey_picture_and_keep_its_lightness(tmp_path: Path) -> None:
    from onnx import numpy_helper

    zero = numpy_helper.from_array(np.asarray([0.0], np.float32), "zero")
    ab = numpy_helper.from_array(np.asarray([0.0, 60.0], np.float32).reshape(1, 2, 1, 1), "ab")
    nodes = [helper.make_node("Mul", ["image", "zero"], ["none"]), helper.make_node("Add", ["none", "ab"], ["out"])]
    name = save_model(
        tmp_path / "yellow", nodes, [1, 1, 32, 32], [1, 2, 32, 32],
        '[preprocess]\ncolor_order = "gray"\n[postprocess]\nparams = { kind = "ab" }\n', [zero, ab],
    )  # fmt: skip
    made, _ = Registry([tmp_path]).model(name).run(Picture.of(np.full((60, 90, 3), 128, np.uint8)))
    assert isinstance(made, OutputImage)
    r, g, b = made.pixels[30, 45].tolist()
    assert made.pixels.shape == (60, 90, 3)
    assert b < 60 and abs(r - g) < 45 and 110 < 0.2126 * r + 0.7152 * g + 0.0722 * b < 140


def test_tiles_cover_everything_with_the_overlap_asked_for() -> None:
    assert starts(100, 200, 20) == [0]
    places = starts(1000, 256, 64)
    assert places[0] == 0 and places[-1] == 744
    assert max(b - a for a, b in zip(places, places[1:], strict=False)) <= 192
    assert len(list(tiles((1000, 100), (256, 256), (64, 64)))) == len(places)


def test_blended_tiles_of_equal_value_have_no_seam() -> None:
    blend = Blend((300, 100), 1)
    for x, y in tiles((300, 100), (128, 64), (32, 16)):
        blend.add(np.full((64, 128, 1), 7.0, np.float32), (x, y), (32, 16))
    assert np.allclose(blend.result(), 7.0)


REAL = {
    "style-candy-256": (1024, None),
    "style-mosaic-128": (1024, None),
    "cartoon-whitebox-512": (None, None),
    "edge-ldc-640x360": (None, None),
    "superres-espcn-x3": (None, 3),
    "colorize-unet-cifar": (None, 1),
    "cutout-deeplabv3-257": (None, 1),
}


@pytest.fixture(scope="module")
def real(shared: Path) -> Registry:
    return Registry([ROOT / "tests/models"], weights=Weights([shared / "models"]))


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.parametrize("name", REAL)
def test_the_real_models_keep_the_aspect_and_a_useful_size(name: str, real: Registry, shared: Path) -> None:
    picture = decode((shared / "media/faces/happy.jpg").read_bytes())
    small = Picture(picture.image.resize((180, 160)), (180, 160))  # a single tile of most
    made, _ = real.model(name).run(small)
    assert isinstance(made, OutputImage)
    height, width = made.pixels.shape[:2]
    assert abs(width / height - 1.125) < 0.02
    factor = REAL[name][1]
    assert width == 180 * factor if factor else width >= 180
    assert made.pixels.shape[2] == (4 if name.startswith("cutout") else 3)
    assert made.pixels.std() > 10  # a picture, not a plane of a single colour


@pytest.mark.slow
@pytest.mark.needs_shared
def test_super_resolution_is_about_as_near_to_the_original_as_bicubic(real: Registry, shared: Path) -> None:
    """On area-reduced photos this network measures 26.2 dB against bicubic's 26.5 dB."""
    files = sorted((shared / "media/coco/val2017").glob("*.jpg"))[:3]
    ours, plain = [], []
    for file in files:
        image = decode(file.read_bytes()).image
        image = image.crop((0, 0, image.width // 3 * 3, image.height // 3 * 3))
        small = image.resize((image.width // 3, image.height // 3), Pillow.Resampling.BOX)
        made, _ = real.model("superres-espcn-x3").run(Picture(small, small.size))
        assert isinstance(made, OutputImage)
        ours.append(_psnr(Pillow.fromarray(made.pixels), image))
        plain.append(_psnr(small.resize(image.size, Pillow.Resampling.BICUBIC), image))
    assert np.mean(ours) > np.mean(plain) - 1.0


def _psnr(a: Pillow.Image, b: Pillow.Image) -> float:
    difference = np.asarray(a.convert("L"), float) - np.asarray(b.convert("L"), float)
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


@pytest.mark.parametrize("params", ["", "params = { whole = true }"])
def test_a_centre_crop_leaves_out_nothing_of_the_picture(params: str, tmp_path: Path) -> None:
    """Else what is redacted would lie elsewhere in the output: here red says how far to the right a pixel is."""
    images = picture_input("images", 48)
    shape = images["images"][1]
    build(tmp_path / "same/model.onnx", images, [("Identity", "images", "out")], {"out": ("float32", shape)})
    (tmp_path / "same/model.toml").write_text(
        'name = "same"\ntask = "image-to-image"\nhead = "image"\n[preprocess]\nsize = { shortest_edge = 64 }\n'
        f"do_center_crop = true\ncrop_size = {{ height = 48, width = 48 }}\n[postprocess]\n{params}\n"
    )
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[:, :, 0] = np.linspace(0, 255, 120)
    output, _ = Registry([tmp_path]).model("same").run(Picture.of(pixels))
    assert isinstance(output, OutputImage)
    red = output.pixels[output.pixels.shape[0] // 2, :, 0].astype(int)
    assert red[0] < 8 and red[-1] > 247 and abs(int(red[len(red) // 4]) - 64) < 6
