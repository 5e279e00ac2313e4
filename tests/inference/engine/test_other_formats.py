"""What people bring in place of an .onnx file is named, with a way on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from inference.__main__ import main
from inference.engine.registry import BUILT_IN, Registry
from inference.errors import BadModel
from tests.inference.engine.test_folders import entries
from tests.inference.graphs import picture_input, save

UNUSED = {
    "a1b2c3.ONNX.zip": "an archive: unpack it into a folder of its own",
    "best.pt": "PyTorch weights, .*`yolo export model=best.pt format=onnx`",
    "net.PTH": "torch.onnx.export",
    "model.pkl": "skl2onnx",
    "checkpoint.pth.tar": "torch.onnx.export",
    "model.onnx.crdownload": "an unfinished download",
    "model.safetensors": "optimum-cli export onnx",
    "detect.tflite": "tf2onnx.convert --tflite detect.tflite",
    "frozen.pb": "--graphdef frozen.pb",
    "net.h5": "tf2onnx.convert --keras net.h5",
    "net.keras": "a Keras model",
    "net.engine": "a TensorRT engine",
    "net.trt": "a TensorRT engine",
    "net.mlmodel": "a Core ML model",
    "ir.xml": "OpenVINO IR",
    "net.ort": "ONNX Runtime's own format",
    "inference.pdmodel": "paddle2onnx",
}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    shutil.copytree(BUILT_IN / "sketch", tmp_path / "sketch")
    return tmp_path


def test_what_is_brought_in_place_of_a_model_is_named_with_a_way_on(models: Path) -> None:
    for name in UNUSED:
        (models / name).write_bytes(b"0123")
    (models / "ir.bin").write_bytes(b"0123")
    (models / "apple.mlpackage").mkdir()
    found = entries(models)
    assert set(found) == {"sketch", "apple.mlpackage", *UNUSED}
    for name, words in UNUSED.items():
        entry = found[name]
        assert entry.unused and pytest.raises(BadModel, Registry([models]).entry, name).match(words)
    with pytest.raises(
        BadModel, match="no model is called 'detect'; detect.tflite cannot be used: this is a TensorFlow"
    ):
        Registry([models]).entry("detect")


def test_what_belongs_there_is_not_mentioned(models: Path) -> None:
    for name in (
        "README.md", ".DS_Store", "Thumbs.db", "labels.txt", "notes.json", "pipelines.toml", "data.yaml", "x.onnx.data",
        "photo.jpg", "export.py", "plain.bin", "table.xml", "._used.onnx", ".hidden.pt",
    ):  # fmt: skip
        (models / name).write_bytes(b"0123")
    for name in (".git", "_public", "__MACOSX"):
        (models / name).mkdir()
    save(models / "used.onnx", picture_input("data"), {"y": np.zeros((1, 2), np.float32)})
    (models / "used.pt").write_bytes(b"0123")  # what it was exported from
    (models / "sketch.zip").write_bytes(b"0123")  # what was unpacked
    assert set(entries(models)) == {"sketch", "used"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((), "no .onnx file here; it is empty"),
        (("notes.txt", "a/b.jpg"), r"no .onnx file here; it holds a, a/b.jpg, notes.txt"),
        (("weights/best.pt",), "weights/best.pt is PyTorch weights"),
        (("net.xml", "net.bin"), "net.xml is OpenVINO IR"),
        (("config.json", "model.safetensors"), "optimum-cli export onnx"),
        (("config.json", "pytorch_model.bin"), "optimum-cli export onnx"),
        (("saved_model.pb", "variables/variables.index"), "--saved-model FOLDER"),
        (("._model.onnx", "model.engine"), "a TensorRT engine"),
    ],
)
def test_a_folder_without_a_model_says_what_is_there(files: tuple[str, ...], words: str, models: Path) -> None:
    (models / "brought").mkdir()
    for name in files:
        (models / "brought" / name).parent.mkdir(exist_ok=True)
        (models / "brought" / name).write_bytes(b"0123")
    entry = entries(models)["brought"]
    assert entry.unused
    with pytest.raises(BadModel, match=f"model 'brought' cannot be used: .*{words}"):
        Registry([models]).entry("brought")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("best.pt", b"PK\x03\x04", "yolo export model=best.pt format=onnx"),
        ("best.onnx", b"PK\x03\x04" + bytes(26) + b"best/data.pkl", "this is PyTorch weights"),
        ("model.onnx", b"PK\x03\x04" + bytes(26) + b"model.onnx", "this is an archive: unpack it"),
        ("model.onnx", b"\x1f\x8b\x08", "this is an archive: unpack it"),
        ("model.onnx", b"\x1c\x00\x00\x00TFL3", "this is a TensorFlow Lite model"),
        ("model.onnx", b"\x89HDF\r\n\x1a\n", "this is a Keras model"),
        ("model.onnx", b"\x18\x00\x00\x00ORTM", "ONNX Runtime's own format"),
        ("model.onnx", b"\x80\x04\x95", "a pickled Python object"),
        ("model.xml", b"<?xml version='1.0'?><net>", "this is OpenVINO IR"),
        ("detect.tflite", b"version https://git-lfs", "this is a TensorFlow Lite model"),
        ("model.onnx", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ],
)
def test_check_has_the_right_words_for_each_kind(
    name: str, content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "model.bin").touch()
    assert main(["models", "check", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert words in said and "not a complete ONNX file" not in said and said.count("\n") == 1
