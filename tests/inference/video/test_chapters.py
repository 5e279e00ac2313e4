"""Whatever labels are called, a player reads as many chapters as the timeline has items."""

from __future__ import annotations

from html import unescape
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from inference.video.outputs import vtt
from tests.inference.properties import examples

TEXT = st.text(st.sampled_from("a->&<;\n\r\x85\u2028 ") | st.characters(exclude_categories=["Cs"]), max_size=8)
TIMES = st.floats(0, 90 * 3600)
SCENES = st.fixed_dictionaries({"kind": st.just("scene"), "label": TEXT, "start_s": TIMES, "end_s": TIMES})
CROSSINGS = st.fixed_dictionaries(
    {"kind": st.just("enter"), "label": TEXT, "zone": TEXT, "track": st.just(7), "start_s": TIMES, "end_s": TIMES}
)


@given(st.lists(SCENES | CROSSINGS, max_size=4))
@example([{"kind": "scene", "label": "a--->b\n\nc", "start_s": 1.0, "end_s": 1.0}])
@examples(60)
def test_a_chapter_per_item_whatever_the_words(timeline: list[dict[str, Any]]) -> None:
    lines = vtt(timeline).split("\n")
    assert lines[:2] == ["WEBVTT", ""]
    places = [k for k, line in enumerate(lines) if "-->" in line]
    assert len(places) == len(timeline)
    for item, place in zip(timeline, places, strict=True):
        start, end = lines[place].split(" --> ")
        text, after = lines[place + 1 : place + 3]
        assert end > start and after == "" and "<" not in text and "\r" not in text
        words = f"{item['label']} 7: enter {item['zone']}" if "zone" in item else item["label"]
        assert unescape(text).split() == words.split()


def test_who_was_not_seen_to_leave_has_no_chapter_for_it() -> None:
    left = {"kind": "exit", "label": "person", "zone": "yard", "track": 7, "t_s": 3.0, "start_s": 3.0, "end_s": 3.0}
    assert "person 7: exit yard" in vtt([left]) and vtt([{**left, "vanished": True}]) == "WEBVTT\n"
