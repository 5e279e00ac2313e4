"""Quantised graphs on processors whose 8-bit sums overflow (x86-64 without VNNI)."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto as T
from onnx import helper

from inference.engine import session
from inference.errors import BadModel


def product(path: Path) -> Path:
    """bytes [1, 64] x 8-bit weights [64, 16] with the largest numbers that there are."""
    given = helper.make_tensor_value_info("given", T.UINT8, [1, 64])
    put_out = helper.make_tensor_value_info("sums", T.INT32, [1, 16])
    weights = helper.make_tensor("weights", T.INT8, [64, 16], np.full((64, 16), 127, np.int8).tobytes(), raw=True)
    node = helper.make_node("MatMulInteger", ["given", "weights"], ["sums"])
    graph = helper.make_graph([node], "g", [given], [put_out], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), path)
    return path


def test_sums_of_8_bit_products_do_not_overflow(tmp_path: Path) -> None:
    """Without the setting a processor with AVX2 and no VNNI answers 1,048,544."""
    sums = session.Session(product(tmp_path / "m.onnx")).run({"given": np.full((1, 64), 255, np.uint8)})["sums"]
    assert sums.tolist() == [[255 * 127 * 64] * 16]


def test_whether_sums_overflow_is_asked_of_the_processor(tmp_path: Path) -> None:
    plain = ort.InferenceSession(str(product(tmp_path / "m.onnx")), providers=["CPUExecutionProvider"])
    [sums] = plain.run(None, {"given": np.full((1, 64), 255, np.uint8)})
    assert session._sums_overflow() == bool((sums != 255 * 127 * 64).any())


@pytest.mark.parametrize(
    ("overflow", "refused", "ways"),
    [(False, False, ["fast"]), (True, False, ["exact"]), (True, True, ["exact", "fast"])],
)
def test_only_where_sums_overflow_speed_is_given_up(
    overflow: bool,
    refused: bool,
    ways: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """refused: as onnxruntime refuses PP-HumanSeg's int8 graph, for want of a kernel."""
    tried: list[str] = []
    options, load = session._options, session._load_apart

    def noted(threads: int, data: Mapping[str, bytes], entries: Mapping[str, str]) -> Any:
        tried.append("exact" if "session.x64quantprecision" in entries else "fast")
        return options(threads, data, entries)

    def loaded(*arguments: Any) -> Any:
        if refused and tried == ["exact"]:
            raise BadModel("Failed to find kernel for QLinearConv")
        return load(*arguments)

    monkeypatch.setattr(session, "_sums_overflow", lambda: overflow)
    monkeypatch.setattr(session, "_options", noted)
    monkeypatch.setattr(session, "_load_apart", loaded)
    with caplog.at_level(logging.WARNING):
        session.Session(product(tmp_path / "m.onnx"))
    assert tried == ways
    assert ("m.onnx: on this processor (no VNNI) its 8-bit sums may overflow" in caplog.text) == refused


def test_what_is_wrong_with_a_file_is_said_of_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = product(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(BadModel, match="m.onnx"):
        session.Session(path)
    assert not caplog.text
