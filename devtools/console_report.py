"""One line per file on the terminal: what was detected in it and how long it took."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

_BREAKING = ("Cc", "Zl", "Zp")  # control characters, line and paragraph separators


class ConsoleReport:
    """Remembers when each file was uploaded, to say how long its result took."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}

    def say(self, text: str) -> None:
        """One line, whatever the terminal's encoding can show of it and whatever characters a file's name has."""
        encoding = sys.stdout.encoding or "utf-8"
        breaking = {c for c in text if unicodedata.category(c) in _BREAKING}
        text = text.translate({ord(c): c.encode("unicode_escape").decode("ascii") for c in breaking})
        print(text.encode(encoding, "replace").decode(encoding), flush=True)

    def uploaded(self, name: str) -> None:
        """A file went to storage: the clock runs."""
        self.began[name] = time.monotonic()
        self.say(f"{name}: uploaded")

    def failed(self, name: str, why: str) -> None:
        """A file will have no result."""
        self.say(f"{name}: failed, {why}")

    def arrived(self, key: str, path: Path) -> None:
        """A file was mirrored; only a document that ends an upload is worth a line."""
        container, _, rest = key.partition("/")
        if container == "results" and rest.endswith("/result.json"):
            document = _read(path)
            name = _name(document, rest.removesuffix("/result.json"))
            self.say(f"{name}: {summary(document)}{self._took(name, document)}")
        elif container == "errors" and rest.endswith(".json"):
            document = _read(path)
            name = _name(document, rest.removesuffix(".json"))
            self.say(f"{name}: failed{self._took(name, {})}: {reason(document)}")

    def _took(self, name: str, document: dict[str, Any]) -> str:
        parts = []
        if name in self.began:
            parts.append(f"{time.monotonic() - self.began.pop(name):.1f} s after the upload")
        wall = (document.get("cost") or {}).get("wall_ms")
        if wall is not None:
            parts.append(f"{wall:.0f} ms of analysis")
        return f" ({', '.join(parts)})" if parts else ""


def _name(document: dict[str, Any], path: str) -> str:
    """The upload's own name: in the path of its result some characters are escaped."""
    source = document.get("source")
    return str((source.get("name") if isinstance(source, dict) else None) or path)


def summary(document: dict[str, Any]) -> str:
    """The predictions of a result document (schema dropsight/1) in a few words."""
    # Steps that ran on crops have none of their own: they stand with the objects that the crops show.
    steps = [step for step in document.get("steps", []) if "on" not in step]
    return "; ".join(map(_step, steps)) or "nothing found"


def _step(step: dict[str, Any]) -> str:
    if step.get("task") == "image-to-image":
        return f"picture {step.get('name')}"
    if "embedding" in step:
        return f"embedding of {step['embedding']['dim']} dimensions"
    predictions = step.get("predictions") or []
    if step.get("task") == "image-classification":
        # The best class, and others that are not mere noise beside it.
        best = [item for rank, item in enumerate(predictions[:3]) if rank == 0 or item["score"] >= 0.1]
        return ", ".join(f"{item['label']} {item['score']:.2f}" for item in best) or "nothing recognised"
    counts = Counter(item["label"] for item in predictions if "label" in item)
    return ", ".join(f"{count} {label}" for label, count in counts.most_common(6)) or "nothing found"


def reason(document: dict[str, Any]) -> str:
    """Why an upload failed, from its error record."""
    error = document.get("error")
    fields = error if isinstance(error, dict) else document
    name = fields.get("class") or fields.get("type") or "error"
    return f"{name}: {fields.get('message') or 'see the record'}"


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
