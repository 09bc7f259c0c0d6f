"""The engine's loop: the inbox is read on from the cursor, each block is decided and recorded in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway.core.audiences import LATE_WINDOW_US
from gateway.core.errors import StoreError
from gateway.core.rulebook import Rulebook
from gateway.core.summaries import read_summary
from gateway.decisions.blocks import BLOCK_ITEMS, Block, BlockReader, Decided, Render, as_written, set_aside
from gateway.decisions.recording import Recorded, record
from gateway.observe import metrics
from gateway.observe.logs import logger
from gateway.store.api import InboxReader, StateStore, StateTx
from gateway.store.rows import TraceRow

T = TypeVar("T")

POLL_S = 0.05  # how long to wait for a signal before looking anyway
STORE_WAIT_S_MAX = (
    2.0  # between two tries of a block the store cannot keep: a try is cheap, and people wait for what it holds up
)
BACKLOG_EVERY_US = 1_000_000
SET_ASIDE_LOGGED_MAX = 20  # lines a block


class DecisionWorker:
    """Decides and records what the inbox holds; one per state database.

    rulebook: asked before each block, so that a swap takes effect between two of them.
    wait: returns when the inbox may have more, or after that many seconds. clock: Unix time in microseconds.
    on_recorded: told the lanes that owe more, after the commit. render: what platforms would know of a member.
    """

    def __init__(
        self,
        *,
        inbox: InboxReader,
        state: StateStore,
        rulebook: Callable[[], Rulebook],
        wait: Callable[[float], Awaitable[object]],
        clock: Callable[[], int],
        on_recorded: Callable[[set[str]], None] = lambda _lanes: None,
        late_window_us: int = LATE_WINDOW_US,
        block_items: int = BLOCK_ITEMS,
        render: Render = as_written,
    ) -> None:
        self._inbox = inbox
        self._state = state
        self._rulebook = rulebook
        self._wait = wait
        self._clock = clock
        self._on_recorded = on_recorded
        self._late_window_us = late_window_us
        self._block_items = block_items
        self._render = render
        self._reader: BlockReader | None = None
        self._block: Block | None = None
        self._ahead: asyncio.Future[Block | None] | None = None
        self._backlog_due_us = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decide")

    async def run(self) -> None:
        """Decide until cancelled. A store that cannot keep anything now is waited for; nothing is skipped meanwhile."""
        try:
            while True:
                try:
                    items = await self.step()
                except StoreError as error:
                    wait_s = min(float(error.retry_after_s), STORE_WAIT_S_MAX)
                    logger().warning("decisions.waiting", reason=str(error), wait_s=wait_s)
                    await asyncio.sleep(wait_s)
                    continue
                if not items:
                    await self._wait(POLL_S)
        finally:
            await self._drop_ahead()
            self._thread.shutdown()

    async def step(self) -> int:
        """Decide and record one block; the number of its items, 0 where there was none.

        Raises StoreError where the block cannot be kept now; the next call tries the same block again.
        """
        block = self._block = self._block or await self._next_block()
        if block is None:
            return 0
        if len(block.items) >= self._block_items and self._ahead is None and self._reader is not None:
            # A full block: there is more. It is read and decided while this one is being recorded.
            self._ahead = self._in_thread(self._reader.next_block)
        started_us = self._clock()
        recorded = await self._record(block)
        self._block = None
        if recorded is None:  # Recorded before, by a commit whose answer was lost: read on from where the cursor is.
            await self._drop_ahead()
            self._reader = None
            return 1
        count_recorded(recorded, self._clock() - started_us)
        _log_set_aside(block)
        if recorded.lanes:
            self._on_recorded(recorded.lanes)
        return max(1, len(block.items))

    async def _next_block(self) -> Block | None:
        if self._reader is None:
            cursors = await self._state.read(lambda view: view.cursors())
            self._reader = BlockReader(
                self._inbox, self._rulebook, cursors=cursors, items_max=self._block_items, render=self._render
            )
        ahead, self._ahead = self._ahead, None
        block = await (ahead or self._in_thread(self._reader.next_block))
        now_us = self._clock()
        if now_us >= self._backlog_due_us:
            self._backlog_due_us = now_us + BACKLOG_EVERY_US
            frames, oldest_us = await self._in_thread(self._reader.backlog)
            metrics.BACKLOG_FRAMES.set(frames)
            metrics.BACKLOG_AGE_S.set(max(0, now_us - oldest_us) / 1_000_000 if frames else 0)
        return block

    async def _drop_ahead(self) -> None:
        """Wait for what was begun ahead, and forget it."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await asyncio.wait([ahead])
            if not ahead.cancelled():
                ahead.exception()  # seen; whoever reads next meets it again

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _record(self, block: Block) -> Recorded | None:
        """Record a block, without the events (if any) that make the recording itself fail."""
        while True:
            try:
                return await self._write(block)
            except StoreError:
                raise
            except Exception as error:
                fault = type(error).__name__
                culprit = await self._culprit(block)
                if culprit is None:
                    raise
                logger().error("event.set_aside", place=place_text(block.items[culprit]), fault=fault)
                block = without(block, culprit, fault)

    async def _write(self, block: Block) -> Recorded | None:
        return await self._state.write(lambda tx: self._recorded(tx, block))

    def _recorded(self, tx: StateTx, block: Block) -> Recorded | None:
        return record(tx, block, now_us=self._clock(), late_window_us=self._late_window_us)

    async def _culprit(self, block: Block) -> int | None:
        """Index of the event with which recording the block from its beginning first fails; None if it does not now."""
        passes, fails = 0, len(block.items)
        if not await self._fails(block):
            return None
        while fails - passes > 1:
            middle = (passes + fails) // 2
            if await self._fails(block._replace(items=block.items[:middle])):
                fails = middle
            else:
                passes = middle
        return fails - 1 if isinstance(block.items[fails - 1], Decided) else None

    async def _fails(self, block: Block) -> bool:
        """Whether recording it would fail; nothing of it is kept."""

        def attempt(tx: StateTx) -> None:
            self._recorded(tx, block)
            raise _Undo

        try:
            await self._state.write(attempt)
        except _Undo:
            return False
        except StoreError:
            raise
        except Exception:  # noqa: BLE001  (which fault it is was seen before; here only whether)
            return True
        return False


