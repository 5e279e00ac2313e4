"""Weights beside the graph: they count for the digest, and nobody who replaces them ends the process."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from inference.engine.changes import PARTLY_S
from inference.engine.external_data import external_files
from inference.engine.protobuf import FileBytes
from inference.engine.registry import Registry
from inference.engine.session import Session
from inference.engine.weights import Weights, hash_of_state, sha256_of, sha256_of_model, state_of
from inference.errors import BadModel, ModelUnavailable

MANIFEST = 'task = "image-classification"\nhead = "classifier"\nlabels = ["cat", "dog"]\n'


def external(name: str, values: object, location: str, offset: int = 0) -> TensorProto:
    tensor = numpy_helper.from_array(np.asarray(values, np.float32), name)
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def net(folder: Path, scores: tuple[float, float], locations: tuple[str, ...] = ("model.onnx.data",)) -> Path:
    """A classifier that answers `scores` (a distribution): mean(picture) * 0 + a weight in the first external file;
    the other files hold zeros that are added."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2, 3], keepdims=0)]
    nodes += [helper.make_node("Mul", ["m", "nought"], ["y0"])]
    inits = [numpy_helper.from_array(np.zeros((1, 1), np.float32), "nought")]
    for i, location in enumerate(locations):
        content = np.asarray([scores] if i == 0 else [(0.0, 0.0)], np.float32)
        (folder / location).parent.mkdir(parents=True, exist_ok=True)
        (folder / location).write_bytes(content.tobytes())
        inits.append(external(f"w{i}", content, location))
        nodes.append(helper.make_node("Add", [f"y{i}", f"w{i}"], [f"y{i + 1}"]))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(f"y{len(locations)}", TensorProto.FLOAT, [1, 2])], inits,
    )  # fmt: skip
    path = folder / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    )
    return path


def hex_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def answer(session: Session) -> list[float]:
    (values,) = session.run({"x": np.zeros((1, 3, 8, 8), np.float32)}).values()
    return [round(float(v), 3) for v in values[0]]


# ---- the digest


def test_the_sha256_of_a_model_with_external_data_is_that_of_the_lines_of_sha256sum(tmp_path: Path) -> None:
    model = net(tmp_path, (0.9, 0.1), ("z.bin", "sub/a.data"))
    parts = [f"{hex_of(model.read_bytes())}  -", f"{hex_of((tmp_path / 'sub/a.data').read_bytes())}  sub/a.data",
             f"{hex_of((tmp_path / 'z.bin').read_bytes())}  z.bin"]  # fmt: skip
    wanted = hex_of("".join(f"{part}\n" for part in parts).encode())
    assert sha256_of_model(model) == hash_of_state(state_of(model)) == wanted
    assert state_of(model).bytes == model.stat().st_size + 8 + 8
    (tmp_path / "sub/a.data").unlink()  # missing: the model is refused when it is loaded, and not here
    assert sha256_of_model(model) not in (wanted, sha256_of(model))


def test_without_external_data_it_is_that_of_the_file(tmp_path: Path) -> None:
    model = onnx.load(str(net(tmp_path, (0.9, 0.1))))  # as onnx.load leaves it, with its weights inside
    onnx.save(model, str(tmp_path / "whole.onnx"))
    assert external_files(tmp_path / "whole.onnx") == {}
    assert sha256_of_model(tmp_path / "whole.onnx") == hex_of((tmp_path / "whole.onnx").read_bytes())


