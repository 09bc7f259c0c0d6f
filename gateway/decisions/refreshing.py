"""Records of a sync made anew from the members' latest membership events: for a new sync, and after a mapping was edited.

Events whose bytes are no longer kept leave the older payload in place; nobody's membership changes here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.routing import Router
from gateway.core.rulebook import Rulebook
from gateway.decisions.blocks import Decided, Kept, Render, decide_item, source_of
from gateway.decisions.replay import items_of
from gateway.store.api import InboxReader, StateStore, StateTx
from gateway.store.rows import MembershipRow
from gateway.store.sync_rows import ExitRow, WantedRow

PAGE_MEMBERS = 500

Member = tuple[int, str, MembershipRow]


class Refresher:
    """One engine's. The inbox reader is its own, as it is used beside the worker's."""

    def __init__(
        self,
        *,
        state: StateStore,
        inbox: InboxReader,
        rulebook: Callable[[], Rulebook],
        render: Render,
        clock: Callable[[], int],
    ) -> None:
        self._state = state
        self._inbox = inbox
        self._rulebook = rulebook
        self._render = render
        self._clock = clock
        self._router: Router | None = None

    async def page(
        self, sync: int, mapping: str, audience: int, after: int, /, *, members: int = PAGE_MEMBERS
    ) -> int | None:
        """Make the records of the next members behind one; the last of them, None when there are no more."""
        found = await self._state.read(lambda view: view.members(audience, after=after, limit=members))
        if not found:
            return None
        kept = await asyncio.to_thread(self._decide_again, found, mapping)
        await self._state.write(lambda tx: self._store(tx, sync, audience, found, kept))
        return found[-1][0] if len(found) == members else None

    def _decide_again(self, members: list[Member], mapping: str) -> dict[int, tuple[Decided, Kept]]:
        """What the mapping makes of each member's latest event, where that is still kept."""
        rulebook = self._rulebook()
        if self._router is None or self._router.rulebook is not rulebook:
            self._router = Router(rulebook)
        found: dict[int, tuple[Decided, Kept]] = {}
        frame, items = (0, 0), items_of(None)
        for member, canonical, row in sorted(members, key=lambda one: one[2].place):
            if (row.place.inbox, row.place.frame) != frame:
                frame = (row.place.inbox, row.place.frame)
                items = items_of(self._inbox.item(row.place))
            if row.place.ordinal >= len(items):
                continue
            arrival, item = items[row.place.ordinal]
            source = source_of(arrival, rulebook)
            again = decide_item(arrival, item, row.place, source, self._router, self._render)
            if isinstance(again, Decided):
                mine = [
                    one
                    for one in again.kept
                    if one.mapping == mapping and again.changes[one.change].member == canonical
                ]
                if mine:
                    found[member] = (again, mine[0])
        return found

    def _store(
        self, tx: StateTx, sync: int, audience: int, members: list[Member], kept: dict[int, tuple[Decided, Kept]]
    ) -> None:
        """Write what was made, unless a later event of the member was decided meanwhile.

        Of a whole list, the line goes that an older mapping made of the same event.
        """
        now = tx.memberships([(audience, member) for member, _canonical, _row in members])
        wanted: list[WantedRow] = []
        exits: list[ExitRow] = []
        left: list[tuple[int, int]] = []
        for member, _canonical, row in members:
            current, made = now.get((audience, member)), kept.get(member)
            if made is None or current is None or current.place != row.place or not current.is_member:
                continue
            item, one = made
            if one.is_in:
                if one.line:  # Lines of other events stay: the person is known by those, too.
                    rows = tx.record(sync, member)
                    left += [(member, old.line) for old in rows if old.line != one.line and old.place == item.place]
                wanted.append(
                    WantedRow(
                        sync,
                        member,
                        one.line,
                        item.at_us,
                        item.place,
                        one.payload,
                        one.fingerprint,
                        one.entry,
                        one.unmappable,
                    )
                )
            else:
                exits.append(ExitRow(sync, member, item.at_us, item.place))
        tx.drop_records(sync, left)
        tx.save_wanted(wanted, now_us=self._clock())
        tx.save_exits(exits, now_us=self._clock())
