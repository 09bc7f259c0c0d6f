"""A partner on 127.0.0.1, a destination that talks to it, and lanes over a real state file with a hand-set clock."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest

from gateway.core.answers import outcome_of_status
from gateway.core.definitions import Action, Definition
from gateway.core.events import Place
from gateway.core.http_messages import NoAnswerError, Request
from gateway.core.outcomes import Delivered, Outcome, Unreachable
from gateway.core.rulebook import CompiledDestination, CompiledMapping, LaneBounds, Rulebook
from gateway.delivery.bounds import LaneLimits
from gateway.delivery.lanes import Lanes
from gateway.delivery.runs import RunAttempt
from gateway.destinations import REGISTRY
from gateway.destinations.base import Batch, Context, Owed, Performed
from gateway.destinations.http_client import PartnerHttp
from gateway.store.api import StateStore, StateTx, StateView
from gateway.store.rows import DeliveryRow, LaneRow, NewDelivery
from gateway.store.sqlite.state import SqliteStateStore

S = 1_000_000
T0 = 1_760_000_000 * S
WAIT_S_MAX = 10.0  # A test that waits longer than this has failed.

T = TypeVar("T")
Say = tuple[int, dict[str, str], bytes] | str
OK: Say = (200, {}, b'{"ok":true}')
HANG: Say = "hang"
RESET: Say = "reset"


class HandClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_us = T0

    def __call__(self) -> int:
        return self.now_us

    def advance(self, seconds: float) -> None:
        self.now_us += round(seconds * S)


class Signal:
    """Tells waiters that something happened; they look for themselves."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def until(self, true: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while True:
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                if await true():
                    self._waiters.discard(waiter)
                    return
                await waiter


