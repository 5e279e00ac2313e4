"""Commands beside a local run take its settings, and never mix them with those of another account."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.local_settings import use_local_settings
from cloud.settings import BadSettings

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = """\ufeff{ // as Core Tools take it
  "IsEncrypted": false,
  "Values": {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true", /* , } */
    "NOTE": "// no comment, }",
    "MAX_CONCURRENT": 3, "INLINE_ROUTES": true, "INTAKE": null,
  },
}
"""


def test_values_are_taken_where_the_environment_names_no_storage(tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(WRITTEN, "utf-8")
    environ = {"AzureWebJobsStorage": " ", "MAX_CONCURRENT": "8"}
    assert use_local_settings(environ, file)
    assert environ == {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "NOTE": "// no comment, }",
        "MAX_CONCURRENT": "8",
        "INLINE_ROUTES": "true",
    }


@pytest.mark.parametrize(
    "named", [{"AzureWebJobsStorage": "x"}, {"AzureWebJobsStorage__accountName": "x"}, {"STORAGE_CONNECTION": "MINE"}]
)
def test_the_environment_alone_counts_where_it_names_a_storage(tmp_path: Path, named: dict[str, str]) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(WRITTEN, "utf-8")
    environ = dict(named)
    assert not use_local_settings(environ, file)
    assert environ == named
    assert not use_local_settings({}, tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "cannot be read"),
        ("[]", "has no Values"),
        ('{"Values": 5}', "has no Values"),
        ('{"IsEncrypted": true, "Values": {}}', "is encrypted"),
        ('{"Values": {"A": {}}}', "'A' can be no app setting"),
        ('{"Values": {"A=B": "1"}}', "'A=B' can be no app setting"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_said_with_a_way_on(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(content, "utf-8")
    with pytest.raises(BadSettings) as error:
        use_local_settings({}, file)
    assert problem in str(error.value) and "AzureWebJobsStorage in the environment" in str(error.value)


@pytest.mark.slow
def test_the_audit_beside_a_local_run_needs_no_environment(storage_account: str, tmp_path: Path) -> None:
    for tree in ("cloud", "inference"):
        shutil.copytree(ROOT / tree, tmp_path / tree, ignore=shutil.ignore_patterns("__pycache__"))
    values = {"AzureWebJobsStorage": storage_account, "LEASE_SECONDS": "1"}
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": values}))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AzureWebJobs")}
    done = subprocess.run(
        [sys.executable, "-m", "cloud", "audit"], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "0 in, 0 right, 0 lost, 0 doubled, 0 stale, 0 orphaned\n"), done.stderr
    assert done.stderr == f"with the app settings of {tmp_path / 'local.settings.json'}\n"
