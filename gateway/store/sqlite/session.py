"""One connection in one transaction, and the names it knows: what every subject's questions and changes are built on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any

import msgspec

from gateway.store.sqlite.build import driver

MEMBERS_KNOWN_MAX = 100_000  # ids of people met lately, kept in memory
JSON_LIST_MAX = 10_000  # values handed to one statement
ROWS_AT_ONCE = 50  # of one INSERT: where a table has triggers, beginning a statement costs as much as half a row

_json = msgspec.json.Encoder()


class Names:
    """What one connection remembers of tables that only grow. After a rollback it may know too much: `forget` it."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.texts: dict[int, str] = {}
        self.members: dict[tuple[str, str], int] = {}
        self.audiences: dict[tuple[str, str], tuple[int, str, int, str]] = {}
        self.lanes_met: set[int] = set()
        self.syncs: dict[tuple[str, int], int] = {}
        self.event_settings: dict[int, bytes] = {}
        self.renderings: dict[int, str] = {}
        self.counters: dict[str, int] = {}
        self.windows: dict[str, list[int]] | None = None
        self.has_tombstones: bool | None = None

    def forget(self) -> None:
        """Know nothing; everything is read again when it is needed."""
        self.__init__()  # type: ignore[misc]  # the same object goes on, empty


class Session:
    """Questions and changes share these few ways to the tables."""

    def __init__(self, connection: driver.Connection, names: Names) -> None:
        self._connection = connection
        self._names = names

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def _row(self, sql: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        return row

    def _run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Rows changed."""
        return self._connection.execute(sql, values).rowcount

    def _run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        self._connection.executemany(sql, rows)

    def _put_many(self, insert: str, row: str, otherwise: str, rows: Sequence[Sequence[object]]) -> None:
        """Many rows by one kind of INSERT, in order. insert: up to VALUES; row: their places; otherwise: ON CONFLICT and so on."""
        whole = len(rows) - len(rows) % ROWS_AT_ONCE
        if whole:
            starts = range(0, whole, ROWS_AT_ONCE)
            self._run_many(
                _insert_of(insert, row, otherwise, ROWS_AT_ONCE),
                (tuple(chain.from_iterable(rows[start : start + ROWS_AT_ONCE])) for start in starts),
            )
        self._run_many(_insert_of(insert, row, otherwise, 1), rows[whole:])

    def _text(self, identifier: int) -> str:
        """The text behind an id."""
        text = self._names.texts.get(identifier)
        if text is None:
            row = self._row("SELECT text FROM text WHERE id = ?", (identifier,))
            assert row is not None, f"text {identifier} is not there"
            text = self._names.texts[identifier] = str(row[0])
            self._names.ids[text] = identifier
        return text

    def _text_id(self, text: str) -> int | None:
        """The id of a text met before."""
        known = self._names.ids.get(text)
        if known is None:
            row = self._row("SELECT id FROM text WHERE text = ?", (text,))
            if row is None:
                return None
            known = self._names.ids[text] = int(row[0])
            self._names.texts[known] = text
        return known

    def _intern(self, text: str) -> int:
        """The id of a text, made where missing."""
        known = self._names.ids.get(text)
        if known is None:
            known = self._text_id(text)
        if known is None:
            known = self._connection.execute("INSERT INTO text (text) VALUES (?)", (text,)).lastrowid or 0
            self._names.ids[text] = known
            self._names.texts[known] = text
        return known

    def _take_ids(self, counter: str, count: int) -> int:
        """The first of `count` consecutive ids that were never given before."""
        first = self._names.counters.get(counter)
        if first is None:
            row = self._row("SELECT next FROM counter WHERE name = ?", (counter,))
            first = 1 if row is None else int(row[0])
        self._run("INSERT OR REPLACE INTO counter (name, next) VALUES (?, ?)", (counter, first + count))
        self._names.counters[counter] = first + count
        return first


@cache  # a handful of statements of this package
def _insert_of(insert: str, row: str, otherwise: str, rows: int) -> str:
    return f"{insert} VALUES {', '.join([row] * rows)} {otherwise}"


def json_list(values: Iterable[int]) -> str:
    """Integers for `json_each(?)`: one statement instead of one per value."""
    return _json.encode(list(values)).decode()


def pieces(values: Sequence[int], size: int = JSON_LIST_MAX) -> Iterable[Sequence[int]]:
    """The values in pieces that one statement may take."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def member_key(space: str, canonical: str) -> bytes:
    """16-byte hash of a person: what a tombstone keeps, and whose first half the member index is keyed by."""
    return hashlib.blake2b(f"{space}\0{canonical}".encode(), digest_size=16).digest()


def member_hash(space: str, canonical: str) -> int:
    """The signed 64-bit half of `member_key`."""
    return int.from_bytes(member_key(space, canonical)[:8], "big", signed=True)
