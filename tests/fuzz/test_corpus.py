"""What is kept of the fuzzing is replayed, and its documents with every value replaced by what nobody expects there."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest

from cloud.azureml.workspace_caller import _error_of, _service_message
from cloud.models.leaving import noted
from cloud.storage.paths import requested_path
from cloud.videos.jobs import BrokenPlan, Jobs
from cloud.videos.messages import Message
from cloud.web.api_router import answer_api
from inference.results.strict_json import json_bytes
from inference.tables import text_of, to_toml
from tests.fuzz.targets import TARGETS, OneBlob

CORPUS = Path(__file__).parent / "corpus"
KEPT = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.glob("*/*"))
DEEP: list[Any] = []
for _ in range(900):
    DEEP = [DEEP]
UNEXPECTED: tuple[Any, ...] = (
    None, True, 0, -1, 1e300, float("nan"), 10**400, "", "y" * 300, "\0\ud800", [], {}, [[None]], {"a": None}, DEEP,
)  # fmt: skip


def test_every_target_has_something_kept() -> None:
    assert {name.split("/")[0] for name in KEPT} == set(TARGETS)


@pytest.mark.parametrize("kept", KEPT)
def test_what_is_kept_ends_as_its_boundary_says(kept: str) -> None:
    TARGETS[kept.split("/")[0]]((CORPUS / kept).read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("kept", KEPT)
def test_no_value_is_taken_for_granted(kept: str) -> None:
    """Numbers of thousands of digits, lists for tables, nothing at all."""
    target, content = TARGETS[kept.split("/")[0]], (CORPUS / kept).read_bytes()
    head, body = (
        content.split(b"\n", 1) if kept.startswith(("manifest/", "recogniser/", "envelope/")) else (b"", content)
    )
    for document, write in _readings(body):
        for changed in _changed(document):
            try:
                text = write(changed)
            except (AttributeError, TypeError, ValueError, RecursionError):  # the format cannot say it
                continue
            for size in (text, text.replace("1" + "0" * 400, "1" * 5000)):
                data = size.encode("utf-8", "surrogatepass")
                try:
                    target(head + b"\n" + data if head else data)
                except Exception as error:
                    error.add_note(f"{kept}: {data[:400]!r}")
                    raise


def _readings(body: bytes) -> Iterator[tuple[Any, Any]]:
    """(document, how it is written) for each format that the content has."""
    text = body.decode("utf-8", "replace")
    for read, write in ((json.loads, json.dumps), (tomllib.loads, to_toml), (ast.literal_eval, repr)):
        try:
            document = read(text)
        except (ValueError, SyntaxError, TypeError):
            continue
        if isinstance(document, dict | list):
            yield document, write
            return


def _changed(document: Any) -> Iterator[Any]:
    """The document with another value in each place, and as a whole."""
    yield from UNEXPECTED
    places = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(places):
        others = _changed(value) if isinstance(value, dict | list) else iter(UNEXPECTED)
        for other in others:
            copy = document.copy()
            copy[key] = other
            yield copy


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        json.dumps({"job": "0" * 24, "stage": "detect", "part": -1}),
        json.dumps({"job": "0" * 24, "stage": "detect", "part": True}),
        json.dumps({"job": "0" * 24, "stage": "detect", "part": 10**12}),
    ],
)
def test_what_no_part_of_a_job_can_be_is_no_message(content: str) -> None:
    with pytest.raises(ValueError):
        Message.parse(content)


@pytest.mark.parametrize("until", ["1" + "0" * 400, "[" * 100_000, "{}", '"soon"'])
def test_a_note_of_a_model_that_has_left_stops_no_other(until: str) -> None:
    assert noted(OneBlob(f'{{"until": {until}}}'.encode(), name="leaving/a.json")) == {}


def test_halves_of_pairs_are_written_as_json_has_them() -> None:
    assert json_bytes({"name": "\ud800 ü 😀"}) == b'{"name":"\\ud800 \xc3\xbc \xf0\x9f\x98\x80"}'
    with pytest.raises(BrokenPlan):
        plan = json.loads((CORPUS / "job/running").read_bytes())
        Jobs(OneBlob(json.dumps({**plan, "name": "\ud800"}).encode())).read("0" * 24)


def test_ends_of_lines_are_found_in_one_pass() -> None:
    """A run of a million \\r took hours."""
    assert text_of(b"a\r\r\nb\rc\r\n" + b"\r" * 1_000_000) == "a\nb\nc\n" + "\n" * 1_000_000


def test_what_is_no_text_is_a_bad_request_and_no_path() -> None:
    assert requested_path("a/\ud800") is None
    for params in ({"name": "\ud800"}, {"route": "a\udfff"}):
        request = func.HttpRequest("POST", "http://app/api/v1/analyze", params=params, body=b"")
        answer = answer_api(request, "POST", "v1/analyze", frozenset({"contribute"}))
        assert (answer.status_code, json.loads(answer.get_body())["error"]["class"]) == (400, "BadRequest")


def test_an_answer_of_the_workspace_that_is_nested_without_end_is_none_of_its_own() -> None:
    nested = SimpleNamespace(text=lambda: "[" * 100_000, reason="", headers={}, status_code=400)
    assert not _error_of(nested) and "in no words of the service" in _service_message(nested)
