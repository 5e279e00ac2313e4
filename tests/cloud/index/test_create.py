"""What the table does not take is listed all the same, and stops no other upload."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError

from cloud.index.create import create_all, replace_rows
from cloud.index.entry import Query
from cloud.index.rows import id_of
from cloud.index.table import UploadTable
from cloud.index.writer import IndexWriter
from tests.cloud.index.notes import note

ODD: dict[str, dict[str, Any]] = {
    "a score that is none": {"scores": {"a": float("nan"), "b": float("inf"), "c": 0.5}},
    "a long route": {"route": "r" * 40_000},
    "half a pair": {"route": "\ud800x", "scores": {"\ud800": 0.5}},
    "many names": {"tasks": tuple(map(str, range(300))), "models": tuple(map(str, range(300)))},
    "control characters": {"route": "\x00\x01\n", "scores": {"\x00": 0.5}, "message": "\x00" * 2_000},
    "long labels": {"scores": {"\U0001f642" * 20_000: 0.5, "c": 0.2}},
}


@pytest.mark.parametrize("what", ODD)
def test_odd_values_are_listed(table: UploadTable, what: str) -> None:
    table.ensure()
    odd = note("odd.jpg", 1, **ODD[what])
    assert all(len(row) <= 252 for row in odd.rows)
    assert create_all(table, [note("a.jpg", 2), odd, note("b.jpg", 0)]) == []
    assert [one.name for one in table.page(Query()).entries] == ["a.jpg", "odd.jpg", "b.jpg"]
    labels = ODD[what].get("scores", {})
    assert len(table.page(Query(label="c")).entries) == ("c" in labels)


def test_what_is_refused_is_listed_with_its_state_alone(table: UploadTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.index.rows._MOST_ROUTE", 100_000)
    table.ensure()
    refused = note("odd.jpg", 1, state="failed", route="r" * 40_000, scores={"a": 0.5})
    assert create_all(table, [note("a.jpg", 2), refused, note("b.jpg", 0)]) == []
    assert [one.name for one in table.page(Query()).entries] == ["a.jpg", "odd.jpg", "b.jpg"]
    assert [one.name for one in table.page(Query(state="failed")).entries] == ["odd.jpg"]
    old = table.anchor(id_of("a.jpg"))
    assert replace_rows(table, old, note("a.jpg", 2, route="r" * 40_000, receipt="0x9"))
    assert table.page(Query()).entries[0].receipt == "0x9"


def test_rows_whose_answer_was_lost_are_there_and_settled(table: UploadTable, monkeypatch: pytest.MonkeyPatch) -> None:
    table.ensure()
    inner: Any = table._client._client
    send, lost = inner.send_request, list[Any]()

    def losing(*args: Any, **options: Any) -> Any:
        answer = send(*args, **options)
        if not lost:
            lost.append(answer)
            raise ServiceResponseError("connection reset")
        return answer

    monkeypatch.setattr(inner, "send_request", losing)
    notes = [note("a.jpg", 1), note("b.jpg", 2)]
    writer = IndexWriter(lambda: table, lambda name, _: next(one for one in notes if one.entry.name == name), 60)
    for one in notes:
        writer.note(one)
    assert writer.flush()
    assert lost and [one.name for one in table.page(Query()).entries] == ["b.jpg", "a.jpg"]
    assert not writer._is_troubled
