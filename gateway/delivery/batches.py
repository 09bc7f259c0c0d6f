"""How one claim becomes requests: rounds of batches in which no person's changes overtake each other; halves of a batch."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Sequence

from gateway.store.rows import DeliveryRow


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


class Halving:
    """One batch on its way: the parts still to be sent, in order, and what finding the records at fault has cost so far."""

    def __init__(self, rows: Sequence[DeliveryRow]) -> None:
        self._parts = deque([list(rows)])
        self._records = len(rows)
        self._requests = 0
        self._culprits = 0

    def next_part(self, waiting: frozenset[int]) -> list[DeliveryRow]:
        """The part to send now; nothing when the batch is through. waiting: members who are left out of it."""
        while self._parts:
            part = [row for row in self._parts.popleft() if row.member not in waiting]
            if part:
                return part
        return []

    @property
    def may_split(self) -> bool:
        """Whether the part that goes now may be halved if it is refused."""
        return self._requests < halving_requests_max(self._records, self._culprits)

    @property
    def is_halved(self) -> bool:
        """Whether parts of a batch that was refused are still to come."""
        return self._requests > 0 and bool(self._parts)

    def answered(self, again: Sequence[DeliveryRow], *, culprits: int) -> None:
        """Take in one answer. again: refused with others, so halved. culprits: refused for themselves."""
        self._requests += 1
        self._culprits += culprits
        if again:
            self._parts.extendleft(reversed(halves_of(again)))


def halves_of(rows: Sequence[DeliveryRow]) -> list[list[DeliveryRow]]:
    """The two halves of a batch of at least two, in order."""
    middle = len(rows) // 2
    return [list(rows[:middle]), list(rows[middle:])]


def halving_requests_max(records: int, culprits: int) -> int:
    """Requests that may be spent on one refused batch by now. culprits: records found that are at fault.

    Finding one costs two for each time the batch can be halved. A partner that refuses batches and takes their records costs
    this once; then what is left waits its turn.
    """
    return 1 + (culprits + 1) * (2 * math.ceil(math.log2(max(records, 1))) + 1)
