"""What the tests of the bridge and of its two directions share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from azure.storage.blob import ContainerClient

from devtools.bridge import Bridge


def drop(bridge: Bridge, name: str, content: bytes, mtime: int = 1) -> Path:
    """A file in the inbox with a time of its own, so that no test depends on the clock's resolution."""
    path = bridge.inbox.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (mtime, mtime))
    return path


def blobs(bridge: Bridge) -> dict[str, bytes]:
    client = bridge.inbox.uploads
    return {each.name: client.download_blob(each.name).readall() for each in client.list_blobs()}


def etags(bridge: Bridge) -> dict[str, str]:
    return {each.name: each.etag for each in bridge.inbox.uploads.list_blobs()}


def container(bridge: Bridge, name: str) -> ContainerClient:
    client = bridge.service.get_container_client(name)
    if not client.exists():
        client.create_container()
    return client


def result(**objects: int) -> dict[str, Any]:
    summary = {"objects": objects, "scene": {}, "guesses": {}}
    return {"schema": "dropsight/1", "steps": [], "summary": summary}
