"""A picture's page in a real browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.web.documents import picture, result, step, street
from tests.web.page_server import App
from tests.web.steps import SMALL, expect, ready

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


def test_the_threshold_and_the_labels_act_at_once(app: App, address: str, page: Page) -> None:
    app.add("a.jpg", street(), SMALL, {})
    page.goto(f"{address}result/a.jpg")
    ready(page)
    shown = page.locator(".o:not(.out)")
    expect(shown).to_have_count(3)
    page.locator("#threshold").fill("10")
    expect(shown).to_have_count(4)
    page.locator("#threshold").fill("85")
    expect(shown).to_have_count(1)
    expect(page.locator("li[data-label=car] .count")).to_have_text("0")
    page.keyboard.press("[")
    expect(page.locator("#threshold-at")).to_have_text("80%")
    page.get_by_role("button", name="car").click()
    expect(shown).to_have_count(1)
    assert shown.get_attribute("data-label") == "car"
    page.get_by_role("button", name="car").click()
    expect(shown).to_have_count(2)
    page.get_by_role("button", name="As analysed").click()
    expect(shown).to_have_count(3)
    expect(page.locator("#threshold")).to_be_focused()
    expect(page.locator("#threshold-at")).to_have_text("40%")
    page.keyboard.press("o")
    expect(page.locator("#overlay .boxes")).to_be_hidden()


def test_pointing_at_a_label_lights_up_its_boxes_and_at_a_box_its_label(app: App, address: str, page: Page) -> None:
    app.add("a.jpg", street(), SMALL, {})
    page.goto(f"{address}result/a.jpg")
    ready(page)
    page.locator("li[data-label=person] a").hover()
    expect(page.locator(".o.lit")).to_have_count(2)
    page.locator("li[data-label=car] a").focus()
    page.mouse.move(0, 0)
    expect(page.locator("li[data-label=car]")).to_be_visible()
    box = page.locator(".o[data-label=car] .box").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("li[data-label=car]")).to_have_class("lit")


def test_boxes_lie_where_they_are_in_the_picture_at_any_zoom(app: App, address: str, page: Page) -> None:
    app.add("a.jpg", street(), picture(640, 480), {})
    page.goto(f"{address}result/a.jpg")
    ready(page)
    stage = page.locator("#stage").bounding_box()
    assert stage
    scale = min(stage["width"] / 640, stage["height"] / 480)
    left, top = stage["x"] + (stage["width"] - 640 * scale) / 2, stage["y"] + (stage["height"] - 480 * scale) / 2
    _close(page, (left + 400 * scale, top + 200 * scale, 220 * scale, 220 * scale))
    page.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    page.mouse.wheel(0, -346.57)  # twice as large
    middle = (stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    x, y = (middle[0] + 2 * (left + 400 * scale - middle[0]), middle[1] + 2 * (top + 200 * scale - middle[1]))
    _close(page, (x, y, 440 * scale, 440 * scale))
    page.mouse.dblclick(*middle)
    _close(page, (left + 400 * scale, top + 200 * scale, 220 * scale, 220 * scale))


def _close(page: Page, expected: tuple[float, float, float, float]) -> None:
    page.wait_for_function(
        """([x, y, width, height]) => {
          const box = document.querySelector('.o[data-label=car] .box').getBoundingClientRect();
          return [box.x - x, box.y - y, box.width - width, box.height - height].every((far) => Math.abs(far) < 8);
        }""",
        arg=list(expected),
    )


def test_masks_are_painted_where_the_document_has_them(app: App, address: str, page: Page) -> None:
    app.add("a.jpg", street(), picture(640, 480), {})
    page.goto(f"{address}result/a.jpg")
    ready(page)
    # Columns 100 to 139 of the picture, all rows.
    page.wait_for_function(
        """() => {
          const paint = document.getElementById('paint');
          const at = (x, y) => paint.getContext('2d').getImageData(x, y, 1, 1).data[3];
          return paint.width === 640 && at(100, 0) && at(139, 479) && !at(99, 5) && !at(140, 5);
        }"""
    )
    page.locator("#threshold").fill("99")
    page.wait_for_function(
        "() => !document.getElementById('paint').getContext('2d').getImageData(120, 5, 1, 1).data[3]"
    )


def test_a_map_is_painted_in_the_colours_of_its_labels(app: App, address: str, page: Page) -> None:
    import io

    import numpy as np
    from PIL import Image

    from inference.draw.colours import colour

    ids = np.zeros((480, 640), np.uint8)
    ids[:, 320:], ids[400:, :] = 3, 7  # what is not listed, 0, is background
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, "PNG")
    areas = [{"id": f"map/{k}", "label": label, "label_id": number, "area": 100_000}
             for k, (number, label) in enumerate(((3, "road"), (7, "tree")))]  # fmt: skip
    document = result([step("map", "image-segmentation", areas, map="map.png")], artifacts={"map": "map.png"})
    app.add("a.jpg", document, SMALL, {"map.png": buffer.getvalue()})
    page.goto(f"{address}result/a.jpg")
    ready(page)
    expected = [[500, 100, [*colour("road"), 114]], [100, 450, [*colour("tree"), 114]], [100, 100, [0, 0, 0, 0]]]
    _painted(page, expected)
    page.get_by_role("button", name="tree").click()
    _painted(page, [[500, 100, [0, 0, 0, 0]], expected[1]])


def _painted(page: Page, expected: list[list[Any]]) -> None:
    """Wait until the canvas has these colours; a browser keeps them multiplied by their opacity."""
    page.wait_for_function(
        """expected => expected.every(([x, y, colour]) => {
          const found = document.getElementById('paint').getContext('2d').getImageData(x, y, 1, 1).data;
          return colour.every((part, i) => Math.abs(part - found[i]) < 4);
        })""",
        arg=expected,
    )


@pytest.mark.parametrize("runs", [[0, 5, 3], [7, 1, 2, 4, 100_000, 3], [1], [1000, 1, 1, 1, 1, 1, 999_999]])
def test_masks_are_read_as_they_were_written(address: str, page: Page, runs: list[int]) -> None:
    import numpy as np

    from inference.results.rle import _text

    page.goto(address)
    ready(page)
    source = f"{address}../static/masks.js"
    assert (
        page.evaluate("([url, text]) => import(url).then(({ runs }) => runs(text))", [source, _text(np.array(runs))])
        == runs
    )


def test_the_handle_between_before_and_after_moves_by_keyboard(app: App, address: str, page: Page) -> None:
    document = result([step("sketch", "image-to-image", [])], artifacts={"sketch": "sketch.jpg"})
    app.add("a.jpg", document, SMALL, {"sketch.jpg": SMALL})
    page.goto(f"{address}result/a.jpg")
    ready(page)
    page.locator("#handle").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#stage")).to_have_css("--at", "51%")


def test_the_document_is_shown_and_copied(app: App, address: str, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    app.add("a.jpg", street(), SMALL, {})
    page.goto(f"{address}result/a.jpg")
    ready(page)
    page.keyboard.press("j")
    expect(page.locator("#raw pre")).to_contain_text('"schema": "dropsight/1"')
    page.locator("#copy").click()
    expect(page.locator("#copied")).to_have_text("Copied")
    assert json.loads(page.evaluate("() => navigator.clipboard.readText()"))["source"]["name"] == "a.jpg"


def test_what_waits_is_looked_at_until_it_is_done(app: App, address: str, page: Page) -> None:
    app.states["a.jpg"] = ("waiting", "it waits for its turn")
    page.clock.install()
    page.goto(f"{address}result/a.jpg")
    ready(page)
    expect(page.locator(".lead")).to_have_text("it waits for its turn")
    app.add("a.jpg", street(), SMALL, {})
    del app.states["a.jpg"]
    page.clock.run_for(3000)
    expect(page.locator("#overlay")).to_be_visible()
