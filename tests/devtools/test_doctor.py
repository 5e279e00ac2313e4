"""`dev.py doctor`: what is missing or wrong, each in a sentence."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from cloud.storage.containers import Storage
from devtools import azurite, checks, doctor, run
from tests.conftest import ROOT
from tests.inference.engine.test_external_data import MANIFEST, net

pytestmark = pytest.mark.slow


def findings(root: Path) -> dict[str, checks.Finding]:
    return {finding.what: finding for finding in doctor.settings_findings(root)}


def test_doctor_names_the_settings_that_are_missing(tmp_path: Path) -> None:
    example = {"Values": {"AzureWebJobsStorage": run.EMULATOR, "SWEEP_SCHEDULE": "0 */5 * * * *"}}
    (tmp_path / "local.settings.example.json").write_text(json.dumps(example))
    assert findings(tmp_path)["local.settings.json"].ok is None
    (tmp_path / "local.settings.json").write_text('{"Values": {"AzureWebJobsStorage": "x"}}')
    finding = findings(tmp_path)["local.settings.json"]
    assert finding.ok is False and "lacks SWEEP_SCHEDULE:" in finding.words
    (tmp_path / "local.settings.json").write_text(json.dumps(example))
    assert findings(tmp_path)["local.settings.json"].ok is True


def test_doctor_reports_taken_ports(azurite_server: azurite.Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azurite, "DEFAULT_PORTS", azurite_server.ports)
    (finding,) = doctor.port_findings()
    assert finding.ok is None and all(str(port) in finding.words for port in azurite_server.ports)


def storage(root: Path, connection: str) -> checks.Finding:
    (root / "local.settings.json").write_text(json.dumps({"Values": {"AzureWebJobsStorage": connection}}))
    return doctor.storage_finding(root, Path(sys.executable))


def test_doctor_says_whether_storage_answers(
    tmp_path: Path, storage_account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert storage(tmp_path, storage_account).ok is True
    gone = azurite.connection_string(azurite.free_ports())
    assert storage(tmp_path, gone).ok is False
    wrong = storage(tmp_path, "nonsense")
    assert wrong.ok is False and "onnection string" in wrong.words


def test_doctor_loads_the_models_and_has_a_line_for_each_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "best.pt").touch()
    (tmp_path / "odd.onnx").write_bytes(b"not a model")
    found = list(checks.model_findings(Path(sys.executable), ROOT, {"DROPSIGHT_MODELS": str(tmp_path)}))
    loaded, broken, hint = found
    assert loaded.ok is True and "classify" in loaded.words
    assert loaded.words.endswith("; not used here: embed-mobilenetv2")  # its file is the pack's
    assert (broken.what, broken.ok) == ("Model odd", False) and "odd.onnx" in broken.words
    assert (hint.what, hint.ok) == ("Model best.pt", None)
    assert hint.words.startswith("not used: this is PyTorch weights")


def test_doctor_hides_no_model_whose_data_file_is_missing(tmp_path: Path) -> None:
    """A manifest beside the app's own models, weights that are there, and their external data that are not."""
    copy = tmp_path / "app"
    shutil.copytree(ROOT / "inference", copy / "inference", ignore=shutil.ignore_patterns("__pycache__"))
    graph = net(copy / "models/pets", (0.9, 0.1))
    graph.with_name("model.onnx.data").unlink()
    (copy / "models/pets/model.toml").write_text(MANIFEST)
    shutil.copy(ROOT / "models/catalog.toml", copy / "models")
    env = {"DROPSIGHT_PUBLIC_MODELS": str(tmp_path / "none")}
    _, broken = checks.model_findings(Path(sys.executable), copy, env)
    assert (broken.what, broken.ok) == ("Model pets", False) and "model.onnx.data is missing" in broken.words


