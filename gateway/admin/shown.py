"""Rows of the store as the API and the commands show them: without what is personal."""

from __future__ import annotations

from gateway.store.rows import AttemptRow, AudienceRow, DeliveryRow


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
