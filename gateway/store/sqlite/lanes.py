"""Standing of lanes, the cursors, small notes, and pruning."""

# ruff: noqa: S608 - what is put into statements are constants of this module and numbers of tables, never a caller's text

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.store.rows import LaneRow
from gateway.store.sqlite.deliveries import DeliveryReads
from gateway.store.sqlite.places import writer_of
from gateway.store.sqlite.session import Session

_LANE = "lane, paused, hold, hold_reason, held_us, breaker, breaker_us, failing_since_us"


class LaneReads(DeliveryReads):
    """Questions about lanes."""

    def lanes(self) -> list[LaneRow]:
        """Standing and counts of every lane ever met, by name."""
        return sorted(map(self._lane_row, self._rows(f"SELECT {_LANE} FROM lane")), key=lambda row: row.lane)

    def lane(self, lane: str) -> LaneRow:
        """Standing of one lane; a fresh one when it was never met."""
        known = self._text_id(lane)
        row = None if known is None else self._row(f"SELECT {_LANE} FROM lane WHERE lane = ?", (known,))
        return LaneRow(lane=lane) if row is None else self._lane_row(row)

    def _lane_row(self, row: Sequence[Any]) -> LaneRow:
        lane, paused, hold, hold_reason, held_us, breaker, breaker_us, failing_since_us = row
        counts = self._row(
            "SELECT (SELECT count(*) FROM delivery INDEXED BY delivery_due WHERE state = 0 AND lane = ?1), "
            "(SELECT count(*) FROM delivery INDEXED BY delivery_parked WHERE state = 3 AND lane = ?1), "
            "(SELECT count(*) FROM delivery INDEXED BY delivery_claimed WHERE state = 1 AND lane = ?1), "
            "(SELECT count(*) FROM delivery INDEXED BY delivery_dead WHERE state = 2 AND lane = ?1)",
            (lane,),
        )
        assert counts is not None
        earliest = self._earliest_due(lane, self._mappings_due(lane))
        return LaneRow(
            lane=self._text(lane),
            paused=paused == 1,
            hold=hold,
            hold_reason=hold_reason,
            held_us=held_us,
            breaker=breaker,
            breaker_us=breaker_us,
            failing_since_us=failing_since_us,
            due=counts[0] + counts[1],
            claimed=counts[2],
            dead=counts[3],
            oldest_due_us=earliest[0] if earliest else 0,
        )


class LaneWrites(LaneReads):
    """What the operator and the lanes themselves change."""

    def save_lane(self, row: LaneRow) -> None:
        """Keep pause, hold and breaker of a lane (counts are not written)."""
        self._run(
            f"INSERT OR REPLACE INTO lane ({_LANE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._intern(row.lane),
                int(row.paused),
                row.hold,
                row.hold_reason,
                row.held_us,
                row.breaker,
                row.breaker_us,
                row.failing_since_us,
            ),
        )


class PositionReads(Session):
    """Where the engine is, and what it noted."""

    def cursor(self) -> tuple[int, int]:
        """(inbox file, frame) of writer 0 up to which everything is decided; (0, 0) at first."""
        return self.cursors().get(0, (0, 0))

    def cursors(self) -> dict[int, tuple[int, int]]:
        """Cursor of every writer whose inbox was read, by writer."""
        return {row[0]: (row[1], row[2]) for row in self._rows("SELECT writer, inbox, frame FROM cursor")}

    def note(self, key: str) -> bytes | None:
        """A small value kept by key."""
        row = self._row("SELECT value FROM note WHERE key = ?", (key,))
        return None if row is None else row[0]


class PositionWrites(PositionReads):
    """What the engine remembers for itself."""

    def move_cursor(self, inbox: int, frame: int) -> None:
        """Remember how far the inbox of that file's writer is decided."""
        self._run("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", (writer_of(inbox), inbox, frame))

    def put_note(self, key: str, value: bytes) -> None:
        """Keep a small value by key."""
        self._run("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))

    def _drop_debug_notes(self) -> None:
        """Delete what destinations keep for debugging: it holds requests as they were sent, and so may name anybody."""
        self._run("DELETE FROM note WHERE key GLOB 'destination/*/debug/*'")
