"""Starts the roles as processes, watches them, restarts what dies with growing pauses, and ends them all in time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence

import msgspec

from gateway.observe.logs import logger
from gateway.observe.metrics import ROLE_RESTARTS

RESTART_PAUSE_S = 0.5  # doubles with each restart
RESTART_PAUSE_S_MAX = 30.0
STEADY_S = 60.0  # a process that lived this long starts again with the first pause
REFUSED = 2  # exit code of a role that will not start until a person mends something


class RoleCommand(msgspec.Struct, frozen=True, kw_only=True):
    """One process to keep running. arguments: after `python -m gateway`."""

    name: str
    arguments: tuple[str, ...]


class Supervisor:
    """Owns the role processes of `gateway serve`."""

    def __init__(self, roles: Sequence[RoleCommand], *, stop_s: float) -> None:
        """stop_s: what a role may take to stop before it is killed."""
        self._roles = roles
        self._stop_s = stop_s
        self._stopping = asyncio.Event()
        self._refused = 0
        self._log = logger()

    async def run(self) -> int:
        """Keep the roles running until SIGTERM or SIGINT; return the exit code (2 when a role refused to start)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        async with asyncio.TaskGroup() as tasks:
            for role in self._roles:
                tasks.create_task(self._keep(role))
        return self._refused

    async def _keep(self, role: RoleCommand) -> None:
        pause_s = RESTART_PAUSE_S
        lives = 0
        while not self._stopping.is_set():
            started_s = asyncio.get_running_loop().time()
            code = await self._live(role)
            if self._stopping.is_set():
                return
            lives += 1
            if code == REFUSED and lives == 1:  # later it has run before: the disk or a lock may come back
                self._refused = REFUSED
                self._stopping.set()
                return
            if asyncio.get_running_loop().time() - started_s > STEADY_S:
                pause_s = RESTART_PAUSE_S
            ROLE_RESTARTS.labels(role.name).inc()
            self._log.error("role.ended", role_name=role.name, exit_code=code, restart_in_s=pause_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(pause_s * 2, RESTART_PAUSE_S_MAX)

    async def _live(self, role: RoleCommand) -> int:
        """Run one process to its end; a pipe to its standard input tells it when we are gone."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            *role.arguments,
            "--supervised",
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(ended), self._stop_s)
            if not ended.done():
                self._log.error("role.killed", role_name=role.name, after_s=self._stop_s)
                process.kill()
        stopping.cancel()
        return await ended


async def parent_gone() -> None:
    """Return when the standard input of a supervised role closes: its supervisor ended without saying so."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        await reader.read()
    finally:
        transport.close()
