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


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("@Microsoft.KeyVault(SecretUri=https://v.example/secrets/storage/)", "a reference to Key Vault that was not"),
        ("https://acct.blob.core.windows.net/?sv=2022-11-02&sig=secret", "no connection string"),
        ("Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=R;SharedAccessKey=Zm9v", "no connection string"),
        ("AccountName=a;AccountKey=not base64!", "no connection string"),
        (" ", "neither MEDIA nor"),
    ],
)
def test_a_setting_that_is_no_connection_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setenv("MEDIA", value)
    for client in (connection.blob_service, connection.queue_service):
        with pytest.raises(BadSettings, match=said) as error:
            client("MEDIA")
        assert "MEDIA" in str(error.value) and (value.strip() or "?") not in str(error.value)
