"""Function keys: kept as the real host keeps them, in the container ``azure-webjobs-secrets``."""

from __future__ import annotations

import hmac
import json
import secrets
from typing import Any

from localhost import storage

_CONTAINER = "azure-webjobs-secrets"
BLOB_EXTENSION = "blobs_extension"


def _key(name: str) -> dict[str, Any]:
    return {"name": name, "value": secrets.token_urlsafe(40), "encrypted": False}


class Keys:
    """The host's keys and each function's; created at the first start, kept in storage where there is any."""

    def __init__(self, home: storage.Account | None, host_id: str) -> None:
        self._home = home
        self._host_id = host_id
        self._host: dict[str, Any] = {}
        self._functions: dict[str, dict[str, Any]] = {}

    async def load(self, functions: list[str], blob_extension: bool) -> None:
        self._host = await self._read(
            "host", {"masterKey": _key("master"), "functionKeys": [_key("default")], "systemKeys": []}
        )
        if blob_extension and not any(key["name"] == BLOB_EXTENSION for key in self._host["systemKeys"]):
            self._host["systemKeys"].append(_key(BLOB_EXTENSION))
            await self._write("host", self._host)
        for name in functions:
            self._functions[name] = await self._read(name.lower(), {"keys": [_key("default")]})

    async def _read(self, name: str, fresh: dict[str, Any]) -> dict[str, Any]:
        fresh |= {
            "hostName": "localhost",
            "instanceId": self._host_id,
            "source": "runtime",
            "decryptionKeyId": "",
        }
        if self._home:
            content = await storage.download(
                self._home.blobs.get_blob_client(_CONTAINER, f"{self._host_id}/{name}.json")
            )
            if content:
                found: dict[str, Any] = json.loads(content)
                return found
        await self._write(name, fresh)
        return fresh

    async def _write(self, name: str, content: dict[str, Any]) -> None:
        if self._home:
            data = json.dumps(content, indent=2).encode()
            await storage.upload(self._home, _CONTAINER, f"{self._host_id}/{name}.json", data)

    @property
    def master(self) -> str:
        return str(self._host["masterKey"]["value"])

    def function_key(self, name: str) -> str:
        return str(self._functions[name]["keys"][0]["value"])

    @property
    def blob_extension(self) -> str:
        return next((str(key["value"]) for key in self._host["systemKeys"] if key["name"] == BLOB_EXTENSION), "")

    def is_master(self, given: str | None) -> bool:
        return _same(given, [self.master])

    def opens_function(self, name: str, given: str | None) -> bool:
        """A key of the function, of the host, or the master key."""
        found = [*self._functions[name]["keys"], *self._host["functionKeys"], self._host["masterKey"]]
        return _same(given, [str(key["value"]) for key in found])

    def opens_webhook(self, given: str | None) -> bool:
        return _same(given, [self.blob_extension, self.master])


def _same(given: str | None, keys: list[str]) -> bool:
    return bool(given) and any(key and hmac.compare_digest(str(given).encode(), key.encode()) for key in keys)
