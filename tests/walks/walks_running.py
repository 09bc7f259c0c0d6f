"""A gateway as its own processes, for walks: started, listened to by its log lines, killed, and started again."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from fork_server import DEVNULL, PIPE, Forked

WAIT_S = 60.0

Ran = subprocess.CompletedProcess[str]

MAPPING = {
    "name": "StackAdapt",
    "destination": "stackadapt-audience",
    "settings": {"apiKey": {"$env": "STACKADAPT_TOKEN"}, "advertiser_id": "12345"},
    "mappings": [
        {
            "name": "Forward Audience Event",
            "action": "forwardAudienceEvent",
            "fields": {"marketing_status": "Opted-in"},
            "audiences": {"*": {}},
        }
    ],
}


ASK_AGAIN_S = 0.02  # asking without a pause takes the processor from whoever is asked


def until(holds: Callable[[], object]) -> None:
    """Ask again and again, each time of a running process, until it holds."""
    end_s = time.monotonic() + WAIT_S
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < end_s, "it never came to hold"
        pause.wait(ASK_AGAIN_S)


def environment_of(folder: Path) -> dict[str, str]:
    """The variables with which processes and commands of a project folder run."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return given | {
        "GATEWAY_DATA": str(folder / "data"),
        "GATEWAY_MAPPINGS": str(folder / "mappings"),
        "GATEWAY_PORT": "0",
        "GATEWAY_ADMIN_PORT": "0",
        "GATEWAY_LOG_FORM": "json",
        "GATEWAY_ADMIN_TOKEN": "walk-token",
        "GATEWAY_DISK_FREE_MIB": "1",
        "STACKADAPT_TOKEN": "sandbox-token",
    }


