"""What a person may order of one run: stop it, let a held one go, or end it. Every order is one transaction."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from typing import Self

from msgspec.structs import replace

from gateway.core.errors import OrderError
from gateway.store.api import StateTx
from gateway.store.sync_rows import RunRow
from gateway.syncs.memory import Progress, encode_json, read_progress
from gateway.syncs.names import standing_in
from gateway.syncs.questions import SyncQuestions
from gateway.syncs.sending import end_waiting, stop_run
from gateway.syncs.showing import Shown, run_line
from gateway.syncs.versions import check_version, run_version

WAIT_S_MAX = 60.0  # of one request that waits for a run's end
WAIT_LOOK_S = 0.2
WAITED_FOR = frozenset({"succeeded", "partial", "failed", "held", "skipped", "cancelled", "interrupted"})
"""Statuses at which somebody who waits for a run is told: it has ended, or a person is needed."""


class RunOrders(SyncQuestions):
    """The verbs of runs."""

    _expected = ""

    def expecting(self, version: str) -> Self:
        """The same orders, each refused with 412 where its sync or run is not of this version (an `If-Match`) any more."""
        bound = copy.copy(self)
        bound._expected = version  # noqa: SLF001 - it is our own copy
        return bound

    async def wait(self, run: int, *, seconds: float) -> tuple[Shown, bool]:
        """The run's page once it has ended or is held, at the latest after `seconds`; and whether it has."""
        until = time.monotonic() + min(seconds, WAIT_S_MAX)
        while True:
            found = await self._state.read(lambda view: self._run(view, run))  # the page takes longer to make
            left_s = until - time.monotonic()
            if found.status in WAITED_FOR or left_s <= 0:
                shown = await self.show_run(run)
                return shown, shown["status"] in WAITED_FOR
            await asyncio.sleep(min(WAIT_LOOK_S, left_s))

    async def cancel(self, run: int) -> Shown:
        """Stop a run: what is on its way is awaited, the rest counts as cancelled and is planned again by the next."""

        def order(tx: StateTx) -> RunRow:
            return self._stop(tx, self._open(tx, run), "cancelled by a person")

        return await self._ordered(order)

    async def approve(self, run: int, *, by: str) -> Shown:
        """Let a held run go: it is planned anew, and sent where the numbers are about those that were shown."""

        def order(tx: StateTx) -> RunRow:
            found = self._held(tx, run)
            shown = read_progress(found.progress)
            again = replace(
                found,
                # A live run may be on its way beside it; then the scheduler starts this one behind it.
                status="held" if tx.running_run(found.sync) is not None else "planning",
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
            return self._stop(tx, self._held(tx, run), "rejected by a person")

        return await self._ordered(order)

    # inside ------------------------------------------------------------------------------------------------------------
    def _stop(self, tx: StateTx, run: RunRow, message: str) -> RunRow:
        sync = tx.sync(run.sync)
        assert sync is not None, "its run is there"
        ledger = self._syncs.runner.ledger(tx, run, standing_in(tx, sync, self._rulebook()))
        if run.status in ("queued", "held"):
            end_waiting(ledger, message)
        else:
            stop_run(ledger, ends_as="cancelled", message=message)
        ledger.save()
        return ledger.run

    def _open(self, tx: StateTx, run: int) -> RunRow:
        found = self._run(tx, run)
        check_version(self._expected, run_version(found), f"Run {run}")
        if found.finished_us:
            raise OrderError(409, "finished", f"Run {run} has ended: {found.status}.")
        return found

    def _held(self, tx: StateTx, run: int) -> RunRow:
        found = self._open(tx, run)
        if found.status != "held":
            raise OrderError(409, "not_held", f"Run {run} is {found.status}, not held.")
        return found

    async def _ordered(self, order: Callable[[StateTx], RunRow]) -> Shown:
        run = await self._state.write(order)
        self._syncs.wake()
        return run_line(run)
