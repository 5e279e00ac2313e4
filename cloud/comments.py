"""Whether a file that the user writes says anything yet. Standard library only: asked while the app is indexed."""

from __future__ import annotations

from pathlib import Path


def only_comments(path: Path) -> bool:
    """Whether a TOML file, in any encoding that is read, says nothing; a missing file says nothing either."""
    try:
        lines = path.read_bytes().replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").splitlines()
    except OSError:
        return not path.exists()
    return all(line.strip() == b"" or line.lstrip().startswith(b"#") for line in lines)
