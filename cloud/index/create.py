"""Rows written in as few transactions as they fit into. What the service does not take stops no other upload: it is
written alone, and with nothing but its state where that is refused, too."""

from __future__ import annotations

import logging
from dataclasses import replace

from cloud.index.entry import Entry
from cloud.index.rows import Anchor, Note
from cloud.index.table import MOST_ROWS, Exists, UploadTable
from cloud.storage.paths import printable
from inference.errors import StorageRefused

log = logging.getLogger(__name__)


def create_all(table: UploadTable, notes: list[Note]) -> list[Note]:
    """Writes the rows of uploads that have none; returns those that have some already, whose rows stay as they are."""
    existing: list[Note] = []
    group: list[Note] = []
    rows = 0
    for note in [*notes, None]:
        more = len(note.rows) if note else 0
        if group and (note is None or rows + more > MOST_ROWS):
            existing += _created(table, group)
            group, rows = [], 0
        if note:
            group.append(note)
            rows += more
    return existing


def _created(table: UploadTable, group: list[Note]) -> list[Note]:
    existing: list[Note] = []
    left = list(group)
    while left:
        try:
            table.create(left)
            return existing
        except Exists as found:
            existing.append(left.pop(found.place))
        except StorageRefused as error:
            return existing + [note for note in left if not _created_alone(table, note, error)]
    return existing


def _created_alone(table: UploadTable, note: Note, error: StorageRefused) -> bool:
    """False where it has rows. error: of the group in which it was refused."""
    for wanted in (note, bare(note)):
        try:
            table.create([wanted])
            return True
        except Exists:
            return False
        except StorageRefused as refused:
            error = refused
    log.warning("%s", printable(f"index: {note.entry.name} is not listed: {error}"))
    return True


def replace_rows(table: UploadTable, old: Anchor | None, note: Note | None) -> bool:
    """Puts a note into the place of what is there; False where somebody was faster."""
    for wanted in (note, bare(note)) if note else (None,):
        try:
            if old is None and wanted is not None:
                table.create([wanted])
                return True
            return old is None or table.replace(old, wanted)
        except Exists:
            return False
        except StorageRefused:
            if wanted is not note or note is None:
                raise
    return False


def bare(note: Note) -> Note:
    """The same without all that is not needed to list it."""
    entry = note.entry
    kept = Entry(entry.name, entry.etag, entry.state, entry.created, entry.receipt, entry.written)
    return replace(note, entry=replace(kept, blurred=entry.blurred))
