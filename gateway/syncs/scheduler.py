"""Which sync is due, which run may start, which one goes on: the loop of the syncs. Every decision is in the store first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from gateway.core.errors import StoreError
from gateway.core.rulebook import Rulebook
from gateway.core.run_timing import catch_up_delays_s, due_now, first_run_at, on_tick
from gateway.core.schedules import Continuous, next_list_tick, next_tick
from gateway.observe import logs, metrics
from gateway.store import ListSnapshot
from gateway.store.api import StateStore, StateTx
from gateway.store.sync_rows import RunRow, SyncRow
from gateway.syncs.memory import encode_body, encode_json, read_body, read_memory
from gateway.syncs.names import Standing, standings
from gateway.syncs.runner import Refresh, Runner, moment
from gateway.syncs.settling import Attempted

PARALLEL_RUNS_MAX = 4
LOOK_S = 1.0  # a tick is met at most this late
TROUBLE_WAIT_S = 5.0
ERASE_AGAIN_US = 600 * 1_000_000  # a deletion that did not get through is tried again after this
STEPS_IN_A_ROW_MAX = 50  # of one run, before the others have a turn

log = logs.logger()


def micros(when: datetime | None) -> int:
    """A moment as the store keeps it; 0 for none."""
    return 0 if when is None else round(when.timestamp() * 1_000_000)


class Syncs:
    """All syncs of one engine. `run` until cancelled; `step` is one turn of it, for tests with a clock of their own."""

    def __init__(
        self,
        *,
        state: StateStore,
        folder: Path,
        rulebook: Callable[[], Rulebook],
        clock: Callable[[], int],
        reference_key: bytes,
        wake_lanes: Callable[[set[str]], None],
        refresh: Refresh | None = None,
    ) -> None:
        """folder: the data folder, where uploads read their lists. reference_key: makes references to members in logs.

        refresh: makes records anew from events, for new syncs and edited mappings.
        """
        self._state = state
        self._folder = folder
        self._rulebook = rulebook
        self._clock = clock
        self._wake = asyncio.Event()
        self.runner = Runner(
            state=state,
            rulebook=rulebook,
            clock=clock,
            reference_key=reference_key,
            wake_lanes=wake_lanes,
            refresh=refresh,
        )

    # what lanes ask and tell -----------------------------------------------------------------------------------------
    async def snapshot(self, run: int) -> ListSnapshot | None:
        """The list that a run froze; None where it ended meanwhile."""
        found = await self._state.read(lambda view: (view.run(run), view.list_size(run)))
        if found[0] is None or found[0].finished_us:
            return None
        return ListSnapshot(self._folder, run, found[1])

    def settled(self, tx: StateTx, attempts: Sequence[Attempted], *, now_us: int) -> None:  # noqa: ARG002 - the ledger asks the clock
        """Take in what became of runs' deliveries, in the transaction that settles them."""
        by_run: dict[int, list[Attempted]] = {}
        for attempt in attempts:
            by_run.setdefault(attempt.row.run, []).append(attempt)
        for run, of_run in by_run.items():
            self.runner.settled(tx, run, of_run)

    def wake(self) -> None:
        """Look now: something was settled, ordered or changed."""
        self._wake.set()

    # the loop ----------------------------------------------------------------------------------------------------------
    async def recover(self) -> None:
        """Before any lane starts: what was on its way when the engine died may have had its effect."""
        unsure = await self._state.write(_mark_unsure)
        if unsure:
            log.warning("syncs.recovered", operations_unsure=unsure)

    async def run(self) -> None:
        """Look and work until cancelled; a store in trouble is waited for."""
        while True:
            self._wake.clear()
            wait_s = LOOK_S
            try:
                if await self.step():
                    continue
            except StoreError as error:
                log.warning("syncs.store_failed", error=str(error))
                wait_s = TROUBLE_WAIT_S
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def step(self) -> bool:
        """One turn: ticks, queued runs, one stretch of every open run. False where nothing more can be done now."""
        await self._state.write(self._tick)
        await self._state.write(self._start_queued)
        open_runs = await self._state.read(lambda view: view.open_runs())
        worked = False
        for run in open_runs:
            if run.status in ("planning", "sending"):
                for _ in range(STEPS_IN_A_ROW_MAX):
                    if not await self.runner.advance(run.id):
                        break
                    worked = True
        return worked

    # ticks -------------------------------------------------------------------------------------------------------------
    def _tick(self, tx: StateTx) -> None:
        """Claim every tick that has passed, and move its sync on, in one transaction."""
        now_us = self._clock()
        caught_up: list[int] = []
        for standing in standings(tx, self._rulebook()):
            sync = standing.sync
            if sync.status in ("deleted", "deleting", "paused"):
                continue
            sync = self._scheduled(tx, standing, now_us)
            if not sync.next_us or sync.next_us > now_us:
                continue
            due = due_now(
                standing.options.schedule,
                expected_at=moment(sync.next_us),
                now=moment(now_us),
                missed=standing.options.missed,
            )
            next_us = self._next_us(standing, now_us)
            tx.save_sync(replace(sync, next_us=next_us))
            metrics.SYNC_NEXT_RUN.labels(standing.name).set(next_us / 1_000_000)
            if due is None:
                continue
            run = RunRow(
                id=0,
                sync=sync.id,
                kind="",
                trigger=due.trigger,
                scheduled_us=micros(due.scheduled_for),
                missed=due.missed,
                queued_us=now_us,
                due_us=now_us,
            )
            if self._open(tx, standing, run) and due.trigger == "catch_up":
                caught_up.append(sync.id)
        if len(caught_up) > 1:
            _spread(tx, caught_up, now_us)
        self._go_live(tx, now_us)

    def _go_live(self, tx: StateTx, now_us: int) -> None:
        """Live runs: for deletions whatever the schedule or a pause, and for syncs that follow events."""
        erased = set(tx.erased_syncs())
        touched = tx.touched_since()
        if not erased and not touched:
            return
        for standing in standings(tx, self._rulebook()):
            sync = standing.sync
            if standing.mapping.capabilities.takes_whole_lists:
                continue
            oldest_us, count = touched.get(sync.id, (0, 0))
            if sync.id in erased and sync.status != "deleting":
                last = tx.runs(sync=sync.id, limit=1)
                is_due = not last or last[0].kind != "live" or now_us - last[0].finished_us >= ERASE_AGAIN_US
            else:
                schedule = standing.options.schedule
                is_on = count and sync.status in ("active", "errored") and isinstance(schedule, Continuous)
                is_due = (
                    bool(is_on)
                    and isinstance(schedule, Continuous)
                    and (
                        now_us - oldest_us >= schedule.max_delay_s * 1_000_000
                        or count >= standing.mapping.batch_events_max
                    )
                )
            if is_due and tx.open_run(sync.id) is None and tx.queued_run(sync.id) is None:
                tx.add_run(RunRow(id=0, sync=sync.id, kind="live", trigger="event", queued_us=now_us, due_us=now_us))

    def _scheduled(self, tx: StateTx, standing: Standing, now_us: int) -> SyncRow:
        """The sync with its next tick: the first one of a new sync, another where the schedule was edited."""
        sync, schedule = standing.sync, standing.options.schedule
        memory = read_memory(sync.memory)
        told = str(schedule)
        if memory.schedule == told:
            return sync
        is_new = not memory.schedule
        first = first_run_at(schedule, start=standing.options.start, created_at=moment(sync.created_us))
        next_us = micros(first) if is_new else self._next_us(standing, now_us)
        sync = replace(sync, next_us=next_us, memory=encode_json(replace(memory, schedule=told)))
        tx.save_sync(sync)
        metrics.SYNC_NEXT_RUN.labels(standing.name).set(next_us / 1_000_000)
        return sync

    def _next_us(self, standing: Standing, now_us: int) -> int:
        schedule = standing.options.schedule
        memory = read_memory(standing.sync.memory)
        capabilities = standing.mapping.capabilities
        if not capabilities.takes_whole_lists:
            return micros(next_tick(schedule, after=moment(now_us)))
        # The run that is due now uploads now: its own day begins here, not where the last upload's ends.
        uploaded = moment(now_us) if memory.last_upload_us else None
        every_s = capabilities.full_replace_every_s
        return micros(next_list_tick(schedule, after=moment(now_us), last_upload_at=uploaded, full_every_s=every_s))

    def _open(self, tx: StateTx, standing: Standing, run: RunRow) -> bool:
        """What a tick does to its sync; True where a run of its own waits to start."""
        queued = tx.queued_run(run.sync)
        running = tx.open_run(run.sync)
        what = on_tick(is_running=running is not None, is_queued=queued is not None, overlap=standing.options.overlap)
        match what:
            case "start" | "queue":
                return tx.add_run(run) != 0
            case "coalesce":
                assert queued is not None, "a tick coalesces with the queued run only"
                tx.save_run(replace(queued, coalesced=queued.coalesced + 1))
            case "record_skipped":
                tx.add_run(
                    replace(
                        run, status="skipped", reason="overlap", started_us=run.queued_us, finished_us=run.queued_us
                    )
                )
        return False

    def _start_queued(self, tx: StateTx) -> None:
        """Start queued runs, oldest first, one a sync and a few at a time."""
        now_us = self._clock()
        runs = tx.open_runs()
        busy = {run.sync for run in runs if run.status in ("planning", "sending")}
        open_syncs = {run.sync for run in runs if run.status != "queued"}
        for run in runs:
            if len(busy) >= PARALLEL_RUNS_MAX:
                return
            if run.status != "queued" or run.sync in open_syncs or run.due_us > now_us:
                continue
            tx.save_run(replace(run, status="planning", started_us=now_us))
            busy.add(run.sync)
            open_syncs.add(run.sync)


def _spread(tx: StateTx, syncs: Sequence[int], now_us: int) -> None:
    """Let runs that make up for missed ticks start one after the other, the oldest tick first."""
    runs = [run for run in (tx.queued_run(sync) for sync in syncs) if run is not None]
    runs.sort(key=lambda run: run.scheduled_us)
    for run, delay_s in zip(runs, catch_up_delays_s(len(runs)), strict=True):
        tx.save_run(replace(run, due_us=now_us + round(delay_s * 1_000_000)))


def _mark_unsure(tx: StateTx) -> int:
    """Note of every run's operation that was on its way that its attempt came to nobody knows what."""
    claimed = tx.planned_of(tx.run_deliveries_claimed())
    for row in claimed.values():
        body = read_body(row.body)
        tx.save_planned(replace(row, body=encode_body(replace(body, earlier="unsure"))))
    return len(claimed)
