"""What a destination offers to the rooms above it, and what it is handed to do its I/O with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import msgspec

from gateway.core.definitions import Choice, Definition
from gateway.core.hash_linter import HashWarning
from gateway.core.http_messages import Answer, Request
from gateway.core.outcomes import Outcome


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery as a destination sees it. payload: checked by the action's fields. operation: enter, exit, send, delete.

    planned: a sync decided the operation, so it counts whatever a flag in the payload says; forwarding leaves it False.
    """

    id: int
    operation: str
    payload: dict[str, object]
    planned: bool = False
    audience_key: str = ""
    audience_settings: dict[str, object] = {}
    external_id: str = ""
    member: str = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries of one destination, mapping and group, in order. corrections: names that are on.

    hashing: the mapping's switch, for definitions. sync: facts their templates may name, as texts: sync_id, sync_name, mode
    ("forward" where no sync is), and of a run's deliveries, which are all of one run, run_id and run_started_at.
    """

    action: str
    settings: dict[str, object]
    owed: tuple[Owed, ...]
    corrections: frozenset[str]
    hashing: Literal["on", "off", "auto"] = "on"
    sync: dict[str, object] = {}


class Snapshot(Protocol):
    """Members of an audience frozen at a run's start, for a platform that takes whole lists."""

    @property
    def members(self) -> int:
        """How many rows there are."""

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        """(canonical id, payload) of each member in a fixed order, a page at a time; it blocks, so read it in a thread."""


@runtime_checkable
class PortableSnapshot(Protocol):
    """A snapshot that may be pickled and read in a process of its own, since it opens what it reads by name."""

    @property
    def is_portable(self) -> bool:
        """Whether it may."""

    @property
    def spool(self) -> Path:
        """The folder for files made of it; made where it is missing, and emptied when the gateway starts."""


class HttpClient(Protocol):
    """The only way out. Follows no redirects; never raises for a status."""

    async def send(self, request: Request) -> Answer:
        """Raises NoAnswerError when the exchange gave none (connection, TLS, time-out, cut off)."""


class Notes(Protocol):
    """Small values a destination keeps between batches (tokens, found ids), by key, within its configured destination."""

    async def get(self, key: str) -> bytes | None:
        """Value or None."""

    async def put(self, key: str, value: bytes) -> None:
        """Keep."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What perform may use. now_us: time when the batch was started. snapshot: for the operation `replace` only.

    goes_on: asked before each further request of a batch; where it says no, what is left is not sent now. None: always.
    """

    http: HttpClient
    notes: Notes
    now_us: int
    snapshot: Snapshot | None = None
    goes_on: Callable[[], Awaitable[bool]] | None = None


