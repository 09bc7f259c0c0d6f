"""Requests a second, source by source: a token bucket that tells a sender when to come back."""

from __future__ import annotations

import math

from gateway.core.errors import EventError
from gateway.core.sources import Source

RETRY_AFTER_S_MAX = 300  # Segment's SDKs wait no longer than this
BURST_S = 1.0  # a bucket holds what one second lets through, and at least one request


class RateLimitedError(EventError):
    """429: the source sends more than its `rate_per_s`. retry_after_s: whole seconds, 1 to 300."""

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(429, "rate_limited", "The source sends more requests a second than its limit.")


class RateLimits:
    """One bucket a source that has a limit. Buckets outlive a reload; a changed rate holds from the next request."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}  # name → (tokens, when they were counted)

    def take(self, source: Source, now_s: float) -> None:
        """Count one request. now_s: Unix time. Raises RateLimitedError."""
        rate = source.rate_per_s
        if rate <= 0:
            return
        capacity = max(1.0, rate * BURST_S)
        tokens, counted_at = self._buckets.get(source.name, (capacity, now_s))
        tokens = min(capacity, tokens + max(0.0, now_s - counted_at) * rate)
        if tokens < 1.0:
            self._buckets[source.name] = (tokens, now_s)
            raise RateLimitedError(min(RETRY_AFTER_S_MAX, max(1, math.ceil((1.0 - tokens) / rate))))
        self._buckets[source.name] = (tokens - 1.0, now_s)
