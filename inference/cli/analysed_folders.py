"""Which folders the pictures of a folder of results come from: noted by `analyze --out`, for exports that copy them.

Results name pictures relative to these folders, so that they say the same on every machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from inference.folder_files import RESULTS_NOTE
from inference.results.strict_json import json_text

_MOST = 100


def note_folders(out: Path, given: Sequence[Path]) -> None:
    """Adds the folders of what was named on the command line to those of earlier runs. Raises OSError."""
    now = [os.path.abspath(path if path.is_dir() else path.parent) for path in given]
    known = list(dict.fromkeys([*now, *_noted(out)]))[:_MOST]
    half = out / f"{RESULTS_NOTE}.{os.getpid()}"
    half.write_text(json_text({"folders": known}, indent=1, ascii_only=True), "ascii")
    half.replace(out / RESULTS_NOTE)


def analysed_folders(results: Path) -> list[Path]:
    """The folders of the latest run first; those of the folder of results that this one lies in, if it has none."""
    whole = Path(os.path.abspath(results))
    return next(([*map(Path, noted)] for folder in (whole, *whole.parents) if (noted := _noted(folder))), [])


def _noted(out: Path) -> list[str]:
    with suppress(OSError, ValueError, RecursionError, AttributeError):  # it is a help, and no result
        folders = json.loads((out / RESULTS_NOTE).read_text("utf-8")).get("folders")
        return [folder for folder in folders if isinstance(folder, str)][:_MOST] if isinstance(folders, list) else []
    return []