class Performed(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome per Owed, same order. request, answer: masked one-line summaries for the attempt row and explain.

    remembered: values the answer gave for single records, in step with outcomes, or empty: a sync keeps them for removals.
    skipped: why a run's list was not sent although nothing failed (`below_minimum`); the outcome's reason says more.
    warnings: of a run's list, what its identifiers look like; those of single deliveries are looked at elsewhere.
    counts: of a run's list: `distinct` people, `lines` before repeats were dropped, `bytes`, `skipped` values.
    stops: what the partner said of the whole lane (not let in, not so fast), where it may not stand in the outcomes.
    """

    outcomes: tuple[Outcome, ...]
    request: str = ""
    answer: str = ""
    requests: int = 1
    remembered: tuple[dict[str, object], ...] = ()
    skipped: str = ""
    counts: dict[str, int] = {}
    warnings: tuple[HashWarning, ...] = ()
    stops: Outcome | None = None


class Destination(Protocol):
    """One folder of `destinations/`: its definition (data) and its I/O; building and reading are its wire.py."""

    @property
    def definition(self) -> Definition:
        """Settings, actions and fields."""

    def group(self, action: str, payload: dict[str, object], settings: dict[str, object]) -> Hashable:
        """Deliveries of one mapping are sent together only when their groups are equal (an advertiser, an audience …)."""

    def check_settings(self, settings: dict[str, object], corrections: frozenset[str]) -> list[str]:
        """Problems of resolved settings that the fields alone do not show; each a sentence that says how to mend it."""

    async def perform(self, batch: Batch, context: Context) -> Performed:
        """Send a batch. Never raises for anything a partner does."""

    def success_answer(self, request: Request) -> Answer:
        """What the partner answers to this request when all is well; rehearsals live on it."""

    async def test(self, settings: dict[str, object], context: Context) -> Sequence[str]:
        """Try the credentials: empty when they work, else problems in sentences (warnings begin with "warning:")."""


@runtime_checkable
class BoundsItsLane(Protocol):
    """A destination whose partner says how hard it may be pressed."""

    @property
    def lane_bounds(self) -> tuple[int, float]:
        """Requests at once, requests per second."""


@runtime_checkable
class LooksAtAudiences(Protocol):
    """A destination that can tell from an entry of `audiences` alone that something in it is probably wrong."""

    def audience_warnings(self, entry: dict[str, object]) -> Sequence[str]:
        """Sentences that name the key in back-quotes and say how to mend it."""


class AudienceWanted(msgspec.Struct, frozen=True, kw_only=True):
    """An audience at its partner. settings: the destination's. entry: of the mapping's `audiences`. key: its computation key.

    event_id: the external id that events brought; empty without one.
    """

    settings: dict[str, object]
    entry: dict[str, object]
    key: str
    event_id: str = ""


class AudienceFound(msgspec.Struct, frozen=True, kw_only=True):
    """Its id at the partner, empty where none is known, and where that is known from.

    origin: the mapping file says it, it was kept since it was found or made, an event brought it, the partner was asked now, or
    this very command created or deleted it. warnings: sentences on what is not as it was asked for.
    """

    external_id: str = ""
    origin: Literal["mapping", "kept", "event", "partner", "created", "deleted", ""] = ""
    warnings: tuple[str, ...] = ()


@runtime_checkable
class KeepsAudiences(Protocol):
    """A destination whose partner knows audiences by ids of its own, which an operator may ask for by hand."""

    async def keep_audience(
        self, verb: Literal["find", "create", "delete"], wanted: AudienceWanted, context: Context
    ) -> AudienceFound | Outcome:
        """Find it, make it where there is none, or delete it there."""


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request before its run. url: with a name in braces for what only an earlier answer will say.

    note: what is not known, in a sentence; "" where all of it is. is_lines: the body is a file with one person on each line.
    """

    url: str
    note: str = ""
    is_lines: bool = False


@runtime_checkable
class ForeseesUploads(Protocol):
    """A destination of whole lists that can tell which part of a rehearsed upload its partner's answers, or the clock, decide."""

    @property
    def uploads_lines(self) -> bool:
        """Whether people stand in files of lines only, and nowhere else in its requests."""

    def foreseen(self, request: Request) -> Foreseen:
        """One request of an upload to which `success_answer` gave the answers so far."""


@runtime_checkable
class OffersAccounts(Protocol):
    """A destination whose partner can say which accounts the credentials may use."""

    async def accounts(self, settings: dict[str, object], context: Context) -> tuple[str, Sequence[Choice]] | str:
        """(name of the setting or audience setting that takes one, the choices), or why they are not known."""


@runtime_checkable
class ShowsMembers(Protocol):
    """A destination that can say what its partner gets for one member alone; not every platform has such a thing."""

    def member(self, action: str, payload: dict[str, object], corrections: frozenset[str]) -> object:
        """A JSON value: a line, a cluster, a profile; None where the partner gets nothing. corrections: names that are on."""


@runtime_checkable
class NamesPeople(Protocol):
    """A destination of whole lists, which gets a line for each of a member's identifiers and counts people by key."""

    def person(self, payload: dict[str, object]) -> str:
        """Who the payload means, whatever the spelling; "" for nobody."""


@runtime_checkable
class RendersRecords(Protocol):
    """A destination whose records hold more than identifiers, so that a change of the rest is an update."""

    def rendered(
        self, action: str, payload: dict[str, object], *, hashing: Literal["on", "off", "auto"]
    ) -> tuple[dict[str, object], frozenset[str]] | str:
        """The record as the partner would get it, and the names of its identifiers; a code where it gets none."""
