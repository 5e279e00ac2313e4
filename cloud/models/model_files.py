"""A model's files on their way: which blobs are files, what can lie on a disk, which folder is the model's."""

from __future__ import annotations

import errno
import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cloud.storage.blobs import BlobInfo, info_of, translated
from cloud.storage.reasons import reason_of
from inference.engine.other_formats import onnx_files, what_is_there
from inference.errors import BadModel, DropsightError, LimitExceeded, ServiceBusy, StorageUnavailable, Transient
from inference.manifest import MANIFEST_FILE

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

MAX_FILES = 200
MAX_BYTES = 2 * 1024**3
_MAX_NAME = 255  # bytes, of a part of a path, on all common file systems

# Of this machine, not of the model's files.
_MAY_PASS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)


def in_our_words(error: Exception) -> DropsightError:
    """What went wrong with a model's files, as ours: Transient where trying again may help, else Permanent.

    What other people's files hold is foreseen nowhere in full, so that no exception of theirs is a fault of the app.
    """
    if isinstance(error, DropsightError):
        return error
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _MAY_PASS):
        return Transient(f"this machine lacks something ({said}); it is tried again")
    return BadModel(said)


def without_folders(blobs: Sequence[BlobInfo]) -> list[BlobInfo]:
    """The blobs that are files: mounts (blobfuse) and accounts with folders keep an empty blob for every folder."""
    above = {str(parent) for blob in blobs for parent in PurePosixPath(blob.name).parents}

    def is_folder(blob: BlobInfo) -> bool:
        return blob.is_folder or (blob.size == 0 and blob.name in above)

    return [blob for blob in blobs if not is_folder(blob)]


def check_files(model: str, files: Iterable[tuple[str, int]], *, most: int | None = MAX_FILES) -> None:
    """Raises BadModel, LimitExceeded where (relative path, bytes) cannot all lie on a disk, whatever machine it is of.

    most: files that are taken; None: any number.
    """
    files = list(files)
    total = sum(size for _, size in files)
    if (most is not None and len(files) > most) or total > MAX_BYTES:
        raise LimitExceeded(
            f"model {model!r} has {len(files)} files of {total:,} bytes; at most {most or 'any number of'} files and "
            f"{MAX_BYTES:,} bytes are taken: leave out what the model does not need"
        )
    seen: dict[str, str] = {}
    for relative, _ in files:
        _check_path(model, relative)
        other = seen.setdefault(_without_case(relative), relative)
        if other != relative:
            raise BadModel(
                f"model {model!r}: {other!r} and {relative!r} differ only in capitals or accents, which not every disk "
                "tells apart; rename one of them"
            )
    folders = {_without_case(str(parent)) for relative, _ in files for parent in PurePosixPath(relative).parents}
    if both := sorted(folders & seen.keys()):
        raise BadModel(f"model {model!r}: {seen[both[0]]!r} is a file and a folder; rename one of them")


def _check_path(model: str, relative: str) -> None:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\\" in relative or ":" in relative:
        raise BadModel(f"model {model!r}: the path {relative!r} leads out of its folder; rename the file")
    parts = relative.split("/")
    odd = any(part in ("", ".") or len(part.encode("utf-8", "replace")) > _MAX_NAME for part in parts)
    if odd or any(unicodedata.category(char) in ("Cc", "Cs") for char in relative):
        raise BadModel(f"model {model!r}: {relative[:80]!r} cannot be the name of a file on a disk; rename the file")


