"""What a person does with deliveries that wait or are dead: tried now, brought back, dropped. CLI and API add no rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.store.api import StateStore, StateTx

PIECE_ROWS = 10_000  # One transaction's share, so that a million dead deliveries do not stop the engine for seconds.


async def retry_dead(
    state: StateStore,
    *,
    now_us: int,
    lane: str = "",
    mapping: str = "",
    ids: Sequence[int] = (),
    reason_like: str = "",
) -> int:
    """Make dead deliveries due again with no failures counted; return how many. Wake the lanes afterwards.

    Raises ValueError without any filter: "everything" has to be said lane by lane.
    """
    if not (lane or mapping or ids or reason_like):
        raise ValueError("Give a lane, a mapping, ids or a part of the reason.")
    return await _in_pieces(
        state,
        lambda tx: tx.retry_dead(
            lane=lane, mapping=mapping, ids=ids, reason_like=reason_like, now_us=now_us, limit=PIECE_ROWS
        ),
    )


async def bring_forward(
    state: StateStore,
    *,
    now_us: int,
    lane: str = "",
    mapping: str = "",
    ids: Sequence[int] = (),
    reason_like: str = "",
) -> int:
    """Let deliveries that wait for their next try be tried now; their failures stay counted. Return how many.

    A piece at a time, each a transaction. Raises ValueError without any filter.
    """
    if not (lane or mapping or ids or reason_like):
        raise ValueError("Give a lane, a mapping, ids or a part of the reason.")
    return await _in_pieces(
        state,
        lambda tx: tx.bring_forward(
            lane=lane, mapping=mapping, ids=ids, reason_like=reason_like, now_us=now_us, limit=PIECE_ROWS
        ),
    )


async def drop_dead(state: StateStore, *, ids: Sequence[int] = (), older_than_us: int = 0) -> int:
    """Delete dead deliveries for good, by id or created before a time; return how many. Raises ValueError without either."""
    if not ids and not older_than_us:
        raise ValueError("Give ids or an age.")
    return await _in_pieces(state, lambda tx: tx.drop_dead(ids=ids, older_than_us=older_than_us, limit=PIECE_ROWS))


async def _in_pieces(state: StateStore, change: Callable[[StateTx], int]) -> int:
    """Repeat a change of up to PIECE_ROWS rows, each time in a transaction of its own, until nothing is left of it."""
    total = 0
    while True:
        count = await state.write(change)
        total += count
        if count < PIECE_ROWS:
            return total
