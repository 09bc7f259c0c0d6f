"""A person is deleted because an operator says so: decided and recorded as a sender's deletion is, but for its bytes.

Nothing of the order lies in the inbox, so its place names no file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.core.arrivals import Arrival, Item
from gateway.core.events import Place
from gateway.core.routing import DELETION, Router
from gateway.core.rulebook import Rulebook
from gateway.core.sources import Source
from gateway.decisions.blocks import Block, Decided, decide_item
from gateway.decisions.recording import Recorded, record
from gateway.decisions.worker import count_recorded
from gateway.store import FRAME_MAX, NO_INBOX
from gateway.store.api import StateStore, StateTx, StateView

ORDERED_BY: Final = "gateway erase"  # in traces, where events have the name of their source; no source can be called so
ORDERS_NOTE: Final = "erasures ordered"  # how many, which gives each a place of its own

_ID_MEMBERS: Final = {"user_id": "userId", "anonymous_id": "anonymousId"}  # by which a sender may name whom to delete


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What the deletion of one person does.

    audiences: that the ledger connects them with, in or out. destinations: configured ones that get something to delete: at
    once (deliveries: how many requests' worth), or with the next run of a sync that may have them listed (syncs: how many).
    """

    audiences: int
    destinations: tuple[str, ...]
    deliveries: int
    syncs: int


class _Undo(Exception):  # noqa: N818  (no error: it makes the store take back a rehearsal)
    def __init__(self, erasure: Erasure) -> None:
        self.erasure = erasure


async def erase(
    state: StateStore,
    rulebook: Rulebook,
    *,
    space: str,
    member: str,
    clock: Callable[[], int],
    wake: Callable[[set[str]], None],
    dry_run: bool = False,
) -> Erasure:
    """Delete a person in one transaction.

    member: canonical id; where it is a user's or an anonymous one, platforms that keep profiles by id are told.
    wake: told the lanes that owe more. dry_run: say what it would do; nothing of it is kept.

    Raises StoreError when the store cannot keep it now.
    """
    router = Router(rulebook)

    def work(tx: StateTx) -> tuple[Erasure, Recorded]:
        now_us = clock()
        audiences, lists = len(tx.memberships_of(space, member)), _listing(tx, space, member)
        order = _decided(router, space, member, place=_place(tx), now_us=now_us)
        recorded = record(tx, Block({}, {}, [order]), now_us=now_us)
        assert recorded is not None, "it moves no cursor"
        erasure = Erasure(
            audiences=audiences,
            destinations=tuple(sorted({*recorded.deliveries, *lists})),
            deliveries=recorded.deliveries.total(),
            syncs=len(lists),
        )
        if dry_run:
            raise _Undo(erasure)
        return erasure, recorded

    started_us = clock()
    try:
        erasure, recorded = await state.write(work)
    except _Undo as undone:
        return undone.erasure
    count_recorded(recorded, clock() - started_us)
    wake(recorded.lanes)
    return erasure


def _decided(router: Router, space: str, member: str, *, place: Place, now_us: int) -> Decided:
    """The order as a deletion event that comes now. A sender can name people by two kinds of ids only, an operator by any."""
    kind, _colon, value = member.partition(":")
    body: dict[str, object] = {"type": DELETION}
    if kind in _ID_MEMBERS:
        body[_ID_MEMBERS[kind]] = value
    item = Item(body=msgspec.json.encode(body))
    arrival = Arrival(source=ORDERED_BY, received_us=now_us, items=(item,), source_kind="server")
    source = Source(name=ORDERED_BY, kind="server", space=space)
    decided = decide_item(arrival, item, place, source, router)
    assert isinstance(decided, Decided), "a deletion asks no mapping"
    return msgspec.structs.replace(decided, people=(member,), deletions=(member,))


def _place(tx: StateTx) -> Place:
    """A place that no event has and no order before; when all frames were used, the first one's trace is long gone."""
    kept = tx.note(ORDERS_NOTE)
    number = int(kept or b"0") % FRAME_MAX + 1
    tx.put_note(ORDERS_NOTE, str(number).encode())
    return Place(NO_INBOX, number, 0)


def _listing(view: StateView, space: str, member: str) -> list[str]:
    """The destination of each sync that may have the person on its list."""
    number = view.member_id(space, member)
    if number is None:
        return []
    return [
        sync.mapping.partition("/")[0]
        for sync in view.syncs()
        if any(row.state for row in view.record(sync.id, number))
    ]
