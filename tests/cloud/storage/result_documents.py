"""Result documents as the app writes them, and broken ones."""

from __future__ import annotations

import json
from typing import Any


def whole(name: str = "a.jpg", **changes: Any) -> dict[str, Any]:
    """A small result document of the upload `name`."""
    source = {"container": "uploads", "name": name, "etag": "0x1", "bytes": 9, "media_type": "image/jpeg"}
    predictions = [{"id": "s/0", "label": "cat", "score": 0.9, "box": [1.0, 2.0, 3.0, 4.0]}]
    step = {"name": "s", "task": "object-detection", "model": {"name": "m", "version": "1"}, "threshold": 0.5}
    return {
        "schema": "dropsight/1", "source": source | {"width": 10, "height": 10, "duration_s": None}, "route": "r",
        "status": "ok", "trace": "t", "steps": [step | {"predictions": predictions}],
        "summary": {"objects": {"cat": 1}, "scene": {}, "guesses": {}}, "cost": {"wall_ms": 1.5}, **changes,
    }  # fmt: skip


def _with(member: str, value: Any) -> bytes:
    made = whole("broken.jpg")
    made["steps"][0]["predictions"][0][member] = value
    return json.dumps(made).encode()


_CUT = json.dumps(whole("broken.jpg")).encode()[:80]
BROKEN = {
    "cut off": _CUT,
    "empty": b"",
    "a table without anything": b"{}",
    "a list": b"[]",
    "null": b"null",
    "text": b'"text"',
    "no JSON": b"\xff\xfe\x00",
    "endless lists": b"[" * 100_000,
    "another tool's": json.dumps(whole("broken.jpg", schema="other/1")).encode(),
    "no source": json.dumps({key: value for key, value in whole().items() if key != "source"}).encode(),
    "no trace": json.dumps({key: value for key, value in whole().items() if key != "trace"}).encode(),
    "steps are no list": json.dumps(whole("broken.jpg", steps={"0": {}})).encode(),
    "predictions are a number": json.dumps(whole("b", steps=[{**whole()["steps"][0], "predictions": 3}])).encode(),
    "a box of three numbers": _with("box", [1, 2, 3]),
    "a score in words": _with("score", "high"),
    "a score that is no number": _with("score", float("nan")),
    "a track beyond all numbers": _with("track", 2**70),
    "half a character": _with("label", "\ud800"),
}  # fmt: skip
