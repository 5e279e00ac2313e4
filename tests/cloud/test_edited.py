"""Files that a process reads once: a change is logged once, and the deep health says it, too."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from cloud import health, instance, pipelines_file
from cloud.edited import FileAsRead, masks_of
from cloud.settings import current
from cloud.storage import containers

ROUTE = '[[route]]\nname = "a"\nsteps = [{ model = "sketch" }]\n'
SAVED = 1_777_000_000  # 2026-04-24 03:06:40 UTC


def test_a_change_is_one_of_content(tmp_path: Path) -> None:
    file = FileAsRead(tmp_path / "routes.toml", "routes.toml", list)
    assert file.edit() is None, "absent as before"
    file.path.write_text("a")
    assert re.fullmatch(r"routes\.toml is new at .* UTC; this process uses .*: restart the app", str(file.edit()))
    file = FileAsRead(file.path, "routes.toml", lambda: ["it is wrong", "twice"])
    os.utime(file.path, (SAVED, SAVED))
    assert file.edit() is None, "only its time changed"
    file.path.write_text("b")  # as long as before
    os.utime(file.path, (SAVED, SAVED))
    edit = file.edit()
    assert edit and edit.problems == ("it is wrong", "twice")
    assert str(edit) == (
        "routes.toml changed at 2026-04-24 03:06 UTC, and the next start would meet this: it is wrong; twice; "
        "until then, what was read before is used"
    )
    file.path.unlink()
    assert str(file.edit()).startswith("routes.toml is gone, or cannot be read any more, and the next start would meet")
    file = FileAsRead(file.path, "routes.toml", list)
    file.content = b"a"
    assert str(file.edit()).endswith("what it read at its start, and the next start would do without")


@pytest.mark.parametrize(
    ("text", "masks"),
    [
        ('[[route]]\nmask = "a.png"\n[[route]]\nmask = "b/c.png"\n[[route]]\nmask = "a.png"', ["a.png", "b/c.png"]),
        ("[[route]]\nmask = 5\n[[route]]\nmask = ''", []),
        ("route = 5", []),
        ("route = [1]", []),
        ("[[route", []),
    ],
)
def test_masks_are_found_in_whatever_a_file_says(tmp_path: Path, text: str, masks: list[str]) -> None:
    (tmp_path / "routes.toml").write_text(text)
    assert masks_of(tmp_path / "routes.toml") == [tmp_path / mask for mask in masks]


def test_a_change_is_logged_once_and_so_is_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    file = FileAsRead(tmp_path / "routes.toml", "routes.toml", list)
    for content, lines in (("a", 1), ("a", 0), ("b", 1), (None, 1), (None, 0)):
        caplog.clear()
        if content:
            file.path.write_text(content)
        else:
            file.path.unlink(missing_ok=True)
        file.note()
        assert len(caplog.records) == lines
        file.note()
        assert len(caplog.records) == lines


@pytest.fixture
def files(account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    """A process that reads routes and pipelines of its own."""
    made = (current, instance.default_worker, containers.default_storage, pipelines_file.pipelines)
    paths = {"ROUTES_FILE": tmp_path / "routes.toml", "PIPELINES_FILE": tmp_path / "pipelines.toml"}
    for each in made:
        each.cache_clear()
    for name, path in paths.items():
        path.write_text(ROUTE if name == "ROUTES_FILE" else "")
        monkeypatch.setenv(name, str(path))
    instance.default_worker()
    yield paths
    for each in made:
        each.cache_clear()


def said() -> tuple[str, str]:
    """What the deep health says of edited files: in green, in red."""
    found = health.report()
    json.dumps(found)
    return "; ".join(found.get("edited", [])), found["errors"].get("edited", {}).get("message", "")


@pytest.mark.slow
def test_the_deep_health_says_which_files_changed(files: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    assert said() == ("", "")
    files["ROUTES_FILE"].write_text(ROUTE.replace('"a"', '"b"'))
    green, red = said()
    assert "routes.toml changed at " in green and not red and str(files["ROUTES_FILE"]) not in green
    assert green.endswith("restart the app")
    assert list(health.report()["routes"]) == ["a"], "what is in use"
    assert caplog.text.count("restart the app") == 1
    files["PIPELINES_FILE"].write_text("[[pipeline]]\nname = 'nightly'\n")
    green, red = said()
    assert "routes.toml changed" in red and "pipelines.toml changed" in red and "kind is None" in red


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("this is no TOML [", "not valid TOML"),
        (ROUTE.replace("steps", "step"), "unknown key 'step'; did you mean 'steps'"),
        (ROUTE.replace("sketch", "skech"), "no model is called 'skech'; did you mean 'sketch'"),
        (f'{ROUTE}when = "at night"\n', "not an NCRONTAB"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_the_next_start_could_not_use_is_red_now(
    files: dict[str, Path], text: str | None, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    if text is None:
        files["ROUTES_FILE"].unlink()
    else:
        files["ROUTES_FILE"].write_text(text)
    green, red = said()
    assert not green and words in red and "the next start would meet this" in red
    assert health.report()["status"] == "degraded"
    assert caplog.text.count("the next start would meet this") == 1


@pytest.mark.slow
def test_a_mask_is_a_file_that_takes_effect_at_the_next_start(
    files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    mask = files["ROUTES_FILE"].parent / "gate.png"
    files["ROUTES_FILE"].write_text(ROUTE.replace("sketch", "cells") + 'mask = "gate.png"\n')
    instance.default_worker.cache_clear()
    assert "mask: " in (problem := health.report()["errors"]["routes"]["message"]) and "is not there" in problem
    Image.new("L", (4, 4), 255).save(mask)
    green, red = said()
    assert "gate.png is new at " in green and str(mask) not in green and green.endswith("restart the app") and not red
    instance.default_worker.cache_clear()
    assert said() == ("", "")
    content = mask.read_bytes()
    Image.new("L", (4, 4), 0).save(mask)
    assert "dark all over" in said()[1]
    mask.write_bytes(content)
    assert said() == ("", "")
    assert [record.message.split(" changed")[0] for record in caplog.records if "changed at" in record.message] == [
        str(mask)
    ]


@pytest.mark.slow
def test_what_no_name_leads_to_in_an_edited_file_is_not_told_at_every_look(
    files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    files["ROUTES_FILE"].write_text(ROUTE + ROUTE.replace('"a"', '"b"'))
    for _ in range(3):
        instance.on_sweep(lambda: None)
    assert [record.levelname for record in caplog.records] == ["WARNING"], caplog.text


@pytest.mark.slow
def test_the_sweep_says_it_too(files: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    files["ROUTES_FILE"].write_text("[")
    for _ in range(2):
        instance.on_sweep(lambda: None)
    assert caplog.text.count("not valid TOML") == 1


@pytest.mark.slow
def test_routes_that_could_not_be_read_at_the_start_are_read_again_and_are_no_edit(
    files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    instance.default_worker.cache_clear()
    files["ROUTES_FILE"].write_text("[")
    found = health.report()
    assert "not valid TOML" in found["errors"]["routes"]["message"] and found["edited"] == []
    files["ROUTES_FILE"].write_text(ROUTE)
    assert (list(health.report()["routes"]), said()) == (["a"], ("", ""))


@pytest.mark.slow
def test_the_deep_health_says_whether_intake_is_paused(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert health.report()["intake"] == "on"
    monkeypatch.setenv("INTAKE", "off")
    for made in (current, instance.default_worker):
        made.cache_clear()
    found = health.report()
    assert (found["intake"], "intake" in found["errors"]) == ("paused", False)
    caplog.set_level("INFO")
    instance.on_sweep(lambda: None)
    assert "sweep: paused (INTAKE is paused" in caplog.text
