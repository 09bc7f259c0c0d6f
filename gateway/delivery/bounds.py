"""How hard one lane may press its partner: requests at once, requests per second. Both change while the lane works."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec
from aiolimiter import AsyncLimiter

from gateway.core.http_messages import Answer, Request
from gateway.core.rulebook import CompiledDestination
from gateway.destinations.base import BoundsItsLane, Destination, HttpClient

Way = TypeVar("Way", bound=HttpClient)

RATE_WAIT_S_MAX = 100.0  # ours: so long at most a request waits behind those of other batches


class LaneLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one lane. batches_at_once: requests in flight. requests_per_s: over one second, bursts included."""

    batches_at_once: int = 4
    requests_per_s: float = 50.0


def limits_of(destination: CompiledDestination | None, offered: Destination | None, default: LaneLimits) -> LaneLimits:
    """What holds for a lane now: what its mapping file says, else its definition, else the default; each bound by itself."""
    at_once, rate = default.batches_at_once, default.requests_per_s
    if isinstance(offered, BoundsItsLane):
        at_once, rate = offered.lane_bounds
    own = destination.limits if destination is not None else None
    if own is not None:
        at_once = at_once if own.concurrency is None else own.concurrency
        rate = rate if own.requests_per_second is None else own.requests_per_second
    # What waits for the rate counts as an attempt under way, and an attempt is cut off in the end.
    return LaneLimits(batches_at_once=max(1, min(at_once, int(rate * RATE_WAIT_S_MAX))), requests_per_s=rate)


class Slots:
    """A semaphore whose size may change: `async with` takes one, in the order of asking.

    Made smaller, it gives out none until so many have come back; what is held is never taken away.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def resize(self, size: int) -> None:
        """So many at once from now on."""
        self._size = size
        self._give_out()

    async def __aenter__(self) -> None:
        if self._held < self._size and not self._waiting:
            self._held += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn  # Who ends the wait has taken the slot for us.
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self._held -= 1
        self._give_out()

    def _give_out(self) -> None:
        while self._waiting and self._held < self._size:
            turn = self._waiting.popleft()
            if not turn.done():
                self._held += 1
                turn.set_result(None)


class Throttle:
    """The bounds in force. `slots`: one for each request on its way."""

    def __init__(self, limits: LaneLimits) -> None:
        self.limits = limits
        self.slots = Slots(limits.batches_at_once)
        self._limiter = _limiter(limits.requests_per_s)
        self._waits: set[asyncio.Timeout] = set()

    def change(self, limits: LaneLimits) -> bool:
        """Take new bounds; whether they are others. Requests that wait for the old rate wait for the new one."""
        if limits == self.limits:
            return False
        if limits.requests_per_s != self.limits.requests_per_s:
            self._limiter = _limiter(limits.requests_per_s)
            for wait in self._waits:
                wait.reschedule(0.0)
        self.slots.resize(limits.batches_at_once)
        self.limits = limits
        return True

    async def may_send(self) -> None:
        """Wait until the rate allows one more request."""
        while True:
            with suppress(TimeoutError):  # The rate changed.
                async with asyncio.timeout(None) as wait:
                    self._waits.add(wait)
                    try:
                        await self._limiter.acquire()
                    finally:
                        self._waits.discard(wait)
                return


class RatedHttp:
    """The lane's way out, every request of it counted against the lane's rate."""

    def __init__(self, http: HttpClient, throttle: Throttle) -> None:
        self._http = http
        self._throttle = throttle

    async def send(self, request: Request) -> Answer:
        """As `HttpClient.send`, once the rate allows."""
        await self._throttle.may_send()
        return await self._http.send(request)

    def around(self, wrap: Callable[[HttpClient], Way]) -> tuple[RatedHttp, Way]:
        """The same with something put inside, which so sees nothing of the waiting; and that thing."""
        inner = wrap(self._http)
        return RatedHttp(inner, self._throttle), inner


def _limiter(requests_per_s: float) -> AsyncLimiter:
    """Less than one a second is one in so many seconds."""
    return AsyncLimiter(max(requests_per_s, 1.0), max(1.0, 1.0 / requests_per_s))
