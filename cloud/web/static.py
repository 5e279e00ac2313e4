"""GET, HEAD static/{file}: the style sheet and the scripts of the pages, the files of `pages/static` and no others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path

import azure.functions as func

from cloud.web.blob_answers import is_known
from cloud.web.problems import NotFound
from cloud.web.router import SAFE

FOLDER = Path(__file__).parent / "pages" / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
_YEAR_S = 365 * 86400


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str
    tag: str


def static(request: func.HttpRequest) -> func.HttpResponse:
    """The body of the function `static`. Raises NotFound."""
    name = request.route_params.get("path") or ""
    file = _files().get(name)
    if file is None:
        raise NotFound(f"the pages have no file {name[:100]!r}")
    is_this = request.params.get("v") == file.tag
    # Whoever asks for a version that is over gets what is there now, and keeps it for no longer than this answer.
    kept = f"public, max-age={_YEAR_S}, immutable" if is_this else "no-cache"
    headers = {**SAFE, "ETag": f'"{file.tag}"', "Cache-Control": kept}
    if is_known(request, file.tag):
        return func.HttpResponse(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return func.HttpResponse(file.content, headers={**headers, "Content-Type": file.media_type})


def static_address(name: str) -> str:
    """The address of a file for templates, relative to the app's own (`../` leads there from `gallery/`): another one
    for other content. Raises KeyError where there is no such file."""
    return f"static/{name}?v={_files()[name].tag}"


def _files() -> dict[str, _File]:
    """The files by name, read anew where one was edited, as it is while the pages are worked on."""
    stamps = tuple((path.name, path.stat().st_mtime_ns) for path in sorted(FOLDER.glob("*")) if path.suffix in _TYPES)
    return _read(FOLDER, stamps)


@cache
def _read(folder: Path, stamps: tuple[tuple[str, int], ...]) -> dict[str, _File]:
    found = {}
    for name, _ in stamps:
        content = (folder / name).read_bytes()
        tag = hashlib.sha256(content).hexdigest()[:12]
        found[name] = _File(content, _TYPES[Path(name).suffix], tag)
    return found
