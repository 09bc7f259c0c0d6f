"""What a person may order of syncs. Every order is one transaction; the loop is woken behind it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from gateway.core.errors import OrderError
from gateway.store.api import StateTx, StateView
from gateway.store.rows import AudienceRow
from gateway.store.sync_rows import RunRow, SyncRow
from gateway.syncs.deleting import begin_deletion
from gateway.syncs.file_entries import brought_back, note_left
from gateway.syncs.memory import read_memory
from gateway.syncs.names import parked_target, sync_name
from gateway.syncs.questions import kind_for
from gateway.syncs.record_orders import (
    RecordOrder,
    Restored,
    RestorePlace,
    change_page,
    check_restorable,
    restore_page,
)
from gateway.syncs.run_orders import RunOrders
from gateway.syncs.scheduler import next_tick_us
from gateway.syncs.showing import Shown
from gateway.syncs.versions import check_version, sync_version

KINDS = ("", "diff", "resend")


class SyncOrders(RunOrders):
    """The verbs of syncs and runs for one engine."""

    async def run(self, name: str, *, kind: str = "", while_paused: bool = False, trigger: str = "manual") -> Shown:
        """Queue a run now; "resend" adds everybody again. Where one is queued already, that one is given back."""
        if kind not in KINDS:
            raise OrderError(400, "invalid_kind", f"`kind` must be one of {', '.join(KINDS[1:])}, or left out.")

        def order(tx: StateTx) -> RunRow:
            sync, audience = self._meant(tx, name)
            _refuse_ended(sync, name)
            if sync.status == "paused" and not while_paused:
                raise OrderError(409, "paused", f"{name} is paused: resume it, or say `--while-paused`.")
            standing = self._standing(sync, audience)
            if standing is None:
                raise OrderError(409, "not_served", f"No mapping serves {name} any more: put its entry back first.")
            if tx.queued_run(sync.id) is None:
                now_us = self._clock()
                chosen = kind_for(standing, kind)
                tx.add_run(RunRow(id=0, sync=sync.id, kind=chosen, trigger=trigger, queued_us=now_us, due_us=now_us))
            queued = tx.queued_run(sync.id)
            assert queued is not None, "it was just made"
            return queued

        return await self._ordered(order)

    async def pause(self, name: str, *, now: bool = False) -> Shown:
        """No more runs of the schedule; `now` stops the one that is open, too. Deletions still go out."""

        def order(tx: StateTx) -> SyncRow:
            sync, _audience = self._meant(tx, name)
            _refuse_ended(sync, name)
            sync = replace(sync, status="paused", updated_us=self._clock())
            tx.save_sync(sync)
            running = tx.running_run(sync.id)
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
            sync, audience = self._meant(tx, name)
            _refuse_ended(sync, name)
            standing = self._standing(sync, audience)
            now_us = self._clock()
            next_us = 0 if standing is None else next_tick_us(standing, now_us)
            sync = replace(sync, status="active", status_error="", next_us=next_us, updated_us=now_us)
            tx.save_sync(sync)
            return sync

        sync = await self._written(order)
        shown = _standing(sync)
        if run:
            self_again = self.expecting("")  # the resuming has changed the version
            shown["run"] = (await self_again.run(name))["id"]
        return shown

    async def clear(self, name: str) -> Shown:
        """Take everybody off the list."""
        return await self._queue_clear(name, then_delete=False)

    async def delete(self, name: str, *, clear: bool = False) -> Shown:
        """End a sync; its members stay on the list unless `clear`. It can be brought back for 30 days."""
        if clear:
            return await self._queue_clear(name, then_delete=True)

        def order(tx: StateTx) -> SyncRow:
            sync, _audience = self._meant(tx, name)
            _refuse_ended(sync, name)
            _refuse_running(tx, sync, name)
            sync = replace(sync, status="deleted", next_us=0, deleted_us=self._clock(), updated_us=self._clock())
            tx.save_sync(sync)
            return sync

        return _standing(await self._written(order))

    async def undelete(self, name: str) -> Shown:
        """Bring a deleted sync back: for 30 days with everything it knew, after that as a new one."""

        def order(tx: StateTx, *, is_first: bool) -> SyncRow:
            sync, audience = self._meant(tx, name)
            if sync.status != "deleted" and not is_first:
                return sync  # the loop of the syncs has taken the last page
            if sync.status != "deleted":
                raise OrderError(409, "not_deleted", f"{name} is {sync.status}.")
            if parked_target(sync) is not None:
                raise OrderError(
                    409,
                    "earlier_list",
                    f"{name} keeps what is known of an earlier list: name that list in the mapping again.",
                )
            if self._standing(sync, audience) is None:
                raise OrderError(409, "not_served", f"No mapping serves {name} any more: put its entry back first.")
            memory = read_memory(sync.memory)
            has_missed = bool(memory.deleted_by) or memory.misses_events
            is_more = has_missed and note_left(tx, sync, now_us=self._clock())
            if not is_more:
                sync = brought_back(sync, now_us=self._clock())
                tx.save_sync(sync)
            return sync

        sync = await self._written(partial(order, is_first=True))
        while sync.status == "deleted":
            sync = await self._written(partial(order, is_first=False))
        return _standing(sync)

    async def retry(self, name: str) -> Shown:
        """Try again, with the next run, what is quarantined, backing off or given up."""
        return await self._each_record(name, "retry")

    async def resolve(self, name: str, *, listed: bool) -> Shown:
        """Say of all unsure members that they are on the list, or that they are not."""
        return await self._each_record(name, "listed" if listed else "not_listed")

    async def reset(self, name: str) -> Shown:
        """Forget what the platform holds: everybody who is in is added anew, who left can not be removed any more."""
        return await self._each_record(name, "reset")

    async def restore_state(self, run: int) -> Shown:
        """Hold the records of a run's sync against the run's snapshot: those that are not as it has them become unsure.

        For a database that was restored from an old backup. Nothing is sent; the next run asks the platform anew.
        """

        def begin(view: StateView) -> tuple[SyncRow, AudienceRow]:
            found = self._run(view, run)
            sync, audience = self._found(view, str(found.sync))
            standing = self._standing(sync, audience)
            whole = standing is not None and standing.mapping.capabilities.takes_whole_lists
            check_restorable(view, sync, run, whole_lists=whole)
            return sync, audience

        sync, audience = await self._state.read(begin)
        name = sync_name(sync, audience)
        restored = Restored()
        place: RestorePlace | None = RestorePlace()
        while place is not None:

            def page(tx: StateTx, place: RestorePlace = place) -> RestorePlace | None:
                current, _audience = self._meant(tx, str(sync.id))
                _refuse_running(tx, current, name)
                return restore_page(tx, current, run, place, restored, now_us=self._clock())

            place = await self._state.write(page)
        self._syncs.wake()
        return {"sync": name, "run": run, "same": restored.same, "unsure": restored.unsure, "lost": restored.lost}

    # inside ------------------------------------------------------------------------------------------------------------
    def _meant(self, tx: StateTx, name: str) -> tuple[SyncRow, AudienceRow]:
        """The sync that an order is for, if it is of the version that whoever orders has seen."""
        sync, audience = self._found(tx, name)
        check_version(self._expected, sync_version(sync), name)
        return sync, audience

    async def _queue_clear(self, name: str, *, then_delete: bool) -> Shown:
        def order(tx: StateTx) -> RunRow:
            sync, audience = self._meant(tx, name)
            _refuse_ended(sync, name)
            standing = self._standing(sync, audience)
            if standing is None:
                raise OrderError(409, "not_served", f"No mapping serves {name} any more: put its entry back first.")
            if standing.mapping.capabilities.takes_whole_lists:
                raise OrderError(
                    409, "whole_lists", "This platform takes whole lists and none below its minimum: nothing to clear."
                )
            _refuse_running(tx, sync, name)
            now_us = self._clock()
            if then_delete:
                tx.save_sync(begin_deletion(sync, now_us=now_us))
            tx.add_run(RunRow(id=0, sync=sync.id, kind="clear", trigger="manual", queued_us=now_us, due_us=now_us))
            queued = tx.queued_run(sync.id)
            assert queued is not None, "it was just made"
            return queued

        return await self._ordered(order)

    async def _each_record(self, name: str, what: RecordOrder) -> Shown:
        """Change every record of a sync, a page at a time; nothing of it may be on its way meanwhile."""
        changed = 0
        after: int | None = 0
        while after is not None:

            def page(tx: StateTx, after: int = after) -> tuple[int, int | None]:
                sync, _audience = self._meant(tx, name)
                _refuse_running(tx, sync, name, queued=False)
                return change_page(tx, sync, what, after, now_us=self._clock())

            count, after = await self._state.write(page)
            changed += count
        self._syncs.wake()
        return {"changed": changed}

    async def _written(self, order: Callable[[StateTx], SyncRow]) -> SyncRow:
        sync = await self._state.write(order)
        self._syncs.wake()
        return sync


def _refuse_ended(sync: SyncRow, name: str) -> None:
    if sync.status == "deleted":
        raise OrderError(409, "deleted", f"{name} is deleted: `gateway sync undelete {name}` brings it back.")
    if sync.status == "deleting":
        raise OrderError(
            409, "deleting", f"{name} is being cleared, to be deleted. Cancel that run, and it goes on as before."
        )


def _refuse_running(tx: StateTx, sync: SyncRow, name: str, *, queued: bool = True) -> None:
    running = tx.open_run(sync.id) or (tx.queued_run(sync.id) if queued else None)
    if running is not None:
        raise OrderError(409, "running", f"Run {running.id} of {name} is {running.status}: cancel it first.")


def _standing(sync: SyncRow) -> Shown:
    return {"id": sync.id, "status": sync.status, "next_us": sync.next_us, "version": sync_version(sync)}
