"""Processes of the gateway without waiting for its imports: one process has loaded everything and forks one for each request.

A fork has its own variables, folder, standard streams and session, and ends as any program does. What it does not show is
that the program starts from nothing; the sandbox, the children of `gateway serve` and the README's commands do start so.
Run as a program this file is the server, with the control socket as its standard input.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

LENGTH = struct.Struct("!I")
DEVNULL, PIPE = subprocess.DEVNULL, subprocess.PIPE
LOADED = (
    "gateway.cli.checking", "gateway.cli.destination", "gateway.cli.keeping", "gateway.cli.operating", "gateway.cli.runs",
    "gateway.cli.sending", "gateway.cli.serving", "gateway.cli.syncs", "gateway.cli.trying", "gateway.service.engine_role",
    "gateway.service.ingest_role", "sqlite_utils", "uvloop",
)  # fmt: skip


class Forked:
    """One process: what a test uses of `subprocess.Popen`."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: int,
        stdout: int,
        stderr: int,
        cwd: Path | None = None,
    ) -> None:
        """arguments: of `gateway`. stdin, stdout, stderr: DEVNULL or PIPE."""
        self.args = ["gateway", *arguments]
        self.returncode: int | None = None
        self._lock = threading.Lock()
        ours: list[int | None] = []
        theirs: list[int] = []
        for wanted, reads in ((stdin, True), (stdout, False), (stderr, False)):
            if wanted == DEVNULL:
                ours.append(None)
                theirs.append(os.open(os.devnull, os.O_RDWR))
            else:
                read, write = os.pipe()
                ours.append(write if reads else read)
                theirs.append(read if reads else write)
        told, tells = os.pipe()
        request = {"arguments": list(arguments), "env": dict(env), "cwd": str(cwd or Path.cwd())}
        _server().ask(json.dumps(request).encode(), [*theirs, tells])
        for one in (*theirs, tells):
            os.close(one)
        self.stdin = None if ours[0] is None else os.fdopen(ours[0], "wb")
        self.stdout = None if ours[1] is None else os.fdopen(ours[1], "rb")
        self.stderr = None if ours[2] is None else os.fdopen(ours[2], "rb")
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = int.from_bytes(self._read(4), "big")

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = self._told.read(size - len(found))
            assert piece, "the fork server has ended"
            found += piece
        return found

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        with self._lock:
            if self.returncode is None and select.select([self._told], [], [], 0)[0]:
                self._end()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; negative for a signal. Raises subprocess.TimeoutExpired."""
        with self._lock:
            if self.returncode is None:
                if not select.select([self._told], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                self._end()
            assert self.returncode is not None
            return self.returncode

    def _end(self) -> None:
        self.returncode = int.from_bytes(self._read(4), "big", signed=True)
        self._told.close()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, given: str = "", timeout: float | None = None) -> tuple[str, str]:
        """All of its output, and its end. It reads its input before it says much."""
        if self.stdin is not None:
            try:
                self.stdin.write(given.encode())
                self.stdin.close()
            except BrokenPipeError:
                pass  # it did not want to hear it
        said: list[bytes] = [b"", b""]

        def listen(number: int) -> None:
            stream = self.stderr if number else self.stdout
            assert stream is not None
            with stream:
                said[number] = stream.read()

        other = threading.Thread(target=listen, args=(1,), daemon=True)
        other.start()
        listen(0)
        other.join(timeout)
        self.wait(timeout)
        return said[0].decode(), said[1].decode()


class _Server:
    """The server's other end."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=theirs, stdout=DEVNULL, stderr=None, start_new_session=True
        )
        theirs.close()

    def ask(self, request: bytes, descriptors: list[int]) -> None:
        """Have a process forked."""
        with self._lock:
            socket.send_fds(self._control, [LENGTH.pack(len(request))], descriptors)
            self._control.sendall(request)


@cache
def _server() -> _Server:
    """The one of this test process; it ends with it, when its socket is closed."""
    return _Server()


def _serve() -> list[str]:
    """Fork for each request. Returns in each fork, with its arguments, and in the server when nobody asks any more."""
    control = socket.socket(fileno=os.dup(0))
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}
    while True:
        ready = select.select([control, wake], [], [])[0]
        if wake in ready:
            wake.recv(4096)
            _tell_ended(running)
        if control not in ready:
            continue
        length, descriptors, _flags, _address = socket.recv_fds(control, LENGTH.size, 4)
        if not length:
            os._exit(0)
        request = json.loads(_read_all(control, LENGTH.unpack(length)[0]))
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in (control, wake, woken):
                one.close()
            for told in (*running.values(), descriptors[3]):
                os.close(told)
            _become(request, descriptors[:3])
            arguments: list[str] = request["arguments"]
            return arguments
        for one in descriptors[:3]:
            os.close(one)
        running[pid] = descriptors[3]
        os.write(descriptors[3], pid.to_bytes(4, "big"))


def _read_all(control: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += control.recv(size - len(found))
    return found


def _tell_ended(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        told = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it
            os.write(told, os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
        os.close(told)


def _become(request: dict[str, object], streams: list[int]) -> None:
    """Take on session, streams, folder and variables of the process that was asked for."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background inherit it as ignored
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    env = request["env"]
    assert isinstance(env, dict)
    os.environ.update(env)


def _load() -> None:
    """Import what processes of the gateway need, which starts no thread and opens nothing."""
    import importlib

    for module in LOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a fork's collector leaves alone, and so does not copy, what was there before it


if __name__ == "__main__":
    _load()
    sys.argv = ["gateway", *_serve()]

    from gateway.cli import main

    main(prog_name="gateway")
