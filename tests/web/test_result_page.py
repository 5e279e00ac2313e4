"""What the page of an upload says, without a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from cloud.web.pages import services
from tests.web.documents import clip, picture, result, step, street, thing
from tests.web.page_server import App, ask, listed, text


def test_a_picture_has_its_objects_drawn_in_its_own_pixels(app: App) -> None:
    app.add("a.jpg", street(), picture(), {"annotated.jpg": picture()})
    page = text(ask("result/a.jpg"))
    assert 'viewBox="0 0 640 480"' in page
    assert page.count('class="box"') == 4 and page.count('class="o out"') == 1  # the dog is a guess
    assert page.count('class="joint"') == 8 and page.count('class="bone"') == 4
    row = re.search(r'<li data-label="person".*?</li>', page, re.S)
    assert (
        row and " ".join(re.sub(r"<[^>]+>", "", row[0].partition(">")[2]).split()) == "person 2 found, best score 93%"
    )
    assert (
        "model-objects 3 · Apache-2.0 · CPU" in page and "61 ms" in page and "3b96ba9dfe11452dc563884c9f660816" in page
    )


def test_an_oriented_box_is_drawn_by_its_corners(app: App) -> None:
    corners = [[100, 100], [300, 150], [280, 250], [80, 200]]
    turned = thing(0, "ship", 0.9, (80, 100, 300, 250), corners=corners)
    app.add("a.jpg", result([step("objects", "object-detection", [turned])]), picture(), {})
    assert '<polygon class="box" points="100,100 300,150 280,250 80,200"/>' in text(ask("result/a.jpg"))


def test_labels_have_the_colours_of_the_annotated_picture(app: App) -> None:
    from inference.draw.colours import colour

    app.add("a.jpg", street(), picture(), {})
    assert 'stroke="#{:02x}{:02x}{:02x}"'.format(*colour("car")) in text(ask("result/a.jpg"))


@pytest.mark.parametrize("said", ["entry", "document", "route"])
def test_an_original_of_which_something_is_hidden_is_never_shown(app: App, said: str) -> None:
    document = (
        street() | {"artifacts": {"annotated": "annotated.jpg"}} | ({"blurred": True} if said == "document" else {})
    )
    app.add("a.jpg", document, picture(), {"annotated.jpg": picture()}, blurred=said == "entry")
    if said == "route":
        app.hiding, app.entries = True, []
    page = text(ask("result/a.jpg"))
    assert not re.search("media/(uploads|view)", page) and "media/results/a.jpg/annotated.jpg" in page
    assert "the original is not shown" in page and 'id="overlay"' not in page


def test_the_original_of_a_blurred_video_is_not_shown_either(app: App) -> None:
    app.add("a.mp4", clip(), b"?", {}, blurred=True)
    page = text(ask("result/a.mp4"))
    assert (
        "media/uploads" not in page
        and '<video class="whole" id="media" src="../../media/results/a.mp4/annotated.mp4' in page
    )


def test_a_picture_is_asked_for_as_browsers_show_it_and_downloaded_as_it_is(app: App) -> None:
    document = street()
    document["source"]["media_type"] = "image/heic"
    app.add("a.heic", document, picture(), {})
    page = text(ask("result/a.heic"))
    assert 'src="../../media/view/a.heic?' in page and 'href="../../media/uploads/a.heic?' in page


def test_before_and_after_stand_side_by_side(app: App) -> None:
    document = result([step("sketch", "image-to-image", [])], artifacts={"sketch": "sketch.jpg"})
    app.add("a.jpg", document, picture(), {"sketch.jpg": picture()})
    page = text(ask("result/a.jpg"))
    assert "media/view/a.jpg" in page and "media/results/a.jpg/sketch.jpg" in page
    assert 'aria-label="Where after begins, in percent"' in page


def test_a_video_has_lanes_for_scenes_labels_and_zones(app: App) -> None:
    app.add("a.mp4", clip(), b"?", {"frames.jsonl": b""})
    page = text(ask("result/a.mp4"))
    assert re.findall(r'class="lane (\w+)"', page) == ["scene", "track", "track", "zone"]
    assert "car 2, 0:01 to 0:04" in page and "entered: car 2 at 0:02" in page and "1 entered, 1 left" in page
    assert '"frames": "../../media/results/a.mp4/frames.jsonl' in unescape(page.replace("\\u0026", "&"))


def test_a_video_that_browsers_do_not_play_is_shown_annotated(app: App) -> None:
    app.add("a.avi", clip(playable=False), b"?", {})
    page = text(ask("result/a.avi"))
    assert "media/results/a.avi/annotated.mp4" in page and 'id="paint"' not in page


def test_neighbours_are_those_of_the_list_with_its_filter(app: App) -> None:
    for number, label in enumerate(("person", "dog", "person", "person")):
        document = result([step("objects", "object-detection", [thing(0, label, 0.9, (1, 1, 9, 9))])])
        app.add(f"{number}.jpg", document, picture(), {}, age=number)
    page = text(ask("result/2.jpg?label=person"))
    assert 'id="newer" rel="prev" href="../result/0.jpg?label=person"' in page
    assert 'id="older" rel="next" href="../result/3.jpg?label=person"' in page
    assert 'id="list" href="../?label=person"' in page


def test_the_last_of_a_page_leads_on_to_the_next(app: App) -> None:
    listed(app, 61)
    app.add("street/0059.jpg", street(), picture(), {}, age=59)
    app.entries = [e for e in app.entries if e.name != "street/0059.jpg" or e.media_type]
    page = text(ask("result/street/0059.jpg"))
    assert 'href="../../result/street/0060.jpg?cursor=60"' in page


def test_a_failed_upload_says_what_was_found_and_what_to_do(app: App) -> None:
    app.fail("notes.jpg", "this is a text file; give the picture itself; expected an image", "UnsupportedMedia")
    page = text(ask("result/notes.jpg"))
    assert re.findall(r"<p(?: class=\"lead\")?>([^<]+)</p>", page)[:3] == [
        "this is a text file", "give the picture itself", "expected an image",
    ]  # fmt: skip
    assert "UnsupportedMedia" in page and "Try again" in page and "media/uploads/notes.jpg" in page


def test_what_has_no_result_yet_says_why(app: App) -> None:
    app.states = {"a.jpg": ("waiting", "it waits for its turn"), "b.jpg": ("deleted", "the upload was deleted")}
    waiting, deleted, unknown = ask("result/a.jpg"), ask("result/b.jpg"), ask("result/c.jpg")
    assert (waiting.status_code, deleted.status_code, unknown.status_code) == (200, 404, 404)
    assert "it waits for its turn" in text(waiting) and 'data-live="1"' in text(waiting)
    assert "data-live" not in text(deleted)


def test_a_result_beside_which_something_is_to_be_said_says_it(app: App) -> None:
    app.add("a.jpg", street(), picture(), {"annotated.jpg": picture()})
    app.states["a.jpg"] = ("working", "it is being worked on")
    page = text(ask("result/a.jpg"))
    assert "It is to be analysed again: it is being worked on." in page and 'id="overlay"' in page
    app.states["a.jpg"] = ("deleted", "the upload 'a.jpg' was deleted")
    page = text(ask("result/a.jpg"))
    assert "was deleted." in page and not re.search("media/(uploads|view)", page)


def test_a_result_of_what_was_there_before_is_not_shown(app: App) -> None:
    document = street()
    document["source"]["etag"] = "0x0LD"
    app.add("a.jpg", document, picture(), {})
    app.states["a.jpg"] = ("waiting", "it was uploaded anew")
    page = text(ask("result/a.jpg"))
    assert "it was uploaded anew" in page and 'id="overlay"' not in page


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value[:1] if isinstance(value, list) else ())
    for key, inner in items:
        yield from _places(inner, (*at, key))


@pytest.mark.parametrize("make", [street, clip])
@pytest.mark.parametrize("odd", [None, "x", [None], {"a": None}, -1, float("inf")], ids=repr)
def test_whatever_a_document_has_in_a_place_is_shown_or_said_on_a_page(app: App, make: Any, odd: Any) -> None:
    app.add("a", make(), picture(), {})
    for place in _places(make()):
        document = make()
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = odd
        app.storage.write("results", "a/result.json", json.dumps(document).encode())
        assert ask("result/a").status_code in (200, 422), place


def test_words_on_a_track_can_be_read_on_its_colour(app: App) -> None:
    from inference.draw.colours import ink, track_colour

    app.add("a.mp4", clip(), b"?", {})
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text(ask("result/a.mp4")))[0])
    for number, label, _, _, colour, words in data["tracks"]:
        assert colour == "#{:02x}{:02x}{:02x}".format(*track_colour(label, number))
        assert words == "#{:02x}{:02x}{:02x}".format(*ink(track_colour(label, number)))


@pytest.mark.parametrize("document", [b"{", b"[]", b'{"schema": "other/1"}', b'{"steps": [{"name": 3}]}'])
def test_a_result_that_is_none_is_said_on_a_page(app: App, document: bytes) -> None:
    app.add("a.jpg", street(), picture(), {})
    app.storage.write("results", "a.jpg/result.json", document)
    answer = ask("result/a.jpg")
    assert answer.status_code == 422 and "cannot be read" in text(answer)


def test_exports_are_files_and_what_a_format_cannot_hold_is_said(app: App) -> None:
    app.add("a.jpg", street(), picture(), {})
    answer = ask("export/csv/a.jpg")
    assert "a.jpg,objects,object-detection,person" in text(answer)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.jpg.csv"'
    assert b'"annotations"' in ask("export/coco/a.jpg").get_body()
    app.add("b.jpg", result([step("sketch", "image-to-image", [])]), picture(), {})
    assert ask("export/coco/b.jpg").status_code == 404
    assert ask("export/xml/a.jpg").status_code == 404


def test_the_threshold_says_below_what_nothing_was_kept(app: App) -> None:
    app.add("a.jpg", street(), picture(), {})  # with a guess of 20%, below the step's threshold of 40%
    page = text(ask("result/a.jpg"))
    assert 'min="20" max="100" value="40"' in page and "kept nothing below 20%" in page


def test_a_video_in_parts_is_told_in_words_for_people(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    state = services.UploadState("working", "GET /api/v1/jobs/j1 says how far it is", "0x1", "j1", 0.25)
    monkeypatch.setattr("cloud.web.pages.services.state_of", lambda _: state)
    page = text(ask("result/a.mp4"))
    assert "worked on in parts: 25% done" in page and "GET /api" not in page
    assert '<a href="../v1/jobs/j1">' in page and '<progress max="1" value="0.25"' in page


def test_a_lane_says_how_many_tracks_it_has_and_not_which_track(app: App) -> None:
    document = clip()
    document["tracks"].append({**document["tracks"][0], "id": 3})
    app.add("a.mp4", document, b"?", {"frames.jsonl": b""})
    page = text(ask("result/a.mp4"))
    assert "<bdi>person ×2</bdi>" in page and 'aria-label="person: 2 tracks"' in page
    assert 'aria-label="yard: 2 events"' in page


def test_a_map_and_its_legend_have_the_same_colours(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.web.pages.services.labels_of", lambda _: ("sky", "person", "chair"))
    area = {"id": "m/0", "label": "chair", "label_id": 2, "area": 3072, "score": 1.0}
    document = result([step("m", "image-segmentation", [area], map="m.png")])
    app.add("a.jpg", document, picture(), {"m.png": picture(form="PNG")})
    page = text(ask("result/a.jpg"))
    drawn = re.search(r'"colours": \{"2": \["chair", "(#\w+)"\]', page)
    assert drawn and f'fill="{drawn[1]}"' in page and "1%" in page
