"""What follows an attempt: delivered, due again at a time, held, split or dead. It reads no clock and draws no chance."""

from __future__ import annotations

import math
from typing import assert_never

import msgspec

from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.core.run_limits import RunRetry

RETRY_DELAY_S_FIRST = 1.0
RETRY_DELAY_FACTOR = 4.0
RETRY_DELAY_S_MAX = 3600.0
FAILURES_MAX = 35  # The 35th failure is the last: 1 + 4 + … + 1024 s, then 28 waits of an hour: about 28 hours in all.
ASKED_WAIT_S_MIN = 1.0
ASKED_WAIT_S_MAX = 3600.0  # What a partner asks for beyond an hour is taken as an hour.

_US_PER_S = 1_000_000


class Settled(msgspec.Struct, frozen=True, kw_only=True, tag="settled"):
    """The partner took it; nothing is owed any more."""


class DueAgain(msgspec.Struct, frozen=True, kw_only=True, tag="due_again"):
    """Try again at `due_us` (Unix µs). counts: the failure used up one of FAILURES_MAX attempts."""

    due_us: int
    counts: bool
    reason: str
    status: int = 0


class Held(msgspec.Struct, frozen=True, kw_only=True, tag="held"):
    """Due as it was; its whole lane waits for a person (or an hourly probe), and nothing is used up."""

    reason: str
    status: int


class Split(msgspec.Struct, frozen=True, kw_only=True, tag="split"):
    """The batch was refused as a whole: halve it and try the halves."""

    reason: str
    status: int


class Dead(msgspec.Struct, frozen=True, kw_only=True, tag="dead"):
    """Kept with its cause, tried again only when a person says so."""

    reason: str
    status: int = 0


Next = Settled | DueAgain | Held | Split | Dead
"""What becomes of one delivery after one attempt."""


def retry_delay_s(failures: int, *, asked_s: float | None = None) -> float:
    """Seconds to wait before the next attempt, before jitter.

    failures: attempts that have failed so far, from 1.
    asked_s: what the partner asked for (`Retry-After`), taken within 1 s to 1 h; the longer of the two wins.
    Grows 1, 4, 16, 64, 256, 1024 and stays at RETRY_DELAY_S_MAX (one hour) from the 7th failure on.
    """
    # The exponent is capped before the power is taken, so that no count of failures makes a huge number.
    exponent = float(min(max(failures, 1) - 1, 16))
    own_s = min(RETRY_DELAY_S_FIRST * math.pow(RETRY_DELAY_FACTOR, exponent), RETRY_DELAY_S_MAX)
    return own_s if asked_s is None else max(own_s, asked_wait_s(asked_s))


def asked_wait_s(asked_s: float) -> float:
    """A partner's wish within ASKED_WAIT_S_MIN and ASKED_WAIT_S_MAX; what is no number is the least."""
    if not asked_s > ASKED_WAIT_S_MIN:  # Written so that NaN ends here too.
        return ASKED_WAIT_S_MIN
    return min(asked_s, ASKED_WAIT_S_MAX)


def after(
    outcome: Outcome, *, failures: int, now_us: int, jitter: float, alone: bool = True, spends: bool = True
) -> Next:
    """Tell what becomes of one delivery.

    failures: attempts that had failed before this one, from 0.
    jitter: drawn by the caller from 0 to 1; the wait is that part of `retry_delay_s` ("full jitter").
    alone: no other delivery shared the refusal, so there is nothing left to halve.
    spends: False for the probe of an open or held lane, which uses up no attempt and so finishes nothing off.
    """
    match outcome:
        case Delivered():
            return Settled()
        case Deferred(wait_s=wait_s, reason=reason, status=status):
            due_us = now_us + round(asked_wait_s(wait_s) * _US_PER_S)
            return DueAgain(due_us=due_us, counts=False, reason=reason, status=status)
        case Unreachable(reason=reason, status=unreachable_status):
            if spends and failures + 1 >= FAILURES_MAX:
                return _given_up(failures + 1, reason, unreachable_status)
            due_us = now_us + round(retry_delay_s(failures + 1) * min(max(jitter, 0.0), 1.0) * _US_PER_S)
            return DueAgain(due_us=due_us, counts=spends, reason=reason, status=unreachable_status or 0)
        case Unauthorized(reason=reason, status=status):
            return Held(reason=reason, status=status)
        case Refused(reason=reason, status=status, splittable=splittable):
            return (
                Split(reason=reason, status=status) if splittable and not alone else Dead(reason=reason, status=status)
            )
        case _:
            assert_never(outcome)


def after_in_run(
    outcome: Outcome,
    *,
    retry: RunRetry,
    failures: int,
    now_us: int,
    jitter: float,
    alone: bool = True,
    spends: bool = True,
    may_repeat: bool = True,
) -> Next:
    """`after` for a single change that a run planned: a few attempts within minutes, then the run says what is wrong.

    may_repeat: False at a platform where the same change twice is not the same as once: an attempt that may have worked is
    then the last. Dead here means given up by this run: the record keeps the problem, and a later run plans it again.
    """
    match outcome:
        case Deferred(reason=reason, status=status, concerns="lane") if not retry.respect_retry_after:
            outcome = Unreachable(reason=reason, status=status)
        case Deferred(wait_s=wait_s, reason=reason, status=status) if wait_s > retry.max_wait_s:
            return Dead(reason=reason, status=status)
        case _:
            pass
    if not isinstance(outcome, Unreachable):
        return after(outcome, failures=failures, now_us=now_us, jitter=jitter, alone=alone, spends=spends)
    if outcome.may_have_worked and not may_repeat:
        return Dead(reason=outcome.reason, status=outcome.status or 0)
    if spends and failures + 1 >= retry.max_attempts:
        return _given_up(failures + 1, outcome.reason, outcome.status)
    due_us = now_us + round(retry.delay_s(failures + 1, chance=jitter) * _US_PER_S)
    return DueAgain(due_us=due_us, counts=spends, reason=outcome.reason, status=outcome.status or 0)


def _given_up(attempts: int, reason: str, status: int | None) -> Dead:
    return Dead(reason=f"gave up after {attempts} attempts: {reason}", status=status or 0)
