"""Settings: few, documented, checked all at once."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from cloud.settings import MAX_SETTINGS, BadSettings, Settings, document, endpoint, text_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "settings.md"


def test_every_setting_is_documented_as_the_code_has_it() -> None:
    assert document() in DOCS.read_text(encoding="utf-8"), "run: python -m cloud settings"


def test_there_are_few_settings_and_each_says_what_it_is_for() -> None:
    names = [item.metadata["name"] for item in fields(Settings)]
    assert len(set(names)) == len(names) <= MAX_SETTINGS
    assert all(item.metadata["doc"].endswith(".") for item in fields(Settings))


def test_the_environment_is_read_in_one_place() -> None:
    files = [ROOT / "function_app.py", *(ROOT / "cloud").rglob("*.py")]
    readers = [file for file in files if re.search(r"environ\b|getenv", file.read_text(encoding="utf-8"))]
    assert readers == [ROOT / "cloud" / "settings.py"]


def test_what_the_index_needs_is_known_whatever_the_other_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_ATTEMPTS", "many")
    monkeypatch.setenv("PIPELINES_FILE", " mine.toml ")
    monkeypatch.delenv("STORAGE_CONNECTION", raising=False)
    assert (text_of("PIPELINES_FILE"), text_of("STORAGE_CONNECTION")) == ("mine.toml", "AzureWebJobsStorage")


def test_values_are_read_by_type_and_empty_ones_are_unset() -> None:
    read = Settings.read(
        {"MAX_ATTEMPTS": "7", "LEASE_SECONDS": "2.5", "BLOB_TRIGGER_SOURCE": "eventgrid", "ROUTES_FILE": " "}
        | {"DROPSIGHT_ALLOW_RESEARCH_MODELS": "False"}
    )
    assert (read.max_attempts, read.lease_seconds, read.blob_trigger_source) == (7, 2.5, "EventGrid")
    assert read.routes_file == "routes.toml"
    assert not read.allow_research_models


def test_every_wrong_setting_is_named_at_once() -> None:
    wrong = {
        "MAX_ATTEMPTS": "0",
        "LEASE_SECONDS": "soon",
        "SWEEP_SECONDS": "nan",
        "BLOB_TRIGGER_SOURCE": "magic",
        "DROPSIGHT_ALLOW_RESEARCH_MODELS": "perhaps",
    }
    with pytest.raises(BadSettings) as caught:
        Settings.read(wrong)
    for name in wrong:
        assert name in str(caught.value)


def test_a_connection_string_in_place_of_the_name_of_a_setting_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSettings, match="^STORAGE_CONNECTION is a connection string itself; put that into") as said:
        endpoint("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0", "blob")
    assert "c2VjcmV0" not in str(said.value)


@pytest.mark.parametrize("text", ["1e300", "inf", "1000000001"])
def test_more_seconds_than_anything_can_wait_for_are_refused(text: str) -> None:
    with pytest.raises(BadSettings, match=f"LEASE_SECONDS='{text}': expected at most 1000000000, 120.0 for example"):
        Settings.read({"LEASE_SECONDS": text})
