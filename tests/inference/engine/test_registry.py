"""Manifests, folders of models, weights located by hash, and every refusal in a plain sentence."""

from __future__ import annotations

import io
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from inference.analysis import analyze
from inference.engine.registry import BUILT_IN, Registry
from inference.engine.session import Session
from inference.engine.weights import Weights, sha256_of
from inference.errors import BadManifest, BadModel, ModelUnavailable
from inference.manifest import manifest_from, read_manifest
from inference.routes import Route, Step
from tests.inference.graphs import picture_input, save

MINIMAL = {"name": "m", "task": "object-detection", "head": "yolox"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licens": "MIT"}, "unknown key 'licens'; did you mean 'licence'"),
        ({"preprocess": {"resise_mode": "letterbox"}}, "did you mean 'resize_mode'"),
        ({"preprocess": {"resize_mode": "letterboks"}}, "did you mean 'letterbox'"),
        ({"task": "object-detektion"}, "did you mean 'object-detection'"),
        ({"preprocess": {"do_rescale": "yes"}}, "expected true or false"),
        ({"postprocess": {"iou_threshold": True}}, "expected a number"),
        (
            {"postprocess": {"confidence_threshold": 40}},
            "confidence_threshold is 40, expected a score from 0 to 1; did you mean 0.4",
        ),
        ({"postprocess": {"iou_threshold": -0.1}}, "iou_threshold is -0.1, expected a number from 0 to 1"),
        ({"labels": "../../secrets.txt"}, "leaves the model's folder"),
        ({"labels": "builtin:coco8"}, "did you mean 'coco80'"),
        ({"labels": "missing.txt"}, "cannot be read"),
    ],
)
def test_a_wrong_manifest_names_the_key_and_the_nearest_right_one(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadManifest, match=message):
        manifest_from({**MINIMAL, **change}, "model.toml", tmp_path)


def test_a_manifest_without_a_task_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text('head = "yolox"\n')
    with pytest.raises(BadManifest, match="'task' must be given"):
        read_manifest(tmp_path / "model.toml")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in ("classify", "sketch"):
        shutil.copytree(BUILT_IN / name, tmp_path / name)
    return tmp_path


def test_one_bad_model_does_not_take_the_others_down(models: Path) -> None:
    (models / "broken").mkdir()
    (models / "broken" / "model.toml").write_text("task = 3\n")
    (models / "web-page.onnx").write_text("<!DOCTYPE html><html></html>")
    registry = Registry([models], weights=Weights([]))
    reasons = {e.name: e.reason for e in registry.list()}
    assert reasons["classify"] is None
    assert reasons["sketch"] is None
    assert reasons["broken"] and "'head' must be given" in reasons["broken"] or "task" in str(reasons["broken"])
    assert reasons["web-page"] and "web page" in reasons["web-page"]
    assert registry.model("classify").manifest.name == "classify"


def test_a_wrong_hash_is_never_loaded(models: Path) -> None:
    with (models / "classify" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BadModel, match="its sha256 is"):
        Registry([models]).model("classify")


def test_labels_that_do_not_fit_are_refused(models: Path) -> None:
    labels = models / "classify" / "labels.txt"
    labels.write_text("\n".join(labels.read_text().splitlines()[:-1]))
    with pytest.raises(BadModel, match="200 classes, the label list 199"):
        Registry([models]).model("classify")


@pytest.mark.parametrize(("lines", "message"), [(3, ""), (4, "line 2 of its label list is empty, and 4 lines are not")])
def test_an_empty_line_keeps_its_place_where_the_count_fits(lines: int, message: str, tmp_path: Path) -> None:
    """The class without a name is called by its number, and "dog" stays the third."""
    save(tmp_path / "pets/model.onnx", picture_input("data"), {"y": np.asarray([[0.1, 0.5, 0.4]], np.float32)})
    text = "\n".join(["cat", "", "dog", "bird"][:lines])
    (tmp_path / "pets/labels.txt").write_bytes(text.encode("utf-16"))
    (tmp_path / "pets/model.toml").write_text(
        'task = "image-classification"\nhead = "classifier"\nlabels = "labels.txt"\n'
    )
    registry = Registry([tmp_path], weights=Weights([]))
    if message:
        with pytest.raises(BadModel, match=message):
            registry.model("pets")
    else:
        assert registry.model("pets").manifest.labels == ("cat", "1", "dog")


def test_a_mark_that_an_exporter_took_for_a_letter_is_no_part_of_a_name(tmp_path: Path) -> None:
    manifest = manifest_from({**MINIMAL, "labels": ["\ufeffface", "c\0a\0t\0"]}, "model.toml", tmp_path)
    assert manifest.labels == ("face", "cat")


def test_labels_in_a_code_page_are_refused_with_a_way_on(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"cat\r\nL\xf6we\r\n")
    with pytest.raises(
        BadManifest, match=r"line 2, b'L.xf6we', is not UTF-8 text\); save it as UTF-8, a label per line"
    ):
        manifest_from({**MINIMAL, "labels": "labels.txt"}, "model.toml", tmp_path)


