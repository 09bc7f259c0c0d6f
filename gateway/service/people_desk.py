"""One person found and deleted: who is meant is settled here, then the rooms answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.admin.people import Erased, EraseOrder, FindOrder
from gateway.core.errors import OrderError
from gateway.core.masking import mask_identifier
from gateway.core.member_keys import canonical_keys
from gateway.core.rulebook import Rulebook
from gateway.core.sources import Source
from gateway.decisions.erasing import erase
from gateway.service.known_names import UNCONFIGURED, listed
from gateway.store.api import StateStore, StateView
from gateway.syncs.people import PersonPages

DEFAULT_SPACE: Final = Source(name="").space


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is known. is_left: there is something to delete; else only that they were deleted is known."""

    space: str
    key: str
    is_left: bool
    deleted_us: int


class PeopleDesk:
    """`admin.PeopleOrders` of one engine. wake: told the lanes that owe more."""

    def __init__(
        self,
        *,
        state: StateStore,
        rulebook: Callable[[], Rulebook],
        pages: PersonPages,
        clock: Callable[[], int],
        wake: Callable[[set[str]], None],
    ) -> None:
        self._state = state
        self._rulebook = rulebook
        self._pages = pages
        self._clock = clock
        self._wake = wake

    async def find(self, order: FindOrder) -> dict[str, object]:
        """Everything that is known of one person."""
        person = await self._meant(order)
        return await self._pages.page(person.space, person.key, reveal=order.reveal)

    async def erase(self, order: EraseOrder) -> Erased:
        """Delete one person everywhere; where only a deletion is known of them, nothing is left to do."""
        if not order.confirm and not order.dry_run:
            raise OrderError(
                400, "not_confirmed", "Say `confirm`: who is deleted is not brought back. `dry_run` tells what it does."
            )
        person = await self._meant(order)
        shown = {"member": mask_identifier(person.key), "space": person.space, "before_us": person.deleted_us}
        if not person.is_left:
            return msgspec.convert({**shown, **_NOTHING}, Erased)
        outcome = "would_be_erased" if order.dry_run else "erased"
        found = await erase(
            self._state,
            self._rulebook(),
            space=person.space,
            member=person.key,
            clock=self._clock,
            wake=self._wake,
            dry_run=order.dry_run,
        )
        return msgspec.convert({**shown, **msgspec.to_builtins(found), "outcome": outcome}, Erased)

    async def _meant(self, order: FindOrder | EraseOrder) -> Person:
        rulebook = self._rulebook()
        return await self._state.read(
            lambda view: meant(view, rulebook, order.member, space=order.space, source=order.source)
        )


_NOTHING: Final[dict[str, object]] = {
    "outcome": "already_erased",
    "audiences": 0,
    "destinations": [],
    "deliveries": 0,
    "syncs": 0,
}
_DELETIONS: Final = frozenset({"delete", "erase"})  # operations of deliveries


def meant(view: StateView, rulebook: Rulebook, written: str, *, space: str = "", source: str = "") -> Person:
    """Who a key means. space, source: where to look; else in all spaces.

    Raises OrderError: 404 `unknown_member`; 400 `unknown_source`, `unknown_space`, `ambiguous_member` (known in several spaces).
    """
    configured = list(dict.fromkeys((DEFAULT_SPACE, *(one.space for one in rulebook.sources.values()))))
    spaces = [space] if space else [_space_of(rulebook, source)] if source else configured
    for key in canonical_keys(written):
        found = [one for one in (_known(view, where, key) for where in spaces) if one is not None]
        if len(found) > 1:
            raise OrderError(
                400,
                "ambiguous_member",
                f"Several people have this id, in the spaces {', '.join(one.space for one in found)}: say which is meant "
                "(`space`, or a `source` of it).",
            )
        if found:
            return found[0]
    if space and space not in configured:
        raise OrderError(400, "unknown_space", f"No source has the space `{space}`; there are {listed(configured)}.")
    raise OrderError(
        404,
        "unknown_member",
        f"Nothing is known of this person (looked for in: {listed(spaces)}). A key is written with its kind: `user_id:u-17`, "
        "`anonymous_id:…`, `email:…`; a bare one is a user id.",
    )


def _space_of(rulebook: Rulebook, name: str) -> str:
    known = rulebook.sources or {UNCONFIGURED: Source(name=UNCONFIGURED)}
    if name not in known:
        raise OrderError(400, "unknown_source", f"No source is called `{name}`; there are {listed(known)}.")
    return known[name].space


def _known(view: StateView, space: str, key: str) -> Person | None:
    number, deleted = view.member_id(space, key), view.tombstone(space, key)
    if number is None and deleted is None:
        return None
    return Person(
        space=space,
        key=key,
        is_left=number is not None and not (deleted is not None and _is_leaving(view, space, key, number)),
        deleted_us=deleted.deleted_us if deleted is not None else 0,
    )


def _is_leaving(view: StateView, space: str, key: str, number: int) -> bool:
    """Deletions of a person are on their way, behind whatever else was sent of them, and nothing has come since."""
    owed = view.deliveries_of(number)
    return (
        bool(owed)
        and all(one.operation in _DELETIONS and one.state != "dead" for one in owed)
        and not view.memberships_of(space, key)
        and not view.forwarded_of(number)
        and not any(view.record(sync.id, number) for sync in view.syncs())
    )
