"""python -m inference models list | pull | check: what there is, and what can be had."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from inference.cli.analyze import registry_of
from inference.engine.catalog import Catalog, CatalogEntry, load_catalog
from inference.engine.pull import is_installed, pull
from inference.engine.registry import BUILT_IN, ModelEntry
from inference.errors import BadModel, DropsightError

HEADINGS = ("NAME", "TASK", "SIZE", "LICENCE", "USE", "INSTALLED", "ACCURACY")


def run(options: argparse.Namespace) -> int:
    if options.action == "check":
        from inference.cli import check  # lazily: it loads a model

        return check.run(options)
    return {"list": _list, "pull": _pull}[options.action](options)


def _list(options: argparse.Namespace) -> int:
    catalog = load_catalog()
    entries = registry_of(options).list()
    rows = [HEADINGS, *(_found(e) for e in entries)]
    present = {e.name for e in entries}
    rows += [_to_be_had(m) for m in catalog.model if m.name not in present]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS) - 1)]
    for row in rows:
        print(*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1], sep="  ")
    return 0


def _found(entry: ModelEntry) -> tuple[str, ...]:
    manifest = entry.manifest
    if manifest is None or entry.reason:
        return (entry.name, "-", "-", "-", "-", "no", f"skipped: {entry.reason}")
    size = _megabytes(entry.weights.stat().st_size) if entry.weights else "-"
    return (entry.name, manifest.task, size, _licence(manifest.licence), manifest.use, "yes", manifest.accuracy or "-")


def _to_be_had(listing: CatalogEntry) -> tuple[str, ...]:
    manifest = listing.full_manifest()
    note = "ran here" if listing.verified else "not run by us"
    if listing.recommended:
        note = f"recommended, {note}"
    if listing.obstacle():
        note = f"cannot be run: {listing.obstacle()}"
    return (
        listing.name,
        manifest.task,
        _megabytes(listing.size),
        _licence(manifest.licence),
        manifest.use,
        "no",
        f"{manifest.accuracy} ({note})" if manifest.accuracy else note,
    )


def _licence(text: str) -> str:
    return (text or "-")[:24]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _pull(options: argparse.Namespace) -> int:
    """Fetch each; one that fails does not stop the others."""
    catalog = load_catalog()
    listings = _wanted(options, catalog)
    into: Path = options.to or BUILT_IN
    failed = 0
    for listing in listings:
        try:
            there = is_installed(listing, into)
            folder = pull(listing, into, options.mirrors, Bar(listing.name))
        except DropsightError as error:
            print(f"{listing.name}: {type(error).__name__}: {error}", file=sys.stderr)
            failed += 1
            continue
        note = "" if listing.verified else f"; not run by us, its manifest is from {listing.page}"
        print(f"{listing.name}: {'already there' if there else 'fetched and checked'}: {folder}{note}")
    return 1 if failed else 0


def _wanted(options: argparse.Namespace, catalog: Catalog) -> list[CatalogEntry]:
    listings = [catalog.named(name) for name in options.names]
    for listing in listings:
        if listing.obstacle():
            raise BadModel(f"{listing.name} cannot be run: {listing.obstacle()}")
    if options.recommended:
        listings += [m for m in catalog.recommended() if m not in listings]
    if not listings:
        raise BadModel("name the models to fetch, or say --recommended; `models list` shows what there is")
    return listings


class Bar:
    """A bar of megabytes on a terminal, silent elsewhere."""

    def __init__(self, name: str) -> None:
        self.name, self.shown = name, sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        if self.shown:
            bar = "#" * (30 * done // total)
            end = "\r\033[K" if done == total else ""
            text = f"\r\033[K{self.name} [{bar:.<30}] {done / 1e6:.1f} of {total / 1e6:.1f} MB"
            print(text, end=end, file=sys.stderr, flush=True)
