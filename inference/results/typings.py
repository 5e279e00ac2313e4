"""The types of the result document for programs that read it, made from its JSON Schema: Python and TypeScript."""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from inference.results.schema import schema

_WIDTH = 120
_NOTE = "Types of the Dropsight result document, made by `python -m inference schema --as {}`; not to be edited."
_PYTHON = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_TYPESCRIPT = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}

Schema = Mapping[str, Any]


def python() -> str:
    """A module of TypedDicts; it needs Python 3.11 and no package."""
    document = schema()
    parts = [
        f'"""{_NOTE.format("python")}"""\n\nfrom __future__ import annotations\n\n'
        "from typing import Literal, NotRequired, TypedDict\n",
        *(_python_class(name, kind) for name, kind in document["$defs"].items()),
        f"Document = {_python_type(document)}\n",
    ]
    return "\n\n".join(parts)


def typescript() -> str:
    """A declaration file of interfaces."""
    document = schema()
    parts = [f"// {_NOTE.format('typescript')}\n"]
    parts += [_interface(name, kind) for name, kind in document["$defs"].items()]
    return "\n".join([*parts, f"export type Document = {_typescript_type(document)};\n"])


def _python_class(name: str, kind: Schema) -> str:
    members = list(_members(kind))
    if any(keyword.iskeyword(member) for member, _, _ in members):
        rows = ", ".join(f'"{member}": {_python_member(of, needed)}' for member, of, needed in members)
        return f'{_title(name)} = TypedDict("{_title(name)}", {{{rows}}})\n'
    rows = "".join(f"    {member}: {_python_member(of, needed)}\n" for member, of, needed in members)
    comment = textwrap.fill(f'"""{kind.get("description", name)}', _WIDTH - 7, subsequent_indent="    ")
    return f'class {_title(name)}(TypedDict):\n    {comment}"""\n\n{rows}'


def _python_member(kind: Schema, needed: bool) -> str:
    return _python_type(kind) if needed else f"NotRequired[{_python_type(kind)}]"


def _python_type(kind: Schema) -> str:
    if choices := _choices(kind):
        return " | ".join(map(_python_type, choices))
    if values := _values(kind):
        return f"Literal[{', '.join(values)}]"
    if kind.get("type") == "array":
        return f"list[{_python_type(kind['items'])}]"
    if kind.get("type") == "object":
        return f"dict[str, {_python_type(kind['additionalProperties'])}]"
    return _title(kind["$ref"]) if "$ref" in kind else _PYTHON[kind["type"]]


def _interface(name: str, kind: Schema) -> str:
    lines = textwrap.wrap(kind.get("description", name), _WIDTH - 3)
    comment = "".join(f" * {line}\n" for line in lines)
    members = _members(kind)
    rows = "".join(f"  {member}{'' if needed else '?'}: {_typescript_type(of)};\n" for member, of, needed in members)
    return f"/**\n{comment} */\nexport interface {_title(name)} {{\n{rows}}}\n"


def _typescript_type(kind: Schema) -> str:
    if choices := _choices(kind):
        return " | ".join(map(_typescript_type, choices))
    if values := _values(kind):
        return " | ".join(values)
    if kind.get("type") == "array":
        return f"Array<{_typescript_type(kind['items'])}>"
    if kind.get("type") == "object":
        return f"Record<string, {_typescript_type(kind['additionalProperties'])}>"
    return _title(kind["$ref"]) if "$ref" in kind else _TYPESCRIPT[kind["type"]]


def _members(kind: Schema) -> Iterator[tuple[str, Schema, bool]]:
    """(name, schema, whether it is always there) of a definition's members."""
    for name, of in kind["properties"].items():
        yield name, of, name in kind["required"]


def _choices(kind: Schema) -> list[Schema]:
    """The alternatives of a schema, none where it is a single type."""
    if isinstance(kind.get("type"), list):
        return [{"type": plain} for plain in kind["type"]]
    choices: list[Schema] = kind.get("oneOf") or kind.get("anyOf") or []
    return choices


def _values(kind: Schema) -> list[str]:
    """The words that a text may be, quoted."""
    return [f'"{value}"' for value in kind.get("enum", [kind["const"]] if "const" in kind else [])]


def _title(name: str) -> str:
    """As the classes of document.py are called: "#/$defs/source" is SourceDoc."""
    return f"{name.rpartition('/')[2].capitalize()}Doc"
