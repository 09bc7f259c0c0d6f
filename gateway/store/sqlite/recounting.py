"""Whether the kept sums over records are what counting gives, and counting them anew; for whoever looks after a data folder.

Triggers keep them in the transaction of the record itself, so nothing that the gateway does makes them wrong. A file that was
changed by hand may have wrong ones: every run of such a sync then says that its counters do not add up.
"""

# ruff: noqa: S608 - what is put into statements are constants of this package, never a caller's text

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from gateway.store.sqlite.build import driver
from gateway.store.sqlite.connection import WriterLock, open_reader, open_writer, store_error
from gateway.store.sqlite.record_counts import COUNT_TABLES, RECORD_KEY, SUMS_ARE_MADE
from gateway.store.sqlite.schema import require_current, state_migrations
from gateway.store.sqlite.state import CACHE_BYTES, PAGE_BYTES, STATE_FILE

RECOUNTED_MAX: Final = 500_000
"""Records gone through to see whether the sums are right: a few seconds."""


class SumsChecked(msgspec.Struct, frozen=True, kw_only=True):
    """Syncs by number. wrong: whose sums are not right. left_out: which were too large to look at. records: gone through."""

    wrong: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    records: int = 0


def check_sums(data_folder: Path, *, records_max: int = RECOUNTED_MAX) -> SumsChecked:
    """Count the records of syncs, in order of their numbers, as long as there is room for them; the gateway may run.

    Raises StoreError where the file cannot be read or is of another version.
    """
    path = data_folder / STATE_FILE
    with contextlib.closing(open_reader(path)) as connection:
        try:
            require_current(connection, state_migrations, path)
            connection.execute("BEGIN")  # sums and records of one moment
            return checked_sums(connection, records_max=records_max)
        except driver.Error as error:
            raise store_error(error, path) or error from error


def checked_sums(connection: driver.Connection, *, records_max: int = RECOUNTED_MAX) -> SumsChecked:
    """`check_sums` on a connection that is in a transaction."""
    wrong, left_out, records = [], [], 0
    for (sync,) in connection.execute("SELECT id FROM sync ORDER BY id").fetchall():
        size = _size(connection, sync, records_max - records)
        if size is None:
            left_out.append(sync)
            continue
        records += size
        if _counted(connection, sync) != _kept(connection, sync):
            wrong.append(sync)
    return SumsChecked(wrong=tuple(wrong), left_out=tuple(left_out), records=records)


def recount(data_folder: Path) -> None:
    """Make all sums anew. Raises StoreError while another process writes the file, or where it is of another version."""
    path = data_folder / STATE_FILE
    lock = WriterLock(path)
    try:
        connection = open_writer(path, page_size=PAGE_BYTES, cache_bytes=CACHE_BYTES, background_checkpoint=False)
        with contextlib.closing(connection):
            require_current(connection, state_migrations, path)
            connection.execute("BEGIN IMMEDIATE")
            for statement in (*(f"DELETE FROM {table}" for table in COUNT_TABLES), *SUMS_ARE_MADE):
                connection.execute(statement)
            connection.execute("COMMIT")
    except driver.Error as error:
        raise store_error(error, path) or error from error
    finally:
        lock.release()


def _size(connection: driver.Connection, sync: int, room: int) -> int | None:
    """Records of a sync, None where they are more than there is room for."""
    asked = "SELECT count(*) FROM (SELECT 1 FROM record WHERE sync = ? LIMIT ?)"
    size = int(connection.execute(asked, (sync, room + 1)).fetchone()[0])
    return size if size <= room else None


def _counted(connection: driver.Connection, sync: int) -> tuple[Counter[tuple[object, ...]], int, Counter[int]]:
    """(how many stand how, members who are in, listed records by run) of a sync, by its records."""
    stands, runs = Counter[tuple[object, ...]](), Counter[int]()
    people, last = 0, None
    rows = connection.execute(f"SELECT {RECORD_KEY}, member, run FROM record WHERE sync = ? ORDER BY member", (sync,))
    for row in rows:
        key, member, run = row[:-2], row[-2], row[-1]
        stands[key] += 1
        if key[1] == 1 and member != last:
            people, last = people + 1, member
        if key[2]:
            runs[run] += 1
    return stands, people, runs


def _kept(connection: driver.Connection, sync: int) -> tuple[Counter[tuple[object, ...]], int, Counter[int]]:
    """The same, as it is kept."""
    stands = connection.execute("SELECT * FROM record_count WHERE sync = ? AND records <> 0", (sync,)).fetchall()
    people = connection.execute("SELECT people FROM record_people WHERE sync = ?", (sync,)).fetchone()
    runs = connection.execute("SELECT run, records FROM record_run WHERE sync = ?", (sync,)).fetchall()
    return Counter({row[:-1]: row[-1] for row in stands}), people[0] if people else 0, Counter(dict(runs))
