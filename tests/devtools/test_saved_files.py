"""Whoever saves a file that the app reads once is told what to do."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from devtools import checks, run, saved_files
from devtools.checks import Finding
from devtools.saved_files import SavedFiles
from tests.conftest import ROOT

ROUTE = '[[route]]\nname = "a"\nsteps = [{ model = "sketch" }]\n'


class World:
    """Two files, a clock, and what is said."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.routes, self.pipelines = folder / "routes.toml", folder / "pipelines.toml"
        self.routes.write_text(ROUTE)
        self.now, self.said, self.checks = 0.0, list[str](), 0
        self.finding = Finding("Configuration", True, "settings and routes can be used: a")
        patch.setattr("devtools.saved_files.time.monotonic", lambda: self.now)
        patch.setattr(saved_files, "say", lambda text: self.said.append(text.strip()))
        self.files = SavedFiles([self.routes, self.pipelines], self._check)

    def _check(self) -> Finding:
        self.checks += 1
        return self.finding

    def look(self) -> list[str]:
        """What is said within the next two seconds."""
        self.said.clear()
        for _ in range(10):
            self.now += 0.25
            self.files.step()
        return self.said


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_each_save_is_said_once_and_nothing_is_checked_before(world: World) -> None:
    assert (world.look(), world.checks) == ([], 0)
    world.routes.write_text(ROUTE.replace('"a"', '"b"'))
    assert world.look() == [f"routes.toml: saved. {saved_files.AGAIN}"]
    assert (world.look(), world.checks) == ([], 1)
    world.routes.write_text(ROUTE)
    assert world.look() == ["routes.toml: again what the app read at its start."]
    assert (world.look(), world.checks) == ([], 1)


def test_a_file_that_is_touched_or_saved_as_it_was_is_no_news(world: World) -> None:
    os.utime(world.routes, (1, 1))
    assert world.look() == []
    world.routes.write_text(ROUTE)
    assert world.look() == []


def test_files_that_come_and_go_are_news(world: World) -> None:
    world.pipelines.write_text("")
    world.routes.unlink()
    assert world.look() == [f"routes.toml and pipelines.toml: saved. {saved_files.AGAIN}"]
    world.pipelines.unlink()
    assert world.look() == ["pipelines.toml: again what the app read at its start."]
    world.routes.write_text(ROUTE + "#")
    world.look()
    world.routes.unlink()
    assert world.look() == [f"routes.toml: gone. {saved_files.AGAIN}"]


def test_what_the_next_start_could_not_use_is_said(world: World) -> None:
    world.finding = Finding("Configuration", False, "routes.toml: not valid TOML")
    world.routes.write_text("[[route")
    assert world.look() == ["routes.toml: saved, but the next start would meet this: routes.toml: not valid TOML"]
    world.finding = Finding("Configuration", True, "can be used: a\nits uploads wait for a model: 'x'")
    world.routes.write_text(ROUTE + "#")
    assert world.look() == [f"routes.toml: saved. {saved_files.AGAIN}\n  Note: its uploads wait for a model: 'x'"]


def test_what_is_watched_is_what_the_settings_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPELINES_FILE", raising=False)
    monkeypatch.setenv("ROUTES_FILE", "other.toml")
    names = [file.name for file in run.read_once({"ROUTES_FILE": "mine.toml"}, tmp_path)]
    assert names == ["other.toml", "pipelines.toml", "local.settings.json"]


def test_masks_that_routes_name_are_watched_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROUTES_FILE", raising=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/routes.toml").write_text(f'{ROUTE}mask = "gate.png"\n')
    found = run.read_once({"ROUTES_FILE": " mine/routes.toml "}, tmp_path)
    assert found[:2] == [tmp_path / "mine/routes.toml", tmp_path / "mine/gate.png"]
    (tmp_path / "mine/routes.toml").write_text("[[route")
    assert len(run.read_once({"ROUTES_FILE": "mine/routes.toml"}, tmp_path)) == 3


def test_a_file_that_is_gone_was_not_saved(world: World) -> None:
    world.routes.unlink()
    assert world.look() == [f"routes.toml: gone. {saved_files.AGAIN}"]


@pytest.mark.slow
def test_the_next_start_is_asked_with_the_settings_as_they_are_now(tmp_path: Path) -> None:
    def settings(**values: str) -> Finding:
        (tmp_path / "local.settings.json").write_text(json.dumps({"Values": {"PYTHONPATH": str(ROOT), **values}}))
        return run.next_start(Path(sys.executable), tmp_path)

    routes = tmp_path / "mine.toml"
    routes.write_text(ROUTE)
    assert settings(ROUTES_FILE=str(routes)).ok
    routes.write_text(ROUTE.replace("sketch", "skech"))
    assert "no model is called 'skech'; did you mean 'sketch'" in settings(ROUTES_FILE=str(routes)).words
    routes.write_text(ROUTE.replace("sketch", "deeplabv3-cutout"))
    (note,) = settings(ROUTES_FILE=str(routes)).notes
    assert "models pull deeplabv3-cutout" in note
    (tmp_path / "local.settings.json").write_text("{")
    assert "local.settings.json" in run.next_start(Path(sys.executable), tmp_path).words


def test_what_an_app_that_starts_cannot_use_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Path] = []

    def ask(python: Path, root: Path) -> Finding:
        asked.append(root)
        return Finding("Configuration", False, "INTAKE='oof': expected on or paused")

    monkeypatch.setattr(run, "next_start", ask)
    for name in ("ROUTES_FILE", "PIPELINES_FILE", "INTAKE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "routes.toml").write_text("# nothing but words\n\n")
    python = Path(sys.executable)
    assert run.this_start(python, tmp_path, {}).ok and not asked, "no second is spent where nobody wrote anything"
    assert "did you mean MAX_CONCURRENT?" in run.this_start(python, tmp_path, {"MAX_CONCURENT": "3"}).words
    run.this_start(python, tmp_path, {"INTAKE": "oof"})
    (tmp_path / "routes.toml").write_text(ROUTE)
    checks.say_what_is_wrong(run.this_start(python, tmp_path, {}))
    assert len(asked) == 2
    assert capsys.readouterr().out == (
        "Mend this, press Ctrl-C and start again: INTAKE='oof': expected on or paused\n\n"
    )


def test_a_pause_is_said_at_the_start_and_by_the_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(checks.intake_findings({"INTAKE": "on"})) == list(checks.intake_findings({"INTAKE": "?"})) == []
    [finding] = checks.intake_findings({"INTAKE": "off"})
    assert (finding.what, finding.ok) == ("Intake", None)
    checks.say_whether_paused({"INTAKE": "off"})
    assert "INTAKE is paused: uploads wait" in capsys.readouterr().out
