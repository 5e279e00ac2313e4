"""Which account a connection setting leads to: a connection string, or an identity with an address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloud import connection
from cloud.settings import BadSettings


@pytest.fixture(autouse=True)
def fresh_clients() -> Iterator[None]:
    yield
    connection.blob_service.cache_clear()
    connection.queue_service.cache_clear()


@pytest.mark.parametrize(
    ("settings", "blobs", "queues"),
    [
        ({"": "UseDevelopmentStorage=true"}, "http://127.0.0.1:10000/devstoreaccount1", "http://127.0.0.1:10001/"),
        ({"__accountName": "mine"}, "https://mine.blob.core.windows.net", "https://mine.queue.core.windows.net"),
        (
            {"__serviceUri": "https://mine.blob.core.windows.net"},
            "https://mine.blob.core.windows.net",
            "https://mine.queue.core.windows.net",
        ),
        (
            {"__blobServiceUri": "https://b.example", "__queueServiceUri": "https://q.example", "__clientId": "c-1"},
            "https://b.example",
            "https://q.example",
        ),
    ],
)
def test_where_a_connection_leads(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], blobs: str, queues: str
) -> None:
    for suffix, value in settings.items():
        monkeypatch.setenv("MEDIA" + suffix, value)
    assert connection.blob_service("MEDIA").url.startswith(blobs)
    assert connection.queue_service("MEDIA").url.startswith(queues)


def test_a_connection_that_is_not_there_is_named() -> None:
    with pytest.raises(BadSettings, match="neither NOWHERE nor NOWHERE__serviceUri"):
        connection.blob_service("NOWHERE")
