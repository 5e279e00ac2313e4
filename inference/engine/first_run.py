"""Before a model's file is opened that nobody here has run: an app has it tried in a process of its own first.

A library and the command line open what they are given: nobody else waits for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from inference.engine.catalog import known_file
from inference.engine.other_formats import onnx_files
from inference.engine.stamps import stamp_of
from inference.engine.weights import hash_of_state, readable, state_of

# The starter models that come with this release, by their sha256.
SHIPPED = frozenset(
    (
        "ded110ce985bed292d85861fb72d91bec8d38b63da4abc3331e367b62ffc6705",  # cartoon
        "d5a9a2ff782c216ec75040c37a5a2b217d4ee4591fa84c281068a9df71481c23",  # cells
        "edda5b145758c7886743912c2b654ceb277d8edafb355af4bc938860b7fe026e",  # classify
        "75387c737964a80666fefd9f137902109e657f82239b64131e6c99803c46b530",  # expression
        "dd38349c11b5b69b43ea339cdc0e2f33c41742224af30bf90be4662d65cf44b6",  # faces
        "a645ab39aaa9590ef7a1204cf97b4332c430aeb830ab14a740b5503dc4bba567",  # sketch
        "0d644f796451e253d6180769952d04dab514901ed00872a0a5ae10e95e7ead72",  # street
        "30b92c73da28dc59fbd65815e614b039ec6c44ee10564c344b994f03ed7efc48",  # style-brush
    )
)

# Raises ModelUnavailable while what lies at a path is being tried, BadModel where it must not be opened here.
Ask = Callable[[Path], None]


class _Asked:
    ask: Ask | None = None


def ask_before_opening(ask: Ask | None) -> None:
    """For programs, whose process is theirs: `ask` is called with the folder, or the loose file, of a model before its
    file is opened; None asks nobody."""
    _Asked.ask = ask


def refuse_untried(root: Path, weights: Path) -> None:
    """Raises ModelUnavailable or BadModel where the model at `root` must not be opened now; `weights` may lie
    elsewhere."""
    if _Asked.ask is None:
        return
    at = root if weights.resolve().is_relative_to(root.resolve()) else weights
    if not was_run_by_us(at):
        _Asked.ask(at)


def was_run_by_us(root: Path) -> bool:
    """Whether all .onnx files of a folder, or this one, are of those that this project ships or has tried itself."""
    files = onnx_files(root) if root.is_dir() else [root]
    return bool(files) and all(_is_known(file) for file in files)


def _is_known(file: Path) -> bool:
    if hash_of_state(state_of(file)) in SHIPPED:
        return True
    entry = known_file(file)
    return entry is not None and entry.verified


def fingerprint(root: Path) -> str:
    """Hex digest of all that a model's folder, or loose file, holds and that decides how it runs, wherever it lies.

    Raises ModelUnavailable where a file cannot be read, or changes meanwhile.
    """
    base, digest = root if root.is_dir() else root.parent, hashlib.sha256()
    for name, *_ in stamp_of(root).files:
        with readable(base / name):
            state = state_of(base / name)._replace(data=())
        digest.update(f"{hash_of_state(state)}  {name if root.is_dir() or base / name != root else ''}\n".encode())
    return digest.hexdigest()[:40]