def test_a_head_that_does_not_fit_is_refused(models: Path) -> None:
    manifest = models / "sketch" / "model.toml"
    text = (
        manifest.read_text()
        .split("[postprocess]")[0]
        .replace('"image-to-image"', '"object-detection"')
        .replace('"image"', '"yolox"')
    )
    manifest.write_text(text)
    with pytest.raises(BadModel, match="head yolox expects"):
        Registry([models]).model("sketch")


def test_weights_are_found_by_their_hash(models: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    (models / "classify" / "model.onnx").rename(elsewhere / "any name.onnx")
    weights = Weights([tmp_path / "elsewhere"])
    assert weights.find(sha256_of(elsewhere / "any name.onnx")) == elsewhere / "any name.onnx"
    registry = Registry([models / "classify"], weights=weights)
    assert registry.entry("classify").weights == elsewhere / "any name.onnx"
    without = Registry([models / "classify"], weights=Weights([])).list()[0]
    assert without.reason and "no file in DROPSIGHT_WEIGHTS" in without.reason


def test_research_models_can_be_left_out(models: Path) -> None:
    registry = Registry([models], allow_research=False)
    with pytest.raises(BadModel, match="research only"):
        registry.model("classify")
    assert registry.model("sketch").manifest.use == "any"


@pytest.mark.parametrize("word", ["false", "0", "No", " off "])
def test_every_word_for_no_leaves_research_models_out(models: Path, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DROPSIGHT_ALLOW_RESEARCH_MODELS", word)
    assert {entry.name: bool(entry.reason) for entry in Registry([models]).list()}["classify"]
    monkeypatch.setenv("DROPSIGHT_ALLOW_RESEARCH_MODELS", "flase")
    with pytest.raises(BadModel, match="'flase', expected true or false"):
        Registry([models])


def test_a_provider_that_is_not_there_is_said_in_the_result(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DROPSIGHT_PROVIDERS", "openvino")
    picture = np.zeros((70, 70, 3), np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(picture).save(buffer, "PNG")
    result = analyze(buffer.getvalue(), Route("r", (Step("classify"),)), Registry([models])).result
    facts = result.to_json()["steps"][0]["model"]
    assert facts["provider"] == "CPUExecutionProvider"
    assert facts["provider_asked"] == "OpenVINOExecutionProvider"
    monkeypatch.setenv("DROPSIGHT_PROVIDERS", "cudda")
    with pytest.raises(BadModel, match="did you mean 'cuda'"):
        Registry([models])


def test_an_unknown_model_suggests_the_nearest(models: Path) -> None:
    with pytest.raises(BadModel, match="did you mean 'classify'"):
        Registry([models]).model("clasify")


def test_a_misspelt_name_of_a_model_that_cannot_be_used_is_no_other_of_the_catalog(models: Path) -> None:
    words = (
        "no model is called 'clasify'; did you mean 'classify'\\? It cannot be used: for research only, and DROPSIGHT"
    )
    with pytest.raises(BadModel, match=words):
        Registry([models], allow_research=False).model("clasify")


def test_many_threads_share_one_session(models: Path) -> None:
    registry = Registry([models])
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(id(registry.model("classify")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_the_cache_lets_the_oldest_go_when_memory_is_short(models: Path) -> None:
    registry = Registry([models], memory=1)
    first = registry.model("classify")
    registry.model("sketch")
    assert registry.model("classify") is not first


def test_a_changed_manifest_changes_the_digest_and_is_loaded_anew(models: Path) -> None:
    registry = Registry([models])
    first, before = registry.model("classify"), registry.digest("classify")
    manifest = models / "classify" / "model.toml"
    manifest.write_text(manifest.read_text().replace('version = "1"', 'version = "2"'))
    registry.refresh()
    assert registry.digest("classify") != before
    assert registry.model("classify") is not first
    assert registry.model("classify").manifest.version == "2"


def test_the_digest_is_computed_once_until_the_weights_change(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry([models])
    before = registry.digest("classify")
    with monkeypatch.context() as patch:
        patch.setattr("inference.engine.registry.asdict", None)  # computing it anew would fail
        assert registry.digest("classify") == before
    with (models / "classify" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert registry.digest("classify") != before
    assert registry.digest("sketch") not in (before, registry.digest("classify"))


def test_weights_replaced_in_place_are_loaded_anew(models: Path) -> None:
    """Without a sha256 in the manifest only the file itself shows that it changed."""
    manifest = models / "sketch" / "model.toml"
    manifest.write_text("".join(line for line in manifest.open() if not line.startswith("sha256")))
    registry = Registry([models])
    first = registry.model("sketch")
    registry.refresh()
    assert registry.model("sketch") is first
    (models / "sketch" / "model.onnx").touch()
    registry.refresh()
    assert registry.model("sketch") is not first


def test_weights_that_went_away_stop_only_their_own_model(
    models: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("weights") / "a.onnx"
    shutil.move(models / "classify" / "model.onnx", elsewhere)
    registry = Registry([models], weights=Weights([elsewhere.parent]))
    assert registry.model("classify") and registry.model("sketch")
    elsewhere.unlink()
    registry.refresh()
    assert registry.model("sketch")
    with pytest.raises(BadModel, match="model 'classify' cannot be used: model.onnx is not beside the manifest"):
        registry.model("classify")


def test_weights_that_vanish_between_two_looks_may_come_back(models: Path) -> None:
    registry, weights = Registry([models]), models / "classify" / "model.onnx"
    registry.list()
    weights.unlink()
    for use in (registry.digest, registry.model):
        with pytest.raises(ModelUnavailable, match=r"model.onnx: cannot be read .*put the weights back"):
            use("classify")
    shutil.copy(BUILT_IN / "classify" / "model.onnx", weights)
    assert registry.digest("classify") and registry.model("classify")


def test_weights_that_vanish_while_they_are_loaded_may_come_back(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_and_remove(path: Path, *arguments: object) -> Session:
        session = Session(path)
        path.unlink()
        return session

    monkeypatch.setattr("inference.engine.registry.Session", load_and_remove)
    with pytest.raises(ModelUnavailable, match="put the weights back"):
        Registry([models]).model("classify")


def test_a_model_whose_folder_was_removed_is_gone(models: Path) -> None:
    registry = Registry([models])
    registry.model("classify")
    shutil.rmtree(models / "classify")
    registry.refresh()
    with pytest.raises(BadModel, match="no model is called 'classify'"):
        registry.model("classify")


def test_weights_of_the_same_size_and_time_have_another_digest(models: Path) -> None:
    """A copy may keep the time of what it was made of: an archive unpacked, a folder synchronised."""
    registry, weights = Registry([models]), models / "classify" / "model.onnx"
    before, stat = registry.digest("classify"), weights.stat()
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert registry.digest("classify") != before


@pytest.mark.parametrize("line", ['file = "a\\u0000b"', 'labels = "a\\u0000b"', "version = " + "[" * 5000])
def test_a_manifest_that_no_file_system_and_no_parser_takes_stops_only_itself(models: Path, line: str) -> None:
    (models / "bad").mkdir()
    (models / "bad" / "model.toml").write_text(f'task = "object-detection"\nhead = "yunet"\n{line}\n')
    reasons = {entry.name: entry.reason for entry in Registry([models]).list()}
    assert reasons["classify"] is None and "model.toml: " in str(reasons["bad"])


# ---- the names of models


def classifier(file: Path) -> None:
    """A file that nothing describes."""
    save(file, picture_input("data"), {"y": np.asarray([[0.1, 0.9]], np.float32)})


def names(path: Path) -> list[str]:
    return [entry.name for entry in Registry([path]).list()]


def test_a_folder_of_one_model_gives_it_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pets"
    classifier(folder / "model.onnx")
    assert names(folder) == names(folder / "model.onnx") == names(tmp_path) == ["pets"]
    (folder / "model.toml").write_text('task = "image-classification"\nhead = "classifier"\nlabels = ["a", "b"]\n')
    assert names(folder) == names(folder / "model.onnx") == ["pets"]
    monkeypatch.chdir(folder)
    assert names(Path()) == names(Path("../pets")) == names(Path("model.onnx")) == ["pets"]


def test_files_with_names_of_their_own_keep_them(tmp_path: Path) -> None:
    for name in ("yolox.onnx", "end2end.onnx", "best.onnx"):
        classifier(tmp_path / "several" / name)
    assert names(tmp_path / "several") == ["best", "end2end", "yolox"]
    for name in ("model.onnx", "model_quantized.onnx"):
        classifier(tmp_path / "vit" / name)
    assert names(tmp_path / "vit") == ["vit", "model_quantized"]
    classifier(tmp_path / "best.onnx")  # beside folders of models, where the folder's name says nothing of it
    assert names(tmp_path / "best.onnx") == ["best"] and "best" in names(tmp_path)
    classifier(tmp_path / "hub" / "model.onnx")
    classifier(tmp_path / "hub" / "onnx" / "model_quantized.onnx")
    assert names(tmp_path / "hub" / "model.onnx") == ["hub"]


def test_weights_below_hugging_faces_folder_are_its_one_model(tmp_path: Path) -> None:
    classifier(tmp_path / "vit" / "onnx" / "model.onnx")
    for name, text in (
        ("config.json", '{"architectures": ["ViTForImageClassification"], "id2label": {"0": "cat", "1": "dog"}}'),
        ("preprocessor_config.json", '{"do_resize": true, "size": {"height": 64, "width": 64}}'),
    ):
        (tmp_path / "vit" / name).write_text(text)
    (entry,) = Registry([tmp_path / "vit"]).list()
    assert (entry.name, entry.reason) == ("vit", None)
    assert entry.manifest is not None and entry.manifest.labels == ("cat", "dog")
