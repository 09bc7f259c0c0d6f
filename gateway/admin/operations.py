"""What the admin API may order, as the service hands it over; also what the command line does when no engine runs."""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec

from gateway.core.errors import Problem
from gateway.core.identifier_warnings import IdentifierWarning

IDS_MAX = 10_000
TEXT_MAX = 500
MOMENT_US_MAX = 2**53  # about the year 2255

Id = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]
Moment = Annotated[int, msgspec.Meta(ge=0, le=MOMENT_US_MAX)]


class LaneShown(msgspec.Struct, frozen=True, kw_only=True):
    """A lane as operators see it. standing: one word or two for what it does; reason: why, and what to do.

    due, in_flight, dead: deliveries. until_us: when it looks again by itself, null when somebody has to act.
    identifier_warnings: faults of what was sent of people in the last days, the latest first.
    """

    lane: str
    standing: str
    reason: str
    due: int
    in_flight: int
    dead: int
    paused: bool
    hold: str
    breaker: str
    oldest_due_us: int
    until_us: int | None = None
    identifier_warnings: list[IdentifierWarning] = []


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine stands. backlog_frames, backlog_age_s: what the inbox holds undecided."""

    ready: bool
    rulebook: str
    destinations: int
    mappings: int
    problems: list[Problem]
    backlog_frames: int
    backlog_age_s: float
    lanes: list[LaneShown]


class DeadFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries are meant, of those that are dead (or wait, to be retried); one member at least. reason: a part of it."""

    lane: Text = ""
    mapping: Text = ""
    ids: Annotated[list[Id], msgspec.Meta(max_length=IDS_MAX)] = []
    reason: Text = ""

    @property
    def is_empty(self) -> bool:
        """No filter at all."""
        return not (self.lane or self.mapping or self.ids or self.reason)


class ReplayOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events to route again. from_us, to_us: arrival, half open. mapping: id or id of a destination; empty for all."""

    from_us: Moment
    to_us: Moment
    source: Text = ""
    mapping: Text = ""
    dry_run: bool = False


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay met and made. kept_back: left out because the ledger says otherwise by now."""

    events: int
    deliveries: int
    kept_back: int
    missing: int


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """How many things an order changed."""

    changed: int


class Operations(Protocol):
    """Everything that can be ordered."""

    async def status(self) -> Status:
        """How the engine stands now."""

    async def lanes(self) -> list[LaneShown]:
        """Every lane, configured or with a backlog, by name."""

    async def set_paused(self, lane: str, *, paused: bool) -> bool:
        """Pause or resume a lane (resuming reads secrets again and frees a hold); False when there is no such lane."""

    async def probe(self, lane: str) -> bool:
        """Send one delivery now, whatever the lane's standing; False when there is no such lane."""

    async def retry_dead(self, chosen: DeadFilter) -> Changed:
        """Make dead deliveries due again."""

    async def drop_dead(self, chosen: DeadFilter) -> Changed:
        """Delete dead deliveries for good."""

    async def replay(self, order: ReplayOrder) -> ReplayResult:
        """Route kept events again; nobody who has left since is brought back."""

    async def reload(self) -> list[Problem]:
        """Look at mappings/ now, references included; return what is wrong with it."""
