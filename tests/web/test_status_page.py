"""The status: what needs attention comes first, in words and times for people; each part is looked at by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from cloud.index.entry import Entry
from cloud.web.pages import status_parts
from cloud.web.pages.status_parts import Cell
from cloud.web.pages.times import with_times
from tests.web.page_server import NOW, App, ask, text

PARTS = ("failed", "waiting", "outdated", "working", "models", "routes", "pipelines", "drift")


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts that need more than the index and storage have nothing to say."""
    for name in ("outdated", "models", "routes", "pipelines"):
        monkeypatch.setattr(status_parts, name, lambda _: [[Cell("")]])


def titles(page: str) -> list[str]:
    return re.findall(r"<h2>([^<]+)</h2>", page)


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_each_part_is_looked_at_by_itself(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.usefixtures("calm")
def test_without_trouble_it_says_that_nothing_needs_attention(app: App) -> None:
    app.list(Entry("w.jpg", "0x1", "waiting", NOW))
    page = text(ask("status"))
    assert "Nothing needs attention." in page and 'class="urgent"' not in page
    assert "its turn, or the time that its route names" in page  # which is nobody's fault


def test_what_needs_attention_comes_first(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    table = [[Cell("Model")], [Cell("good")], [Cell("refused", trouble=True)]]
    for name in PARTS:
        monkeypatch.setattr(status_parts, name, lambda _: [[Cell("Name")], [Cell("calm")]])
    monkeypatch.setattr(status_parts, "models", lambda _: table)
    monkeypatch.setattr(status_parts, "routes", lambda _: [[Cell("")], [Cell("/tmp/x/a.onnx: it is cut off")]])
    page = text(ask("status"))
    assert titles(page)[0] == "Models" and page.index("refused") < page.index("good")
    assert "Nothing needs attention" not in page
    assert "/tmp/x" not in page and "a.onnx: it is cut off" in page


@pytest.mark.usefixtures("calm")
def test_work_without_a_share_has_words_and_no_machine_path_is_shown(app: App) -> None:
    app.list(Entry("a.mp4", "0x1", "working", NOW))
    app.list(Entry("b.mp4", "0x1", "working", NOW, share=0.21))
    app.list(Entry("c.jpg", "0x1", "waiting", NOW, message="/tmp/x/routes.toml: no model is called 'y'"))
    page = words(text(ask("status")))
    assert "b.mp4 21%" in page and "a.mp4 taken up" in page
    assert "/tmp/x" not in page and "routes.toml" in page
    assert "Taken up" in text(ask()) and "/tmp/x" not in text(ask())


@pytest.mark.parametrize(
    "told, said",
    [
        ({"count": 0, "of": 26}, "None of 26 results is outdated (counted 29 Nov 2020, 12:11 UTC)."),
        ({"count": 1, "of": 1}, "1 of 1 result is outdated"),
        ({"count": 2, "of": 1200, "unknown": 3, "how": "replay"}, "To analyse them again: replay"),
        ({"count": 0, "of": 5, "unknown": 3, "how": "replay"}, "Of 3 more it is not known"),
        ({"counted_at": None, "why": "no sweep has gone through"}, "Not counted so far: no sweep"),
    ],
)
def test_outdated_results_are_a_sentence(
    app: App, monkeypatch: pytest.MonkeyPatch, told: Mapping[str, Any], said: str
) -> None:
    for name in ("models", "routes", "pipelines"):
        monkeypatch.setattr(status_parts, name, lambda _: [[Cell("")]])
    whole = {"counted_at": "2020-11-29T12:11:02+00:00", **told}
    monkeypatch.setattr("cloud.health_parts.outdated", lambda: whole)
    page = text(ask("status"))
    assert said in words(page).replace(" ).", ").")
    assert (titles(page)[0] == "Outdated results") or not told.get("count")


def test_times_are_short_in_utc_and_whole_for_machines() -> None:
    now = datetime(2026, 11, 29, 23, 0, tzinfo=UTC)
    assert with_times("<b> at 2026-11-29T12:11:02.5Z, or 2026-12-01T00:30:00+02:00.", now) == (
        '&lt;b&gt; at <time datetime="2026-11-29T12:11:02.5Z">12:11 UTC</time>, or '
        '<time datetime="2026-12-01T00:30:00+02:00">30 Nov, 22:30 UTC</time>.'
    )
    assert with_times("2025-01-02T03:04Z", now).endswith(">2 Jan 2025, 03:04 UTC</time>")
    for other in ("2026-13-45T99:99:99Z", "0001-01-01T00:00:00+14:00", "2026-11-29", "T12:11Z"):
        assert with_times(other, now) == other
