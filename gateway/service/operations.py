"""What operators may order of a running engine, carried out by its rooms."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.admin.operations import IDS_MAX, Changed, DeadFilter, LaneShown, ReplayOrder, ReplayResult, Status
from gateway.config.keeper import Keeper
from gateway.core.errors import OrderError, Problem, StoreError
from gateway.core.identifier_warnings import IdentifierWarning, note_key, read_warnings
from gateway.core.rulebook import Rulebook
from gateway.decisions.replay import replay
from gateway.delivery.lanes import Lanes, LaneStanding
from gateway.delivery.operations import bring_forward, drop_dead, retry_dead
from gateway.service.known_names import refuse_unknown
from gateway.service.reloads import has_errors, tell
from gateway.store import FILES_PER_WRITER
from gateway.store.api import InboxReader, StateStore

PAGE_ROWS = 1000


class EngineOperations:
    """`admin.Operations` of one engine."""

    def __init__(
        self,
        *,
        state: StateStore,
        inbox: InboxReader,
        keeper: Keeper[Rulebook],
        lanes: Lanes,
        clock: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        """changed: tells everybody that another rulebook is in force."""
        self._state = state
        self._inbox = inbox
        self._keeper = keeper
        self._lanes = lanes
        self._clock = clock
        self._changed = changed

    async def status(self) -> Status:
        """How the engine stands now; a store that cannot be read makes it not ready."""
        rulebook = self._keeper.value
        try:
            frames, oldest_us = await self._backlog()
            lanes, ready = await self.lanes(), True
        except StoreError:
            frames, oldest_us, lanes, ready = 0, 0, [], False
        return Status(
            ready=ready,
            rulebook=rulebook.version,
            destinations=len(rulebook.destinations),
            mappings=sum(len(one.mappings) for one in rulebook.destinations),
            problems=list(self._keeper.problems),
            backlog_frames=frames,
            backlog_age_s=max(0, self._clock() - oldest_us) / 1e6 if frames and oldest_us else 0.0,
            lanes=lanes,
        )

    async def lanes(self) -> list[LaneShown]:
        """Every lane, configured or with a backlog, by name."""
        standings = await self._lanes.standing()
        notes = await self._state.read(lambda view: [view.note(note_key(one.row.lane)) for one in standings])
        now_us = self._clock()
        return [_shown(one, read_warnings(note, now_us=now_us)) for one, note in zip(standings, notes, strict=True)]

    async def set_paused(self, lane: str, *, paused: bool) -> bool:
        """Pause or resume a configured destination's lane; before it is resumed, secrets are read again."""
        if not paused:
            await self.reload()
        if self._keeper.value.destination(lane) is None:
            return False
        await (self._lanes.pause(lane) if paused else self._lanes.resume(lane))
        return True

    async def probe(self, lane: str) -> bool:
        """Send one delivery of a configured destination now."""
        if self._keeper.value.destination(lane) is None:
            return False
        await self._lanes.probe(lane)
        return True

    async def retry_dead(self, chosen: DeadFilter) -> Changed:
        """Make dead deliveries due again, let those that wait for their next try be tried now, and wake the lanes.

        Raises OrderError for a lane or mapping that does not exist.
        """
        await self._refuse_unknown(chosen)
        count = 0
        for verb in (retry_dead, bring_forward):
            count += await verb(
                self._state,
                now_us=self._clock(),
                lane=chosen.lane,
                mapping=chosen.mapping,
                ids=chosen.ids,
                reason_like=chosen.reason,
            )
        self._wake_all()
        return Changed(changed=count)

    async def drop_dead(self, chosen: DeadFilter) -> Changed:
        """Delete dead deliveries for good. Raises OrderError as `retry_dead`."""
        await self._refuse_unknown(chosen)
        ids = chosen.ids or await self._matching(chosen)
        return Changed(changed=await drop_dead(self._state, ids=ids) if ids else 0)

    async def replay(self, order: ReplayOrder) -> ReplayResult:
        """Route kept events again and wake the lanes. Raises OrderError where it could mean nothing."""
        rulebook, wanted = self._keeper.value, order.mapping
        if wanted and rulebook.destination(wanted) is None and rulebook.mapping(wanted) is None:
            raise OrderError(
                404, "unknown_mapping", f"No file and no mapping is called `{wanted}`; write `file` or `file/mapping`."
            )
        if order.to_us <= order.from_us:
            raise OrderError(400, "invalid_request", "The time ends before it begins: `to` must be later than `from`.")
        await self._state.read(lambda view: refuse_unknown(view, rulebook, source=order.source))
        result = await replay(
            state=self._state,
            inbox=self._inbox,
            rulebook=rulebook,
            from_us=order.from_us,
            to_us=order.to_us,
            source=order.source,
            mapping=order.mapping,
            dry_run=order.dry_run,
            now_us=self._clock(),
        )
        self._wake_all()
        return ReplayResult(
            events=result.events, deliveries=result.deliveries, kept_back=result.kept_back, missing=result.missing
        )

    async def reload(self) -> list[Problem]:
        """Look at mappings/ now; secrets behind references are read again."""
        was_broken = has_errors(self._keeper.problems)
        result = self._keeper.reload(forced=True)
        tell(result.problems, "rulebook", changed=result.changed, was_broken=was_broken)
        self._changed()
        return list(result.problems)

    async def _backlog(self) -> tuple[int, int]:
        """(frames not yet decided, arrival of the oldest of them in µs or 0), over all ingest processes."""
        cursors = await self._state.read(lambda view: view.cursors())
        frames, oldest = 0, []
        for writer in await asyncio.to_thread(self._inbox.writers):
            position = cursors.get(writer, (writer * FILES_PER_WRITER, 0))
            waiting, oldest_us = await asyncio.to_thread(self._inbox.backlog, position)
            frames += waiting
            if waiting and oldest_us:
                oldest.append(oldest_us)
        return frames, min(oldest, default=0)

    async def _matching(self, chosen: DeadFilter) -> list[int]:
        """Ids of the dead deliveries a filter means."""
        found: list[int] = []
        after = 0
        while len(found) < IDS_MAX:
            page = await self._state.read(
                lambda view, after=after: view.deliveries(  # type: ignore[misc] # mypy infers no type for a lambda's default
                    lane=chosen.lane, mapping=chosen.mapping, state="dead", after_id=after, limit=PAGE_ROWS
                )
            )
            found.extend(row.id for row in page if chosen.reason in row.reason)
            if len(page) < PAGE_ROWS:
                break
            after = page[-1].id
        return found[:IDS_MAX]

    async def _refuse_unknown(self, chosen: DeadFilter) -> None:
        rulebook = self._keeper.value
        await self._state.read(lambda view: refuse_unknown(view, rulebook, lane=chosen.lane, mapping=chosen.mapping))

    def _wake_all(self) -> None:
        self._lanes.wake([one.key for one in self._keeper.value.destinations])


def _shown(standing: LaneStanding, identifier_warnings: list[IdentifierWarning]) -> LaneShown:
    row = standing.row
    return LaneShown(
        lane=row.lane,
        standing=standing.word,
        reason=standing.reason,
        due=row.due,
        in_flight=row.claimed,
        dead=row.dead,
        paused=row.paused,
        hold=row.hold,
        breaker=row.breaker,
        oldest_due_us=row.oldest_due_us,
        until_us=standing.until_us,
        identifier_warnings=identifier_warnings,
    )
