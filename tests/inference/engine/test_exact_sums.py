"""Quantised graphs on processors whose 8-bit sums overflow (x86-64 without VNNI)."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
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


@pytest.mark.parametrize("refused", [[1], [1, 3]])
def test_a_graph_that_does_not_load_exactly_is_loaded_in_the_next_best_way(
    refused: Collection[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """onnxruntime refuses MoveNet's int8 graph with the first entries, and PP-HumanSeg's with the second, too."""
    tried: list[dict[str, str]] = []
    options, load = session._options, session._load_apart

    def noted(threads: int, data: Mapping[str, bytes], entries: Mapping[str, str]) -> Any:
        tried.append(dict(entries))
        return options(threads, data, entries)

    def loaded(*arguments: Any) -> Any:
        if len(tried) in refused:
            raise BadModel("Attempt to replace the existing tensor")
        return load(*arguments)

    monkeypatch.setattr(session, "_options", noted)
    monkeypatch.setattr(session, "_load_apart", loaded)
    with caplog.at_level(logging.WARNING):
        session.Session(product(tmp_path / "m.onnx"))
    in_float = {"session.x64quantprecision": "1", "session.disable_quant_qdq": "1"}
    assert tried == [{"session.x64quantprecision": "1"}, {}, in_float]
    assert ("m.onnx: its 8-bit sums overflow" in caplog.text) == (len(refused) == 2)


def test_what_is_wrong_with_a_file_is_said_of_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = product(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(BadModel, match="m.onnx"):
        session.Session(path)
    assert not caplog.text