@pytest.mark.parametrize("where", ["constant", "branch", "function", "sparse"])
def test_external_data_is_found_wherever_a_tensor_may_be(where: str, tmp_path: Path) -> None:
    tensor = external("w", [[1.0]], "far/away.bin")
    constant = helper.make_node("Constant", [], ["y"], value=tensor)
    if where == "branch":
        out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])
        branch = helper.make_graph([constant], "b", [], [out])
        constant = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([] if where == "function" else [constant], "g", [], [])
    if where == "sparse":
        del graph.node[:]
        indices = numpy_helper.from_array(np.asarray([0], np.int64), "i")
        graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, indices, [1]))
    model = helper.make_model(graph)
    if where == "function":
        opset = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("own", "f", [], ["y"], [constant], opset))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert external_files(path) == {"far/away.bin": tmp_path / "far/away.bin"}


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "a/../../secret.bin", "link.bin", ""])
def test_files_outside_the_folder_are_not_read(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(8))
    (folder / "link.bin").symlink_to("../secret.bin")
    tensor = external("w", [[1.0, 0.0]], location)
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [tensor])
    (folder / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    assert external_files(folder / "m.onnx") == {}


@pytest.mark.slow
@given(st.binary(min_size=1, max_size=400), st.lists(st.tuples(st.integers(0, 399), st.integers(0, 399))))
def test_a_file_read_in_pieces_has_the_bytes_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, spans: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(data)
    with FileBytes(path) as read, pytest.MonkeyPatch.context() as patch:
        patch.setattr("inference.engine.protobuf._BLOCK", 16)
        assert len(read) == len(data)
        for start, end in spans:
            assert read[start:end] == data[start:end]
            if start < len(data):
                assert read[start] == data[start]
        with pytest.raises(IndexError):
            read[len(data)]


# ---- what a registry makes of it


def test_new_weights_beside_the_same_graph_are_another_model(tmp_path: Path) -> None:
    model = net(tmp_path / "pets", (0.9, 0.1))
    (tmp_path / "pets/model.toml").write_text(MANIFEST)
    now = [0.0]
    registry = Registry([tmp_path], weights=Weights([]), clock=lambda: now[0])
    first, before = registry.model("pets"), registry.digest("pets")
    assert first.sha256 == sha256_of_model(model) and answer(first.session) == [0.9, 0.1]
    (tmp_path / "pets/model.onnx.data").write_bytes(np.asarray([0.2, 0.8], np.float32).tobytes())
    assert registry.digest("pets") == before  # labels of its own may be on their way
    now[0] += PARTLY_S
    after = registry.digest("pets")
    second = registry.model("pets")
    assert after != before and second.sha256 == sha256_of_model(model) != first.sha256
    assert answer(second.session) == [0.2, 0.8] and answer(first.session) == [0.9, 0.1]
    registry.refresh()
    assert registry.model("pets") is second


def test_the_manifests_sha256_covers_the_weights_too(tmp_path: Path) -> None:
    model = net(tmp_path / "pets", (0.9, 0.1))
    manifest = tmp_path / "pets/model.toml"
    manifest.write_text(f'{MANIFEST}sha256 = "{sha256_of_model(model)}"\n')
    assert Registry([tmp_path]).model("pets")
    manifest.write_text(f'{MANIFEST}sha256 = "{sha256_of(model)}"\n')
    with pytest.raises(BadModel, match=r"of the graph alone; with the weights in model\.onnx\.data it is") as refused:
        Registry([tmp_path]).model("pets")
    assert f'say sha256 = "{sha256_of_model(model)}"' in str(refused.value)
    manifest.write_text(f'{MANIFEST}sha256 = "{sha256_of_model(model)}"\n')
    (tmp_path / "pets/model.onnx.data").write_bytes(np.asarray([0.2, 0.8], np.float32).tobytes())
    with pytest.raises(BadModel, match="its sha256 is"):
        Registry([tmp_path]).model("pets")


def test_weights_that_are_gone_for_a_moment_may_come_back(tmp_path: Path) -> None:
    net(tmp_path / "pets", (0.9, 0.1))
    (tmp_path / "pets/model.toml").write_text(MANIFEST)
    registry, data = Registry([tmp_path], weights=Weights([])), tmp_path / "pets/model.onnx.data"
    registry.list()
    content = data.read_bytes()
    data.unlink()
    for use in (registry.digest, registry.model):
        with pytest.raises(ModelUnavailable, match=r"model\.onnx\.data: cannot be read .*put the weights back"):
            use("pets")
    data.write_bytes(content)
    assert registry.digest("pets") and answer(registry.model("pets").session) == [0.9, 0.1]
    data.unlink()
    with pytest.raises(BadModel, match="its external data file model.onnx.data is missing; put it beside the model"):
        Registry([tmp_path], weights=Weights([])).model("pets")  # it never was there


def test_weights_elsewhere_are_found_with_their_data(tmp_path: Path) -> None:
    model = net(tmp_path / "elsewhere", (0.9, 0.1))
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets/model.toml").write_text(f'{MANIFEST}sha256 = "{sha256_of_model(model)}"\n')
    registry = Registry([tmp_path / "pets"], weights=Weights([tmp_path / "elsewhere"]))
    assert answer(registry.model("pets").session) == [0.9, 0.1]


# ---- loading


def test_several_files_below_the_folder_and_tensors_from_inside_the_graph(tmp_path: Path) -> None:
    model = net(tmp_path, (0.25, 0.75), ("a.data", "sub/b.bin", "sub/deeper/c.bin"))
    assert answer(Session(model)) == [0.25, 0.75]
    more = Session(model, outputs=["y1"]).run({"x": np.zeros((1, 3, 8, 8), np.float32)})
    assert set(more) == {"y3", "y1"}


def test_a_missing_data_file_is_said_when_models_are_listed(tmp_path: Path) -> None:
    """Not at each picture; a file that was renamed with its graph still asks for the old name."""
    folder = tmp_path / "net"
    net(folder, (0.2, 0.8))
    (folder / "model.toml").write_text(MANIFEST, "utf-8")
    assert [entry.reason for entry in Registry([tmp_path], weights=Weights([])).list()] == [None]
    (folder / "model.onnx.data").rename(folder / "cat.onnx.data")
    (reason,) = [str(entry.reason) for entry in Registry([tmp_path], weights=Weights([])).list()]
    assert "external data file model.onnx.data is missing" in reason
    assert "if cat.onnx.data is it, call it model.onnx.data again" in reason


def test_a_git_lfs_pointer_in_place_of_the_weights_is_named(tmp_path: Path) -> None:
    model = net(tmp_path, (0.9, 0.1))
    (tmp_path / "model.onnx.data").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 8\n")
    with pytest.raises(BadModel, match=r"external data file model\.onnx\.data is a Git LFS pointer.*git lfs pull"):
        Session(model)


REPLACED = """
import sys
from pathlib import Path
import numpy as np
from inference.engine.session import Session
folder = Path(sys.argv[1])
session, feeds = Session(folder / "m.onnx"), {"rows": np.arange(4096), "c": np.asarray(True)}
print(session.run(feeds)["y"][:2])
for name in ("w.bin", "m.onnx"):
    with (folder / name).open("r+b") as file:
        file.truncate(0)
    print(session.run(feeds)["y"][:2])
    with (folder / name).open("r+b") as file:
        file.write(b"another")
    print(session.run(feeds)["y"][:2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["graph", "branch"])
def test_files_replaced_in_place_never_end_the_process(place: str, tmp_path: Path) -> None:
    """Mapped into memory, as onnxruntime does by itself, reading beyond the new end is a bus error (exit 135)."""
    weights = np.full((4096, 64), 0.5, np.float32)
    weights.tofile(tmp_path / "w.bin")
    tensor, mean = external("w", weights, "w.bin"), helper.make_tensor_value_info("y", TensorProto.FLOAT, [64])
    nodes = [helper.make_node("Gather", ["w", "rows"], ["r"])]
    nodes += [helper.make_node("ReduceMean", ["r"], ["y"], axes=[0], keepdims=0)]
    tensors = [tensor]
    if place == "branch":
        branch = helper.make_graph(nodes, "b", [], [mean], [tensor])
        nodes, tensors = [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], []
    feeds = [helper.make_tensor_value_info("rows", TensorProto.INT64, [4096])]
    feeds += [helper.make_tensor_value_info("c", TensorProto.BOOL, [])]
    graph = helper.make_graph(nodes, "g", feeds, [mean], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    done = subprocess.run([sys.executable, "-c", REPLACED, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout.splitlines() == ["[0.5 0.5]"] * 5
