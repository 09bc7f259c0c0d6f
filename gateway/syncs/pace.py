"""How fast a sync can send: operations to a request, requests to a second; and what that makes of the rest of a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from gateway.core.rulebook import CompiledDestination
from gateway.syncs.names import Standing

Rate = Callable[[CompiledDestination], float]
"""A configured destination → requests a second that its lane may make."""

_PARTS = {"replace": ("remove", "add"), "erase": ("remove",)}


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """batch: operations handed over at once. of_request: of one request, by part. requests_per_s: the lane's limit."""

    batch: int
    requests_per_s: float
    of_request: dict[str, int] = {}

    def seconds(self, operations: Mapping[str, int]) -> float:
        """The least time that so many operations (add, update, replace, remove, erase) take, answers aside."""
        return self.seconds_of(self.requests(operations))

    def requests(self, operations: Mapping[str, int]) -> int:
        """The fewest requests that so many operations take."""
        parts: Counter[str] = Counter()
        for operation, count in operations.items():
            for part in _PARTS.get(operation, (operation,)):
                parts[part] += count
        return sum(
            math.ceil(count / min(self.batch, self.of_request.get(part, self.batch))) for part, count in parts.items()
        )

    def seconds_of(self, requests: int) -> float:
        """The least time that so many requests take."""
        return round(requests / self.requests_per_s, 1)


def pace_of(standing: Standing, rate: Rate) -> Pace:
    """Of one sync, by its mapping's batches and its lane's limit."""
    mapping = standing.mapping
    return Pace(
        batch=max(1, mapping.batch_events_max if mapping.batching else 1),
        requests_per_s=rate(standing.destination),
        of_request=mapping.action.request_records,
    )
