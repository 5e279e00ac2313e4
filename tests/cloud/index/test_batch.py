"""Transactions that are put together here are those that the client would send."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.index.batch import RowExists, create_rows
from cloud.index.table import UploadTable
from tests.cloud.helpers import Calls

ROW: dict[str, Any] = {
    "PartitionKey": "uploads", "RowKey": "u|1", "text": "stra\u00dfe \"\u20ac\"\r\n--batch", "whole": 1.0, "part": 0.25,
    "yes": True, "no": False, "empty": "",
}  # fmt: skip


def test_rows_come_back_as_those_do_that_the_client_writes(table: UploadTable) -> None:
    table.ensure()
    assert create_rows(table._client, [ROW, {**ROW, "RowKey": "u|2"}])
    table._client.submit_transaction([("create", {**ROW, "RowKey": "u|3"})])
    ours, others, theirs = (dict(row) for row in table._rows("PartitionKey eq 'uploads'"))
    assert ours == ROW and others == {**ours, "RowKey": "u|2"} and theirs == {**ours, "RowKey": "u|3"}
    assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in theirs.items()}


def test_a_row_that_exists_is_named_and_no_other_is_created(table: UploadTable) -> None:
    table.ensure()
    assert create_rows(table._client, [{**ROW, "RowKey": f"u|{number}"} for number in range(40)])
    with pytest.raises(RowExists) as found:
        create_rows(table._client, [{**ROW, "RowKey": f"u|{number}"} for number in range(80, 19, -1)])
    assert found.value.place == 41
    assert len(list(table._rows("PartitionKey eq 'uploads'"))) == 40


def test_any_other_answer_is_left_to_the_client(table: UploadTable, calls: Calls) -> None:
    assert not create_rows(table._client, [ROW])  # there is no table
    table.ensure()
    begun = len(calls)
    assert not create_rows(table._client, [ROW, ROW]) and len(calls) - begun == 1
    assert list(table._rows("PartitionKey eq 'uploads'")) == []
