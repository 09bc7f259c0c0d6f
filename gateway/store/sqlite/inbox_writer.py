"""Keeps arrivals: what arrives while a commit runs shares the next one, as one row.

The loop appends to a group and hands it over when the writer thread is idle; the thread inserts one frame, commits, and
wakes the loop once for the whole group. Nothing here looks into an arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gateway.core.arrivals import frame_body
from gateway.core.errors import StoreError
from gateway.store.sqlite.build import driver, safe_beside_a_checkpointer
from gateway.store.sqlite.checkpoints import Checkpointer
from gateway.store.sqlite.connection import (
    DISK_FREE_BYTES_MIN,
    RETRY_DISK_S,
    WriterLock,
    disk_is_low,
    open_writer,
    store_error,
)
from gateway.store.sqlite.inbox_signal import InboxBell
from gateway.store.sqlite.places import (
    FILES_PER_WRITER,
    FRAME_MAX,
    ORDINAL_MAX,
    WRITERS_MAX,
    inbox_files_of,
    inbox_path,
)
from gateway.store.sqlite.schema import inbox_migrations, migrate

BUFFER_BYTES_MAX = 64 * 1024 * 1024  # handed over and not committed; past it senders are told to come again
GROUP_BYTES_MAX = 8 * 1024 * 1024
GROUP_ITEMS_MAX = ORDINAL_MAX
FILE_BYTES_MAX = 1024 * 1024 * 1024
PAGE_BYTES = 16 * 1024
ROW_BYTES = 64  # of a frame beside its body, about
CACHE_BYTES = 8 * 1024 * 1024
CHECKPOINT_EVERY_BYTES = 8 * 1024 * 1024
DISK_CHECK_EVERY_S = 1.0
STAYS_OPEN_CODES = frozenset({driver.SQLITE_FULL, driver.SQLITE_BUSY, driver.SQLITE_LOCKED})


class _Answer(asyncio.Future[str]):
    """How a group ended: "" or why not. All its arrivals wait on it, so that one sender's hanging up must not end it."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the signature is asyncio's
        """Refuse: the task is told after the commit instead."""
        return False


class _Group:
    """Arrivals that will be one frame."""

    __slots__ = ("answer", "bytes", "encoded", "items")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.encoded: list[bytes] = []
        self.items = 0
        self.bytes = 0
        self.answer = _Answer(loop=loop)


def _now_us() -> int:
    return time.time_ns() // 1000


