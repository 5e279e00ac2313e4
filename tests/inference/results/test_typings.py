"""The published schema and types: current, open to members that later releases add, and saying all the same."""

from __future__ import annotations

import ast
import json
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema
import pytest

from inference.__main__ import main
from inference.results import document as ours
from inference.results.schema import schema

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = schema()
PLAIN: dict[str, Any] = {"string": "x", "integer": 1, "number": 0.5, "boolean": True, "null": None}


def sample(kind: Mapping[str, Any], depth: int = 0) -> Any:
    """A value with every member that a schema knows."""
    if "$ref" in kind:
        return sample(SCHEMA["$defs"][kind["$ref"].rpartition("/")[2]], depth + 1)
    if "const" in kind or "enum" in kind:
        return kind.get("const") or kind["enum"][0]
    if "anyOf" in kind:
        return sample(kind["anyOf"][0], depth)
    if isinstance(kind["type"], list):
        return PLAIN[kind["type"][0]]
    if kind["type"] == "array":
        return [sample(kind["items"], depth)]
    if kind["type"] != "object":
        return PLAIN[kind["type"]]
    if "properties" not in kind:
        return {"x": sample(kind["additionalProperties"], depth)}
    inner = {name: of for name, of in kind["properties"].items() if depth < 5 or name in kind["required"]}
    return {name: sample(of, depth) for name, of in inner.items()}


def tables(value: Any, kind: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(definition, table) of every table in a document whose members are defined."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        yield name, value
        for member, of in SCHEMA["$defs"][name]["properties"].items():
            yield from tables(value[member], of) if member in value else ()
    elif "anyOf" in kind:
        yield from tables(value, kind["anyOf"][0])
    elif kind.get("type") == "array":
        for item in value:
            yield from tables(item, kind["items"])
    elif kind.get("type") == "object":
        for item in value.values():
            yield from tables(item, kind["additionalProperties"])


def test_members_of_later_releases_are_allowed_at_every_level() -> None:
    reached = set()
    for root in [*SCHEMA["oneOf"], {"$ref": "#/$defs/frame"}]:
        check = jsonschema.Draft202012Validator({**root, "$defs": SCHEMA["$defs"]})
        document = sample(root)
        check.validate(document)
        for name, table in list(tables(document, root)):
            table["of_a_later_release"] = {"deep": [1, None]}
            reached.add(name)
        check.validate(document)
    assert reached == {*SCHEMA["$defs"]} - {"vector"}  # of the two things an attribute may be, the sample has the other
    assert '"additionalProperties": false' not in json.dumps(SCHEMA)


def test_a_new_kind_of_timeline_item_is_allowed_and_a_missing_member_is_not() -> None:
    check = jsonschema.Draft202012Validator(SCHEMA)
    document = sample(SCHEMA["oneOf"][0])
    document["timeline"][0]["kind"] = "eclipse"
    check.validate(document)
    del document["timeline"][0]["start_s"]
    with pytest.raises(jsonschema.ValidationError):
        check.validate(document)


@pytest.mark.parametrize(
    ("form", "file"),
    [("json", "result.schema.json"), ("python", "types/dropsight.py"), ("typescript", "types/dropsight.d.ts")],
)
def test_what_is_published_is_current(form: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--as", form]) == 0
    assert (ROOT / "docs" / file).read_text("utf-8") == capsys.readouterr().out, (
        f"write it anew: python -m inference schema --as {form} > docs/{file}"
    )


def test_the_types_for_python_need_nothing_of_ours_and_say_what_ours_say() -> None:
    path = ROOT / "docs/types/dropsight.py"
    tree = ast.parse(path.read_text("utf-8"))
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported == ["__future__", "typing"] and not any(isinstance(n, ast.Import) for n in ast.walk(tree))
    theirs = runpy.run_path(str(path))
    for name in SCHEMA["$defs"]:
        published, own = (of[f"{name.capitalize()}Doc"] for of in (theirs, vars(ours)))
        # Types by their text, as each module's own classes stand in them.
        words = [
            {k: re.sub(r"[\w.<>' ]*\.(\w+Doc)'?>?", r"\1", str(v)) for k, v in get_type_hints(of, space).items()}
            for of, space in ((published, theirs), (own, vars(ours)))
        ]
        assert words[0] == words[1] and published.__required_keys__ == own.__required_keys__, name


def test_the_types_for_typescript_have_every_member_of_the_schema() -> None:
    text = (ROOT / "docs/types/dropsight.d.ts").read_text("utf-8")
    code = re.sub(r"/\*\*.*?\*/|//[^\n]*", "", text, flags=re.S)
    interfaces = dict(re.findall(r"export interface (\w+) \{\n(.*?)^\}$", code, flags=re.S | re.M))
    assert {*interfaces} == {f"{name.capitalize()}Doc" for name in SCHEMA["$defs"]}
    for name, kind in SCHEMA["$defs"].items():
        members = re.findall(r"^  (\w+)(\??): (.+);$", interfaces[f"{name.capitalize()}Doc"], flags=re.M)
        expected = [(member, "" if member in kind["required"] else "?") for member in kind["properties"]]
        assert [(member, mark) for member, mark, _ in members] == expected
        used = {word for _, _, of in members for word in re.findall(r"\w+Doc", of)}
        assert used <= {*interfaces}
    left = re.sub(r"export interface \w+ \{\n.*?^\}$", "", code, flags=re.S | re.M)
    assert left.strip() == "export type Document = ResultDoc | ErrorDoc;"
