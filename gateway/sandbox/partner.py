"""What a fake partner offers the sandbox; a further partner is a folder that satisfies this and a line in `server.py`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from starlette.types import ASGIApp

from gateway.sandbox.changes import Changes
from gateway.sandbox.faults import Fault, FaultQueue
from gateway.sandbox.request_log import LoggedRequest, RequestLog


class Partner(Protocol):
    """A fake partner: an ASGI app that enforces its rules, and its state for people and tests.

    name is its path segment and its name below `/sandbox/`; title is for people; template is its page below this
    package. `commands` are its own verbs of the control API (`POST /sandbox/<name>/<verb>`).
    """

    name: str
    title: str
    template: str
    changes: Changes
    faults: FaultQueue
    log: RequestLog
    commands: Mapping[str, Callable[[], None]]

    @property
    def app(self) -> ASGIApp:
        """Serves everything below `/<name>` on the main port."""

    @property
    def upload_app(self) -> ASGIApp | None:
        """Serves everything below `/<name>` on the uploads port; None for partners without uploads."""

    @property
    def fault_kinds(self) -> Sequence[type[Fault]]:
        """The kinds of fault the partner can show, the common ones first."""

    @property
    def fault_targets(self) -> Sequence[str]:
        """The targets a fault can name."""

    def state(self, rows_max: int) -> object:
        """The lists and counters as values msgspec can encode; long lists are cut at `rows_max` and carry their total."""

    def describe(self, logged: LoggedRequest) -> object:
        """One logged request as values msgspec can encode, decoded as far as the partner can."""

    def headline(self, logged: LoggedRequest) -> str:
        """One logged request in a few words: what it asked for, and for how many people."""

    def list_sizes(self) -> list[tuple[str, int]]:
        """Every list by the name people know it by, and how many people are in it."""

    def page(self) -> Mapping[str, object]:
        """What its template needs."""

    def shown_configuration(self) -> object:
        """The configuration in force, as a value msgspec can encode."""

    def configure(self, changed: bytes) -> None:
        """Lay the JSON object `changed` over the configuration. Raises msgspec.ValidationError or DecodeError."""

    def reset(self) -> None:
        """Forget lists, requests, counters and faults, and return to the configuration given at the start."""


@runtime_checkable
class HandsOutUploads(Protocol):
    """A partner whose answers name the uploads port, so that it has to know where that is."""

    def uploads_at(self, url: str) -> None:
        """Told once the ports are open. url: without a slash at the end."""
