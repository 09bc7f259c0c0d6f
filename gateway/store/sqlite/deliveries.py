"""Deliveries: stored by the engine, claimed and settled by lanes, kept in order per person.

Of the unsettled deliveries of one (lane, member), in order of id, the first is `due` or `claimed` and those behind it are
`parked`, save that a claim takes followers along. So the index of due ones holds nothing that is blocked, and a claim reads
only what it takes, however long the queue and however many people wait behind a retry. Parked ones count as due outside.
"""

# ruff: noqa: S608 - what is put into statements are constants of this module and numbers of tables, never a caller's text

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.store.rows import DeliveryRow, DeliveryState, NewDelivery
from gateway.store.sqlite.places import pack_place, unpack_place
from gateway.store.sqlite.session import Session, json_list, pieces

DEAD_ARE_FOUND: Final = (
    # In the order in which they came, so that a person's are brought back in it; and of a person who is deleted.
    "CREATE INDEX delivery_dead_order ON delivery (lane) WHERE state = 2",
    "CREATE INDEX delivery_dead_person ON delivery (lane, member) WHERE state = 2",
)
"""Migration."""

DUE: Final = 0
CLAIMED: Final = 1
DEAD: Final = 2
PARKED: Final = 3  # behind an earlier unsettled one of the same lane and member

_STATES: dict[int, DeliveryState] = {DUE: "due", CLAIMED: "claimed", DEAD: "dead", PARKED: "due"}
ORDERED = "state <> 2 AND member <> 0"  # what index delivery_order holds; repeated literally so that it is used
DELIVERY_COLUMNS = (
    "id, lane, mapping, audience, member, operation, payload, place, event_at_us, due_us, state, failures, created_us, reason, "
    "status, audience_settings, run"
)


