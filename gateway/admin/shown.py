"""Rows of the store as the API and the commands show them: without what is personal."""

from __future__ import annotations

import msgspec

from gateway.admin.operations import LaneShown
from gateway.core.errors import Problem
from gateway.store.rows import AttemptRow, AudienceRow, DeliveryRow


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What is owed to a destination, without its payload. place: of the event: inbox file, frame, number."""

    id: int
    lane: str
    mapping: str
    operation: str
    state: str
    failures: int
    due_us: int
    created_us: int
    reason: str
    status: int
    place: tuple[int, int, int]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request and how it ended, masked. deliveries: ids of what it carried. warnings: about identifiers, as codes."""

    id: int
    lane: str
    mapping: str
    started_us: int
    duration_ms: int
    outcome: str
    status: int
    deliveries: tuple[int, ...]
    reason: str
    request: str
    answer: str
    warnings: tuple[str, ...]


class Deliveries(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deliveries. next: the `after` of the following page."""

    deliveries: list[Delivery]
    next: int | None


class DeliveryFound(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery, null where it is settled, with its attempts, newest first."""

    delivery: Delivery | None
    attempts: list[Attempt]


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of attempts. next: the `before` of the following page."""

    attempts: list[Attempt]
    next: int | None


class Lanes(msgspec.Struct, frozen=True, kw_only=True):
    """All lanes, by name."""

    lanes: list[LaneShown]


class Problems(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with the files."""

    problems: list[Problem]


def shown_delivery(row: DeliveryRow) -> dict[str, object]:
    """A delivery without its payload, which is personal."""
    return {
        "id": row.id,
        "lane": row.lane,
        "mapping": row.mapping,
        "operation": row.operation,
        "state": row.state,
        "failures": row.failures,
        "due_us": row.due_us,
        "created_us": row.created_us,
        "reason": row.reason,
        "status": row.status,
        "place": [row.place.inbox, row.place.frame, row.place.ordinal],
    }


def shown_attempt(row: AttemptRow) -> dict[str, object]:
    """An attempt by member names."""
    return {name: getattr(row, name) for name in AttemptRow.__struct_fields__}


def shown_audience(row: AudienceRow) -> dict[str, object]:
    """An audience by member names."""
    return {name: getattr(row, name) for name in AudienceRow.__struct_fields__}
