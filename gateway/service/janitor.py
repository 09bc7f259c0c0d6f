"""Takes away what has outlived its time: traces, attempts, dead deliveries, tombstones, inbox files; in small pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.config.environment import Environment
from gateway.core.errors import StoreError
from gateway.observe.logs import logger
from gateway.store.api import InboxReader, StateStore
from gateway.syncs.keeping import tidy_syncs

ROUND_S = 600.0
FIRST_ROUND_S = 30.0
DAY_US = 86_400_000_000


class Janitor:
    """One per engine."""

    def __init__(
        self, *, state: StateStore, inbox: InboxReader, settings: Environment, clock: Callable[[], int]
    ) -> None:
        self._state = state
        self._inbox = inbox
        self._settings = settings
        self._clock = clock

    async def run(self) -> None:
        """Tidy up every ten minutes until cancelled; a store that is busy is tried again in the next round."""
        wait_s = FIRST_ROUND_S
        while True:
            await asyncio.sleep(wait_s)
            wait_s = ROUND_S
            try:
                await self.tidy()
            except StoreError as error:
                logger().warning("janitor.waiting", reason=str(error))

    async def tidy(self) -> int:
        """One round; return how many rows and files went."""
        settings, now_us = self._settings, self._clock()
        total = 0
        while True:
            rows = await self._state.write(
                lambda tx: tx.prune(
                    now_us=now_us,
                    retain_seen_us=settings.retain_events_days * DAY_US,
                    retain_dead_us=settings.retain_dead_days * DAY_US,
                    retain_attempts_us=settings.retain_attempts_days * DAY_US,
                    retain_out_us=settings.late_window_days * DAY_US,
                )
            )
            rows += await self._state.write(
                lambda tx: tidy_syncs(tx, now_us, only_exported=bool(settings.sync_log_dir))
            )
            total += rows
            if not rows:
                break
            await asyncio.sleep(0)  # lets settlements and decisions in between
        positions = await self._state.read(lambda view: view.cursors())
        older_than_us = now_us - settings.retain_events_days * DAY_US
        files = 0
        for position in positions.values():  # one for each ingest process that ever wrote here
            files += await asyncio.to_thread(self._inbox.drop_before, position, older_than_us=older_than_us)
        if total or files:
            logger().info("janitor.tidied", rows=total, inbox_files=files)
        return total + files
