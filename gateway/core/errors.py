"""Every error the gateway raises, sorted by who must act; a partner's answer is an `Outcome`, never an exception.

GatewayError
├── RulebookError    the operator mends a mapping file; start refuses, a reload keeps the old rulebook
├── SettingsError    the deployer mends the environment (GATEWAY_*) or a source
├── EventError       the sender mends the event; answered as a 4xx
└── StoreError       nobody: wait, the sender gets a 503 with Retry-After
"""

from __future__ import annotations

import msgspec


class GatewayError(Exception):
    """Base of all errors that are somebody's to act on; `str(error)` is safe to show to that person."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong in a file or an event, as a short letter to one reader.

    file: path as the reader knows it; empty when there is no file.
    pointer: JSON Pointer to the place ("" is the whole document).
    line, column: from 1; 0 where unknown.
    what: what is wrong, one sentence. mend: what to write instead, one sentence or empty.
    severity: "error" keeps a rulebook from loading, "warning" does not.
    """

    what: str
    mend: str = ""
    file: str = ""
    pointer: str = ""
    line: int = 0
    column: int = 0
    severity: str = "error"

    def __str__(self) -> str:
        """Two lines: where, then what and how to mend it."""
        place = f"{self.file}#{self.pointer}" if self.file else (self.pointer or "/")
        if self.line:
            place += f" (line {self.line}, column {self.column})"
        return f"{self.severity}  {place}\n  {self.what}" + (f"\n  {self.mend}" if self.mend else "")


class RulebookError(GatewayError):
    """One or more files of `mappings/` do not compile; `problems` lists all of them, of all files."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class SettingsError(GatewayError):
    """A GATEWAY_* variable or a data folder is not usable; the text says which and how to mend it."""


class EventError(GatewayError):
    """An event or request that its sender must mend.

    status: HTTP status of the answer. code: one of the codes senders are told. pointer: JSON Pointer into the body.
    """

    def __init__(self, status: int, code: str, message: str, *, pointer: str = "") -> None:
        self.status = status
        self.code = code
        self.message = message
        self.pointer = pointer
        super().__init__(message)


class StoreError(GatewayError):
    """The store cannot keep anything right now (disk full, locked, read-only, closing).

    retry_after_s: whole seconds, 1 to 300, for the sender.
    """

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class OrderError(GatewayError):
    """An operator's order that cannot be carried out now or at all.

    status: what the admin API answers. code: a stable word; the text says why, and what to do first.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)
