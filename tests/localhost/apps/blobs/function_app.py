"""Blob triggers in every form; each run is recorded as a blob in `runs` by its invocation."""

from __future__ import annotations

import json
import os
import uuid
from typing import Any, cast

import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob
from azure.storage.blob import BlobServiceClient

app = func.FunctionApp()
STORAGE = "AzureWebJobsStorage"
SOURCE: Any = os.environ.get("SOURCE")
CLIENTS: list[object] = []


def record(function: str, /, **what: object) -> None:
    with BlobServiceClient.from_connection_string(os.environ[STORAGE]) as service:
        service.get_blob_client("runs", f"{function}/{uuid.uuid4()}").upload_blob(json.dumps(what, default=str))


@app.blob_trigger(arg_name="client", path="uploads/{name}", connection=STORAGE, source=SOURCE)
def on_client(client: blob.BlobClient) -> None:
    content = client.download_blob().readall()
    known = any(client is kept for kept in CLIENTS)
    CLIENTS.append(client)
    etag = client.get_blob_properties().etag
    record("on_client", name=client.blob_name, size=len(content), etag=etag, known=known)
    if "bad" in client.blob_name:
        raise ValueError("boom")


@app.blob_trigger(arg_name="stream", path="streams/{folder}/{name}.{ext}", connection=STORAGE, source=SOURCE)
def on_stream(stream: func.InputStream) -> None:
    content = stream.read()
    metadata = cast(Any, stream).metadata
    record("on_stream", name=stream.name, length=len(content), uri=stream.uri, metadata=metadata)


@app.blob_trigger(arg_name="reader", path="readers/{name}", connection=STORAGE, source=SOURCE)
def on_reader(reader: blob.StorageStreamDownloader) -> None:
    content = b"".join(reader.chunks())
    record("on_reader", size=len(content))
    if len(content) < 10:
        raise ValueError("too short")


@app.blob_trigger(arg_name="folder", path="folders/{name}", connection=STORAGE, source=SOURCE)
def on_folder(folder: blob.ContainerClient) -> None:
    record("on_folder", container=folder.container_name)
