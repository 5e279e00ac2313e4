"""python -m inference models list | pull | check: what is here, and what the catalog has."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from inference.cli.analyze import registry_of
from inference.cli.progress import Progress
from inference.engine.catalog import Catalog, CatalogEntry, load_catalog
from inference.engine.pull import is_installed, pull
from inference.engine.registry import BUILT_IN, InstalledModel
from inference.errors import BadModel, DropsightError
from inference.manifest import Manifest

HEADINGS = ("NAME", "TASK", "SIZE", "LICENCE", "USE", "INSTALLED", "USEFUL", "ACCURACY")


def run(options: argparse.Namespace) -> int:
    if options.action == "check":
        from inference.cli import check_model  # lazily: it loads a model

        return check_model.run(options)
    return {"list": _list, "pull": _pull}[options.action](options)


def _list(options: argparse.Namespace) -> int:
    catalog = load_catalog()
    entries = registry_of(options).list()
    rows = [HEADINGS, *(_present(e) for e in entries)]
    present = {e.name for e in entries}
    rows += [_absent(m) for m in catalog.model if m.name not in present]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS) - 1)]
    for row in rows:
        print(*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1], sep="  ")
    print("USEFUL: photos of 50 everyday ones (COCO) on which it says something right, and more right than wrong")
    return 0


def _present(entry: InstalledModel) -> tuple[str, ...]:
    manifest = entry.manifest
    if manifest is None or entry.reason:
        return (entry.name, "-", "-", "-", "-", "no", "-", f"skipped: {entry.reason}")
    size = _megabytes(entry.weights.stat().st_size) if entry.weights else "-"
    return (*_facts(manifest, size), "yes", manifest.everyday or "-", manifest.accuracy or "-")


def _absent(entry: CatalogEntry) -> tuple[str, ...]:
    manifest = entry.full_manifest()
    note = "ran here" if entry.verified else "not run by us"
    if entry.recommended:
        note = f"recommended, {note}"
    if entry.obstacle():
        note = f"cannot be run: {entry.obstacle()}"
    accuracy = manifest.accuracy or entry.figure
    accuracy = f"{accuracy} ({note})" if accuracy else note
    return (*_facts(manifest, _megabytes(entry.size)), "no", manifest.everyday or "-", accuracy)


def _facts(manifest: Manifest, size: str) -> tuple[str, ...]:
    return (manifest.name, manifest.task, size, _licence(manifest.licence), manifest.use)


def _licence(text: str) -> str:
    return (text or "-")[:24]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _pull(options: argparse.Namespace) -> int:
    """Fetch the models; a failure does not stop the others."""
    catalog = load_catalog()
    wanted = _wanted(options, catalog)
    into: Path = options.to or BUILT_IN
    failed, progress = 0, Progress()
    for entry in wanted:
        try:
            there = is_installed(entry, into)
            folder = pull(entry, into, options.mirrors, partial(progress.megabytes, entry.name))
        except DropsightError as error:
            print(f"{entry.name}: {type(error).__name__}: {error}", file=sys.stderr)
            failed += 1
            continue
        note = "" if entry.verified else f"; not run by us, its manifest is from {entry.page}"
        print(f"{entry.name}: {'already there' if there else 'fetched and checked'}: {folder}{note}")
    return 1 if failed else 0


def _wanted(options: argparse.Namespace, catalog: Catalog) -> list[CatalogEntry]:
    wanted = [catalog.named(name) for name in options.names]
    for entry in wanted:
        if entry.obstacle():
            raise BadModel(f"{entry.name} cannot be run: {entry.obstacle()}")
    if options.recommended:
        wanted += [m for m in catalog.recommended() if m not in wanted]
    if not wanted:
        raise BadModel("name the models to fetch, or say --recommended; `models list` shows what there is")
    return wanted
