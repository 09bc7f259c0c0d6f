"""Which sync is due, which run may start, which one goes on: the loop of the syncs. Every decision is in the store first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from gateway.core.errors import StoreError
from gateway.core.rulebook import Rulebook
from gateway.core.run_timing import catch_up_delays_s, due_now, first_run_at, is_list_due, on_tick
from gateway.core.schedules import Continuous, next_list_tick, next_tick, schedule_words
from gateway.observe import logs, metrics
from gateway.store import ListForetold, ListSnapshot
from gateway.store.api import StateStore, StateTx
from gateway.store.sync_rows import RunRow, SyncRow
from gateway.syncs.crashes import doubt_claimed
from gateway.syncs.file_entries import follow_files
from gateway.syncs.memory import encode_json, read_memory, read_progress, was_erasure_tried
from gateway.syncs.names import Standing, awaits_first_approval, standings
from gateway.syncs.renewal import Refresh
from gateway.syncs.runner import LIVE_MEMBERS_MAX, Runner, moment
from gateway.syncs.settling import Attempted
from gateway.syncs.targets import owe_clears
from gateway.syncs.watch import Watch
from gateway.syncs.whole_lists import ListTerms

PARALLEL_RUNS_MAX = 4
LOOK_S = 1.0  # a tick is met at most this late
TROUBLE_WAIT_S = 5.0
ERASE_AGAIN_US = 600 * 1_000_000  # a deletion that did not get through is tried again after this
NEWS_DROPPED_MAX = 10_000  # members, of one sync at one look
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
        self._erasing: dict[int, frozenset[int]] = {}
        self._passed: list[Rulebook] = []
        self._watch = Watch(state=state, rulebook=rulebook, clock=clock)
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

    def foretold(self, standing: Standing, terms: ListTerms, members: int) -> ListForetold:
        """The list that a run would freeze now; nothing is kept of it."""
        return ListForetold(self._folder, standing.sync.id, members, keeps_out=terms.keeps_out, since_us=terms.since_us)

    async def goes_on(self, run: int) -> bool:
        """Whether a run still sends: it was neither stopped nor ended."""
        found = await self._state.read(lambda view: view.run(run))
        return found is not None and found.status == "sending" and read_progress(found.progress).stage == "send"

    def settled(self, tx: StateTx, attempts: Sequence[Attempted], *, now_us: int) -> None:  # noqa: ARG002 - the ledger asks the clock
        """Take in what became of runs' deliveries, in the transaction that settles them."""
        by_run: dict[int, list[Attempted]] = {}
        for attempt in attempts:
            by_run.setdefault(attempt.row.run, []).append(attempt)
        for run, of_run in by_run.items():
            self.runner.settled(tx, run, of_run)

    def doubt_expired(self, tx: StateTx, *, now_us: int) -> None:
        """What was on its way when a lane could not write what came of it: the same as after a crash."""
        unsure = doubt_claimed(tx, self.runner, lease_until_us=now_us)
        if unsure:
            log.warning("syncs.recovered", operations_unsure=unsure)

    def rulebook_changed(self) -> None:
        """Another rulebook is in force: tell of each, also of one that is gone again before the next look at them."""
        self._passed.append(self._rulebook())
        self._wake.set()

    def wake(self) -> None:
        """Look now: something was settled, ordered or changed."""
        self._wake.set()

    # the loop ----------------------------------------------------------------------------------------------------------
    async def recover(self) -> None:
        """Before any lane starts: what was on its way when the engine died may have had its effect.

        It is asked for again; where a destination must not be asked twice, it waits for a person instead.
        """
        unsure = await self._state.write(lambda tx: doubt_claimed(tx, self.runner))
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
        passed = tuple(self._passed)
        worked = await self._state.write(lambda tx: self._tick(tx, passed))
        del self._passed[: len(passed)]
        await self._state.write(self._start_queued)
        await self._watch.look()
        open_runs = await self._state.read(lambda view: view.open_runs())
        for run in open_runs:
            if run.status in ("planning", "sending"):
                for _ in range(STEPS_IN_A_ROW_MAX):
                    if not await self.runner.advance(run.id):
                        break
                    worked = True
        return worked

    # ticks -------------------------------------------------------------------------------------------------------------
    def _tick(self, tx: StateTx, passed: Sequence[Rulebook] = ()) -> bool:
        """Claim every tick that has passed, and move its sync on, in one transaction; whether there is more to do at once."""
        now_us = self._clock()
        caught_up: list[int] = []
        is_more = follow_files(tx, self._rulebook(), now_us, passed=passed)
        all_standings = standings(tx, self._rulebook())
        for standing in all_standings:
            standing = _noted(tx, standing)  # noqa: PLW2901 - the same with its memory as it is from here on
            if standing.sync.status in ("deleted", "deleting", "paused"):
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
            next_us = next_tick_us(standing, now_us, is_due=True)
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
        owe_clears(tx, [one for one in all_standings if one.parked is not None], now_us)
        self._go_live(tx, all_standings, now_us)
        return is_more

    def _go_live(self, tx: StateTx, all_standings: Sequence[Standing], now_us: int) -> None:
        """Live runs: for deletions whatever the schedule or a pause, and for syncs that follow events.

        They start at once or not now, so that none is ever queued in a tick's way; one held run does not stop them.
        """
        erased = set(tx.erased_syncs())
        touched = tx.touched_since()
        if not erased and not touched:
            return
        room = PARALLEL_RUNS_MAX - sum(run.status in ("planning", "sending") for run in tx.open_runs())
        for standing in all_standings:
            sync = standing.sync
            if sync.id in touched:
                _forget_old_news(tx, standing, touched[sync.id][0])
            if standing.mapping.capabilities.takes_whole_lists or room <= 0:
                continue
            is_free = tx.queued_run(sync.id) is None or tx.held_run(sync.id) is not None
            if not is_free or tx.running_run(sync.id) is not None:
                continue
            is_due = _follows_events(standing, *touched.get(sync.id, (0, 0)), now_us=now_us)
            if sync.id in erased and sync.status != "deleting":
                is_due = self._owes_erasures(tx, sync, now_us) or is_due
            if is_due:
                tx.add_run(
                    RunRow(
                        id=0, sync=sync.id, kind="live", trigger="event", status="planning", queued_us=now_us,
                        due_us=now_us, started_us=now_us,
                    )
                )  # fmt: skip
                room -= 1

    def _owes_erasures(self, tx: StateTx, sync: SyncRow, now_us: int) -> bool:
        """Whether a run is due for deleted people alone: at once for those nobody tried yet, else some minutes after the last."""
        last = tx.runs(sync=sync.id, limit=1)
        members = tx.erased_members(sync.id, limit=LIVE_MEMBERS_MAX)
        untried = {row.member for row in tx.records_of(sync.id, members) if not was_erasure_tried(row)}
        before, self._erasing[sync.id] = self._erasing.get(sync.id, frozenset()), frozenset(untried)
        if untried - before or not last or last[0].kind != "live":
            return True
        return bool(last[0].finished_us) and now_us - last[0].finished_us >= ERASE_AGAIN_US

    def _scheduled(self, tx: StateTx, standing: Standing, now_us: int) -> SyncRow:
        """The sync with its next tick: the first one of a new sync, another where the schedule was edited."""
        sync, schedule = standing.sync, standing.options.schedule
        memory = read_memory(sync.memory)
        told = str(schedule)
        if memory.schedule == told:
            return sync
        is_new = not memory.schedule
        first = first_run_at(schedule, start=standing.options.start, created_at=moment(sync.created_us))
        next_us = micros(first) if is_new else next_tick_us(standing, now_us)
        sync = replace(sync, next_us=next_us, memory=encode_json(replace(memory, schedule=told)))
        tx.save_sync(sync)
        metrics.SYNC_NEXT_RUN.labels(standing.name).set(next_us / 1_000_000)
        return sync

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
        """Start queued and approved runs, oldest first, one a sync and a few at a time."""
        now_us = self._clock()
        runs = tx.open_runs()
        busy = {run.sync for run in runs if run.status in ("planning", "sending")}
        held = {run.sync for run in runs if run.status == "held"}
        for run in runs:
            if len(busy) >= PARALLEL_RUNS_MAX:
                return
            # What a person has let go waits for the live run that went on beside it.
            is_next = run.status == "held" and bool(run.approved_by)
            is_next = is_next or (run.status == "queued" and run.due_us <= now_us and run.sync not in held)
            if is_next and run.sync not in busy:
                tx.save_run(replace(run, status="planning", started_us=run.started_us or now_us))
                busy.add(run.sync)