class DeliveryReads(Session):
    """Questions about what is owed."""

    def deliveries(
        self, *, lane: str = "", mapping: str = "", state: str = "", after_id: int = 0, limit: int = 100
    ) -> list[DeliveryRow]:
        """Unsettled or dead deliveries by id, filtered."""
        condition, values = "id > ?", list[object]([after_id])
        for column, text in (("lane", lane), ("mapping", mapping)):
            if text:
                known = self._text_id(text)
                if known is None:
                    return []
                condition += f" AND {column} = ?"
                values.append(known)
        # The dead and the few claimed ones are found by their index; the others are nearly the whole table, read by id.
        source = "delivery NOT INDEXED"
        if state == "dead":
            return self._dead(condition, values, lane, limit)
        if state == "claimed":
            source, condition = "delivery INDEXED BY delivery_claimed", f"state = 1 AND {condition}"
        elif state:
            condition += " AND state IN (0, 3)"
        rows = self._rows(
            f"SELECT {DELIVERY_COLUMNS} FROM delivery WHERE id IN (SELECT id FROM {source} WHERE {condition} ORDER BY id LIMIT ?) "
            "ORDER BY id",
            (*values, limit),
        )
        return [self._delivery_row(row) for row in rows]

    def _dead(self, condition: str, values: Sequence[object], lane: str, limit: int) -> list[DeliveryRow]:
        """Dead ones by id: the first of each lane, merged where all lanes are meant."""
        found: list[tuple[Any, ...]] = []
        for one in [self._text_id(lane)] if lane else self._lanes_met():
            found += self._rows(
                f"SELECT {DELIVERY_COLUMNS} FROM delivery INDEXED BY delivery_dead_order WHERE state = 2 AND lane = ? "
                f"AND {condition} ORDER BY id LIMIT ?",
                (one, *values, limit),
            )
        return [self._delivery_row(row) for row in sorted(found)[:limit]]

    def _lanes_met(self) -> list[int]:
        return [row[0] for row in self._rows("SELECT lane FROM lane")]

    def mappings_due(self, lane: str) -> list[str]:
        """Mappings of a lane that have deliveries which wait to be claimed."""
        known = self._text_id(lane)
        return [] if known is None else [self._text(one) for one in self._mappings_due(known)]

    def deliveries_of(self, member: int, *, limit: int = 100) -> list[DeliveryRow]:
        """What is owed of one person, dead ones too, by id; member: their number."""
        found: list[tuple[Any, ...]] = []
        for lane in self._lanes_met():
            for source in (
                f"delivery INDEXED BY delivery_order WHERE {ORDERED}",
                "delivery INDEXED BY delivery_dead_person WHERE state = 2",
            ):
                found += self._rows(
                    f"SELECT {DELIVERY_COLUMNS} FROM {source} AND lane = ? AND member = ? ORDER BY id LIMIT ?",
                    (lane, member, limit),
                )
        return [self._delivery_row(row) for row in sorted(found)[:limit]]

    def delivery(self, delivery_id: int) -> DeliveryRow | None:
        """One that is still there (due, claimed or dead)."""
        row = self._row(f"SELECT {DELIVERY_COLUMNS} FROM delivery WHERE id = ?", (delivery_id,))
        return None if row is None else self._delivery_row(row)

    def _delivery_row(self, row: Sequence[Any]) -> DeliveryRow:
        return DeliveryRow(
            row[0],
            self._text(row[1]),
            self._text(row[2]),
            row[3],
            row[4],
            self._text(row[5]),
            row[6],
            unpack_place(row[7]),
            row[8],
            row[9],
            _STATES[row[10]],
            *row[11:],
        )

    def _mappings_due(self, lane: int) -> list[int]:
        """Mappings of a lane with due deliveries, hopping from one to the next in the index."""
        found: list[int] = []
        while True:
            row = self._row(
                "SELECT mapping FROM delivery INDEXED BY delivery_due WHERE state = 0 AND lane = ? AND mapping > ? "
                "ORDER BY mapping LIMIT 1",
                (lane, found[-1] if found else 0),
            )
            if row is None:
                return found
            found.append(row[0])

    def _earliest_due(self, lane: int, mappings: Iterable[int]) -> tuple[int, int] | None:
        """(due time, mapping) of the earliest due delivery among the mappings."""
        earliest: tuple[int, int] | None = None
        for mapping in mappings:
            row = self._row(
                "SELECT due_us FROM delivery INDEXED BY delivery_due WHERE state = 0 AND lane = ? AND mapping = ? "
                "ORDER BY due_us LIMIT 1",
                (lane, mapping),
            )
            if row is not None and (earliest is None or row[0] < earliest[0]):
                earliest = (row[0], mapping)
        return earliest

    def next_due_us(self, lane: str) -> int | None:
        """When the earliest due delivery of the lane is due; None when there is none (or all wait behind claimed ones)."""
        known = self._text_id(lane)
        if known is None:
            return None
        earliest = self._earliest_due(known, self._mappings_due(known))
        return None if earliest is None else earliest[0]