class Partner:
    """Keeps every request as the list of `n` it carried, and says what the test's `answer` says."""

    def __init__(self, signal: Signal) -> None:
        self.requests: list[list[int]] = []
        self.tokens: list[str] = []
        self.answered: list[int] = []
        self.answer: Callable[[list[int]], Say] = lambda _records: OK
        self.at_once = 0
        self.at_once_max = 0
        self.url = ""
        self._signal = signal
        self._gate = asyncio.Event()

    def let_go(self) -> None:
        """Answer what hangs, with success."""
        self._gate.set()

    def hold(self) -> None:
        """Let what hangs from now on hang again."""
        self._gate = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {line.split(": ")[0].lower(): line.split(": ")[1] for line in head[1:] if line}
                records = json.loads(await reader.readexactly(int(headers["content-length"])))
                await self._answer(writer, reader, records, headers["authorization"])
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader, records: list[int], token: str
    ) -> None:
        self.requests.append(records)
        self.tokens.append(token)
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        self._signal.ring()
        said = self.answer(records)
        try:
            if said == RESET:
                writer.transport.abort()
                return
            if said == HANG:
                gone = asyncio.ensure_future(reader.read(1))
                let_go = asyncio.ensure_future(self._gate.wait())
                await asyncio.wait({gone, let_go}, return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                let_go.cancel()
                await asyncio.gather(gone, let_go, return_exceptions=True)
                said = OK
            status, headers, body = cast("tuple[int, dict[str, str], bytes]", said)
            lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            await writer.drain()
            if status == 200 and body == OK[2]:
                self.answered += records
        finally:
            self.at_once -= 1
            self._signal.ring()


class FakeDestination:
    """Posts the `n` of each payload as one JSON list; groups by `g`; a payload with `boom` makes it fail by itself."""

    definition = Definition(slug="fake", title="Fake", settings=(), actions=())

    def group(self, _action: str, payload: dict[str, object], _settings: dict[str, object]) -> Hashable:
        return payload.get("g")

    def check_settings(self, _settings: dict[str, object], _corrections: frozenset[str]) -> list[str]:
        return []

    def __init__(self) -> None:
        self.owed: list[Owed] = []
        self.facts: list[dict[str, object]] = []
        self.puts_off: Callable[[dict[str, object]], Outcome | None] = lambda _payload: None

    async def perform(self, batch: Batch, context: Context) -> Performed:
        self.owed += batch.owed
        self.facts.append(batch.sync)
        if any("boom" in one.payload for one in batch.owed):
            raise ValueError(f"canary {batch.owed[0].payload}")
        body = json.dumps([one.payload["n"] for one in batch.owed]).encode()
        headers = {"content-type": "application/json", "authorization": str(batch.settings["token"])}
        request = Request(
            method="POST", url=str(batch.settings["api_url"]), headers=headers, body=body,
            timeout_s=cast("float", batch.settings.get("timeout_s", 10.0)),
        )  # fmt: skip
        outcome: Outcome
        try:
            answer = await context.http.send(request)
        except NoAnswerError as error:
            outcome = Unreachable(reason=error.reason, sent=error.sent)
        else:
            outcome = outcome_of_status(answer.status, answer.headers, now_us=context.now_us, partner="Fake")
            if isinstance(outcome, Delivered) and not answer.body.startswith(b"{"):
                outcome = Unreachable(reason="Fake answered something that is not JSON.", status=answer.status)
        outcomes = tuple(self.puts_off(one.payload) or outcome for one in batch.owed)
        return Performed(outcomes=outcomes, request=f"POST {len(batch.owed)} records")

    async def test(self, _settings: dict[str, object], _context: Context) -> Sequence[str]:
        return []


class WatchedState:
    """A state store that rings after every write."""

    def __init__(self, state: StateStore, signal: Signal) -> None:
        self._state = state
        self._signal = signal

    async def write(self, work: Callable[[StateTx], T]) -> T:
        try:
            return await self._state.write(work)
        finally:
            self._signal.ring()

    async def read(self, work: Callable[[StateView], T]) -> T:
        return await self._state.read(work)

    async def close(self) -> None:
        await self._state.close()


ACTION = Action(slug="syncAudience", title="Sync", fields=(), trigger="")


def mapping_of(key: str, **more: Any) -> CompiledMapping:
    """A mapping of which delivery reads only bounds and action."""
    unused = cast("Any", None)
    return CompiledMapping(
        key=key,
        name=key,
        action=ACTION,
        trigger=unused,
        trigger_text="",
        transform=unused,
        check=unused,
        fields={},
        **more,
    )


@pytest.fixture(name="mapping_of")
def mapping_maker() -> Callable[..., CompiledMapping]:
    """For tests that need bounds of their own."""
    return mapping_of


class EmptyList:
    """A run's list, where nobody looks into it."""

    members = 0

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        return iter(())


class RecordingRuns:
    """The syncs' side: keeps what it is told. stopped: runs that send nothing more; lists: those of whole lists."""

    def __init__(self) -> None:
        self.told: list[RunAttempt] = []
        self.stopped: set[int] = set()
        self.doubted: list[int] = []
        self.lists: set[int] = set()

    async def snapshot(self, run: int) -> EmptyList | None:
        return EmptyList() if run in self.lists else None

    async def goes_on(self, run: int) -> bool:
        return run not in self.stopped

    def settled(self, _tx: StateTx, attempts: Sequence[RunAttempt], *, now_us: int) -> None:
        self.told += attempts

    def doubt_expired(self, tx: StateTx, *, now_us: int) -> None:
        self.doubted += tx.run_deliveries_claimed(lease_until_us=now_us)

    def wake(self) -> None:
        pass


class Rig:
    """Everything a test turns. `lane` is the default lane; `partner` the default partner."""

    def __init__(self, state: StateStore, http: PartnerHttp, signal: Signal, path: Path) -> None:
        self.signal = signal
        self.state = WatchedState(state, signal)
        self.http = http
        self.path = path
        self.clock = HandClock()
        self.jitter = 1.0
        self.partners: dict[str, Partner] = {}
        self.destinations: dict[str, CompiledDestination] = {}
        self.destination = FakeDestination()
        self.lanes: Lanes | None = None
        self.task: asyncio.Task[None] | None = None
        self.limits = LaneLimits(requests_per_s=10_000.0)
        self.runs = RecordingRuns()
        self.more: dict[str, Any] = {}

    @property
    def partner(self) -> Partner:
        return self.partners["a"]

    @property
    def rulebook(self) -> Rulebook:
        return Rulebook(version="1", destinations=tuple(self.destinations.values()), sources={})

    def set_lane(
        self,
        lane: str,
        *,
        enabled: bool = True,
        mappings: Sequence[CompiledMapping] = (),
        definition: Definition = FakeDestination.definition,
        limits: LaneBounds | None = None,
        **settings: Any,
    ) -> None:
        """Put or change a configured destination, as a changed file would."""
        settings = {"api_url": self.partners[lane].url, "token": "t1", **settings}
        self.destinations[lane] = CompiledDestination(
            key=lane, name=lane, definition=definition, settings=settings, enabled=enabled,
            mappings=tuple(mappings) or (mapping_of(f"{lane}/m"),), corrections=frozenset(), limits=limits,
        )  # fmt: skip
        if self.lanes is not None:
            self.lanes.rulebook_changed()

    def start(self) -> None:
        self.lanes = Lanes(
            state=self.state, rulebook=lambda: self.rulebook, http=self.http,
            registry={"fake": self.destination, **REGISTRY, **self.more},
            clock=self.clock, chance=lambda: self.jitter, limits=self.limits, runs=self.runs,
        )  # fmt: skip
        self.task = asyncio.create_task(self.lanes.run())

    async def kill(self) -> None:
        """As a crash does: tasks end where they are, nothing is written any more."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.lanes = self.task = None

    async def owe(
        self,
        numbers: Iterable[int],
        *,
        lane: str = "a",
        mapping: str = "m",
        member: int | None = None,
        run: int = 0,
        operation: str = "enter",
        **more: Any,
    ) -> None:
        """Record deliveries with `n` and wake the lane. member: None gives each its own person."""
        rows = [
            NewDelivery(
                lane, f"{lane}/{mapping}", 0, n + 1 if member is None else member, operation,
                msgspec.json.encode({"n": n, **more}), Place(1, 1, 0), self.clock(), self.clock(), run=run,
            )
            for n in numbers
        ]  # fmt: skip
        now_us = self.clock()
        await self.state.write(lambda tx: tx.add_deliveries(rows, now_us=now_us))
        if self.lanes is not None:
            self.lanes.wake([lane])

    def advance(self, seconds: float) -> None:
        """Move the clock and let every lane look at it."""
        assert self.lanes is not None
        self.clock.advance(seconds)
        self.lanes.wake(list(self.destinations))

    async def rows(self, state: str = "", lane: str = "a") -> list[DeliveryRow]:
        return await self.state.read(lambda view: view.deliveries(lane=lane, state=state, limit=10_000))

    async def row(self, lane: str = "a") -> LaneRow:
        return await self.state.read(lambda view: view.lane(lane))

    async def empty(self, lane: str = "a") -> None:
        """Wait until nothing is owed and nothing dead."""

        async def is_empty() -> bool:
            return not await self.rows(lane=lane)

        await self.signal.until(is_empty)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until a claim about the partner holds."""

        async def holds() -> bool:
            return true()

        await self.signal.until(holds)

    async def settled(self, attempts: int, lane: str = "a") -> None:
        """Wait until so many attempts of the lane are recorded and nothing is claimed."""

        async def are_there() -> bool:
            recorded = await self.state.read(lambda view: view.attempts(lane=lane, limit=1000))
            return len(recorded) >= attempts and not await self.rows("claimed", lane)

        await self.signal.until(are_there)

    async def lane_is(self, lane: str = "a", **expected: Any) -> None:
        """Wait until the stored standing has these values."""

        async def is_so() -> bool:
            row = await self.row(lane)
            return all(getattr(row, name) == value for name, value in expected.items())

        await self.signal.until(is_so)


@asynccontextmanager
async def open_rig(path: Path, lanes: Sequence[str]) -> AsyncIterator[Rig]:
    signal = Signal()
    state = SqliteStateStore(path)
    http = PartnerHttp(version="0")
    rig = Rig(state, http, signal, path)
    servers = []
    try:
        for lane in lanes:
            partner = rig.partners[lane] = Partner(signal)
            server = await asyncio.start_server(partner.handle, "127.0.0.1", 0)
            servers.append(server)
            partner.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            rig.set_lane(lane)
        yield rig
    finally:
        for partner in rig.partners.values():
            partner.let_go()
        if rig.lanes is not None and rig.task is not None:
            await rig.lanes.stop(1.0)
            await rig.task
        await http.aclose()
        await state.close()
        for server in servers:
            server.close()
            await server.wait_closed()


@pytest.fixture
def rig_of(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Rig]]:
    """`async with rig_of("a", "b") as rig`: lanes a and b, each with its partner; not started yet."""
    return lambda *lanes: open_rig(tmp_path, lanes or ("a",))
