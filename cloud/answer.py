"""An answer of storage, whole, in the form in which the storage clients of Azure read answers."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, MutableMapping
from email.message import Message
from functools import cached_property
from typing import Any, Self, cast

from azure.core.exceptions import DecodeError, HttpResponseError
from azure.core.rest import HttpRequest, HttpResponse
from urllib3 import HTTPResponse
from urllib3.exceptions import DecodeError as NotDecoded

_LENGTH = re.compile(r"[0-9]{1,18}")


class Headers(MutableMapping[str, str]):
    """Headers by their names in any case; what came more than once is joined."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs: dict[str, tuple[str, str]] = {}
        for name, value in pairs:
            key = name.lower()
            if "\n" in value:  # folded
                value = " ".join(line.strip() for line in value.splitlines())  # noqa: PLW2901
            before = self._pairs.get(key)
            self._pairs[key] = (name, value) if before is None else (before[0], f"{before[1]}, {value}")

    def __getitem__(self, name: str) -> str:
        return self._pairs[name.lower()][1]

    def get(self, name: str, default: Any = None) -> Any:
        """As of every mapping, without an exception for each of the dozens of headers that clients ask for in vain."""
        pair = self._pairs.get(name.lower())
        return default if pair is None else pair[1]

    def __setitem__(self, name: str, value: str) -> None:
        self._pairs[name.lower()] = name, value

    def __delitem__(self, name: str) -> None:
        del self._pairs[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)


class Answer(HttpResponse):
    """An answer whose content is here.

    What the clients change of it (`location_mode`, `stream_download`) is theirs.
    """

    # Values, as the properties of the base class are abstract until a class has the names.
    request: HttpRequest = cast(HttpRequest, None)
    status_code: int = 0
    reason: str = ""
    headers: MutableMapping[str, str] = cast(MutableMapping[str, str], None)
    content_type: str | None = None
    url: str = ""
    is_closed = True
    is_stream_consumed = True
    internal_response = None
    encoding: str | None = None  # by which `text` reads it; None: as the answer says, else UTF-8

    def __init__(self, request: HttpRequest, status: int, reason: str, headers: Headers, raw: bytes) -> None:
        self.request, self.status_code, self.reason, self.headers = request, status, reason, headers
        self.content_type = headers.get("content-type")
        self.url = request.url
        self._raw = raw

    @cached_property
    def content(self) -> bytes:
        """The content, unpacked where its Content-Encoding says so. Raises DecodeError."""
        coding = self.headers.get("content-encoding")
        if not coding or not self._raw:
            return self._raw
        try:
            return HTTPResponse(io.BytesIO(self._raw), {"content-encoding": coding}, decode_content=True).data
        except NotDecoded as error:
            raise DecodeError(f"the answer is not {coding}, as it says: {error}", error=error) from error

    def read(self) -> bytes:
        """As `content`."""
        return self.content

    def body(self) -> bytes:
        """As `content`, by its older name."""
        return self.content

    def text(self, encoding: str | None = None) -> str:
        """The content as text, whatever it is."""
        if not self.content:
            return ""
        message = Message()
        message["content-type"] = self.content_type or ""
        named = encoding or self.encoding or message.get_content_charset() or "utf-8"
        try:
            return self.content.decode("utf-8-sig" if named.lower() == "utf-8" else named, "replace")
        except LookupError:
            return self.content.decode("utf-8-sig", "replace")

    def json(self) -> Any:
        return json.loads(self.text())

    def iter_raw(self, **_: Any) -> Iterator[bytes]:
        return _Content(self, self._raw)

    def iter_bytes(self, **_: Any) -> Iterator[bytes]:
        return _Content(self, self.content)

    def stream_download(self, pipeline: Any, decompress: bool = True, **_: Any) -> Iterator[bytes]:  # noqa: ARG002
        """As `iter_bytes` or `iter_raw`, by its older name."""
        return _Content(self, self.content if decompress else self._raw)

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise HttpResponseError(response=self)

    def close(self) -> None:
        """Nothing: its connection serves others already."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Content:
    """Content in one piece, to which the blob client adds what it knows of the blob."""

    def __init__(self, response: Answer, content: bytes) -> None:
        self.response, self.request = response, response.request
        said = response.headers.get("content-length", "")
        # Of HEAD it is the blob's; what is no length, or none that a program can have, is a proxy's.
        self.content_length = int(said) if _LENGTH.fullmatch(said) else len(content)
        self._pieces = iter([content] if content else [])

    def __len__(self) -> int:
        return self.content_length

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)
