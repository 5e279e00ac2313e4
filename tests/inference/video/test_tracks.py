"""The object that is followed is a track: that of a detection where there is one, else its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from inference.keep import Sieve
from inference.manifest import Manifest
from inference.predictions import Objects
from inference.routes import Step
from inference.video.options import VideoOptions
from inference.video.tracks import Tracks
from inference.video.zones import Zone

PLACE, ELSEWHERE = [10.0, 10.0, 50.0, 50.0], [200.0, 10.0, 240.0, 50.0]


def seen(*boxes: Sequence[float], name: str = "dog") -> Objects:
    n = len(boxes)
    return Objects(np.array(boxes, np.float32).reshape(-1, 4), np.full(n, 0.9, np.float32), np.zeros(n, np.int64),
                   (name,) * n)  # fmt: skip


def follow(tracks: Tracks, frames: Sequence[tuple[Objects, Objects]]) -> list[int | None]:
    """The number of the followed object, frame by frame, for (detections, followed)."""
    numbers: list[int | None] = []
    for i, (detections, followed) in enumerate(frames):
        shown = tracks.update(i / 10, detections)
        followed = tracks.follow(i / 10, followed, shown)
        numbers.append(None if followed.tracks is None else int(followed.tracks[0]))
    return numbers


def test_what_only_the_first_frame_shows_does_not_count() -> None:
    """ByteTrack makes it a track at once; anywhere else a single sight is none."""
    tracks = Tracks(VideoOptions(confirm_hits=3), 0.5, 320, 200)
    for i, boxes in enumerate([(PLACE, ELSEWHERE), (PLACE,), (PLACE,), (PLACE,)]):
        tracks.update(i / 4, seen(*boxes))
    assert [track["frames"] for track in tracks.extra([])["tracks"]] == [4, 1]
    assert tracks.extra([])["objects"] == {"dog": 1}
    of_one_frame = Tracks(VideoOptions(confirm_hits=3), 0.5, 320, 200)
    of_one_frame.update(0.0, seen(PLACE))
    assert of_one_frame.extra([])["objects"] == {"dog": 1}


def test_what_only_the_first_frame_shows_counts_at_no_zone() -> None:
    whole = Zone("whole", ((0, 0), (1, 0), (1, 1), (0, 1)))
    tracks = Tracks(VideoOptions(zones=(whole,)), 0.5, 320, 200)
    for i, boxes in enumerate([(PLACE, ELSEWHERE), (PLACE,), (PLACE,), (PLACE,)]):
        tracks.update(i / 4, seen(*boxes))
    (count,) = tracks.counters()
    assert (count.entered, count.inside) == (1, 1)
    document = tracks.extra([])
    assert document["objects"] == {"dog": 1}
    assert document["zones"]["whole"]["total"] == {"enter": 1, "exit": 1, "dwell": 1}


@pytest.mark.parametrize("tracker", ["bytetrack", "sort"])
def test_a_followed_detection_is_its_track_and_goes_on_where_it_is_not_detected(tracker: str) -> None:
    tracks = Tracks(VideoOptions(tracker=tracker), 0.5, 320, 200)  # type: ignore[arg-type]
    dog, other = seen(PLACE), seen(ELSEWHERE)
    both = seen(PLACE, ELSEWHERE)
    numbers = follow(tracks, [(both, dog)] * 3 + [(other, dog)] * 4 + [(other, Objects.empty())] * 2)
    first = 1 if tracker == "bytetrack" else None  # SORT counts an object once it is seen a second time
    assert numbers == [first, *[1] * 6, None, None]
    document = tracks.extra([])
    assert document["objects"] == {"dog": 2}
    assert [(track["id"], track["end_s"]) for track in document["tracks"]] == [(1, 0.6), (2, 0.8)]


def test_what_no_detection_shows_is_a_track_of_its_own() -> None:
    tracks = Tracks(VideoOptions(), 0.5, 320, 200)
    numbers = follow(tracks, [(seen(ELSEWHERE), seen(PLACE, name="followed"))] * 5)
    assert numbers == [2] * 5
    assert tracks.extra([])["objects"] == {"dog": 1, "followed": 1}


def test_what_is_detected_later_is_one_track_from_its_start_on() -> None:
    tracks = Tracks(VideoOptions(), 0.5, 320, 200)
    nothing, dog = seen(), seen(PLACE)
    numbers = follow(tracks, [(nothing, dog)] * 3 + [(dog, dog)] * 4)
    assert numbers[:3] == [1, 1, 1] and numbers[-1] == 2
    (track,) = tracks.extra([])["tracks"]
    assert (track["label"], track["start_s"], track["frames"]) == ("dog", 0.0, 7)


def test_without_a_tracker_it_is_the_only_track() -> None:
    tracks = Tracks(VideoOptions(tracker="none"), 0.5, 320, 200)
    assert follow(tracks, [(seen(ELSEWHERE), seen(PLACE, name="followed"))] * 2) == [1, 1]
    document = tracks.extra([])
    assert document["objects"] == {"followed": 1, "dog": 1} and len(document["tracks"]) == 1


def test_what_is_detected_later_has_stayed_since_it_was_followed() -> None:
    yard = Zone("yard", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), loiter_s=0.5)
    tracks = Tracks(VideoOptions(zones=(yard,)), 0.5, 320, 200)
    follow(tracks, [(seen(), seen(PLACE))] * 3 + [(seen(PLACE), seen(PLACE))] * 4)
    document = tracks.extra([])
    assert document["zones"]["yard"]["total"] == {"enter": 1, "loiter": 1, "exit": 1, "dwell": 1}
    assert {item["track"] for item in document["timeline"] if "track" in item} == {2}


@pytest.mark.parametrize("detections", [Objects.empty(), seen(ELSEWHERE)])
def test_where_a_followed_object_stands_is_in_the_heat_map(detections: Objects) -> None:
    tracks = Tracks(VideoOptions(heat_map=True), 0.5, 320, 200)
    follow(tracks, [(detections, seen(PLACE, name="followed"))] * 11)
    assert tracks.heat is not None and tracks.heat.cells[:, :40].max() == pytest.approx(1.0, abs=1e-3)


def test_what_the_route_leaves_out_by_label_is_no_track_no_event_and_not_counted() -> None:
    """A person drives past in a car, through an area; only cars are asked for."""
    manifest = Manifest("m", "object-detection", "yolo", labels=("person", "car"))
    zone = Zone("area", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
    documents = {}
    for labels in ((), ("car",)):
        sieve = Sieve(Step("m", labels=labels), manifest, 0.5, 0.1, None, (320, 200))
        tracks = Tracks(VideoOptions(zones=(zone,)), 0.5, 320, 200)
        for i in range(12):
            x, boxes = 10.0 * i, [[10.0, 60.0, 110.0, 120.0], [50.0, 65.0, 70.0, 100.0]]
            moved = np.array(boxes, np.float32) + np.array([x, 0, x, 0], np.float32)
            both = Objects(moved, np.array([0.8, 0.9], np.float32), np.array([1, 0]), ("car", "person"))
            found = sieve(both)
            assert isinstance(found, Objects)
            shown = tracks.update(i / 10, found)
        documents[labels] = tracks.extra([])
        assert set(shown.names) == set(labels or ("car", "person"))
    every, cars = documents[()], documents["car",]
    assert every["objects"] == {"car": 1, "person": 1} and cars["objects"] == {"car": 1}
    assert {t["label"] for t in cars["tracks"]} == {i["label"] for i in cars["timeline"]} == {"car"}
    assert {i["label"] for i in every["timeline"]} == {"car", "person"}


@pytest.mark.parametrize("tracker", ["bytetrack", "sort"])
def test_what_crosses_between_its_first_sight_and_the_second_counts(tracker: str) -> None:
    """It is a track from the second on; at four pictures a second, a car is over the line by then."""
    line = Zone("line", ((1.0, 0.5), (0.0, 0.5)))
    tracks = Tracks(VideoOptions(zones=(line,), tracker=tracker), 0.5, 320, 200)  # type: ignore[arg-type]
    for i, feet in enumerate([None, None, 70, 112, 154, 196]):
        tracks.update(i / 4, seen() if feet is None else seen([100.0, feet - 70.0, 200.0, feet]))
    document = tracks.extra([])
    assert document["zones"]["line"]["total"] == {"cross_out": 1}
    (crossing,) = (item for item in document["timeline"] if item["kind"] == "cross")
    assert 0.5 < crossing["t_s"] <= 0.75
