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
from inference.results.export_rows import whole_file
from inference.results.strict_json import json_text
from inference.small_file import content_of

_MOST = 100


def note_folders(out: Path, given: Sequence[Path]) -> None:
    """Adds the folders of what was named on the command line to those of earlier runs. Raises OSError."""
    now = [os.path.abspath(path if os.path.isdir(path) else path.parent) for path in given]
    known = list(dict.fromkeys([*now, *_noted(out)]))[:_MOST]
    with whole_file(out / RESULTS_NOTE) as file:
        file.write(json_text({"folders": known}, indent=1, ascii_only=True))


def analysed_folders(results: Path) -> list[Path]:
    """The folders of the latest run first; those of the folder of results that this one lies in, if it has none."""
    whole = Path(os.path.abspath(results))
    above = [folder for folder in whole.parents if folder.parent != folder]  # the root of a disk is nobody's results
    return next(([*map(Path, noted)] for folder in (whole, *above) if (noted := _noted(folder))), [])


def _noted(out: Path) -> list[str]:
    with suppress(OSError, ValueError, RecursionError, AttributeError):  # it is a help, and no result
        folders = json.loads(content_of(out / RESULTS_NOTE)).get("folders")
        return [folder for folder in folders if isinstance(folder, str)][:_MOST] if isinstance(folders, list) else []
    return []
