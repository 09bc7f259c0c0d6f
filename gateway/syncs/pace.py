"""How fast a sync can send: operations to a request, requests to a second; and what that makes of the rest of a run."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from gateway.core.rulebook import CompiledDestination
from gateway.syncs.names import Standing

Rate = Callable[[CompiledDestination], float]
"""A configured destination → requests a second that its lane may make."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """batch: operations of one request. requests_per_s: the lane's limit."""

    batch: int
    requests_per_s: float

    def seconds(self, operations: int) -> float:
        """The least time that so many operations take, answers aside."""
        return self.seconds_of(math.ceil(operations / self.batch))

    def seconds_of(self, requests: int) -> float:
        """The least time that so many requests take."""
        return round(requests / self.requests_per_s, 1)


def pace_of(standing: Standing, rate: Rate) -> Pace:
    """Of one sync, by its mapping's batches and its lane's limit."""
    mapping = standing.mapping
    return Pace(
        batch=max(1, mapping.batch_events_max if mapping.batching else 1), requests_per_s=rate(standing.destination)
    )
