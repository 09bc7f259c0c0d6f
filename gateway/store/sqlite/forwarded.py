"""What forwarding mappings put on lists and did not take off again, so that a privacy request can.

It lies in `record`, under a negative number made of mapping and audience: no sync has one, so no run and no question about
syncs meets these rows. `line` is the hash of the identifiers: a member sent under two addresses is there twice.
payload: as sent; more: the audience settings it was sent with.
"""

# ruff: noqa: S608 - what is put into statements are constants of this module, never a caller's text

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.store.rows import ForwardedRow
from gateway.store.sqlite.deliveries import ORDERED, DeliveryReads
from gateway.store.sqlite.session import json_list, pieces

_AUDIENCES: Final = 2**32
_LISTED: Final = f"-(mapping * {_AUDIENCES} + audience), member, identifiers"
_TAKES: Final = ("exit", "erase")
_TRIED: Final = (
    f"INDEXED BY delivery_order WHERE {ORDERED} AND (state = 1 OR failures > 0)",
    "INDEXED BY delivery_dead_person WHERE state = 2 AND (status = 0 OR status >= 500)",
)


class ForwardedReads(DeliveryReads):
    """Questions about what forwarding put on lists."""

    def forwarded_of(self, member: int) -> list[ForwardedRow]:
        """What lists hold of a person by forwarding, as it was sent; additions on their way are not among it."""
        return [row for sync in self._forwarding() for row in self._listed(sync, member)]

    def _listed(self, sync: int, member: int) -> list[ForwardedRow]:
        mapping, audience = divmod(-sync, _AUDIENCES)
        return [
            ForwardedRow(self._text(mapping), audience, member, line, payload, settings)
            for line, payload, settings in self._rows(
                "SELECT line, payload, more FROM record WHERE sync = ? AND member = ?", (sync, member)
            )
        ]

    def _forwarding(self) -> list[int]:
        """Numbers of the mappings and audiences with rows, hopping from one to the next in the key."""
        found: list[int] = []
        while True:
            row = self._row("SELECT max(sync) FROM record WHERE sync < ?", (found[-1] if found else 0,))
            if row is None or row[0] is None:
                return found
            found.append(row[0])


class ForwardedWrites(ForwardedReads):
    """Kept when deliveries are settled, taken when a person is deleted."""

    def _note_forwarded(self, delivered: Sequence[int]) -> None:
        """Deliveries are about to go, since the platform took them: remember additions, forget what was removed.

        Those of a run are its sync's to note; without identifiers the action keeps no list.
        """
        last: dict[tuple[int, int, int], tuple[int, str]] = {}
        for piece in pieces(delivered):
            for identifier, sync, member, line, operation in self._connection.execute(
                f"SELECT id, {_LISTED}, operation FROM delivery WHERE id IN (SELECT value FROM json_each(?)) "
                "AND identifiers <> 0 AND run = 0 AND audience <> 0 AND member <> 0 ORDER BY id",
                (json_list(piece),),
            ):
                last[sync, member, line] = (identifier, self._text(operation))
        if not last:
            return
        added = [identifier for identifier, operation in last.values() if operation == "enter"]
        self._run_many(
            "DELETE FROM record WHERE sync = ? AND member = ? AND line = ?",
            [key for key, (_, operation) in last.items() if operation in _TAKES],
        )
        for piece in pieces(added):
            self._run(
                f"INSERT OR REPLACE INTO record SELECT {_LISTED}, 1, 1, event_at_us, place, payload, x'', x'', x'', x'', x'', '', "
                "audience_settings, created_us, 0 FROM delivery WHERE id IN (SELECT value FROM json_each(?))",
                (json_list(piece),),
            )

    def _take_forwarded(self, member: int) -> list[ForwardedRow]:
        """What lists may hold of a person by forwarding; it is forgotten here.

        Additions on their way count, and those tried without an answer: nobody knows whether the platform took them.
        """
        found: dict[tuple[int, int], ForwardedRow] = {}
        for sync in self._forwarding():
            found.update(((sync, row.identifiers), row) for row in self._listed(sync, member))
            self._run("DELETE FROM record WHERE sync = ? AND member = ?", (sync, member))
        enter = self._intern("enter")
        for (lane,) in self._rows("SELECT lane FROM lane"):
            for tried in _TRIED:
                for sync, line, mapping, audience, payload, settings in self._rows(
                    f"SELECT -(mapping * {_AUDIENCES} + audience), identifiers, mapping, audience, payload, audience_settings "
                    f"FROM delivery {tried} AND lane = ? AND member = ? AND operation = ? "
                    "AND identifiers <> 0 AND run = 0 AND audience <> 0",
                    (lane, member, enter),
                ):
                    found[sync, line] = ForwardedRow(self._text(mapping), audience, member, line, payload, settings)
        return [found[key] for key in sorted(found, reverse=True)]
