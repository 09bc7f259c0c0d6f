"""A lane's circuit breaker as a value: when to stop asking a partner that fails, and when to look again.

    closed ── 70 % of at least 10 requests of the last minute failed ──▶ open
    open ── its pause is over ──▶ half open ── the probe is answered ──▶ closed
                                      └────── the probe fails ──▶ open again
    failing for 5 days without one answer ──▶ `is_given_up`: the lane is held for a person

An answer that refuses the data is an answer: the partner is there. Only what gave no usable answer is a failure here.
"""

from __future__ import annotations

from typing import Literal

import msgspec

BreakerState = Literal["closed", "open", "half_open"]

FAILED_SHARE_MAX = 0.7
REQUESTS_MIN = 10
WINDOW_S = 60
SLOT_S = 10  # The window moves by slots; it covers 50 to 60 seconds.
PAUSE_S_MIN = 30.0
PAUSE_S_MAX = 600.0
PAUSE_SHARE = 0.25  # The longer a partner is down, the rarer it is asked: a quarter of how long it has been failing.
GIVEN_UP_AFTER_S = 5 * 24 * 3600

_US_PER_S = 1_000_000


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """Requests, and failures among them, that ended in one stretch of SLOT_S seconds (numbered from the epoch)."""

    number: int
    requests: int
    failures: int


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """State and what it is decided by.

    changed_us: when the state was entered. failing_since_us: first failure since the last answer, 0 when there is none.
    slots: the window, at most WINDOW_S / SLOT_S long; not kept over a restart.
    """

    state: BreakerState = "closed"
    changed_us: int = 0
    failing_since_us: int = 0
    slots: tuple[Slot, ...] = ()

    def pause_s(self) -> float:
        """How long an open breaker stays open, from `changed_us` on."""
        failing_s = max(0, self.changed_us - self.failing_since_us) / _US_PER_S if self.failing_since_us else 0.0
        return min(max(failing_s * PAUSE_SHARE, PAUSE_S_MIN), PAUSE_S_MAX)

    def opens_probe_us(self) -> int:
        """When an open breaker lets a probe through."""
        return self.changed_us + round(self.pause_s() * _US_PER_S)

    def at(self, now_us: int) -> Breaker:
        """The breaker as it stands now: an open one whose pause is over is half open."""
        if self.state == "open" and now_us >= self.opens_probe_us():
            return msgspec.structs.replace(self, state="half_open", changed_us=now_us)
        return self

    def answered(self, now_us: int) -> Breaker:
        """After a request that the partner answered, whatever it said."""
        if self.state != "closed":
            return Breaker(state="closed", changed_us=now_us)
        return msgspec.structs.replace(self, failing_since_us=0, slots=self._counted(now_us, failures=0))

    def failed(self, now_us: int) -> Breaker:
        """After a request that gave no usable answer."""
        since_us = self.failing_since_us or now_us
        slots = self._counted(now_us, failures=1)
        if self.state == "closed" and not _is_too_bad(slots):
            return msgspec.structs.replace(self, failing_since_us=since_us, slots=slots)
        if self.state == "open":  # A straggler that was on its way when the breaker opened.
            return msgspec.structs.replace(self, failing_since_us=since_us)
        return Breaker(state="open", changed_us=now_us, failing_since_us=since_us)

    def is_given_up(self, now_us: int) -> bool:
        """Whether the partner has not answered for GIVEN_UP_AFTER_S."""
        return bool(self.failing_since_us) and now_us - self.failing_since_us >= GIVEN_UP_AFTER_S * _US_PER_S

    def _counted(self, now_us: int, *, failures: int) -> tuple[Slot, ...]:
        number = now_us // (SLOT_S * _US_PER_S)
        kept = tuple(slot for slot in self.slots if number - WINDOW_S // SLOT_S < slot.number < number)
        now = next((slot for slot in self.slots if slot.number == number), Slot(number, 0, 0))
        return (*kept, Slot(number, now.requests + 1, now.failures + failures))


def _is_too_bad(slots: tuple[Slot, ...]) -> bool:
    requests = sum(slot.requests for slot in slots)
    return requests >= REQUESTS_MIN and sum(slot.failures for slot in slots) >= FAILED_SHARE_MAX * requests
