"""The values of an entry's tables, checked while the file is read: what is wrong in them must not wait for a slot.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cloud.azureml.types import LITERALS

_FILES = ("uri_folder", "uri_file")
_ASSETS = (*_FILES, "mltable", "custom_model", "mlflow_model", "triton_model")
_INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_tables(table: Mapping[str, Any]) -> None:
    """Raise ValueError for the first value of an entry's tables that could not be sent."""
    for key in ("parameters", "tags"):
        for name, value in table.get(key, {}).items():
            if not isinstance(value, str | int | float):
                raise ValueError(f"{key}.{name} is {value!r}; it must be a text, a number, true or false")
    for name, value in table.get("data_paths", {}).items():
        if not isinstance(value, str) or not value.removeprefix("azureml://datastores/").partition("/")[0]:
            raise ValueError(
                f"data_paths.{name} is {value!r}; write it as azureml://datastores/workspaceblobstore/paths/images/"
            )
    batch = table.get("kind") == "batch-endpoint"
    for name, value in table.get("inputs", {}).items():
        _check_input(f"inputs.{name}", name, value, _FILES if batch else _ASSETS)
    for name, value in table.get("outputs", {}).items():
        if not isinstance(value, Mapping):
            raise ValueError(f'outputs.{name} is {value!r}; write {{ type = "uri_folder", path = "azureml://..." }}')
        _check_place(f"outputs.{name}", value, _FILES)
    component = table.get("component", "")
    if component and "{" not in component and not re.fullmatch(r"(azureml:)?[^:@/]+(:[^:@]+|@latest)", component):
        raise ValueError(f"component is {component!r}; write name:version or name@latest")


def _check_input(where: str, name: str, value: object, kinds: tuple[str, ...]) -> None:
    if not _INPUT_NAME.fullmatch(name):
        raise ValueError(f"{where}: an input's name has letters, digits and underscores only")
    if isinstance(value, str | int | float):
        return
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {value!r}; it must be a text, a number, true, false or a table with a path")
    if value.get("type") in LITERALS:
        if not isinstance(value.get("value"), str | int | float):
            raise ValueError(f"{where} is {dict(value)!r}; a {value['type']} needs a value")
        return
    _check_place(where, value, kinds)


def _check_place(where: str, value: Mapping[str, Any], kinds: tuple[str, ...]) -> None:
    kind, path = value.get("type", kinds[0]), value.get("path")
    if kind not in kinds:
        raise ValueError(f"{where} has the type {kind!r}; it must be one of {', '.join(kinds)}")
    if not isinstance(path, str) or not path:
        raise ValueError(f'{where} needs a path, as in path = "azureml://datastores/NAME/paths/FOLDER/"')
