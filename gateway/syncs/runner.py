"""One run on its way, a bounded step at a time: start, plan, guards, records, deliveries, close. It survives at every step.

Everything a step does is in one transaction with the run's progress, so that whoever takes it up again goes on from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import assert_never

from msgspec.structs import replace

from gateway.core.guards import check_guards, is_held, is_still_approved
from gateway.core.rulebook import Rulebook
from gateway.core.run_timing import is_list_due
from gateway.core.sync_plan import PlanRules, RunKind, is_resend_due, kind_of_run
from gateway.observe import metrics
from gateway.store.api import StateStore, StateTx, StateView
from gateway.store.sync_rows import IN_THE_MAKING, RunRow
from gateway.syncs.alarms import end_held, raise_held
from gateway.syncs.closing import close_run
from gateway.syncs.list_records import RecordsOfList
from gateway.syncs.memory import (
    Progress,
    SyncMemory,
    encode_json,
    read_memory,
    read_progress,
    with_mode,
)
from gateway.syncs.names import Standing, is_connected, source_quiet_s, standing_of
from gateway.syncs.planner import LOOKS_AT_ALL, Page, count_page, operations_of, plan_page
from gateway.syncs.sending import end_waiting, keep, send, stop_run, undo
from gateway.syncs.settling import (
    Attempted,
    RunLedger,
    Terms,
    settle_attempts,
    settle_list,
)
from gateway.syncs.snapshots import keep_part
from gateway.syncs.targets import move, settle_target
from gateway.syncs.whole_lists import freeze, judge_list, mark, strip

Refresh = Callable[[int, str, int, int], Awaitable[int | None]]
"""(sync, mapping, audience, member behind which to go on) → the last member made anew, None at the end."""

PIECE_ROWS = 1_000
NOT_CONNECTED = "The platform's list is not known: give its `external_id`, or `create`, in the mapping's `audiences`."
LIVE_MEMBERS_MAX = 1_000  # of one live run; the others have the next one
_US_PER_S = 1_000_000


def moment(us: int) -> datetime:
    """A time in microseconds as core's schedules take it."""
    return datetime.fromtimestamp(us / _US_PER_S, UTC)