def _without_case(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def model_folder(root: Path, model: str) -> Path:
    """The folder of the model among the files below `root`: that of the model.toml nearest to `root`, else that of the
    weights and of what lies around them. Raises BadModel where there is neither.

    Where several are as near, `root` itself: whoever loads it says what is to be decided.
    """
    weights = onnx_files(root)
    manifests = [path for path in root.rglob(MANIFEST_FILE) if path.is_file() and not _is_hidden(path, root)]
    # One that lies apart from all weights describes something else.
    manifests = [path for path in manifests if not weights or any(path.parent in file.parents for file in weights)]
    if manifests:
        return _nearest(root, manifests)
    if not weights:
        raise BadModel(f"model {model} holds no .onnx file; {what_is_there(root)}")
    folder = _nearest(root, weights)
    # Labels and config.json may lie above the weights: as many folders up as hold no other model.
    while folder != root and onnx_files(folder.parent) == onnx_files(folder) and _are_few(folder.parent):
        folder = folder.parent
    return folder


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)


def _nearest(root: Path, files: Sequence[Path]) -> Path:
    folders = {file.parent for file in files}
    near = min(len(folder.parts) for folder in folders)
    nearest = [folder for folder in folders if len(folder.parts) == near]
    return nearest[0] if len(nearest) == 1 else root


def _are_few(folder: Path) -> bool:
    return sum(1 for path in folder.rglob("*") if path.is_file()) <= MAX_FILES


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """(path relative to `folder`, with slashes; where it lies) of all files, in order."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.relative_to(folder).as_posix(), path


def are_equal(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte for byte."""

    def digests(folder: Path) -> dict[str, str]:
        found = {}
        for relative, path in files_below(folder):
            with path.open("rb") as file:
                found[relative] = hashlib.file_digest(file, "sha256").hexdigest()
        return found

    sizes = [{relative: path.stat().st_size for relative, path in files_below(folder)} for folder in (one, other)]
    return sizes[0] == sizes[1] and digests(one) == digests(other)


def listed(container: ContainerClient, path: str) -> list[tuple[str, BlobInfo]]:
    """(path relative to it, blob) of a blob, or of all below a path (empty: of all). Raises StorageUnavailable."""
    with translated(f"listing the model's files at {path}"):
        found = [info_of(item.name, item, {}) for item in container.list_blobs(path, include=["metadata"])]
    below = f"{path}/" if path else ""
    files = without_folders([blob for blob in found if blob.name == path or blob.name.startswith(below)])
    return [(blob.name.removeprefix(below) if blob.name != path else _last(path), blob) for blob in files]


def layout_of(files: Iterable[tuple[str, int]]) -> str:
    """Changes whenever a file of (relative path, bytes) is added, is missing, or is of another size."""
    return hashlib.sha256(repr(sorted(files)).encode()).hexdigest()[:24]


def state_of(files: Iterable[tuple[str, BlobInfo]]) -> str:
    """Changes whenever a file of a listing does."""
    state = sorted((relative, blob.size, blob.etag) for relative, blob in files)
    return hashlib.sha256(repr(state).encode()).hexdigest()[:24]


def fetch_files(container: ContainerClient, path: str, model: str, folder: Path) -> None:
    """Bring a blob, or all below a path, into `folder`: nothing leaves it, nothing larger than a model may be is taken.

    Raises BadModel, LimitExceeded, StorageUnavailable, and ServiceBusy where a file changed meanwhile.
    """
    from azure.core import MatchConditions
    from azure.core.exceptions import AzureError, ResourceModifiedError, ResourceNotFoundError

    files = listed(container, path)
    check_files(model, ((relative, blob.size) for relative, blob in files), most=None)
    folder.mkdir(parents=True, exist_ok=True)
    for relative, blob in files:
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        etag = f'"{blob.etag}"'
        try:
            with target.open("wb") as out:
                only = MatchConditions.IfNotModified
                container.download_blob(blob.name, etag=etag, match_condition=only).readinto(out)
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            raise ServiceBusy(f"{blob.name} changed while it was fetched; it is tried again") from error
        except AzureError as error:  # whose traceback may have the address, and the signature in it
            why = f"the model's files at {path} cannot be read: {reason_of(error)}"
            raise StorageUnavailable(why) from None


def _last(path: str) -> str:
    return path.rpartition("/")[2]
