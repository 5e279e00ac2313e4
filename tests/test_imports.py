"""Imports run one way and in no circle, those inside functions and those for types alone included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TREES = ("inference", "cloud", "localhost", "devtools", "training", "benchmarks")
# What a tree may import beside itself. `devtools` starts the app and asks it what is wrong, from outside.
MAY = {
    "inference": set(),
    "cloud": {"inference"},
    "localhost": set(),
    "function_app": {"cloud"},
    "devtools": {"cloud", "inference", "localhost"},
    "training": {"inference"},
    "benchmarks": {"cloud", "inference", "training", "devtools", "localhost"},
}
# The rooms of a tree, from the ground up, as docs/architecture.md shows them: a room imports from its own floor and
# from those below it. Modules beside the rooms serve all floors, so that only the search for circles holds them.
FLOORS = {
    "inference": (
        ("image",),
        ("heads",),
        ("engine", "recognize"),
        ("results",),
        ("draw",),
        ("tracking",),
        ("video",),
        ("cli",),
    ),
    "cloud": (
        ("storage",),
        ("index", "notify"),
        ("drift",),
        ("azureml",),
        ("models",),
        ("uploads",),
        ("videos",),
        ("web",),
        ("cli",),
    ),
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Every module of the project that is not a test, by its dotted name."""
    files = [ROOT / "function_app.py", *(path for tree in TREES for path in sorted((ROOT / tree).rglob("*.py")))]
    return {name_of(path): path for path in files}


@cache
def imports(name: str) -> frozenset[str]:
    """The project's own modules that this one imports, anywhere in its text."""
    path = modules()[name]
    tree = ast.parse(path.read_text("utf-8"))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return frozenset(m for node in ast.walk(tree) for m in named(node, package) if m in modules() and m != name)


def named(node: ast.AST, package: str) -> Iterator[str]:
    """The modules that one statement may mean."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        inner = [f"{base}.{alias.name}" for alias in node.names]
        yield from (module for module in inner if module in modules())
        if not all(module in modules() for module in inner):
            yield base


def circles() -> list[list[str]]:
    """The strongly connected parts of the import graph that hold more than one module (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    parts: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in imports(module):
            if other not in order:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == order[module]:
            part = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(part) > 1:
                parts.append(sorted(part))

    for module in modules():
        if module not in order:
            visit(module)
    return parts


@pytest.mark.slow
def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles() == []


@pytest.mark.slow
@pytest.mark.parametrize("tree", MAY)
def test_a_tree_imports_only_what_lies_below_it(tree: str) -> None:
    upward = {
        f"{module} -> {other}"
        for module in modules()
        if module.split(".")[0] == tree
        for other in imports(module)
        if other.split(".")[0] not in {tree, *MAY[tree]}
    }
    assert upward == set()


@pytest.mark.parametrize("tree", FLOORS)
def test_every_room_has_a_floor(tree: str) -> None:
    rooms = {path.relative_to(ROOT / tree).parts[0] for path in (ROOT / tree).glob("*/*.py")}
    assert rooms == {room for floor in FLOORS[tree] for room in floor}


@pytest.mark.parametrize("tree", FLOORS)
def test_a_room_imports_from_no_floor_above_its_own(tree: str) -> None:
    floors = {f"{tree}.{room}": number for number, rooms in enumerate(FLOORS[tree]) for room in rooms}
    rooms = {module: ".".join(module.split(".")[:2]) for module in modules()}
    upward = {
        f"{module} -> {other}"
        for module, room in rooms.items()
        if room in floors
        for other in imports(module)
        if floors.get(rooms[other], 0) > floors[room]
    }
    assert upward == set()
