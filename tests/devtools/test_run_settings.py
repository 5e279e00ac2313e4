"""What `dev.py run` reads before it starts: settings, ports, the account, another run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from devtools import azurite, cli, doctor, run
from devtools.environment import SetupError
from devtools.supervisor import Supervisor
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def test_settings_are_made_from_the_example_and_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "local.settings.example.json").write_text('{"Values": {"A": "1"}}')
    assert run.settings(tmp_path) == {"A": "1"}
    (tmp_path / "local.settings.json").write_text('{"Values": {"A": "mine"}}')
    assert run.settings(tmp_path) == {"A": "mine"}


def test_the_environment_wins_over_the_file_as_it_does_in_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local.settings.json").write_text('{"Values": {"A": "file", "B": "file"}}')
    monkeypatch.setenv("A", "environment")
    assert run.settings(tmp_path) == doctor.app_settings(tmp_path) == {"A": "environment", "B": "file"}


def test_what_was_interrupted_goes_on_soon_unless_the_settings_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in run.QUICK:
        monkeypatch.delenv(name, raising=False)
    assert run.quick({"A": "1"}) == run.QUICK
    monkeypatch.setenv("SWEEP_SCHEDULE", "0 0 * * * *")
    assert run.quick({"LEASE_SECONDS": "60"}) == {}


@pytest.mark.parametrize("port", ["0", "65536", "-1", "1.5", "http"])
def test_a_port_that_is_none_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--port", port])
    assert ended.value.code == 2
    assert f"'{port}' is no port; expected a whole number from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("{", "not valid JSON .*line 1 column 2"),
        ('{"Values": {\n  // the account\n  "A" "x",\n}}', "line 3 column 7"),
        ("[]", "found a list"),
        ('{"values": {}}', "has no Values"),
        ('{"Values": []}', "expected an object"),
        ('{"IsEncrypted": true, "Values": {}}', "is encrypted"),
    ],
)
def test_broken_settings_are_one_sentence(tmp_path: Path, broken: str, message: str) -> None:
    (tmp_path / "local.settings.json").write_text(broken)
    with pytest.raises(SetupError, match=f"local.settings.json: .*{message}.* delete it to get the example's again"):
        run.settings(tmp_path)


def test_settings_are_read_as_core_tools_read_them(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text(
        '// mine\n{"Values": {"AzureWebJobsStorage": "http://a//b", /* more */ "N": 8, "ON": true,},}', "utf-8-sig"
    )
    expected = {"AzureWebJobsStorage": "http://a//b", "N": "8", "ON": "true"}
    assert run.settings(tmp_path) == expected == doctor.app_settings(tmp_path)


def test_taken_ports_are_replaced_and_every_emulated_connection_follows(
    tmp_path: Path,
    azurite_server: azurite.Azurite,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(azurite, "DEFAULT_PORTS", azurite_server.ports)
    package = azurite.find_package(ROOT)
    monkeypatch.setattr(azurite, "find_package", lambda _root: package)
    values = {"AzureWebJobsStorage": run.EMULATOR, "Other": f"{run.EMULATOR};", "X": "1"}
    with Supervisor() as supervisor:
        changed = run.start_storage(supervisor, values, tmp_path)
        assert set(changed) == {"AzureWebJobsStorage", "Other"}
        server = supervisor.children["Azurite"]
        assert isinstance(server, azurite.Azurite) and not set(server.ports) & set(azurite_server.ports)
        assert all(f":{server.ports[0]}/" in each for each in changed.values())
    assert server.process.returncode is not None
    assert "taken by another program" in capsys.readouterr().out


def test_an_account_of_ones_own_needs_no_emulator(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        assert run.start_storage(supervisor, {"AzureWebJobsStorage": "AccountName=mine"}, tmp_path) == {}
        assert not supervisor.children


def test_without_the_host_func_start_must_find_the_storage(
    azurite_server: azurite.Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "local.settings.example.json", tmp_path)
    monkeypatch.setattr(azurite, "DEFAULT_PORTS", azurite_server.ports)  # taken
    monkeypatch.setenv("DROPSIGHT_AZURITE", str(azurite.find_package(ROOT)))
    for name in ("AzureWebJobsStorage", "SWEEP_SCHEDULE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupError, match="`func start` looks for storage on ports 10000-10002"):
        run.main(Path(sys.executable), port=1, samples=False, verbose=False, host=False, offline=True, root=tmp_path)


def test_core_tools_are_pointed_out_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    run.announce(tmp_path, 7071)
    run.announce(tmp_path, None)
    said = capsys.readouterr().out
    assert said.count("dev.py run --no-host") == 1 and said.count("func start, in another terminal") == 1


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with run.only_one(tmp_path), pytest.raises(SetupError, match="already runs"), run.only_one(tmp_path):
        pass
    with run.only_one(tmp_path):
        pass


def test_an_app_that_does_not_start_is_shown_and_not_announced(
    tmp_path: Path, storage_account: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": {"AzureWebJobsStorage": storage_account}}))
    (port,) = azurite.free_ports(1)
    assert run.main(Path(sys.executable), port=port, samples=False, verbose=False, offline=True, root=tmp_path) == 1
    captured = capsys.readouterr()
    assert "function_app.py" in captured.err and "The app ended, so everything stops" in captured.err
    assert "Dropsight runs" not in captured.out
