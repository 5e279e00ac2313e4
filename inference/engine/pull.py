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
from inference.engine.registry import sha256_of
from inference.errors import BadModel, ModelUnavailable
from inference.manifest import MANIFEST_FILE
from inference.tables import to_toml

WEIGHTS_FILE = "model.onnx"
TIMEOUT_S = 60
ATTEMPTS = 3
BLOCK = 1 << 18

Progress = Callable[[int, int], None]  # (bytes so far, bytes in all)


def pull(listing: CatalogEntry, into: Path, mirrors: Sequence[Path] = (), progress: Progress | None = None) -> Path:
    """Get a model's file and write its folder `into/<name>`; returns the folder. At once there or not at all.

    mirrors: folders searched for the file by its size and sha256; with any given, nothing is downloaded.
    Raises BadModel where the file is not the one that the catalog means, ModelUnavailable where it cannot be had.
    """
    folder = into / listing.name
    if is_installed(listing, into):
        return folder
    waiting = into / ".pull"
    waiting.mkdir(parents=True, exist_ok=True)
    part = waiting / f"{listing.sha256}.part"
    if mirrors:
        shutil.copyfile(_in_mirrors(listing, mirrors), part)
    else:
        _download(listing, part, progress or (lambda done, total: None))
    _check(listing, part)
    _install(listing, part, folder, waiting)
    return folder


def is_installed(listing: CatalogEntry, into: Path) -> bool:
    file = into / listing.name / WEIGHTS_FILE
    whole = file.is_file() and file.stat().st_size == listing.size and (file.parent / MANIFEST_FILE).is_file()
    return whole and sha256_of(file) == listing.sha256


def _in_mirrors(listing: CatalogEntry, mirrors: Sequence[Path]) -> Path:
    for mirror in mirrors:
        if not mirror.is_dir():
            raise BadModel(f"{mirror}: no such folder; --from wants a folder that holds the files")
        for file in sorted(p for p in mirror.rglob("*") if p.is_file()):
            if file.stat().st_size == listing.size and sha256_of(file) == listing.sha256:
                return file
    places = ", ".join(map(str, mirrors))
    raise BadModel(
        f"{listing.name}: no file of {listing.size:,} bytes with sha256 {listing.sha256} in {places}; put it there"
    )


def _download(listing: CatalogEntry, part: Path, progress: Progress) -> None:
    """Fetch into `part`, going on where an earlier attempt was broken off."""
    problem = ""
    for _ in range(ATTEMPTS):
        have = part.stat().st_size if part.is_file() else 0
        if have == listing.size:
            return
        if have > listing.size:
            part.unlink()
            have = 0
        problem = _fetch(listing, part, have, progress)
        if not problem:
            return
    have = part.stat().st_size if part.is_file() else 0
    raise ModelUnavailable(
        f"{listing.name}: {have:,} of {listing.size:,} bytes came from {listing.url}: {problem}; "
        "run the same command again to go on from there"
    )


def _fetch(listing: CatalogEntry, part: Path, have: int, progress: Progress) -> str:
    """One request; what went wrong, or nothing. Raises BadModel for what a further request cannot mend."""
    headers = {"User-Agent": "dropsight"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(listing.url, headers=headers)  # noqa: S310 (load_catalog checked the scheme)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            goes_on = answer.status == 206 and _starts_at(answer.headers.get("Content-Range", ""), have)
            if have and not goes_on:
                have = 0  # the server sends everything anew
            _refuse_other_size(listing, answer.headers.get("Content-Length"), have)
            return _copy(answer, part, have, listing, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what we have does not fit what is there
            part.unlink(missing_ok=True)
        elif 400 <= error.code < 500 and error.code not in (408, 429):
            raise BadModel(f"{listing.name}: {listing.url} answers {error.code} {error.reason}") from error
        return f"the server answers {error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def _starts_at(content_range: str, have: int) -> bool:
    return content_range.replace("=", " ").split("-")[0].split()[-1:] == [str(have)]


def _refuse_other_size(listing: CatalogEntry, length: str | None, have: int) -> None:
    if length is not None and length.isdigit() and int(length) + have != listing.size:
        raise BadModel(
            f"{listing.name}: {listing.url} has {int(length) + have:,} bytes, the catalog expects {listing.size:,}; "
            "the file there is another one"
        )


def _copy(answer: Any, part: Path, have: int, listing: CatalogEntry, progress: Progress) -> str:
    with part.open("ab" if have else "wb") as file:
        while block := answer.read(BLOCK):
            have += len(block)
            if have > listing.size:
                file.truncate(0)
                raise BadModel(f"{listing.name}: {listing.url} sends more than the {listing.size:,} bytes expected")
            file.write(block)
            progress(have, listing.size)
    return "" if have == listing.size else "the connection ended early"


def _check(listing: CatalogEntry, part: Path) -> None:
    found = sha256_of(part)
    if part.stat().st_size != listing.size or found != listing.sha256:
        size = part.stat().st_size
        part.unlink()
        raise BadModel(
            f"{listing.name}: the file has {size:,} bytes and sha256 {found}, the catalog expects {listing.size:,} "
            f"and {listing.sha256}; it was deleted: try again, or ask who serves {listing.url}"
        )


def _install(listing: CatalogEntry, part: Path, folder: Path, waiting: Path) -> None:
    """Put manifest and weights together aside, then give the folder its name in one step."""
    ready = waiting / f"{listing.name}.{os.getpid()}"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir()
    os.replace(part, ready / WEIGHTS_FILE)
    head = {"name": listing.name, "sha256": listing.sha256}
    (ready / MANIFEST_FILE).write_text(to_toml({**head, **listing.manifest}), "utf-8")
    if folder.exists():
        old = waiting / f"{listing.name}.old"
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    os.replace(ready, folder)
    shutil.rmtree(waiting / f"{listing.name}.old", ignore_errors=True)
    if not any(waiting.iterdir()):
        waiting.rmdir()
