"""python -m inference models list | pull | check: what is here, and what the catalog has."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from inference.cli.analyze import registry_of
from inference.cli.progress import Progress
from inference.engine.catalog import CatalogEntry, load_catalog
from inference.engine.download import NoConnection
from inference.engine.pull import is_installed, pull, source_of
from inference.engine.registry import InstalledModel
from inference.engine.weights import public_folder
from inference.errors import DropsightError
from inference.manifest import MANIFEST_FILE, Manifest
from inference.plain_text import single

HEADINGS = ("NAME", "TASK", "SIZE", "LICENCE", "USE", "INSTALLED", "USEFUL", "ACCURACY")


def run(options: argparse.Namespace) -> int:
    if options.action == "check":
        from inference.cli import check_model  # lazily: it loads a model

        return check_model.run(options)
    return {"list": _list, "pull": _pull}[options.action](options)


def _list(options: argparse.Namespace) -> int:
    catalog = load_catalog()
    entries = registry_of(options).list()
    files = {m.sha256: m.name for m in catalog.model}
    rows = [HEADINGS, *(_present(e, files) for e in entries)]
    present = {e.name for e in entries}
    assumed = {e.name: e.assumed for e in entries}
    rows += [_absent(m) for m in catalog.model if m.name not in present]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS) - 1)]
    say = Progress().say  # names may have what the terminal cannot show
    for row in rows:
        say(single("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])))
        for guess in assumed.get(row[0], ()):
            say(single(f"  assumed: {guess}"))
    print("USEFUL: photos of 50 everyday ones (COCO) on which it says something right, and more right than wrong")
    return 0


def _present(entry: InstalledModel, files: Mapping[str, str]) -> tuple[str, ...]:
    """files: the catalog's names by sha256."""
    manifest = entry.manifest
    if manifest is None or entry.reason:
        word = "not used" if entry.unused else "skipped"
        return (entry.name, "-", "-", "-", "-", "no", "-", f"{word}: {entry.reason}")
    size = _megabytes(entry.state.bytes) if entry.state else "-"
    accuracy = manifest.accuracy or "-"
    if not (manifest.folder and (manifest.folder / MANIFEST_FILE).is_file()) and manifest.sha256 in files:
        accuracy += f" (known file: {files[manifest.sha256]} of the catalog)"
    return (*_facts(entry.name, manifest, size), "yes", manifest.everyday or "-", accuracy)


def _absent(entry: CatalogEntry) -> tuple[str, ...]:
    manifest = entry.full_manifest()
    note = "ran here" if entry.verified else "not run by us"
    if entry.recommended:
        note = f"recommended, {note}"
    if entry.obstacle():
        note = f"cannot be run: {entry.obstacle()}"
    accuracy = manifest.accuracy or entry.figure
    accuracy = f"{accuracy} ({note})" if accuracy else note
    return (*_facts(entry.name, manifest, _megabytes(entry.size)), "no", manifest.everyday or "-", accuracy)


def _facts(name: str, manifest: Manifest, size: str) -> tuple[str, ...]:
    return (name, manifest.task, size, _licence(manifest.licence), manifest.use)


def _licence(text: str) -> str:
    """As much of it as a column takes, in whole words."""
    return textwrap.shorten(text, 32, placeholder=" ...", break_on_hyphens=False) or "-"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _pull(options: argparse.Namespace) -> int:
    """Fetch the models; a failure does not stop the others."""
    wanted = load_catalog().wanted(options.names, options.recommended)
    sources = [source_of(text) for text in options.sources]
    into: Path = options.to or public_folder()
    failed, progress = 0, Progress()
    for entry in wanted:
        try:
            there = is_installed(entry, into)
            folder = pull(entry, into, sources, partial(progress.megabytes, bar_label(entry)))
        except DropsightError as error:
            progress.show("")
            print(single(f"python -m inference: {error}{_way_on(error)}"), file=sys.stderr)
            failed += 1
            continue
        progress.say(f"{in_short(entry)}: {'already there' if there else _how_sure(entry)}: {folder}")
    return 1 if failed else 0


def _way_on(error: DropsightError) -> str:
    if not isinstance(error, NoConnection):
        return ""
    return "; HTTPS_PROXY names a proxy, and --from a folder or mirror that has the file"


def in_short(entry: CatalogEntry) -> str:
    """Name, size and licence."""
    return f"{entry.name} ({_megabytes(entry.size)}, {entry.manifest['licence']})"


def bar_label(entry: CatalogEntry) -> str:
    """Name and licence, short enough for a bar and its megabytes beside them in 80 columns."""
    return f"{entry.name} {entry.manifest['licence']}"[:30]


def _how_sure(entry: CatalogEntry) -> str:
    if entry.verified:
        return f"fetched and checked ({entry.figure})"
    return f"fetched, checked and tried on a photo; not measured by us, its manifest is from {entry.page}"
