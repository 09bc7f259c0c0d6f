"""Copies of a data folder: made while the gateway runs, checked, and put back.

The state is copied first and the inbox after it, so that the cursor of the copy never points behind what its inbox
holds: what was accepted later is simply decided again, from the copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import msgspec

from gateway.core.errors import StoreError
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.connection import WriterLock, open_reader, store_error
from gateway.store.sqlite.inbox_reader import SqliteInboxReader
from gateway.store.sqlite.places import inbox_files, inbox_path, writer_of
from gateway.store.sqlite.schema import Migrations, check_version, inbox_migrations, state_migrations
from gateway.store.sqlite.state import STATE_FILE

MANIFEST = "manifest.json"
FORMAT = 1
PAGES_PER_STEP = 2_000
OTHER_FILE_BYTES_MAX = 64 * 1024 * 1024  # keys, tokens, the last good rulebook; anything larger is not ours
OTHER_FILES_MAX = 10_000
PROBLEMS_PER_FILE_MAX = 20
ASIDE = "replaced-"  # folders of what a restore put aside; no backup copies them
NOT_COPIED = (".lock", ".sock", "-wal", "-shm", ".tmp")

Progress = Callable[[int, int], None]
"""Called with bytes copied so far and bytes in all, as far as that is known while the databases grow."""


class BackupFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a backup. migrations: what was applied to a database; empty for other files."""

    name: str
    bytes: int
    sha256: str
    migrations: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup holds. made_us: Unix time in microseconds; cursors: (inbox file, frame) by writer."""

    format: int
    made_us: int
    sqlite: str
    cursors: dict[int, tuple[int, int]]
    files: tuple[BackupFile, ...]


def backup(data_folder: Path, target: Path, progress: Progress | None = None) -> Manifest:
    """Copy a data folder to `target`, which must not exist or be empty, while its gateway runs or not.

    Raises StoreError when there is nothing to copy or it cannot be copied; then no manifest is written.
    """
    state = data_folder / STATE_FILE
    if not state.exists():
        raise StoreError(f"{state} is not there. Is this the data folder of a gateway that has run?")
    _make_empty(target)
    told = _Told(data_folder, progress)
    try:
        files = [_copy_database(state, target / STATE_FILE, state_migrations, told)]
        cursors = _cursors(target / STATE_FILE)
        for inbox in inbox_files(data_folder):
            path = inbox_path(data_folder, inbox)
            with contextlib.suppress(FileNotFoundError):  # retention took it away meanwhile: it lay before the cursor
                files.append(_copy_database(path, target / path.name, inbox_migrations, told))
        files += [_copy_file(data_folder, name, target, told) for name in _other_files(data_folder)]
    except OSError as error:
        raise StoreError(f"The backup to {target} stopped: {error}.") from error
    manifest = Manifest(
        format=FORMAT,
        made_us=time.time_ns() // 1000,
        sqlite=driver.sqlite_version,
        cursors=cursors,
        files=tuple(files),
    )
    _write_durably(target / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    return manifest


def verify(folder: Path) -> list[str]:
    """Everything that is wrong with a backup; empty when it can be restored."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        return [f"{folder / MANIFEST} cannot be read: {error.strerror}. The backup did not finish, or this is not one."]
    except msgspec.MsgspecError as error:
        return [f"{folder / MANIFEST} is not a manifest: {error}."]
    if manifest.format != FORMAT:
        return [f"{folder / MANIFEST} has format {manifest.format}; this version reads {FORMAT}."]
    problems = [problem for file in manifest.files for problem in _check_file(folder, file)]
    return problems or _check_cursors(folder)


def restore(folder: Path, data_folder: Path, *, replace: bool = False) -> Manifest:
    """Put a backup that verifies into a data folder that is empty, or whose databases `replace` puts aside.

    Raises StoreError when the backup is damaged, the folder is in use, or not empty. Each file is copied beside its
    place and moved there at the end, the state last. With `replace`, what was there lies in `replaced-<Unix seconds>/`.
    """
    if problems := verify(folder):
        raise StoreError("The backup cannot be restored:\n" + "\n".join(problems))
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    data_folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        if any(path.suffix != ".lock" for path in data_folder.iterdir()):
            if not replace:
                raise StoreError(
                    f"{data_folder} is not empty. Choose another folder, or put aside what is there with `--replace`."
                )
            writers = {writer_of(inbox) for inbox in inbox_files(data_folder)} | {0}
            for path in (data_folder / STATE_FILE, *(data_folder / f"inbox-{writer}" for writer in sorted(writers))):
                held.callback(WriterLock(path).release)
        try:
            for file in manifest.files:
                arriving = data_folder / f"{file.name}.tmp"
                arriving.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(folder / file.name, arriving)
            _put_aside(data_folder)
            for file in reversed(manifest.files):
                (data_folder / f"{file.name}.tmp").replace(data_folder / file.name)
        except OSError as error:
            raise StoreError(f"Restoring to {data_folder} stopped: {error}. Run it again.") from error
    return manifest


