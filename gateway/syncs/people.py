"""Everything that is known of one person: audiences, what each sync makes of them, what is owed and listed by forwarding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.core.explaining_members import LedgerState
from gateway.core.masking import mask_identifier
from gateway.core.rulebook import Rulebook
from gateway.destinations.base import Destination
from gateway.store.api import StateStore, StateView
from gateway.store.rows import AudienceRow, DeliveryRow, MembershipRow
from gateway.store.sync_rows import SyncRow
from gateway.syncs.members import KeptEvents, MemberPages, membership_shown
from gateway.syncs.names import Standing, standing_of, sync_names
from gateway.syncs.scheduler import Syncs
from gateway.syncs.settling import member_reference
from gateway.syncs.showing import Shown

AUDIENCES_SHOWN: Final = 100  # of one person; the others are only counted
DELIVERIES_SHOWN: Final = 100

ShowDelivery = Callable[[DeliveryRow], Shown]


class PersonPages:
    """Makes the page of one person, for one engine. show_delivery: without what is personal. Others as of `SyncQuestions`."""

    def __init__(
        self,
        *,
        state: StateStore,
        syncs: Syncs,
        rulebook: Callable[[], Rulebook],
        clock: Callable[[], int],
        registry: Mapping[str, Destination],
        reference_key: bytes,
        show_delivery: ShowDelivery,
        events: KeptEvents | None = None,
    ) -> None:
        self._state = state
        self._syncs = syncs
        self._rulebook = rulebook
        self._clock = clock
        self._registry = registry
        self._reference_key = reference_key
        self._show_delivery = show_delivery
        self._events = events

    async def page(self, space: str, key: str, *, reveal: bool = False) -> Shown:
        """Whatever is known. key: canonical id of somebody the space knows, or knew. reveal: personal values in clear.

        After an edit that no run has caught up with, the person's records are made anew first, as a run would.
        """
        renewal = self._syncs.runner.renewal

        def outdated(view: StateView) -> list[tuple[Standing, int]]:
            number, rulebook = view.member_id(space, key), self._rulebook()
            found = _places(view, space, key)
            standings = [standing_of(sync, {one.id: one}, rulebook) for one, _, syncs in found for sync in syncs]
            return [
                (one, number)
                for one in standings
                if one is not None and number is not None and renewal.is_due_for_one(view, one)
            ]

        for standing, number in await self._state.read(outdated):
            await renewal.member(standing, number)
        return await self._state.read(lambda view: self._page(view, space, key, reveal=reveal))

    def _page(self, view: StateView, space: str, key: str, *, reveal: bool) -> Shown:
        number, deleted = view.member_id(space, key), view.tombstone(space, key)
        found = _places(view, space, key)
        pages = MemberPages(
            rulebook=self._rulebook(),
            registry=self._registry,
            rules=self._syncs.runner.rules,
            reference_key=self._reference_key,
            events=self._events,
            now_us=self._clock(),
        )
        names, keys = sync_names(view), {one.id: one.key for one in view.audiences()}
        owed = view.deliveries_of(number, limit=DELIVERIES_SHOWN) if number is not None else []
        listed = view.forwarded_of(number) if number is not None else []
        return {
            "member": key if reveal else mask_identifier(key),
            "member_ref": member_reference(self._reference_key, number) if number is not None else "",
            "space": space,
            "state": "deleted" if deleted is not None and not found else "known",
            "deleted_us": deleted.deleted_us if deleted is not None else 0,
            "audiences": [
                self._audience(view, pages, one, space, key, reveal=reveal) for one in found[:AUDIENCES_SHOWN]
            ],
            "audiences_left_out": max(0, len(found) - AUDIENCES_SHOWN),
            "forwarded": [{"mapping": one.mapping, "audience": keys.get(one.audience, "")} for one in listed],
            "deliveries": [self._show_delivery(row) for row in owed if not row.run],
            "erasing": [names[sync] for sync in view.erased_syncs() if sync in names] if deleted is not None else [],
        }

    def _audience(
        self,
        view: StateView,
        pages: MemberPages,
        found: tuple[AudienceRow, MembershipRow | None, list[SyncRow]],
        space: str,
        key: str,
        *,
        reveal: bool,
    ) -> Shown:
        audience, row, syncs = found
        event = self._events.event(row.place) if row is not None and self._events is not None else None
        ledger: LedgerState = "never_seen" if row is None else "in" if row.is_member else "out"
        shown = [pages.page(view, sync, audience, key, reveal=reveal, space=space, operations=False) for sync in syncs]
        return {
            "id": audience.id,
            "audience": audience.key,
            "name": audience.name,
            "space": audience.space,
            "membership": membership_shown(ledger, row, event),
            "syncs": [{name: one[name] for name in _OF_A_SYNC} for one in shown],
        }


_OF_A_SYNC: Final = ("sync", "code", "waits_for", "sentence", "records", "planned")


def _places(view: StateView, space: str, key: str) -> list[tuple[AudienceRow, MembershipRow | None, list[SyncRow]]]:
    """Each audience that has to do with a person, their membership, and its syncs.

    Of those that have ended, the ones that know the person: whoever left long ago may still be on a list.
    """
    number = view.member_id(space, key)
    if number is None:
        return []
    ledger: dict[int, tuple[AudienceRow, MembershipRow | None]] = {
        audience.id: (audience, row) for audience, row in view.memberships_of(space, key)
    }
    syncs: dict[int, list[SyncRow]] = {}
    for sync in view.syncs():
        is_known = bool(view.record(sync.id, number))
        if is_known or (sync.audience in ledger and sync.status != "deleted"):
            syncs.setdefault(sync.audience, []).append(sync)
        if is_known and sync.audience not in ledger and (audience := view.audience_by_id(sync.audience)) is not None:
            ledger[audience.id] = (audience, None)
    return [(audience, row, syncs.get(number, [])) for number, (audience, row) in sorted(ledger.items())]
