"""The clock of a file, set right where it is wrong; every expected time by hand."""

from __future__ import annotations

import pytest

from inference.video.times import Times, Told


def told(raws: list[float | None]) -> tuple[list[float], list[str]]:
    """(the seconds of the pictures, what is said of the clock); they come in order, each once."""
    times: Times[int] = Times(0.04)
    out = [told for number, raw in enumerate(raws) for told in times.add(raw, number)]
    out += times.rest()
    assert [picture.item for picture in out] == list(range(len(raws)))
    faults = [picture.fault.words(picture.item) for picture in out if picture.fault]
    return [round(picture.at_s, 3) for picture in out], faults


@pytest.mark.parametrize(
    ("raws", "expected"),
    [
        ([0.0, 0.04, 0.08], [0.0, 0.04, 0.08]),
        ([-0.08, -0.04, 0.0], [-0.08, -0.04, 0.0]),
        # Two in a tick: the second is half-way to the next, all others keep their own times.
        ([0.0, 0.04, 0.04, 0.08, 0.12], [0.0, 0.04, 0.06, 0.08, 0.12]),
        ([0.0, 1.0, 1.0, 1.0, 1.3], [0.0, 1.0, 1.1, 1.2, 1.3]),
        ([0.0, 0.04, 0.04], [0.0, 0.04, 0.08]),
        # One that is too early, one that is far too late.
        ([0.0, 0.04, 0.08, 0.06, 0.12, 0.16], [0.0, 0.04, 0.08, 0.1, 0.12, 0.16]),
        ([0.0, 0.04, 60.0, 0.12, 0.16], [0.0, 0.04, 0.08, 0.12, 0.16]),
        # In the order of storage: B pictures are told late, and nothing drifts.
        ([0.0, 0.3, 0.2, 0.4, 0.1, 0.7, 0.6, 0.8], [0.0, 0.3, 0.35, 0.4, 0.55, 0.7, 0.75, 0.8]),
        # None at all, and one missing.
        ([None, None, None], [0.0, 0.04, 0.08]),
        ([0.0, 0.5, None, 1.5], [0.0, 0.5, 1.0, 1.5]),
        # A camera that waits until something moves, and a picture every two hours.
        ([0.0, 0.04, 0.08, 300.0, 300.04], [0.0, 0.04, 0.08, 300.0, 300.04]),
        ([0.0, 7200.0, 14400.0, 21600.0], [0.0, 7200.0, 14400.0, 21600.0]),
    ],
)
def test_a_wrong_time_moves_its_own_picture_alone(raws: list[float | None], expected: list[float]) -> None:
    assert told(raws) == (expected, [])


@pytest.mark.parametrize(
    ("raws", "expected", "faults"),
    [
        ([0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5], [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5],
         ["steps back from 1.0 s to 0.0 s at picture 3", "steps back from 1.0 s to 0.0 s at picture 6"]),
        # 33 bits of 90 kHz are 95,443.7 s.
        ([95443.6, 95443.64, -0.06, -0.02, 0.02], [95443.6, 95443.64, 95443.68, 95443.72, 95443.76],
         ["steps back from 95,443.6 s to -0.1 s at picture 2"]),
        ([0.0, 0.04, 50_000.0, 50_000.1, 50_000.2], [0.0, 0.04, 0.08, 0.18, 0.28],
         ["jumps from 0.0 s to 50,000.0 s at picture 2"]),
        ([0.0, 50_000.0, 50_000.04], [0.0, 0.04, 0.08], ["jumps from 0.0 s to 50,000.0 s at picture 1"]),
    ],
)  # fmt: skip
def test_a_clock_that_is_set_anew_goes_on_from_there(
    raws: list[float | None], expected: list[float], faults: list[str]
) -> None:
    assert told(raws) == (expected, [f"its clock {fault}" for fault in faults])


def test_a_clock_that_stands_still_holds_no_more_than_a_few_pictures() -> None:
    times: Times[int] = Times(0.04)
    out: list[Told[int]] = []
    for number in range(100):
        out += times.add(5.0, number)
        assert number - len(out) < 10
    out += times.rest()
    assert [round(picture.at_s, 2) for picture in out] == [round(5 + 0.04 * i, 2) for i in range(100)]
    assert out[1].fault is not None and out[1].fault.words(1) == "its clock stands still at 5.0 s at picture 1"
