"""The verified download of public models.

A file is loaded only under the sha256 that the catalog states: it is checked before it gets its name, and once more
by the registry before it is loaded.
"""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from inference.engine.catalog import CatalogEntry
from inference.engine.weights import sha256_of
from inference.errors import BadModel, ModelUnavailable
from inference.manifest import MANIFEST_FILE
from inference.tables import to_toml

WEIGHTS_FILE = "model.onnx"
TIMEOUT_S = 60
ATTEMPTS = 3
BLOCK = 1 << 18

OnBytes = Callable[[int, int], None]  # called with (bytes so far, bytes in all)


def pull(entry: CatalogEntry, into: Path, mirrors: Sequence[Path] = (), progress: OnBytes | None = None) -> Path:
    """Get a model's file and write its folder `into/<name>` in one step; returns the folder.

    mirrors: folders searched for the file by its size and sha256; with any given, nothing is downloaded.
    Raises BadModel where the file has another size or sha256 than the catalog says, ModelUnavailable where it cannot
    be downloaded.
    """
    folder = into / entry.name
    if is_installed(entry, into):
        return folder
    waiting = into / ".pull"
    waiting.mkdir(parents=True, exist_ok=True)
    part = waiting / f"{entry.sha256}.part"
    if mirrors:
        shutil.copyfile(_in_mirrors(entry, mirrors), part)
    else:
        _download(entry, part, progress or (lambda done, total: None))
    _check(entry, part)
    _install(entry, part, folder, waiting)
    return folder


def is_installed(entry: CatalogEntry, into: Path) -> bool:
    """Whether `into` has the model's folder with exactly this file."""
    file = into / entry.name / WEIGHTS_FILE
    whole = file.is_file() and file.stat().st_size == entry.size and (file.parent / MANIFEST_FILE).is_file()
    return whole and sha256_of(file) == entry.sha256


def _in_mirrors(entry: CatalogEntry, mirrors: Sequence[Path]) -> Path:
    for mirror in mirrors:
        if not mirror.is_dir():
            raise BadModel(f"{mirror}: no such folder; --from wants a folder that holds the files")
        for file in sorted(p for p in mirror.rglob("*") if p.is_file()):
            if file.stat().st_size == entry.size and sha256_of(file) == entry.sha256:
                return file
    places = ", ".join(map(str, mirrors))
    raise BadModel(
        f"{entry.name}: no file of {entry.size:,} bytes with sha256 {entry.sha256} in {places}; put it there"
    )


def _download(entry: CatalogEntry, part: Path, progress: OnBytes) -> None:
    """Fetch into `part`, going on where an earlier attempt was broken off."""
    problem = ""
    for _ in range(ATTEMPTS):
        have = part.stat().st_size if part.is_file() else 0
        if have == entry.size:
            return
        if have > entry.size:
            part.unlink()
            have = 0
        problem = _fetch(entry, part, have, progress)
        if not problem:
            return
    have = part.stat().st_size if part.is_file() else 0
    raise ModelUnavailable(
        f"{entry.name}: {have:,} of {entry.size:,} bytes came from {entry.url}: {problem}; "
        "run the same command again to go on from there"
    )


def _fetch(entry: CatalogEntry, part: Path, have: int, progress: OnBytes) -> str:
    """One request; what went wrong, or nothing. Raises BadModel for what a further request cannot mend."""
    headers = {"User-Agent": "dropsight"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(entry.url, headers=headers)  # noqa: S310 (load_catalog checked the scheme)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            goes_on = answer.status == 206 and _starts_at(answer.headers.get("Content-Range", ""), have)
            if have and not goes_on:
                have = 0  # the server sends everything anew
            _refuse_other_size(entry, answer.headers.get("Content-Length"), have)
            return _copy(answer, part, have, entry, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what we have does not fit what is there
            part.unlink(missing_ok=True)
        elif 400 <= error.code < 500 and error.code not in (408, 429):
            raise BadModel(f"{entry.name}: {entry.url} answers {error.code} {error.reason}") from error
        return f"the server answers {error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def _starts_at(content_range: str, have: int) -> bool:
    return content_range.replace("=", " ").split("-")[0].split()[-1:] == [str(have)]


def _refuse_other_size(entry: CatalogEntry, length: str | None, have: int) -> None:
    if length is not None and length.isdigit() and int(length) + have != entry.size:
        raise BadModel(
            f"{entry.name}: {entry.url} has {int(length) + have:,} bytes, the catalog expects {entry.size:,}; "
            "the file there has changed"
        )


def _copy(answer: Any, part: Path, have: int, entry: CatalogEntry, progress: OnBytes) -> str:
    with part.open("ab" if have else "wb") as file:
        while block := answer.read(BLOCK):
            have += len(block)
            if have > entry.size:
                file.truncate(0)
                raise BadModel(f"{entry.name}: {entry.url} sends more than the {entry.size:,} bytes expected")
            file.write(block)
            progress(have, entry.size)
    return "" if have == entry.size else "the connection ended early"


def _check(entry: CatalogEntry, part: Path) -> None:
    digest = sha256_of(part)
    if part.stat().st_size != entry.size or digest != entry.sha256:
        size = part.stat().st_size
        part.unlink()
        raise BadModel(
            f"{entry.name}: the file has {size:,} bytes and sha256 {digest}, the catalog expects {entry.size:,} "
            f"and {entry.sha256}; it was deleted: try again, or ask who serves {entry.url}"
        )


def _install(entry: CatalogEntry, part: Path, folder: Path, waiting: Path) -> None:
    """Write manifest and weights into a folder aside, then give it its name in a single step."""
    ready = waiting / f"{entry.name}.{os.getpid()}"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir()
    os.replace(part, ready / WEIGHTS_FILE)
    head = {"name": entry.name, "sha256": entry.sha256}
    (ready / MANIFEST_FILE).write_text(to_toml({**head, **entry.manifest}), "utf-8")
    if folder.exists():
        old = waiting / f"{entry.name}.old"
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    os.replace(ready, folder)
    shutil.rmtree(waiting / f"{entry.name}.old", ignore_errors=True)
    if not any(waiting.iterdir()):
        waiting.rmdir()
