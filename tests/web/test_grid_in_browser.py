"""The grid in a real browser, over stand-ins for index, session, media and API."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloud.index.entry import Entry, EntryPage
from tests.web.documents import street
from tests.web.page_server import NOW, App
from tests.web.steps import SMALL, drop_files, expect, fill, mixed, ready

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


def test_a_tile_opens_its_upload_and_arrows_turn_to_its_neighbours(app: App, address: str, page: Page) -> None:
    for number in range(3):
        app.add(f"{number}.jpg", street(), SMALL, {}, age=number)
    page.goto(address)
    ready(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    for key, name in (("Enter", "1.jpg"), ("ArrowRight", "2.jpg"), ("ArrowLeft", "1.jpg")):
        page.keyboard.press(key)
        expect(page.locator("h1")).to_have_text(name)
        ready(page)
    page.keyboard.press("Escape")
    expect(page.locator("#days")).to_be_visible()
    ready(page)
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()


def test_new_results_are_announced_and_come_in_on_a_click(app: App, address: str, page: Page) -> None:
    fill(app, 3)
    page.clock.install()
    page.goto(address)
    ready(page)
    for number in range(3):
        app.list(replace(app.entries[0], name=f"new {number}.jpg"), age=-1 - number)
    page.clock.run_for(4000)
    button = page.get_by_role("button", name="3 new")
    expect(button).to_be_visible()
    assert page.locator(".tile").count() == 3
    button.click()
    expect(page.locator(".tile")).to_have_count(6)
    expect(page.locator(".tile .name").first).to_have_text("new 2.jpg")
    expect(page.locator(".news")).to_be_empty()


def test_what_is_at_work_changes_in_its_place(app: App, address: str, page: Page) -> None:
    app.list(Entry("w.mp4", "0x1", "working", NOW, message="frames 1 of 30", share=0.03))
    page.clock.install()
    page.goto(address)
    ready(page)
    expect(page.locator("progress")).to_have_attribute("value", "3")
    app.entries[0] = replace(app.entries[0], share=0.9, message="frames 27 of 30")
    page.clock.run_for(4000)
    expect(page.locator("progress")).to_have_attribute("value", "90")
    app.entries[0] = replace(app.entries[0], state="done", share=None, message="", objects={"dog": 2})
    page.clock.run_for(4000)
    expect(page.locator(".labels")).to_have_text("dog 2")


def test_older_ones_come_in_by_themselves(app: App, address: str, page: Page) -> None:
    fill(app, 130)
    page.goto(address)
    ready(page)
    expect(page.locator(".tile")).not_to_have_count(130)
    page.wait_for_function(
        "() => { scrollTo(0, document.body.scrollHeight); return !document.getElementById('older'); }"
    )
    expect(page.locator(".tile")).to_have_count(130)
    assert len(set(page.locator(".tile").evaluate_all("all => all.map((each) => each.dataset.name)"))) == 130


def test_dropped_files_are_uploaded_and_what_is_too_large_is_refused_before(
    app: App, address: str, page: Page, tmp_path: Path
) -> None:
    fill(app, 1)
    page.goto(address)
    ready(page)
    app.limit = 1000
    page.reload()
    ready(page)
    drop_files(page, {"a b#.jpg": b"x" * 100, "large.mp4": b"x" * 1001})
    expect(page.locator(".sending .bad")).to_have_text(
        re.compile("large.mp4: it has .* MiB, at most .* MiB are taken here; put it into the container uploads")
    )
    expect(page.locator('.tile[data-name="a b#.jpg"] .state')).to_have_text("Waiting")
    assert [(method, path, len(body)) for method, path, body in app.calls] == [("PUT", "v1/uploads/a b#.jpg", 100)]


def test_a_dropped_file_stays_in_sight_until_it_is_in_the_list(
    app: App, address: str, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.goto(address)
    ready(page)
    listed = app.page
    monkeypatch.setattr(
        app, "page", lambda *_: EntryPage([])
    )  # the list is behind, as a table is that is written later
    drop_files(page, {"a.jpg": b"x"})
    expect(page.locator(".sending li")).to_have_text("a.jpg: uploaded, waits for its turn")
    monkeypatch.setattr(app, "page", listed)
    expect(page.locator('.tile[data-name="a.jpg"]')).to_be_visible()
    expect(page.locator(".sending li")).to_have_count(0)


def test_an_empty_app_offers_to_choose_files(app: App, address: str, page: Page) -> None:
    page.goto(address)
    ready(page)
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Choose files").click()
    chosen.value.set_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"x"})
    expect(page.locator('.tile[data-name="a.jpg"]')).to_be_visible()


def test_an_upload_that_the_app_refuses_says_why(app: App, address: str, page: Page) -> None:
    app.limit = 2_000_000
    page.goto(address)
    ready(page)
    app.limit = 10
    with page.expect_response(re.compile("v1/uploads")):
        page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"x" * 500})
        page.locator(".add summary").click()
        page.locator("#upload button").click()
    expect(page.locator(".sending .bad")).to_have_text("a.jpg: the body has 500 bytes")


def test_a_lost_connection_is_a_quiet_line_until_it_is_back(app: App, address: str, page: Page) -> None:
    fill(app, 2)
    page.clock.install()
    page.goto(address)
    ready(page)
    page.context.set_offline(True)
    page.clock.run_for(4000)
    expect(page.locator(".news")).to_have_text("No connection; trying again.")
    page.context.set_offline(False)
    page.clock.run_for(4000)
    expect(page.locator(".news")).to_be_empty()


def test_a_page_of_mixed_uploads_does_not_jump_while_it_loads(app: App, address: str, page: Page) -> None:
    mixed(app)
    page.route("**/media/**", lambda route: route.abort())
    page.goto(address)
    ready(page)
    before = page.locator(".shot").evaluate_all("all => all.map((each) => each.getBoundingClientRect().height)")
    page.unroute("**/media/**")
    page.reload()
    page.wait_for_function("() => [...document.images].every((each) => each.complete && each.naturalWidth)")
    after = page.locator(".shot").evaluate_all("all => all.map((each) => each.getBoundingClientRect().height)")
    assert before == after


@pytest.mark.parametrize("context", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_it_can_be_searched_opened_tried_again_and_deleted(app: App, address: str, page: Page) -> None:
    app.add("a.jpg", street(), SMALL, {})
    app.fail("b.jpg", "broken", "CorruptMedia", age=1)
    page.goto(address)
    page.fill("#q", "dog")
    page.click(".search button")
    expect(page.locator(".chips")).to_contain_text("dog")
    page.click(".chips a")
    page.click(".tile.failed button")
    assert app.calls[-1][1] == "operate/replays"
    page.click('a[href*="a.jpg"]')
    expect(page.locator(".o:not(.out)")).to_have_count(3)
    page.click(".sure summary")
    page.click(".sure button")
    expect(page.locator(".tile")).to_have_count(1)
