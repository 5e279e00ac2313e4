"""python -m benchmarks [NAME...]: run all benchmarks, or those named, and print one table."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module

import benchmarks
from benchmarks import Row, machine
from inference.command_line import Parser
from inference.machine import peak_rss_mb

# These compare results, not times.
NOT_RATIOS = {"accuracy", "write_accuracy", "snapshot"}


def main() -> int:
    """Exit status 1 when a bar is not met."""
    modules = {m.name for m in pkgutil.iter_modules(benchmarks.__path__)}
    names = sorted(n for n in modules - NOT_RATIOS if not n.startswith("_"))
    parser = Parser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    chosen = parser.parse_args().names or names
    unknown = set(chosen) - set(names)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    rows: list[Row] = []
    for name in chosen:
        print(f"running {name} ...", file=sys.stderr, flush=True)
        rows += import_module(f"benchmarks.{name}").run()
    print_table(rows)
    print(f"\n{machine()}; peak memory of this process {peak_rss_mb()} MiB")
    return 1 if any(row.met is False for row in rows) else 0


def print_table(rows: list[Row]) -> None:
    """A Markdown table, so that it can be pasted as it is."""
    print("| what | measured | bar | met | note |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        met = {True: "yes", False: "NO", None: ""}[row.met]
        print(f"| {row.what} | {row.value} | {row.bar} | {met} | {row.note} |")


if __name__ == "__main__":
    sys.exit(main())
