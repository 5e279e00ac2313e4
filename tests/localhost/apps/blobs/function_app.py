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


def record(function: str, /, **what: object) -> None:
    with BlobServiceClient.from_connection_string(os.environ[STORAGE]) as service:
        service.get_blob_client("runs", f"{function}/{uuid.uuid4()}").upload_blob(json.dumps(what, default=str))


@app.blob_trigger(arg_name="client", path="uploads/{name}", connection=STORAGE, source=SOURCE)
def on_client(client: blob.BlobClient) -> None:
    content = client.download_blob().readall()
    record("on_client", name=client.blob_name, size=len(content), etag=client.get_blob_properties().etag)
    if "bad" in client.blob_name:
        raise ValueError("boom")


@app.blob_trigger(arg_name="stream", path="streams/{folder}/{name}.{ext}", connection=STORAGE, source=SOURCE)
@app.blob_output(arg_name="copy", path="copies/{folder}/{name}-{ext}.txt", connection=STORAGE)
def on_stream(stream: func.InputStream, copy: func.Out[bytes]) -> None:
    content = stream.read()
    record("on_stream", name=stream.name, length=stream.length, uri=stream.uri, metadata=cast(Any, stream).metadata)
    copy.set(content[::-1])


@app.blob_trigger(arg_name="client", path="traps/{name}", connection=STORAGE, source=SOURCE)
@app.blob_output(arg_name="out", path="trapped/{name}", connection=STORAGE)
def on_trap(client: blob.BlobClient, out: func.Out[str]) -> None:
    record("on_trap", never="reached")


@app.blob_trigger(arg_name="reader", path="readers/{name}", connection=STORAGE, source=SOURCE)
@app.blob_input(arg_name="folder", path="uploads/any", connection=STORAGE)
def on_reader(reader: blob.StorageStreamDownloader, folder: blob.ContainerClient) -> None:
    content = b"".join(reader.chunks())
    record("on_reader", size=len(content), container=folder.container_name)
