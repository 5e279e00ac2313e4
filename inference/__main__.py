"""python -m inference: the engine on the command line, without any storage."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of imports; `run` has words for it

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from inference import command_line
from inference.cli.artifact_options import add_artifact_arguments
from inference.cli.exporting import add_export_arguments
from inference.cli.filter_arguments import add_filter_arguments
from inference.cli.no_sources import empty_word, local_file, local_place, unknown_options
from inference.cli.numbers import score
from inference.errors import DropsightError
from inference.plain_text import plain_logs

PROG = "python -m inference"
Commands = Any  # argparse's list of subcommands has no public type
Parser = command_line.Parser


def parser() -> Parser:
    top = Parser(prog=PROG, description="Run models over pictures and videos on this machine.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    folders = Parser(add_help=False)
    folders.add_argument("--models", action="append", type=local_place, default=[], metavar="DIR",
                         help="a folder of models, a model's folder or an .onnx file; may be repeated")  # fmt: skip
    _analyze(commands, folders)
    _track(commands)
    _models(commands, folders)
    _similar(commands, folders)
    _export(commands)
    return top


def _analyze(commands: Commands, folders: Parser) -> None:
    run = commands.add_parser("analyze", parents=[folders], help="analyse files and folders")
    run.add_argument("files", nargs="+", metavar="SOURCE",
                     help="a file, a folder, a pattern in quotes ('**/*.jpg'), https://..., - for stdin")  # fmt: skip
    run.add_argument("--model", action="append", default=[], metavar="NAME", help="run this model; may be repeated")
    run.add_argument(
        "--routes", type=local_place, metavar="FILE", help="a routes.toml (default: that of this folder, if any)"
    )
    run.add_argument("--route", metavar="NAME", help="this route for every file, whatever its name")
    run.add_argument("--out", type=local_place, metavar="DIR", help="write what would be written to storage")
    run.add_argument("--resume", action="store_true", help="with --out: leave out what has its result there already")
    run.add_argument("--json", action="store_true", help="a result document per line on stdout, nothing else there")
    run.add_argument("--threshold", type=score, metavar="X", help="overrides the score threshold (0..1)")
    add_filter_arguments(run)
    add_artifact_arguments(run)


def _track(commands: Commands) -> None:
    track = commands.add_parser("track", help="track the detections of a MOTChallenge file")
    track.add_argument("detections", type=local_file, metavar="DET.txt", help="lines frame,id,x,y,width,height,score")
    track.add_argument("--tracker", choices=("sort", "bytetrack"), default="bytetrack")
    track.add_argument("--fps", type=float, default=25.0, metavar="N", help="frames a second of the video (25)")


def _models(commands: Commands, folders: Parser) -> None:
    models = commands.add_parser("models", help="list and fetch models").add_subparsers(dest="action", required=True)
    models.add_parser("list", parents=[folders], help="the models here and in the catalog, and why some cannot be used")
    check = models.add_parser("check", help="what an export is, whether it runs, and a model.toml for it")
    check.add_argument("path", type=local_file, metavar="PATH", help="an .onnx file or its folder")
    check.add_argument(
        "--picture", type=local_file, metavar="FILE", help="run it on this picture (default: a sample photo)"
    )
    check.add_argument("--write", action="store_true", help="write the model.toml of a recognised export beside it")
    pull = models.add_parser("pull", help="fetch public models, verified by size and sha256")
    pull.add_argument("names", nargs="*", metavar="NAME", help="as `models list` shows them")
    pull.add_argument("--recommended", action="store_true", help="the pack for the default route, 13.5 MB")
    pull.add_argument("--from", dest="sources", action="append", default=[], metavar="DIR_OR_URL",
                      help="take the files from this folder, or from URL/SHA256; may be repeated")  # fmt: skip
    pull.add_argument(
        "--to", type=local_place, metavar="DIR", help="where to put the folders (default: models/_public)"
    )


def _similar(commands: Commands, folders: Parser) -> None:
    similar = commands.add_parser("similar", parents=[folders], help="the pictures of an index nearest to a picture")
    similar.add_argument("picture", type=local_file, metavar="PICTURE")
    similar.add_argument("--count", type=int, default=10, metavar="N", help="how many (default 10)")
    group = commands.add_parser("group", parents=[folders], help="sort the pictures of an index into groups")
    group.add_argument("--count", type=int, default=5, metavar="N", help="how many groups (default 5)")
    for command in (similar, group):
        command.add_argument("--index", type=local_place, required=True, metavar="DIR",
                             help="results with embeddings, or a folder of pictures")  # fmt: skip
        model_help = "the embedding model (default: the index's, else embed-mobilenetv2 or embed)"
        command.add_argument("--model", metavar="NAME", help=model_help)
        command.add_argument("--json", action="store_true", help="a JSON document on stdout")


def _export(commands: Commands) -> None:
    export = commands.add_parser("export", help="results as COCO, YOLO, CSV or JSON lines")
    export.add_argument("results", type=local_place, metavar="RESULTS", help="a folder that analyze --out wrote")
    add_export_arguments(export)
    schema = commands.add_parser("schema", help="the JSON Schema of the result document, or its types")
    schema.add_argument("--as", dest="form", choices=("json", "python", "typescript"), default="json",
                        help="JSON Schema (the default), Python's TypedDicts, TypeScript's interfaces")  # fmt: skip


# Commands beside analyze and models: imported when asked for, so that --help needs no numpy.
COMMANDS = {
    "models": "inference.cli.models",
    "similar": "inference.cli.similar",
    "group": "inference.cli.similar",
    "export": "inference.cli.documents",
    "schema": "inference.cli.documents",
    "track": "inference.tracking.mot",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 all fine, 1 some file failed (the others are done), 2 wrong usage."""
    return command_line.run(PROG, lambda: _run(arguments), _status)


def _run(arguments: Sequence[str] | None) -> int:
    top = parser()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if empty := empty_word(words):
        top.error(empty)
    options, unknown = top.parse_known_args(words)
    if unknown:
        top.error(unknown_options(unknown, [f"--{name.replace('_', '-')}" for name in vars(options)]))
    from inference.image.media import own_process  # lazily: --help needs no numpy

    own_process()
    plain_logs("inference")
    if options.command == "analyze":
        from inference.cli.analyze import analyze_command  # lazily: --help needs no numpy

        return analyze_command(options)
    run: Callable[[argparse.Namespace], int] = import_module(COMMANDS[options.command]).run
    return run(options)


def _status(error: Exception) -> int | None:
    """The exit status for an error that was raised on purpose, None for others."""
    return 2 if isinstance(error, DropsightError) else None


if __name__ == "__main__":
    sys.exit(main())
