"""The tests of training/: they need PyTorch (training/requirements.txt), which the app and its other tests do not."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def datasets(shared: Path) -> Path:
    """The folder with the training data."""
    return shared / "datasets"
