"""Takes notices from the store to each sink, at least once, until it has them or they are too old. Sinks wait for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from gateway.alerting.sinks import Sink, Told
from gateway.core.errors import StoreError
from gateway.core.notices import read_notice
from gateway.core.retries import FAILURES_MAX, retry_delay_s
from gateway.observe import logs, metrics
from gateway.store.alert_rows import NoticeRow
from gateway.store.api import StateStore

LOOK_S = 1.0
TROUBLE_WAIT_S = 5.0
ROUND_NOTICES = 20
REST_S_MAX = 30.0  # a sink that has just failed is left alone for its notice's delay, but no longer than this
NOTICES_MAX = 1_000  # owed by one sink; the oldest are forgotten

log = logs.logger()


class Courier:
    """All sinks of one engine. `run` until cancelled; `step` is one round of everything, for tests with a clock of their own."""

    def __init__(
        self,
        *,
        state: StateStore,
        sinks: Sequence[Sink],
        clock: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        """clock: Unix µs. chance: 0 to 1, spreads repeated attempts."""
        self._state = state
        self._sinks = list(sinks)
        self._clock = clock
        self._chance = chance
        self._rests_until_us: dict[str, int] = {}
        self._news = {sink.name: asyncio.Event() for sink in self._sinks}

    async def run(self) -> None:
        """Every sink in a task of its own: one that hangs keeps the others waiting for nothing."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again_and_again(self.share, asyncio.Event()))
            for sink in self._sinks:
                tasks.create_task(self._again_and_again(partial(self.serve, sink), self._news[sink.name]))

    async def step(self) -> int:
        """One round; how many notices were told."""
        await self.share()
        return sum([await self.serve(sink) for sink in self._sinks])

    async def share(self) -> int:
        """Let each sink owe what was raised since the last round; how many notices there were."""
        new = await self._state.read(lambda view: view.notices_due("", now_us=2**62, limit=ROUND_NOTICES))
        if not new:
            return 0
        names = [sink.name for sink in self._sinks]
        now_us = self._clock()
        lost = await self._state.write(lambda tx: tx.share_notices(names, now_us=now_us, kept_max=NOTICES_MAX))
        if lost:
            log.error("notices.forgotten", notices=lost, kept=NOTICES_MAX)
        for news in self._news.values():
            news.set()
        return len(new)

    async def serve(self, sink: Sink) -> int:
        """Tell what a sink owes and may try now; how many it took. It ends with the first that fails."""
        now_us = self._clock()
        if now_us < self._rests_until_us.get(sink.name, 0):
            return 0
        owed = await self._state.read(lambda view: view.notices_due(sink.name, now_us=2**62, limit=NOTICES_MAX))
        told = 0
        for row in in_order(owed, now_us=now_us)[:ROUND_NOTICES]:
            if not await self._attempt(sink, row):
                break
            told += 1
        return told

    async def _attempt(self, sink: Sink, row: NoticeRow) -> bool:
        notice = read_notice(row.body)
        identity = f"ntc_{row.created_us:x}_{row.number}"
        outcome = await sink.tell(notice, identity=identity, now_s=self._clock() // 1_000_000)
        failures = row.failures + 1
        if isinstance(outcome, Told):
            await self._state.write(lambda tx: tx.drop_notice(row.id))
            metrics.ALERT_NOTICES.labels(sink.name, "sent").inc()
            log.info("notice.sent", sink=sink.name, notice_id=identity, alert=notice.alert, attempt=failures)
            return True
        if failures >= FAILURES_MAX:
            await self._state.write(lambda tx: tx.drop_notice(row.id))
            metrics.ALERT_NOTICES.labels(sink.name, "dropped").inc()
            log.error("notice.dropped", sink=sink.name, notice_id=identity, alert=notice.alert, reason=outcome.reason)
            return False
        # Half of the delay is drawn: notices that failed together do not come back together.
        delay_s = retry_delay_s(failures) * (0.5 + self._chance() / 2)
        now_us = self._clock()
        self._rests_until_us[sink.name] = now_us + round(min(delay_s, REST_S_MAX) * 1_000_000)
        again = replace(row, failures=failures, due_us=now_us + round(delay_s * 1_000_000))
        await self._state.write(lambda tx: tx.save_notice(again))
        metrics.ALERT_NOTICES.labels(sink.name, "failed").inc()
        log.warning(
            "notice.failed",
            sink=sink.name,
            notice_id=identity,
            alert=notice.alert,
            attempt=failures,
            attempt_max=FAILURES_MAX,
            reason=outcome.reason,
            retry_in_s=round(delay_s, 1),
        )
        return False

    async def _again_and_again(self, work: Callable[[], Awaitable[int]], news: asyncio.Event) -> None:
        """Work as long as there is any, then look every second, or at news; a store in trouble is waited for."""
        while True:
            news.clear()
            wait_s = LOOK_S
            try:
                if await work():
                    continue
            except StoreError as error:
                log.warning("notices.waiting", reason=str(error))
                wait_s = TROUBLE_WAIT_S
            except Exception as error:  # noqa: BLE001 - a fault of ours in telling must not stop what is told of
                log.error("notices.failed_unforeseen", error=type(error).__name__)  # noqa: TRY400 - a traceback may hold values
                wait_s = TROUBLE_WAIT_S
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await news.wait()


def in_order(owed: Sequence[NoticeRow], *, now_us: int) -> list[NoticeRow]:
    """What may be told now, the longest due first: of one alert nothing before what came earlier, which may wait for its next try.

    Else a receiver that was away would hear that an alert is over, and only then that it came up. Between alerts only the time
    counts: those that are refused time and again leave the others their turn.
    """
    dues_us: dict[tuple[str, str], int] = {}
    found: list[tuple[int, NoticeRow]] = []
    for row in sorted(owed, key=lambda row: row.id):
        notice = read_notice(row.body)
        alert = (notice.sync, notice.alert)
        due_us = dues_us[alert] = max(row.due_us, dues_us.get(alert, 0))
        if due_us <= now_us:
            found.append((due_us, row))
    return [row for _, row in sorted(found, key=lambda one: one[0])]
