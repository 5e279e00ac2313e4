"""What lies in a folder of models: one odd thing never costs another model anything, and is named with a way on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inference.__main__ import main
from inference.engine.registry import BUILT_IN, InstalledModel, Registry
from inference.engine.weights import Weights
from inference.errors import BadModel
from tests.inference.engine.test_replaced_models import pets
from tests.inference.graphs import picture_input, save

CONFIG = '{"architectures": ["ViTForImageClassification"], "id2label": {"0": "cat", "1": "dog"}}'
PROCESSOR = '{"do_resize": true, "size": {"height": 64, "width": 64}, "resample": 2}'
ULTRALYTICS = {"author": "Ultralytics", "task": "detect", "stride": "32", "imgsz": "[64, 64]", "names": "{0: 'cat'}"}


def entries(folder: Path) -> dict[str, InstalledModel]:
    return {entry.name: entry for entry in Registry([folder], weights=Weights([])).list()}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    shutil.copytree(BUILT_IN / "sketch", tmp_path / "sketch")
    return tmp_path


def odd(folder: Path, **files: str | bytes) -> Path:
    """A Hugging Face classifier in folder/odd with other side files: `config` and `preprocessor_config`."""
    save(folder / "odd/model.onnx", picture_input("pixel_values"), {"logits": np.asarray([[0.1, 0.9]], np.float32)})
    for name, text in {"config": CONFIG, "preprocessor_config": PROCESSOR, **files}.items():
        (folder / "odd" / f"{name}.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / "odd"


def changed(text: str, **members: object) -> str:
    return json.dumps({**json.loads(text), **members})


def ultralytics(folder: Path, **metadata: str) -> None:
    output = {"output0": np.zeros((1, 5, 84), np.float32)}
    save(folder / "odd/best.onnx", picture_input("images"), output, metadata={**ULTRALYTICS, **metadata})


def beside(folder: Path, metadata: dict[str, str] | None = None, **files: str) -> None:
    """A classifier with side files of other ecosystems."""
    save(folder / "odd/model.onnx", picture_input("data"), {"y": np.asarray([[0.1, 0.9]], np.float32)}, None, metadata)
    for name, text in files.items():
        (folder / "odd" / name.replace("__", ".")).write_text(text)


def without_rights(folder: Path) -> None:
    """As a link that leads nowhere; a test may run as a user who may read everything."""
    odd(folder)
    (folder / "odd/config.json").unlink()
    (folder / "odd/config.json").symlink_to("nowhere")


def a_folder_in_its_place(folder: Path) -> None:
    odd(folder)
    (folder / "odd/config.json").unlink()
    (folder / "odd/config.json").mkdir()


def manifest(folder: Path, text: bytes) -> None:
    (folder / "odd").mkdir()
    (folder / "odd/model.toml").write_bytes(text)


ODD: dict[str, Callable[[Path], object]] = {
    "labels as a list": lambda f: odd(f, config=changed(CONFIG, id2label=["cat", "dog"])),
    "labels the wrong way round": lambda f: odd(f, config=changed(CONFIG, id2label={"cat": 0, "dog": 1})),
    "labels that are numbers": lambda f: odd(f, config=changed(CONFIG, id2label={"0": None, "1": {}})),
    "architectures as a table": lambda f: odd(f, config=changed(CONFIG, architectures={"a": 1})),
    "resample as a word": lambda f: odd(f, preprocessor_config=changed(PROCESSOR, resample="best")),
    "size as a text": lambda f: odd(f, preprocessor_config=changed(PROCESSOR, size="large")),
    "mean as a table": lambda f: odd(f, preprocessor_config=changed(PROCESSOR, image_mean={"r": 1})),
    "timm's size is null": lambda f: odd(f, config='{"architecture": "vit", "pretrained_cfg": {"input_size": null}}'),
    "deeply nested": lambda f: odd(f, config="[" * 100_000),
    "a number of thousands of digits": lambda f: odd(f, config='{"a": ' + "9" * 5000 + "}"),
    "cut off": lambda f: odd(f, config=CONFIG[:40]),
    "bytes": lambda f: odd(f, config=bytes(range(128, 256))),
    "a link that leads nowhere": without_rights,
    "a folder in its place": a_folder_in_its_place,
    "Ultralytics, names the wrong way round": lambda f: ultralytics(f, names="{'cat': 0}"),
    "Ultralytics, names deeply nested": lambda f: ultralytics(f, names="[" * 50_000),
    "Ultralytics, no size": lambda f: ultralytics(f, imgsz="None"),
    "Ultralytics, a stride of words": lambda f: ultralytics(f, stride="many"),
    "OpenVINO": lambda f: beside(f, {"model_info model_type": "yolov8", "model_info confidence_threshold": "None"}),
    "Custom Vision, a text": lambda f: beside(f, cvexport__manifest='"text"'),
    "Custom Vision, names of files": lambda f: beside(f, cvexport__manifest='{"LabelFileName": "../../etc/passwd"}'),
    "Custom Vision, a number": lambda f: beside(f, cvexport__manifest='{"LabelFileName": 5}'),
    "Paddle, no mean": lambda f: beside(f, infer_cfg__yml="Preprocess: [{type: NormalizeImage}]"),
    "Paddle, no table": lambda f: beside(f, infer_cfg__yml="[1, 2]"),
    "Roboflow": lambda f: beside(f, inference_config__json='{"network_input": {"normalization": {"a": 1}}}'),
    "a manifest of bytes": lambda f: manifest(f, b"\xff\xfe\xff"),
    "a manifest with a huge number": lambda f: manifest(f, b"threads = " + b"9" * 5000),
    "a manifest of nested lists": lambda f: manifest(f, b"a = " + b"[" * 5000),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_one_odd_side_file_costs_no_other_model_anything(kind: str, models: Path) -> None:
    ODD[kind](models)
    found = entries(models)
    assert found["sketch"].reason is None
    reason = found["odd"].reason  # some kinds can be read without what is odd: that is the recogniser's to say
    assert reason is None or ("\n" not in reason and str(models / "odd") in reason and len(reason) < 700)
    registry = Registry([models], weights=Weights([]))
    assert registry.model("sketch") and registry.digest("sketch")


@pytest.mark.slow
def test_the_command_line_goes_on_too(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ODD["labels the wrong way round"](models)
    assert main(["models", "list", "--models", str(models)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(row.startswith("sketch ") and " yes " in row for row in rows)
    assert any(row.startswith("odd ") and "skipped: " in row for row in rows)
    picture = str(BUILT_IN.parent / "samples/photographer.jpg")
    assert main(["analyze", picture, "--models", str(models), "--model", "sketch", "--json"]) == 0
    assert main(["models", "check", str(models / "odd")]) == 1
    assert capsys.readouterr().out.count("not recognised: ") == 1


def test_what_nobody_foresaw_names_the_files_and_the_exception(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise KeyError("some member")

    odd(models)
    monkeypatch.setattr("inference.recognize._FAMILIES", (lambda export: export.json("config.json") and None, broken))
    reason = str(entries(models)["odd"].reason)
    assert "one of its side files (config.json) holds something unexpected (KeyError: 'some member')" in reason
    assert "write a model.toml" in reason


@pytest.mark.parametrize("step", ["read_manifest", "examine"])
def test_any_exception_is_the_reason_of_one_model(models: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise ZeroDivisionError(f"about {path.name}")

    shutil.copytree(BUILT_IN / "sketch", models / "second")
    save(models / "loose.onnx", picture_input("data"), {"y": np.zeros((1, 2), np.float32)})
    monkeypatch.setattr(
        "inference.engine.folders.read_manifest" if step == "read_manifest" else "inference.recognize.examine", fail
    )
    found = entries(models)
    for name in ("sketch", "second") if step == "read_manifest" else ("loose",):
        assert "it cannot be read (ZeroDivisionError: about " in str(found[name].reason)
    assert set(found) == ({"sketch", "second", "loose"} if step == "read_manifest" else {"sketch", "loose"})


def test_a_folder_that_cannot_be_read_is_one_entry(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd(models)
    listing = Path.rglob

    def rglob(self: Path, pattern: str) -> object:
        if self.name == "odd":
            raise PermissionError(13, "Permission denied")
        return listing(self, pattern)

    monkeypatch.setattr(Path, "rglob", rglob)
    found = entries(models)
    assert found["sketch"].reason is None and "cannot be read (Permission denied)" in str(found["odd"].reason)


def test_names_that_are_not_utf_8(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for odd_name in (b"\xff.onnx", b"d\xff/model.onnx"):
        path = Path(os.fsdecode(os.path.join(os.fsencode(models), odd_name)))
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError:
            pytest.skip("this file system has only UTF-8 names")
        save(path, picture_input("data"), {"y": np.zeros((1, 2), np.float32)})
    (models / "red\x1b[31m.pt").touch()
    found = entries(models)
    assert found["sketch"].reason is None
    for name in ("\udcff", "d\udcff"):
        assert "this name is not UTF-8" in str(found[name].reason) and "rename" in str(found[name].reason)
    assert main(["models", "list", "--models", str(models)]) == 0
    shown = capsys.readouterr().out
    assert "sketch" in shown and "\x1b" not in shown and "\\udcff" in shown


def test_capitals_serve(models: Path) -> None:
    save(
        models / "CAMERA.ONNX",
        picture_input("images"),
        {"output0": np.zeros((1, 5, 84), np.float32)},
        None,
        ULTRALYTICS,
    )
    save(
        models / "hall/Model.Onnx",
        picture_input("images"),
        {"output0": np.zeros((1, 5, 84), np.float32)},
        None,
        ULTRALYTICS,
    )
    found = entries(models)
    assert found["CAMERA"].reason is None and found["hall"].reason is None
    assert Registry([models / "hall" / "Model.Onnx"]).model("hall")
    assert Registry([models]).model("CAMERA").manifest.labels == ("cat",)


def test_side_files_in_capitals_are_read(models: Path) -> None:
    folder = odd(models)
    for name in ("config", "preprocessor_config"):
        (folder / f"{name}.json").rename(folder / f"{name.capitalize()}.JSON")
    manifest = entries(models)["odd"].manifest
    assert manifest and manifest.labels == ("cat", "dog")


def test_a_model_in_a_folder_that_is_called_like_a_file_serves(models: Path) -> None:
    (models / "sketch").rename(models / "sketch.pt")
    assert entries(models)["sketch"].reason is None
    odd(models).rename(models / "odd.zip")
    assert entries(models)["odd.zip"].reason is None


def test_a_manifest_beside_a_file_of_another_name_says_which(models: Path) -> None:
    shutil.move(models / "sketch/model.onnx", models / "sketch/Model.onnx")
    with pytest.raises(BadModel, match='should it be Model.onnx, say file = "Model.onnx"'):
        Registry([models], weights=Weights([])).entry("sketch")


@pytest.mark.slow
def test_a_manifest_in_a_folder_unpacked_twice_speaks_for_its_model(models: Path) -> None:
    """Archives are often unpacked into a folder of their own name; the name is that of the outer one."""
    shutil.move(models / "sketch", models / "inner")
    (models / "drawings").mkdir()
    shutil.move(models / "inner", models / "drawings/inner")
    assert list(entries(models)) == ["sketch"]  # its model.toml says so
    declared = models / "drawings/inner/model.toml"
    declared.write_text(declared.read_text("utf-8").replace('name = "sketch"', ""), "utf-8")
    entry = entries(models)["drawings"]
    assert entry.reason is None and entry.manifest
    assert (entry.manifest.name, entry.manifest.head) == ("drawings", "image")
    assert main(["models", "check", str(models / "drawings")]) == 0


@pytest.mark.parametrize("name", ["Model.toml", "model.toml.txt", "MODEL.TOML"])
def test_a_manifest_under_another_name_is_not_passed_over(name: str, models: Path) -> None:
    """Else the side files would be believed, and what the manifest says would not."""
    (odd(models) / name).write_text('task = "image-classification"\nhead = "classifier"\n')
    if not (models / "odd/model.toml").is_file():  # it is, where names have no case
        assert f"odd/{name}: it is not read under this name; rename it to model.toml" in str(
            entries(models)["odd"].reason
        )


def test_other_files_beside_the_plain_one_are_said(models: Path) -> None:
    shutil.copy(odd(models) / "model.onnx", models / "odd/model_fp16.onnx")
    assert 'model.onnx is used, not model_fp16.onnx; file = "model_fp16.onnx"' in entries(models)["odd"].assumed[0]


@pytest.mark.parametrize(("name", "label"), [("a\nb", "a b"), ("\ud800x", "?x"), ("a\r\nb", "a  b")])
def test_a_label_is_one_line_of_text(name: str, label: str, models: Path) -> None:
    """Else every picture of the model ends in an error of whatever draws or writes it."""
    odd(models, config=changed(CONFIG, id2label={"0": "cat", "1": name}))
    manifest = entries(models)["odd"].manifest
    assert manifest and manifest.labels == ("cat", label)
    shutil.copy(BUILT_IN.parent / "samples/photographer.jpg", models / "p.jpg")
    assert main(["analyze", str(models / "p.jpg"), "--models", str(models), "--model", "odd", "--json"]) == 0


def test_two_files_in_a_folder_ask_for_the_one(models: Path) -> None:
    for name in ("left", "right"):
        save(models / f"both/{name}.onnx", picture_input("data"), {"y": np.zeros((1, 2), np.float32)})
    reason = str(entries(models)["both"].reason)
    assert "found 2 models (left.onnx, right.onnx); put each into a folder of its own" in reason
    assert 'file = "left.onnx"' in reason


def test_what_cannot_be_reached_stops_no_model_beside_it(tmp_path: Path) -> None:
    """Links that no file system follows stand for a share that does not answer and for folders without rights."""
    pets(tmp_path / "pets", 0)
    for name in ("a", ".snapshot", "_old", "b.onnx", "zz"):
        (tmp_path / name).symlink_to("x" * 300)
    found = {entry.name: entry for entry in Registry([tmp_path], weights=Weights([])).list()}
    assert {name for name, entry in found.items() if not entry.reason} == {"pets"}
    assert found["a"].unused and found["a"].reason == "this is a link that leads nowhere"
    assert found["b"].reason is not None and "File name too long" in found["b"].reason
