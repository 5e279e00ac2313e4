"""Models that do not end, on onnxruntime: a Loop of 2^62 rounds, which the graph begins where the picture is bright."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as Onnx
from onnx import helper

from inference.analysis import analyze
from inference.engine import cores, run_budget
from inference.engine.cores import Cores
from inference.engine.registry import Registry
from inference.engine.run_budget import RunBudget
from inference.engine.session import Session
from inference.engine.weights import Weights
from inference.errors import ModelUnavailable, TookTooLong
from inference.image.limits import Limits
from inference.routes import Route, Step
from inference.time_limits import Watchdog, check, left, within

DARK, BRIGHT = (b"P6 8 8 255\n" + bytes([value]) * 192 for value in (1, 255))
MANIFEST = 'task = "image-classification"\nhead = "classifier"\nlabels = ["cat", "dog"]\n'
ROUTE = Route("r", (Step("endless"),))
SOON_S = 0.3


def endless(path: Path, always: bool = False) -> Path:
    """A classifier of 8 x 8 pixels whose scores come after one round, or after 2^62 where the mean is above 0.5."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Softmax", ["before"], ["after"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", Onnx.INT64, []),
            helper.make_tensor_value_info("go", Onnx.BOOL, []),
            helper.make_tensor_value_info("before", Onnx.FLOAT, [1, 2]),
        ],
        [
            helper.make_tensor_value_info("go_on", Onnx.BOOL, []),
            helper.make_tensor_value_info("after", Onnx.FLOAT, [1, 2]),
        ],
    )
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "half"], ["bright"]),
        helper.make_node("Where", ["bright", "most", "one"], ["rounds"]),
        helper.make_node("Loop", ["rounds", "yes", "scores"], ["y"], body=body),
    ]
    constants = [
        helper.make_tensor("half", Onnx.FLOAT, [], [-1.0 if always else 0.5]),
        helper.make_tensor("most", Onnx.INT64, [], [2**62]),
        helper.make_tensor("one", Onnx.INT64, [], [1]),
        helper.make_tensor("yes", Onnx.BOOL, [], [True]),
        helper.make_tensor("scores", Onnx.FLOAT, [1, 2], [3.0, 1.0]),
    ]
    x = helper.make_tensor_value_info("x", Onnx.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", Onnx.FLOAT, [1, 2])
    graph = helper.make_graph(nodes, "endless", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    endless(tmp_path / "endless" / "model.onnx")
    (tmp_path / "endless" / "model.toml").write_text(MANIFEST)
    return Registry([tmp_path], weights=Weights([]), run_seconds=SOON_S)


def best(registry: Registry, data: bytes, limits: Limits | None = None) -> str:
    answer = analyze(data, ROUTE, registry, artifacts=False, limits=limits or Limits()).result.steps[0].predictions
    return answer.names[0]  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_run_that_does_not_end_is_ended_and_the_session_stays_usable(registry: Registry) -> None:
    assert best(registry, DARK) == "cat"
    with pytest.raises(TookTooLong, match=r"model endless was ended after [0-9.]+ s \(RUN_SECONDS; shortest"):
        best(registry, BRIGHT)
    assert best(registry, DARK) == "cat"
    for _ in range(2):  # it came to its end before: other pictures are not to blame
        with pytest.raises(TookTooLong):
            best(registry, BRIGHT)
    assert best(registry, DARK) == "cat"


@pytest.mark.slow
def test_a_model_that_never_came_to_its_end_is_not_run_any_more(registry: Registry) -> None:
    for _ in range(2):
        with pytest.raises(TookTooLong, match="shortest run so far: none"):
            best(registry, BRIGHT)
    with pytest.raises(ModelUnavailable, match="none of its first 2 runs had ended") as caught:
        best(registry, DARK)
    assert caught.value.cause == "model:endless"


def test_one_run_that_is_ended_ends_no_other(tmp_path: Path) -> None:
    session = Session(endless(tmp_path / "m.onnx"), 1, run_seconds=SOON_S)
    shapes = np.ones((1, 3, 8, 8), np.float32)
    running, answers = threading.Event(), list[int]()

    def run_bright() -> None:
        running.set()
        with pytest.raises(TookTooLong):
            session.run({"x": shapes})
        answers.append(-1)

    thread = threading.Thread(target=run_bright)
    thread.start()
    running.wait()
    while thread.is_alive():
        answers.append(int(session.run({"x": shapes * 0})["y"].argmax()))
    thread.join()
    assert answers.count(-1) == 1
    assert answers.count(0) == len(answers) - 1 > 0


def test_all_of_a_picture_has_a_time_of_its_own(tmp_path: Path) -> None:
    endless(tmp_path / "endless" / "model.onnx")
    (tmp_path / "endless" / "model.toml").write_text(MANIFEST)
    registry = Registry([tmp_path], weights=Weights([]))
    with pytest.raises(TookTooLong, match=r"a picture may take 0\.3 s \(PICTURE_SECONDS\)"):
        best(registry, BRIGHT, Limits(seconds=SOON_S))
    assert best(registry, DARK, Limits(seconds=SOON_S)) == "cat"


def test_waiting_for_a_core_is_no_run_but_counts_for_the_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone = Cores(1)
    monkeypatch.setattr("inference.engine.session.CORES", alone)
    assert cores.CORES is not alone
    session = Session(endless(tmp_path / "m.onnx"), 1)
    with alone.take(1):
        failures = list[BaseException]()

        def wait() -> None:
            try:
                with within(0.05, "no time"):
                    session.run({"x": np.zeros((1, 3, 8, 8), np.float32)})
            except TookTooLong as error:
                failures.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
        assert str(failures[0]) == "waiting for a free core was ended: no time"
    assert session.run({"x": np.zeros((1, 3, 8, 8), np.float32)})["y"].argmax() == 0


def test_of_nested_times_the_shorter_one_counts() -> None:
    with within(100, "outer"):
        with within(1000, "inner"):
            assert 99 < left() <= 100
        with within(-1, "inner"), pytest.raises(TookTooLong, match="work was ended: inner"):
            check("work")
        check("work")
    assert left() == float("inf")


def test_the_watchdog_wakes_for_the_earliest() -> None:
    dog, ended = Watchdog(), list[str]()
    done = threading.Event()
    with (
        dog.watch(100, lambda: ended.append("late")) as late,
        dog.watch(0, lambda: ended.append("now")) as now,
        dog.watch(0.01, done.set),
    ):
        assert done.wait(30)
    assert (ended, late.over, now.over) == (["now"], False, True)
    again = threading.Event()  # it sleeps now, as there is nothing to look at
    with dog.watch(0.01, again.set):
        assert again.wait(30)


def test_more_time_than_a_thread_can_wait_for_is_as_long_as_it_can() -> None:
    ever, ended, few = 1e12, threading.Event(), Cores(1)
    dog = Watchdog()
    with within(ever, "it"), dog.watch(ever, lambda: None):
        assert left() == threading.TIMEOUT_MAX
        with dog.watch(0.0, ended.set):
            assert ended.wait(20)  # its thread is alive
        inside, go = threading.Event(), threading.Event()

        def hold() -> None:
            with few.take(1):
                inside.set()
                go.wait(20)

        (thread := threading.Thread(target=hold)).start()
        assert inside.wait(20)
        threading.Timer(0.05, go.set).start()
        with few.take(1):  # waits, and does not fail
            assert go.is_set()
        thread.join()


def test_a_node_that_goes_on_keeps_no_cores_and_its_model_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that waits for the test stands in for a node that no flag ends."""
    monkeypatch.setattr(run_budget, "PATIENCE_S", 0.01)
    budget, alone, over = RunBudget(0.01), Cores(1), threading.Event()

    def run() -> None:
        with alone.take(1) as held, budget.run("slow", lambda: None, held.give_back):
            over.wait(30)

    thread = threading.Thread(target=run)
    thread.start()
    with within(30, "a test"), alone.take(1):  # its core
        with pytest.raises(ModelUnavailable, match="goes on in one node of its graph") as caught:
            budget.refuse_endless("slow")
        assert caught.value.cause == "model:slow"
        over.set()
        thread.join()
        assert alone.shared._free == 0
        with budget.run("slow", lambda: None, lambda: None):
            pass