def next_tick_us(standing: Standing, now_us: int, *, is_due: bool = False) -> int:
    """When a sync's next run is due after now, 0 for never. is_due: one is due now."""
    schedule, capabilities = standing.options.schedule, standing.mapping.capabilities
    now, last_us = moment(now_us), read_memory(standing.sync.memory).last_upload_us
    if not capabilities.takes_whole_lists:
        return micros(next_tick(schedule, after=now))
    last = moment(last_us) if last_us else None
    gap_s, every_s = capabilities.full_replace_min_gap_s, capabilities.full_replace_every_s
    if last is None or every_s is None:
        return micros(next_tick(schedule, after=now))
    if is_due and not is_list_due(now=now, last_upload_at=last, min_gap_s=gap_s):
        # This one will be skipped. Where the next comes when the list is too old, it goes out as soon as it may: a day after an
        # upload by hand, the next tick of the schedule would come too soon again, and so on every day.
        tick = next_tick(schedule, after=now)
        is_too_late = tick is not None and tick > last + timedelta(seconds=every_s)
        return micros(last + timedelta(seconds=gap_s or 0) if is_too_late else tick)
    # A run that is due now uploads now. An edit or a resume starts none at once, however old the list is: it has a day from then.
    is_fresh = not is_due and now - last < timedelta(seconds=every_s)
    return micros(next_list_tick(schedule, after=now, last_upload_at=last if is_fresh else now, full_every_s=every_s))