class _Told:
    """Turns what each copy says of itself into one progress."""

    def __init__(self, folder: Path, progress: Progress | None) -> None:
        names = [STATE_FILE, *(inbox_path(folder, inbox).name for inbox in inbox_files(folder)), *_other_files(folder)]
        self._sizes = [(folder / name).stat().st_size for name in names if (folder / name).exists()]
        self._progress = progress
        self._files = self._done = 0

    def copying(self, part: float) -> None:
        """So much of the present file is copied."""
        size = self._sizes[self._files] if self._files < len(self._sizes) else 0
        self._tell(self._done + int(size * part))

    def copied(self, size: int) -> None:
        """The present file is copied."""
        if self._files < len(self._sizes):
            self._sizes[self._files] = size
        self._files += 1
        self._done += size
        self._tell(self._done)

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress(done, max(done, sum(self._sizes)))


# copying ---------------------------------------------------------------------------------------------------------
def _make_empty(target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        taken = any(target.iterdir())
    except OSError as error:
        raise StoreError(f"{target} cannot be used for a backup: {error.strerror}.") from error
    if taken:
        raise StoreError(f"{target} is not empty. Give each backup a folder of its own.")


def _copy_database(source: Path, target: Path, migrations: Migrations, told: _Told) -> BackupFile:
    """Copy one moment of a database, page by page, while its writer goes on."""
    if not source.exists():
        raise FileNotFoundError(source)
    reader = open_reader(source)
    try:
        check_version(reader, migrations, source)  # an older one is copied as it is: before an upgrade, say
        # The open read transaction holds the moment; without it the copy would begin anew at each commit.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        copy = driver.connect(target, isolation_level=None)
        try:
            reader.backup(
                copy, pages=PAGES_PER_STEP, progress=lambda _status, left, pages: told.copying((pages - left) / pages)
            )
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, no log beside it
            applied = copy.execute("SELECT name FROM _sqlite_migrations ORDER BY id").fetchall()
        finally:
            copy.close()
    except driver.Error as error:
        raise store_error(error, source) or error from error
    finally:
        reader.close()
    _sync(target)
    told.copied(target.stat().st_size)
    return BackupFile(
        name=target.name,
        bytes=target.stat().st_size,
        sha256=_sha256(target),
        migrations=tuple(row[0] for row in applied),
    )


def _other_files(folder: Path) -> list[str]:
    """Names, relative to the folder, of what else belongs to a gateway: keys, tokens, the last good rulebook."""
    databases = {STATE_FILE, *(inbox_path(folder, inbox).name for inbox in inbox_files(folder))}
    found = []
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        if name in databases or name.endswith(NOT_COPIED) or name.startswith(ASIDE):
            continue
        if path.stat().st_size <= OTHER_FILE_BYTES_MAX:
            found.append(name)
    return sorted(found)[:OTHER_FILES_MAX]


def _files_below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


def _copy_file(folder: Path, name: str, target: Path, told: _Told) -> BackupFile:
    copy = target / name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(folder / name, copy)
    _sync(copy)
    size = copy.stat().st_size
    told.copied(size)
    return BackupFile(name=name, bytes=size, sha256=_sha256(copy))


def _write_durably(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put_aside(folder: Path) -> None:
    """Move the databases that are there into a folder of their own, logs too: a log must never meet another database."""
    aside = folder / f"{ASIDE}{time.time_ns() // 1_000_000_000}"
    databases = [folder / STATE_FILE, *(inbox_path(folder, inbox) for inbox in inbox_files(folder))]
    for path in databases:
        for part in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            if part.exists():
                aside.mkdir(exist_ok=True)
                part.replace(aside / part.name)


# checking --------------------------------------------------------------------------------------------------------
def _check_file(folder: Path, file: BackupFile) -> list[str]:
    name = PurePosixPath(file.name)
    if name.is_absolute() or ".." in name.parts or not file.name:
        return [f"The manifest names {file.name!r}, which lies outside the backup."]
    path = folder / file.name
    if not path.is_file():
        return [f"{path} is missing."]
    if path.stat().st_size != file.bytes or _sha256(path) != file.sha256:
        return [f"{path} is not the file that was backed up: its size or SHA-256 differs from the manifest."]
    return _check_database(path) if file.migrations else []


def _check_database(path: Path) -> list[str]:
    try:
        connection = open_reader(path)
        try:
            # One of an older version is good: the first start brings it up to date.
            check_version(connection, state_migrations if path.name == STATE_FILE else inbox_migrations, path)
            found = connection.execute(f"PRAGMA integrity_check({PROBLEMS_PER_FILE_MAX})").fetchall()
            found += connection.execute("PRAGMA foreign_key_check").fetchmany(PROBLEMS_PER_FILE_MAX)
        finally:
            connection.close()
    except (StoreError, driver.Error) as error:
        return [f"{path}: {error}"]
    return [f"{path}: {row}" for row in found if row != ("ok",)]


def _check_cursors(folder: Path) -> list[str]:
    """What was decided must be in the inbox: a cursor behind its end would skip what comes in later."""
    problems = []
    with contextlib.closing(SqliteInboxReader(folder)) as inbox:
        for writer, (number, frame) in _cursors(folder / STATE_FILE).items():
            last = inbox.last(writer)
            if (number, frame) > last:
                problems.append(
                    f"{folder / STATE_FILE} has decided up to frame {frame} of inbox file {number}, "
                    f"but the inbox ends at frame {last[1]} of file {last[0]}."
                )
    return problems


def _cursors(state: Path) -> dict[int, tuple[int, int]]:
    with contextlib.closing(open_reader(state)) as connection:
        rows = connection.execute("SELECT writer, inbox, frame FROM cursor ORDER BY writer").fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}
