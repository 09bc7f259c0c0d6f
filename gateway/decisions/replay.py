"""Replay: kept events are routed again, by the rulebook of today, and what they owe is owed once more.

The ledger is asked and never changed: nobody who has left since is brought back, and nobody who was deleted.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import msgspec

from gateway.core.arrivals import ITEM_EVENT, Arrival, Item, read_frame
from gateway.core.audiences import agrees, audience_name
from gateway.core.events import Place
from gateway.core.routing import Router
from gateway.core.rulebook import Rulebook
from gateway.decisions.blocks import Decided, Owed, decide_item, new_delivery, source_of
from gateway.store import NO_INBOX
from gateway.store.api import InboxReader, StateStore, StateTx, StateView
from gateway.store.rows import AudienceRow, TraceRow

PAGE_EVENTS = 500  # events routed and recorded at a time


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay met and made.

    events: kept events routed again. deliveries: owed anew (or, on a dry run, that would be).
    kept_back: left out because the ledger says otherwise by now. missing: events whose bytes are no longer kept.
    """

    events: int = 0
    deliveries: int = 0
    kept_back: int = 0
    missing: int = 0


class _Due(NamedTuple):
    """A delivery that the ledger agrees with, and its audience."""

    item: Decided
    owed: Owed
    audience: int


async def replay(
    *,
    state: StateStore,
    inbox: InboxReader,
    rulebook: Rulebook,
    from_us: int,
    to_us: int,
    now_us: int,
    source: str = "",
    mapping: str = "",
    dry_run: bool = False,
) -> Replayed:
    """Route again what arrived in [from_us, to_us) and was decided then.

    source: only of that source. mapping: only for that mapping, or for all mappings of that destination; "" for all.
    dry_run: count only. Pages are bounded and each is one transaction, so an interrupted replay has done whole pages.
    Privacy requests are not repeated. Raises StoreError when the store cannot keep a page now.
    """
    router = Router(rulebook)
    total = Replayed()
    after: Place | None = None
    while True:
        page = await state.read(
            lambda view, after=after: view.traces_between(  # type: ignore[misc] # mypy infers no type for a lambda's default
                from_us, to_us, source=source, after=after, limit=PAGE_EVENTS
            )
        )
        if not page:
            return total
        after = page[-1].place
        page = [trace for trace in page if trace.place.inbox != NO_INBOX]  # without what operators ordered
        decided, missing = await asyncio.to_thread(_decide_again, page, inbox, router, mapping)
        if dry_run:
            due, kept_back = await state.read(lambda view, decided=decided: _agreed(view, decided))  # type: ignore[misc] # see above
        else:
            due, kept_back = await state.write(lambda tx, decided=decided: _owe(tx, decided, now_us))  # type: ignore[misc] # see above
        total = Replayed(
            events=total.events + len(page) - missing,
            deliveries=total.deliveries + len(due),
            kept_back=total.kept_back + kept_back,
            missing=total.missing + missing,
        )


def _decide_again(page: list[TraceRow], inbox: InboxReader, router: Router, mapping: str) -> tuple[list[Decided], int]:
    """The page's events with what the wanted mappings make of them, and how many cannot be read any more."""
    decided: list[Decided] = []
    missing = 0
    frame: tuple[int, int] | None = None
    items: list[tuple[Arrival, Item]] = []
    for trace in page:
        if frame != (trace.place.inbox, trace.place.frame):
            frame = (trace.place.inbox, trace.place.frame)
            items = items_of(inbox.item(trace.place))
        if trace.place.ordinal >= len(items) or items[trace.place.ordinal][1].kind != ITEM_EVENT:
            missing += 1
            continue
        arrival, item = items[trace.place.ordinal]
        again = decide_item(arrival, item, trace.place, source_of(arrival, router.rulebook), router)
        if isinstance(again, Decided):
            wanted = tuple(owed for owed in again.owed if _is_wanted(owed, mapping))
            decided.append(msgspec.structs.replace(again, owed=wanted))
    return decided, missing


def items_of(body: bytes | None) -> list[tuple[Arrival, Item]]:
    """All items of a frame with their arrivals, by ordinal; none where the frame is gone."""
    if body is None:
        return []
    try:
        return [(arrival, item) for arrival in read_frame(body) for item in arrival.items]
    except msgspec.MsgspecError:
        return []


def _is_wanted(owed: Owed, mapping: str) -> bool:
    return not mapping or mapping in (owed.mapping, owed.destination)


def _agreed(view: StateView, decided: list[Decided]) -> tuple[list[_Due], int]:
    """The deliveries that agree with the ledger as it stands, and how many do not."""
    due: list[_Due] = []
    kept_back = 0
    audiences: dict[tuple[str, str], AudienceRow | None] = {}
    for item in decided:
        is_forgotten = _is_forgotten(view, item)
        for owed in item.owed:
            audience = _audience(view, audiences, item, owed)
            if not is_forgotten and _may_go(view, item, owed, audience):
                due.append(_Due(item, owed, audience.id if audience else 0))
            else:
                kept_back += 1
    return due, kept_back


def _is_forgotten(view: StateView, item: Decided) -> bool:
    """Somebody whom the event could bring back was deleted after it happened."""
    tombstones = (view.tombstone(item.space, person) for person in item.people)
    return any(tombstone is not None and item.at_us < tombstone.deleted_us for tombstone in tombstones)


def _audience(
    view: StateView, met: dict[tuple[str, str], AudienceRow | None], item: Decided, owed: Owed
) -> AudienceRow | None:
    """The ledger's audience that a delivery is about, if any."""
    if owed.change is None:
        return None
    change = item.changes[owed.change]
    name = (change.audience_space, audience_name(change))
    if name not in met:
        met[name] = view.audience(*name)
    return met[name]


def _may_go(view: StateView, item: Decided, owed: Owed, audience: AudienceRow | None) -> bool:
    if owed.operation == "delete" or (owed.needs_audience_id and not (audience and audience.external_id)):
        return False
    if owed.change is None:
        return True
    change = item.changes[owed.change]
    row = view.membership(audience.id, item.space, change.member) if audience else None
    return agrees(row, is_member=change.is_member)


def _owe(tx: StateTx, decided: list[Decided], now_us: int) -> tuple[list[_Due], int]:
    """Store what agrees with the ledger."""
    due, kept_back = _agreed(tx, decided)
    if due:
        members = tx.intern_members({(one.item.space, one.owed.member) for one in due if one.owed.member})
        tx.add_deliveries(
            [
                new_delivery(
                    one.owed,
                    one.item,
                    audience=one.audience,
                    member=members[one.item.space, one.owed.member] if one.owed.member else 0,
                    now_us=now_us,
                )
                for one in due
            ],
            now_us=now_us,
        )
    return due, kept_back
