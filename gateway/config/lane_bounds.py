"""`limits` of a mapping file: how hard the file lets its lane press the partner."""

from __future__ import annotations

from typing import Final

from gateway.config.files import Findings
from gateway.core.rulebook import LaneBounds

REQUESTS_PER_SECOND_MIN: Final = 0.01  # one in a hundred seconds
REQUESTS_PER_SECOND_MAX: Final = 10_000.0
CONCURRENCY_MAX: Final = 32  # connections of one lane
MEMBERS: Final = ("requests_per_second", "concurrency")


def read_lane_bounds(value: object, findings: Findings) -> LaneBounds | None:
    """The bounds a file gives; None where it gives none, or wrong ones."""
    members = findings.table(value, "/limits", MEMBERS, what="`limits`")
    if not members:
        return None
    rate = findings.number(
        members, "requests_per_second", "/limits", REQUESTS_PER_SECOND_MIN, REQUESTS_PER_SECOND_MAX, 1.0
    )
    at_once = findings.number(members, "concurrency", "/limits", 1, CONCURRENCY_MAX, 1)
    if int(at_once) != at_once:
        findings.add("/limits/concurrency", "`concurrency` must be a whole number.")
    return LaneBounds(
        requests_per_second=float(rate) if "requests_per_second" in members else None,
        concurrency=int(at_once) if "concurrency" in members else None,
    )
