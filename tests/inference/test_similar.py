"""Embeddings, nearest pictures, groups, and colours without a network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image as Pillow

from benchmarks import neighbours
from inference.__main__ import main
from inference.cli.similar import default_model
from inference.engine.registry import Registry
from inference.engine.weights import Weights
from inference.errors import BadManifest, BadModel, CorruptMedia
from inference.image.media import Picture, decode
from inference.predictions import Embedding, LabelMap
from inference.similar import Index, from_results, groups, verify

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def test_search_is_exact() -> None:
    generator = np.random.default_rng(1)
    vectors = generator.standard_normal((500, 32)).astype(np.float32)
    index = Index.of([str(i) for i in range(500)], vectors)
    query = generator.standard_normal(32).astype(np.float32)
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    expected = np.argsort(-cosines)[:7]
    nearest = index.search(query, 7)
    assert [n for n, _ in nearest] == [str(i) for i in expected]
    assert [c for _, c in nearest] == pytest.approx(cosines[expected].tolist(), abs=1e-5)
    assert len(index.search(query, 10_000)) == 500


def test_vectors_of_two_models_are_not_compared() -> None:
    with pytest.raises(BadModel, match="the same model"):
        Index.of(["a", "b"], [np.ones(3, np.float32), np.ones(4, np.float32)])
    with pytest.raises(BadModel, match="dimensions"):
        Index.of(["a"], [np.ones(3, np.float32)]).search(np.ones(4, np.float32))


def test_groups_find_the_clusters_largest_first() -> None:
    generator = np.random.default_rng(2)
    centres = np.eye(3, 16, dtype=np.float32)
    truth = np.asarray([0] * 10 + [1] * 30 + [2] * 20)
    numbers = groups(centres[truth] + generator.normal(0, 0.02, (60, 16)).astype(np.float32), 3)
    assert numbers.tolist() == [2] * 10 + [0] * 30 + [1] * 20


def test_verify_is_the_cosine_against_the_models_threshold() -> None:
    a, b = np.asarray([1.0, 0.0]), np.asarray([1.0, 1.0])
    same, cosine = verify(a, b, 0.7)
    assert same and cosine == pytest.approx(0.7071, abs=1e-4)
    assert not verify(a, b, 0.75)[0]


def test_embed_reads_the_file_of_classify_and_makes_unit_vectors() -> None:
    registry = Registry([ROOT / "models"])
    assert registry.entry("embed").weights == registry.entry("classify").weights
    predictions, _ = registry.model("embed").run(Picture.of(np.full((80, 80, 3), 90, np.uint8)))
    assert isinstance(predictions, Embedding)
    assert np.linalg.norm(predictions.vector) == pytest.approx(1, abs=1e-5)


def test_a_file_is_not_shared_with_a_research_model_where_those_are_forbidden() -> None:
    reason = {e.name: e.reason for e in Registry([ROOT / "models"], allow_research=False).list()}["embed"]
    assert reason and "research" in reason


@pytest.mark.needs_shared
def test_command_line_over_pictures_and_over_results(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for file in sorted((shared / "media/imagenet").glob("*.jpg"))[:8]:
        (pictures / file.name).write_bytes(file.read_bytes())
    query = sorted(pictures.iterdir())[3]
    assert main(["similar", str(query), "--index", str(pictures), "--count", "3", "--json"]) == 0
    direct = json.loads(capsys.readouterr().out)
    assert direct[0]["name"] == str(query) and direct[0]["cosine"] == pytest.approx(1, abs=1e-3)
    assert main(["analyze", str(pictures), "--model", "embed", "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["similar", str(query), "--index", str(tmp_path / "out"), "--count", "3", "--json"]) == 0
    stored = json.loads(capsys.readouterr().out)
    assert [d["name"] for d in stored] == [Path(d["name"]).name for d in direct]
    assert main(["group", "--index", str(tmp_path / "out"), "--count", "2", "--json"]) == 0
    grouped = json.loads(capsys.readouterr().out)
    assert sorted(name for group in grouped for name in group) == sorted(p.name for p in pictures.iterdir())


def test_names_reach_no_terminal_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "\x9b31m\udce9.jpg"  # a control sequence in one character, and a byte that is no UTF-8
    photo.write_bytes((Path(__file__).parents[2] / "samples/cat.jpg").read_bytes())
    for command in (["similar", str(photo), "--index", str(tmp_path), "--json"],
                    ["group", "--index", str(tmp_path), "--count", "1", "--json"]):  # fmt: skip
        assert main(command) == 0
        out = capsys.readouterr().out
        assert out.isascii() and str(photo) in str(json.loads(out)[0]).encode().decode("unicode_escape")


def test_results_without_vectors_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = str(Path(__file__).parents[2] / "samples/cat.jpg")
    assert main(["analyze", photo, "--model", "colors", "--out", str(tmp_path)]) == 0
    for command in (["similar", photo], ["group"]):
        assert main([*command, "--index", str(tmp_path)]) == 2
        assert "hold no vectors; analyse with --model embed" in capsys.readouterr().err


def test_a_vector_outside_the_results_folder_is_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "secret.npy", np.ones(3, np.float32))
    folder = tmp_path / "results" / "a.jpg"
    folder.mkdir(parents=True)
    step = {"name": "embed", "task": "t", "model": {"name": "m", "version": "1", "sha256": "0"}, "predictions": []}
    step["embedding"] = {"dim": 3, "artifact": "../../secret.npy"}
    document = {"source": {"name": "a.jpg", "etag": ""}, "route": "r", "trace": "t", "steps": [step]}
    (folder / "result.json").write_text(json.dumps(document))
    with pytest.raises(CorruptMedia, match="leaves"):
        from_results(tmp_path / "results")


@pytest.mark.needs_shared
def test_the_same_person_is_nearer_than_another(shared: Path) -> None:
    """Same photo slightly changed against other people, both real re-identification models."""
    registry = Registry([ROOT / "tests/models"], weights=Weights([shared / "models"]))
    people = [decode((shared / f"media/faces/{n}.jpg").read_bytes()) for n in ("happy", "angry_man", "neutral_girl")]
    for name in ("reid-person-0248", "reid-person-0287"):
        model = registry.model(name)
        vectors = [_vector(model.run(p)[0]) for p in people]
        image = people[0].image
        moved = image.crop((image.width // 20, 0, image.width, image.height)).point(lambda v: min(v + 12, 255))
        again = _vector(model.run(Picture(moved, moved.size))[0])
        cosines = [float(again @ v) for v in vectors]
        assert cosines[0] == max(cosines) and cosines[0] > 0.8


def _vector(predictions: object) -> np.ndarray:
    assert isinstance(predictions, Embedding)
    return predictions.vector


def test_colours_of_a_flag_are_found_exactly() -> None:
    pixels = np.zeros((90, 150, 3), np.uint8)
    pixels[:, :50], pixels[:, 50:110], pixels[:, 110:] = (0, 85, 164), (255, 255, 255), (239, 65, 53)
    predictions, _ = Registry([ROOT / "models"]).model("colors").run(Picture.of(pixels))
    assert isinstance(predictions, LabelMap)
    assert predictions.ids.shape == (90, 150)
    assert predictions.names == ("#ffffff", "#0055a4", "#ef4135")
    assert dict(predictions.areas()) == {0: 5400, 1: 4500, 2: 3600}


def test_colours_of_a_plain_picture_and_of_a_crop() -> None:
    model = Registry([ROOT / "models"]).model("colors")
    plain, _ = model.run(Picture.of(np.full((20, 30, 3), 77, np.uint8)))
    assert isinstance(plain, LabelMap) and plain.names == ("#4d4d4d",)
    image = Pillow.new("RGB", (40, 40), (10, 20, 30))
    image.paste((200, 0, 0), (20, 0, 40, 40))
    right, _ = model.run(Picture(image, image.size), (20, 0, 40, 40))
    assert isinstance(right, LabelMap) and right.names == ("#c80000",)


def classifier_file(folder: Path) -> Path:
    """A classifier of 8x8 pictures whose map of features, the picture itself, is inside the graph only."""
    nodes = [
        helper.make_node("Identity", ["picture"], ["features"]),
        helper.make_node("ReduceMean", ["features"], ["logits"], axes=[2, 3], keepdims=0),
    ]
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "g", [picture], [logits])
    folder.mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    return folder


MANIFEST = """task = "image-feature-extraction"
head = "embedding"
[postprocess]
outputs = {{ embedding = "{tensor}" }}
params = {{ pool = "mean" }}
"""


def test_an_inner_tensor_of_the_graph_can_be_the_embedding(tmp_path: Path) -> None:
    (classifier_file(tmp_path / "m") / "model.toml").write_text(MANIFEST.format(tensor="features"))
    model = Registry([tmp_path]).model("m")
    assert [o.name for o in model.session.outputs] == ["logits", "features"]
    predictions, _ = model.run(Picture.of(np.full((8, 8, 3), (51, 102, 102), np.uint8)))
    assert isinstance(predictions, Embedding)
    assert predictions.vector.tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3], abs=1e-6)


def test_a_tensor_that_the_graph_does_not_have_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (classifier_file(tmp_path / "m") / "model.toml").write_text(MANIFEST.format(tensor="logit"))
    with pytest.raises(BadManifest, match=r"postprocess.outputs.embedding = 'logit'; did you mean 'logits'"):
        Registry([tmp_path]).model("m")


def test_without_its_public_file_the_better_embedding_says_where_to_get_it_and_ours_is_taken() -> None:
    registry = Registry([ROOT / "models"], weights=Weights([]))
    reason = {e.name: e.reason for e in registry.list()}["embed-mobilenetv2"]
    assert reason and "models pull --recommended" in reason
    assert default_model(registry) == "embed"


@pytest.mark.needs_shared
def test_with_its_public_file_the_better_embedding_is_the_default_and_as_good_as_its_card(shared: Path) -> None:
    registry = Registry([ROOT / "models"], weights=Weights([shared / "models/cls-mobilenetv2-int8"]))
    assert default_model(registry) == "embed-mobilenetv2"
    assert neighbours.share(registry.model("embed-mobilenetv2"), neighbours.groceries()) == pytest.approx(
        0.95, abs=0.02
    )
