"""`python -m cloud models list | register | download | path | deliver | rollback | push`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from inference.errors import BadModel, ModelUnavailable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `models`; the options carry the function to call as `run`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("list", help="registered models, and what serves from the container")
    command.set_defaults(run=_list)
    command = commands.add_parser("register", help="register a folder with a model in the workspace")
    command.add_argument("name")
    command.add_argument("folder", help="a folder of this machine, or an azureml:// path")
    command.add_argument("--version", default="", help="without it the workspace counts on")
    command.add_argument("--tag", type=_tag, action="append", default=[], metavar="KEY=VALUE")
    command.set_defaults(run=_register)
    for name, what, body in (("download", "fetch a model's files", _download), ("path", "print where they lie", _path)):
        command = commands.add_parser(name, help=what)
        command.add_argument("name")
        command.add_argument("version", nargs="?", default="latest")
        if name == "download":
            command.add_argument("--to", type=Path, default=Path("downloaded"))
        command.set_defaults(run=body)
    command = commands.add_parser("deliver", help="bring the newest version of a [[model]] into the container now")
    command.add_argument("name")
    command.add_argument("--again", action="store_true", help="even if it was refused or rolled back before")
    command.set_defaults(run=_deliver)
    command = commands.add_parser("rollback", help="serve what served before the current release")
    command.add_argument("name")
    command.set_defaults(run=_rollback)
    command = commands.add_parser("push", help="put public models of the catalog into the container")
    command.add_argument("names", nargs="*", metavar="NAME")
    command.add_argument("--recommended", action="store_true", help="the pack for the default route")
    command.add_argument("--from", dest="sources", action="append", default=[], metavar="DIR_OR_URL",
                         help="take the files from this folder, or from URL/SHA256")  # fmt: skip
    command.set_defaults(run=_push)


def _tag(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is no tag; write it as KEY=VALUE")
    return key, value


def _list(_: argparse.Namespace) -> int:
    from cloud.models import deliveries
    from cloud.models.releases import contents
    from cloud.pipelines_file import pipelines
    from cloud.settings import STATE, current
    from cloud.storage.containers import default_storage

    storage = default_storage()
    serving, unused = contents(storage)
    for snapshot in serving:
        found = storage.read_json(STATE, f"models/refused/{snapshot.name}.json")  # by a process of the app that took it
        if found and found[0].get("digest") == snapshot.digest:
            print(f"refused     {snapshot.name:30} {snapshot.version}: {found[0].get('why')}")
        else:
            print(f"serving     {snapshot.name:30} {snapshot.version}")
    for name, why in unused.items():
        print(f"not used    {name:30} {why}")
    for line in deliveries.refused(pipelines().models):
        print(f"refused     {line}")
    if current().azureml_workspace:
        for name, latest in deliveries.registered().names():
            print(f"registered  {name:30} {latest}")
    return 0


def _register(options: argparse.Namespace) -> int:
    from cloud.models import deliveries

    made = deliveries.registered().register(options.name, options.folder, options.version, dict(options.tag))
    print(f"{made.name}:{made.version}  {made.uri}")
    return 0


def _download(options: argparse.Namespace) -> int:
    from cloud.models import deliveries

    models = deliveries.registered()
    print(models.download(models.get(options.name, options.version), options.to))
    return 0


def _path(options: argparse.Namespace) -> int:
    from cloud.models import deliveries

    print(deliveries.registered().get(options.name, options.version).uri)
    return 0


def _deliver(options: argparse.Namespace) -> int:
    from cloud.models import deliveries
    from cloud.models.registered_models import deliver
    from cloud.storage.containers import default_storage

    print(deliver(default_storage(), deliveries.registered(), deliveries.find(options.name), again=options.again))
    return 0


def _rollback(options: argparse.Namespace) -> int:
    from cloud.models.releases import BY_HAND, rollback
    from cloud.storage.containers import default_storage
    from inference.engine.registry import Registry, folders_from_environment

    beside = {entry.name for entry in Registry(folders_from_environment()).list()}
    pointer = rollback(default_storage(), options.name, beside)
    before = "what was there before the first release" if pointer.version == BY_HAND else f"version {pointer.version}"
    print(f"{options.name}: {before} serves from now on; {pointer.rejected[0]} is not brought back by itself")
    return 0


def _push(options: argparse.Namespace) -> int:
    from cloud.models.public_models import push
    from cloud.storage.containers import default_storage
    from inference.engine.catalog import load_catalog
    from inference.engine.pull import source_of

    sources = [source_of(text) for text in options.sources]
    failed = 0
    for entry in load_catalog().wanted(options.names, options.recommended):
        try:
            print(push(default_storage(), entry, sources))
        except (BadModel, ModelUnavailable) as error:  # the other models go on
            print(error, file=sys.stderr)
            failed += 1
    return 1 if failed else 0
