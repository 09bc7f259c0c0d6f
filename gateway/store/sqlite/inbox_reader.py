"""Reads frames in the order they were kept, across rotated files, while the writers go on; never writes a row.

A frame whose bytes do not match its checksum, or that SQLite cannot read, comes back in its place with an empty body and
a `problem`: the reader says so and the cursor passes it, so that one bad page does not stop everything behind it.
"""

# ruff: noqa: S608 - what is put into statements are constants of this module and numbers of tables, never a caller's text

from __future__ import annotations

import contextlib
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.core.errors import StoreError
from gateway.core.events import Place
from gateway.store.rows import FrameRow
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.connection import open_reader, store_error
from gateway.store.sqlite.places import FILES_PER_WRITER, inbox_files, inbox_files_of, inbox_path, writer_of
from gateway.store.sqlite.schema import inbox_migrations, require_current

FILES_OPEN_MAX = 8
PROBES_MAX = 1000  # ids tried one by one behind a damaged page before the file is given up
COLUMNS = "id, received_us, count, crc, body"


class SqliteInboxReader:
    """One folder's inbox. Calls may come from any thread; they take turns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[int, driver.Connection] = OrderedDict()
        self._turn = threading.Lock()

    def writers(self) -> list[int]:
        """Numbers of the ingest processes that have files here."""
        return sorted({writer_of(inbox) for inbox in inbox_files(self._folder)})

    def read(self, after: tuple[int, int], *, frames_max: int, bytes_max: int) -> list[FrameRow]:
        """Frames of one writer after (inbox file, frame id), oldest first; at least one if there is one.

        (0, 0) is the beginning of writer 0; (w * FILES_PER_WRITER, 0) that of writer w.
        """
        found: list[FrameRow] = []
        room = bytes_max
        with self._turn:
            for inbox, frame in self._files_from(after):
                rows, sealed = self._read_file(inbox, frame, frames_max - len(found), room)
                found += rows
                room -= sum(len(row.body) for row in rows)
                if not sealed or len(found) >= frames_max or room <= 0:
                    break
        return found

    def read_merged(self, cursors: Mapping[int, tuple[int, int]], *, frames_max: int, bytes_max: int) -> list[FrameRow]:
        """Frames of all writers, each in its order, by arrival between them. cursors: by writer, as the state keeps them."""
        rows: list[FrameRow] = []
        for writer in self.writers():
            after = cursors.get(writer, (writer * FILES_PER_WRITER, 0))
            rows += self.read(after, frames_max=frames_max, bytes_max=bytes_max)
        # Sorted by arrival alone a clock that was set back would turn one writer's order around: take it as it climbs.
        climbing: dict[int, int] = {}
        keyed = []
        for row in rows:
            writer = writer_of(row.inbox)
            climbing[writer] = max(climbing.get(writer, 0), row.received_us)
            keyed.append((climbing[writer], row.inbox, row.id, row))
        keyed.sort(key=lambda entry: entry[:3])
        return _bounded([entry[3] for entry in keyed], frames_max, bytes_max)

    def item(self, place: Place) -> bytes | None:
        """The frame's whole body that holds `place`, or None when it is no longer kept or no longer whole."""
        with self._turn:
            connection = self._file(place.inbox)
            if connection is None:
                return None
            try:
                row = connection.execute(f"SELECT {COLUMNS} FROM frame WHERE id = ?", (place.frame,)).fetchone()
            except driver.DatabaseError:
                return None
        frame = None if row is None else _checked(place.inbox, row)
        return frame.body if frame is not None and not frame.problem else None

    def backlog(self, after: tuple[int, int]) -> tuple[int, int]:
        """(frames not yet read, arrival time in µs of the oldest of them or 0), of the writer of `after`."""
        waiting, oldest_us = 0, 0
        with self._reading():
            for inbox, frame in self._files_from(after):
                connection = self._file(inbox)
                if connection is None:
                    continue
                first = connection.execute(
                    "SELECT received_us, (SELECT max(id) FROM frame) FROM frame WHERE id > ? ORDER BY id LIMIT 1",
                    (frame,),
                ).fetchone()
                if first is not None:
                    oldest_us = oldest_us or first[0]
                    waiting += first[1] - frame
        return waiting, oldest_us

    def last(self, writer: int = 0) -> tuple[int, int]:
        """Position of the newest frame of a writer; its beginning when there is none."""
        position = (writer * FILES_PER_WRITER, 0)
        with self._reading():
            for inbox in inbox_files_of(self._folder, writer):
                connection = self._file(inbox)
                if connection is not None:
                    position = (inbox, connection.execute("SELECT coalesce(max(id), 0) FROM frame").fetchone()[0])
        return position

    def drop_before(self, position: tuple[int, int], *, older_than_us: int) -> int:
        """Delete rotated files wholly before `position` whose last frame is older; return how many."""
        dropped = 0
        with self._reading():
            for inbox in inbox_files_of(self._folder, writer_of(position[0])):
                if inbox >= position[0] or not self._is_over(inbox, older_than_us):
                    break  # the rest is newer
                self._forget(inbox)
                path = inbox_path(self._folder, inbox)
                for part in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                    part.unlink(missing_ok=True)
                dropped += 1
        return dropped

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Hold the files; a fault of SQLite's becomes a StoreError, which the engine waits out."""
        with self._turn:
            try:
                yield
            except driver.Error as error:
                raise store_error(error, self._folder) or error from error

    def close(self) -> None:
        """Let go of all files."""
        with self._turn:
            for inbox in list(self._open):
                self._forget(inbox)

    # one file ----------------------------------------------------------------------------------------------------
    def _files_from(self, after: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """Files of the writer that may hold frames after the position, with the frame to start behind."""
        if after[0] in self._open:
            yield after  # the normal case, without a look at the folder
        for inbox in inbox_files_of(self._folder, writer_of(after[0])):
            if inbox > after[0] or (inbox == after[0] and inbox not in self._open):
                yield inbox, after[1] if inbox == after[0] else 0

    def _read_file(self, inbox: int, after: int, frames_max: int, bytes_max: int) -> tuple[list[FrameRow], bool]:
        """(frames of one file, whether there will never be more behind them), from one snapshot."""
        connection = self._file(inbox)
        if connection is None:
            return [], False
        try:
            connection.execute("BEGIN")
            try:
                rows = _first_frames(connection, inbox, after, frames_max, bytes_max)
                whole = len(rows) < frames_max and sum(len(row.body) for row in rows) < bytes_max
                sealed = whole and connection.execute("SELECT EXISTS (SELECT 1 FROM sealed)").fetchone()[0] == 1
            finally:
                with contextlib.suppress(driver.Error):
                    connection.execute("COMMIT")
        except driver.Error as error:
            self._forget(inbox)
            raise store_error(error, inbox_path(self._folder, inbox)) or error from error
        return rows, sealed

    def _is_over(self, inbox: int, older_than_us: int) -> bool:
        connection = self._file(inbox)
        if connection is None:
            return False
        sealed, last_us = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM sealed), (SELECT received_us FROM frame ORDER BY id DESC LIMIT 1)"
        ).fetchone()
        return bool(sealed) and (last_us or 0) < older_than_us

    def _file(self, inbox: int) -> driver.Connection | None:
        """The connection of a file, opened when needed; None while it is not there, or not yet more than a name."""
        connection = self._open.get(inbox)
        if connection is not None:
            self._open.move_to_end(inbox)
            return connection
        path = inbox_path(self._folder, inbox)
        if inbox <= 0 or not path.exists():
            return None
        connection = open_reader(path)
        try:
            if (
                connection.execute("SELECT count(*) FROM sqlite_schema WHERE name IN ('frame', 'sealed')").fetchone()[0]
                < 2
            ):
                connection.close()
                return None  # the writer is about to make its tables
            require_current(connection, inbox_migrations, path)
        except driver.Error as error:
            connection.close()
            raise store_error(error, path) or error from error
        except StoreError:
            connection.close()
            raise
        self._open[inbox] = connection
        while len(self._open) > FILES_OPEN_MAX:
            self._forget(next(iter(self._open)))
        return connection

    def _forget(self, inbox: int) -> None:
        connection = self._open.pop(inbox, None)
        if connection is not None:
            connection.close()


