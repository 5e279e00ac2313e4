"""New rows in one transaction at a tenth of the client's own cost.

The client writes and reads each part of a transaction through the library's mail parser: 0.4 ms of processor a row,
more than all else that the index costs an upload. Here the parts are put together as they are sent, and of the answer
only the codes are read. Whatever is neither plainly a success nor a row that exists is left to the client, which sends
the transaction anew and knows each error: one that failed has changed nothing, and one that succeeded all the same
fails then, as rows that exist.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ServiceResponseError, ServiceResponseTimeoutError
from azure.core.rest import HttpRequest

if TYPE_CHECKING:
    from azure.data.tables import TableClient

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
# The message of an error begins with the place of its operation.
_EXISTS = re.compile(rb'"code":\s*"EntityAlreadyExists".{1,60}?"value":\s*"(\d{1,3}):', re.DOTALL)
_HEADERS = {
    "DataServiceVersion": "3.0",
    "MaxDataServiceVersion": "3.0;NetFx",
    "Accept": "application/json",
}
_PART = (
    "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {number}\r\n\r\n"
    "POST {url} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nDataServiceVersion: 3.0\r\n"
    "Prefer: return-no-content\r\nAccept: application/json;odata=nometadata\r\n\r\n{content}\r\n"
)


class RowExists(Exception):
    """The row at this place exists; none was created."""

    def __init__(self, place: int) -> None:
        super().__init__(f"the row at place {place} exists")
        self.place = place


def create_rows(client: TableClient, rows: Sequence[dict[str, Any]]) -> bool:
    """Whether all rows were created; False where that is for the client to say, as where the answer was lost. Raises
    RowExists, and AzureError where nothing was answered in time."""
    inner = getattr(client, "_client", None)
    send = getattr(inner, "send_request", None)
    if send is None or "?" in client.url:  # another version of the library; a signature that belongs into each address
        return False
    batch, changes = f"batch_{uuid.uuid4()}", f"changeset_{uuid.uuid4()}"
    account = client.url.rstrip("/")
    parts = "".join(f"--{changes}\r\n{_part(number, client, row)}" for number, row in enumerate(rows))
    body = f"--{batch}\r\nContent-Type: multipart/mixed; boundary={changes}\r\n\r\n"
    body += f"{parts}--{changes}--\r\n\r\n--{batch}--\r\n"
    headers = {**_HEADERS, "x-ms-version": client.api_version, "Content-Type": f"multipart/mixed; boundary={batch}"}
    request = HttpRequest("POST", f"{account}/$batch", headers=headers, content=body.encode())
    try:
        answer = send(request, stream=True)
        said = answer.read()
    except ServiceResponseTimeoutError:
        raise
    except ServiceResponseError:  # a connection that was idle for too long, say
        return False
    if (found := _EXISTS.search(said)) and int(found[1]) < len(rows):
        raise RowExists(int(found[1]))
    codes = _STATUS.findall(said)
    return bool(answer.status_code == 202 and len(codes) == len(rows) and all(code[:1] == b"2" for code in codes))


def _part(number: int, client: TableClient, row: dict[str, Any]) -> str:
    content = json.dumps(_typed(row))  # ASCII, so that its length is that of its bytes
    url = f"{client.url.rstrip('/')}/{client.table_name}"
    return _PART.format(number=number, url=url, length=len(content), content=content)


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    doubles = {f"{name}@odata.type": "Edm.Double" for name, value in row.items() if isinstance(value, float)}
    return {**row, **doubles}
