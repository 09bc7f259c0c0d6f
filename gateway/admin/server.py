"""The admin port as a server inside the engine's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

BACKLOG = 128


class _Quiet(uvicorn.Server):
    """Leaves signals to the role."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


class AdminServer:
    """Serves one app on one address."""

    def __init__(self, app: ASGIApp, *, host: str, port: int) -> None:
        """port: 0 picks a free one."""
        self._address = (host, port)
        config = uvicorn.Config(app, access_log=False, log_config=None, lifespan="off", server_header=False)
        self._server = _Quiet(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; return the port. Raises OSError when it is taken."""
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        # Named as TCP, since asyncio turns the delay of small packets off for no other.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(self._address)
        except OSError:
            listening.close()
            raise
        listening.listen(BACKLOG)
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        return int(listening.getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Finish requests in flight, at most `grace_s` seconds."""
        self._server.should_exit = True
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, grace_s)
