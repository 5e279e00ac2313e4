"""Fixtures for everybody: the reference files in ../shared, and a real Azurite."""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from cloud.settings import Settings
from devtools import azurite as azurite_process
from inference.loopback import bypass_proxy

# Storage, hosts and servers of the tests are on this machine: a company's proxy does not reach them.
bypass_proxy()
ROOT = Path(__file__).resolve().parents[1]
# Tests are about the models that come with the project, whatever `dev.py run` or `models pull` has fetched here.
os.environ["DROPSIGHT_PUBLIC_MODELS"] = str(ROOT / "models" / "_public" / "not-in-tests")
SHARED = ROOT.parent / "shared"
SHARED_ABSENT = "the reference photos, videos and weights are not here: no folder ../shared beside the repository"
# Enough for every test of one worker, and short enough for one environment variable on Windows (32,767).
ACCOUNTS = {f"t{number:04}": "ZHM=" for number in range(2500)}


def _require_shared() -> None:
    if not SHARED.is_dir():
        # A build that was meant to have it must not pass by skipping.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(SHARED_ABSENT)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The fast part does without files that are slow as a whole: to import them takes a third of its time."""
    if config.getoption("markexpr") != "not slow" or collection_path.suffix != ".py":
        return None
    return True if _ALL_SLOW.search(collection_path.read_text("utf-8")) else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_shared"):
        _require_shared()


_ALL_SLOW = re.compile(r"^pytestmark = .*pytest\.mark\.slow", re.MULTILINE)
# What the app reads, and the tests' own; libraries set others when they are imported (cv2, torch, azure-ai-ml).
_OURS = frozenset(item.metadata["name"] for item in fields(Settings))
_BEGIN_OURS = ("AzureWebJobs", "AzureFunctions", "DROPSIGHT_")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _OURS or name.startswith(_BEGIN_OURS)}


@pytest.fixture(autouse=True)
def _environment_stays() -> Iterator[None]:
    """A variable that a test leaves behind leads another one astray: to storage that is gone, say."""
    before = _environment()
    yield
    if (after := _environment()) != before:
        for name in after.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        changed = sorted(name for name in after.keys() | before.keys() if after.get(name) != before.get(name))
        raise AssertionError(f"the test changed the environment: {', '.join(changed)}")


@pytest.fixture(autouse=True)
def _open_models_without_a_trial() -> Iterator[None]:
    """What a test's app asks before it opens a model is asked by no other test."""
    yield
    if "inference.engine.first_run" in sys.modules:
        sys.modules["inference.engine.first_run"].ask_before_opening(None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ../shared; the test is skipped where it is absent (and fails where CI is set)."""
    _require_shared()
    return SHARED


# Azurite looks for unreferenced data after ten minutes, and stands still meanwhile: for two minutes, with all the data
# that the tests of one process leave.
AZURITE_S = 180.0


class _Servers:
    """An Azurite that is followed by a new one when it has served long enough."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current: azurite_process.Azurite | None = None
        self.numbers = itertools.count()
        self.until = 0.0

    def now(self) -> azurite_process.Azurite:
        if self.current and time.monotonic() > self.until:
            self.stop()
        if self.current is None:
            log = self.folder / f"azurite-{next(self.numbers)}.log"
            self.current = azurite_process.start(ROOT, log=log, accounts=ACCOUNTS)
            self.until = time.monotonic() + AZURITE_S
        return self.current

    def stop(self) -> None:
        if self.current:
            self.current.stop()
        self.current = None


@pytest.fixture(scope="session")
def _azurite_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Servers]:
    servers = _Servers(tmp_path_factory.mktemp("azurite"))
    yield servers
    servers.stop()


@pytest.fixture(scope="module")
def azurite_server(_azurite_servers: _Servers) -> azurite_process.Azurite:
    """An Azurite in memory on free loopback ports, which the tests of this process share for some minutes."""
    return _azurite_servers.now()


@pytest.fixture(scope="module")
def azurite(azurite_server: azurite_process.Azurite) -> str:
    """Connection string of the default account, which all tests of a module share."""
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
