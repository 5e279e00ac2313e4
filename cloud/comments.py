"""Whether a file that the user writes says anything yet. Standard library only: asked while the app is indexed."""

from __future__ import annotations

from pathlib import Path

_MOST_BYTES = 1 << 20  # what is larger has something to say


def only_comments(path: Path) -> bool:
    """Whether a TOML file, in any encoding that is read, says nothing; a missing file says nothing either.

    What cannot be read, and what is no file, says something: whoever reads it tells what is wrong.
    """
    try:
        if not path.is_file():
            return not path.exists()
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError):
        return False
    lines = content.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").splitlines()
    return len(content) <= _MOST_BYTES and all(line.strip() == b"" or line.lstrip().startswith(b"#") for line in lines)
