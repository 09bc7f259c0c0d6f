"""Counts for the hot path: plain additions, handed to the metrics a moment later. An increment of theirs costs a lock."""

from __future__ import annotations

import asyncio

from prometheus_client import Counter

FLUSH_S = 0.25  # the longest that a metric lags behind


class Tallies:
    """Pending increments of one process. Used on the loop only."""

    def __init__(self) -> None:
        self._pending: dict[Counter, float] = {}

    def add(self, counter: Counter, amount: float) -> None:
        """Count, for the metrics to have it within FLUSH_S seconds."""
        pending = self._pending
        if counter in pending:
            pending[counter] += amount
            return
        if not pending:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        pending[counter] = amount

    def flush(self) -> None:
        """Hand everything over now."""
        pending, self._pending = self._pending, {}
        for counter, amount in pending.items():
            counter.inc(amount)
