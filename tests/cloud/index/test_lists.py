"""What lists and searches of the table answer, against the same question asked of all entries."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from cloud.index import paging
from cloud.index.create import create_all
from cloud.index.cursor import Place, StreamPlace, Token, place_of
from cloud.index.entry import Entry, Query
from cloud.index.filters import Stream, quoted
from cloud.index.rows import entry_of, item_of
from cloud.index.table import UploadTable
from inference.errors import BadRequest
from tests.cloud.index.notes import entry, moment, note

NOTES = [
    note("street/1.jpg", 1, route="cars", tasks=("object-detection",), models=("yolox",), scores={"Car": 0.9}),
    note("street/2.jpg", 2, route="cars", tasks=("object-detection",), models=("yolox",), scores={"car": 0.4}),
    note("street's/3 'x'.jpg", 3, route="cars", scores={"car": 0.7, "dog": 0.95}, state="partial"),
    note("straße/ü\u20ac.jpg", 4, route="it's", tasks=("image-classification",), models=("m/1 ü",)),
    note("street/5.jpg", 5, state="failed", error_class="CorruptMedia", message="no picture"),
    note("6.jpg", 6, state="waiting", message="it waits"),
    note("street/7.jpg", 7, state="failed"),
    note("8.jpg", 8, scores={f"label {n}": 0.99 - n / 100 for n in range(20)} | {"car": 0.5}),
    note("9.jpg", 8, scores={"car": 0.2}),  # of the same moment as another
]


@pytest.fixture
def filled(table: UploadTable) -> UploadTable:
    table.ensure()
    assert create_all(table, NOTES) == []
    return table


def names(table: UploadTable, query: Query, size: int = 60) -> list[str]:
    """Over all pages."""
    found, cursor = list[Entry](), None
    for _ in count():
        page = table.page(query, cursor, size)
        found += page.entries
        assert len(page.entries) <= size and page.unfiltered == ()
        if page.next is None:
            return [one.name for one in found]
        assert len(page.entries) == size
        cursor = page.next
    raise AssertionError


QUERIES: list[dict[str, Any]] = [
    {},
    {"folder": "street/"},
    {"folder": "street's/"},
    {"folder": "straße/"},
    {"state": "failed"},
    {"state": "failed", "folder": "street/", "since": moment(6)},
    {"state": "done"},
    {"state": "partial"},
    {"state": "working"},
    {"route": "cars"},
    {"route": "it's"},
    {"task": "object-detection"},
    {"model": "m/1 ü"},
    {"label": "CAR"},
    {"label": "car", "min_score": 0.5},
    {"label": "car", "state": "partial"},
    {"label": "car", "folder": "street/", "model": "yolox", "since": moment(2)},
    {"label": "label 19", "min_score": 0.8},
    {"label": "label 19", "min_score": 0.7},
    {"label": "label 3"},
    {"label": "nothing"},
    {"min_score": 0.9},
    {"since": moment(2), "until": moment(5)},
    {"until": moment(1)},
]


def expected(query: Query) -> set[str]:
    def fits(one: Entry) -> bool:
        scores = {label.casefold(): score for label, score in one.scores.items()}
        best = scores.get(query.label.casefold(), -1.0) if query.label else max(scores.values(), default=-1.0)
        return (
            one.name.startswith(query.folder)
            and query.state in (None, one.state)
            and query.route in ("", one.route)
            and (not query.task or query.task in one.tasks)
            and (not query.model or query.model in one.models)
            and (not query.label or best >= 0)
            and (query.min_score is None or best >= query.min_score)
            and (query.since is None or one.created >= query.since)
            and (query.until is None or one.created < query.until)
        )

    return {noted.entry.name for noted in NOTES if fits(noted.entry)}


@pytest.mark.parametrize("asked", QUERIES, ids=str)
def test_every_filter_gives_what_it_says_the_newest_first_on_pages_of_any_size(
    filled: UploadTable, asked: dict[str, Any]
) -> None:
    query = Query(**asked)
    found = names(filled, query)
    assert set(found) == expected(query) and len(found) == len(set(found))
    created = {noted.entry.name: noted.entry.created for noted in NOTES}
    assert [created[name] for name in found] == sorted((created[name] for name in found), reverse=True)
    assert names(filled, query, 1) == names(filled, query, 2) == found


def test_an_entry_comes_back_as_it_went_in(filled: UploadTable) -> None:
    by_name = {noted.entry.name: noted.entry for noted in NOTES}
    assert {one.name: one for one in filled.page(Query()).entries} == by_name


class Scanning(UploadTable):
    """As the service looks through a partition: two rows a request, of which it gives those that fit, if any."""

    requests = 0

    def _request(self, stream: Stream, token: Token | None, most: int) -> tuple[list[Any], Token | None]:
        self.requests += 1
        within = " and ".join(stream.filter.split(" and ")[:3])  # the keys
        seen, following = super()._request(Stream(within), token, min(most, 2))
        if not seen:
            return [], following
        low, high = (quoted(str(seen[place]["RowKey"])) for place in (0, -1))
        fits = Stream(f"{stream.filter} and RowKey ge {low} and RowKey le {high}")
        return super()._request(fits, None, 2)[0], following


@pytest.mark.parametrize(("requests", "size"), [(1, 1), (1, 4), (3, 4)])
@pytest.mark.parametrize("asked", QUERIES, ids=str)
def test_a_page_ends_after_some_requests_and_the_next_goes_on_behind_what_was_looked_at(
    filled: UploadTable, asked: dict[str, Any], size: int, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "MOST_REQUESTS", requests)
    table, query = Scanning(filled.service, filled.name), Query(**asked)
    found, cursor = list[str](), None
    for _ in range(60):
        before = table.requests
        page = table.page(query, cursor, size)
        found += [one.name for one in page.entries]
        assert len(page.entries) <= size and table.requests - before <= max(requests, 2 if query.label else 1)
        if page.next is None:
            break
        assert page.next != cursor
        cursor = page.next
    assert page.next is None
    assert found == names(filled, query)


def test_a_page_whose_time_is_over_is_what_was_found_so_far(
    filled: UploadTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SECONDS", -1.0)
    table = Scanning(filled.service, filled.name)
    page = table.page(Query(folder="straße/"))
    assert table.requests == 1 and page.entries == [] and page.next


def test_a_cursor_comes_back_as_it_went_out() -> None:
    order = "9999999999999|" + "0" * 24
    for place in (
        Place(order),
        Place("", (StreamPlace(("uploads", "1!8!dXxh")),)),
        Place(order, (StreamPlace(is_over=True), StreamPlace(("p", "ü' or 1")))),
    ):
        assert place_of(place.text) == place
    assert place_of(None) == Place()


@pytest.mark.parametrize(
    "cursor",
    [".W10=", ".x.x.x", ".bm8=", "." + "a" * 1001, ".WzEsMl0=", "x", "", "0-0", "9' or '1", "1" * 13 + "-" + "g" * 24],
)
def test_what_is_no_cursor_is_refused(filled: UploadTable, cursor: str) -> None:
    with pytest.raises(BadRequest, match="cursor"):
        filled.page(Query(label="car"), cursor)


def test_without_a_table_the_list_is_empty(table: UploadTable) -> None:
    assert table.page(Query(label="car")).entries == [] and table.anchor("0" * 24) is None


def test_an_entry_with_more_than_a_property_holds_is_cut_and_keeps_the_best() -> None:
    many = {f"{number} {'x' * 150}": number / 10_000 for number in range(5_000)}
    cut = entry_of(item_of(entry(scores=many, objects=dict.fromkeys(many, 1), message="m" * 50_000)))
    assert len(item_of(cut)) < 32_000 and max(cut.scores.values()) == max(many.values())
    assert (cut.name, cut.created) == ("a.jpg", entry().created)
    assert entry_of(item_of(entry(share=0.0))).share == 0.0
