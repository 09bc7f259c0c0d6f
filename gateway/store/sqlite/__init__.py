"""SQLite, the default store: `inbox-<writer>-<number>.db` and `state.db` in one data folder."""

from __future__ import annotations

from pathlib import Path

from gateway.store.sqlite.backup import Manifest, backup, restore, verify
from gateway.store.sqlite.build import sqlite_build_problem
from gateway.store.sqlite.connection import DISK_FREE_BYTES_MIN, disk_is_low
from gateway.store.sqlite.inbox_reader import SqliteInboxReader
from gateway.store.sqlite.inbox_signal import InboxSignal
from gateway.store.sqlite.inbox_writer import BUFFER_BYTES_MAX, FILE_BYTES_MAX, SqliteInboxWriter
from gateway.store.sqlite.lists import ListForetold, ListSnapshot, clear_spool
from gateway.store.sqlite.places import FILES_PER_WRITER, FRAME_MAX, NO_INBOX, writer_of
from gateway.store.sqlite.recounting import SumsChecked, check_sums, recount
from gateway.store.sqlite.state import STATE_FILE, SqliteStateReader, SqliteStateStore

__all__ = [
    "FILES_PER_WRITER",
    "FRAME_MAX",
    "NO_INBOX",
    "InboxSignal",
    "ListForetold",
    "ListSnapshot",
    "Manifest",
    "SqliteInboxReader",
    "SqliteInboxWriter",
    "SqliteStateReader",
    "SqliteStateStore",
    "SumsChecked",
    "backup",
    "check_sums",
    "clear_spool",
    "disk_is_low",
    "has_state",
    "open_inbox_reader",
    "open_inbox_signal",
    "open_inbox_writer",
    "open_state",
    "open_state_reader",
    "recount",
    "restore",
    "sqlite_build_problem",
    "verify",
    "writer_of",
]


def open_inbox_writer(
    data_folder: Path,
    writer: int = 0,
    *,
    file_bytes_max: int = FILE_BYTES_MAX,
    buffer_bytes_max: int = BUFFER_BYTES_MAX,
    disk_free_bytes_min: int = DISK_FREE_BYTES_MIN,
) -> SqliteInboxWriter:
    """Become the only writer of this writer's inbox files; call it inside the event loop that will `put`."""
    return SqliteInboxWriter(
        data_folder,
        writer=writer,
        file_bytes_max=file_bytes_max,
        buffer_bytes_max=buffer_bytes_max,
        disk_free_bytes_min=disk_free_bytes_min,
    )


def open_inbox_reader(data_folder: Path) -> SqliteInboxReader:
    """Read the inbox of a data folder, whether or not anything is in it yet."""
    return SqliteInboxReader(data_folder)


def open_inbox_signal(data_folder: Path) -> InboxSignal:
    """Hear of commits of the inbox; for the engine, inside its event loop."""
    return InboxSignal(data_folder)


def has_state(data_folder: Path) -> bool:
    """Whether an engine has ever run on a data folder."""
    return (data_folder / STATE_FILE).exists()


def open_state(data_folder: Path, *, disk_free_bytes_min: int = DISK_FREE_BYTES_MIN) -> SqliteStateStore:
    """Become the only writer of `state.db`, made or brought up to date where needed."""
    return SqliteStateStore(data_folder, disk_free_bytes_min=disk_free_bytes_min)


def open_state_reader(data_folder: Path) -> SqliteStateReader:
    """Read `state.db` while the engine runs, or after."""
    return SqliteStateReader(data_folder)
