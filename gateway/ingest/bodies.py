"""Reads a request's body: bounded in size, in time between bytes and in total, drained when it is too large."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

from gateway.core.errors import EventError
from gateway.ingest.encodings import TooLargeError
from gateway.ingest.limits import IngestLimits

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]  # as ASGI gives it

HEAD_BYTES = 4096  # of a body that is too large, kept for whoever looks into it
SWEEPS_PER_WAIT = 4  # how often overdue reads are looked for, within the shortest wait


class DisconnectedError(Exception):
    """The sender went away before its body was complete; nobody is there to be answered."""


class BodyTimeoutError(EventError):
    """408: the body did not come in time; the connection cannot be used further."""

    def __init__(self) -> None:
        super().__init__(408, "body_timeout", "The body did not arrive in time.")


class OverloadedError(EventError):
    """503: more is under way than this process may hold. is_drained: none of the body is left unread."""

    def __init__(self, message: str, *, is_drained: bool = True) -> None:
        self.is_drained = is_drained
        super().__init__(503, "overloaded", message)


class Bodies:
    """Reads all bodies of one process. One timer serves all waits, so that a body which is there costs no timer."""

    def __init__(self, limits: IngestLimits) -> None:
        self._limits = limits
        self._sweep_s = min(limits.body_idle_s, limits.body_total_s, limits.drain_s) / SWEEPS_PER_WAIT
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_armed = False
        self.held_bytes = 0

    async def read(self, receive: Receive, length: int | None) -> bytes:
        """The whole body. length: as declared, None where it is not. It counts as held until it is given to `release`.

        Raises BodyTimeoutError, DisconnectedError, OverloadedError, or TooLargeError once the rest is drained.
        """
        limits = self._limits
        if length is not None and length > limits.body_bytes_max:
            raise await self._drained(receive, b"", 0)
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        began = loop.time()
        if not self._is_armed:
            self._arm(loop)
        message = await self._next(receive, task, began + limits.body_idle_s)
        first: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if len(first) > limits.body_bytes_max:
                self._refuse(first[:HEAD_BYTES], len(first))
            self.held_bytes += len(first)
            return first
        return await self._rest(receive, task, bytearray(first), began, length)

    def _refuse(self, head: bytes, seen: int) -> NoReturn:
        raise TooLargeError(seen, head)

    async def _too_large(self, receive: Receive, head: bytes, seen: int) -> NoReturn:
        raise await self._drained(receive, head, seen)

    async def _overloaded(self, receive: Receive, seen: int) -> NoReturn:
        drained = await self._drained(receive, b"", seen)
        raise OverloadedError("Too many bodies are being read.", is_drained=drained.is_drained)

    async def _rest(
        self, receive: Receive, task: asyncio.Task[Any], body: bytearray, began: float, length: int | None
    ) -> bytes:
        """Collect a body that comes in several parts."""
        limits = self._limits
        loop = asyncio.get_running_loop()
        counted = len(body)
        self.held_bytes += counted
        more = True
        try:
            while more:
                if counted > limits.body_bytes_max:
                    await self._too_large(receive, bytes(body[:HEAD_BYTES]), counted)
                if self.held_bytes > limits.held_bytes_max:
                    await self._overloaded(receive, counted)
                is_small = max(length or 0, counted) < limits.small_body_bytes
                total_s = limits.body_total_s if is_small else limits.large_body_total_s
                message = await self._next(receive, task, min(loop.time() + limits.body_idle_s, began + total_s))
                body += message.get("body", b"")
                self.held_bytes += len(body) - counted
                counted = len(body)
                more = message.get("more_body", False)
            if counted > limits.body_bytes_max:
                self._refuse(bytes(body[:HEAD_BYTES]), counted)
        except BaseException:
            self.held_bytes -= counted
            raise
        return bytes(body)

    def hold(self, size: int) -> int:
        """Count `size` bytes more as held, and give the size back."""
        self.held_bytes += size
        return size

    def release(self, size: int) -> None:
        """Count `size` bytes of bodies as done with."""
        self.held_bytes -= size

    async def discard(self, receive: Receive) -> bool:
        """Read a body that nobody wants, within the bounds of draining. False when some of it is left."""
        return (await self._drained(receive, b"", 0)).is_drained

    async def _drained(self, receive: Receive, head: bytes, seen: int) -> TooLargeError:
        """Throw the rest of a body away, bounded, and give the error that says how much there was."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        if not self._is_armed:
            self._arm(loop)
        until = loop.time() + self._limits.drain_s
        more = True
        while more and seen < self._limits.drain_bytes_max:
            try:
                message = await self._next(receive, task, until)
            except BodyTimeoutError:
                break
            part: bytes = message.get("body", b"")
            head = head or part[:HEAD_BYTES]
            seen += len(part)
            more = message.get("more_body", False)
        error = TooLargeError(seen, head)
        error.is_drained = not more
        return error

    async def _next(self, receive: Receive, task: asyncio.Task[Any], deadline: float) -> MutableMapping[str, Any]:
        self._deadlines[task] = deadline
        try:
            message = await receive()
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            task.uncancel()
            raise BodyTimeoutError from None
        finally:
            del self._deadlines[task]
            self._overdue.discard(task)
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        return message

    # --- Overdue reads ---

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_armed = True
        self._timer = loop.call_later(self._sweep_s, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the reads whose time is over. Runs only while something is read."""
        now = loop.time()
        for task, deadline in self._deadlines.items():
            if deadline < now and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        self._is_armed = False
        if self._deadlines:
            self._arm(loop)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._is_armed = True
