"""An engine for tests: a real data folder with an inbox, a state, and a worker that is moved by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.core.arrivals import Arrival, Item, encode_arrival
from gateway.core.rulebook import Rulebook
from gateway.decisions.worker import DecisionWorker
from gateway.store import open_inbox_reader, open_inbox_writer, open_state
from gateway.store.api import StateTx, StateView
from gateway.store.rows import DeliveryRow, TraceRow

NOON_US = 1_795_000_000_000_000


class Engine:
    """What a test holds in its hand. Times are microseconds after NOON_US."""

    def __init__(self, folder: Path, rules: Rulebook) -> None:
        self.folder = folder
        self.rules = rules
        self.now_us = NOON_US
        self.woken: list[set[str]] = []
        self.inbox = open_inbox_writer(folder)
        self.reader = open_inbox_reader(folder)
        self.state: Any = open_state(folder)
        self.worker = self.new_worker()

    def new_worker(self, **more: Any) -> DecisionWorker:
        async def wait(_timeout_s: float) -> None:
            return None

        return DecisionWorker(
            inbox=self.reader,
            state=self.state,
            rulebook=lambda: self.rules,
            wait=wait,
            clock=lambda: self.now_us,
            on_recorded=self.woken.append,
            **more,
        )

    async def keep(self, *events: dict[str, object] | bytes | Item, source: str = "shop", at_us: int = 0) -> None:
        """One request with these events arrives."""
        items = tuple(
            event
            if isinstance(event, Item)
            else Item(body=event if isinstance(event, bytes) else json.dumps(event).encode())
            for event in events
        )
        await self.inbox.put(
            encode_arrival(Arrival(source=source, received_us=NOON_US + at_us, items=items)), len(items)
        )

    async def decide(self) -> int:
        """Decide everything that is there; the number of items."""
        total = 0
        while items := await self.worker.step():
            total += items
        return total

    async def restart(self) -> None:
        """The engine dies and comes back; the inbox goes on."""
        await self.state.close()
        self.state = open_state(self.folder)
        self.worker = self.new_worker()

    async def deliveries(self, **filters: Any) -> list[DeliveryRow]:
        found: list[DeliveryRow] = await self.state.read(lambda view: view.deliveries(**filters))
        return found

    async def traces(self) -> list[TraceRow]:
        rows: list[TraceRow] = await self.state.read(lambda view: view.traces(limit=1000))
        return list(reversed(rows))

    async def is_member(self, user: str, *, key: str = "aud_vip", space: str = "spa") -> bool | None:
        """In, out, or never met."""

        def look(view: StateView) -> bool | None:
            audience = view.audience(space, key)
            row = view.membership(audience.id, "default", user) if audience else None
            return row.is_member if row else None

        answer: bool | None = await self.state.read(look)
        return answer

    async def write(self, work: Callable[[StateTx], Any]) -> Any:
        return await self.state.write(work)

    async def close(self) -> None:
        await self.state.close()
        self.reader.close()
        await self.inbox.close()
