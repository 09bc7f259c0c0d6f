"""The latest requests a fake partner got, bounded in number and in bytes; what they mean is the partner's to tell."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from gateway.sandbox.changes import Changes

REQUESTS_MAX = 500
LOGGED_BYTES_MAX = 64 * 1024 * 1024


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A broken promise of the contract that the partner itself lets pass: a stable word and a sentence."""

    rule: str
    message: str


class LoggedRequest:
    """One request: as it came, and (once known) what became of it.

    body is None when the log is kept light or the byte bound took it; status is None while unanswered, and for good
    when no answer was sent.
    """

    def __init__(self, *, number: int, method: str, path: str, headers: tuple[tuple[str, str], ...]) -> None:
        self.number = number
        self.at = datetime.now(UTC)
        self.method = method
        self.path = path
        self.headers = headers
        self.body: bytes | None = None
        self.body_bytes = 0
        self.names: tuple[str, ...] = ()
        self.status: int | None = None
        self.fault: str | None = None
        self.problem: str | None = None
        self.violations: tuple[Violation, ...] = ()
        self.is_done = False


class RequestLog:
    """The latest REQUESTS_MAX requests; the oldest bodies go once all kept bodies exceed LOGGED_BYTES_MAX."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._requests: deque[LoggedRequest] = deque(maxlen=REQUESTS_MAX)
        self._kept_bytes = 0
        self._numbers = 0

    def __iter__(self) -> Iterator[LoggedRequest]:
        """Oldest first."""
        return iter(tuple(self._requests))

    def __len__(self) -> int:
        return len(self._requests)

    def latest(self, limit: int) -> tuple[LoggedRequest, ...]:
        """The last `limit`, oldest first."""
        return tuple(self._requests)[-limit:] if limit > 0 else ()

    def arrived(self, *, method: str, path: str, headers: tuple[tuple[str, str], ...]) -> LoggedRequest:
        """Note a request at its first byte."""
        with self._changes.change():
            self._numbers += 1
            request = LoggedRequest(number=self._numbers, method=method, path=path, headers=headers)
            if len(self._requests) == REQUESTS_MAX:
                self._drop_body(self._requests[0])
            self._requests.append(request)
        return request

    def keep_body(self, request: LoggedRequest, body: bytes) -> None:
        """Keep the body with its request, at the expense of the oldest ones."""
        with self._changes.change():
            request.body = body
            self._kept_bytes += len(body)
            for old in self._requests:
                if self._kept_bytes <= LOGGED_BYTES_MAX:
                    break
                self._drop_body(old)

    def done(self, request: LoggedRequest, *, status: int | None) -> None:
        """Note what was answered; None when nothing was."""
        with self._changes.change():
            request.status = status
            request.is_done = True

    def clear(self) -> None:
        """Forget all requests; numbers go on."""
        self._requests.clear()
        self._kept_bytes = 0

    def _drop_body(self, request: LoggedRequest) -> None:
        if request.body is not None:
            self._kept_bytes -= len(request.body)
            request.body = None
