"""How one claim becomes requests: rounds of batches in which no person's changes overtake each other; halves of a batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from gateway.store.rows import DeliveryRow

HALVING_REQUESTS_MAX = 64
"""Requests spent on one refused batch in one go. What is not isolated by then is tried again later, smaller by what was."""


def rounds_of(
    rows: Sequence[DeliveryRow], group_of: Callable[[DeliveryRow], Hashable], *, events_max: int
) -> list[list[list[DeliveryRow]]]:
    """Arrange a claim, given in order, as rounds of batches of equal group, each of at most `events_max`.

    Batches of a round may go at the same time, rounds one after the other. Deliveries of one member share a batch, in
    order, or stand in rounds that keep their order. Member 0 has no order.
    """
    rounds: list[list[list[DeliveryRow]]] = []
    filling: dict[tuple[int, Hashable], list[DeliveryRow]] = {}
    last: dict[int, tuple[int, Hashable, list[DeliveryRow]]] = {}
    for row in rows:
        group = group_of(row)
        number = 0
        if row.member in last:
            last_number, last_group, last_batch = last[row.member]
            if last_group == group and len(last_batch) < events_max:
                last_batch.append(row)
                continue
            number = last_number + 1
        batch = filling.get((number, group))
        if batch is None or len(batch) >= events_max:
            batch = filling[number, group] = []
            if number == len(rounds):
                rounds.append([])
            rounds[number].append(batch)
        batch.append(row)
        if row.member:
            last[row.member] = (number, group, batch)
    return rounds


def halves_of(rows: Sequence[DeliveryRow]) -> list[list[DeliveryRow]]:
    """The two halves of a batch of at least two, in order."""
    middle = len(rows) // 2
    return [list(rows[:middle]), list(rows[middle:])]
