"""The folder of --out: results and their files, as they would lie in storage."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference.cli.analysed_folders import note_folders
from inference.errors import BadRoute, StorageUnavailable
from inference.results.result import Source, error_document
from inference.results.strict_json import json_text
from inference.steps import Analysis


def make_out(out: Path, given: Sequence[Path]) -> None:
    """Raises BadRoute where nothing could be written under --out: before hours of work, not after."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        note_folders(out, given)
    except OSError as error:
        raise BadRoute(f"--out {out}: cannot be made a folder ({error.strerror}); name another place") from error


def write_out(
    out: Path, path: Path, source: Source, document: dict[str, Any], analysis: Analysis | None
) -> dict[str, Any]:
    """Write the document and its files under `out`, as they would lie in storage.

    Returns the document; the error document of a file whose result could not be written.
    """
    folder = out / source.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (analysis.artifacts if analysis else {}).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.move(content, target)  # the temporary folder may lie on another disk
        name, other = ("error.json", "result.json") if document["status"] == "error" else ("result.json", "error.json")
        (folder / name).write_text(json_text(document, indent=1, ascii_only=True), "utf-8")
        (folder / other).unlink(missing_ok=True)  # of an earlier run
    except OSError as error:
        return error_document(
            replace(source, bytes=path.stat().st_size if path.is_file() else 0),
            StorageUnavailable(f"{path}: its result cannot be written ({error})"),
        )
    return document
