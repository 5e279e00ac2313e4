"""pipelines.toml: what it may say, and how it answers mistakes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from cloud import pipelines_file
from cloud.azureml import pipeline_entry
from cloud.azureml.azureml_client import KINDS, AzureML
from cloud.azureml.expressions import Facts, fill, unmet
from cloud.schedule import Schedule
from cloud.storage.containers import Storage
from inference.defaults import PACK
from inference.engine.registry import BUILT_IN, Registry
from inference.manifest import MANIFEST_FILE

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


def read(tmp_path: Path, text: str) -> pipelines_file.Pipelines:
    path = tmp_path / "pipelines.toml"
    path.write_text(text)
    return pipelines_file.read(path)


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
        ('catch_up = "last"', "did you mean 'latest'"),
        ('every = "1 day"', "either schedule"),
        ('time_zone = "Europe/Zurick"', "Europe/Zurich"),
        ('condition = "new_result > 3"', "new_results >= 100"),
        ("condition = 'drift == 3'", "a word"),
        ("condition = 'drift == \"warn\"'", "ok, warning, alert, unknown"),
        ('tags = { day = "{slott}" }', "{slot:%Y-%m-%d}"),
        ('tags = { day = "{" }', "write {{"),
        ("parameters = 3", "expected a table"),
        ("start = 2026-12-02T00:00:00\nend = 2026-12-01T00:00:00", "before start"),
        ('start = "tomorrow"', "without quotes"),
        ("continue_on_step_failure = 1", "true or false"),
        ('component = "x:1"', "unknown key 'component'"),
        ("start = 0001-01-01T00:00:00", "leave it out"),
        ('end = 9999-12-31T23:59:59\ntime_zone = "America/New_York"', "leave it out"),
        ("condition = 'drift > \"ok\"'", "== or !="),
        ("parameters = { a = { b = 1 } }", "parameters.a: found"),
        ("tags = { a = [1] }", "tags.a: found [1]"),
        ("data_paths = { a = 3 }", "data_paths.a: found 3, expected text"),
        ('data_paths = { a = "azureml://datastores/" }', "azureml://datastores/STORE"),
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
        ("batch-endpoint", 'outputs = { a = "x" }', "outputs.a: found 'x', expected a table"),
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
    assert "name@latest" in problem or "'endpoint' is empty" in problem


def test_names_are_unique_and_files_may_be_missing_or_broken(tmp_path: Path) -> None:
    assert "taken" in read(tmp_path, GOOD + GOOD).problems[0]
    assert pipelines_file.read(tmp_path / "absent.toml") == pipelines_file.Pipelines()
    assert "no pipeline runs" in read(tmp_path, "[[pipeline").problems[0]


ODD = ["3", "true", "nan", "[]", "{}", "[[]]", "[{}]", '""', '"x"', "2026-12-01", "04:15:00", "[3]", "{ a = nan }"]


@pytest.mark.parametrize("odd", ODD)
def test_no_value_of_any_key_can_take_the_app_down(tmp_path: Path, odd: str) -> None:
    keys = {item.name for cls in (pipeline_entry.PipelineKeys, *KINDS.values()) for item in fields(cls)}  # type: ignore[arg-type]
    tables = [
        {"name": '"x"', "kind": f'"{kind}"', "schedule": '"0 0 3 * * *"', key: odd}
        for key in sorted(keys)
        for kind in KINDS
    ]
    texts = ["[[pipeline]]\n" + "".join(f"{name} = {value}\n" for name, value in table.items()) for table in tables]
    assert read(tmp_path, "\n".join(texts) + GOOD).entries[-1].name == "fortnight"
    for text in (f"pipeline = {odd}", f"model = {odd}", f"drift = {odd}", f"lake = {odd}", f"[lake]\nschedule = {odd}"):
        assert isinstance(read(tmp_path, text), pipelines_file.Pipelines)
    for key in ("registry", "stage", "tags", "min_agreement"):
        found = read(tmp_path, f'[[model]]\nname = "x"\n{key} = {odd}\n')
        assert len(found.models) + len(found.problems) == 1


def test_models_are_told_apart_by_their_folders_and_drift_names_a_pipeline_that_exists(tmp_path: Path) -> None:
    twice = '[[model]]\nname = "a"\nserves = "x"\n[[model]]\nname = "b"\nserves = "x"\n'
    assert "'x' is taken" in read(tmp_path, twice).problems[0]
    both = read(tmp_path, twice.replace('"b"\nserves = "x"', '"a"\nserves = "y"'))
    assert (both.problems, [model.serves for model in both.models]) == ((), ["x", "y"])
    misspelt = read(tmp_path, '[drift]\nretrain = "fortnigth"\n' + GOOD)
    (problem,) = misspelt.problems
    assert "[drift]: retrain is 'fortnigth', which is no usable" in problem and "did you mean 'fortnight'" in problem
    assert misspelt.drift and not misspelt.drift.retrain  # the check itself goes on
    assert read(tmp_path, '[drift]\nretrain = "fortnight"\n' + GOOD).problems == ()


def known() -> Facts:
    """Facts that were looked up already."""
    facts = Facts(cast(Storage, None), lambda: cast(AzureML, None), None)
    vars(facts).update(new_results=12, drift="warning", _models={"classify": "7"})
    return facts


def test_expressions_are_filled_in_the_entrys_time_zone() -> None:
    value = {"day": ["{slot:%Y-%m-%d %H}h", 3], "n": "{results_since_last_run}/{{{model.latest:classify}}}"}
    filled = fill(value, "x", datetime(2026, 7, 1, 23, tzinfo=UTC), Schedule(zone="Europe/Zurich").tz, known())
    assert filled == {"day": ["2026-07-02 01h", 3], "n": "12/{7}"}


def test_conditions_say_why_they_do_not_hold() -> None:
    assert unmet("", known()) == ""
    assert unmet('new_results >= 12 and drift == "warning"', known()) == ""
    assert unmet("new_results > 12", known()) == "new_results is 12, the condition asks for > 12.0"


@pytest.mark.slow
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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_file_is_read_as_windows_editors_write_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "pipelines.toml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode(encoding))
    found = pipelines_file.read(path)
    assert (found.problems, [entry.name for entry in found.entries]) == ((), ["nightly-score", "fortnight"])


def test_an_unknown_kind_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, with_line("").replace('"published"', '"publised"')).problems
    assert problem == "pipelines.toml: pipeline 1 ('x'): kind is 'publised'; did you mean 'published'?"


def test_a_model_that_nearly_serves_as_another_is_refused_and_a_new_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "pipelines.toml"
    path.write_text(
        '[[model]]\nname = "a"\nserves = "clasify"\n[[model]]\nname = "fruit"\n[[model]]\nname = "classify"\n'
    )
    found = pipelines_file.read(path, lambda: {"classify", "colors"})
    assert [model.serves for model in found.models] == ["fruit", "classify"]
    (problem,) = found.problems
    assert problem.startswith("pipelines.toml: model 'a': serves is 'clasify'") and "mean 'classify'" in problem


def test_the_apps_own_routes_and_models_say_what_can_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is loaded for that, those of the default route neither."""
    folder = tmp_path / PACK["face-detection"]
    shutil.copytree(BUILT_IN / "faces", folder)
    text = (folder / MANIFEST_FILE).read_text("utf-8")
    (folder / MANIFEST_FILE).write_text(text.replace('"faces"', f'"{folder.name}"', 1), "utf-8")
    monkeypatch.setenv("DROPSIGHT_PUBLIC_MODELS", str(tmp_path))
    monkeypatch.setattr(Registry, "model", lambda registry, name: pytest.fail(f"{name} is loaded"))
    path = tmp_path / "pipelines.toml"
    path.write_text('[[model]]\nname = "a"\nserves = "clasify"\n')
    monkeypatch.setenv("PIPELINES_FILE", str(path))
    pipelines_file.pipelines.cache_clear()
    try:
        assert "did you mean 'classify'" in pipelines_file.pipelines().problems[0]
    finally:
        pipelines_file.pipelines.cache_clear()


@pytest.mark.parametrize("broken", ["inference.engine.registry", ""])
def test_pipelines_run_where_the_engine_cannot_say_which_models_there_are(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreadable(*_: object) -> None:
        raise OSError("a folder of models that nobody may read")

    if broken:
        monkeypatch.setitem(sys.modules, broken, None)  # as where onnxruntime cannot be loaded
    monkeypatch.setattr("cloud.uploads.plans.written_routes", unreadable)
    path = tmp_path / "pipelines.toml"
    path.write_text('[[pipeline]]\nname = "a"\nkind = "published"\nid = "x"\nevery = "1 day"\n[[model]]\nname = "m"\n')
    config = pipelines_file.read(path, pipelines_file._model_names)
    assert ([entry.name for entry in config.entries], [model.name for model in config.models]) == (["a"], ["m"])
    assert "is not checked" in caplog.text