class SqliteInboxWriter:
    """The one writer of `inbox-<writer>-*.db`; made inside the running loop that calls `put`."""

    def __init__(
        self,
        folder: Path,
        *,
        writer: int = 0,
        file_bytes_max: int = FILE_BYTES_MAX,
        buffer_bytes_max: int = BUFFER_BYTES_MAX,
        disk_free_bytes_min: int = DISK_FREE_BYTES_MIN,
        now_us: Callable[[], int] = _now_us,
    ) -> None:
        if not 0 <= writer < WRITERS_MAX:
            raise StoreError(f"Inbox writers are numbered 0 to {WRITERS_MAX - 1}, not {writer}.")
        self._folder, self._writer = folder, writer
        self._file_bytes_max, self._buffer_bytes_max = file_bytes_max, buffer_bytes_max
        self._disk_free_bytes_min, self._now_us = disk_free_bytes_min, now_us
        self._loop = asyncio.get_running_loop()
        self._lock = WriterLock(folder / f"inbox-{writer}")
        self._inbox = 0
        self._connection: driver.Connection | None = None
        self._checkpointer: Checkpointer | None = None
        self._file_bytes = self._unchecked_bytes = self._last_frame = 0
        self._bell = InboxBell(folder)
        try:
            self._open_file()
        except BaseException:
            self._bell.close()
            self._lock.release()
            raise
        self._disk_low, self._disk_checked = disk_is_low(folder, free_bytes_min=disk_free_bytes_min), time.monotonic()
        self._groups: deque[_Group] = deque()
        self._waiting_bytes = 0
        self._busy = self._closing = False
        self._hand_over: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"inbox writer {writer}", daemon=True)
        self._thread.start()

    # on the loop -------------------------------------------------------------------------------------------------
    @property
    def waiting_bytes(self) -> int:
        """Bytes handed over and not yet committed."""
        return self._waiting_bytes

    @property
    def disk_low(self) -> bool:
        """Whether arrivals are refused for want of disk; asked anew at most once a second."""
        if self._disk_low and time.monotonic() - self._disk_checked > DISK_CHECK_EVERY_S:
            self._check_disk()
        return self._disk_low

    async def put(self, encoded: bytes, items: int) -> None:
        """Return once the arrival is durable. Raises StoreError when it cannot be kept now."""
        size = len(encoded)
        if self._closing:
            raise StoreError("The inbox is closing.")
        if self._waiting_bytes + size > self._buffer_bytes_max or items > GROUP_ITEMS_MAX:
            raise StoreError("More is waiting to be kept than the inbox may hold in memory.", retry_after_s=1)
        if self._disk_low and self.disk_low:
            raise StoreError(f"The disk of {self._folder} is nearly full.", retry_after_s=RETRY_DISK_S)
        groups = self._groups
        if not groups or (group := groups[-1]).bytes + size > GROUP_BYTES_MAX or group.items + items > GROUP_ITEMS_MAX:
            group = _Group(self._loop)
            groups.append(group)
        group.encoded.append(encoded)
        group.items += items
        group.bytes += size
        self._waiting_bytes += size
        if not self._busy:
            self._busy = True
            self._hand_over.put(groups.popleft())
        if problem := await group.answer:
            raise StoreError(problem)

    async def close(self) -> None:
        """Commit what was handed over, checkpoint, close. Later `put`s raise StoreError."""
        if self._closing:
            return
        self._closing = True
        while self._groups:
            await self._groups[-1].answer
        self._hand_over.put(None)
        await self._loop.run_in_executor(None, self._thread.join)
        self._bell.close()
        self._lock.release()

    def _committed(self, group: _Group, problem: str) -> None:
        self._waiting_bytes -= group.bytes
        if self._groups:
            self._hand_over.put(self._groups.popleft())
        else:
            self._busy = False
        group.answer.set_result(problem)

    # on the writer thread ----------------------------------------------------------------------------------------
    def _run(self) -> None:
        while (group := self._hand_over.get()) is not None:
            problem = self._keep(group)
            try:
                self._loop.call_soon_threadsafe(self._committed, group, problem)
            except RuntimeError:  # the loop was closed without `close`: nobody is left to hear of it
                break
            if not problem:
                self._bell.ring()
            self._tidy()
        self._close_file()

    def _keep(self, group: _Group) -> str:
        """Insert and commit one frame; "" or why it is not kept. Nothing half written stays behind."""
        body = frame_body(group.encoded)
        connection = self._connection
        try:
            if connection is None:
                connection = self._open_file()
            # One statement outside a transaction commits by itself: an INSERT that failed has left nothing.
            row = (self._now_us(), group.items, zlib.crc32(body), body)
            kept = connection.execute("INSERT INTO frame (received_us, count, crc, body) VALUES (?, ?, ?, ?)", row)
        except (StoreError, driver.Error) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in STAYS_OPEN_CODES:
                self._close_file()  # the next group opens it anew
            known = (
                error if isinstance(error, StoreError) else store_error(error, inbox_path(self._folder, self._inbox))
            )
            return str(known or f"The inbox cannot keep events: {error}.")
        self._last_frame = kept.lastrowid or 0
        self._file_bytes += len(body) + ROW_BYTES
        self._unchecked_bytes += len(body) + PAGE_BYTES
        return ""

    def _tidy(self) -> None:
        """Between two commits: look at the disk, checkpoint, rotate."""
        if time.monotonic() - self._disk_checked > DISK_CHECK_EVERY_S:
            self._check_disk()
        if self._connection is None or self._checkpointer is None:
            return
        if self._unchecked_bytes > CHECKPOINT_EVERY_BYTES:
            self._unchecked_bytes = 0
            self._checkpointer.want()
        self._checkpointer.finish(self._connection)
        if self._file_bytes >= self._file_bytes_max or self._last_frame >= FRAME_MAX:
            self._rotate(self._connection)

    def _check_disk(self) -> None:
        self._disk_low = disk_is_low(self._folder, free_bytes_min=self._disk_free_bytes_min)
        self._disk_checked = time.monotonic()

    # files -------------------------------------------------------------------------------------------------------
    def _open_file(self) -> driver.Connection:
        """Open the newest file, or the next one when that is sealed or full."""
        numbers = inbox_files_of(self._folder, self._writer)
        inbox = max(numbers[-1] if numbers else self._writer * FILES_PER_WRITER + 1, self._inbox)
        connection, path = self._open(inbox)
        last, sealed = connection.execute(
            "SELECT (SELECT max(id) FROM frame), EXISTS (SELECT 1 FROM sealed)"
        ).fetchone()
        if sealed or (last or 0) >= FRAME_MAX:
            connection.close()
            inbox += 1
            connection, path = self._open(inbox)
        self._inbox, self._connection = inbox, connection
        self._file_bytes, self._last_frame = path.stat().st_size, 0
        self._checkpointer = Checkpointer(path)
        return connection

    def _open(self, inbox: int) -> tuple[driver.Connection, Path]:
        path = inbox_path(self._folder, inbox)
        connection = open_writer(
            path, page_size=PAGE_BYTES, cache_bytes=CACHE_BYTES, background_checkpoint=safe_beside_a_checkpointer()
        )
        try:
            migrate(connection, inbox_migrations, path)
        except driver.Error as error:
            connection.close()
            raise store_error(error, path) or error from error
        except StoreError:
            connection.close()
            raise
        return connection, path

    def _rotate(self, connection: driver.Connection) -> None:
        """Seal the file, so that readers move on once they have read all of it; the next group opens the next one."""
        try:
            connection.execute(
                "INSERT INTO sealed (sealed_us, last_frame) SELECT ?, coalesce(max(id), 0) FROM frame",
                (self._now_us(),),
            )
        except driver.Error:
            self._file_bytes -= CHECKPOINT_EVERY_BYTES  # a full disk: go on in this file, try again a little later
            return
        self._close_file()

    def _close_file(self) -> None:
        """Empty the log and close; the checkpointer stops first, so that nothing runs beside it."""
        if self._checkpointer is not None:
            self._checkpointer.close()
            self._checkpointer = None
        if self._connection is not None:
            with contextlib.suppress(
                driver.Error
            ):  # a reader is in the middle, or the disk is full: the log stays valid
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._connection.close()
            self._connection = None
