"""A video's page in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.web.page_server import App
from tests.web.steps import add_clip, expect, ready

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


def test_a_video_plays_with_its_overlay_and_a_click_on_a_lane_seeks(
    app: App, address: str, page: Page, video_bytes: bytes
) -> None:
    add_clip(app, video_bytes)
    page.goto(f"{address}result/a.webm")
    ready(page)
    page.wait_for_function("() => document.getElementById('media').readyState >= 2")
    lane = page.locator(".lane.zone svg").bounding_box()
    assert lane
    page.mouse.click(lane["x"] + lane["width"] * 0.5, lane["y"] + 5)  # at two of four seconds: the fifth line
    page.wait_for_function("() => Math.abs(document.getElementById('media').currentTime - 2) < 0.1")
    # The box begins at 120 of 320: what is nearest and not later is shown, nothing in between.
    page.wait_for_function(
        """() => {
          const paint = document.getElementById('paint'), scale = paint.width / 320;
          const at = (x, y) => paint.getContext('2d').getImageData(Math.round(x), Math.round(y), 1, 1).data[3];
          const lit = (x) => at(x * scale, 130 * scale);
          return lit(120) && lit(180) && !lit(100) && !lit(150);
        }"""
    )
    expect(page.locator("[data-zone=yard]")).to_have_text("1 inside, 1 entered")
    expect(page.locator("li[data-label=car] .count")).to_have_text("1")
    page.locator("h1").click()
    page.keyboard.press(" ")
    page.wait_for_function("() => document.getElementById('media').currentTime > 2.3")


def test_a_video_that_cannot_be_played_gives_way_to_the_annotated_one(
    app: App, address: str, page: Page, video_bytes: bytes
) -> None:
    add_clip(app, b"this is no video")
    app.storage.write("results", "a.webm/annotated.mp4", video_bytes, content_type="video/webm")
    page.goto(f"{address}result/a.webm")
    ready(page)
    expect(page.locator("#trouble")).to_have_text(
        "This browser does not play the original: this is the annotated video."
    )
    page.wait_for_function("() => document.getElementById('media').readyState >= 1")