class DeliveryOrder(DeliveryReads):
    """Keeps the first unsettled delivery of each (lane, member) due and those behind it parked."""

    def _busy_members(self, lane: int, members: Sequence[int]) -> set[int]:
        """Members of the lane with unsettled deliveries."""
        busy: set[int] = set()
        for piece in pieces(members):
            busy.update(
                row[0]
                for row in self._connection.execute(
                    "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM delivery INDEXED BY delivery_order "
                    f"WHERE lane = ? AND member = value AND {ORDERED})",
                    (json_list(piece), lane),
                )
            )
        return busy

    def _promote(self, members: Iterable[tuple[int, int]]) -> None:
        """Make the first unsettled one of each (lane, member) due if it was parked."""
        self._run_many(
            "UPDATE delivery SET state = 0 WHERE state = 3 AND id = (SELECT id FROM delivery INDEXED BY delivery_order "
            f"WHERE lane = ? AND member = ? AND {ORDERED} ORDER BY id LIMIT 1)",
            members,
        )

    def _park(self, ids: Iterable[int]) -> None:
        """Park those of the due ones named that have an earlier unsettled one of their person before them."""
        self._run_many(
            "UPDATE delivery SET state = 3 WHERE id = ? AND state = 0 AND member <> 0 "
            "AND EXISTS (SELECT 1 FROM delivery AS earlier INDEXED BY delivery_order "
            "WHERE earlier.lane = delivery.lane AND earlier.member = delivery.member AND earlier.state <> 2 "
            "AND earlier.member <> 0 AND earlier.id < delivery.id)",
            ((identifier,) for identifier in ids),
        )

    def _park_next(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """Park the due one right behind each (lane, member, id): it was the first until that one came back to life."""
        self._run_many(
            "UPDATE delivery SET state = 3 WHERE state = 0 AND id = (SELECT id FROM delivery INDEXED BY delivery_order "
            f"WHERE lane = ? AND member = ? AND {ORDERED} AND id > ? ORDER BY id LIMIT 1)",
            rows,
        )


class DeliveryWrites(DeliveryOrder):
    """What the engine stores."""

    def add_deliveries(self, rows: Sequence[NewDelivery], *, now_us: int) -> int:
        """Store deliveries under consecutive ids; return the first id (0 for none). `replaces` rows drop what they replace."""
        if not rows:
            return 0
        first = self._take_ids("delivery", len(rows))
        keyed = [(self._intern(row.lane), self._intern(row.mapping), row) for row in rows]
        members: dict[int, set[int]] = {}
        for lane, _mapping, row in keyed:
            if row.member:
                members.setdefault(lane, set()).add(row.member)
        busy = {
            (lane, member) for lane, of_lane in members.items() for member in self._busy_members(lane, sorted(of_lane))
        }
        stored: dict[int, tuple[object, ...]] = {}
        unsent: dict[tuple[int, int, int, int, int], list[int]] = {}  # of this call, by what a replacement would drop
        replacing = any(row.replaces for row in rows)
        touched: list[tuple[int, int]] = []
        for identifier, (lane, mapping, row) in enumerate(keyed, first):
            owner = (lane, row.member)
            if replacing and row.member:
                key = (lane, mapping, row.audience, row.member, row.identifiers)
                if row.replaces and owner in busy:
                    for replaced in unsent.pop(key, ()):
                        stored.pop(replaced)
                    self._drop_unsent(key)
                unsent.setdefault(key, []).append(identifier)
            state = PARKED if row.member and owner in busy else DUE
            if row.member:
                busy.add(owner)
                if state == PARKED:
                    touched.append(owner)
            stored[identifier] = (
                identifier,
                lane,
                mapping,
                row.audience,
                row.member,
                self._intern(row.operation),
                state,
                row.due_us,
                row.identifiers,
                pack_place(row.place),
                row.event_at_us,
                now_us,
                row.audience_settings,
                row.payload,
                row.run,
            )
        self._run_many(
            "INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?, ?, ?, '', ?, ?, ?)", stored.values()
        )
        if replacing and touched:
            self._promote(sorted(set(touched)))  # what was replaced may have been the first of its person
        self._meet_lanes(lane for lane, _mapping, _row in keyed)
        return first

    def _drop_unsent(self, key: tuple[int, int, int, int, int]) -> None:
        """Drop what waits (also for a retry) of one person at one list under the same identifiers."""
        lane, mapping, audience, member, identifiers = key
        self._run(
            "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery INDEXED BY delivery_order "
            f"WHERE lane = ? AND member = ? AND {ORDERED} AND state IN (0, 3) AND mapping = ? AND audience = ? "
            "AND identifiers = ?)",
            (lane, member, mapping, audience, identifiers),
        )

    def _meet_lanes(self, lanes: Iterable[int]) -> None:
        """Lanes have a row from the first delivery on."""
        new = set(lanes) - self._names.lanes_met
        if new:
            self._run_many("INSERT OR IGNORE INTO lane (lane) VALUES (?)", [(lane,) for lane in new])
            self._names.lanes_met |= new

    def _forget_deliveries(self, member: int) -> None:
        """Drop a person's waiting and dead deliveries but deletes and a run's removals; what is in flight ends as it ends."""
        delete, erase, leave = self._intern("delete"), self._intern("erase"), self._intern("exit")
        lanes = self._lanes_met()
        for lane in lanes:
            self._run(
                "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery INDEXED BY delivery_order "
                f"WHERE lane = ? AND member = ? AND {ORDERED} AND state IN (0, 3)) "
                "AND operation NOT IN (?, ?) AND NOT (run <> 0 AND operation = ?)",
                (lane, member, delete, erase, leave),
            )
            self._run(
                "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery INDEXED BY delivery_dead_person "
                "WHERE state = 2 AND lane = ? AND member = ?) AND operation NOT IN (?, ?)",
                (lane, member, delete, erase),
            )
        self._promote([(lane, member) for lane in lanes])
