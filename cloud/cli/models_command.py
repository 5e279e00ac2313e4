"""`python -m cloud models list | register | download | path | deliver | rollback | try-again | push`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cloud.settings import BadSettings
from inference.errors import BadModel, DropsightError
from inference.plain_text import single

if TYPE_CHECKING:
    from cloud.models.snapshots import Snapshot
    from cloud.storage.containers import Storage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `models`; the options carry the function to call as `run`."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("list", help="registered models, and what serves from the container")
    command.set_defaults(run=partial(_in_words, _list))
    command = commands.add_parser("register", help="register a folder with a model in the workspace")
    command.add_argument("name")
    command.add_argument("folder", help="a folder of this machine, or an azureml:// path")
    command.add_argument("--version", default="", help="without it the workspace counts on")
    command.add_argument("--tag", type=_tag, action="append", default=[], metavar="KEY=VALUE")
    command.set_defaults(run=partial(_in_words, _register))
    for name, what, body in (("download", "fetch a model's files", _download), ("path", "print where they lie", _path)):
        command = commands.add_parser(name, help=what)
        command.add_argument("name")
        command.add_argument("version", nargs="?", default="latest")
        if name == "download":
            command.add_argument("--to", type=Path, default=Path("downloaded"))
        command.set_defaults(run=partial(_in_words, body))
    command = commands.add_parser("deliver", help="bring the newest version of a [[model]] into the container now")
    command.add_argument("name")
    command.add_argument("--again", action="store_true", help="even if it serves, was refused or rolled back before")
    command.set_defaults(run=partial(_in_words, _deliver))
    command = commands.add_parser("rollback", help="serve what served before the current release")
    command.add_argument("name")
    command.add_argument("--to", default="", metavar="VERSION", help="serve this version, whose files are there still")
    command.set_defaults(run=partial(_in_words, _rollback))
    command = commands.add_parser("try-again", help="have a model tried again that brought its trial down, or hung")
    command.add_argument("name", help="the model's name, or the digest of its trial")
    command.set_defaults(run=partial(_in_words, _try_again))
    command = commands.add_parser("push", help="put public models of the catalog into the container")
    command.add_argument("names", nargs="*", metavar="NAME")
    command.add_argument("--recommended", action="store_true", help="the pack for the default route")
    command.add_argument("--from", dest="sources", action="append", default=[], metavar="DIR_OR_URL",
                         help="take the files from this folder, or from URL/SHA256")  # fmt: skip
    command.set_defaults(run=partial(_in_words, _push))


def _in_words(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """What a command ends with; no file, and no answer, of somebody else's ends in a traceback."""
    try:
        return run(options)
    except (DropsightError, BadSettings, OSError):
        raise
    except Exception as error:
        raise BadModel(f"{type(error).__name__}: {error}") from error


def _tag(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is no tag; write it as KEY=VALUE")
    return key, value


def _list(_: argparse.Namespace) -> int:
    from cloud.models import deliveries
    from cloud.models.leaving import noted
    from cloud.models.snapshots import contents
    from cloud.pipelines_file import pipelines
    from cloud.settings import current
    from cloud.storage.containers import default_storage

    storage = default_storage()
    serving, unused = contents(storage)
    said = set()
    for snapshot in serving:
        why = _refused(storage, snapshot)
        said.add(why)
        print(single(f"{'refused' if why else 'serving':11} {snapshot.name:30} {snapshot.version}{why and ': '}{why}"))
    present = {snapshot.name for snapshot in serving}
    for name, why in noted(storage).items():
        if name not in present:
            print(single(f"{'left':11} {name:30} {why}"))
    for name, why in unused.items():
        print(single(f"not used    {name:30} {why}"))
    for line in deliveries.refused(pipelines().models):
        if line not in said:
            print(single(f"refused     {line}"))
    if current().azureml_workspace:
        for name, latest in deliveries.registered().names():
            print(single(f"registered  {name:30} {latest}"))
    return 0


def _refused(storage: Storage, snapshot: Snapshot) -> str:
    """Why a snapshot does not serve: it cannot, or a process of the app refused it; empty where neither."""
    from cloud.models.refusals import refused_by_the_app

    if snapshot.problem:
        return snapshot.problem
    try:
        return refused_by_the_app(storage, snapshot)
    except BadModel as error:  # nobody knows whether it was refused
        print(single(str(error)))
        return ""


def _register(options: argparse.Namespace) -> int:
    from cloud.models import deliveries

    made = deliveries.registered().register(options.name, options.folder, options.version, dict(options.tag))
    print(single(f"{made.name}:{made.version}  {made.uri}"))
    return 0


def _download(options: argparse.Namespace) -> int:
    from cloud.models import deliveries
    from cloud.models.downloads import fill
    from cloud.models.model_files import model_folder

    models = deliveries.registered()
    version = models.get(options.name, options.version)
    folder = fill(options.to, partial(models.fetch, version))
    print(single(str(model_folder(folder, version.label))))
    return 0


def _path(options: argparse.Namespace) -> int:
    from cloud.models import deliveries

    print(single(deliveries.registered().get(options.name, options.version).uri))
    return 0


def _deliver(options: argparse.Namespace) -> int:
    from cloud.models import deliveries
    from cloud.models.registered_models import deliver
    from cloud.storage.containers import default_storage

    print(deliver(default_storage(), deliveries.registered(), deliveries.find(options.name), again=options.again))
    return 0


def _rollback(options: argparse.Namespace) -> int:
    from cloud.models.pointer import BY_HAND
    from cloud.models.releases import rollback
    from cloud.storage.containers import default_storage
    from inference.engine.registry import Registry, folders_from_environment

    beside = {entry.name for entry in Registry(folders_from_environment()).list()}
    pointer = rollback(default_storage(), options.name, beside, options.to)
    before = "what was there before the first release" if pointer.version == BY_HAND else f"version {pointer.version}"
    left = pointer.rejected[0].registered_number
    print(single(f"{options.name}: {before} serves from now on; {left} is not brought back by itself"))
    return 0


def _try_again(options: argparse.Namespace) -> int:
    from cloud.models.trials import retry
    from cloud.storage.containers import default_storage

    found = retry(default_storage(), options.name)
    if not found:
        raise BadModel(f"no trial of a model {options.name!r} is known; `models list` shows what is refused")
    print(f"{options.name}: it is tried again within a minute by the next worker that is to open it")
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
            print(single(push(default_storage(), entry, sources)))
        except Exception as error:  # noqa: BLE001 - the other models go on
            said = str(error) if isinstance(error, DropsightError) else f"{entry.name}: {error}"
            print(single(said), file=sys.stderr)
            failed += 1
    return 1 if failed else 0
