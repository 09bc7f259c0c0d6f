"""What the orders of the admin API answer: plans, comparisons of runs, standings. The rest is in `answers.py`."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.admin.answers import Guard


class RunsDiffer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How two snapshots differ. members: some of those who came, went or changed, and what the newer run did for them."""

    older: int
    newer: int
    came: int
    went: int
    changed: int
    same: int
    members: list[dict[str, str]]


class SyncStanding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sync after an order. run: the one that was queued with it."""

    id: int
    status: str
    next_us: int
    version: str
    run: int | None = None


class Restored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """same: records as in the snapshot. unsure: changed since. lost: listed then, and nothing is kept of them."""

    sync: str
    run: int
    same: int
    unsure: int
    lost: int


class PlanUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A whole list as it would go out. goes_out: else `reason` says why not. bytes: of all bodies. list: what it counts."""

    goes_out: bool
    reason: str
    bytes: int
    list: dict[str, int]


class PlannedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request. url: with a name in braces for what an earlier answer will say. note: what is not known beforehand.

    bytes: the Content-Length. sha256, lines: of the body, for whole lists. body: all of it, or its beginning.
    """

    method: str
    url: str
    note: str
    bytes: int
    body: str
    sha256: str = ""
    lines: int = 0


class PlanPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the next run would do. members: samples, masked. requests_made: those of the first operations, or of a whole list.

    plan_digest: of the operations in order, as the run has it where nothing has moved. running: a run that plans or sends now,
    and note: what the figures are of then. stopped: the sync's status where no run starts by itself; the note says it in words.
    skipped_for: why the run would send nothing at all. upload: of a whole list.
    """

    sync: str
    kind: str
    mapping_version: str
    plan_digest: str
    running: int | None
    stopped: Literal["", "paused", "deleting", "deleted"]
    note: str
    skipped_for: str
    considered: int
    unchanged: int
    planned: dict[str, int]
    skipped: dict[str, int]
    rejected: dict[str, int]
    list_before: int
    list_after: int
    guards: list[Guard]
    held: bool
    below_minimum: bool
    requests: int
    requests_per_s: float
    seconds_at_rate_limit: float
    members: dict[str, list[dict[str, object]]] = {}
    requests_made: list[PlannedRequest] = []
    upload: PlanUpload | None = None
