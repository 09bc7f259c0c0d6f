"""Requests that were made, and which deliveries each of them carried."""

# ruff: noqa: S608 - what is put into statements are constants of this module and numbers of tables, never a caller's text

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from gateway.store.rows import AttemptRow
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.deliveries import DeliveryReads, DeliveryWrites

ATTEMPT_COLUMNS: Final = (
    "id, lane, mapping, started_us, duration_ms, outcome, status, first_delivery, deliveries, reason, request, answer, "
    "warnings"
)
SHELF_BITS: Final = 8
"""Deliveries are found by shelves of 256 numbers: a batch of neighbours stands on one or two of them, whatever its size."""

ATTEMPTS_ARE_SHELVED: Final = (
    """CREATE TABLE attempt_shelf (
        shelf INTEGER NOT NULL, attempt INTEGER NOT NULL, PRIMARY KEY (shelf, attempt)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX attempt_lane ON attempt (lane)",
)
"""Migration; `shelve_all` fills it."""

_NEAR: Final = (
    f"SELECT {ATTEMPT_COLUMNS} FROM attempt_shelf CROSS JOIN attempt ON attempt.id = attempt_shelf.attempt "
    "WHERE shelf = ? AND first_delivery <= ? AND last_delivery >= ? ORDER BY attempt DESC"
)
_SHELVED_AT_ONCE: Final = 10_000

_ids_encoder = msgspec.msgpack.Encoder()
_ids_decoder = msgspec.msgpack.Decoder(list[int])


class AttemptReads(DeliveryReads):
    """Questions about requests that were made."""

    def attempts(self, *, lane: str = "", before_id: int = 0, limit: int = 100) -> list[AttemptRow]:
        """Attempts, newest first."""
        condition, values = "true", list[object]()
        if lane:
            known = self._text_id(lane)
            if known is None:
                return []
            condition += " AND lane = ?"
            values.append(known)
        if before_id:
            condition += " AND id < ?"
            values.append(before_id)
        rows = self._rows(
            f"SELECT {ATTEMPT_COLUMNS} FROM attempt WHERE {condition} ORDER BY id DESC LIMIT ?", (*values, limit)
        )
        return [self._attempt_row(row) for row in rows]

    def attempts_of(self, delivery: int, *, limit: int = 100) -> list[AttemptRow]:
        """Attempts that carried a delivery, newest first."""
        found: list[AttemptRow] = []
        rows = self._connection.execute(_NEAR, (delivery >> SHELF_BITS, delivery, delivery))
        for row in rows:
            if delivery in _unpack_ids(row[7], row[8]):
                found.append(self._attempt_row(row))
                if len(found) >= limit:
                    break
        rows.close()
        return found

    def _attempt_row(self, row: Sequence[Any]) -> AttemptRow:
        return AttemptRow(
            row[0],
            self._text(row[1]),
            self._text(row[2]),
            row[3],
            row[4],
            self._text(row[5]),
            row[6],
            _unpack_ids(row[7], row[8]),
            row[9],
            row[10],
            row[11],
            tuple(row[12].split()),
        )


class AttemptWrites(AttemptReads, DeliveryWrites):
    """Kept when deliveries are settled, dropped when they have outlived their time."""

    def _add_attempt(self, attempt: AttemptRow) -> None:
        ids = sorted(attempt.deliveries)
        lane = self._intern(attempt.lane)
        self._meet_lanes([lane])
        number = attempt.id or self._take_ids("attempt", 1)
        self._run(
            "INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                lane,
                self._intern(attempt.mapping),
                attempt.started_us,
                attempt.duration_ms,
                self._intern(attempt.outcome),
                attempt.status,
                ids[0] if ids else 0,
                ids[-1] if ids else 0,
                _pack_ids(ids),
                attempt.reason,
                attempt.request,
                attempt.answer,
                " ".join(attempt.warnings),
            ),
        )
        self._run_many("INSERT OR IGNORE INTO attempt_shelf VALUES (?, ?)", _places(number, ids))

    def _drop_attempts(self, *, before_us: int, limit: int) -> int:
        """Delete attempts of before a moment; return how many.

        Ids rise with time, so the old ones are in front: nobody looks further than `limit` of them.
        """
        rows = self._rows(
            "SELECT id, first_delivery, deliveries FROM (SELECT id, started_us, first_delivery, deliveries FROM attempt "
            "ORDER BY id LIMIT ?) WHERE started_us < ?",
            (limit, before_us),
        )
        self._run_many(
            "DELETE FROM attempt_shelf WHERE shelf = ? AND attempt = ?",
            [place for row in rows for place in _places(row[0], _unpack_ids(row[1], row[2]))],
        )
        self._run_many("DELETE FROM attempt WHERE id = ?", [(row[0],) for row in rows])
        return len(rows)


def shelve_all(connection: driver.Connection) -> None:
    """Let the attempts that are there already be found by their deliveries; some thousands at a time are in memory."""
    rows = connection.execute("SELECT id, first_delivery, deliveries FROM attempt")
    while piece := rows.fetchmany(_SHELVED_AT_ONCE):
        connection.executemany(
            "INSERT OR IGNORE INTO attempt_shelf VALUES (?, ?)",
            [place for row in piece for place in _places(row[0], _unpack_ids(row[1], row[2]))],
        )


def _places(attempt: int, ids: Iterable[int]) -> list[tuple[int, int]]:
    return [(shelf, attempt) for shelf in dict.fromkeys(one >> SHELF_BITS for one in ids)]


def _pack_ids(ids: Sequence[int]) -> bytes:
    """Ascending ids after the first, as differences: a batch of neighbours takes a byte each."""
    return _ids_encoder.encode([later - earlier for earlier, later in pairwise(ids)])


def _unpack_ids(first: int, packed: bytes) -> tuple[int, ...]:
    if not first:
        return ()
    ids = [first]
    for step in _ids_decoder.decode(packed):
        ids.append(ids[-1] + step)
    return tuple(ids)
