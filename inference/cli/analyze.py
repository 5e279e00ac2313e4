"""python -m inference analyze: files and folders through the routes, as storage would see them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference.analysis import analyze
from inference.cli.asked_routes import route_of, routes_of
from inference.cli.progress import Progress
from inference.cli.results_folder import make_out, write_out
from inference.cli.sources import files_below, names_of
from inference.command_line import fault
from inference.engine.registry import Registry, folders_from_environment
from inference.errors import BadModel, BadRoute, DropsightError, UnreadableMedia
from inference.folder_files import size_of
from inference.os_errors import trouble_of_ours
from inference.results.result import Source, error_document
from inference.results.strict_json import json_text
from inference.results.words import line, single
from inference.routes_file import Routes
from inference.steps import Analysis, OnProgress


def registry_of(options: argparse.Namespace) -> Registry:
    """Raises BadModel for a --models that is not there: the model would be missed far from the slip."""
    for path in options.models:
        if not path.exists():
            raise BadModel(f"--models {path}: no such file or folder; check the path")
    return Registry([*options.models, *folders_from_environment()])


def analyze_command(options: argparse.Namespace) -> int:
    """Analyse every file; a file that fails does not stop the others."""
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        raise BadRoute(f"--threshold is {options.threshold}, expected a number from 0 to 1")
    registry = registry_of(options)
    routes = routes_of(options, registry)
    unreadable: list[Path] = []
    files = list(files_below(options.files, unreadable))
    if not files and not unreadable:
        print(single(f"no files in {', '.join(map(str, options.files))}"), file=sys.stderr)
    names = names_of(files, options.files, keep_apart=options.out is None)
    if options.out:
        make_out(options.out, options.files)
    failed = len(unreadable)
    with Progress(len(files)) as progress:
        for path in files:
            source = Source(name=names[path])
            document, analysis = analyze_file(path, source, routes, registry, options, progress.frames(path.name))
            if options.out:
                document = write_out(options.out, path, source, document, analysis)
            failed += document["status"] == "error"
            if options.json:
                # ASCII fits every terminal, and names that are no Unicode.
                progress.say(json_text(document, ascii_only=True))
            else:
                folder = options.out / names[path] if options.out else None
                progress.say(line(str(path), document, folder=None if folder is None else str(folder)))
            progress.step()
    return 1 if failed else 0


def analyze_file(
    path: Path,
    source: Source,
    routes: Routes,
    registry: Registry,
    options: argparse.Namespace,
    progress: OnProgress | None = None,
) -> tuple[dict[str, Any], Analysis | None]:
    """(the result document or the error document, the analysis). source: with the file's name in results."""
    try:
        source = replace(source, bytes=size_of(path))
        analysis = analyze(
            path,
            route_of(path, routes, options),
            registry,
            source,
            threshold=options.threshold,
            artifacts=options.out is not None,
            progress=progress,
        )
    except DropsightError as error:
        return error_document(source, error), None
    except Exception as error:  # noqa: BLE001 - a fault of ours in a file must not cost the others their results
        if isinstance(error, OSError) and error.strerror:  # the system's; libraries raise it without for faults of ours
            unreadable = UnreadableMedia(f"{path}: cannot be read ({error.strerror})")
            return error_document(source, trouble_of_ours(error, path) or unreadable), None
        print(single(f"{path}: {fault(error)}"), file=sys.stderr)
        return error_document(source, error), None
    return analysis.result.to_json(), analysis
