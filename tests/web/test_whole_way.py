"""A browser, the real app on the local host, a real Azurite: drop a photo, watch it, open it, try again, delete it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devtools.azurite import Azurite
from localhost.host_process import HostProcess
from tests.cloud.web.browsing import Site
from tests.web.documents import picture
from tests.web.steps import drop_files, expect, ready

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
FAST = ("--scan-interval", "0.5", "--max-polling-interval", "0.3")
_PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def sites(
    azurite_server: Azurite, _unused_accounts: Iterator[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Site]]:
    """The app on accounts of its own: the first asks for no key, the second does."""
    running: list[Site] = []
    for arguments in (FAST, (*FAST, "--enable-auth")):
        connection = azurite_server.connection_string(*next(_unused_accounts))
        environ = {"AzureWebJobsStorage": connection, "SWEEP_SCHEDULE": "0 0 0 1 1 *", "LEASE_SECONDS": "3"}
        environ["AzureFunctionsWebHost__hostid"] = "web"
        log = tmp_path_factory.mktemp("host") / "host.log"
        running.append(Site(HostProcess(ROOT, environ, arguments, log).start(), connection))
    yield running
    for site in running:
        site.host.kill()
        site.store.blobs.close()
        site.store.queues.close()


def test_a_photo_is_dropped_watched_opened_and_deleted(sites: list[Site], page: Page) -> None:
    gallery = f"{sites[0].host.url}/api/gallery/"
    page.goto(gallery.removesuffix("/"))
    assert page.url == gallery
    ready(page)
    expect(page.locator(".empty")).to_contain_text("Drop a photo or a video here")
    drop_files(page, {"my photo #1.jpg": picture(320, 240)})
    tile = page.locator('.tile[data-name="my photo #1.jpg"]')
    expect(tile).to_have_class(re.compile("done"), timeout=_PATIENCE_MS)
    expect(tile.locator("img")).to_be_visible()
    assert tile.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    tile.locator("a").click()
    expect(page.locator("h1")).to_have_text("my photo #1.jpg")
    ready(page)
    assert page.locator("#media").evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    page.keyboard.press("j")
    expect(page.locator("#raw pre")).to_contain_text('"schema": "dropsight/1"')
    page.get_by_role("link", name="Status").click()
    for words in ("Nothing has failed.", "classify"):
        expect(page.locator(".status")).to_contain_text(words)
    expect(page.locator(".status p.trouble")).to_have_count(0)
    page.go_back()
    ready(page)
    page.locator(".sure summary").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator(".empty")).to_be_visible()


def test_what_has_failed_says_why_and_is_tried_again(sites: list[Site], page: Page) -> None:
    page.goto(f"{sites[0].host.url}/api/gallery/?state=failed")
    ready(page)
    drop_files(page, {"street/notes.txt": b"no picture at all"})
    tile = page.locator(".tile.failed")
    expect(tile.locator(".why")).to_contain_text("text file", timeout=_PATIENCE_MS)
    tile.locator("a").click()
    expect(page.locator(".state.failed")).to_contain_text("UnsupportedMedia")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("h1")).to_have_text("street/notes.txt")


def test_a_key_opens_the_pages_and_what_it_may(sites: list[Site], page: Page) -> None:
    gallery = f"{sites[1].host.url}/api/gallery/"
    page.goto(f"{gallery}status")
    page.fill("#key", "no key of this app")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("This key opens nothing here.")
    page.fill("#key", sites[1].key("host"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("h1")).to_have_text("Status")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("h1")).to_have_text("Sign in")
