"""A file of the catalog, whatever it is called and wherever it lies: its sha256 says what it is."""

from __future__ import annotations

from inference.engine.catalog import known_file
from inference.recognize._export import Draft, Export


def recognize(export: Export) -> Draft | None:
    entry = known_file(export.file)
    if entry is None:
        return None
    table = {"sha256": entry.sha256, **entry.manifest}
    return Draft(f"a known file: {entry.name} of the catalog", table, (f"its sha256 {entry.sha256[:12]}...",))
