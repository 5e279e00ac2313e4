"""What a result was made of, noted beside it: so that a later run knows what it need not do again, and which files of
an earlier one no longer belong there."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference.engine.registry import Registry
from inference.engine.weights import sha256_of
from inference.results.result import SCHEMA
from inference.results.strict_json import json_text
from inference.routes import REID, Route

# What the command line says of where files and models lie, and of how results are shown; the route has the rest of it.
_NOT_ASKED = {"command", "files", "models", "model", "routes", "route", "out", "json", "resume", "mask"}


@dataclass(frozen=True)
class MadeOf:
    """content, options: sha256 in hex, the first empty where nobody knows. file: the media's path, empty where it has
    none. files: what was written, by name below the result's folder, with sizes in bytes. state: of the media then."""

    content: str
    options: str
    file: str = ""
    files: dict[str, int] = field(default_factory=dict)
    state: tuple[int, int] | None = field(default=None, compare=False)

    @staticmethod
    def media(path: Path, named: Path | None, options: str) -> MadeOf:
        """Of the media in `path`. named: where the user has it, None for what was fetched. Raises OSError."""
        where = os.path.join(os.path.realpath(named.parent), named.name) if named else ""
        state = _state(path)
        return MadeOf(sha256_of(path), options, where, state=state)

    def unless_changed(self, path: Path) -> MadeOf:
        """What is to be noted, as somebody may have written to the media meanwhile. Raises OSError."""
        return self if _state(path) == self.state else replace(self, content="")

    def is_like(self, other: MadeOf) -> bool:
        """Whether the same result comes of both."""
        return bool(self.content) and (self.content, self.options) == (other.content, other.options)

    def to_json(self) -> str:
        facts = {"content": self.content, "options": self.options, "file": self.file, "files": self.files}
        return json_text(facts, ascii_only=True) + "\n"


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def read_made_of(text: str) -> MadeOf | None:
    """None where it is no such note."""
    try:
        made = MadeOf(**json.loads(text))
        texts = [made.content, made.options, made.file, *made.files]
        sound = all(isinstance(each, str) for each in texts) and all(type(n) is int for n in made.files.values())
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return made if sound else None


def options_digest(route: Route, registry: Registry, options: argparse.Namespace) -> str:
    """Hex sha256 of all that decides a result beside the media: the route with its models, the options of the command
    line that differ from none, the form of the document. Raises BadModel where a model cannot be used."""
    asked = {
        name: value
        for name, value in vars(options).items()
        if name not in _NOT_ASKED and value is not None and value is not False and value not in ([], "")
    }
    others = [registry.digest(name) for where, name in route.models() if where == REID]
    facts: list[Any] = [SCHEMA, route.digest(registry), others, asked]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
