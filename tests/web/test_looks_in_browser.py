"""Every page on a phone and on a wide screen: usable by all (axe-core), no wider than its window, names are text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.web.documents import street
from tests.web.page_server import App, Visitor
from tests.web.steps import HOSTILE, SMALL, add_clip, expect, mixed, ready

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
DARK = {"color_scheme": "dark"}


@pytest.mark.parametrize("context", [PHONE | DARK, {}], indirect=True, ids=["phone dark", "wide light"])
@pytest.mark.parametrize("path", ["", "result", "failed", "video", "status", "empty", "sign in"])
def test_no_page_is_hard_to_use(app: App, address: str, page: Page, path: str, video_bytes: bytes) -> None:
    from axe_playwright_python.sync_playwright import Axe

    where = prepare(app, path, video_bytes)
    page.goto(address + where)
    expect(page.locator("main")).to_be_visible()
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert not serious, "\n".join(f"{each['id']}: {node['html']}" for each in serious for node in each["nodes"])
    wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} pixels wider than the window"


def prepare(app: App, path: str, video: bytes) -> str:
    if path == "sign in":
        app.visitor = Visitor(frozenset(), False, True)
    if path == "video":
        add_clip(app, video)
    if path in ("", "result", "status"):
        mixed(app)
    if path == "failed":
        app.fail("notes.jpg", "this is a text file; expected an image", "UnsupportedMedia")
    if path == "result":
        app.add("a.jpg", street() | {"summary": {"objects": {}, "scene": {HOSTILE: 0.7}, "guesses": {}}}, SMALL, {})
    return {"result": "result/a.jpg", "failed": "result/notes.jpg", "video": "result/a.webm", "status": "status"}.get(
        path, ""
    )


@pytest.mark.parametrize("context", [PHONE, {}], indirect=True, ids=["phone", "wide"])
def test_hostile_names_and_labels_are_text_and_stay_in_their_places(app: App, address: str, page: Page) -> None:
    mixed(app)
    page.on("dialog", lambda _: pytest.fail("a script of a name has run"))
    page.goto(address)
    ready(page)
    expect(page.locator(".tile .name").first).to_contain_text("<script>")
    page.locator(".tile > a").first.click()
    expect(page.locator("#labels .what").first).to_contain_text(HOSTILE)
    expect(page.locator("h1")).to_contain_text("<script>alert(1)</script>")


def test_the_keys_are_listed(app: App, address: str, page: Page) -> None:
    page.goto(address)
    ready(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
