"""Writes the log of every run that has ended to a folder, a file a run. Files appear whole, and each run once.

A file is written under a name that begins with a dot, brought to the disk, and renamed; only then the run counts as exported. A
gateway that dies between the two finds the file when it is back, and leaves it. Retention waits for the export.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from gateway.core.errors import StoreError
from gateway.observe import logs
from gateway.store.api import StateStore, StateTx
from gateway.store.sync_rows import RunRow
from gateway.syncs.log_lines import LogFormat, encoded_page, encoder

NOTE = "sync_log_exported_through"
RUNS_AT_ONCE = 100
FIRST_ROUND_S = 20.0

log = logs.logger()


class LogExporter:
    """One per engine with an export folder."""

    def __init__(self, *, state: StateStore, folder: Path, form: LogFormat, every_s: float) -> None:
        """folder: made where it is missing. every_s: between two rounds."""
        self._state = state
        self._folder = folder
        self._form: LogFormat = form
        self._every_s = every_s

    async def run(self) -> None:
        """A round now and then until cancelled; trouble with the folder or the store is told and tried again."""
        wait_s = min(FIRST_ROUND_S, self._every_s)
        while True:
            await asyncio.sleep(wait_s)
            wait_s = self._every_s
            try:
                await self.round()
            except StoreError as error:
                log.warning("sync_log.export_waiting", reason=str(error))
            except OSError as error:
                log.warning(
                    "sync_log.export_failed", folder=str(self._folder), reason=error.strerror or type(error).__name__
                )

    async def round(self) -> int:
        """Export every run that has ended and was not exported; return how many. Raises OSError, StoreError."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        note = await self._state.read(lambda view: view.note(NOTE))
        begin = after = int(note) if note else 0
        done = 0
        through = await self._state.read(lambda view: view.exported_through(begin))
        while runs := await self._next(after):
            for run in runs:
                lines = await self._export(run)
                await self._done(run)
                log.info("sync_log.exported", run_id=run, lines=lines, form=self._form)
            done += len(runs)
            after = runs[-1]
        if through > begin:
            await self._state.write(lambda tx: _remember(tx, through))
        return done

    async def _next(self, after: int) -> list[int]:
        return await self._state.read(lambda view: view.runs_to_export(after=after, limit=RUNS_AT_ONCE))

    async def _done(self, run: int) -> None:
        await self._state.write(lambda tx: tx.mark_exported(run))

    async def _export(self, run: int) -> int:
        """One file; how many lines it holds. One that is there already was written before a crash, and stays."""
        row = await self._state.read(lambda view: view.run(run))
        if row is None:
            return 0
        path = self._folder / file_name(row, self._form)
        if await asyncio.to_thread(path.exists):
            return 0
        unfinished = path.with_name(f".{path.name}.part")
        head, encode = encoder(self._form)
        count = 0
        with await asyncio.to_thread(unfinished.open, "wb") as file:
            await asyncio.to_thread(file.write, head)
            after: int | None = 0
            while after is not None:
                page, size, after = await self._state.read(partial(encoded_page, run=run, after=after, encode=encode))
                count += size
                await asyncio.to_thread(file.write, page)
            await asyncio.to_thread(_keep, file)
        await asyncio.to_thread(_rename, unfinished, path)
        return count


def file_name(run: RunRow, form: LogFormat) -> str:
    """Names sort as runs do, and say which run they are of."""
    return f"sync-log-{run.id:012d}.{form}"


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file that is there whole or not at all. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            for part in parts:
                file.write(part)
            _keep(file)
        _rename(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _keep(file: BinaryIO) -> None:
    """Bring a file's bytes to the disk."""
    file.flush()
    os.fsync(file.fileno())


def _rename(unfinished: Path, path: Path) -> None:
    """Give a file its name, and bring that to the disk too."""
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remember(tx: StateTx, through: int) -> None:
    tx.put_note(NOTE, str(through).encode())
