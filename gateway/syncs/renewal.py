"""A sync's records made anew after its mapping was edited: by runs before they plan, and by plans, a page at a time.

A mark in the store says that they are in the making, so that whoever comes after a crash or another edit begins at the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec.structs import replace

from gateway.core.errors import OrderError
from gateway.core.rulebook import Rulebook
from gateway.store.api import StateStore, StateTx, StateView
from gateway.store.sync_rows import IN_THE_MAKING
from gateway.syncs.memory import encode_json, read_memory
from gateway.syncs.names import Standing

PAGE_MEMBERS = 500


class Refresh(Protocol):
    """Makes the records of the next members behind one anew; answers with the last of them, None at the end."""

    def __call__(
        self, sync: int, mapping: str, audience: int, after: int, /, *, members: int = PAGE_MEMBERS
    ) -> Awaitable[int | None]:
        """Of at most so many members."""


TRIES_MAX = 3  # of one plan, each broken off by another edit


class Renewal:
    """Of one engine. Where events cannot be read again (no `refresh`), records stay as they are."""

    def __init__(self, *, state: StateStore, rulebook: Callable[[], Rulebook], refresh: Refresh | None) -> None:
        self._state = state
        self._rulebook = rulebook
        self._refresh = refresh
        # A page that was made by an earlier rulebook is stored before one of the next is begun, whoever asks for them.
        self._one_page = asyncio.Lock()

    def is_due(self, standing: Standing) -> bool:
        """Whether not all records are known to be of the mapping as it is now."""
        return self._refresh is not None and standing.sync.rendering != standing.mapping.version

    def is_due_for_one(self, view: StateView, standing: Standing) -> bool:
        """Whether one member's record is to be made anew before it is shown. While a run plans or sends, records are left to it."""
        return self.is_due(standing) and view.running_run(standing.sync.id) is None

    def begin(self, tx: StateTx, standing: Standing) -> None:
        """Mark them as in the making; the first page comes next."""
        sync = tx.sync(standing.sync.id)
        assert sync is not None, "whoever begins has just seen it"
        version, memory = standing.mapping.version, read_memory(sync.memory)
        # Not one that is in force again, whatever the last look at the files saw: all of its records are made from here on.
        seen = encode_json(replace(memory, seen_version=version)) if memory.seen_version else sync.memory
        tx.save_sync(replace(sync, rendering=IN_THE_MAKING + version, memory=seen))

    async def page(self, standing: Standing, after: int) -> int | None:
        """Make one page behind a member; the last member of it, None at the end. `keep` says what that came to."""
        assert self._refresh is not None, "nothing is due without"
        async with self._one_page:
            return await self._refresh(standing.sync.id, standing.sync.mapping, standing.sync.audience, after)

    async def member(self, standing: Standing, member: int) -> None:
        """Make the record of one member anew, for whoever asks about them alone; the others stay as they are."""
        assert self._refresh is not None, "nothing is due without"
        sync = standing.sync
        async with self._one_page:
            await self._refresh(sync.id, sync.mapping, sync.audience, member - 1, members=1)

    def keep(self, tx: StateTx, standing: Standing, last: int | None) -> bool:
        """After a page, and at the end for all of them. False where they were edited meanwhile, or are whole already."""
        version = standing.mapping.version
        served, sync = self._rulebook().mapping(standing.sync.mapping), tx.sync(standing.sync.id)
        is_same = served is not None and served[1].version == version
        if sync is None or not is_same or sync.rendering != IN_THE_MAKING + version:
            return False
        if last is None:
            tx.save_sync(replace(sync, rendering=version))
        return True

    async def renew(self, look: Callable[[StateView], Standing | None]) -> None:
        """All of it, for a plan. While a run plans or sends, records are left alone: it ends with those it began with.

        look: the sync as it stands. Raises OrderError where it is edited again and again meanwhile.
        """
        for _ in range(TRIES_MAX):
            standing = await self._state.read(look)
            if standing is None or not self.is_due(standing) or not await self._begun(standing):
                return
            after: int | None = 0
            is_same = True
            while is_same and after is not None:
                after = await self.page(standing, after)
                is_same = await self._state.write(lambda tx, one=standing, last=after: self.keep(tx, one, last))  # type: ignore[misc] # a default of a lambda has no type
            if is_same:
                return
        raise OrderError(409, "edited", "The mapping was edited while its records were made anew: plan once more.")

    async def _begun(self, standing: Standing) -> bool:
        def begin(tx: StateTx) -> bool:
            if tx.running_run(standing.sync.id) is not None:
                return False
            self.begin(tx, standing)
            return True

        return await self._state.write(begin)