def _first_frames(
    connection: driver.Connection, inbox: int, after: int, frames_max: int, bytes_max: int
) -> list[FrameRow]:
    """Frames behind `after` within the bounds, at least one; damaged ones in their place."""
    rows: list[FrameRow] = []
    size = 0
    cursor = connection.cursor()
    try:
        cursor.execute(f"SELECT {COLUMNS} FROM frame WHERE id > ? ORDER BY id LIMIT ?", (after, frames_max))
        for row in cursor:
            frame = _checked(inbox, row)
            size += len(frame.body)
            if rows and size > bytes_max:
                break
            rows.append(frame)
    except driver.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != driver.SQLITE_CORRUPT:
            raise
        if not rows:
            return _past_damage(connection, inbox, after)
    finally:
        with contextlib.suppress(driver.Error):  # a statement that failed says so once more
            cursor.close()
    return rows


def _past_damage(connection: driver.Connection, inbox: int, after: int) -> list[FrameRow]:
    """The damaged frame behind `after` as far as it can be told, found id by id. Raises when nothing can be read any more."""
    damage: driver.DatabaseError | None = None
    for frame in range(after + 1, after + 1 + PROBES_MAX):
        try:
            known = connection.execute("SELECT received_us, count FROM frame WHERE id = ?", (frame,)).fetchone()
        except driver.DatabaseError as error:
            damage = error
            continue
        if known is None:
            continue
        try:
            row = connection.execute(f"SELECT {COLUMNS} FROM frame WHERE id = ?", (frame,)).fetchone()
            return [_checked(inbox, row)]
        except driver.DatabaseError as error:
            problem = f"frame {frame} of inbox file {inbox} cannot be read: {error}"
            return [FrameRow(inbox, frame, known[0], known[1], b"", problem)]
    raise damage or driver.DatabaseError("no frame behind the damage can be read")


def _checked(inbox: int, row: tuple[int, int, int, int, bytes]) -> FrameRow:
    frame, received_us, count, crc, body = row
    if zlib.crc32(body) != crc:
        return FrameRow(
            inbox, frame, received_us, count, b"", f"frame {frame} of inbox file {inbox} fails its checksum"
        )
    return FrameRow(inbox, frame, received_us, count, body)


def _bounded(rows: list[FrameRow], frames_max: int, bytes_max: int) -> list[FrameRow]:
    size = 0
    for taken, row in enumerate(rows[:frames_max]):
        size += len(row.body)
        if taken and size > bytes_max:
            return rows[:taken]
    return rows[:frames_max]
