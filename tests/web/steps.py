"""What tests in a browser have in common: apps with something in them, files that are dropped, waiting for scripts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cloud.index.entry import Entry
from tests.web.documents import clip, picture, result, step, thing
from tests.web.page_server import NOW, App

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "<script>alert(1)</script> \u2067עברית\u2069"
SMALL = picture()


def ready(page: Page) -> None:
    """Wait until the page's scripts have begun."""
    expect(page.locator("html[data-ready]")).to_be_attached()


def expect(what: Any) -> Any:
    """Playwright's, imported where there is a browser."""
    from playwright.sync_api import expect

    return expect(what)


def fill(app: App, count: int, **more: Any) -> None:
    """So many pictures, the newest first."""
    for number in range(count):
        name = f"street/{number:04}.jpg"
        app.storage.write("uploads", name, SMALL, content_type="image/jpeg")
        app.list(replace(Entry(name, f"0x{number}", "done", NOW, width=640, height=480, objects={"person": 1}), **more),
                 age=number)  # fmt: skip


def mixed(app: App) -> None:
    """Pictures of all sizes under a hostile name, one that failed, one at work."""
    sizes = ((640, 480), (480, 640), (4000, 200), (1, 1), (200, 2000))
    for number, (width, height) in enumerate(sizes):
        document = result([step("objects", "object-detection", [thing(0, HOSTILE, 0.9, (0, 0, width, height))])],
                          (width, height))  # fmt: skip
        app.add(f"{HOSTILE}/{number} {'long ' * 40}.jpg", document, picture(width, height), {}, age=number)
    app.fail("notes.jpg", "this is a text file; expected an image", "UnsupportedMedia", age=6)
    app.list(Entry("w.mp4", "0x1", "working", NOW, message="frames 1,240 of 3,000", share=0.41), age=7)


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


def add_clip(app: App, content: bytes) -> None:
    """A video with a car that moves to the right by 60 pixels a second, of 320."""
    document = clip()
    document["source"]["media_type"] = "video/webm"
    lines = [
        {"frame": number * 5, "t_s": number * 0.5, "predictions": {"objects": [
            {"id": "objects/0", "label": "car", "label_id": 2, "score": 0.8, "track": 2,
             "box": [number * 30.0, 100.0, number * 30.0 + 60, 160.0]}]}}
        for number in range(8)
    ]  # fmt: skip
    frames = "\n".join(map(json.dumps, lines)).encode()
    app.add("a.webm", document, content, {"frames.jsonl": frames, "thumbnails/000.jpg": SMALL})
