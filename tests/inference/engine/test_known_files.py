"""A file that the catalog knows by its sha256 needs no manifest; a name that is misspelt finds the catalog's model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inference.__main__ import main
from inference.engine import weights
from inference.engine.catalog import known_file, load_catalog
from inference.engine.registry import BUILT_IN, Registry
from inference.engine.weights import Weights
from inference.errors import BadModel
from inference.tables import closest

pytestmark = pytest.mark.slow


@pytest.mark.needs_shared
def test_a_file_of_the_catalog_gets_its_manifest_whatever_it_is_called(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A classifier says nothing of its preprocessing: without the catalog it is refused."""
    shutil.copy(shared / "models/cls-mobilenetv2-int8/model.onnx", tmp_path / "mystery.onnx")
    (tmp_path / "riddle").mkdir()
    shutil.copy(shared / "models/det-picodet-s-416/model.onnx", tmp_path / "riddle/net.onnx")
    registry = Registry([tmp_path], weights=Weights([]))
    assert {entry.name: entry.reason for entry in registry.list()} == {"mystery": None, "riddle": None}
    for name, known in (("mystery", "mobilenetv2-int8"), ("riddle", "picodet-s-416")):
        wanted, manifest = load_catalog().named(known).full_manifest(), registry.model(name).manifest
        assert (manifest.labels, manifest.preprocess, manifest.sha256) == (
            wanted.labels,
            wanted.preprocess,
            wanted.sha256,
        )
    assert main(["models", "list", "--models", str(tmp_path)]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "known file: mobilenetv2-int8 of the catalog" in rows["mystery"]
    assert "known file: picodet-s-416 of the catalog" in rows["riddle"]
    assert "known file" not in rows["classify"]
    assert main(["models", "check", str(tmp_path / "mystery.onnx")]) == 0
    assert "recognised as a known file: mobilenetv2-int8 of the catalog" in capsys.readouterr().out


@pytest.mark.needs_shared
def test_where_entries_share_a_file_its_name_decides(shared: Path, tmp_path: Path) -> None:
    for name in ("deeplabv3-cutout", "any"):
        file = tmp_path / f"{name}.onnx"
        shutil.copy(shared / "models/seg-deeplabv3-mnv2-257/model.onnx", file)
        known = known_file(file)
        assert known and known.name == ("deeplabv3-cutout" if name == "deeplabv3-cutout" else "deeplabv3-mnv2-257")


def test_only_files_of_a_size_in_the_catalog_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def sha256_of(path: Path) -> str:
        hashed.append(path)
        return "0" * 64

    monkeypatch.setattr(weights, "sha256_of", sha256_of)
    assert known_file(BUILT_IN / "classify/model.onnx") is None and not hashed
    (tmp_path / "other.onnx").write_bytes(bytes(load_catalog().named("mnist-8").size))
    for _ in range(2):  # of a file that has not changed, the digest is known
        assert known_file(tmp_path / "other.onnx") is None and hashed == [tmp_path / "other.onnx"]


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("yunett", ["lpd-yunet", "yunet-2023mar", "yolox-s"], "yunet-2023mar"),
        ("picodet", ["nanodet-m-416", "picodet-s-416"], "picodet-s-416"),
        ("clasify", ["classify", "cells"], "classify"),
        ("labls", ["label_offset", "labels"], "labels"),
        ("do", ["do_resize", "do_rescale"], None),  # too short to be the beginning of something
        ("zebra", ["classify", "yunet-2023mar"], None),
    ],
)
def test_a_misspelt_word_may_be_the_beginning_of_a_longer_one(word: str, known: list[str], meant: str | None) -> None:
    assert closest(word, known) == meant


def test_a_misspelt_model_is_looked_for_in_the_catalog_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadModel, match=r"did you mean 'yunet-2023mar' of the catalog\? .*models pull yunet-2023mar"):
        Registry([BUILT_IN]).entry("yunett")
    with pytest.raises(BadModel, match="it is in the catalog: `python -m inference models pull picodet-s-416`"):
        Registry([BUILT_IN]).entry("picodet-s-416")
    with pytest.raises(BadModel, match="did you mean 'classify'\\?$"):
        Registry([BUILT_IN]).entry("clasify")
    assert main(["models", "pull", "yunett", "--to", str(tmp_path)]) == 2
    assert "did you mean 'yunet-2023mar'" in capsys.readouterr().err
