"""Settings: few, documented, checked all at once."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from cloud.settings import MAX_SETTINGS, BadSettings, Settings, document

DOCS = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_every_setting_is_documented_as_the_code_has_it() -> None:
    assert document() in DOCS.read_text(encoding="utf-8"), "run: python -m cloud settings"


def test_there_are_few_settings_and_each_says_what_it_is_for() -> None:
    names = [each.metadata["name"] for each in fields(Settings)]
    assert len(set(names)) == len(names) <= MAX_SETTINGS
    assert all(each.metadata["doc"].endswith(".") for each in fields(Settings))


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
