"""Going through what waits of all syncs a bounded piece at a time, to know how much it is and since when."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.store.alert_rows import WaitingCount
from gateway.store.api import StateView

ROWS_A_LOOK = 20_000  # about a tenth of a second; a sync where a million wait is gone through in eight minutes


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What a list lacks, as far as one way through its records found it."""

    operations: dict[str, WaitingCount] = {}
    unsure: WaitingCount = WaitingCount()
    after: int = 0


class RecordWalk:
    """Where each sync's records are being gone through, and what the last whole way found."""

    def __init__(self) -> None:
        self._under_way: dict[int, Waiting] = {}
        self._whole: dict[int, Waiting] = {}
        self._next = 0

    def waiting(self, sync: int) -> Waiting | None:
        """What the last whole way through a sync's records found; None before the first."""
        return self._whole.get(sync)

    def go_on(self, view: StateView, syncs: Sequence[int]) -> None:
        """Read on, ROWS_A_LOOK records at most (and at least one piece); each sync's records at most once."""
        for known in (self._under_way, self._whole):
            for sync in set(known) - set(syncs):
                del known[sync]
        turn = [*(one for one in syncs if one >= self._next), *(one for one in syncs if one < self._next)]
        left = ROWS_A_LOOK
        for sync in turn:
            if left <= 0:
                self._next = sync
                return
            left -= self._piece(view, sync, left)
            if sync in self._under_way:
                self._next = sync
                return
        self._next = 0

    def _piece(self, view: StateView, sync: int, rows: int) -> int:
        """One piece of one sync; how many rows it may have read."""
        so_far = self._under_way.pop(sync, Waiting())
        page = view.waiting_page(sync, after=so_far.after, rows=rows)
        operations = dict(so_far.operations)
        for operation, count in page.operations.items():
            operations[operation] = count.joined(operations.get(operation))
        found = Waiting(operations=operations, unsure=page.unsure.joined(so_far.unsure), after=page.last or 0)
        if page.last is None:
            self._whole[sync] = found
            return page.rows
        self._under_way[sync] = found
        return rows