class Runner:
    """Takes runs from step to step. One at a time may call it for one run."""

    def __init__(
        self,
        *,
        state: StateStore,
        rulebook: Callable[[], Rulebook],
        clock: Callable[[], int],
        reference_key: bytes,
        wake_lanes: Callable[[set[str]], None],
        refresh: Refresh | None = None,
    ) -> None:
        """refresh: makes a page of a sync's records anew, where events can be read again."""
        self._refresh = refresh
        self._state = state
        self._rulebook = rulebook
        self._clock = clock
        self._reference_key = reference_key
        self._wake_lanes = wake_lanes

    async def advance(self, run_id: int) -> bool:
        """One step of an open run; False where it has to wait for something (or has ended)."""
        run, standing = await self._state.read(lambda view: self.look(view, run_id))
        if run is None or run.status not in ("planning", "sending"):
            return False
        progress = read_progress(run.progress)
        if standing is None:
            return await self._state.write(lambda tx: self._give_up(tx, run_id))
        if progress.stage == "plan":
            return await self._plan(run, standing, progress)
        if progress.stage == "refresh" and self._refresh is not None:
            return await self._refreshed(run, standing, progress)
        lanes: set[str] = set()
        went_on = await self._state.write(lambda tx: self._step(tx, run_id, lanes))
        if lanes:
            self._wake_lanes(lanes)
        return went_on

    async def _refreshed(self, run: RunRow, standing: Standing, progress: Progress) -> bool:
        """One page of records is made anew; then the run begins."""
        assert self._refresh is not None
        sync = standing.sync
        last = await self._refresh(sync.id, sync.mapping, sync.audience, progress.after)

        version = standing.mapping.version
        served = self._rulebook().mapping(sync.mapping)
        is_same = served is not None and served[1].version == version

        def go_on(tx: StateTx) -> bool:
            found, kept = tx.run(run.id), tx.sync(sync.id)
            if found is None or kept is None or read_progress(found.progress).stage != "refresh":
                return False
            is_whole = is_same and kept.rendering == IN_THE_MAKING + version
            if last is None and is_whole:
                tx.save_sync(replace(kept, rendering=version))
            # Edited meanwhile: the first look sees that the records are of several versions, and has them made once more.
            stage = "start" if last is None or not is_whole else "refresh"
            tx.save_run(replace(found, progress=encode_json(replace(progress, stage=stage, after=last or 0))))
            return True

        return await self._state.write(go_on)

    def ledger(self, tx: StateTx, run: RunRow, standing: Standing | None) -> RunLedger:
        """The run inside a transaction."""
        return RunLedger(tx, run, _terms(standing), reference_key=self._reference_key, now_us=self._clock())

    def settled(self, tx: StateTx, run_id: int, attempts: Sequence[Attempted]) -> None:
        """Take in attempts of one run, within the transaction that settles its deliveries."""
        run, standing = self.look(tx, run_id)
        if run is None:
            return
        ledger = self.ledger(tx, run, standing)
        lists = [one for one in attempts if one.row.operation == "replace"]
        singles = [one for one in attempts if one.row.operation != "replace"]
        if lists:
            settle_list(ledger, lists)
        if singles:
            settle_attempts(ledger, singles)
        ledger.save()

    def look(self, view: StateView, run_id: int) -> tuple[RunRow | None, Standing | None]:
        """A run, and its sync with everything it needs; None for what is not there (any more)."""
        run = view.run(run_id)
        if run is None:
            return None, None
        sync = view.sync(run.sync)
        audiences = {one.id: one for one in view.audiences()}
        return run, standing_of(sync, audiences, self._rulebook()) if sync is not None else None

    def _step(self, tx: StateTx, run_id: int, lanes: set[str]) -> bool:
        run, standing = self.look(tx, run_id)
        if run is None or standing is None or run.status not in ("planning", "sending"):
            return False
        ledger = self.ledger(tx, run, standing)
        went_on = self._stage(ledger, standing, lanes)
        ledger.save()
        return went_on

    def _stage(self, ledger: RunLedger, standing: Standing, lanes: set[str]) -> bool:
        match ledger.progress.stage:
            case "start":
                self._start(ledger, standing)
            case "plan" | "refresh":
                return True
            case "move":
                return move(ledger)
            case "freeze":
                freeze(ledger, standing)
            case "judge":
                return self._judge(ledger, standing)
            case "keep":
                keep(ledger)
            case "send":
                return send(ledger, standing, lanes)
            case "mark":
                mark(ledger)
            case "strip":
                strip(ledger)
            case "snap":
                keep_part(ledger, standing)
            case "undo":
                return undo(ledger)
            case "close":
                close_run(ledger, standing)
                return False
            case _:
                assert_never(ledger.progress.stage)
        return True

    # the first look ------------------------------------------------------------------------------------------------
    def _start(self, ledger: RunLedger, standing: Standing) -> None:
        run, tx, now_us = ledger.run, ledger.tx, ledger.now_us
        capabilities = standing.mapping.capabilities
        is_fresh = standing.sync.rendering == standing.mapping.version
        ledger.run = run = replace(run, started_us=run.started_us or now_us, config=standing.mapping.version)
        if not standing.is_enabled:
            ledger.progress = Progress(stage="close", ends_as="skipped", outcome="destination_disabled")
            return
        if not is_connected(standing):
            ledger.progress = Progress(
                stage="close", ends_as="skipped", outcome="audience_not_connected", message=NOT_CONNECTED
            )
            return
        ledger.run = run = replace(run, started_us=run.started_us or now_us)
        if not settle_target(ledger, standing, self._rulebook(), lambda other: self._end(tx, other)):
            return
        memory = _remember_mode(tx, run.sync, standing)
        kind: str = run.kind or kind_of_run(
            is_first=not memory.has_run,
            mode=standing.options.mode,
            initial=standing.options.initial,
            capabilities=capabilities,
            owes_resend=memory.owes_resend
            or is_resend_due(standing.options.resend_every_s, last_us=memory.all_added_us, now_us=now_us),
        )
        ledger.run = replace(run, kind=kind)
        if self._refresh is not None and not is_fresh and kind not in ("clear", "live"):
            sync = tx.sync(run.sync)
            assert sync is not None, "its run is there"
            tx.save_sync(replace(sync, rendering=IN_THE_MAKING + standing.mapping.version))
            ledger.progress = replace(ledger.progress, stage="refresh", after=0)
            return
        if kind == "replace":
            trigger = run.trigger if run.trigger in ("manual", "api", "approval") else "schedule"
            last = moment(memory.last_upload_us) if memory.last_upload_us else None
            gap_s = capabilities.full_replace_min_gap_s
            if not is_list_due(now=moment(now_us), last_upload_at=last, min_gap_s=gap_s, trigger=trigger):  # type: ignore[arg-type] # one of these
                ledger.progress = Progress(stage="close", ends_as="skipped", outcome="not_due")
                return
            ledger.counters.list_before = tx.list_size(standing.sync.listed_run) if standing.sync.listed_run else 0
            ledger.progress = replace(ledger.progress, stage="freeze", after=0)
            return
        ledger.counters.list_before = tx.listed_count(run.sync)
        if kind not in LOOKS_AT_ALL and kind != "live":
            settled = tx.settled_count(run.sync)
            ledger.counters.considered += settled
            ledger.counters.unchanged += settled
            ledger.counters.members_in += settled
        ledger.progress = replace(ledger.progress, stage="plan", after=0)

    # single changes ------------------------------------------------------------------------------------------------
    def rules(self, standing: Standing, kind: str, *, removals_held: bool = False) -> PlanRules:
        """What holds for every member of a run."""
        return PlanRules(
            mode=standing.options.mode,
            kind=_kind(kind),
            now_us=self._clock(),
            retry=standing.options.retry,
            capabilities=standing.mapping.capabilities,
            mapping_version=standing.mapping.version,
            destination_version=standing.destination.definition.version,
            removals_held=removals_held,
            # A run that a person ordered while it is paused, or that went on when it was, is a run like any other.
            erasures_only=kind == "live" and standing.sync.status in ("paused", "deleted"),
        )

    async def _plan(self, run: RunRow, standing: Standing, progress: Progress) -> bool:
        """Plan one page beside the writer, then keep it together with the run's progress."""

        def plan(view: StateView) -> tuple[Page, list[int] | None]:
            about = None
            is_live = run.kind == "live"
            rules = self.rules(standing, run.kind, removals_held=is_live and view.held_run(run.sync) is not None)
            if is_live:
                about = view.erased_members(run.sync, limit=LIVE_MEMBERS_MAX)
                if not rules.erasures_only:
                    about += view.touched(run.sync, limit=LIVE_MEMBERS_MAX)
            return plan_page(view, RecordsOfList(sync=run.sync), rules, after=progress.after, members=about), about

        page, about = await self._state.read(plan)
        return await self._state.write(lambda tx: self._keep_page(tx, run.id, standing, page, progress.after, about))

    def _keep_page(
        self, tx: StateTx, run_id: int, standing: Standing, page: Page, after: int, about: list[int] | None
    ) -> bool:
        run = tx.run(run_id)
        if run is None or run.status != "planning":
            return False
        ledger = self.ledger(tx, run, standing)
        if ledger.progress.stage != "plan" or ledger.progress.after != after:
            return False
        if about is not None:
            tx.drop_touched(run.sync, about)
        count_page(page, ledger.counters)
        tx.add_planned(operations_of(page, run_id))
        for row, _member, planned in page.members:
            if planned.bucket == "rejected":
                ledger.log(row.member, operation="add", status="rejected", stage="mapping", code=planned.reason)
        is_done = page.after is None
        ledger.progress = replace(
            ledger.progress, stage="judge" if is_done else "plan", after=0 if page.after is None else page.after
        )
        ledger.save()
        return True

    def _judge(self, ledger: RunLedger, standing: Standing) -> bool:
        """Guards over the whole plan: go on, or hold it for a person."""
        run, tx = ledger.run, ledger.tx
        if run.kind == "replace" and not judge_list(ledger, standing):
            return True
        quiet_s = source_quiet_s(standing.audience, ledger.now_us)
        facts = ledger.counters.facts(source_quiet_s=quiet_s, is_initial=not read_memory(standing.sync.memory).has_run)
        held_before = ledger.progress.facts
        # A live run is about a few people, the plan's shares say nothing of it.
        findings = [] if run.kind in ("clear", "live") else check_guards(standing.options.guards, facts)
        needs_approval = (
            standing.options.first_run_approval and facts.is_initial and not (run.approved_by or run.kind == "live")
        )
        is_stopped = is_held(findings) or needs_approval
        if is_stopped and run.approved_by and held_before is not None:
            held_by = frozenset(one.guard for one in ledger.progress.findings)
            is_stopped = not is_still_approved(held_before, facts, held_by=held_by, findings=findings)
        ledger.progress = replace(ledger.progress, facts=facts, findings=tuple(findings), planned_us=ledger.now_us)
        if is_stopped:
            reason = (
                " ".join(one.message for one in findings if one.reaction == "hold")
                or "The first run waits for a person."
            )
            ledger.run = replace(run, status="held", reason=reason, approved_by="")
            while tx.drop_plan(run.id, limit=PIECE_ROWS):
                pass
            tx.drop_list(run.id, limit=2**31)
            raise_held(tx, standing, run=run.id, now_us=ledger.now_us, reason=reason)
            metrics.SYNC_HELD.labels(standing.name).set(1)
            return False
        if run.kind != "live":  # a live run may go on beside a held one
            end_held(tx, standing, run=run.id, now_us=ledger.now_us)
        ledger.progress = replace(ledger.progress, stage="send" if run.kind == "replace" else "keep")
        ledger.run = replace(run, status="sending")
        return True

    def _end(self, tx: StateTx, run: RunRow) -> None:
        """Stop a run of another sync: nothing more of it goes out."""
        sync = tx.sync(run.sync)
        assert sync is not None, "its run is there"
        audiences = {one.id: one for one in tx.audiences()}
        ledger = self.ledger(tx, run, standing_of(sync, audiences, self._rulebook()))
        message = "Its list is kept by another run now."
        if run.status in ("queued", "held"):
            end_waiting(ledger, message)
        else:
            stop_run(ledger, ends_as="cancelled", message=message)
        ledger.save()

    def _give_up(self, tx: StateTx, run_id: int) -> bool:
        """The mapping is gone: nothing of the run can be sent any more."""
        run = tx.run(run_id)
        if run is None:
            return False
        ledger = self.ledger(tx, run, None)
        if ledger.progress.stage in ("start", "move", "refresh"):
            ledger.progress = replace(ledger.progress, stage="close", ends_as="skipped", outcome="destination_disabled")
            close_run(ledger, None)
            ledger.save()
            return False
        if ledger.progress.stage != "undo":
            ledger.progress = replace(
                ledger.progress, stage="undo", ends_as="cancelled", message="The mapping is gone from the files."
            )
        went_on = undo(ledger)
        if ledger.progress.stage == "close":
            close_run(ledger, None)
            went_on = False
        ledger.save()
        return went_on


def _remember_mode(tx: StateTx, number: int, standing: Standing) -> SyncMemory:
    """The sync's memory with today's mode in it."""
    sync = tx.sync(number)
    assert sync is not None, "its run is there"
    before = read_memory(sync.memory)
    memory = with_mode(before, standing.options.mode)
    if memory != before:
        tx.save_sync(replace(sync, memory=encode_json(memory)))
    return memory


def _terms(standing: Standing | None) -> Terms:
    if standing is None:
        return Terms()
    return Terms(
        retry=standing.options.retry,
        breaker=standing.destination.definition.run_breaker,
        log=standing.options.log,
        mapping_version=standing.mapping.version,
        destination_version=standing.destination.definition.version,
    )


_kinds: tuple[RunKind, ...] = ("initial", "adopt", "diff", "resend", "replace", "clear", "live")


def _kind(text: str) -> RunKind:
    return next((kind for kind in _kinds if kind == text), "diff")
