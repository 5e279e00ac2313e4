"""Function keys: kept as the real host keeps them, in the container ``azure-webjobs-secrets``."""

from __future__ import annotations

import hmac
import json
import secrets
from typing import Any

from localhost import storage

_CONTAINER = "azure-webjobs-secrets"
_BLOB_EXTENSION = "blobs_extension"


def _key(name: str) -> dict[str, Any]:
    return {"name": name, "value": secrets.token_urlsafe(40), "encrypted": False}


class Keys:
    """The host's keys and each function's; made at the first start, kept in storage where there is any."""

    def __init__(self, home: storage.Account | None, host_id: str) -> None:
        self._home = home
        self._host_id = host_id
        self._host: dict[str, Any] = {}
        self._functions: dict[str, dict[str, Any]] = {}

    async def load(self, functions: list[str]) -> None:
        """Reads the keys of the host and of these functions, and makes those that are missing."""
        fresh = {"masterKey": _key("master"), "functionKeys": [_key("default")], "systemKeys": [_key(_BLOB_EXTENSION)]}
        self._host = await self._read("host", fresh)
        for name in functions:
            self._functions[name] = await self._read(name.lower(), {"keys": [_key("default")]})

    async def _read(self, name: str, fresh: dict[str, Any]) -> dict[str, Any]:
        fresh |= {"hostName": "localhost", "instanceId": self._host_id, "source": "runtime", "decryptionKeyId": ""}
        if self._home is None:
            return fresh
        blob = f"{self._host_id}/{name}.json"
        content = await storage.download(self._home.blob(_CONTAINER, blob))
        if content is None:
            await storage.upload(self._home, _CONTAINER, blob, json.dumps(fresh, indent=2).encode())
            return fresh
        stored: dict[str, Any] = json.loads(content)
        return stored

    def hint(self, name: str, level: str) -> str:
        """``?code=...`` for the console."""
        if level == "ANONYMOUS":
            return ""
        key = self._host["masterKey"] if level == "ADMIN" else self._functions[name]["keys"][0]
        return f"?code={key['value']}"

    def open(self, name: str, level: str, given: str | None) -> bool:
        """Whether a function of this level may be called: by a key of its own, of the host, or the master key."""
        if level == "ANONYMOUS":
            return True
        keys = [] if level == "ADMIN" else [*self._functions[name]["keys"], *self._host["functionKeys"]]
        return _same(given, [*keys, self._host["masterKey"]])

    def is_master(self, given: str | None) -> bool:
        return _same(given, [self._host["masterKey"]])

    def open_webhook(self, given: str | None) -> bool:
        extension = [key for key in self._host["systemKeys"] if key["name"] == _BLOB_EXTENSION]
        return _same(given, [*extension, self._host["masterKey"]])


def _same(given: str | None, keys: list[dict[str, Any]]) -> bool:
    return bool(given) and any(hmac.compare_digest(str(given).encode(), str(key["value"]).encode()) for key in keys)
