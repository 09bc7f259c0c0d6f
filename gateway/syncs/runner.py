"""One run on its way, a bounded step at a time: start, plan, guards, records, deliveries, close. It survives at every step.

Everything a step does is in one transaction with the run's progress, so that whoever takes it up again goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import assert_never

from msgspec.structs import replace

from gateway.core.guards import check_guards, is_held, is_still_approved
from gateway.core.rulebook import Rulebook
from gateway.core.run_timing import is_list_due
from gateway.core.sync_plan import PlanRules, RunKind, is_resend_due, kind_of_run
from gateway.store.api import StateStore, StateTx, StateView
from gateway.store.sync_rows import RunRow
from gateway.syncs.ahead import Ahead, begun, listed_before, look_ahead
from gateway.syncs.alarms import end_held
from gateway.syncs.closing import close_run
from gateway.syncs.holding import shelve
from gateway.syncs.list_records import RecordsOfList
from gateway.syncs.memory import (
    Compared,
    Progress,
    SyncMemory,
    encode_json,
    read_memory,
    read_progress,
    with_mode,
)
from gateway.syncs.names import (
    FIRST_RUN_WAITS,
    Standing,
    awaits_first_approval,
    is_connected,
    source_quiet_s,
    standing_in,
)
from gateway.syncs.planner import Page, count_page, digested, operations_of, plan_page
from gateway.syncs.renewal import Refresh, Renewal
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
from gateway.syncs.whole_lists import ENDED_LIST, changes_page, freeze, judge_list, take_in

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
        self.renewal = Renewal(state=state, rulebook=rulebook, refresh=refresh)
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
        if progress.stage == "refresh":
            return await self._refreshed(run, standing, progress)
        if progress.stage == "count":
            return await self._count(run, standing)
        ahead = await self._state.read(lambda view: look_ahead(view, run, standing))
        lanes: set[str] = set()
        went_on = await self._state.write(lambda tx: self._step(tx, run_id, lanes, ahead))
        if lanes:
            self._wake_lanes(lanes)
        return went_on

    async def _refreshed(self, run: RunRow, standing: Standing, progress: Progress) -> bool:
        """One page of records is made anew; then the run begins."""
        last = await self.renewal.page(standing, progress.after)

        def go_on(tx: StateTx) -> bool:
            found = tx.run(run.id)
            if found is None or read_progress(found.progress).stage != "refresh":
                return False
            # Edited meanwhile: the first look sees that the records are of several versions, and has them made once more.
            is_same = self.renewal.keep(tx, standing, last)
            stage = "start" if last is None or not is_same else "refresh"
            tx.save_run(replace(found, progress=encode_json(replace(progress, stage=stage, after=last or 0))))
            return True

        return await self._state.write(go_on)

    async def _count(self, run: RunRow, standing: Standing) -> bool:
        """Count what the plan passes over; then it begins."""
        everybody = standing.options.log.skipped
        listed, settled = await self._state.read(
            lambda view: listed_before(view, run, standing.sync, everybody=everybody)
        )

        def go_on(tx: StateTx) -> bool:
            found = tx.run(run.id)
            if found is None or read_progress(found.progress).stage != "count":
                return False
            tx.save_run(begun(found, listed, settled, everybody=everybody))
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
        return run, standing_in(view, sync, self._rulebook()) if sync is not None else None

    def _step(self, tx: StateTx, run_id: int, lanes: set[str], ahead: Ahead) -> bool:
        run, standing = self.look(tx, run_id)
        if run is None or standing is None or run.status not in ("planning", "sending"):
            return False
        ledger = self.ledger(tx, run, standing)
        went_on = self._stage(ledger, standing, lanes, ahead)
        ledger.save()
        return went_on

    def _stage(self, ledger: RunLedger, standing: Standing, lanes: set[str], ahead: Ahead) -> bool:
        match ledger.progress.stage:
            case "start":
                self._start(ledger, standing)
            case "plan" | "refresh" | "count":
                return True
            case "move":
                return move(ledger)
            case "freeze":
                freeze(ledger, standing)
            case "judge":
                return self._judge(ledger, standing, ahead.compared)
            case "shelve":
                return shelve(ledger, standing)
            case "keep":
                keep(ledger)
            case "send":
                return send(ledger, standing, lanes)
            case "tell" | "mark" | "strip":
                take_in(ledger, ahead.told, everybody=standing.options.log.skipped)
            case "snap":
                keep_part(ledger, standing, ahead.part)
            case "undo":
                return undo(ledger)
            case "close":
                close_run(ledger, standing, listed=ahead.listed)
                return False
            case _:
                assert_never(ledger.progress.stage)
        return True

    # the first look ------------------------------------------------------------------------------------------------
    def _start(self, ledger: RunLedger, standing: Standing) -> None:
        run, tx, now_us = ledger.run, ledger.tx, ledger.now_us
        if run.approved_by and tx.drop_results(run.id, limit=PIECE_ROWS):
            return  # lines of the plan that was held: the one that is made now has its own
        capabilities = standing.mapping.capabilities
        started_us, version = run.started_us or now_us, standing.mapping.version
        ledger.run = run = replace(run, started_us=started_us, config=version, reason="")  # why it was held is over
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
        ledger.progress = replace(ledger.progress, mode=standing.options.mode)
        kind: str = run.kind or kind_of_run(
            is_first=not memory.has_run,
            mode=standing.options.mode,
            initial=standing.options.initial,
            capabilities=capabilities,
            owes_resend=memory.owes_resend
            or is_resend_due(standing.options.resend_every_s, last_us=memory.all_added_us, now_us=now_us),
        )
        ledger.run = replace(run, kind=kind)
        if kind not in ("clear", "live") and self.renewal.is_due(standing):
            self.renewal.begin(tx, standing)
            ledger.progress = replace(ledger.progress, stage="refresh", after=0)
            return
        if kind == "replace":
            trigger = run.trigger if run.trigger in ("manual", "api", "approval") else "schedule"
            last = moment(memory.last_upload_us) if memory.last_upload_us else None
            gap_s = capabilities.full_replace_min_gap_s
            if not is_list_due(now=moment(now_us), last_upload_at=last, min_gap_s=gap_s, trigger=trigger):  # type: ignore[arg-type] # one of these
                ledger.progress = Progress(stage="close", ends_as="skipped", outcome="not_due")
                return
            ledger.counters.list_before = standing.sync.listed
            ledger.progress = replace(ledger.progress, stage="freeze", after=0)
            return
        ledger.progress = replace(ledger.progress, stage="count", after=0)

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
            erasures_only=kind == "live"
            and (standing.sync.status in ("paused", "deleted") or awaits_first_approval(standing)),
        )

    async def _plan(self, run: RunRow, standing: Standing, progress: Progress) -> bool:
        """Plan one page beside the writer, then keep it together with the run's progress."""

        def plan(view: StateView) -> tuple[Page, list[int] | None]:
            about = None
            is_live = run.kind == "live"
            rules = self.rules(standing, run.kind, removals_held=is_live and view.held_run(run.sync) is not None)
            rules = replace(rules, mode=progress.mode or rules.mode)
            if is_live:
                about = view.erased_members(run.sync, limit=LIVE_MEMBERS_MAX)
                if not rules.erasures_only:
                    about += view.touched(run.sync, limit=LIVE_MEMBERS_MAX)
            records = RecordsOfList(sync=run.sync)
            page = plan_page(view, records, rules, after=progress.after, members=about, everybody=progress.everybody)
            return page, about

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
            elif planned.bucket in ("skipped", "unchanged") and standing.options.log.skipped:
                ledger.log(row.member, operation="", status="skipped", stage="", code=planned.reason or "unchanged")
        is_done = page.after is None
        ledger.progress = replace(
            ledger.progress,
            stage="judge" if is_done else "plan",
            after=0 if page.after is None else page.after,
            digest=digested(ledger.progress.digest, page),
        )
        ledger.save()
        return True

    def _judge(self, ledger: RunLedger, standing: Standing, compared: Compared | None) -> bool:
        """Guards over the whole plan: go on, or hold it for a person."""
        run, tx = ledger.run, ledger.tx
        if run.kind == "replace" and not judge_list(ledger, standing, compared):
            return True
        quiet_s = source_quiet_s(standing.audience, ledger.now_us)
        facts = ledger.counters.facts(source_quiet_s=quiet_s, is_initial=not read_memory(standing.sync.memory).has_run)
        held_before = ledger.progress.facts
        # A live run is about a few people, the plan's shares say nothing of it.
        findings = [] if run.kind in ("clear", "live") else check_guards(standing.options.guards, facts)
        needs_approval = run.kind not in ("clear", "live") and awaits_first_approval(standing)
        is_stopped = is_held(findings) or needs_approval
        if is_stopped and run.approved_by and held_before is not None:
            held_by = frozenset(one.guard for one in ledger.progress.findings)
            is_stopped = not is_still_approved(held_before, facts, held_by=held_by, findings=findings)
        ledger.progress = replace(ledger.progress, facts=facts, findings=tuple(findings), planned_us=ledger.now_us)
        if is_stopped:
            reason = " ".join(one.message for one in findings if one.reaction == "hold") or FIRST_RUN_WAITS
            ledger.progress = replace(ledger.progress, stage="shelve", message=reason)
            return True
        if run.kind != "live":  # a live run may go on beside a held one
            end_held(tx, standing, run=run.id, now_us=ledger.now_us)
        ledger.progress = replace(ledger.progress, stage="send" if run.kind == "replace" else "keep")
        ledger.run = replace(run, status="sending")
        return True

    def _end(self, tx: StateTx, run: RunRow) -> None:
        """Stop a run of another sync: nothing more of it goes out."""
        sync = tx.sync(run.sync)
        assert sync is not None, "its run is there"
        ledger = self.ledger(tx, run, standing_in(tx, sync, self._rulebook()))
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
        if ledger.progress.stage in ("start", "move", "refresh", "count"):
            ledger.progress = replace(ledger.progress, stage="close", ends_as="skipped", outcome="destination_disabled")
            close_run(ledger, None)
            ledger.save()
            return False
        went_on = True
        if ledger.progress.stage in ENDED_LIST:
            sync = tx.sync(run.sync)
            assert sync is not None, "its run is there"
            take_in(ledger, changes_page(tx, run, sync.listed_run), everybody=False)
        elif ledger.progress.stage not in ("snap", "close"):
            if ledger.progress.stage != "undo":
                stop_run(ledger, ends_as="cancelled", message="The mapping is gone from the files.")
            went_on = shelve(ledger, None) if ledger.progress.stage == "shelve" else undo(ledger)
        if ledger.progress.stage in ("snap", "close"):
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
        has_snapshots=standing.options.snapshots_kept > 0,
        mapping_version=standing.mapping.version,
        destination_version=standing.destination.definition.version,
    )


_kinds: tuple[RunKind, ...] = ("initial", "adopt", "diff", "resend", "replace", "clear", "live")


def _kind(text: str) -> RunKind:
    return next((kind for kind in _kinds if kind == text), "diff")
