"""The real files of ../shared, what is refused, and `models check`.

Where a graph is made here, a tiny graph stands in for the file, with the exporter's exact names, shapes and side files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from inference.engine.model import Model
from inference.engine.registry import BUILT_IN, Registry
from inference.errors import BadManifest, BadModel
from inference.image.media import decode
from inference.manifest import read_manifest
from inference.recognize import examine, manifest_of, recognize
from tests.inference.graphs import picture_input, save
from tests.inference.recognize.support import WIDE, answer, boxes, floats
from tests.inference.recognize.test_ultralytics import ultralytics

REAL = {
    "det-nanodet-m-320": "NanoDet",
    "det-nanodet-m-416": "NanoDet",
    "det-person-192": "YOLOX",
    "det-picodet-s-320": "PicoDet",
    "det-picodet-s-416": "PicoDet",
    "det-ssd-mobilenetv1-tf": "TensorFlow object detection",
    "det-yolox-nano": "YOLOX",
    "face-ultraface-rfb320": "UltraFace",
    "face-ultraface-rfb640": "UltraFace",
    "face-yunet-2023mar": "YuNet",
    "face-yunet-n-dynamic": "YuNet",
    "pose-movenet-lightning": "MoveNet",
    "ultra-yolo11n-320": "Ultralytics",
    "ultra-yolo26n-end2end": "Ultralytics",
    "ultra-yolov8n-320": "Ultralytics",
    "ultra-yolov8n-640": "Ultralytics",
    "ultra-yolov8n-640-old": "Ultralytics",
    "ultra-yolov8n-seg-320": "Ultralytics",
}


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.parametrize("name", REAL)
def test_a_real_file_is_recognised_as_its_hand_written_manifest_has_it(name: str, shared: Path) -> None:
    """Preprocessing and decoding equal those of the manifest whose accuracy is measured."""
    export, draft = examine(shared / "models" / name)
    ours, written = (
        manifest_of(export, draft),
        read_manifest(Path(__file__).parents[2] / "models" / name / "model.toml"),
    )
    assert draft.family == REAL[name]
    assert (ours.task, ours.head, ours.label_offset) == (written.task, written.head, written.label_offset)
    spec = Model(ours, export.session, "").spec
    fixed = spec.height is not None
    for field in vars(ours.preprocess):
        if not (field == "size" and fixed):
            assert getattr(ours.preprocess, field) == getattr(written.preprocess, field), field
    if ours.head != "yolox":  # its authors suppress at 0.45, the reference figures were measured at 0.6
        assert ours.postprocess.iou_threshold == written.postprocess.iou_threshold
    if name != "det-person-192":  # nothing in the file names its class
        assert ours.labels == written.labels


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.parametrize("turned", [False, True])
def test_a_real_grid_is_read_alike_without_the_metadata_that_names_it(
    turned: bool, shared: Path, tmp_path: Path
) -> None:
    """The metadata of YOLOv5 and v9, free axes, and the two axes of the grid in either order."""
    file = shared / "models/ultra-yolov8n-320/model.onnx"
    model = onnx.load(str(file))
    names = next(p.value for p in model.metadata_props if p.key == "names")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"stride": "32", "names": names})
    (output,) = model.graph.output
    if turned:
        model.graph.node.append(onnx.helper.make_node("Transpose", [output.name], ["turned"], perm=[0, 2, 1]))
        output.name = "turned"
    for axis in output.type.tensor_type.shape.dim:
        axis.dim_param = "free"
    onnx.save(model, str(tmp_path / "best.onnx"))
    photo = decode((shared / "media/coco/val2017/000000000139.jpg").read_bytes())
    found = [answer(path, photo)[2] for path in (file, tmp_path)]
    assert len(boxes(found[0])) > 3 and boxes(found[0]) == boxes(found[1])


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("cls-mobilenetv2-int8", ("classifier", "embedding")),
        ("cls-mobilenetv2-tf-uint8", ("classifier", "embedding")),
        ("reid-person-0248", ("classifier", "embedding")),
        ("fer-mini-xception", ("classifier",)),
        ("seg-deeplabv3-mnv2-257", ("semantic",)),
        ("seg-deeplabv3-513-argmax", ("semantic",)),
        ("style-mosaic-128", ("image", "semantic")),
        ("superres-espcn-x3", ("image",)),
        ("action-ucf50-lrcn", ("video-classification",)),
        ("_odd/official-but-useless-pphumanseg_2023mar_int8.onnx", ("semantic",)),
    ],
)
def test_what_says_nothing_of_its_preprocessing_is_refused_with_candidates(
    name: str, candidates: tuple[str, ...], shared: Path
) -> None:
    with pytest.raises(BadManifest, match="states its preprocessing") as refused:
        recognize(shared / "models" / name)
    assert all(f'"{c}"' in str(refused.value) for c in candidates) and "[preprocess]" in str(refused.value)


def test_a_plain_grid_could_be_any_yolov2(tmp_path: Path) -> None:
    save(tmp_path / "tiny.onnx", picture_input("image", 416), {"grid": np.zeros((1, 125, 13, 13), np.float32)})
    with pytest.raises(BadManifest, match='head = "yolo_grid"'):
        recognize(tmp_path)


def test_a_folder_of_several_models_asks_for_one(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        save(tmp_path / name, picture_input("images"), {"output": np.zeros((1, 84, 6), np.float32)})
    with pytest.raises(BadManifest, match=r"found 2 models \(a\.onnx, b\.onnx\)"):
        recognize(tmp_path)


def test_the_registry_serves_a_folder_straight_out_of_an_exporter(tmp_path: Path) -> None:
    raw = np.zeros((1, 6, 84), np.float32)
    raw[0, :, 3] = 32, 32, 20, 10, 0.1, 0.9
    ultralytics(tmp_path / "pets", "detect", {"output0": raw})
    registry = Registry([tmp_path])
    (entry,) = registry.list()
    assert entry.name == "pets" and not entry.reason
    assert boxes(registry.model("pets").run(WIDE)[0]) == [("dog", 0.9, [44.0, 22.0, 84.0, 42.0])]


@pytest.mark.slow
def test_models_check_prints_a_manifest_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from inference.__main__ import main

    raw = np.zeros((1, 56, 84), np.float32)
    raw[0, :, 7] = *(30, 32, 20, 12, 0.9), *([20, 32, 0.7] * 17)
    folder = ultralytics(
        tmp_path / "pose", "pose", {"output0": raw}, names="{0: 'a \"quoted\" person'}", kpt_shape="[17, 3]"
    )
    assert main(["models", "check", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "recognised as Ultralytics" in text and "task=pose" in text and 'a "quoted" person' in text
    (folder / "model.toml").write_text(text.split("model.toml:\n\n")[1], "utf-8")
    (entry,) = Registry([tmp_path]).list()
    before = manifest_of(*examine(folder))
    assert entry.manifest is not None
    assert (entry.manifest.preprocess, entry.manifest.postprocess) == (before.preprocess, before.postprocess)
    assert main(["models", "check", str(folder)]) == 0
    assert "declared by" in capsys.readouterr().out


def test_labels_beside_the_file_that_do_not_fit_are_refused_not_left_out(tmp_path: Path) -> None:
    save(tmp_path / "net/net.onnx", picture_input("images"), {"output": np.zeros((1, 84, 85), np.float32)})
    (tmp_path / "net/labels.txt").write_text("cat\ndog\n", "utf-8")
    with pytest.raises(BadModel, match="80 classes, the label list 2 names"):
        Registry([tmp_path]).model("net")


def test_labels_that_are_only_assumed_are_said_to_be(tmp_path: Path) -> None:
    values = {"boxes": floats([0, 0, 9, 9]), "labels": np.ones(1, np.int64), "scores": floats(0.9)}
    save(tmp_path / "net.onnx", picture_input("image"), values)
    assert any("coco91 is assumed" in guess for guess in examine(tmp_path)[1].assumed)
    (tmp_path / "labels.txt").write_text("background\ncat\n", "utf-8")
    assert not any("coco91" in guess for guess in examine(tmp_path)[1].assumed)


@pytest.mark.slow
def test_a_manifest_beside_a_file_speaks_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from inference.__main__ import main

    file = save(tmp_path / "pets/net.onnx", picture_input("x"), {"y": floats([0.1, 0.9])})
    text = 'task = "image-classification"\nhead = "classifier"\nfile = "net.onnx"\nlabels = ["cat", "dog"]\n'
    (tmp_path / "pets/model.toml").write_text(text, "utf-8")
    other = save(tmp_path / "pets/other.onnx", picture_input("x"), {"y": floats([0.1, 0.9])})
    (entry,) = Registry([file]).list()
    assert (entry.name, entry.reason) == ("pets", None)
    assert Registry([other]).list()[0].reason  # it speaks of the file that it names only
    assert main(["models", "check", str(file)]) == 0
    assert "declared by" in capsys.readouterr().out
    (tmp_path / "pets/model.toml").write_text(text + f'sha256 = "{"0" * 64}"\n', "utf-8")
    assert main(["models", "check", str(file)]) == 2
    assert "its sha256 is" in capsys.readouterr().err
    (tmp_path / "pets/model.toml").write_text(text.replace("head", "haed"), "utf-8")
    assert main(["models", "check", str(file)]) == 2
    assert "did you mean 'head'?" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["colors", "embed"])
def test_check_runs_what_needs_no_file_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from inference.__main__ import main

    assert main(["models", "check", str(BUILT_IN / name)]) == 0
    assert "ran once" in capsys.readouterr().out
