"""What lanes ask of syncs, and tell them: a run's list, and how its deliveries ended. The service hands the other side in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from gateway.core.outcomes import Outcome
from gateway.destinations.base import Snapshot
from gateway.store.api import StateTx
from gateway.store.rows import DeliveryRow


class RunAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one delivery that a run planned.

    is_final: it is not tried again. skipped, counts: of a whole list, as the destination said. remembered: values that the
    platform gave for the record. requests, bytes (of their bodies), waited_ms (until the next attempt): of the whole attempt, told
    with its first delivery only. began_us: when the attempt began, 0 where nobody knows.
    """

    row: DeliveryRow
    outcome: Outcome
    is_final: bool
    skipped: str = ""
    counts: dict[str, int] = {}
    remembered: dict[str, object] = {}
    requests: int = 0
    bytes: int = 0
    waited_ms: int = 0
    began_us: int = 0


class Runs(Protocol):
    """The syncs' side."""

    async def snapshot(self, run: int) -> Snapshot | None:
        """The list that a run froze; None where there is none any more."""

    async def goes_on(self, run: int) -> bool:
        """Whether a run still sends."""

    def settled(self, tx: StateTx, attempts: Sequence[RunAttempt], *, now_us: int) -> None:
        """Take in what became of a run's deliveries, in the transaction that settles them."""

    def doubt_expired(self, tx: StateTx, *, now_us: int) -> None:
        """Take in that nobody knows what became of operations whose leases are over; they are given back next."""

    def wake(self) -> None:
        """Something was settled: look whether a run goes on."""


class NoRuns:
    """Where no syncs are: nothing of a run is ever owed."""

    async def snapshot(self, run: int) -> Snapshot | None:  # noqa: ARG002
        """None."""
        return None

    async def goes_on(self, run: int) -> bool:  # noqa: ARG002
        """Nobody stops it."""
        return True

    def settled(self, tx: StateTx, attempts: Sequence[RunAttempt], *, now_us: int) -> None:
        """Nobody is told."""

    def doubt_expired(self, tx: StateTx, *, now_us: int) -> None:
        """Nobody is told."""

    def wake(self) -> None:
        """Nobody is told."""
