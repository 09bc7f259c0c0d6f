"""Short ways to make rows for the state's tests."""

from gateway.core.events import Place
from gateway.store.rows import NewDelivery, Settlement, TraceRow

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NOW_US = 20_000 * DAY_US + 5 * HOUR_US


def owed(
    lane="ads", mapping="forward", member=1, *, due_us=0, audience=1, operation="enter", replaces=False, identifiers=0
):
    return NewDelivery(
        lane,
        mapping,
        audience,
        member,
        operation,
        b'{"email":"ada@example.com"}',
        Place(1, 1, 0),
        5,
        due_us,
        replaces,
        identifiers,
    )


def trace(id_hash, digest=1, *, frame=1, ordinal=0, received_us=NOW_US, outcome="decided", source="shop", **more):
    return TraceRow(id_hash, digest, Place(1, frame, ordinal), received_us, outcome, b"{}", source=source, **more)


def claim_ids(tx, *, lane="ads", now_us=NOW_US, events_max=100, bytes_max=1 << 20, mappings=None):
    rows = tx.claim(
        lane,
        now_us=now_us,
        lease_until_us=now_us + HOUR_US,
        events_max=events_max,
        bytes_max=bytes_max,
        mappings=mappings,
    )
    return [row.id for row in rows]


def settle(tx, ids, settled="delivered", *, now_us=NOW_US, **more):
    tx.settle([Settlement(identifier, settled, **more) for identifier in ids], None, now_us=now_us)
