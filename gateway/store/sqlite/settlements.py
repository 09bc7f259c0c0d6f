"""Claims and how they end: leases and settlements."""

# ruff: noqa: S608 - what is put into statements are constants of this module and numbers of tables, never a caller's text

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.store.rows import AttemptRow, DeliveryRow, Settlement
from gateway.store.sqlite.attempts import AttemptWrites
from gateway.store.sqlite.deliveries import DEAD, DELIVERY_COLUMNS, DUE, ORDERED
from gateway.store.sqlite.forwarded import ForwardedWrites
from gateway.store.sqlite.session import json_list, pieces


class SettlementWrites(AttemptWrites, ForwardedWrites):
    """What lanes change."""

    def claim(
        self,
        lane: str,
        *,
        now_us: int,
        lease_until_us: int,
        events_max: int,
        bytes_max: int,
        mappings: Sequence[str] | None = None,
    ) -> list[DeliveryRow]:
        """Lease the longest due deliveries of one mapping of the lane, in id order, to be sent as one batch.

        The mapping is the one whose first is due the longest. First comes one delivery per person, then, while there is
        room, those that are due right behind them. At least one is given even if it is larger than bytes_max.
        """
        lane_id = self._text_id(lane)
        if lane_id is None:
            return []
        known = self._mappings_due(lane_id)
        if mappings is not None:
            known = [mapping for mapping in known if self._text(mapping) in mappings]
        earliest = self._earliest_due(lane_id, known)
        if earliest is None or earliest[0] > now_us:
            return []
        mapping = earliest[1]
        taken: dict[int, tuple[Any, ...]] = {}
        room = bytes_max
        for row in self._connection.execute(
            f"SELECT {DELIVERY_COLUMNS} FROM delivery INDEXED BY delivery_due "
            "WHERE state = 0 AND lane = ? AND mapping = ? AND due_us <= ? ORDER BY due_us, id LIMIT ?",
            (lane_id, mapping, now_us, events_max),
        ):
            room -= len(row[6])
            if taken and room < 0:
                break
            taken[row[0]] = row
        heads = [(row[4], identifier) for identifier, row in taken.items() if row[4]]
        for member, head in heads:
            if len(taken) >= events_max or room <= 0:
                break
            room = self._take_followers(lane_id, mapping, member, head, now_us, events_max, room, taken)
        claimed = sorted(taken)
        for piece in pieces(claimed):
            self._run(
                "UPDATE delivery SET state = 1, lease_us = ? WHERE id IN (SELECT value FROM json_each(?))",
                (lease_until_us, json_list(piece)),
            )
        return [
            msgspec.structs.replace(self._delivery_row(taken[identifier]), state="claimed") for identifier in claimed
        ]

    def _take_followers(
        self,
        lane: int,
        mapping: int,
        member: int,
        head: int,
        now_us: int,
        events_max: int,
        room: int,
        taken: dict[int, tuple[Any, ...]],
    ) -> int:
        """Take what a person has right behind the head, up to the first that is not due or of another mapping."""
        behind = self._connection.execute(
            f"SELECT {DELIVERY_COLUMNS} FROM delivery INDEXED BY delivery_order "
            f"WHERE lane = ? AND member = ? AND {ORDERED} AND id > ? ORDER BY id",
            (lane, member, head),
        )
        for row in behind:
            room -= len(row[6])
            if room < 0 or row[2] != mapping or row[9] > now_us or row[10] == 1 or len(taken) >= events_max:
                break
            taken[row[0]] = row
        behind.close()
        return room

    def settle(self, settlements: Sequence[Settlement], attempt: AttemptRow | None, *, now_us: int) -> None:
        """Leave claimed deliveries as told; keep the attempt. What is no longer claimed is left alone, save delivered ones."""
        owners = self._owners([settlement.id for settlement in settlements])
        gone = [settlement.id for settlement in settlements if settlement.settled in ("delivered", "closed")]
        self._note_forwarded([settlement.id for settlement in settlements if settlement.settled == "delivered"])
        for piece in pieces(gone):
            self._run("DELETE FROM delivery WHERE id IN (SELECT value FROM json_each(?))", (json_list(piece),))
        again = [settlement for settlement in settlements if settlement.settled in ("due", "dead")]
        self._run_many(
            "UPDATE delivery SET state = ?, due_us = ?, lease_us = 0, failures = failures + ?, reason = ?, status = ? "
            "WHERE id = ? AND state = 1",
            [
                (
                    DUE if settlement.settled == "due" else DEAD,
                    settlement.due_us if settlement.settled == "due" else now_us,
                    int(settlement.counts),
                    settlement.reason,
                    settlement.status,
                    settlement.id,
                )
                for settlement in again
            ],
        )
        self._park(settlement.id for settlement in again if settlement.settled == "due")
        left = {owners.get(settlement.id, (0, 0)) for settlement in settlements if settlement.settled != "due"}
        self._promote(sorted(owner for owner in left if owner[1]))
        if attempt is not None:
            self._add_attempt(attempt)

    def _owners(self, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """(lane, member) of deliveries that are there."""
        owners: dict[int, tuple[int, int]] = {}
        for piece in pieces(ids):
            for identifier, lane, member in self._connection.execute(
                "SELECT id, lane, member FROM delivery WHERE id IN (SELECT value FROM json_each(?))",
                (json_list(piece),),
            ):
                owners[identifier] = (lane, member)
        return owners

    def release(self, ids: Sequence[int]) -> None:
        """Give claimed deliveries back, due as they were, nothing counted."""
        for piece in pieces(ids):
            self._run(
                "UPDATE delivery SET state = 0, lease_us = 0 WHERE state = 1 AND id IN (SELECT value FROM json_each(?))",
                (json_list(piece),),
            )
        self._park(ids)

    def release_expired(self, *, now_us: int) -> int:
        """Give back every claim whose lease is over (all of them when now_us is large); return how many."""
        expired = [
            row[0]
            for row in self._rows(
                "SELECT id FROM delivery INDEXED BY delivery_claimed WHERE state = 1 AND lease_us <= ? ORDER BY id",
                (now_us,),
            )
        ]
        self.release(expired)
        return len(expired)
