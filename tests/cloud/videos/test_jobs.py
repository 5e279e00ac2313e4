"""How far a job is, as the listing of its blobs tells: whatever is lost or cut off has to be made again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cloud.storage.containers import BlobInfo
from cloud.videos.jobs import DETECTED, DRAW, FILES, PICTURES, RENDERED, STILLS, STORY, JobProgress, VideoJob, work
from cloud.videos.messages import Message
from inference.results.result import Source
from inference.video.frames import Anchor
from inference.video.split import Part

ID = "0" * 24
JOB = VideoJob(ID, "a.mp4", "e", "k", "t", 0.0, tuple(Part(n, Anchor(), None, Anchor()) for n in range(2)), 64, 48, 5.0,
               False, Source())  # fmt: skip
# Two parts, of which the first has something to draw: what each step left, and what is said of its files.
WORK: dict[str, dict[str, str]] = {
    f"{PICTURES}sketch/0000.mp4": {},
    f"{PICTURES}sketch/0001.mp4": {},
    work(DETECTED, 0): {"files": "1"},
    work(DETECTED, 1): {"files": "1"},
    f"{FILES}frames.jsonl": {},
    work(DRAW, 0): {},
    STORY: {"files": "1", "renders": "0", "pictures": "2"},
    f"{STILLS}0000/poster.jpg": {},
    work(RENDERED, 0): {"files": "1"},
}


def damaged(**changes: Any) -> dict[str, Any]:
    """The plan as it is stored, with other members; `start` and `number` are those of the second part."""
    document = json.loads(json.dumps(JOB.to_json()))
    for key in {"start", "number"} & changes.keys():
        document["parts"][1][key] = changes.pop(key)
    return {**document, **changes}


def test_a_plan_comes_back_as_it_was() -> None:
    assert VideoJob.from_json(damaged()) == JOB


@pytest.mark.parametrize(
    "changes",
    [
        {"start": {"pts_s": "soon", "index": 3}},
        {"start": {"pts_s": float("nan"), "index": 3}},
        {"start": [1, 2]},
        {"start": None},
        {"number": 0},
        {"number": 2},
        {"number": True},
        {"parts": []},
        {"parts": {"number": 0}},
        {"width": 0},
        {"fps": -5.0},
        {"fps": float("inf")},
        {"created": -1e308},
        {"source": []},
    ],
    ids=str,
)
def test_a_damaged_plan_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no "):
        VideoJob.from_json(damaged(**changes))


def progress(*lost: str, cut: str = "", until: str = "join") -> JobProgress:
    drawn = (f"{STILLS}0000/poster.jpg", work(RENDERED, 0)) if until == "render" else ()
    now = datetime(2026, 5, 4, tzinfo=UTC)
    return JobProgress(
        [
            BlobInfo(f"jobs/{ID}/{name}", "e", 4 if name == cut else 9, now, now, {"bytes": "9", **said})
            for name, said in WORK.items()
            if name not in (*lost, *drawn)
        ],
        ID,
    )


def next_step(found: JobProgress) -> tuple[str, list[int]]:
    messages = found.missing(JOB)
    return messages[0].stage, [message.part for message in messages]


def test_what_is_whole_goes_on() -> None:
    assert progress().missing(JOB) == [Message(ID, "join")] and progress().spoilt == {}
    assert next_step(progress(until="render")) == ("render", [0])


@pytest.mark.parametrize("how", ["cut", "lost"])
@pytest.mark.parametrize(
    ("name", "stage", "parts", "until"),
    [
        (f"{PICTURES}sketch/0001.mp4", "detect", [1], "join"),
        (f"{FILES}frames.jsonl", "merge", [0], "join"),
        (STORY, "merge", [0], "join"),
        (f"{STILLS}0000/poster.jpg", "render", [0], "join"),
        (work(RENDERED, 0), "render", [0], "join"),
        (work(DRAW, 0), "merge", [0], "render"),
        (work(DRAW, 0), "join", [0], "join"),  # it is drawn
        (work(DETECTED, 0), "join", [0], "join"),  # it is merged
    ],
)
def test_what_is_lost_or_cut_off_is_made_again(name: str, stage: str, parts: list[int], until: str, how: str) -> None:
    found = progress(cut=name, until=until) if how == "cut" else progress(name, until=until)
    assert next_step(found) == (stage, parts)
    # What ends the step is written once, and has to go before that: with it, whatever is cut off.
    assert (name in found.spoilt) == (how == "cut")


def test_pictures_that_nobody_says_were_made_are_missed_by_their_number() -> None:
    assert next_step(progress(work(DETECTED, 1), f"{PICTURES}sketch/0001.mp4")) == ("detect", [1])
    assert next_step(progress(work(DETECTED, 1), cut=f"{FILES}frames.jsonl")) == ("detect", [1])
