"""Opening database files, one writer each, and turning what SQLite raises into `StoreError`."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.core.errors import StoreError
from gateway.store.sqlite.build import driver

BUSY_WAIT_MS = 2_000  # only a stranger can hold the lock of a file that has one writer
STATEMENTS_KEPT = 512
DISK_FREE_BYTES_MIN = 256 * 1024 * 1024
PID_BYTES_MAX = 32
RETRY_DISK_S = 60

# Faults of the machine or of another process: the same work may succeed later. Everything else is our own mistake.
PASSING_CODES = frozenset(
    {
        driver.SQLITE_FULL,
        driver.SQLITE_IOERR,
        driver.SQLITE_BUSY,
        driver.SQLITE_LOCKED,
        driver.SQLITE_READONLY,
        driver.SQLITE_CANTOPEN,
        driver.SQLITE_CORRUPT,
        driver.SQLITE_NOTADB,
        driver.SQLITE_PERM,
        driver.SQLITE_NOMEM,
        driver.SQLITE_PROTOCOL,
    }
)


def store_error(error: BaseException, path: Path) -> StoreError | None:
    """The StoreError for a fault that passes or that an operator mends; None when `error` is a mistake of ours."""
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(error, driver.Error) or not isinstance(code, int) or code & 0xFF not in PASSING_CODES:
        return None
    full = code & 0xFF in {driver.SQLITE_FULL, driver.SQLITE_IOERR}
    return StoreError(f"{path} cannot be written or read now: {error}.", retry_after_s=RETRY_DISK_S if full else 5)


def open_writer(path: Path, *, page_size: int, cache_bytes: int, background_checkpoint: bool) -> driver.Connection:
    """Open (or create) `path` for its one writer: WAL, every commit on disk before it returns.

    background_checkpoint: False leaves checkpoints to the commits of this connection, for SQLite builds with the WAL fault.
    """
    try:
        connection = driver.connect(
            path,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_WAIT_MS / 1000,
            cached_statements=STATEMENTS_KEPT,
        )
        connection.execute(f"PRAGMA page_size={page_size}")  # heeded by new files only
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={0 if background_checkpoint else 4000}")
        connection.execute("PRAGMA journal_size_limit=67108864")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA cache_size=-{cache_bytes // 1024}")
    except driver.Error as error:
        raise store_error(error, path) or error from error
    return connection


def open_reader(path: Path, *, cache_bytes: int = 16 * 1024 * 1024) -> driver.Connection:
    """Open `path`, which must exist, for reading only. Raises StoreError when it cannot be opened."""
    try:
        connection = driver.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_WAIT_MS / 1000,
            cached_statements=STATEMENTS_KEPT,
        )
        connection.execute("PRAGMA query_only=ON")
        connection.execute(f"PRAGMA cache_size=-{cache_bytes // 1024}")
    except driver.Error as error:
        raise store_error(error, path) or error from error
    return connection


class WriterLock:
    """Holds `<path>.lock` for as long as this process writes `path`; the kernel lets go of it when the process dies."""

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(path.name + ".lock")
        try:
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{self._file} cannot be made: {error.strerror}. Check the data folder.") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, PID_BYTES_MAX, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise StoreError(
                f"{path} is written by another process (pid {holder}). Only one may; stop that one first."
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process write the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def disk_is_low(folder: Path, *, free_bytes_min: int = DISK_FREE_BYTES_MIN) -> bool:
    """Whether the folder's disk has less room than the named minimum; a folder that cannot be asked counts as low."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return True
    return found.f_bavail * found.f_frsize < free_bytes_min
