"""Hosts in processes of their own, on an empty storage account each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtools.azurite import Azurite
from localhost.host_process import HostProcess
from tests.localhost.support import StartHost, Store

APPS = Path(__file__).parent / "apps"
# One cadence for all: fast, and no busy loop.
FAST = ("--scan-interval", "0.2", "--max-polling-interval", "0.3")


@pytest.fixture
def store(storage_account: str) -> Iterator[Store]:
    made = Store(storage_account)
    yield made
    made.blobs.close()
    made.queues.close()


@dataclass(frozen=True)
class Running:
    """A host that the tests of one module share, and its account."""

    host: HostProcess
    store: Store


StartShared = Callable[..., Running]


@pytest.fixture(scope="module")
def start_shared(
    azurite_server: Azurite, _unused_accounts: Iterator[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartShared]:
    """Starts a host for all tests of a module: each start costs a second."""
    name, key = next(_unused_accounts)
    store = Store(azurite_server.connection_string(name, key))
    started: list[HostProcess] = []

    def start(app: str, *arguments: str, **environ: str) -> Running:
        environ = {"AzureWebJobsStorage": store.connection_string, "AzureFunctionsWebHost__hostid": "shared", **environ}
        log = tmp_path_factory.mktemp(app) / "host.log"
        started.append(HostProcess(APPS / app, environ, [*FAST, *arguments], log))
        return Running(started[-1].start(), store)

    yield start
    for host in started:
        host.kill()
    store.blobs.close()
    store.queues.close()


@pytest.fixture
def start_host(tmp_path: Path, storage_account: str) -> Iterator[StartHost]:
    """Starts a host on one of the apps beside this file, or on a folder; all are stopped at the end."""
    started: list[HostProcess] = []

    def start(app: str | Path, *arguments: str, **environ: str) -> HostProcess:
        host = HostProcess(
            APPS / app if isinstance(app, str) else app,
            environ={"AzureWebJobsStorage": storage_account, "AzureFunctionsWebHost__hostid": "testhost", **environ},
            arguments=[*FAST, *arguments],
            log=tmp_path / f"host-{len(started)}.log",
        )
        started.append(host)
        return host.start()

    yield start
    for host in started:
        host.kill()
