"""The pages in a real browser, over stand-ins for index, session, media and API."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cloud.index.entry import Entry
from tests.web.documents import clip, picture, result, step, street, thing
from tests.web.page_server import NOW, App, Visitor, entry_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
DARK = {"color_scheme": "dark"}
HOSTILE = "<script>alert(1)</script> \u2067עברית\u2069"


def ready(page: Page) -> None:
    """Wait until the page's scripts have begun."""
    expect(page.locator("html[data-ready]")).to_be_attached()


def expect(what: Any) -> Any:
    from playwright.sync_api import expect

    return expect(what)


def fill(app: App, count: int, **more: Any) -> None:
    for number in range(count):
        name = f"street/{number:04}.jpg"
        app.storage.write("uploads", name, _SMALL, content_type="image/jpeg")
        app.list(replace(Entry(name, f"0x{number}", "done", NOW, width=640, height=480, objects={"person": 1}), **more),
                 age=number)  # fmt: skip


_SMALL = picture()


def mixed(app: App) -> None:
    """What UI.md asks to look at, with a hostile name."""
    sizes = ((640, 480), (480, 640), (4000, 200), (1, 1), (200, 2000))
    for number, (width, height) in enumerate(sizes):
        document = result([step("objects", "object-detection", [thing(0, HOSTILE, 0.9, (0, 0, width, height))])],
                          (width, height))  # fmt: skip
        app.add(f"{HOSTILE}/{number} {'long ' * 40}.jpg", document, picture(width, height), {}, age=number)
    app.fail("notes.jpg", "this is a text file; expected an image", "UnsupportedMedia", age=6)
    app.list(Entry("w.mp4", "0x1", "working", NOW, message="frames 1,240 of 3,000", share=0.41), age=7)


def test_a_tile_opens_its_upload_and_arrows_turn_to_its_neighbours(app: App, address: str, page: Page) -> None:
    for number in range(3):
        app.add(f"{number}.jpg", street(), _SMALL, {}, age=number)
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


def drop_files(page: Page, files: dict[str, bytes]) -> None:
    """Drop files on the page."""
    page.evaluate(
        """files => {
          const dataTransfer = new DataTransfer();
          for (const [name, bytes] of files) dataTransfer.items.add(new File([Uint8Array.from(bytes)], name));
          for (const type of ["dragover", "drop"]) document.body.dispatchEvent(
            new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        [[name, list(content)] for name, content in files.items()],
    )


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


def test_the_threshold_and_the_labels_act_at_once(app: App, address: str, page: Page) -> None:
    app.add("a.jpg", street(), _SMALL, {})
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
    expect(page.locator("#threshold-at")).to_have_text("80 %")
    page.get_by_role("button", name="car").click()
    expect(shown).to_have_count(1)
    assert shown.get_attribute("data-label") == "car"
    page.get_by_role("button", name="car").click()
    expect(shown).to_have_count(2)
    page.keyboard.press("o")
    expect(page.locator("#overlay .boxes")).to_be_hidden()


def test_pointing_at_a_label_lights_up_its_boxes_and_at_a_box_its_label(app: App, address: str, page: Page) -> None:
    app.add("a.jpg", street(), _SMALL, {})
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
    app.add("a.jpg", document, _SMALL, {"map.png": buffer.getvalue()})
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
    app.add("a.jpg", document, _SMALL, {"sketch.jpg": _SMALL})
    page.goto(f"{address}result/a.jpg")
    ready(page)
    page.locator("#handle").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#stage")).to_have_css("--at", "51%")


def test_the_document_is_shown_and_copied(app: App, address: str, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    app.add("a.jpg", street(), _SMALL, {})
    page.goto(f"{address}result/a.jpg")
    ready(page)
    page.keyboard.press("j")
    expect(page.locator("#raw pre")).to_contain_text('"schema": "dropsight/1"')
    page.locator("#copy").click()
    expect(page.locator("#copied")).to_have_text("Copied")
    assert json.loads(page.evaluate("() => navigator.clipboard.readText()"))["source"]["name"] == "a.jpg"


@pytest.fixture(scope="session")
def video_bytes() -> bytes:
    """Four seconds of WebM, which every Chromium plays: grey that becomes brighter."""
    import io

    import av
    import numpy as np

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=10, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), number * 6, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def add_clip(app: App, content: bytes) -> None:
    document = clip()
    document["source"]["media_type"] = "video/webm"
    lines = [
        {"frame": number * 5, "t_s": number * 0.5, "predictions": {"objects": [
            {"id": "objects/0", "label": "car", "label_id": 2, "score": 0.8, "track": 2,
             "box": [number * 30.0, 100.0, number * 30.0 + 60, 160.0]}]}}
        for number in range(8)
    ]  # fmt: skip
    frames = "\n".join(map(json.dumps, lines)).encode()
    app.add("a.webm", document, content, {"frames.jsonl": frames, "thumbnails/000.jpg": _SMALL})


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
    expect(page.locator("[data-zone=yard]")).to_have_text("inside 1, enter 1")
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


def test_what_waits_is_looked_at_until_it_is_done(app: App, address: str, page: Page) -> None:
    app.states["a.jpg"] = ("waiting", "it waits for its turn")
    page.clock.install()
    page.goto(f"{address}result/a.jpg")
    ready(page)
    expect(page.locator(".lead")).to_have_text("it waits for its turn")
    app.add("a.jpg", street(), _SMALL, {})
    del app.states["a.jpg"]
    page.clock.run_for(3000)
    expect(page.locator("#overlay")).to_be_visible()


@pytest.mark.parametrize("context", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_it_can_be_searched_opened_tried_again_and_deleted(app: App, address: str, page: Page) -> None:
    app.add("a.jpg", street(), _SMALL, {})
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
        app.add("a.jpg", street() | {"summary": {"objects": {}, "scene": {HOSTILE: 0.7}, "guesses": {}}}, _SMALL, {})
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


def test_the_keys_are_listed(app: App, address: str, page: Page) -> None:
    page.goto(address)
    ready(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_entries_and_documents_of_the_stand_in_agree() -> None:
    assert entry_of("a.jpg", street()).objects == {"person": 2, "car": 1, "dog": 1}
