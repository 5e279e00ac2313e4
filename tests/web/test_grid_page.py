"""What the grid says, without a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from urllib.parse import unquote

from cloud.index.entry import Entry
from cloud.web.pages.render import STATIC
from cloud.web.pages.tiles import ASPECTS
from tests.web.page_server import NOW, App, ask, links, listed, text


def test_every_aspect_of_a_tile_has_its_class(app: App) -> None:
    style = (STATIC / "app.css").read_text("utf-8")
    for number, aspect in enumerate(ASPECTS):
        assert f".a{number}{{--a:{aspect:g}}}" in style


def test_tiles_stand_under_their_days_with_their_sizes_and_best_labels(app: App) -> None:
    listed(app, 1, objects={"person": 3, "dog": 1, "cat": 1})
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
    listed(app, 3)
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
    assert "Drop a photo or a video here, or put one into the container <code>uploads</code>." in text(ask())
    page = text(ask("?label=dog"))
    assert "Nothing here fits this filter." in page and "Without “<span" in page


def test_older_ones_are_a_link(app: App) -> None:
    listed(app, 70)
    first = text(ask("?label=person"))
    older = next(link for link in links(first) if "cursor=" in link and "result/" not in link)
    second = text(ask(older.removeprefix("./")))
    assert "street/0059.jpg" in first and "street/0060.jpg" not in first
    assert "street/0060.jpg" in second and 'id="older"' not in second and ">Newest<" in second


def test_what_the_store_cannot_filter_is_said(app: App) -> None:
    app.unfiltered = ("label", "min_score")
    listed(app, 1)
    assert "not filtered by label, min score" in text(ask("?label=person"))


def test_polling_is_answered_304_until_something_changes(app: App) -> None:
    listed(app, 2)
    page = text(ask())
    version = unescape(re.findall(r'data-version="([^"]*)">', page)[0])
    assert "ETag" not in ask().headers  # a browser that kept the page would keep addresses that have run out
    assert ask(If_None_Match=version).status_code == 304
    app.entries[0] = replace(app.entries[0], state="failed")
    assert ask(If_None_Match=version).status_code == 200


def test_a_page_of_an_upload_of_another_time_is_under_its_date(app: App) -> None:
    entry = Entry("old.jpg", "0x1", "done", NOW, width=4, height=3)
    app.list(entry)
    app.entries[0] = replace(app.entries[0], created=NOW - timedelta(days=800))
    assert re.search(r"<time datetime=\"[\d-]+\">\w+, \d+ \w+ \d{4}</time>", text(ask()))
    assert unquote("result/old.jpg") in text(ask())
