"""Pictures share the memory: large ones in turn, small ones beside them."""

from __future__ import annotations

import io
import threading

import pytest
from PIL import Image

from inference import memory, time_limits
from inference.errors import TookTooLong
from inference.image.media import decode
from inference.memory import Memory, reserve, share


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> Memory:
    made = Memory(32_000)  # large pictures share 16,000 bytes; of up to 1,000 a picture is small
    monkeypatch.setattr(memory, "MEMORY", made)
    return made


def elsewhere(wanted: int) -> bool:
    """Whether another thread gets so many bytes at once."""
    got: list[bool] = []

    def run() -> None:
        try:
            with time_limits.within(0.02, "a test"), share():
                reserve(wanted)
                got.append(True)
        except TookTooLong:
            got.append(False)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    return got[0]


def test_large_pictures_wait_for_each_other_and_small_ones_do_not() -> None:
    with share():
        reserve(9_000)
        assert [elsewhere(wanted) for wanted in (9_000, 7_000, 1_000, 10)] == [False, True, True, True]
    assert elsewhere(9_000)


def test_more_than_all_is_all_and_a_picture_reserves_once(little: Memory) -> None:
    with share():
        reserve(10**9)
        reserve(10**9)  # without waiting for itself
        assert not elsewhere(2_000)
    assert little.large._free == little.large.count


def test_decoding_reserves_what_it_takes_to_the_end_of_the_analysis(little: Memory) -> None:
    Image.new("RGB", (40, 30)).save(data := io.BytesIO(), "PNG")  # 1,200 pixels of 10 bytes
    decode(data.getvalue())
    assert little.large._free == 16_000
    with share():
        decode(data.getvalue())
        assert little.large._free == 4_000
        assert not elsewhere(5_000)
    assert little.large._free == 16_000
