"""The engine's database: one writer thread that commits works in groups, and a few readers on snapshots.

A work runs by itself in its transaction, or within a savepoint of one that others share; nobody hears of a result before
its commit is on disk. What the thread remembers of tables is forgotten at every rollback.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

from gateway.core.errors import StoreError
from gateway.store.sqlite.build import driver, safe_beside_a_checkpointer
from gateway.store.sqlite.checkpoints import Checkpointer
from gateway.store.sqlite.connection import (
    DISK_FREE_BYTES_MIN,
    RETRY_DISK_S,
    WriterLock,
    disk_is_low,
    open_reader,
    open_writer,
    store_error,
)
from gateway.store.sqlite.schema import migrate, require_current, state_migrations
from gateway.store.sqlite.session import Names
from gateway.store.sqlite.transaction import Transaction, View

T = TypeVar("T")

STATE_FILE = "state.db"
PAGE_BYTES = 4096
CACHE_BYTES = 128 * 1024 * 1024
READERS = 3
WORKS_WAITING_MAX = 10_000
WORKS_PER_COMMIT_MAX = 256
COMMIT_AFTER_S = 0.05  # works that come while a commit fills up join it no longer than this
CHECKPOINT_EVERY_ROWS = 20_000  # changed; about 70 MB of log when every one lies on a page of its own
DISK_CHECK_EVERY_S = 1.0


class _Work(Generic[T]):
    """One call of `write`: what to run, who waits, how it ended."""

    __slots__ = ("_error", "_future", "_loop", "_result", "_run", "_tells")

    def __init__(
        self, run: Callable[[Transaction], T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[T]
    ) -> None:
        self._run = run
        self._loop = loop
        self._future = future
        self._error: BaseException | None = None
        self._result: T | None = None
        self._tells: Sequence[Callable[[], None]] = ()

    def run(self, transaction: Transaction) -> None:
        """Run it, keeping the result until the commit."""
        self._result = self._run(transaction)
        self._tells = transaction.tells

    def fail(self, error: BaseException) -> None:
        """End with an error instead."""
        self._error = error

    def tell(self) -> None:
        """Wake the caller, whose loop may be gone."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self._error is None:
            for tell in self._tells:
                tell()
        if self._future.done():
            return  # the caller was cancelled; what was committed stays
        if self._error is not None:
            self._future.set_exception(self._error)
        else:
            self._future.set_result(self._result)  # type: ignore[arg-type]  # `run` has set it


