"""What a person does with deliveries that wait or are dead: tried now, brought back, dropped."""

# ruff: noqa: S608 - what is put into statements are constants of this module and numbers of tables, never a caller's text

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.store.sqlite.deliveries import ORDERED, DeliveryWrites
from gateway.store.sqlite.session import json_list, pieces

SPREAD_US: Final = 1_000_000
SQUEEZE: Final = 4_096
"""Waits of up to an hour become distances within the last second, so that what failed together stays together and in its
turn: batches are made of equal times."""
_BROUGHT: Final = f"min(?1, ?1 - {SPREAD_US} + (due_us - ?1) / {SQUEEZE})"


class RevivalWrites(DeliveryWrites):
    """Each call changes at most `limit` deliveries (and those that wait behind them); call again while it does."""

    def bring_forward(
        self,
        *,
        lane: str = "",
        mapping: str = "",
        ids: Sequence[int] = (),
        reason_like: str = "",
        now_us: int,
        limit: int = 10_000,
    ) -> int:
        """Make due now what waits for a later time, failures counted as before; return how many.

        What waits behind one of them, for its own next try, comes along.
        """
        if not (lane or mapping or ids or reason_like):
            raise ValueError("bring_forward needs at least one filter")
        found: list[tuple[int, int, int]] = []
        for lane_id, mapping_id in self._waiting_places(lane, mapping):
            found += self._waiting(lane_id, mapping_id, ids, reason_like, now_us, limit - len(found))
            if len(found) >= limit:
                break
        for piece in pieces([identifier for identifier, _lane, _member in found]):
            self._run(
                f"UPDATE delivery SET due_us = {_BROUGHT} WHERE state = 0 AND id IN (SELECT value FROM json_each(?2))",
                (now_us, json_list(piece)),
            )
        self._run_many(
            f"UPDATE delivery SET due_us = {_BROUGHT} WHERE id IN (SELECT id FROM delivery INDEXED BY delivery_order "
            f"WHERE lane = ?2 AND member = ?3 AND {ORDERED} AND state = 3 AND due_us > ?1)",
            [(now_us, lane_id, member) for _identifier, lane_id, member in found if member],
        )
        return len(found)

    def _waiting_places(self, lane: str, mapping: str) -> list[tuple[int, int]]:
        """(lane, mapping) with due deliveries, of those that are meant."""
        wanted = self._text_id(mapping) if mapping else None
        if mapping and wanted is None:
            return []
        lanes = [self._text_id(lane)] if lane else [row[0] for row in self._rows("SELECT lane FROM lane")]
        return [
            (one, other)
            for one in lanes
            if one is not None
            for other in self._mappings_due(one)
            if wanted is None or other == wanted
        ]

    def _waiting(
        self, lane: int, mapping: int, ids: Sequence[int], reason_like: str, now_us: int, limit: int
    ) -> list[tuple[int, int, int]]:
        """(id, lane, member) of due ones of a later time."""
        condition, values = (
            "state = 0 AND lane = ? AND mapping = ? AND due_us > ?",
            list[object]([lane, mapping, now_us]),
        )
        if ids:
            condition += " AND id IN (SELECT value FROM json_each(?))"
            values.append(json_list(ids))
        if reason_like:
            condition += " AND instr(lower(reason), lower(?)) > 0"
            values.append(reason_like)
        return [
            (row[0], row[1], row[2])
            for row in self._rows(
                f"SELECT id, lane, member FROM delivery INDEXED BY delivery_due WHERE {condition} LIMIT ?",
                (*values, limit),
            )
        ]

    def retry_dead(
        self,
        *,
        lane: str = "",
        mapping: str = "",
        ids: Sequence[int] = (),
        reason_like: str = "",
        now_us: int,
        limit: int = 10_000,
    ) -> int:
        """Make dead deliveries due again with no failures; return how many. reason_like: part of the reason's text."""
        if not (lane or mapping or ids or reason_like):
            raise ValueError("retry_dead needs at least one filter")
        condition, values = "state = 2 AND lane = ?", list[object]()
        if mapping:
            condition += " AND mapping = ?"
            values.append(self._text_id(mapping) or 0)
        if ids:
            condition += " AND id IN (SELECT value FROM json_each(?))"
            values.append(json_list(ids))
        if reason_like:
            condition += " AND instr(lower(reason), lower(?)) > 0"
            values.append(reason_like)
        source = "delivery NOT INDEXED" if ids else "delivery INDEXED BY delivery_dead_order"
        revived: list[tuple[int, int, int]] = []
        for one in [self._text_id(lane) or 0] if lane else self._lanes_met():
            revived += self._rows(
                f"SELECT lane, member, id FROM {source} WHERE {condition} ORDER BY id LIMIT ?",
                (one, *values, limit - len(revived)),
            )
        for piece in pieces([row[2] for row in revived]):
            self._run(
                "UPDATE delivery SET state = 0, due_us = ?, lease_us = 0, failures = 0 "
                "WHERE id IN (SELECT value FROM json_each(?))",
                (now_us, json_list(piece)),
            )
        self._park(row[2] for row in revived)
        self._park_next([(row[0], row[1], row[2]) for row in revived if row[1]])
        return len(revived)

    def drop_dead(self, *, ids: Sequence[int] = (), older_than_us: int = 0, limit: int = 10_000) -> int:
        """Delete dead deliveries by id, or those that died before the moment; return how many."""
        if ids:
            return self._run(
                "DELETE FROM delivery WHERE state = 2 AND id IN (SELECT value FROM json_each(?) LIMIT ?)",
                (json_list(ids), limit),
            )
        gone = 0
        for lane, mapping in self._dead_places():
            gone += self._run(
                "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery INDEXED BY delivery_dead "
                "WHERE state = 2 AND lane = ? AND mapping = ? AND due_us < ? LIMIT ?)",
                (lane, mapping, older_than_us, limit - gone),
            )
        return gone

    def _dead_places(self) -> list[tuple[int, int]]:
        """(lane, mapping) with dead deliveries, hopping from one to the next in the index."""
        found: list[tuple[int, int]] = []
        while True:
            row = self._row(
                "SELECT lane, mapping FROM delivery INDEXED BY delivery_dead WHERE state = 2 AND (lane, mapping) > (?, ?) "
                "ORDER BY lane, mapping LIMIT 1",
                found[-1] if found else (0, 0),
            )
            if row is None:
                return found
            found.append((row[0], row[1]))
