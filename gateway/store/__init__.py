"""The only SQL. `api.py` and `rows.py` are what rooms see; a store is opened here."""

from gateway.store.sqlite import (
    FILES_PER_WRITER,
    InboxSignal,
    ListForetold,
    ListSnapshot,
    Manifest,
    backup,
    clear_spool,
    open_inbox_reader,
    open_inbox_signal,
    open_inbox_writer,
    open_state,
    open_state_reader,
    restore,
    sqlite_build_problem,
    verify,
    writer_of,
)

__all__ = [
    "FILES_PER_WRITER",
    "InboxSignal",
    "ListForetold",
    "ListSnapshot",
    "Manifest",
    "backup",
    "clear_spool",
    "open_inbox_reader",
    "open_inbox_signal",
    "open_inbox_writer",
    "open_state",
    "open_state_reader",
    "restore",
    "sqlite_build_problem",
    "verify",
    "writer_of",
]
