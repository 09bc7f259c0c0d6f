"""The engine's store and inbox on the caller's own thread, for simulations: the same schema, SQL and transactions.

Only who runs them differs. A commit can be made to die: before it, so that nothing of it is kept, or right behind it, so that
nobody hears of it.
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from sync_world import World

from gateway.core.arrivals import frame_body
from gateway.core.events import Place
from gateway.decisions.worker import DecisionWorker
from gateway.store.rows import FrameRow
from gateway.store.sqlite.connection import open_writer
from gateway.store.sqlite.schema import migrate, state_migrations
from gateway.store.sqlite.session import Names
from gateway.store.sqlite.state import PAGE_BYTES, STATE_FILE
from gateway.store.sqlite.transaction import Transaction, View

T = TypeVar("T")

CACHE_BYTES = 8 * 1024 * 1024

FAST_MEMORY = Path("/dev/shm")

DiesAt = Literal["", "before", "behind"]


class KilledError(BaseException):
    """The process died; no handler of errors may live on."""


class OneThreadState:
    """`state.db` with its one writer, which is whoever calls."""

    def __init__(self, folder: Path) -> None:
        path = folder / STATE_FILE
        if not path.exists():
            path.write_bytes(_empty_state())
        self._connection = open_writer(path, page_size=PAGE_BYTES, cache_bytes=CACHE_BYTES, background_checkpoint=False)
        self._names = Names()
        self.dies_at: DiesAt = ""
        self.commits_left = 0

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run it in a transaction of its own."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = Transaction(connection, self._names)
            result = work(transaction)
        except BaseException:
            self._roll_back()
            raise
        is_last = bool(self.dies_at) and self.commits_left <= 0
        self.commits_left -= 1
        if is_last and self.dies_at == "before":
            self._roll_back()
            raise KilledError
        connection.execute("COMMIT")
        if is_last:
            raise KilledError
        for tell in transaction.tells:
            tell()
        return result

    async def read(self, work: Callable[[View], T]) -> T:
        """Run it on what is committed."""
        self._names.windows = None
        self._connection.execute("BEGIN")
        try:
            return work(View(self._connection, self._names))
        finally:
            self._connection.execute("ROLLBACK")

    def _roll_back(self) -> None:
        self._names.forget()
        self._connection.execute("ROLLBACK")

    def forget(self) -> None:
        """What a process knows of the file dies with it."""
        self._names.forget()
        self.dies_at = ""

    async def close(self) -> None:
        """Close the file."""
        self._connection.close()


@functools.cache
def _empty_state() -> bytes:
    """A state file with nothing in it, made once."""

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / STATE_FILE
        connection = open_writer(path, page_size=PAGE_BYTES, cache_bytes=CACHE_BYTES, background_checkpoint=False)
        migrate(connection, state_migrations, path)
        connection.close()  # the last one: the log is moved into the file
        return path.read_bytes()


def memory_folder(otherwise: Path | None = None) -> Path | None:
    """Where files cost no disk, if the machine has such a folder."""
    return FAST_MEMORY if FAST_MEMORY.is_dir() else otherwise


class ListInbox:
    """The one file of one ingest process, as a list: writer and reader in one."""

    def __init__(self) -> None:
        self.frames: list[FrameRow] = []

    async def put(self, encoded: bytes, items: int) -> None:
        """Keep one request."""
        self.frames.append(FrameRow(1, len(self.frames) + 1, len(self.frames) + 1, items, frame_body([encoded])))

    def writers(self) -> list[int]:
        return [0]

    def read_merged(self, cursors: Mapping[int, tuple[int, int]], *, frames_max: int, bytes_max: int) -> list[FrameRow]:
        first = cursors.get(0, (1, 0))[1]
        return self.frames[first : first + min(frames_max, bytes_max)]

    def item(self, place: Place) -> bytes | None:
        return self.frames[place.frame - 1].body if 0 < place.frame <= len(self.frames) else None

    def backlog(self, after: tuple[int, int]) -> tuple[int, int]:
        return max(0, len(self.frames) - after[1]), 0

    def close(self) -> None:
        """Nothing is open."""


class _Worker(DecisionWorker):
    """Decides on the caller's thread."""

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        return future


class OneThreadWorld(World):
    """A world that no thread but the test's works in. `restart` is free: what the file holds is all that stays."""

    worker_type = _Worker

    def open_inbox(self) -> tuple[Any, Any]:
        inbox = ListInbox()
        return inbox, inbox

    def open_store(self) -> OneThreadState:
        return OneThreadState(self.folder)

    async def restart(self) -> None:
        """The process dies and comes back."""
        self.state.forget()
        self._make_rooms()
        await self.syncs.recover()
        await self.state.write(lambda tx: tx.release_expired(now_us=2**62))

    async def close(self) -> None:
        await self.state.close()
