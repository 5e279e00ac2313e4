"""The verified download of public models.

A file gets its name only under the sha256 that the catalog states, and the registry checks it once more before it is
loaded. A model that was never run by this project is tried before it is installed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from inference.engine.catalog import CatalogEntry
from inference.engine.download import OnBytes, OutOfTime, Patience, download
from inference.engine.trial import trial
from inference.engine.weights import sha256_of
from inference.errors import BadModel, DropsightError, ModelUnavailable
from inference.manifest import MANIFEST_FILE

WEIGHTS_FILE = "model.onnx"
WAITING = ".pull"  # the folder with what is not whole, or not installed yet

Source = Path | str  # a folder that is searched, or the address below which files are named by their sha256


def source_of(text: str) -> Source:
    """What --from names. Raises BadModel."""
    if text.startswith(("http://", "https://")):
        return text.rstrip("/")
    if not Path(text).is_dir():
        raise BadModel(f"{text}: no such folder; --from takes a folder that holds the files, or an http(s) address")
    return Path(text)


def pull(
    entry: CatalogEntry,
    into: Path,
    sources: Sequence[Source] = (),
    progress: OnBytes | None = None,
    patience: Patience = Patience(),  # noqa: B008 (frozen)
) -> Path:
    """Get a model's file and write its folder `into/<name>` in one step; returns the folder.

    Raises as `fetch`, and BadModel for a model that does not run.
    """
    folder = into / entry.name
    if not is_installed(entry, into):
        part = fetch(entry, into, sources, progress, patience)
        with _written(entry):
            _install(entry, part, folder)
    return folder


def fetch(
    entry: CatalogEntry,
    into: Path,
    sources: Sequence[Source] = (),
    progress: OnBytes | None = None,
    patience: Patience = Patience(),  # noqa: B008 (frozen)
) -> Path:
    """Get a model's file and leave it waiting in `into`, where the next `pull` takes it; returns it.

    sources: tried in turn in place of the catalog's addresses. Raises BadModel where a file has another size or sha256
    than the catalog says or `into` cannot be written to, ModelUnavailable where it cannot be downloaded.
    """
    part = waiting_file(entry.sha256, into)
    with _written(entry):
        part.parent.mkdir(parents=True, exist_ok=True)
        if _is_whole(entry, part):
            return part
        failures: list[DropsightError] = []
        for source in sources or (entry.url, *entry.also):
            try:
                _get(entry, source, part, bool(sources), progress or (lambda done, total: None), patience)
                return part
            except OutOfTime:
                raise
            except (BadModel, ModelUnavailable) as error:
                failures.append(error)
        _tidy(part.parent)
    what = "; ".join(str(failure) for failure in failures)
    raise next((f for f in failures if not isinstance(f, BadModel)), failures[0]).__class__(f"{entry.name}: {what}")


def is_installed(entry: CatalogEntry, into: Path) -> bool:
    """Whether `into` has the model's folder with exactly this file."""
    file = into / entry.name / WEIGHTS_FILE
    return (file.parent / MANIFEST_FILE).is_file() and _is_whole(entry, file)


def waiting_file(sha256: str, into: Path) -> Path:
    """Where a file waits until it is whole and installed."""
    return into / WAITING / f"{sha256}.part"


def refusal_file(sha256: str, into: Path) -> Path:
    """Where it is noted why a file does not run here, so that nobody fetches it time and again without being asked."""
    return into / WAITING / f"{sha256}.refused"


def _is_whole(entry: CatalogEntry, file: Path) -> bool:
    return file.is_file() and file.stat().st_size == entry.size and sha256_of(file) == entry.sha256


@contextmanager
def _written(entry: CatalogEntry) -> Iterator[None]:
    """What the file system refuses is a BadModel."""
    try:
        yield
    except OSError as error:
        raise BadModel(f"{entry.name}: {error}; nothing was installed") from error


def _get(entry: CatalogEntry, source: Source, part: Path, flat: bool, progress: OnBytes, patience: Patience) -> None:
    """Fill `part` from a source and check it."""
    if isinstance(source, Path):
        shutil.copyfile(_in_folder(entry, source), part)
    else:
        download(f"{source}/{entry.sha256}" if flat else source, part, entry.size, patience, progress)
    if _is_whole(entry, part):
        return
    size, digest = part.stat().st_size, sha256_of(part)
    part.unlink()
    raise BadModel(
        f"the file has {size:,} bytes and sha256 {digest}, the catalog expects {entry.size:,} and {entry.sha256}; "
        f"it was deleted: try again, or ask who serves {source}"
    )


def _in_folder(entry: CatalogEntry, folder: Path) -> Path:
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        if file.stat().st_size == entry.size and sha256_of(file) == entry.sha256:
            return file
    raise BadModel(f"no file of {entry.size:,} bytes with sha256 {entry.sha256} in {folder}")


def _install(entry: CatalogEntry, part: Path, folder: Path) -> None:
    """Write manifest and weights into a folder aside, try a model that was never run, then give the folder its name."""
    waiting = part.parent
    ready = waiting / f"{entry.name}.{os.getpid()}"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir()
    os.replace(part, ready / WEIGHTS_FILE)
    (ready / MANIFEST_FILE).write_text(entry.model_toml(), "utf-8")
    try:
        if not entry.verified and (why := trial(ready)):
            refusal_file(entry.sha256, folder.parent).write_text(f"{why}\n", "utf-8")
            raise BadModel(f"{entry.name}: it was fetched, but it does not run here, so it was removed: {why}")
        if folder.exists():
            old = waiting / f"{entry.name}.old"
            shutil.rmtree(old, ignore_errors=True)
            os.replace(folder, old)
        os.replace(ready, folder)
    finally:
        shutil.rmtree(ready, ignore_errors=True)
    shutil.rmtree(waiting / f"{entry.name}.old", ignore_errors=True)
    refusal_file(entry.sha256, folder.parent).unlink(missing_ok=True)
    _tidy(waiting)


def _tidy(waiting: Path) -> None:
    """Take the folder away where nothing waits in it."""
    with suppress(OSError):
        waiting.rmdir()
