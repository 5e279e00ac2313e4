"""Fixtures for everybody: the reference files in ../shared, and a real Azurite."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devtools import azurite as azurite_process

ROOT = Path(__file__).resolve().parents[1]
# Tests are about the models that come with the project, whatever `dev.py run` or `models pull` has fetched here.
os.environ["DROPSIGHT_PUBLIC_MODELS"] = str(ROOT / "models" / "_public" / "not-in-tests")
SHARED = ROOT.parent / "shared"
SHARED_ABSENT = "the reference photos, videos and weights are not here: no folder ../shared beside the repository"
# Enough for every test of one worker, and short enough for one environment variable on Windows (32,767).
ACCOUNTS = {f"test{number:04}": "ZHJvcHNpZ2h0" for number in range(1000)}


def _require_shared() -> None:
    if not SHARED.is_dir():
        # A build that was meant to have it must not pass by skipping.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(SHARED_ABSENT)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_shared"):
        _require_shared()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ../shared; the test is skipped where it is absent (and fails where CI is set)."""
    _require_shared()
    return SHARED


@pytest.fixture(scope="session")
def azurite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[azurite_process.Azurite]:
    """One Azurite in memory per test process, on free loopback ports, ended with it."""
    log = tmp_path_factory.mktemp("azurite") / "azurite.log"
    with azurite_process.start(ROOT, log=log, accounts=ACCOUNTS) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(azurite_server: azurite_process.Azurite) -> str:
    """Connection string of the default account, which all tests of this process share."""
    return azurite_server.connection_string()


@pytest.fixture(scope="session")
def _unused_accounts() -> Iterator[tuple[str, str]]:
    return iter(ACCOUNTS.items())


@pytest.fixture
def storage_account(azurite_server: azurite_process.Azurite, _unused_accounts: Iterator[tuple[str, str]]) -> str:
    """Connection string of an empty account that is this test's alone: fixed names cannot collide."""
    name, key = next(_unused_accounts)
    return azurite_server.connection_string(name, key)


_numbers = itertools.count(1)


@pytest.fixture
def storage_names() -> Callable[[str], str]:
    """Makes container and queue names unique: `storage_names("uploads")` -> "uploads-17-4242"."""
    number = next(_numbers)
    return lambda name: f"{name}-{number}-{os.getpid()}"
