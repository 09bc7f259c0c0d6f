"""Moves the write-ahead log into its database beside the writer, so that no commit waits for it.

A background connection copies what is there (`PASSIVE`); what was committed meanwhile is little, and the writer copies
that itself between two commits (`finish`). Only then does SQLite start the log anew, which keeps it small under full load.
"""

from __future__ import annotations

import threading
from pathlib import Path

from gateway.store.sqlite.build import driver, safe_beside_a_checkpointer
from gateway.store.sqlite.connection import BUSY_WAIT_MS


class Checkpointer:
    """One background thread for one database file. `want` and `finish` are called by the file's writer only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wanted = threading.Event()
        self._closing = False
        self._copied = threading.Event()
        self._thread: threading.Thread | None = None
        if safe_beside_a_checkpointer():
            self._thread = threading.Thread(target=self._run, name=f"checkpoint {path.name}", daemon=True)
            self._thread.start()

    def want(self) -> None:
        """Ask for a checkpoint soon; cheap, and harmless when one runs."""
        self._wanted.set()

    def finish(self, writer: driver.Connection) -> bool:
        """Copy the rest on the writer's connection if the background has done the bulk; tell whether it had."""
        if not self._copied.is_set():
            return False
        self._copied.clear()
        _passive(writer)
        return True

    def close(self) -> None:
        """Stop the thread and close its connection."""
        self._closing = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            connection = driver.connect(self._path, isolation_level=None, timeout=BUSY_WAIT_MS / 1000)
        except driver.Error:
            return  # the writer's last checkpoint, at close, still empties the log
        try:
            while True:
                self._wanted.wait()
                self._wanted.clear()
                if self._closing:
                    return
                if not self._copied.is_set() and _passive(connection):
                    self._copied.set()
        finally:
            connection.close()


def _passive(connection: driver.Connection) -> bool:
    """Copy what can be copied without waiting; a full disk or a lock is for the next time."""
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except driver.Error:
        return False
    return True
