"""Wakes the reader of the inbox: a byte on a Unix datagram socket in the data folder, after each commit.

Nothing depends on it arriving. Where it is lost, the folder's path is too long for a socket, or the system has none, the
reader's time-out finds the frames a little later.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

SOCKET_NAME = "inbox.sock"
POLL_S = 0.05  # how late a reader notices frames at most when no byte came
BYTES_PER_DRAIN = 4096


class InboxBell:
    """The writer's end."""

    def __init__(self, folder: Path) -> None:
        self._address = str(folder / SOCKET_NAME)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def ring(self) -> None:
        """Wake the reader, if there is one."""
        with contextlib.suppress(OSError):
            self._socket.sendto(b"\0", self._address)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class InboxSignal:
    """The reader's end; one per data folder. Made inside a running event loop."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / SOCKET_NAME
        self._rung = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._path.unlink(missing_ok=True)  # left by a process that died
            self._socket.bind(str(self._path))
        except OSError:
            self._socket.close()
            self._socket = None
        else:
            self._loop.add_reader(self._socket.fileno(), self._drain)

    @property
    def listens(self) -> bool:
        """Whether bytes can arrive; if not, `wait` only polls."""
        return self._socket is not None

    async def wait(self, timeout_s: float = POLL_S) -> bool:
        """Return when a commit happened since the last `wait`, or after the time; tell which. Read the inbox either way."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True

    def ring(self) -> None:
        """Wake the waiter from this process (a stop, a test)."""
        self._rung.set()

    def close(self) -> None:
        """Stop listening and take the socket away."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
            self._path.unlink(missing_ok=True)

    def _drain(self) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            while self._socket.recv(BYTES_PER_DRAIN):
                pass
        self._rung.set()
