"""The names of the files that steps write. Imports nothing that costs."""

from __future__ import annotations

import hashlib

_LONGEST = 100


def file_name(step: str) -> str:
    """A step's name as a file name: letters, digits, '.', '_' and '-' only. Where that is not its name, or the
    annotated picture's, a hash is added: steps called "人" and "顔" do not share a file. Longer names than file systems
    take are cut."""
    plain = (
        "".join(c if c.isalnum() and c.isascii() or c in "._-" else "_" for c in step).strip(".")[:_LONGEST] or "step"
    )
    return plain if plain == step != "annotated" else f"{plain}-{hashlib.sha256(step.encode()).hexdigest()[:8]}"
