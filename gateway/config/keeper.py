"""Keeps the last configuration that compiled, in memory and in the data folder, and swaps in a new one whole.

A file broken later, or found broken at a restart, leaves the last good configuration in force; only where there never was
one does loading fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from watchfiles import awatch

from gateway.config.folder import FolderText, Loaded, read_folder
from gateway.core.errors import Problem, RulebookError

_POINTER = "current"
WATCH_QUIET_MS = 150  # editors save in several steps; compile once the folder has been quiet for this long
WATCH_GROUP_MS = 1000  # and at the latest after this long
LOOK_EVERY_MS = 5000  # without a word from the system: network disks and mounts do not tell, a folder may be put anew

T = TypeVar("T")


class Reload(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at the folder gave. changed: a new configuration is in force. problems: of the files as they lie there."""

    changed: bool
    problems: tuple[Problem, ...]


class Keeper(Generic[T]):
    """Holds one configuration of type T. `value` is replaced, never changed."""

    def __init__(
        self,
        folder: Path,
        kept: Path,
        compiling: Callable[[FolderText], Loaded[T]],
        *,
        sources_only: bool = False,
        taken: Callable[[T], None] = lambda _: None,
    ) -> None:
        """folder: what people edit. kept: where the last good copy lies; made when first needed. taken: told what is in force."""
        self._taken = taken
        self._folder = folder
        self._kept = kept
        self._compiling = compiling
        self._sources_only = sources_only
        self._digest = ""
        self._looked_at: object = None
        self._value: T | None = None
        self.problems: tuple[Problem, ...] = ()

    @property
    def value(self) -> T:
        """What is in force."""
        assert self._value is not None, "load() comes first"
        return self._value

    def load(self) -> None:
        """Load at start: the folder, else the last good copy. Raises RulebookError with all problems when neither compiles."""
        text = read_folder(self._folder, sources_only=self._sources_only)
        loaded = self._compiled(text)
        self.problems = loaded.problems
        if loaded.value is not None:
            self._take(text, loaded.value)
            return
        copy = self._kept_copy()
        if copy is not None:
            last = read_folder(copy, sources_only=self._sources_only)
            kept = self._compiling(last)
            if kept.value is not None and last.digest == copy.name:  # else a crash left half of it
                self._value, self._digest = kept.value, last.digest
                self._taken(kept.value)
                return
        raise RulebookError(list(loaded.problems))

    def reload(self, *, forced: bool = False) -> Reload:
        """Look at the folder again; take what compiles, keep what is in force otherwise.

        forced: take it even if no file changed, since a secret behind a reference may have.
        """
        text = read_folder(self._folder, sources_only=self._sources_only)
        loaded = self._compiled(text)
        self.problems = loaded.problems
        if loaded.value is None or (text.digest == self._digest and not forced):
            return Reload(changed=False, problems=loaded.problems)
        self._take(text, loaded.value)
        return Reload(changed=True, problems=self.problems)

    async def changes(self) -> AsyncIterator[Reload]:
        """Yield the result of a reload after each change on disk, until cancelled."""
        while True:
            if self._is_news():
                yield self.reload()
            watched = self._identity()
            if watched is None:
                await asyncio.sleep(LOOK_EVERY_MS / 1000)
                continue
            watching = awatch(
                self._folder,
                debounce=WATCH_GROUP_MS,
                step=WATCH_QUIET_MS,
                rust_timeout=LOOK_EVERY_MS,
                yield_on_timeout=True,
            )
            async with contextlib.aclosing(watching):
                async for _ in watching:
                    if self._is_news():
                        yield self.reload()
                    if self._identity() != watched:
                        break  # another folder of the same name has taken its place, and is watched instead

    def _identity(self) -> tuple[int, int] | None:
        """Which folder it is, None while there is none."""
        try:
            found = self._folder.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _is_news(self) -> bool:
        """Whether the files are others than at the last look, be they good or not."""
        text = read_folder(self._folder, sources_only=self._sources_only)
        return (text.digest, text.unreadable) != self._looked_at

    def _compiled(self, text: FolderText) -> Loaded[T]:
        self._looked_at = (text.digest, text.unreadable)
        return self._compiling(text)

    def _take(self, text: FolderText, value: T) -> None:
        try:
            self._keep_copy(text)
        except OSError as error:
            said = error.strerror or type(error).__name__
            what = f"These files are in force, but no copy of them could be kept for a restart: {said}."
            problem = Problem(file=self._kept.as_posix(), what=what, severity="warning")
            self.problems = (*self.problems, problem)
        self._value, self._digest = value, text.digest
        self._taken(value)

    def _keep_copy(self, text: FolderText) -> None:
        """Write the files under their digest, then point at them: a crash leaves the old or the new copy, whole."""
        copy = self._kept / text.digest
        if not copy.is_dir():
            fresh = self._kept / f".{text.digest}.{os.getpid()}"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            for name, raw in text.files():
                (fresh / name).parent.mkdir(exist_ok=True)
                (fresh / name).write_text(raw.text, encoding="utf-8")
            try:
                fresh.replace(copy)
            except OSError:  # another process kept the same files first
                shutil.rmtree(fresh, ignore_errors=True)
        pointer = self._kept / f".{_POINTER}.{os.getpid()}"
        pointer.write_text(text.digest, encoding="ascii")
        pointer.replace(self._kept / _POINTER)
        for other in self._kept.iterdir():
            if other.is_dir() and other.name != text.digest and not other.name.startswith("."):
                shutil.rmtree(other, ignore_errors=True)

    def _kept_copy(self) -> Path | None:
        """The folder of the last good copy, if there is one."""
        try:
            copy = self._kept / (self._kept / _POINTER).read_text(encoding="ascii").strip()
        except (OSError, UnicodeError):
            return None
        return copy if copy.is_dir() and copy != self._kept else None