class SqliteStateStore:
    """`state.db` with its one writer."""

    def __init__(self, folder: Path, *, disk_free_bytes_min: int = DISK_FREE_BYTES_MIN) -> None:
        self._path = folder / STATE_FILE
        self._disk_free_bytes_min = disk_free_bytes_min
        self._lock = WriterLock(self._path)
        try:
            self._connection = _open(self._path)
        except BaseException:
            self._lock.release()
            raise
        self._names = Names()
        self._checkpointer = Checkpointer(self._path)
        self._checkpointed_changes = 0
        self._disk_low, self._disk_checked = False, 0.0
        self._closing = False
        self._works: queue.SimpleQueue[_Work[object] | None] = queue.SimpleQueue()
        self._readers = ReaderPool(self._path)
        self._thread = threading.Thread(target=self._serve, name="state writer", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction on the writer; several small works may share one commit.

        Raises StoreError when it cannot be kept, and what `work` raises: then nothing of it is kept. A caller that is
        cancelled while it waits leaves the work to run.
        """
        if self._closing:
            raise StoreError("The state store is closing.")
        if self._works.qsize() >= WORKS_WAITING_MAX:
            raise StoreError("Too much is waiting to be written to the state store.", retry_after_s=1)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._works.put(_Work(work, loop, future))  # type: ignore[arg-type]  # a queue of works of any result
        return await future

    async def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on a read-only snapshot."""
        if self._closing:
            raise StoreError("The state store is closing.")
        return await asyncio.get_running_loop().run_in_executor(self._readers.threads, self._readers.read, work)

    async def close(self) -> None:
        """Finish what runs, checkpoint, close."""
        if self._closing:
            return
        self._closing = True
        self._works.put(None)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._thread.join)
        await loop.run_in_executor(None, self._readers.close)
        self._checkpointer.close()
        with contextlib.suppress(driver.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()
        self._lock.release()

    # on the writer thread ----------------------------------------------------------------------------------------
    def _serve(self) -> None:
        while (work := self._works.get()) is not None:
            self._commit_group(work)
            self._tidy()

    def _commit_group(self, first: _Work[object]) -> None:
        """Run the work and those that wait behind it in one transaction, then tell all."""
        group = [first]
        started = time.monotonic()
        try:
            self._begin()
            self._run_one(first, alone=True)
            while (
                len(group) < WORKS_PER_COMMIT_MAX
                and time.monotonic() - started < COMMIT_AFTER_S
                and (work := self._next_work()) is not None
            ):
                group.append(work)
                self._run_one(work, alone=False)
            self._connection.execute("COMMIT")
        except (driver.Error, StoreError) as error:
            # The commit failed or the transaction was lost: nothing of the whole group is kept.
            self._roll_back()
            known = error if isinstance(error, StoreError) else store_error(error, self._path)
            for work in group:
                work.fail(known or error)
        for work in group:
            work.tell()

    def _next_work(self) -> _Work[object] | None:
        """A work that waits already, if any."""
        try:
            work = self._works.get_nowait()
        except queue.Empty:
            return None
        if work is None:
            self._works.put(None)  # the end: nothing comes behind it, and it is met again after this commit
        return work

    def _begin(self) -> None:
        if self._disk_low:
            raise StoreError(f"The disk of {self._path.parent} is nearly full.", retry_after_s=RETRY_DISK_S)
        self._connection.execute("BEGIN IMMEDIATE")

    def _run_one(self, work: _Work[object], *, alone: bool) -> None:
        """Run one work so that its failure takes back only its own changes. Raises when the whole transaction is lost."""
        connection = self._connection
        if not alone:
            connection.execute("SAVEPOINT work")
        try:
            work.run(Transaction(connection, self._names))
        except BaseException as error:  # noqa: BLE001 - whatever a work raises is its caller's
            work.fail(store_error(error, self._path) or error)
            self._names.forget()
            self._require_transaction()
            if alone:
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
            else:
                connection.execute("ROLLBACK TO work")
                connection.execute("RELEASE work")
            return
        self._require_transaction()
        if not alone:
            connection.execute("RELEASE work")

    def _require_transaction(self) -> None:
        """After some faults SQLite takes back the whole transaction by itself: then nobody's work is kept."""
        if not self._connection.in_transaction:
            raise StoreError(f"{self._path} gave up a transaction; nothing of it is kept.")

    def _roll_back(self) -> None:
        self._names.forget()
        if self._connection.in_transaction:
            with contextlib.suppress(driver.Error):
                self._connection.execute("ROLLBACK")

    def _tidy(self) -> None:
        """Between two commits: checkpoint, look at the disk."""
        changes = self._connection.total_changes
        if changes - self._checkpointed_changes > CHECKPOINT_EVERY_ROWS:
            self._checkpointed_changes = changes
            self._checkpointer.want()
        self._checkpointer.finish(self._connection)
        now = time.monotonic()
        if now - self._disk_checked > DISK_CHECK_EVERY_S:
            self._disk_checked = now
            self._disk_low = disk_is_low(self._path.parent, free_bytes_min=self._disk_free_bytes_min)


class ReaderPool:
    """A few threads, each with a read-only connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mine = threading.local()
        self._all: list[SqliteStateReader] = []
        self.threads = ThreadPoolExecutor(READERS, thread_name_prefix="state reader")

    def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on this thread's connection."""
        reader: SqliteStateReader | None = getattr(self._mine, "reader", None)
        if reader is None:
            reader = self._mine.reader = SqliteStateReader(self._path.parent)
            self._all.append(reader)
        return reader.read(work)

    def close(self) -> None:
        """Finish what runs and close all connections."""
        self.threads.shutdown()
        for reader in self._all:
            reader.close()


class SqliteStateReader:
    """`state.db` for reading only, beside or without a running engine: commands, short-lived jobs."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STATE_FILE
        if not self._path.exists():
            raise StoreError(f"{self._path} is not there. Is this the data folder of a gateway that has run?")
        self._connection = open_reader(self._path)
        self._names = Names()
        try:
            require_current(self._connection, state_migrations, self._path)
        except driver.Error as error:
            self._connection.close()
            raise store_error(error, self._path) or error from error
        except StoreError:
            self._connection.close()
            raise

    def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on a snapshot. Raises StoreError when the file cannot be read."""
        self._names.windows = None  # tables come and go with time
        try:
            self._connection.execute("BEGIN")
            try:
                return work(View(self._connection, self._names))
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except driver.Error as error:
            raise store_error(error, self._path) or error from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _open(path: Path) -> driver.Connection:
    connection = open_writer(
        path, page_size=PAGE_BYTES, cache_bytes=CACHE_BYTES, background_checkpoint=safe_beside_a_checkpointer()
    )
    try:
        migrate(connection, state_migrations, path)
    except driver.Error as error:
        connection.close()
        raise store_error(error, path) or error from error
    except StoreError:
        connection.close()
        raise
    return connection
