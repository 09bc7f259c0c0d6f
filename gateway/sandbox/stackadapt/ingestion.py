"""When accepted changes take effect at the fake StackAdapt: at once, after a delay, or when told."""

import asyncio
from collections import deque

from gateway.sandbox.changes import Changes
from gateway.sandbox.stackadapt.lists import Change, Lists, UpsertProfiles

PENDING_DOCUMENTS_MAX = 10_000


class Ingestion:
    """The documents accepted and not yet in the lists, oldest first; past the bound the oldest take effect early."""

    def __init__(self, lists: Lists, changes: Changes) -> None:
        self._lists = lists
        self._changes = changes
        self._pending: deque[tuple[Change, ...]] = deque()
        self._timers: set[asyncio.TimerHandle] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def accept(self, document: tuple[Change, ...], *, delay_s: float | None, profiles_first: bool) -> None:
        """Take one document's changes, to be applied together.

        delay_s: 0 at once, more is a delay that needs a running loop, None waits for `ingest`.
        """
        if profiles_first:
            document = tuple(sorted(document, key=lambda change: not isinstance(change, UpsertProfiles)))
        with self._changes.change():
            self._pending.append(document)
            if delay_s == 0:
                self.ingest()
            elif len(self._pending) > PENDING_DOCUMENTS_MAX:
                self._ingest_oldest()
        if delay_s:
            self._ingest_later(delay_s)

    def ingest(self) -> None:
        """Let everything take effect now, oldest first."""
        with self._changes.change():
            while self._pending:
                self._ingest_oldest()

    def forget(self) -> None:
        """Drop what is pending."""
        self._pending.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _ingest_oldest(self) -> None:
        for change in self._pending.popleft():
            self._lists.apply(change)

    def _ingest_later(self, delay_s: float) -> None:
        def due() -> None:
            self._timers.discard(timer)
            if self._pending:
                with self._changes.change():
                    self._ingest_oldest()

        timer = asyncio.get_running_loop().call_later(delay_s, due)
        self._timers.add(timer)
