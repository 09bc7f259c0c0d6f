"""The commands' way to a running gateway: its admin API, and its public port for `gateway send`."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from gateway.config.environment import Environment
from gateway.service.run_files import kept_key, read_run_file

TIMEOUT_S = 30.0
ANSWERED = frozenset({200, 202})

T = TypeVar("T")


class NotAnsweredError(Exception):
    """The gateway did not answer, or answered with an error; the text is for a person. status: 0 where nothing answered."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


def post(
    url: str, body: bytes, headers: dict[str, str], *, method: str = "POST", timeout_s: float = TIMEOUT_S
) -> tuple[int, bytes]:
    """One exchange. Raises NotAnsweredError when nothing answers."""
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = make(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
    except ValueError as error:
        raise NotAnsweredError(f"{url} is no address ({error}).") from error
    try:
        path = parts.path or "/"
        connection.request(method, f"{path}?{parts.query}" if parts.query else path, body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotAnsweredError(f"{parts.scheme}://{parts.netloc} does not answer ({error}).") from error
    finally:
        connection.close()


class AdminClient:
    """Speaks to the engine of one data folder."""

    def __init__(self, base: str, token: str) -> None:
        self._base = base
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, wanted: type[T], body: object = None, *, timeout_s: float = TIMEOUT_S) -> T:
        """One call; raises NotAnsweredError with the engine's own words on any error."""
        data = b"" if body is None else msgspec.json.encode(body)
        status, answer = post(f"{self._base}{path}", data, self._headers, method=method, timeout_s=timeout_s)
        if status not in ANSWERED:
            raise NotAnsweredError(_words(status, answer), status=status)
        return msgspec.json.decode(answer, type=wanted)


def running_engine(environment: Environment) -> AdminClient | None:
    """The engine that runs on the data folder, or None when none does."""
    run = read_run_file(environment.data, "engine")
    if run is None:
        return None
    token = kept_key(environment.data, "admin", environment.admin_token)
    return AdminClient(f"http://{_reachable(run.host)}:{run.port}", token)


def running_ingest(data: Path) -> str | None:
    """Base URL of the ingest port that runs on the data folder, or None."""
    run = read_run_file(data, "ingest-0")
    return f"http://{_reachable(run.host)}:{run.port}" if run else None


def _reachable(host: str) -> str:
    """The address by which this machine reaches a listener, as a URL writes it."""
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 # compares, binds nothing
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _words(status: int, answer: bytes) -> str:
    try:
        said = msgspec.json.decode(answer)["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"The gateway answered {status}."
    return str(said)
