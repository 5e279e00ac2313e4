"""pipelines.toml: what it may say, and how it answers mistakes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import azure.functions as func
import pytest

from cloud.pipelines import entries, timers
from cloud.pipelines.expressions import fill, unmet
from cloud.schedule import Schedule

GOOD = """
[[pipeline]]
name = "nightly-score"
kind = "published"
id = "pipe-1"
schedule = "0 0 3 * * *"
condition = 'new_results >= 100 and drift == "warning"'
parameters = { day = "{slot:%Y-%m-%d}" }

[[pipeline]]
name = "fortnight"
kind = "job"
component = "retrain@latest"
every = "2 weeks"
weekdays = ["monday"]
at = ["04:15"]
time_zone = "Europe/Zurich"
start = 2026-12-01T00:00:00
"""


def read(tmp_path: Path, text: str) -> entries.Pipelines:
    path = tmp_path / "pipelines.toml"
    path.write_text(text)
    return entries.read(path)


def with_line(line: str) -> str:
    return f'[[pipeline]]\nname = "x"\nkind = "published"\nid = "p"\nschedule = "0 0 3 * * *"\n{line}\n'


def test_reads_what_the_documentation_shows(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert found.problems == ()
    nightly, fortnight = found.entries
    assert nightly.schedule == Schedule(cron="0 0 3 * * *")
    assert fortnight.schedule.start == datetime(2026, 11, 30, 23, tzinfo=UTC)
    assert fortnight.schedule.weekdays == (0,)
    assert (nightly.experiment, fortnight.experiment) == ("dropsight", "dropsight")


def test_a_yaml_job_names_its_own_experiment(tmp_path: Path) -> None:
    entry = '[[pipeline]]\nname = "x"\nkind = "job"\nyaml = "job.yml"\nschedule = "0 0 3 * * *"\n'
    found = read(tmp_path, entry)
    assert found.problems == () and found.entries[0].experiment == ""


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ('schedul = "x"', "did you mean 'schedule'"),
        ('conditon = "x"', "did you mean 'condition'"),
        ('catch_up = "last"', "latest, all, none"),
        ('every = "1 day"', "either schedule"),
        ('time_zone = "Europe/Zurick"', "Europe/Zurich"),
        ('condition = "new_result > 3"', "new_results >= 100"),
        ("condition = 'drift == 3'", "a word"),
        ("condition = 'drift == \"warn\"'", "ok, warning, alert, unknown"),
        ('tags = { day = "{slott}" }', "{slot:%Y-%m-%d}"),
        ('tags = { day = "{" }', "write {{"),
        ("parameters = 3", "must be a table"),
        ("start = 2026-12-02T00:00:00\nend = 2026-12-01T00:00:00", "before start"),
        ('start = "tomorrow"', "without quotes"),
        ("continue_on_step_failure = 1", "true or false"),
        ('component = "x:1"', "unknown key 'component'"),
        ("start = 0001-01-01T00:00:00", "leave it out"),
        ('end = 9999-12-31T23:59:59\ntime_zone = "America/New_York"', "leave it out"),
        ("condition = 'drift > \"ok\"'", "== or !="),
        ("parameters = { a = { b = 1 } }", "a text, a number"),
        ("tags = { a = [1] }", "a text, a number"),
        ("data_paths = { a = 3 }", "azureml://datastores/"),
    ],
)
def test_a_wrong_entry_says_what_to_write_and_leaves_the_others(tmp_path: Path, line: str, answer: str) -> None:
    found = read(tmp_path, with_line(line) + GOOD)
    assert [entry.name for entry in found.entries] == ["nightly-score", "fortnight"]
    (problem,) = found.problems
    assert "pipeline 1 ('x')" in problem
    assert answer in problem


@pytest.mark.parametrize(
    ("kind", "line", "answer"),
    [
        ("batch-endpoint", 'inputs = { a = { type = "uri_folder" } }', "needs a path"),
        ("batch-endpoint", 'inputs = { a = { type = "mltable", path = "x" } }', "one of uri_folder, uri_file"),
        ("batch-endpoint", 'inputs = { a = { type = "number" } }', "needs a value"),
        ("batch-endpoint", 'outputs = { a = "x" }', "uri_folder"),
        ("job", "inputs = { a = {} }", "needs a path"),
        ("job", "inputs = { a = [1] }", "a table with a path"),
        ("job", 'inputs = { "a.b" = 1 }', "underscores"),
    ],
)
def test_inputs_that_could_not_be_sent_are_found_while_reading(
    kind: str, line: str, answer: str, tmp_path: Path
) -> None:
    target = 'component = "c:1"' if kind == "job" else 'endpoint = "e"'
    start = f'[[pipeline]]\nname = "x"\nkind = "{kind}"\n{target}\nschedule = "0 0 3 * * *"\n'
    (problem,) = read(tmp_path, f"{start}{line}\n").problems
    assert answer in problem
    (problem,) = read(tmp_path, start.replace('"c:1"', '"c"').replace('"e"', '""')).problems
    assert "name@latest" in problem or "needs 'endpoint'" in problem


def test_names_are_unique_and_files_may_be_missing_or_broken(tmp_path: Path) -> None:
    assert "taken" in read(tmp_path, GOOD + GOOD).problems[0]
    assert entries.read(tmp_path / "absent.toml") == entries.Pipelines()
    assert "no pipeline runs" in read(tmp_path, "[[pipeline").problems[0]


ODD = ["3", "true", "nan", "[]", "{}", "[[]]", "[{}]", '""', '"x"', "2026-12-01", "04:15:00", "[3]", "{ a = nan }"]


@pytest.mark.parametrize("odd", ODD)
def test_no_value_of_any_key_can_take_the_app_down(tmp_path: Path, odd: str) -> None:
    keys = {*entries._COMMON, *(key for kind in entries.KINDS.values() for key in kind)}
    tables = [
        {"name": '"x"', "kind": f'"{kind}"', "schedule": '"0 0 3 * * *"', key: odd}
        for key in sorted(keys)
        for kind in entries.KINDS
    ]
    texts = ["[[pipeline]]\n" + "".join(f"{name} = {value}\n" for name, value in table.items()) for table in tables]
    assert read(tmp_path, "\n".join(texts) + GOOD).entries[-1].name == "fortnight"
    for text in (f"pipeline = {odd}", f"model = {odd}", f"drift = {odd}", f"lake = {odd}", f"[lake]\nschedule = {odd}"):
        assert isinstance(read(tmp_path, text), entries.Pipelines)
    for key in ("registry", "stage", "tags", "min_agreement"):
        found = read(tmp_path, f'[[model]]\nname = "x"\n{key} = {odd}\n')
        assert len(found.models) + len(found.problems) == 1


def test_models_are_told_apart_by_their_folders_and_drift_names_a_pipeline_that_exists(tmp_path: Path) -> None:
    twice = '[[model]]\nname = "a"\nserves = "x"\n[[model]]\nname = "b"\nserves = "x"\n'
    assert "'x' is taken" in read(tmp_path, twice).problems[0]
    both = read(tmp_path, twice.replace('"b"\nserves = "x"', '"a"\nserves = "y"'))
    assert (both.problems, [model.serves for model in both.models]) == ((), ["x", "y"])
    (problem,) = read(tmp_path, '[drift]\nretrain = "fortnigth"\n' + GOOD).problems
    assert "'fortnigth', which is no usable" in problem
    assert read(tmp_path, '[drift]\nretrain = "fortnight"\n' + GOOD).problems == ()


class Known:
    """Facts of a test."""

    def new_results(self) -> int:
        return 12

    def drift(self) -> str:
        return "warning"

    def model_latest(self, name: str) -> str:
        return f"{name}-7"


def test_expressions_are_filled_in_the_entrys_time_zone() -> None:
    value = {"day": ["{slot:%Y-%m-%d %H}h", 3], "n": "{results_since_last_run}/{{{model.latest:classify}}}"}
    filled = fill(value, "x", datetime(2026, 7, 1, 23, tzinfo=UTC), Schedule(zone="Europe/Zurich").tz, Known())
    assert filled == {"day": ["2026-07-02 01h", 3], "n": "12/{classify-7}"}


def test_conditions_say_why_they_do_not_hold() -> None:
    assert unmet("", Known()) == ""
    assert unmet('new_results >= 12 and drift == "warning"', Known()) == ""
    assert unmet("new_results > 12", Known()) == "new_results is 12, the condition asks for > 12.0"


def test_each_entry_is_a_timer_function_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(tmp_path, GOOD + with_line("enabled = false") + with_line('name2 = "y"'))
    monkeypatch.setattr(timers, "pipelines", lambda: found)
    monkeypatch.setenv("PIPELINES_FILE", str(tmp_path / "pipelines.toml"))
    app = func.FunctionApp()
    timers.register(app)
    schedules = {
        each.get_function_name(): each.get_bindings()[0].get_dict_repr()["schedule"] for each in app.get_functions()
    }
    assert schedules == {
        "pipeline_nightly_score": "0 0 3 * * *",
        "pipeline_fortnight": "0 * * * * *",
        "follow_pipelines": timers.FOLLOW,
    }
    assert len(found.problems) == 1


def test_models_drift_and_lake_bring_their_own_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        tmp_path,
        '[[model]]\nname = "shapes"\n[drift]\nschedule = "0 5 * * * *"\n[lake]\nschedule = "0 40 0 * * *"\n',
    )
    monkeypatch.setattr(timers, "pipelines", lambda: found)
    monkeypatch.setenv("PIPELINES_FILE", str(tmp_path / "pipelines.toml"))
    app = func.FunctionApp()
    timers.register(app)
    bindings = {each.get_function_name(): each.get_bindings()[0].get_dict_repr() for each in app.get_functions()}
    assert {name: each.get("schedule") for name, each in bindings.items()} == {
        "deliver_models": timers.DELIVER,
        "model_registered": None,
        "check_drift": "0 5 * * * *",
        "fill_lake": "0 40 0 * * *",
    }
    wrong = read(tmp_path, "[drift]\nwindow_day = 3\n[lake]\n")
    assert "did you mean 'window_days'" in wrong.problems[0]


def test_an_app_without_pipelines_has_no_timers_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINES_FILE", str(tmp_path / "absent.toml"))
    app = func.FunctionApp()
    timers.register(app)
    assert app.get_functions() == []


def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys; import azure.functions; before = set(sys.modules); import cloud.pipelines.timers as t; "
        "t.pipelines(); print([m for m in set(sys.modules) - before "
        "if m.split('.')[0] not in sys.stdlib_module_names | {'cloud', 'inference'} and '_sysconfigdata' not in m])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_no_module_of_ours_imports_the_sdk_before_it_is_needed() -> None:
    code = (
        "import importlib, pathlib, sys\n"
        "for path in sorted(pathlib.Path('cloud').rglob('*.py')):\n"
        "    if path.name != '__main__.py':\n"
        "        importlib.import_module('.'.join(path.with_suffix('').parts).removesuffix('.__init__'))\n"
        "print([m for m in sys.modules if m.startswith(('azure.ai', 'azure.identity'))])"
    )
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert answer.stdout.strip() == "[]"
