"""`python -m devtools.pull_pack FOLDER NAME...`: fetch public models for `dev.py run`, a line for each."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from devtools.pack import DONE, LATER, WITHOUT
from inference.cli.models import bar_label, in_short
from inference.cli.progress import Progress
from inference.engine.catalog import CatalogEntry, load_catalog
from inference.engine.download import NoConnection, OutOfTime, Patience
from inference.engine.pull import Source, fetch, pull, source_of, waiting_file
from inference.errors import DropsightError
from inference.plain_text import single


def main(arguments: Sequence[str] | None = None) -> int:
    """DONE: all there. LATER: out of time, so that a further attempt may bring the rest. WITHOUT: it cannot be had."""
    options = _parser().parse_args(arguments)
    into: Path = options.folder
    absent = [load_catalog().named(name) for name in options.names]
    sources = [source_of(options.source)] if options.source else []
    if options.wait:
        return _fetch_only(absent, into, sources)
    end = time.monotonic() + options.within
    return _install(absent, into, sources, Patience(connect_s=options.connect, until=end), options.offline)


def _install(
    absent: Sequence[CatalogEntry], into: Path, sources: Sequence[Source], patience: Patience, offline: bool
) -> int:
    """What waits already is installed even where there is no network."""
    progress, status = Progress(), DONE
    for entry in sorted(absent, key=lambda e: not waiting_file(e.sha256, into).is_file()):
        if offline and not waiting_file(entry.sha256, into).is_file():
            status = WITHOUT
            continue
        try:
            pull(entry, into, sources, partial(progress.megabytes, bar_label(entry)), patience)
            progress.say(f"{in_short(entry)}: fetched and checked")
        except OutOfTime:
            progress.show("")
            return LATER
        except NoConnection as error:  # the others would keep us waiting as long
            progress.say(str(error).removeprefix(f"{entry.name}: "))
            status, offline = WITHOUT, True
        except DropsightError as error:
            progress.say(str(error))
            status = WITHOUT
    return status


def _fetch_only(absent: Sequence[CatalogEntry], into: Path, sources: Sequence[Source]) -> int:
    status = DONE
    for entry in absent:
        try:
            fetch(entry, into, sources)
            print(single(f"{in_short(entry)}: fetched; it is installed at the next start"))
        except DropsightError as error:
            print(single(str(error)))
            status = WITHOUT
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devtools.pull_pack", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the models are installed")
    parser.add_argument("names", nargs="+", metavar="NAME", help="as the catalog has them")
    parser.add_argument("--from", dest="source", metavar="DIR_OR_URL", help="in place of the catalog's addresses")
    parser.add_argument("--within", type=float, default=math.inf, metavar="S", help="seconds in all")
    parser.add_argument("--connect", type=float, default=30.0, metavar="S", help="seconds for a connection")
    parser.add_argument("--offline", action="store_true", help="only install what was fetched before")
    parser.add_argument("--wait", action="store_true", help="fetch, and leave it to the next start to install")
    return parser


if __name__ == "__main__":
    sys.exit(main())