def test_doctor_says_whether_the_host_can_run_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ask = partial(checks.ask, "App", Path(sys.executable), checks.APP)
    example = doctor.app_settings(ROOT)
    assert ask(ROOT, {**example, "SWEEP_SCHEDULE": "0 */5 * * * *"}).ok is True
    unset = ask(ROOT, {**example, "SWEEP_SCHEDULE": "at noon"})
    assert unset.ok is False and "'at noon' was not recognized" in unset.words
    (tmp_path / "host.json").write_text("{")
    broken = ask(tmp_path)
    assert broken.ok is False and "host.json: not valid JSON" in broken.words


REST = "[[route]]\nname = 'rest'\nsteps = [{ model = 'sketch' }]\n[[route]]"


def test_doctor_reads_what_the_user_writes(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text("[[route]\n")
    ask = partial(checks.ask, "Configuration", Path(sys.executable), checks.CONFIGURATION, ROOT)
    fine = ask()
    assert fine.ok is True and "default" in fine.words
    for settings, words in (
        ({"ROUTES_FILE": str(tmp_path / "routes.toml")}, "not valid TOML"),
        ({"BLOB_TRIGGER_SOURCE": "pigeon"}, "BLOB_TRIGGER_SOURCE='pigeon'"),
        ({"DROPSIGHT_PROVIDERS": "cud"}, "DROPSIGHT_PROVIDERS: unknown provider 'cud'; did you mean 'cuda'?"),
        ({"PIPELINES_FILE": "piplines.toml"}, "piplines.toml, which does not exist; no pipeline runs"),
        ({"DROPSIGHT_WEIGHTS": str(tmp_path / "no")}, "no, which does not exist"),
        ({"PIPELINES_FILE": str(tmp_path / "routes.toml")}, "no pipeline runs"),
    ):
        wrong = ask(settings)
        assert wrong.ok is False and words in wrong.words and "BadModel" not in wrong.words
    route = "[[route]]\nname = 'a'\nsteps = [{ model = 'MODEL' }]\nvideo = { stride = 2 }\n"
    for old, new, ok, words in (
        ("MODEL", "clasify", False, "route 'a': steps[0]: no model is called 'clasify'; did you mean 'classify'"),
        ("stride", "stridee", False, "route 'a': video: unknown key 'stridee'; did you mean 'stride'"),
        ("MODEL", "zebra-crossings", True, "its uploads wait for a model"),
        (
            "name = 'a'",
            "name = 'a'\nmatch = '/a/**'",
            False,
            "names of uploads begin without a dot or slash; did you m",
        ),
        ("[[route]]", REST, True, "route 'a' is never reached by a name: 'rest' before it takes all of '**'"),
    ):
        (tmp_path / "routes.toml").write_text(route.replace(old, new).replace("MODEL", "classify"), "utf-16")
        answer = ask({"ROUTES_FILE": str(tmp_path / "routes.toml")})
        assert answer.ok is ok and words in answer.words


def test_doctor_says_which_entries_need_a_finer_tick(tmp_path: Path) -> None:
    path = tmp_path / "pipelines.toml"
    path.write_text('[lake]\nschedule = "0 */20 * * * *"\n')
    ask = partial(checks.ask, "Tick", Path(sys.executable), checks.TICK, ROOT)
    fine = ask({"PIPELINES_FILE": str(path)})
    assert fine.ok is True and "'0 */20 * * * *' would do" in fine.words
    coarse = ask({"PIPELINES_FILE": str(path), "TICK_SCHEDULE": "0 0 * * * *"})
    assert coarse.ok is False and "fill_lake is due at" in coarse.words


def test_a_route_whose_package_is_missing_is_said_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = "[[route]]\nname = 'cars'\nsteps = []\nvideo = { follow = { box = [0.1, 0.1, 0.3, 0.3] } }\n"
    (tmp_path / "routes.toml").write_text(routes)
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['cv2'] = None\n")
    monkeypatch.setattr("devtools.environment.site_packages", lambda venv: [])
    settings = {"ROUTES_FILE": str(tmp_path / "routes.toml"), "PYTHONPATH": str(tmp_path)}
    checks.say_what_waits(Path(sys.executable), ROOT, settings)
    said = capsys.readouterr().out
    assert "What needs it waits: route 'cars'" in said and "-m pip install -r requirements-flow.txt" in said
    checks.say_what_waits(Path(sys.executable), ROOT, {"PYTHONPATH": str(tmp_path)})
    assert capsys.readouterr().out == ""


def test_example_settings_are_what_the_host_expects() -> None:
    example = json.loads((ROOT / "local.settings.example.json").read_text(encoding="utf-8"))
    assert example["IsEncrypted"] is False
    assert all(isinstance(value, str) for value in example["Values"].values())


def test_doctor_names_a_setting_that_is_none(tmp_path: Path) -> None:
    for name in ("local.settings.json", "local.settings.example.json"):
        (tmp_path / name).write_text('{"Values": {"MAX_CONCURENT": "3", "MAX_ATTEMPTS": "3"}}')
    found = findings(tmp_path)
    assert set(found) == {"Setting MAX_CONCURENT", "local.settings.json"}
    assert found["Setting MAX_CONCURENT"].words == "MAX_CONCURENT is no setting; did you mean MAX_CONCURRENT?"
    assert found["Setting MAX_CONCURENT"].ok is False


def test_doctor_loads_what_routes_need_wherever_it_comes_from(tmp_path: Path, storage_account: str) -> None:
    net(tmp_path / "models/pets", (0.9, 0.1)).with_name("model.toml").write_text(
        MANIFEST.replace('"cat", "dog"', '"cat"')
    )
    names = ("sketch", "pets", "mine")
    entries = (f'[[route]]\nname = "{name}"\nmatch = "{name}/**"\nsteps = [{{ model = "{name}" }}]\n' for name in names)
    (tmp_path / "routes.toml").write_text("".join(entries))
    env = {
        "ROUTES_FILE": str(tmp_path / "routes.toml"),
        "DROPSIGHT_MODELS": str(tmp_path / "models"),
        "AzureWebJobsStorage": storage_account,
    }
    good, pets, mine = checks.needed_findings(Path(sys.executable), ROOT, env)
    assert (good.ok, good.words) == (True, "loaded sketch")
    assert (pets.what, pets.ok) == ("Model pets of a route", False) and "2 classes, the label list 1" in pets.words
    assert (mine.ok, "no model is called 'mine'" in mine.words) == (False, True)


def test_a_model_of_the_container_is_no_misspelt_name_of_another(tmp_path: Path, storage_account: str) -> None:
    """`sketch2`, which lies in the container, is one letter away from `sketch`, which comes with the app."""
    account = BlobServiceClient.from_connection_string(storage_account)
    storage = Storage(account)
    storage.ensure_containers("models")
    routes = tmp_path / "routes.toml"
    routes.write_text('[[route]]\nname = "a"\nsteps = [{ model = "sketch2" }]\n')
    env = {"ROUTES_FILE": str(routes), "AzureWebJobsStorage": storage_account}
    ask = partial(checks.ask, "Configuration", Path(sys.executable), checks.CONFIGURATION, ROOT)
    words = "route 'a': steps[0]: no model is called 'sketch2'; did you mean 'sketch'"
    assert (said := ask(env)).ok is False and words in said.words and "looked at" not in said.words
    gone = env | {"AzureWebJobsStorage": azurite.connection_string(azurite.free_ports())}
    assert (said := ask(gone)).ok is False and words in said.words
    assert said.words.endswith("the container `models`, which may have it, could not be looked at")
    storage.write("models", "sketch2/model.onnx", b"x")
    assert (said := ask(env)).ok is True
    assert said.words == "settings and routes can be used: a\nsketch2 comes from the container `models`"
    assert list(checks.needed_findings(Path(sys.executable), ROOT, env)) == []
