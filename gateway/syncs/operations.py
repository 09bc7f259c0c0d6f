"""What a person may order of syncs and runs. Every order is one transaction; the loop is woken behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec.structs import replace

from gateway.core.errors import OrderError
from gateway.core.rulebook import Rulebook
from gateway.core.schedules import next_tick
from gateway.destinations.base import Destination
from gateway.store.api import StateStore, StateTx, StateView
from gateway.store.rows import AudienceRow
from gateway.store.sync_rows import ABSENT, IN, UNSURE, RunRow, SyncRow
from gateway.syncs.dry_runs import plan_sync
from gateway.syncs.memory import Progress, encode_json, read_memory, read_more, read_progress
from gateway.syncs.names import find_sync, standing_of, sync_name
from gateway.syncs.runner import moment
from gateway.syncs.scheduler import Syncs, micros
from gateway.syncs.sending import stop_run
from gateway.syncs.showing import Shown, result_line, run_line, run_page, sync_list, sync_page
from gateway.syncs.snapshots import difference

PIECE_RECORDS = 1_000
KINDS = ("", "diff", "resend")
UNDELETE_US = 30 * 86_400 * 1_000_000


class SyncOrders:
    """The verbs of syncs and runs for one engine."""

    def __init__(
        self,
        *,
        state: StateStore,
        syncs: Syncs,
        rulebook: Callable[[], Rulebook],
        clock: Callable[[], int],
        registry: Mapping[str, Destination],
        reference_key: bytes,
    ) -> None:
        self._registry = registry
        self._reference_key = reference_key
        self._state = state
        self._syncs = syncs
        self._rulebook = rulebook
        self._clock = clock

    async def list_syncs(self) -> list[Shown]:
        """All syncs, one line each."""
        return await self._state.read(sync_list)

    async def show_sync(self, name: str) -> Shown:
        """One sync."""
        return await self._state.read(lambda view: sync_page(view, *self._found(view, name)))

    async def list_runs(self, name: str = "", *, before_id: int = 0, limit: int = 100) -> list[Shown]:
        """Runs, newest first, of one sync or of all."""

        def look(view: StateView) -> list[Shown]:
            sync = self._found(view, name)[0].id if name else 0
            return [run_line(run) for run in view.runs(sync=sync, before_id=before_id, limit=limit)]

        return await self._state.read(look)

    async def show_run(self, run: int) -> Shown:
        """One run."""

        def look(view: StateView) -> Shown:
            found = view.run(run)
            if found is None:
                raise OrderError(404, "unknown_run", f"There is no run {run}.")
            return run_page(view, found)

        return await self._state.read(look)

    async def run_log(self, run: int, *, after: int = 0, limit: int = 1000) -> list[Shown]:
        """The sync log of one run, in order."""
        rows = await self._state.read(lambda view: view.row_results(run=run, after_seq=after, limit=limit))
        return [result_line(row) for row in rows]

    async def diff_runs(self, older: int, newer: int) -> Shown:
        """Who came, went and changed between two runs."""
        found = await self._state.read(lambda view: difference(view, older, newer, reference_key=self._reference_key))
        if found is None:
            raise OrderError(404, "no_snapshot", f"Of run {older} or {newer} no snapshot is kept.")
        return found

    async def plan(self, name: str, *, kind: str = "", reveal: bool = False) -> Shown:
        """What the next run would do; nothing is sent."""
        found = await self._state.read(lambda view: self._found(view, name))
        standing = standing_of(found[0], {found[1].id: found[1]}, self._rulebook())
        if standing is None:
            raise OrderError(409, "not_served", f"No mapping serves {name} any more: put its entry back first.")
        return await plan_sync(
            self._state,
            standing,
            kind=kind,
            rules=lambda chosen: self._syncs.runner.rules(standing, chosen),
            registry=self._registry,
            reference_key=self._reference_key,
            reveal=reveal,
        )

    async def run(self, name: str, *, kind: str = "", while_paused: bool = False, trigger: str = "manual") -> Shown:
        """Queue a run now; "resend" adds everybody again. Where one is queued already, that one is given back."""
        if kind not in KINDS:
            raise OrderError(400, "invalid_kind", f"`kind` must be one of {', '.join(KINDS[1:])}, or left out.")

        def order(tx: StateTx) -> RunRow:
            sync, _audience = self._found(tx, name)
            if sync.status == "deleted":
                raise OrderError(409, "deleted", f"{name} is deleted.")
            if sync.status == "paused" and not while_paused:
                raise OrderError(409, "paused", f"{name} is paused: resume it, or say `--while-paused`.")
            if tx.queued_run(sync.id) is None:
                now_us = self._clock()
                tx.add_run(RunRow(id=0, sync=sync.id, kind=kind, trigger=trigger, queued_us=now_us, due_us=now_us))
            queued = tx.queued_run(sync.id)
            assert queued is not None, "it was just made"
            return queued

        return await self._ordered(order)

    async def pause(self, name: str, *, now: bool = False) -> Shown:
        """No more runs of the schedule; `now` stops the one that is open, too. Deletions still go out."""

        def order(tx: StateTx) -> SyncRow:
            sync, _audience = self._found(tx, name)
            sync = replace(sync, status="paused", updated_us=self._clock())
            tx.save_sync(sync)
            running = tx.open_run(sync.id)
            if now and running is not None:
                self._stop(tx, running, "The sync was paused.")
            queued = tx.queued_run(sync.id)
            if queued is not None:
                tx.save_run(
                    replace(
                        queued, status="skipped", reason="paused", started_us=self._clock(), finished_us=self._clock()
                    )
                )
            return sync

        return _standing(await self._written(order))

    async def resume(self, name: str, *, run: bool = False) -> Shown:
        """Go on with the next tick; what passed meanwhile is no missed tick."""

        def order(tx: StateTx) -> SyncRow:
            sync, audience = self._found(tx, name)
            standing = standing_of(sync, {audience.id: audience}, self._rulebook())
            now_us = self._clock()
            next_us = 0
            if standing is not None:
                next_us = micros(next_tick(standing.options.schedule, after=moment(now_us)))
            sync = replace(sync, status="active", next_us=next_us, updated_us=now_us)
            tx.save_sync(sync)
            return sync

        sync = await self._written(order)
        if run:
            await self.run(name)
        return _standing(sync)

    async def cancel(self, run: int) -> Shown:
        """Stop a run: what is on its way is awaited, the rest counts as cancelled and is planned again by the next."""

        def order(tx: StateTx) -> RunRow:
            found = self._open(tx, run)
            if found.status == "queued":
                stopped = replace(
                    found,
                    status="cancelled",
                    reason="cancelled by a person",
                    started_us=self._clock(),
                    finished_us=self._clock(),
                )
                tx.save_run(stopped)
                return stopped
            return self._stop(tx, found, "cancelled by a person")

        return await self._ordered(order)

    async def approve(self, run: int, *, by: str) -> Shown:
        """Let a held run go: it is planned anew, and sent where the numbers are about those that were shown."""

        def order(tx: StateTx) -> RunRow:
            found = self._open(tx, run)
            if found.status != "held":
                raise OrderError(409, "not_held", f"Run {run} is {found.status}, not held.")
            shown = read_progress(found.progress)
            again = replace(
                found,
                status="planning",
                approved_by=by or "somebody",
                counters=b"",
                progress=encode_json(Progress(stage="start", facts=shown.facts, findings=shown.findings)),
            )
            tx.save_run(again)
            return again

        return await self._ordered(order)

    async def reject(self, run: int) -> Shown:
        """End a held run; the next tick plans anew."""

        def order(tx: StateTx) -> RunRow:
            found = self._open(tx, run)
            if found.status != "held":
                raise OrderError(409, "not_held", f"Run {run} is {found.status}, not held.")
            ended = replace(found, status="cancelled", reason="rejected by a person", finished_us=self._clock())
            tx.save_run(ended)
            return ended

        return await self._ordered(order)

    async def clear(self, name: str) -> Shown:
        """Take everybody off the list."""
        return await self._queue_clear(name, then_delete=False)

    async def delete(self, name: str, *, clear: bool = False) -> Shown:
        """End a sync; its members stay on the list unless `clear`. It can be brought back for 30 days."""
        if clear:
            return await self._queue_clear(name, then_delete=True)

        def order(tx: StateTx) -> SyncRow:
            sync, _audience = self._found(tx, name)
            running = tx.open_run(sync.id) or tx.queued_run(sync.id)
            if running is not None:
                raise OrderError(409, "running", f"Run {running.id} of {name} is {running.status}: cancel it first.")
            sync = replace(sync, status="deleted", next_us=0, deleted_us=self._clock(), updated_us=self._clock())
            tx.save_sync(sync)
            return sync

        return _standing(await self._written(order))

    async def undelete(self, name: str) -> Shown:
        """Bring a deleted sync back, with everything it knew."""

        def order(tx: StateTx) -> SyncRow:
            sync, _audience = self._found(tx, name)
            if sync.status != "deleted":
                raise OrderError(409, "not_deleted", f"{name} is {sync.status}.")
            memory = replace(read_memory(sync.memory), schedule=" ")  # so that the next look gives it its next tick
            sync = replace(sync, status="active", deleted_us=0, updated_us=self._clock(), memory=encode_json(memory))
            tx.save_sync(sync)
            return sync

        return _standing(await self._written(order))

    async def retry(self, name: str) -> Shown:
        """Try again, with the next run, what is quarantined, backing off or given up."""
        return await self._each_record(name, "retry")

    async def resolve(self, name: str, *, listed: bool) -> Shown:
        """Say of all unsure members that they are on the list, or that they are not."""
        return await self._each_record(name, "listed" if listed else "not_listed")

    async def reset(self, name: str) -> Shown:
        """Forget what the platform holds: everybody who is in is added anew, who left can not be removed any more."""
        return await self._each_record(name, "reset")

    # inside ------------------------------------------------------------------------------------------------------------
    async def _queue_clear(self, name: str, *, then_delete: bool) -> Shown:
        def order(tx: StateTx) -> RunRow:
            sync, audience = self._found(tx, name)
            standing = standing_of(sync, {audience.id: audience}, self._rulebook())
            if standing is not None and standing.mapping.capabilities.takes_whole_lists:
                raise OrderError(
                    409, "whole_lists", "This platform takes whole lists and none below its minimum: nothing to clear."
                )
            if tx.queued_run(sync.id) is not None or tx.open_run(sync.id) is not None:
                raise OrderError(409, "running", f"A run of {name} is open or queued: cancel it first.")
            now_us = self._clock()
            if then_delete:
                memory = replace(read_memory(sync.memory), delete_after="clear")
                tx.save_sync(replace(sync, status="deleting", next_us=0, updated_us=now_us, memory=encode_json(memory)))
            tx.add_run(RunRow(id=0, sync=sync.id, kind="clear", trigger="manual", queued_us=now_us, due_us=now_us))
            queued = tx.queued_run(sync.id)
            assert queued is not None, "it was just made"
            return queued

        return await self._ordered(order)

    async def _each_record(self, name: str, what: Literal["retry", "listed", "not_listed", "reset"]) -> Shown:
        """Change every record of a sync, a page at a time; nothing of it may be on its way meanwhile."""
        changed, after = 0, 0
        while True:
            count, last = await self._state.write(lambda tx, after=after: self._change_page(tx, name, what, after))  # type: ignore[misc] # a default of a lambda has no type
            changed += count
            if last is None:
                break
            after = last
        self._syncs.wake()
        return {"changed": changed}

    def _change_page(self, tx: StateTx, name: str, what: str, after: int) -> tuple[int, int | None]:
        sync, _audience = self._found(tx, name)
        running = tx.open_run(sync.id)
        if running is not None:
            raise OrderError(409, "running", f"Run {running.id} of {name} is {running.status}: cancel it first.")
        rows = tx.records(sync.id, after=(after, 2**62), limit=PIECE_RECORDS, settled=what == "reset")
        changed = 0
        for row in rows:
            more = read_more(row.more)
            if what == "retry" and more.problem is not None and more.problem.kind != "unmappable":
                kept = replace(more, problem=None)
                tx.put_records(sync.id, [replace(row, more=b"" if kept == type(kept)() else encode_json(kept))])
            elif what == "listed" and row.state == UNSURE:
                tx.put_records(sync.id, [replace(row, state=1, more=encode_json(replace(more, problem=None)))])
            elif (what == "not_listed" and row.state == UNSURE) or (
                what == "reset" and (row.state != ABSENT or row.more)
            ):
                forgotten = replace(
                    row,
                    state=ABSENT,
                    sent=b"",
                    sent_fingerprint=b"",
                    sent_entry=b"",
                    more=b"",
                    changed_us=self._clock(),
                )
                if row.standing == IN:
                    tx.put_records(sync.id, [forgotten])
                else:
                    tx.drop_records(sync.id, [(row.member, row.line)])
            else:
                continue
            changed += 1
        if what == "reset":
            memory = replace(read_memory(sync.memory), has_run=False, last_upload_us=0)
            tx.save_sync(replace(sync, listed=0, listed_run=0, memory=encode_json(memory)))
        return changed, rows[-1].member if len(rows) == PIECE_RECORDS else None

    def _stop(self, tx: StateTx, run: RunRow, message: str) -> RunRow:
        sync = tx.sync(run.sync)
        assert sync is not None, "its run is there"
        audiences = {one.id: one for one in tx.audiences()}
        ledger = self._syncs.runner.ledger(tx, run, standing_of(sync, audiences, self._rulebook()))
        if run.status == "held":
            ended = replace(run, status="cancelled", reason=message, finished_us=self._clock())
            tx.save_run(ended)
            return ended
        stop_run(ledger, ends_as="cancelled", message=message)
        ledger.save()
        return ledger.run

    @staticmethod
    def _open(tx: StateTx, run: int) -> RunRow:
        found = tx.run(run)
        if found is None:
            raise OrderError(404, "unknown_run", f"There is no run {run}.")
        if found.finished_us:
            raise OrderError(409, "finished", f"Run {run} has ended: {found.status}.")
        return found

    @staticmethod
    def _found(tx: StateView, name: str) -> tuple[SyncRow, AudienceRow]:
        found = find_sync(tx, name)
        if found is None:
            names = ", ".join(
                sync_name(sync, audience)
                for audiences in [{one.id: one for one in tx.audiences()}]
                for sync in tx.syncs()[:10]
                if (audience := audiences.get(sync.audience)) is not None
            )
            raise OrderError(404, "unknown_sync", f"There is no sync `{name}`. Known: {names or 'none yet'}.")
        return found

    async def _written(self, order: Callable[[StateTx], SyncRow]) -> SyncRow:
        sync = await self._state.write(order)
        self._syncs.wake()
        return sync

    async def _ordered(self, order: Callable[[StateTx], RunRow]) -> Shown:
        run = await self._state.write(order)
        self._syncs.wake()
        return run_line(run)


def _standing(sync: SyncRow) -> Shown:
    return {"id": sync.id, "status": sync.status, "next_us": sync.next_us}
