"""How single changes of a run are tried again, and when a run stops: the values a definition may set, with their defaults.

What is forwarded, and whole lists, follow the lane's own long schedule (`core/retries.py`).
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

_MS_PER_S = 1_000
EXPONENT_MAX = 64  # `factor` is at most 10, and no wait is longer than `cap_ms`; beyond this the power is only larger


class RunRetry(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of one change within its run. max_attempts: all of them, the first included.

    base_ms, factor, cap_ms: the first wait, by how much each grows, and the longest. jitter: "full" takes any part of a wait.
    respect_retry_after: wait as long as the partner asks for; that uses up no attempt. max_wait_s: a partner that asks for
    longer ends the change for this run.
    """

    max_attempts: int = 5
    base_ms: float = 500.0
    factor: float = 2.0
    cap_ms: float = 60_000.0
    jitter: Literal["full", "none"] = "full"
    respect_retry_after: bool = True
    max_wait_s: float = 900.0

    def delay_s(self, failures: int, *, chance: float) -> float:
        """Seconds to wait after so many failed attempts, from 1. chance: from 0 to 1, the part that full jitter takes."""
        exponent = float(min(max(failures, 1) - 1, EXPONENT_MAX))
        own_ms = min(self.base_ms * math.pow(self.factor, exponent), self.cap_ms)
        part = 1.0 if self.jitter == "none" else min(max(chance, 0.0), 1.0)
        return own_ms * part / _MS_PER_S


class RunBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """When a run stops: over `share` rejected among its `first` records, or among `window` in a row later."""

    first: int = 200
    window: int = 1_000
    share: float = 0.5

    def judge(self, records: int, rejected: int, *, is_first: bool) -> Literal["wait", "go on", "stop"]:
        """What the records since the last judgement mean. is_first: the run was not judged before."""
        if records < (self.first if is_first else self.window):
            return "wait"
        return "stop" if rejected > records * self.share else "go on"
