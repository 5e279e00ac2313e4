"""Packages that only some features need: what is missing is named with the line that brings it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from inference.errors import MissingPackage

# module -> (what needs it, the file that brings it)
EXTRAS = {
    "cv2": ("optical flow (follow and camera_motion)", "requirements-flow.txt"),
    "duckdb": ("the lake", "requirements-lake.txt"),
}


def extra(module: str) -> Any:
    """The module, imported. Raises MissingPackage."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackage(how_to_get(module), f"package:{module}") from error


def installed(module: str) -> bool:
    """Whether it is there, without importing it."""
    return find_spec(module) is not None


def how_to_get(module: str) -> str:
    """What needs the package, and the line that installs it, as a sentence."""
    need, file = EXTRAS[module]
    return (
        f"{need} needs the package {module}, which is not installed: here .venv/bin/python -m pip install -r "
        f'{file}; in Azure add the line "-r {file}" to requirements.txt and deploy again. What waits for it runs then'
    )