class Heard(NamedTuple):
    """One answer. headers: by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """The body as a JSON object."""
        found: dict[str, object] = json.loads(self.body)
        return found


class Role:
    """One process of the gateway, and what it says."""

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        variables: dict[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """arguments: after `gateway serve`. before: done in the child before it starts, such as giving up rights."""
        self.lines: list[dict[str, object]] = []
        self.text: list[str] = []
        self._said = threading.Condition()
        environment = environment_of(folder) | (variables or {})
        self.process: Forked | subprocess.Popen[bytes]
        if before is None and {"--role", "--single"} & set(arguments):
            self.process = Forked(["serve", *arguments], env=environment, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
        else:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", *arguments],
                env=environment,
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=before,  # noqa: PLW1509 # it makes one system call, and no thread of ours holds a lock over a fork
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for raw in self.process.stderr:
            with self._said:
                self.text.append(raw.decode(errors="replace"))
                try:
                    line = json.loads(raw)
                    self.lines.append(line if isinstance(line, dict) else {})
                except json.JSONDecodeError:
                    pass
                self._said.notify_all()
        self.process.stderr.close()
        with self._said:
            self.lines.append({"event": "process.ended"})
            self._said.notify_all()

    def wait_for(self, event: str, *, times: int = 1, **members: object) -> dict[str, object]:
        """The log line of the event with these members, the `times`-th of its kind; fails when the process ends before."""

        def found() -> list[dict[str, object]]:
            wanted = {"event": event, **members}
            return [line for line in self.lines if _holds(line, wanted)]

        def ended() -> bool:
            return any(line.get("event") == "process.ended" for line in self.lines)

        with self._said:
            assert self._said.wait_for(lambda: len(found()) >= times or ended(), WAIT_S), f"no {event}: {self.text}"
            assert len(found()) >= times, f"ended without {event}: {''.join(self.text)}"
            return found()[times - 1]

    def count(self, event: str, **members: object) -> int:
        """How often the event was logged so far, with these members."""
        wanted = {"event": event, **members}
        with self._said:
            return sum(_holds(line, wanted) for line in self.lines)

    def everything(self) -> str:
        """All it said, once it and its children have ended."""
        self._reader.join(WAIT_S)
        assert not self._reader.is_alive(), "somebody still holds the log"
        return "".join(self.text)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return code


def _holds(line: dict[str, object], wanted: dict[str, object]) -> bool:
    return all(line.get(name) == value for name, value in wanted.items())


class Walk:
    """A project folder whose StackAdapt is the sandbox, with both roles under the test's hand."""

    def __init__(self, folder: Path, sandbox_url: str) -> None:
        self.folder = folder
        self.ingest: Role | None = None
        self.engine: Role | None = None
        self.roles: list[Role] = []
        self.port = 0
        self.admin_port = 0
        (folder / "mappings").mkdir(parents=True)
        mapping = json.loads(json.dumps(MAPPING))
        mapping["settings"]["api_url"] = f"{sandbox_url}/stackadapt/graphql"
        self.write("stackadapt.json", mapping)

    def write(self, name: str, value: object) -> None:
        """Save a mapping file as an editor does: at once."""
        fresh = self.folder / f"{name}.new"
        fresh.write_text(value if isinstance(value, str) else json.dumps(value))
        fresh.replace(self.folder / "mappings" / name)

    def read(self, name: str) -> dict[str, object]:
        """A mapping file as it stands."""
        found: dict[str, object] = json.loads((self.folder / "mappings" / name).read_text())
        return found

    def spawn(self, *arguments: str, **variables: str) -> Role:
        """Start `gateway serve` with these arguments; it is ended with the walk."""
        role = Role(*arguments, folder=self.folder, variables=variables)
        self.roles.append(role)
        return role

    def serve(self, *arguments: str, **variables: str) -> Role:
        """Start `gateway serve` with both roles and wait until both work."""
        role = self.spawn(*arguments, **{"GATEWAY_PORT": str(self.port)} | variables)
        self.port = int(str(role.wait_for("ingest.started")["port"]))
        self.admin_port = int(str(role.wait_for("engine.started")["admin_port"]))
        return role

    def spawn_ingest(self, **variables: str) -> Role:
        """Start the ingest process, on the port it had before."""
        self.ingest = self.spawn("--role", "ingest", **{"GATEWAY_PORT": str(self.port)} | variables)
        return self.ingest

    def start_ingest(self, **variables: str) -> Role:
        """Start the ingest process and wait until it listens."""
        role = self.spawn_ingest(**variables)
        self.port = int(str(role.wait_for("ingest.started")["port"]))
        return role

    def spawn_engine(self, **variables: str) -> Role:
        """Start the engine."""
        self.engine = self.spawn("--role", "engine", **variables)
        return self.engine

    def start_engine(self, **variables: str) -> Role:
        """Start the engine and wait until it works."""
        role = self.spawn_engine(**variables)
        self.admin_port = int(str(role.wait_for("engine.started")["admin_port"]))
        return role

    def stop(self) -> None:
        """End what runs."""
        for role in self.roles:
            role.stop()

    def post(self, body: object, path: str = "/v1/batch", *, key: str = "local") -> tuple[int, dict[str, object]]:
        """One request; raises OSError or HTTPException when the connection fails."""
        answer = self.exchange(body, path, key=key)
        return answer.status, answer.json

    def exchange(
        self,
        body: object,
        path: str,
        *,
        key: str = "local",
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> Heard:
        """One request to ingest, with its whole answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            credentials = {"Authorization": f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"} if key else {}
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {**credentials, **(headers or {})})
            answer = connection.getresponse()
            return Heard(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def command(self, *arguments: str, text: str = "", **variables: str) -> Ran:
        """Run one `gateway` command on the project, to its end."""
        (found,) = self._run([arguments], text=text, **variables)
        return found

    def together(self, *commands: Sequence[str], **variables: str) -> list[Ran]:
        """Run independent commands at the same time; the results in their order."""
        return self._run(commands, **variables)

    def _run(self, commands: Sequence[Sequence[str]], *, text: str = "", **variables: str) -> list[Ran]:
        env = environment_of(self.folder) | variables
        stdin = PIPE if text else DEVNULL
        started = [
            Forked(arguments, env=env, cwd=self.folder, stdin=stdin, stdout=PIPE, stderr=PIPE) for arguments in commands
        ]
        ended = [process.communicate(text, timeout=WAIT_S) for process in started]
        return [
            subprocess.CompletedProcess(process.args, process.wait(), out, err)
            for process, (out, err) in zip(started, ended, strict=True)
        ]

    @staticmethod
    def metrics(port: int, path: str = "/metrics") -> str:
        """The metrics of a process."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        try:
            connection.request("GET", path, headers={"Authorization": "Bearer walk-token"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def admin(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
        """One call of the admin API."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=WAIT_S)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Authorization": "Bearer walk-token"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def audience_event(
    user: str, *, is_member: bool, message_id: str, key: str = "cart_rescue", **traits: object
) -> dict[str, object]:
    """An Identify call as an audience sends it."""
    return {
        "type": "identify",
        "userId": user,
        "messageId": message_id,
        "traits": {key: is_member, "email": f"{user}@example.com", **traits},
        "context": {
            "personas": {"computation_class": "audience", "computation_id": f"aud_{key}", "computation_key": key}
        },
    }
