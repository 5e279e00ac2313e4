"""What lies in folders of models: the models, usable or not, and what was brought in place of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from inference.engine.kinds import kind_of
from inference.engine.other_formats import is_onnx, kind_by_name, onnx_files, what_is_there
from inference.engine.stamps import Stamp, stamp_of
from inference.engine.weights import FileState
from inference.errors import DropsightError, ModelUnavailable
from inference.manifest import MANIFEST_FILE, Manifest, declaration_of, folder_name, read_manifest


@dataclass(frozen=True)
class InstalledModel:
    """A model of a folder: usable where `reason` is None, else `reason` says in a sentence why not.

    weights: None also for heads that need none (the manifest's `file` is empty). state: of the weights when the folder
    was read. assumed: what was guessed where there is no manifest, with the line that changes it. unused: it is no
    model of ours at all (an archive, weights of another format, a folder without any): to be said, but nothing failed.
    passing: the reason may pass by itself, as while the model is being tried: it is read again.
    root: the folder or loose file that was found. stamp: of what lay there when it was read.
    """

    name: str
    path: Path
    manifest: Manifest | None = None
    weights: Path | None = None
    reason: str | None = None
    state: FileState | None = None
    assumed: tuple[str, ...] = ()
    unused: bool = False
    passing: bool = False
    root: Path | None = None
    stamp: Stamp = Stamp()


# The models that were read before, by their root: what has kept its stamp is not read again.
Known = Mapping[Path, InstalledModel]


def models_in(folder: Path, known: Known = MappingProxyType({})) -> Iterator[InstalledModel]:
    """Models in a folder: the folder itself, the folders and .onnx files in it; or a single .onnx file.

    Whatever is wrong with one of them becomes its reason and stops no other.
    """
    found: list[InstalledModel] = []
    try:
        found.extend(_models_in(folder, known))
    except OSError as error:
        found.append(InstalledModel(folder.name, folder, reason=f"{folder} cannot be read ({error.strerror})"))
    yield from found


def one_sentence(path: Path, error: Exception) -> str:
    """What an error says of the model at a path; with its class where nobody foresaw it."""
    if isinstance(error, DropsightError):
        return str(error)
    said = " ".join(str(error).split())[:200]
    return f"{path}: it cannot be read ({type(error).__name__}: {said}); correct it, or write a model.toml beside it"


def read_model(root: Path, known: Known = MappingProxyType({})) -> InstalledModel:
    """The model of a folder of its own, or of a loose .onnx file, with what is wrong with it as its reason."""
    before = known.get(root)
    stamp = stamp_of(root)
    if before and stamp.files and before.stamp == stamp and not before.passing:
        return before
    read = _folder if root.is_dir() else _file
    return replace(read(root), root=root, stamp=stamp)


def _models_in(folder: Path, known: Known) -> Iterator[InstalledModel]:
    declared = declaration_of(folder)
    if declared:
        yield read_model(declared.parent, known)
    elif folder.is_file():
        yield read_model(folder, known)
    elif (folder / "config.json").is_file() and not any(map(is_onnx, folder.iterdir())):
        yield read_model(folder, known)  # Hugging Face's layout: the weights are in onnx/
    elif folder.is_dir():
        yield from _children(folder, known)
    else:
        yield InstalledModel(folder.name, folder, reason=f"{folder} does not exist")


def _children(folder: Path, known: Known) -> Iterator[InstalledModel]:
    children = [child for child in sorted(folder.iterdir()) if not _hidden(child)]
    names = [child.name for child in children]
    # os.path's answer no where nobody can tell, as of a share below that does not answer: it stops no other model.
    stems = {
        child.stem if is_onnx(child) else child.name for child in children if is_onnx(child) or os.path.isdir(child)
    }
    for child in children:
        if os.path.isdir(child) or is_onnx(child):
            yield _read_child(child, known)
        elif (words := kind_by_name(child.name, names)) and not {child.stem, child.name.split(".")[0]} & stems:
            # else it lies beside its export, or was unpacked: it is used already
            yield InstalledModel(child.name, child, reason=f"this is {words}", unused=True)
        elif os.path.islink(child) and not os.path.exists(child):
            yield InstalledModel(child.name, child, reason="this is a link that leads nowhere", unused=True)
        elif not os.path.exists(child):
            yield InstalledModel(child.name, child, reason=f"{child} cannot be read; check the folder's rights")


def _read_child(child: Path, known: Known) -> InstalledModel:
    try:
        return read_model(child, known)
    except OSError as error:
        return InstalledModel(child.stem if is_onnx(child) else child.name, child, reason=_cannot_be_read(child, error))


def _cannot_be_read(path: Path, error: OSError) -> str:
    return f"{path} cannot be read ({error.strerror}); check its rights"


def _hidden(child: Path) -> bool:
    if not child.name.startswith((".", "_")):
        return False
    return not os.path.isfile(child / MANIFEST_FILE) if os.path.isdir(child) else child.name.startswith(".")


def _folder(folder: Path) -> InstalledModel:
    name = folder_name(folder)
    try:
        if (folder / MANIFEST_FILE).is_file():
            return _guarded(name, folder / MANIFEST_FILE, _declared)
        files = onnx_files(folder)
        if declared := declared_below(folder, files):
            return _guarded(name, declared, _declared_inside)
        if not files:
            words = kind_by_name(name)
            reason = f"this is {words}" if words else f"no .onnx file here; {what_is_there(folder)}"
            return InstalledModel(name, folder, reason=reason, unused=True)
    except OSError as error:
        return InstalledModel(name, folder, reason=_cannot_be_read(folder, error))
    return _guarded(name, folder, _recognized)


def _file(file: Path) -> InstalledModel:
    return _guarded(_name_of(file), file, _recognized)


def _guarded(name: str, path: Path, read: Callable[[str, Path], InstalledModel]) -> InstalledModel:
    try:
        return read(name, path)
    except Exception as error:  # noqa: BLE001 - one model, whatever it holds, never costs another
        passing = isinstance(error, ModelUnavailable)
        return InstalledModel(name, path, reason=one_sentence(path, error), passing=passing)


def declared_below(folder: Path, files: Sequence[Path]) -> Path | None:
    """The model.toml that speaks for all .onnx files below a folder, where it lies in a folder of that: archives are
    often unpacked into a folder of their own name, twice. None where there is none, or several."""
    found = {
        next((p for p in file.parents if folder in p.parents and (p / MANIFEST_FILE).is_file()), None) for file in files
    }
    inner = found.pop() if len(found) == 1 else None
    return inner / MANIFEST_FILE if inner else None


def _declared(name: str, path: Path) -> InstalledModel:
    manifest = read_manifest(path)
    return InstalledModel(manifest.name, path, manifest)


def _declared_inside(name: str, path: Path) -> InstalledModel:
    """Called as the folder is in which somebody sees it, unless the manifest says a name."""
    manifest = read_manifest(path)
    if manifest.name == folder_name(path.parent):
        manifest = replace(manifest, name=name)
    return InstalledModel(manifest.name, path, manifest)


def _recognized(name: str, path: Path) -> InstalledModel:
    from inference.recognize import examine, manifest_of  # lazily: most models have a manifest

    export, draft = examine(path)
    # called as routes call it, in results too, whatever the file is called
    manifest = replace(manifest_of(export, draft), name=name)
    if set(manifest.postprocess.outputs.values()) <= set(export.outputs):  # others are put out when it is loaded
        kind_of(manifest)(manifest, export.session, "")  # so that what no upload could be run with is listed so
    return InstalledModel(name, path, manifest, assumed=draft.assumed)


def _name_of(file: Path) -> str:
    """The name of a loose .onnx file: its own, or its folder's where it is alone there (but for variants, such as
    model_quantized.onnx) and called as exporters call every model. A folder of models names none of them."""
    from inference.recognize._export import PLAIN_NAMES  # lazily: most models have a manifest

    stem = file.stem.lower()
    others = (f for f in file.parent.iterdir() if is_onnx(f))
    if stem not in PLAIN_NAMES or any(not f.stem.lower().startswith(stem) for f in others):
        return file.stem
    return file.stem if any(map(_is_model_folder, file.parent.iterdir())) else folder_name(file.parent)


def _is_model_folder(child: Path) -> bool:
    """Whether it holds a model of its own; `onnx` is Hugging Face's, for variants of the file beside it."""
    if not child.is_dir() or _hidden(child) or child.name == "onnx":
        return False
    return (child / MANIFEST_FILE).is_file() or bool(onnx_files(child))
