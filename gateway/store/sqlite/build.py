"""The one import site of the SQLite module: `pysqlite3` where it is installed, else the standard library's.

Two copies of SQLite must never work on one file in one process (closing a handle in one drops the other's locks), so
everything else takes `driver` from here; `sqlite-utils` makes the same choice by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3 as driver
else:
    try:
        import pysqlite3 as driver
    except ImportError:  # no wheel for this machine: the rule of one writer per file keeps the older build safe
        import sqlite3 as driver

__all__ = ["driver", "safe_beside_a_checkpointer", "sqlite_build_problem"]

WAL_RESET_MENDED = (3, 51, 3)  # sqlite.org/wal.html: two connections that write or checkpoint at once, 3.7.0 to 3.51.2
STRICT_TABLES_SINCE = (3, 37, 0)


def sqlite_build_problem(version: tuple[int, int, int] | None = None) -> str | None:
    """What is wrong with this SQLite build and how to mend it, or None. version: as `sqlite_version_info`."""
    found = version or driver.sqlite_version_info
    text = ".".join(map(str, found))
    if found < STRICT_TABLES_SINCE:
        return f"SQLite {text} is too old (3.37 or newer is needed). Install the package pysqlite3."
    if found < WAL_RESET_MENDED:
        return (
            f"SQLite {text} can damage a database that two connections write at once (the WAL-reset fault, mended in 3.51.3). "
            "The gateway writes each file through one connection only, and checkpoints on it. Install the package pysqlite3."
        )
    return None


def safe_beside_a_checkpointer() -> bool:
    """Whether a second connection may checkpoint while the first writes."""
    return driver.sqlite_version_info >= WAL_RESET_MENDED
