"""One request and its answer on a real connection, sent well or acted out with a fault; it knows no partner."""

import asyncio
import socket
import struct

from starlette.types import Receive, Scope, Send

from gateway.sandbox.answers import Answer
from gateway.sandbox.faults import (
    Bandwidth,
    Down,
    Fault,
    FaultQueue,
    Latency,
    Reset,
    Slices,
    SlowClose,
    Timeout,
    Truncate,
)

CONNECTION = "connection"  # Under this key of the scope's state the server leaves the connection's transport.
BANDWIDTH_TICK_S = 0.05
_DRAIN_TICK_S = 0.001


class Exchange:
    """The ASGI side of one request: read it once, answer it once."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._transport: asyncio.Transport = scope["state"][CONNECTION]
        self.method: str = scope["method"]
        self.path: str = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        self.raw_path: str = (  # as it was sent, below the mount
            scope["raw_path"].decode("latin-1").partition("?")[0].removeprefix(scope.get("root_path", ""))
        )
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers: tuple[tuple[str, str], ...] = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        )

    def header(self, name: str) -> str | None:
        """The first header of this name (lower case), None without one."""
        return next((value for key, value in self.headers if key == name), None)

    async def read(self, bytes_max: int) -> bytes | None:
        """The whole body; None when it is larger than `bytes_max` (the rest is not read)."""
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > bytes_max:
                return None
            if not message.get("more_body", False):
                return bytes(body)

    async def send(self, answer: Answer) -> None:
        """Send the whole answer at once."""
        await self._start(answer)
        await self._body(answer.body, more=False)

    async def send_with(self, fault: Fault, answer: Answer | None, faults: FaultQueue) -> None:
        """Act out the fault; `answer` is what the partner would have said, None where the fault lets nothing through."""
        match fault:
            case Down() | Reset(when="before"):
                await self._reset()
            case Timeout():
                await self._hold(fault.hold_s, faults)
            case Reset():
                assert answer is not None
                await self._begin(answer, len(answer.body) // 2)
                await self._reset()
            case Truncate():
                assert answer is not None
                keep = len(answer.body) // 2 if fault.keep_bytes is None else fault.keep_bytes
                await self._truncate(answer, keep)
            case SlowClose():
                assert answer is not None
                await self._start(answer, is_sized=False)
                await self._body(answer.body, more=True)
                await faults.pause(fault.delay_s)
                await self._body(b"", more=False)
            case Latency():
                assert answer is not None
                await faults.pause(fault.drawn_delay_s(faults.chance))
                await self.send(answer)
            case Slices():
                assert answer is not None
                await self._send_in_parts(answer, fault.slice_bytes, fault.delay_s, faults)
            case Bandwidth():
                assert answer is not None
                part_bytes = max(1, int(fault.bytes_per_s * BANDWIDTH_TICK_S))
                await self._send_in_parts(answer, part_bytes, part_bytes / fault.bytes_per_s, faults)
            case _:  # The fault is in the answer itself.
                assert answer is not None
                await self.send(answer)

    async def _start(self, answer: Answer, *, is_sized: bool = True) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        if is_sized:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        else:
            headers.append((b"connection", b"close"))
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})

    async def _begin(self, answer: Answer, keep_bytes: int) -> None:
        """Send the answer up to `keep_bytes` of its body; where it has none, up to the middle of its head.

        An answer without a body is whole with its head, so that only a piece of the head leaves it unfinished.
        """
        if answer.body:
            await self._start(answer)
            await self._body(answer.body[:keep_bytes], more=True)
        else:
            self._transport.write(f"HTTP/1.1 {answer.status} ".encode())
        await self._drain()

    async def _body(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _send_in_parts(self, answer: Answer, part_bytes: int, wait_s: float, faults: FaultQueue) -> None:
        await self._start(answer)
        begun, sent = faults.clearings, 0
        while len(answer.body) - sent > part_bytes:
            await self._body(answer.body[sent : sent + part_bytes], more=True)
            sent += part_bytes
            if await faults.pause(wait_s, since=begun):
                break
        await self._body(answer.body[sent:], more=False)

    async def _truncate(self, answer: Answer, keep_bytes: int) -> None:
        if answer.body and keep_bytes >= len(answer.body):
            await self.send(answer)
            return
        await self._begin(answer, keep_bytes)
        self._transport.close()
        await self._until_gone()

    async def _hold(self, hold_s: float, faults: FaultQueue) -> None:
        """Say nothing until the client leaves or the pause is over; then drop the connection."""
        ends = {asyncio.ensure_future(self._until_gone()), asyncio.ensure_future(faults.pause(hold_s))}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        await self._reset()

    async def _reset(self) -> None:
        """Close with an RST instead of a FIN: lingering zero seconds is how a socket is told to."""
        connection = self._transport.get_extra_info("socket")
        if connection is not None and not self._transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        await self._until_gone()

    async def _drain(self) -> None:
        """Wait until the kernel has what was written; an abort would throw the rest away."""
        while self._transport.get_write_buffer_size() and not self._transport.is_closing():  # noqa: ASYNC110 - no signal
            await asyncio.sleep(_DRAIN_TICK_S)

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
