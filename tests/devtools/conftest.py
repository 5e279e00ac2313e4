"""The bridge between folders and a real Azurite."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.bridge import Bridge


@pytest.fixture
def bridge(storage_account: str, tmp_path: Path) -> Bridge:
    return Bridge(storage_account, tmp_path / "inbox", tmp_path / "outbox")
