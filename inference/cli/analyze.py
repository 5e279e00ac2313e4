"""python -m inference analyze: files and folders through the routes, as storage would see them."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference.analysis import analyze
from inference.cli.analysed_folders import note_folders
from inference.cli.progress import Progress
from inference.command_line import fault
from inference.defaults import load_routes
from inference.engine.registry import Registry, folders_from_environment
from inference.errors import BadModel, BadRoute, DropsightError, StorageUnavailable, UnreadableMedia
from inference.folder_files import LeftOut, files_in, size_of, words_of
from inference.os_errors import trouble_of_ours
from inference.ranges import check_share
from inference.results.result import Source, error_document
from inference.results.strict_json import json_text
from inference.results.words import line, single
from inference.route_problems import problem_of, problems_of
from inference.routes import Route, Step
from inference.routes_file import SIDECAR, Routes, sidecar_target
from inference.steps import Analysis, OnProgress
from inference.tables import text_of


def registry_of(options: argparse.Namespace) -> Registry:
    """Raises BadModel for a --models that is not there: the model would be missed far from the slip."""
    for path in options.models:
        if not path.exists():
            raise BadModel(f"--models {path}: no such file or folder; check the path")
    return Registry([*options.models, *folders_from_environment()])


def analyze_command(options: argparse.Namespace) -> int:
    """Analyse every file; a file that fails does not stop the others."""
    try:
        check_share("--threshold", options.threshold, "a score")
    except ValueError as error:
        raise BadRoute(str(error)) from None
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


def routes_of(options: argparse.Namespace, registry: Registry) -> Routes:
    """The routes that the options ask for, with all their models usable. Raises BadRoute, BadModel."""
    if options.model:
        if options.routes or options.route:
            raise BadRoute("--model makes a route of its own; give either --model or --routes and --route")
        for name in options.model:
            registry.entry(name)  # a name that leads nowhere is reported once, not for every file
        twice = [name for name in options.model if options.model.count(name) > 1]
        if twice:
            raise BadRoute(f"--model {twice[0]} is given {len(twice)} times; once is enough")
        return Routes((Route("command-line", tuple(Step(m) for m in options.model)),))
    default = Path("routes.toml")
    routes = load_routes(options.routes or (default if default.is_file() else None), registry).sound()
    routes = Routes((routes.named(options.route),)) if options.route else routes
    for problem in problems_of(routes, registry):
        if isinstance(problem, BadRoute):
            raise problem
    return routes


def route_of(path: Path, routes: Routes, options: argparse.Namespace) -> Route:
    """The route of a file: the requested one, else its sidecar's, else the first that fits its name.

    Below a folder that was given, the name is that of the file in storage, or the path as given. Raises BadRoute.
    """
    if options.model or options.route:
        return routes.routes[0]
    sidecar = path.with_name(path.name + SIDECAR)
    if sidecar.is_file():
        try:
            text = text_of(sidecar).strip()
        except UnicodeDecodeError as error:
            raise BadRoute(f"{sidecar}: not UTF-8 text ({error}); correct it or make it empty") from error
        if text:
            return routes.of_sidecar(text, str(path))
    names = (relative_to_given(path, options.files).as_posix(), path.as_posix())
    fitting = [route for name in names if (route := routes.match(name))]
    if not fitting:
        raise BadRoute(f'{path}: no route matches this name; add a route with match = "**"')
    return min(fitting, key=routes.routes.index)


def files_below(paths: Sequence[Path], unreadable: list[Path] | None = None) -> Iterator[Path]:
    """Files as given, and every file that is meant below the folders, in order; sidecars are left out.

    What else is left out of a folder is said on stderr at its end. unreadable: gets the given folders that are.
    """
    for path in paths:
        if not os.path.isdir(path):  # unlike Path's, not stopped by one path that may not be looked at
            yield path
            continue
        left_out: LeftOut = {}
        try:
            yield from (file for file, _ in files_in(path, left_out) if not sidecar_target(file.name))
        except OSError as error:
            print(single(f"{path}: cannot be read ({error.strerror})"), file=sys.stderr)
            if unreadable is not None:
                unreadable.append(path)
        if left_out:
            print(f"{single(str(path))}: {words_of(left_out)}", file=sys.stderr)


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
        route = route_of(path, routes, options)
        if route not in routes.routes and (problem := problem_of(route, registry)):
            raise problem  # of a sidecar, which nothing has looked at
        analysis = analyze(
            path,
            route,
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


def make_out(out: Path, given: Sequence[Path]) -> None:
    """Raises BadRoute where nothing could be written under --out: before hours of work, not after."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        note_folders(out, given)
    except OSError as error:
        raise BadRoute(f"--out {out}: cannot be made a folder ({error.strerror}); name another place") from error


def write_out(
    out: Path, path: Path, source: Source, document: dict[str, Any], analysis: Analysis | None
) -> dict[str, Any]:
    """Write the document and its files under `out`, as they would lie in storage.

    Returns the document; the error document of a file whose result could not be written.
    """
    folder = out / source.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (analysis.artifacts if analysis else {}).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.move(content, target)  # the temporary folder may lie on another disk
        name, other = ("error.json", "result.json") if document["status"] == "error" else ("result.json", "error.json")
        (folder / name).write_text(json_text(document, indent=1, ascii_only=True), "utf-8")
        (folder / other).unlink(missing_ok=True)  # of an earlier run
    except OSError as error:
        return error_document(
            replace(source, bytes=path.stat().st_size if path.is_file() else 0),
            StorageUnavailable(f"{path}: its result cannot be written ({error})"),
        )
    return document


def relative_to_given(path: Path, given: Sequence[Path]) -> Path:
    """The path below the folder that was named on the command line; only the name for a file named itself."""
    for folder in given:
        if os.path.isdir(folder) and path.is_relative_to(folder):
            inside = path.relative_to(folder)
            if ".." not in inside.parts:  # every relative path is below `.`, it seems, also ../a.jpg
                return inside
    return Path(path.name)


def names_of(files: Sequence[Path], given: Sequence[Path], *, keep_apart: bool) -> dict[Path, str]:
    """What each file is called in results: its path below the folder that was named, with slashes, however that was
    typed; under --out its result lies there.

    keep_apart: files that would be called alike keep their paths as typed. Otherwise raises BadRoute for them: a result
    would be lost.
    """
    names = {path: relative_to_given(path, given).as_posix() for path in files}
    first: dict[str, Path] = {}
    for path, name in names.items():
        if (other := first.setdefault(name, path)) == path:
            continue
        if not keep_apart:
            raise BadRoute(
                f"--out: {other} and {path} would both be written to {name}; name a folder that holds both, or "
                "analyse them separately into different folders"
            )
        names[other], names[path] = other.as_posix(), path.as_posix()
    return names