def _noted(tx: StateTx, standing: Standing) -> Standing:
    """Note what the mapping says, so that it is known before the first run and while the sync is paused."""
    memory, options = read_memory(standing.sync.memory), standing.options
    said = (options.mode, schedule_words(options.schedule))
    if standing.parked is not None or (memory.said_mode, memory.said_schedule) == said:
        return standing
    memory = replace(memory, said_mode=said[0], said_schedule=said[1])
    sync = replace(standing.sync, memory=encode_json(memory))
    tx.save_sync(sync)
    return replace(standing, sync=sync)


def _forget_old_news(tx: StateTx, standing: Standing, oldest_us: int) -> None:
    """A sync that follows events no more leaves what it had gathered to its runs: one over everybody that began later has it."""
    if isinstance(standing.options.schedule, Continuous):
        return
    whole = tx.finished_runs(standing.sync.id, limit=1)
    if whole and oldest_us < whole[0].started_us:
        tx.drop_news(standing.sync.id, before_us=whole[0].started_us, limit=NEWS_DROPPED_MAX)


def _follows_events(standing: Standing, oldest_us: int, count: int, *, now_us: int) -> bool:
    """Whether a continuous sync has gathered events for long enough, or as many as one batch holds."""
    schedule = standing.options.schedule
    if not isinstance(schedule, Continuous) or not count or standing.sync.status not in ("active", "errored"):
        return False
    if awaits_first_approval(standing):
        return False
    return now_us - oldest_us >= schedule.max_delay_s * 1_000_000 or count >= standing.mapping.batch_events_max


def _spread(tx: StateTx, syncs: Sequence[int], now_us: int) -> None:
    """Let runs that make up for missed ticks start one after the other, the oldest tick first."""
    runs = [run for run in (tx.queued_run(sync) for sync in syncs) if run is not None]
    runs.sort(key=lambda run: run.scheduled_us)
    for run, delay_s in zip(runs, catch_up_delays_s(len(runs)), strict=True):
        tx.save_run(replace(run, due_us=now_us + round(delay_s * 1_000_000)))
