"""What the tests of notices share."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.cloud.notify.receiver import Receiver


@pytest.fixture
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    server = Receiver(*getattr(request, "param", (204,)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
