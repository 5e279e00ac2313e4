"""Cores go to pictures before frames of videos, and to those in the end, too."""

from __future__ import annotations

import contextlib
import threading

import pytest

from inference import shared, time_limits
from inference.engine.cores import Cores, yielding
from inference.errors import TookTooLong
from tests.processes import eventually


class Line:
    """Runs that come in while all cores are taken, in order; `served` says in which order they got theirs."""

    def __init__(self, shared: Cores) -> None:
        self.shared, self._shared = shared, shared.shared
        self.served: list[str] = []
        self._threads: list[threading.Thread] = []

    def add(self, name: str, *, yields: bool = False, wanted: int = 1) -> None:
        def run() -> None:
            with yielding() if yields else contextlib.nullcontext(), self.shared.take(wanted):
                self.served.append(name)

        self._threads.append(thread := threading.Thread(target=run, daemon=True))
        before = len(self._shared._waiting) + len(self._shared._yielding)
        thread.start()
        eventually(lambda: len(self._shared._waiting) + len(self._shared._yielding) > before, f"{name} waits")

    def end(self) -> list[str]:
        for thread in self._threads:
            thread.join(20)
        return self.served


@pytest.mark.parametrize("wanted", [1, 5])
def test_a_picture_does_not_wait_behind_the_frames_of_videos(wanted: int) -> None:
    line = Line(Cores(1))
    with line.shared.take(1):
        for number in range(3):
            line.add(f"frame {number}", yields=True, wanted=wanted)
        line.add("picture 0", wanted=wanted)
        line.add("picture 1", wanted=wanted)
    assert line.end() == ["picture 0", "picture 1", "frame 0", "frame 1", "frame 2"]


def test_frames_get_their_turn_beside_a_stream_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_OVERTAKEN", 2)
    line = Line(Cores(1))
    with line.shared.take(1):
        line.add("frame 0", yields=True)
        line.add("frame 1", yields=True)
        for number in range(6):
            line.add(f"picture {number}")
    assert line.end() == [
        "picture 0", "picture 1", "frame 0", "picture 2", "picture 3", "frame 1", "picture 4", "picture 5",
    ]  # fmt: skip


def test_a_frame_that_gives_up_lets_the_others_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_OVERTAKEN", 0)
    alone = Cores(1)
    with alone.take(1), yielding(), time_limits.within(0.01, "a frame"), pytest.raises(TookTooLong), alone.take(1):
        pass
    with alone.take(1):
        pass


def test_what_is_given_back_early_is_given_back_once() -> None:
    alone = Cores(1)
    with alone.take(1) as held:
        held.give_back()
        held.give_back()
        assert alone.shared._free == 1
    assert alone.shared._free == 1