def count_recorded(recorded: Recorded, took_us: int) -> None:
    """Tell the metrics what one transaction has recorded."""
    for counter, counts in (
        (metrics.DECIDED_EVENTS, recorded.outcomes),
        (metrics.DECIDED_CHANGES, recorded.changes),
        (metrics.DECIDED_DELIVERIES, recorded.deliveries),
        (metrics.DECIDED_SKIPPED, recorded.skipped),
    ):
        for label, count in counts.items():
            counter.labels(label).inc(count)
    for (kind, result), count in recorded.membership_events.items():
        metrics.MEMBERSHIP_EVENTS.labels(kind, result).inc(count)
    metrics.DECIDE_BLOCK_S.observe(took_us / 1_000_000)


def _log_set_aside(block: Block) -> None:
    """One line for each item that could not be decided, as far as SET_ASIDE_LOGGED_MAX; the traces have all of them."""
    rows = [item for item in block.items if isinstance(item, TraceRow) and item.outcome == "set_aside"]
    for row in rows[:SET_ASIDE_LOGGED_MAX]:
        logger().error(
            "event.set_aside", place=place_text(row), source=row.source, fault=read_summary(row.summary).code
        )
    if len(rows) > SET_ASIDE_LOGGED_MAX:
        logger().error("events.set_aside", events=len(rows))


class _Undo(Exception):  # noqa: N818  (no error: it makes the store take back a trial)
    """Raised inside a trial transaction so that nothing of it is kept."""


def place_text(item: Decided | TraceRow) -> str:
    """Where the item's bytes lie, for a log line."""
    return f"{item.place.inbox}/{item.place.frame}/{item.place.ordinal}"


def without(block: Block, index: int, fault: str) -> Block:
    """The block with one decided event set aside under the name of its fault."""
    item = block.items[index]
    assert isinstance(item, Decided)
    row = set_aside(item.place, item.received_us, item.source, fault)
    return block._replace(items=[*block.items[:index], row, *block.items[index + 1 :]])
