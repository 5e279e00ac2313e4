"""python -m inference analyze: files and folders through the routes, as storage would see them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inference.analysis import analyze
from inference.cli.asked_routes import Asked
from inference.cli.fetched import file_of
from inference.cli.lists import words_on_list
from inference.cli.made_of import MadeOf, options_digest
from inference.cli.no_sources import shown
from inference.cli.progress import Progress
from inference.cli.results_folder import ResultsFolder
from inference.cli.sources import Item, items_of, names_of, typed
from inference.command_line import fault, raise_if_stopped
from inference.engine.registry import Registry, folders_from_environment
from inference.errors import BadModel, BadRoute, DropsightError, UnreadableMedia, UnsupportedMedia
from inference.folder_files import size_of
from inference.os_errors import trouble_of_ours
from inference.plain_text import single
from inference.ranges import check_share
from inference.results.export_rows import Document
from inference.results.result import Source, error_document
from inference.results.strict_json import json_text
from inference.results.words import line


def registry_of(options: argparse.Namespace) -> Registry:
    """Raises BadModel for a --models that is not there: the model would be missed far from the slip."""
    for path in options.models:
        if not path.exists():
            raise BadModel(f"--models {path}: no such file or folder; check the path")
    return Registry([*options.models, *folders_from_environment()])


def analyze_command(options: argparse.Namespace) -> int:
    """Analyse every file; a file that fails does not stop the others."""
    _check(options)
    given = typed(options.files)
    registry = registry_of(options)
    run = Run(options, registry, Asked.by(options, registry))
    unreadable: list[Path] = []
    items = items_of(given, options.out, unreadable)
    if not items and not unreadable:
        print(single(f"no files in {', '.join(shown(each.text) for each in given)}"), file=sys.stderr)
    names = names_of(items, keep_apart=options.out is None)
    if options.out:
        run.out = ResultsFolder.make(options.out, [place for each in given for place in each.places()], names)
    failed = len(unreadable) + run.all(items, names)
    if run.out:
        run.out.say_gone(each.base for each in given if each.base and each.base not in unreadable)
    return 1 if failed else 0


def _check(options: argparse.Namespace) -> None:
    """Raises BadRoute for options that cannot be meant."""
    try:
        check_share("--threshold", options.threshold, "a score")
    except ValueError as error:
        raise BadRoute(str(error)) from None
    if options.resume and options.out is None:
        raise BadRoute("--resume goes on in a folder of results; give that as --out")


@dataclass
class Run:
    """What holds for all files of a command. out: None where no results are written."""

    options: argparse.Namespace
    registry: Registry
    asked: Asked
    out: ResultsFolder | None = None

    def all(self, items: Sequence[Item], names: Mapping[Item, str]) -> int:
        """Analyse the files, and say what is in each; how many failed."""
        failed = done_already = 0
        with Progress(len(items)) as progress:
            for item in items:
                document, was_there = self._one(item, names[item], progress)
                raise_if_stopped()
                failed += document["status"] == "error"
                done_already += was_there
                if self.options.json:
                    # ASCII fits every terminal, and names that are no Unicode.
                    progress.say(json_text(document, ascii_only=True))
                elif not was_there:
                    folder = str(self.out.path / names[item]) if self.out else None
                    progress.say(line(item.shown, document, folder=folder))
                progress.step()
        if self.options.resume:
            print(f"{done_already:,} of {len(items):,} done already", file=sys.stderr)
        return failed

    def _one(self, item: Item, name: str, progress: Progress) -> tuple[Document, bool]:
        """(the result document or the error document, written where results are; whether it lay there already)."""
        source = Source(name=name)
        made_of: MadeOf | None = None
        try:
            with file_of(item, progress.bytes_of(name)) as path:
                source = replace(source, bytes=size_of(path))
                route = self.asked.route_of(item)
                if self.out:
                    made_of = MadeOf.media(path, item.path, options_digest(route, self.registry, self.options))
                    if self.options.resume and (stored := self.out.stored(name, made_of)):
                        return stored, True
                analysis = analyze(
                    path,
                    route,
                    self.registry,
                    source,
                    threshold=self.options.threshold,
                    artifacts=self.out is not None,
                    progress=progress.frames(name),
                )
                document = analysis.result.to_json()
                made_of = made_of and made_of.unless_changed(path)
                return (self.out.write(name, source, document, analysis, made_of) if self.out else document), False
        except DropsightError as error:
            document = error_document(source, _with_advice(error, item))
        except Exception as error:  # noqa: BLE001 - a fault of ours in a file must not cost the others their results
            document = _document_of(error, item, source)
        return (self.out.write(name, source, document) if self.out else document), False


def _with_advice(error: DropsightError, item: Item) -> DropsightError:
    """The error; of a list of files, that this is how others take it."""
    advice = words_on_list(item.path) if isinstance(error, UnsupportedMedia) and item.path else ""
    return UnsupportedMedia(f"{error}; {advice}") if advice else error


def _document_of(error: Exception, item: Item, source: Source) -> dict[str, Any]:
    """What is recorded of an error that nobody raised on purpose."""
    if isinstance(error, OSError) and error.strerror:  # the system's; libraries raise it without for faults of ours
        unreadable = UnreadableMedia(f"{item.shown}: cannot be read ({error.strerror})")
        return error_document(source, trouble_of_ours(error, item.path) or unreadable)
    print(single(f"{item.shown}: {fault(error)}"), file=sys.stderr)
    return error_document(source, error)
