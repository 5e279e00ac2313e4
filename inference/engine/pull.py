"""The verified download of public models.

A file gets its name only under the sha256 that the catalog states, and the registry checks it once more before it is
loaded. A model that was never run by this project is tried before it is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from inference.engine.catalog import CatalogEntry
from inference.engine.download import WHOLE_S, OnBytes, OutOfTime, Patience, download, is_safe
from inference.engine.trial import Trial, trial
from inference.engine.weights import sha256_of
from inference.errors import BadManifest, BadModel, DropsightError, ModelUnavailable
from inference.file_lock import lock
from inference.manifest import MANIFEST_FILE
from inference.tables import read_toml
from inference.version import __version__

WEIGHTS_FILE = "model.onnx"
WAITING = ".pull"  # the folder with what is not whole, or not installed yet

Source = Path | str  # a folder that is searched, or the address below which files are named by their sha256


def source_of(text: str) -> Source:
    """What --from names. Raises BadModel."""
    if is_safe(text):
        return text.rstrip("/")
    if text.lower().startswith("http://"):
        raise BadModel(f"{text}: --from takes an https address (http only of this machine), or a folder")
    if not Path(text).is_dir():
        raise BadModel(f"{text}: no such folder; --from takes a folder that holds the files, or an https address")
    return Path(text)


def pull(
    entry: CatalogEntry,
    into: Path,
    sources: Sequence[Source] = (),
    progress: OnBytes | None = None,
    patience: Patience | None = None,
) -> Path:
    """Get a model's file and write its folder `into/<name>` in one step; returns the folder.

    patience: None, an hour for all of it. Raises as `fetch`, and BadModel for a model that does not run.
    """
    folder, patience = into / entry.name, patience or _usual()
    if not is_installed(entry, into):
        with _alone(entry, into, patience):
            if not is_installed(entry, into):  # whoever we waited for may have done it
                part = _fetch(entry, into, sources, progress, patience)
                with _written(entry):
                    _install(entry, part, folder)
    return folder


def fetch(
    entry: CatalogEntry,
    into: Path,
    sources: Sequence[Source] = (),
    progress: OnBytes | None = None,
    patience: Patience | None = None,
) -> Path:
    """Get a model's file and leave it waiting in `into`, where the next `pull` takes it; returns it.

    sources: tried in turn in place of the catalog's addresses. Raises BadModel where a file has another size or sha256
    than the catalog says or `into` cannot be written to, ModelUnavailable where it cannot be downloaded.

    Where another process fetches the same file, this one waits for it, as long as `patience` (None: an hour) lasts.
    """
    patience = patience or _usual()
    with _alone(entry, into, patience):
        return _fetch(entry, into, sources, progress, patience)


def _usual() -> Patience:
    return Patience(until=time.monotonic() + WHOLE_S)


def _fetch(
    entry: CatalogEntry, into: Path, sources: Sequence[Source], progress: OnBytes | None, patience: Patience
) -> Path:
    part = waiting_file(entry.sha256, into)
    with _written(entry):
        if _waits(entry, part, into):
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
    what = "; ".join(str(failure) for failure in failures)
    raise next((f for f in failures if not isinstance(f, BadModel)), failures[0]).__class__(f"{entry.name}: {what}")


def _waits(entry: CatalogEntry, part: Path, into: Path) -> bool:
    """Whether the whole file is here already; it is in `part` then."""
    if _is_whole(entry, part):
        return True
    if part.is_file() and part.stat().st_size >= entry.size:  # nothing to go on from
        part.unlink()
    unfinished = _ready(entry, part.parent) / WEIGHTS_FILE  # of an installation that was interrupted
    if _is_whole(entry, unfinished):
        os.replace(unfinished, part)
        return True
    if _is_whole(entry, into / entry.name / WEIGHTS_FILE):  # only its manifest is out of date
        shutil.copyfile(into / entry.name / WEIGHTS_FILE, part)
        return True
    return False


@contextmanager
def _alone(entry: CatalogEntry, into: Path, patience: Patience) -> Iterator[None]:
    """Keep other processes from the same file meanwhile: two that write it would ruin it.

    Raises OutOfTime where another holds it to the end of our patience, BadModel where `into` cannot be written to.
    """
    path = into / WAITING / f"{entry.sha256}.lock"
    while (file := _locked(entry, path)) is None:
        time.sleep(patience.limit(0.1))
    try:
        yield
    finally:
        with suppress(OSError):
            _unlock(file, path)
        _tidy(path.parent)


def _locked(entry: CatalogEntry, path: Path) -> IO[bytes] | None:
    """The lock file, open, with the lock; None while another process has that."""
    with _written(entry):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+b")
        except FileNotFoundError:  # the folder was tidied away just now
            return None
    if _is_ours(file, path):
        return file
    file.close()
    return None


def _unlock(file: IO[bytes], path: Path) -> None:
    """Delete the lock file: before it is closed, as it may be another's then; Windows deletes only what nobody has
    open."""
    if os.name == "posix":
        path.unlink(missing_ok=True)
    file.close()
    if os.name != "posix":
        path.unlink(missing_ok=True)


def _is_ours(file: IO[bytes], path: Path) -> bool:
    """Whether we have the lock now, on the file that others will lock, too: its last holder deletes it."""
    try:
        lock(file)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def is_installed(entry: CatalogEntry, into: Path) -> bool:
    """Whether `into` has the model's folder with exactly this file, and the catalog's manifest beside it."""
    folder = into / entry.name
    try:
        same = read_toml(folder / MANIFEST_FILE) == entry.table()
        return same and _is_whole(entry, folder / WEIGHTS_FILE)
    except (BadManifest, OSError):
        return False  # missing, or broken


def waiting_file(sha256: str, into: Path) -> Path:
    """Where a file waits until it is whole and installed."""
    return into / WAITING / f"{sha256}.part"


def refusal_file(sha256: str, into: Path) -> Path:
    """Where it is noted why a file does not run here, so that nobody fetches it time and again without being asked.

    It holds for this release and this manifest only: another may run it.
    """
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


def _ready(entry: CatalogEntry, waiting: Path) -> Path:
    """The folder in which a model is put together."""
    return waiting / entry.name


def _install(entry: CatalogEntry, part: Path, folder: Path) -> None:
    """Write manifest and weights into a folder aside, try a model that was never run, then give the folder its name.

    Interrupted anywhere, it leaves the file where the next `_fetch` takes it up.
    """
    ready = _ready(entry, part.parent)
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir()
    (ready / MANIFEST_FILE).write_text(entry.model_toml(), "utf-8")
    os.replace(part, ready / WEIGHTS_FILE)
    refusal = refusal_file(entry.sha256, folder.parent)
    tried = Trial() if entry.verified else trial(ready)
    if tried.passing or tried.too_large or tried.impossible:
        raise ModelUnavailable(f"{entry.name}: it was fetched, and could not be tried: {tried.why}")
    if why := tried.why:
        shutil.rmtree(ready, ignore_errors=True)
        note = {"release": __version__, "manifest": entry.manifest, "why": why}
        refusal.write_text(json.dumps(note, indent=1), "utf-8")
        raise BadModel(f"{entry.name}: it was fetched, but it does not run here, so it was removed: {why}")
    _swap(ready, folder, part.parent / f"{entry.name}.old")
    refusal.unlink(missing_ok=True)


def _swap(ready: Path, folder: Path, old: Path) -> None:
    """Put `ready` in the place of `folder`, which stays as it was where that fails."""
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    try:
        os.replace(ready, folder)
    except OSError:
        if old.exists():
            os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _tidy(waiting: Path) -> None:
    """Take the folder away where nothing waits in it."""
    with suppress(OSError):
        waiting.rmdir()
