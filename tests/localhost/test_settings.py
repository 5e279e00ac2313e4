"""App settings, host.json and what overrides it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localhost import host_settings
from localhost.__main__ import parser
from localhost.errors import BindingError, SettingsError

pytestmark = pytest.mark.slow
BUNDLE = {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}


def app_with(folder: Path, host: dict[str, Any] | None = None, local: object = None) -> Path:
    (folder / "host.json").write_text(json.dumps({"version": "2.0"} if host is None else host))
    if local is not None:
        (folder / "local.settings.json").write_text(json.dumps(local))
    return folder


def test_local_settings_fill_what_the_environment_leaves_open(tmp_path: Path) -> None:
    local = {"IsEncrypted": False, "Values": {"A": "from file", "B": "from file"}, "Host": {"LocalHttpPort": 7099}}
    environ = {"A": "from the environment"}
    assert host_settings.load_local_settings(app_with(tmp_path, local=local), environ) == 7099
    assert environ["A"] == "from the environment" and environ["B"] == "from file"
    assert environ["AZURE_FUNCTIONS_ENVIRONMENT"] == "Development"
    assert environ["PYTHON_THREADPOOL_THREAD_COUNT"] == "1000"
    assert environ["WEBSITE_HOSTNAME"] == "localhost:7099"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"IsEncrypted": true}', "is encrypted"),
        ('{"Values": {"N": [5]}}', "app settings are text"),
        ("{", "not valid JSON"),
        ("[]", "expected a JSON object"),
        ('{"Values": ["A"]}', "Values is a list, expected an object"),
        ('{"Host": "7071"}', "Host is a text, expected an object"),
        ('{"Host": {"LocalHttpPort": "seven"}}', "LocalHttpPort is 'seven', expected a whole number from 0 to 65535"),
        ('{"Host": {"LocalHttpPort": 70710}}', "LocalHttpPort is '70710'"),
    ],
)
def test_bad_local_settings(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "local.settings.json").write_text(content)
    with pytest.raises(SettingsError, match=message) as error:
        host_settings.load_local_settings(tmp_path, {})
    assert "local.settings.json" in str(error.value)


def test_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    options = host_settings.load_host_json(app_with(tmp_path), {"AZURE_FUNCTIONS_ENVIRONMENT": "Development"})
    assert options == host_settings.HostOptions(
        queues=host_settings.QueueOptions(batch_size=16, new_batch_threshold=32, max_polling_interval=2.0),
        blob_parallelism=32,
    )
    assert options.function_timeout == 1800 and options.route_prefix == "api" and not options.bundle
    assert host_settings.load_host_json(tmp_path, {}).queues.max_polling_interval == 60.0
    blob = options.blob_queue()
    assert (blob.batch_size, blob.new_batch_threshold, blob.max_dequeue_count) == (17, 15, 5)


def test_values_and_overrides(tmp_path: Path) -> None:
    host = {
        "version": "2.0", "functionTimeout": "00:10:00", "extensionBundle": BUNDLE,
        "extensions": {
            "blobs": {"maxDegreeOfParallelism": 4, "poisonBlobThreshold": 2},
            "queues": {"batchSize": 1, "newBatchThreshold": 0, "visibilityTimeout": "00:00:30"},
            "http": {"routePrefix": ""},
        },
    }  # fmt: skip
    environ = {
        "AzureFunctionsJobHost__extensions__queues__batchSize": "5",
        "AzureFunctionsJobHost__EXTENSIONS__queues__MaxDequeueCount": "9",
        "AzureFunctionsJobHost__functionTimeout": "-1",
    }
    options = host_settings.load_host_json(app_with(tmp_path, host), environ)
    assert options.queues == host_settings.QueueOptions(
        batch_size=5, new_batch_threshold=0, max_dequeue_count=9, visibility_timeout=30.0
    )
    assert options.function_timeout is None and options.bundle
    assert options.route_prefix == "" and options.poison_blob_threshold == 2
    assert (options.blob_queue().batch_size, options.blob_queue().new_batch_threshold) == (3, 1)
    assert options.blob_queue().visibility_timeout == 0  # a failed blob comes back at once, as in the real host


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ({}, "version is None"),
        ({"version": "1.0"}, "version is '1.0'"),
        ({"version": "2.0", "extensionBundle": {"id": "x"}}, "version range"),
        ({"version": "2.0", "extensionBundle": "x"}, "extensionBundle is 'x', expected an id and a version range"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": 33}}}, "batchSize is 33, expected .* from 1 to 32"),
        ({"version": "2.0", "extensions": {"queues": {"messageEncoding": "xml"}}}, "reads base64 only"),
        ({"version": "2.0", "functionTimeout": "5 minutes"}, "functionTimeout is '5 minutes'"),
    ],
)
def test_bad_host_json(tmp_path: Path, host: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        host_settings.load_host_json(app_with(tmp_path, host), {})


def test_no_host_json(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no host.json here"):
        host_settings.load_host_json(tmp_path, {})


@pytest.mark.parametrize("text", ["many", "0", "-1", "1.5"])
def test_a_number_that_is_none_is_one_sentence(text: str) -> None:
    with pytest.raises(SettingsError, match=f"^THREADS is '{text}', expected a whole number from 1.$"):
        host_settings.positive({"Threads": text}, "THREADS", 5)
    assert [host_settings.positive(found, "THREADS", 5) for found in ({}, {"threads": "7"})] == [5, 7]


def test_setting_names() -> None:
    environ = {"Some__Thing": "1", "AzureWebJobs.one.Disabled": "true", "AzureWebJobs_two_Disabled": "1"}
    assert host_settings.setting(environ, "some:thing") == "1" and host_settings.setting(environ, "other") is None
    assert [host_settings.is_disabled(environ, name) for name in ("one", "two", "three")] == [True, True, False]


def test_settings_in_bindings() -> None:
    environ = {"A": "x", "B": "y/z"}
    assert host_settings.resolve("%A%-{name}/%b%", environ) == "x-{name}/y/z"
    with pytest.raises(BindingError, match="^'%C%' does not resolve to a value.$"):
        host_settings.resolve("%A%/%C%", environ)
    with pytest.raises(BindingError, match="does not have a closing '%'"):
        host_settings.resolve("50%", environ)


def test_host_id(tmp_path: Path) -> None:
    first = host_settings.host_id(tmp_path, {})
    assert first == host_settings.host_id(tmp_path, {}) != host_settings.host_id(tmp_path / "other", {})
    assert len(first) <= 32 and first == first.lower() and not first.endswith("-")
    assert host_settings.host_id(tmp_path, {"AzureFunctionsWebHost__hostid": "mine"}) == "mine"
    with pytest.raises(SettingsError):
        host_settings.host_id(tmp_path, {"AzureFunctionsWebHost__hostid": "Not Allowed"})


def test_every_option_is_documented() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "localhost.md").read_text(encoding="utf-8")
    options = [each for action in parser()._actions for each in action.option_strings if each.startswith("--")]
    assert [option for option in options if option != "--help" and f"| `{option}" not in document] == []
