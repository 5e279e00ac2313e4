"""What the pages say, without a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import unquote

import azure.functions as func
import pytest

from cloud.index.entry import Entry
from cloud.settings import UPLOADS
from cloud.web.pages.gallery import gallery
from cloud.web.pages.render import POLICY, STATIC
from cloud.web.pages.tiles import ASPECTS
from tests.web.documents import clip, picture, result, step, street, thing
from tests.web.page_server import NOW, RIGHTS, App, Visitor, ask

HOSTILE = "<script>alert(1)</script> \"'&amp; \u202e\u2067עברית\u2069"


def text(answer: func.HttpResponse) -> str:
    return answer.get_body().decode()


def links(page: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'(?:href|src|action)="([^"]*)"', page)]


def fill(app: App, count: int, **more: Any) -> None:
    for number in range(count):
        entry = Entry(f"street/{number:04}.jpg", f"0x{number}", "done", NOW, width=640, height=480,
                      objects={"person": 3, "dog": 1}, route="street")  # fmt: skip
        app.list(replace(entry, **more), age=number)


def test_every_page_says_what_may_be_loaded_and_has_nothing_inline(app: App) -> None:
    app.add("a.jpg", street(), picture(), {})
    for path in ("", "result/a.jpg", "status", "nowhere"):
        answer = ask(path)
        assert answer.headers["Content-Security-Policy"] == POLICY
        page = text(answer)
        assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:", page)
        scripts = re.findall(r"<script[^>]*>", page)
        assert all("src=" in script or 'type="application/json"' in script for script in scripts)


def test_a_hostile_name_and_label_are_text_everywhere(app: App) -> None:
    name = f"{HOSTILE}/{'long' * 60}.jpg"
    app.add(
        name, result([step("objects", "object-detection", [thing(0, HOSTILE, 0.9, (1, 1, 500, 400))])]), picture(), {}
    )
    app.fail(f"{HOSTILE}.txt", f"{HOSTILE}; expected another", HOSTILE)
    grid = text(ask())
    address = next(link for link in links(grid) if link.endswith("long.jpg"))
    page = ask(address.removeprefix("./"))
    assert page.status_code == 200
    failed = ask(next(link for link in links(grid) if "result/" in link and link.endswith(".txt")).removeprefix("./"))
    for shown in (grid, text(page), text(failed), text(ask("status")), text(ask(f"?label={HOSTILE[:8]}"))):
        assert "<script>alert" not in shown
    assert unescape(text(page)).count(HOSTILE) > 3


def test_addresses_are_relative_so_that_any_prefix_holds(app: App) -> None:
    app.add("deep/down/a b#c?.jpg", street(), picture(), {"annotated.jpg": picture()})
    for path in ("", "result/deep/down/a%20b%23c%3F.jpg", "status"):
        for link in links(text(ask(path))):
            assert not link.startswith("/") and "://" not in link
    page = text(ask("result/deep/down/a%20b%23c%3F.jpg"))
    assert "../../../../static/app.css?v=" in page and 'href="../../../"' in page
    assert any(link.startswith("../../../../media/uploads/deep/down/a%20b%23c%3F.jpg?") for link in links(page))


def test_a_host_that_keeps_escaped_slashes_gets_the_depth_that_its_browsers_see(app: App) -> None:
    app.add("a/b.jpg", street(), picture(), {})
    url = "http://localhost/api/gallery/result/a%2Fb.jpg"
    request = func.HttpRequest("GET", url, route_params={"path": "result/a/b.jpg"}, body=b"")
    page = text(gallery(request))
    assert "../../static/app.css" in page and "../../../static" not in page


def test_gallery_without_its_slash_leads_to_it(app: App) -> None:
    answer = gallery(func.HttpRequest("GET", "http://localhost/api/gallery", route_params={}, body=b""))
    assert (answer.status_code, answer.headers["Location"]) == (303, "gallery/")


def test_the_first_page_keeps_to_its_budgets(app: App) -> None:
    fill(app, 200)
    for path in ("", "?folder=street%2F&label=person", "?label=person&cursor=60"):
        size = len(ask(path).get_body())
        assert size < 40 * 1024, (path, size)
    assert (STATIC / "app.css").stat().st_size < 14 * 1024
    of_grid = ("grid.js", "keys.js", "upload.js")
    of_result = ("result.js", "keys.js", "choice.js", "picture.js", "masks.js", "video.js", "frames.js")
    assert {*of_grid, *of_result} == {file.name for file in STATIC.glob("*.js")}
    for files in (of_grid, of_result):
        assert sum((STATIC / file).stat().st_size for file in files) < 30 * 1024


def test_every_aspect_of_a_tile_has_its_class(app: App) -> None:
    style = (STATIC / "app.css").read_text("utf-8")
    for number, aspect in enumerate(ASPECTS):
        assert f".a{number}{{--a:{aspect:g}}}" in style


def test_tiles_stand_under_their_days_with_their_sizes_and_best_labels(app: App) -> None:
    fill(app, 1, objects={"person": 3, "dog": 1, "cat": 1})
    app.list(Entry("b.jpg", "0x9", "done", NOW, width=4000, height=200), age=24 * 60)
    page = text(ask())
    assert page.index("Today") < page.index("street/0000.jpg") < page.index("Yesterday") < page.index("b.jpg")
    assert "person 3, dog<" in page and "cat<" not in page and "cat," not in page
    assert 'width="320" height="240"' in page and 'width="320" height="16"' in page and "uncut" in page


def test_what_is_not_done_says_its_state_why_and_how_far_it_is(app: App) -> None:
    app.fail("notes.jpg", "this is a text file; expected an image", "UnsupportedMedia")
    app.list(Entry("w.mp4", "0x1", "working", NOW, message="frames 1,240 of 3,000", share=0.41))
    app.list(Entry("q.jpg", "0x1", "waiting", NOW, message="storage busy, next try 14:05"))
    page = text(ask())
    assert "this is a text file<" in page and 'title="UnsupportedMedia"' in page and "Failed" in page
    assert 'action="./replay/notes.jpg"' in page
    assert "frames 1,240 of 3,000" in page and 'value="41"' in page and "At work" in page
    assert "storage busy, next try 14:05" in page and "Waiting" in page


def test_filters_are_chips_that_each_can_be_taken_away(app: App) -> None:
    fill(app, 3)
    page = text(ask("?label=person&folder=street/&state=done&min_score=0.5&since=2026-01-02"))
    chips = re.findall(r'<li><a href="([^"]*)"><span class="cut">([^<]*)', page)
    assert [words for _, words in chips] == ["in street/", "done", "person", "score from 0.5", "since 2026-01-02"]
    assert unescape(chips[2][0]) == "./?folder=street%2F&state=done&min_score=0.5&since=2026-01-02"
    assert "result/street/0000.jpg?folder=street%2F" in unescape(page)


def test_the_search_field_takes_a_label_or_a_folder(app: App) -> None:
    for asked, place in (("street/", "./?folder=street%2F"), ("dog", "./?label=dog"), ("", "./")):
        answer = ask(f"?q={asked}")
        assert (answer.status_code, answer.headers["Location"]) == (303, place)


def test_a_filter_that_is_misspelt_is_said_on_a_page(app: App) -> None:
    for query, words in (
        ("state=dome", "expected one of"),
        ("since=soon", "expected a date"),
        ("min_score=2", "0 to 1"),
    ):
        answer = ask(f"?{query}")
        assert answer.status_code == 400 and words in text(answer)


def test_an_empty_app_says_what_to_do_and_a_filter_without_hits_which_to_drop(app: App) -> None:
    assert "Drop a photo here, or put one into the container <code>uploads</code>." in text(ask())
    page = text(ask("?label=dog"))
    assert "Nothing here fits this filter." in page and "Without “<span" in page


def test_older_ones_are_a_link(app: App) -> None:
    fill(app, 70)
    first = text(ask("?label=person"))
    older = next(link for link in links(first) if "cursor=" in link and "result/" not in link)
    second = text(ask(older.removeprefix("./")))
    assert "street/0059.jpg" in first and "street/0060.jpg" not in first
    assert "street/0060.jpg" in second and 'id="older"' not in second and ">Newest<" in second


def test_what_the_store_cannot_filter_is_said(app: App) -> None:
    app.unfiltered = ("label", "min_score")
    fill(app, 1)
    assert "not filtered by label, min score" in text(ask("?label=person"))


def test_polling_is_answered_304_until_something_changes(app: App) -> None:
    fill(app, 2)
    page = text(ask())
    version = unescape(re.findall(r'data-version="([^"]*)">', page)[0])
    assert "ETag" not in ask().headers  # a browser that kept the page would keep addresses that have run out
    assert ask(If_None_Match=version).status_code == 304
    app.entries[0] = replace(app.entries[0], state="failed")
    assert ask(If_None_Match=version).status_code == 200


def test_a_list_that_cannot_be_had_is_a_page_that_says_so(app: App) -> None:
    app.down = True
    answer = ask()
    assert answer.status_code == 503 and "did not answer within 5 s" in text(answer) and "Try again" in text(answer)
    app.add("a.jpg", street(), picture(), {})
    assert ask("result/a.jpg").status_code == 200  # only its neighbours are not known


def test_without_a_session_every_page_asks_for_a_key_and_leads_back(app: App) -> None:
    app.visitor = Visitor(frozenset(), False, True)
    for path in ("", "?label=dog", "result/a/b.jpg?state=done", "status"):
        answer = ask(path)
        assert answer.status_code == 401
        assert f'name="next" value="gallery/{path}"' in unescape(text(answer)) and 'type="password"' in text(answer)
    assert ask("delete/a.jpg", "POST").status_code == 401 and not app.calls
    assert "opens nothing here" in text(ask("?refused=1&next=gallery/status"))


def test_a_key_that_may_not_read_is_told_so(app: App) -> None:
    app.visitor = Visitor(frozenset(("contribute",)), True, True)
    answer = ask()
    assert answer.status_code == 401 and "of the function read" in text(answer)


def test_who_may_only_read_is_offered_nothing_else(app: App) -> None:
    app.visitor = Visitor(frozenset(("read",)), True, True)
    app.add("a.jpg", street(), picture(), {})
    app.fail("b.jpg", "broken", "CorruptMedia")
    for path in ("", "result/a.jpg", "result/b.jpg"):
        page = text(ask(path))
        assert "Try again" not in page and "Delete" not in page and 'id="upload"' not in page
        assert "Sign out" in page


def test_a_picture_has_its_objects_drawn_in_its_own_pixels(app: App) -> None:
    app.add("a.jpg", street(), picture(), {"annotated.jpg": picture()})
    page = text(ask("result/a.jpg"))
    assert 'viewBox="0 0 640 480"' in page
    assert page.count('class="box"') == 4 and page.count('class="o out"') == 1  # the dog is a guess
    assert page.count('class="joint"') == 8 and page.count('class="bone"') == 4
    assert re.search(r'data-label="person".*?<span class="count">2</span>\s*<span class="best">93%', page, re.S)
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
    assert "car 2, 0:01 to 0:04" in page and "enter: car 2 at 0:02" in page and "enter 1, exit 1" in page
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
    fill(app, 61)
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


def form(app: App, files: dict[str, bytes], folder: str = "") -> func.HttpResponse:
    edge = "edge"
    parts = [f'--{edge}\r\nContent-Disposition: form-data; name="folder"\r\n\r\n{folder}\r\n'.encode()]
    for name, content in files.items():
        said = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: image/jpeg'
        parts.append(f"--{edge}\r\n{said}\r\n\r\n".encode() + content + b"\r\n")
    body = b"".join([*parts, f"--{edge}--\r\n".encode()])
    return ask("upload", "POST", body, Content_Type=f"multipart/form-data; boundary={edge}")


def test_without_scripts_a_form_uploads(app: App) -> None:
    answer = form(app, {"a.jpg": b"1", "b.jpg": b"22"}, "street/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "./")
    assert app.calls == [("PUT", "v1/uploads/street/a.jpg", b"1"), ("PUT", "v1/uploads/street/b.jpg", b"22")]
    refused = form(app, {"c.jpg": b"x" * (app.limit + 1)})
    assert refused.status_code == 413 and "the body has 1,048,577 bytes" in text(refused)
    assert form(app, {}).status_code == 400


def test_without_scripts_forms_try_again_and_delete(app: App) -> None:
    app.fail("a/b.jpg", "broken", "CorruptMedia")
    answer = ask("replay/a/b.jpg?state=failed", "POST")
    assert (answer.status_code, answer.headers["Location"]) == (303, "../../?state=failed")
    assert app.calls.pop() == ("POST", "operate/replays", b'{"names": ["a/b.jpg"], "all": true}')
    assert ask("replay/a", "POST").status_code == 404 and not app.calls  # it would take all that begin so
    answer = ask("delete/a/b.jpg?state=failed", "POST")
    assert (answer.status_code, answer.headers["Location"]) == (303, "../../?state=failed")
    assert app.calls == [("DELETE", "v1/uploads/a/b.jpg", b"")]


def test_a_change_from_another_site_is_refused(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.errors import BadRequest

    def refuse(_: object) -> None:
        raise BadRequest("this was sent by another site")

    monkeypatch.setattr("cloud.web.pages.services.check_origin", refuse)
    app.storage.write(UPLOADS, "a.jpg", b"?")
    for path in ("delete/a.jpg", "replay/a.jpg", "upload"):
        assert "sent by another site" in text(ask(path, "POST"))
    with pytest.raises(BadRequest):
        ask("v1/uploads/a.jpg", "PUT", b"1")
    assert not app.calls


def test_the_api_lies_below_the_pages_with_the_rights_of_the_session(app: App) -> None:
    app.visitor = Visitor(RIGHTS, True, True)
    assert ask("v1/uploads/a.jpg", "PUT", b"1").status_code == 201
    assert app.calls == [("PUT", "v1/uploads/a.jpg", b"1")]


def test_status_shows_each_part_by_itself(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    from cloud.web.pages import status_parts
    from cloud.web.pages.status_parts import Cell

    def broken(_: object) -> list[list[Cell]]:
        raise KeyError("a bug")

    for name in ("outdated", "models", "routes"):
        monkeypatch.setattr(status_parts, name, lambda _: [[Cell("Name")], [Cell("<b>x</b>")]])
    monkeypatch.setattr(status_parts, "pipelines", broken)
    app.list(Entry("w.jpg", "0x1", "waiting", NOW, message="model 'x' is missing; get it"))
    app.fail("f.jpg", "broken", "CorruptMedia")
    verdict = {"status": "alert", "why": "it moved", "count": 40, "at": "2026-01-01",
               "shifts": [{"feature": "brightness", "psi": 0.4, "group": "street"}]}  # fmt: skip
    app.storage.write_json("state", "drift/verdict.json", verdict)
    answer = ask("status")
    page = text(answer)
    assert answer.status_code == 200 and "a fault of ours (KeyError)" in page
    assert "is missing" in page and "CorruptMedia" in page and "it moved" in page
    assert "brightness (street)" in page and "&lt;b&gt;x" in page


def test_a_page_of_an_upload_of_another_time_is_under_its_date(app: App) -> None:
    entry = Entry("old.jpg", "0x1", "done", NOW, width=4, height=3)
    app.list(entry)
    app.entries[0] = replace(app.entries[0], created=NOW - timedelta(days=800))
    assert re.search(r"<time datetime=\"[\d-]+\">\w+, \d+ \w+ \d{4}</time>", text(ask()))
    assert unquote("result/old.jpg") in text(ask())
