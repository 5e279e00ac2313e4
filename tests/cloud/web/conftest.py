"""A host with the functions that have to do with rights, sessions and media, for all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devtools.azurite import Azurite
from localhost.host_process import HostProcess
from tests.cloud.web.browsing import Site

APP = Path(__file__).parent / "app"
StartSite = Callable[..., Site]


@pytest.fixture(scope="module")
def start_site(
    azurite_server: Azurite, _unused_accounts: Iterator[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartSite]:
    """Starts a host on an account of its own. app: another app than the few functions of these tests."""
    started: list[Site] = []

    def start(*arguments: str, app: Path = APP, **environ: str) -> Site:
        connection = azurite_server.connection_string(*next(_unused_accounts))
        environ = {"AzureWebJobsStorage": connection, "AzureFunctionsWebHost__hostid": "web", **environ}
        log = tmp_path_factory.mktemp("site") / "host.log"
        started.append(Site(HostProcess(app, environ, arguments, log).start(), connection))
        return started[-1]

    yield start
    for site in started:
        site.host.kill()
        site.store.blobs.close()
        site.store.queues.close()


@pytest.fixture(scope="module")
def site(start_site: StartSite) -> Site:
    """A host that asks for keys."""
    return start_site("--enable-auth")
