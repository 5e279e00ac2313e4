"""The pictures most like one: on their own page, and in that of the result."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cloud.web import similar
from tests.web.documents import picture, result, step
from tests.web.page_server import App, ask, links, text
from tests.web.steps import HOSTILE, expect, ready

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

TILES = "#similar .alike li"


def look(app: App, name: str, vector: Sequence[float]) -> None:
    """A picture with a vector, the newest last."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(vector, np.float32))
    made = step("embed", "image-feature-extraction", [], embedding={"dim": 2, "artifact": "key/embed.npy"})
    age = 60.0 - len(app.entries)
    app.add(name, result([made]), picture(), {"key/embed.npy": buffer.getvalue()}, age=age)


@pytest.fixture
def looks(app: App, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setattr(similar, "_SECONDS", 60.0)
    for name, vector in (("a/b.jpg", (1, 0)), ("near.jpg", (1, 0.1)), (f"{HOSTILE}.jpg", (1, 1)), ("far.jpg", (0, 1))):
        look(app, name, vector)
    app.add("plain.jpg", result([step("objects", "object-detection", [])]), picture(), {})
    return app


def test_the_nearest_stand_with_their_similarity_best_first(looks: App) -> None:
    page = text(ask("similar/a/b.jpg"))
    assert [page.index(number) for number in ("1.00", "0.71", "0.00")] == sorted(
        page.index(number) for number in ("1.00", "0.71", "0.00")
    )
    assert "<script>" not in page and "plain.jpg" not in page and "Among the newest" not in page
    assert {"../../result/near.jpg", "../../result/far.jpg", "../../result/a/b.jpg"} <= {*links(page)}
    assert any(link.startswith("../../../media/thumbnails/near.jpg?") for link in links(page))


def test_what_was_not_looked_at_is_said(looks: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "NEWEST", 3)
    assert "Among the newest 3 with model-embed." in text(ask("similar/a/b.jpg"))


def test_a_result_without_a_vector_has_nothing_similar(looks: App) -> None:
    assert "Similar" not in text(ask("result/plain.jpg"))
    for name in ("plain.jpg", "nothing.jpg"):
        assert ask(f"similar/{name}").status_code == 404
    assert 'data-address="../../similar/a/b.jpg"' in text(ask("result/a/b.jpg"))


@pytest.mark.slow
def test_a_script_puts_them_into_the_page_of_the_result(looks: App, address: str, page: Page) -> None:
    page.goto(f"{address}result/a/b.jpg")
    ready(page)
    expect(page.locator(TILES)).to_have_count(3)
    expect(page.locator(TILES).first).to_contain_text("1.00")
    page.locator(TILES).first.locator("a").click()
    expect(page.locator("h1")).to_have_text("near.jpg")


@pytest.mark.slow
@pytest.mark.parametrize("context", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_a_link_leads_to_them(looks: App, address: str, context: BrowserContext, page: Page) -> None:
    page.goto(f"{address}result/a/b.jpg")
    page.get_by_role("link", name="Pictures like this one").click()
    expect(page.locator(".alike li")).to_have_count(3)
    page.get_by_role("link", name="a/b.jpg").click()
    expect(page.locator("h1")).to_have_text("a/b.jpg")
