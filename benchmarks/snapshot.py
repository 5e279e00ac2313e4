"""Do all results stay as they are? Documents and artifact hashes over the reference media, recorded and compared.

    python -m benchmarks.snapshot record FILE [--every N] [--only WORD ...]
    python -m benchmarks.snapshot compare FILE FILE

`record` runs the command line, as a user does: the default routes over every file of ../shared/media, and each model
of tests/models over every N-th picture and a short clip. What differs from run to run (times, ids, versions, cost)
is left out. `compare` prints what differs and exits with 1 if anything does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ROOT, SHARED

MEDIA = SHARED / "media"
MODELS = ROOT / "tests" / "models"
MASKED = ("ms", "cost", "trace", "versions", "created", "wall_ms", "cpu_s")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".heic", ".avif", ".tif", ".tiff", ".bmp")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshot", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("file", type=Path)
    recording.add_argument("--every", type=int, default=4, help="models run over every N-th picture (default 4)")
    recording.add_argument("--only", nargs="*", default=[], help="only models (or 'default') with one of these words")
    comparing = commands.add_parser("compare")
    comparing.add_argument("files", type=Path, nargs=2)
    options = parser.parse_args()
    if options.command == "compare":
        before, after = (json.loads(path.read_text("utf-8")) for path in options.files)
        return compare(before, after)
    options.file.write_text(json.dumps(record(options.every, options.only), indent=1, sort_keys=True), "utf-8")
    return 0


def record(every: int, only: Sequence[str]) -> dict[str, Any]:
    """{"model or route: file": {"document": ..., "files": {name: sha256}}}."""
    files = sorted(p for p in MEDIA.rglob("*") if p.is_file() and p.suffix not in (".json", ".md", ".txt", ".csv"))
    pictures = [p for p in files if p.suffix.lower() in PICTURES][::every]
    clip = MEDIA / "video" / "street-people-5frames.mp4"
    runs = {"default": files} | {m.name: [*pictures, clip] for m in sorted(MODELS.iterdir()) if m.is_dir()}
    entries: dict[str, Any] = {}
    for name, media in runs.items():
        if only and not any(word in name for word in only):
            continue
        print(f"{name}: {len(media)} files", file=sys.stderr, flush=True)
        entries |= {f"{name}: {path}": entry for path, entry in analysed(name, media)}
    return entries


def analysed(name: str, media: Sequence[Path]) -> Iterator[tuple[str, Any]]:
    """The command line over these files with one model, or with the default routes."""
    model = [] if name == "default" else ["--models", str(MODELS), "--model", name]
    environment = os.environ | {"DROPSIGHT_WEIGHTS": str(SHARED / "models"), "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        command = [sys.executable, "-m", "inference", "analyze", "--json", "--out", str(out), *model]
        names = [path.relative_to(MEDIA.parent).as_posix() for path in media]
        ran = subprocess.run([*command, *names], cwd=MEDIA.parent, env=environment, capture_output=True, text=True)
        documents = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
        if len(documents) != len(names):
            raise SystemExit(f"{name}: {len(documents)} documents of {len(names)} files\n{ran.stderr[-2000:]}")
        for path, document in zip(names, documents, strict=True):
            yield path, {"document": masked(document)}
        yield "artifacts", {"files": dict(hashes(out))}


def hashes(out: Path) -> Iterator[tuple[str, str]]:
    """Every file that was written, but for documents, which hold times."""
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.name != "result.json" and path.suffix != ".json":
            yield path.relative_to(out).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()


def masked(value: Any) -> Any:
    """Without what differs from run to run."""
    if isinstance(value, dict):
        return {key: masked(member) for key, member in value.items() if key not in MASKED}
    return [masked(member) for member in value] if isinstance(value, list) else value


def compare(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Print what differs, and how many entries are equal."""
    lines = [line for key in sorted(before.keys() | after.keys())
             for line in differences(before.get(key), after.get(key), key)]  # fmt: skip
    equal = sum(before[key] == after.get(key) for key in before)
    print("\n".join(lines[:200]))
    print(f"{equal} of {len(before)} entries are equal; {len(lines)} differences")
    return 1 if lines else 0


def differences(before: Any, after: Any, place: str) -> Iterator[str]:
    """The places where two values differ, as lines."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from differences(before.get(key), after.get(key), f"{place} / {key}")
    elif before != after:
        yield f"{place}: {str(before)[:200]} -> {str(after)[:200]}"


if __name__ == "__main__":
    sys.exit(main())
