"""The values by which runs are tried again and stopped, as data."""

import pytest

from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.core.retries import Dead, DueAgain, Held, Next, Settled, Split, after_in_run
from gateway.core.run_limits import RunBreaker, RunRetry

NOW = 1_000_000_000_000_000
S = 1_000_000
QUICK = RunRetry(
    max_attempts=2, base_ms=100, factor=3, cap_ms=200, jitter="none", respect_retry_after=False, max_wait_s=5
)


def test_the_defaults_are_those_of_the_format() -> None:
    """Five attempts, half a second doubled up to a minute, a partner's wish up to a quarter of an hour; 200, 1,000, half."""
    retry = RunRetry()
    assert (retry.max_attempts, retry.base_ms, retry.factor, retry.cap_ms) == (5, 500, 2, 60_000)
    assert (retry.jitter, retry.respect_retry_after, retry.max_wait_s) == ("full", True, 900)
    assert RunBreaker() == RunBreaker(first=200, window=1000, share=0.5)


@pytest.mark.parametrize(
    ("retry", "failures", "chance", "delay_s"),
    [
        (RunRetry(), 1, 1.0, 0.5), (RunRetry(), 2, 1.0, 1.0), (RunRetry(), 4, 1.0, 4.0), (RunRetry(), 8, 1.0, 60.0),
        (RunRetry(), 10**9, 1.0, 60.0), (RunRetry(), 0, 1.0, 0.5), (RunRetry(), 2, 0.25, 0.25), (RunRetry(), 2, 7.0, 1.0),
        (QUICK, 1, 0.0, 0.1), (QUICK, 2, 0.5, 0.2), (QUICK, 9, 0.5, 0.2),
    ],
)  # fmt: skip
def test_waits_grow_by_their_factor_up_to_their_cap(
    retry: RunRetry, failures: int, chance: float, delay_s: float
) -> None:
    """Full jitter takes a part of it, none takes it whole."""
    assert retry.delay_s(failures, chance=chance) == pytest.approx(delay_s)


def again(wait_s: float, *, counts: bool = True, reason: str = "503", status: int = 503) -> DueAgain:
    return DueAgain(due_us=NOW + round(wait_s * S), counts=counts, reason=reason, status=status)


DOWN = Unreachable(reason="503", status=503)
LOST = Unreachable(reason="no answer")
UNREAD = Unreachable(reason="not JSON", status=200)
UNSENT = Unreachable(reason="no connection", sent=False)
LATER = Deferred(wait_s=30, reason="429")


@pytest.mark.parametrize(
    ("outcome", "retry", "failures", "more", "expected"),
    [
        (Delivered(), RunRetry(), 0, {}, Settled()),
        (DOWN, RunRetry(), 0, {}, again(0.25)),
        (DOWN, RunRetry(), 3, {}, again(2)),
        (DOWN, RunRetry(), 4, {}, Dead(reason="gave up after 5 attempts: 503", status=503)),
        (DOWN, RunRetry(), 4, {"spends": False}, again(4, counts=False)),
        (DOWN, QUICK, 0, {}, again(0.1)),
        (DOWN, QUICK, 1, {}, Dead(reason="gave up after 2 attempts: 503", status=503)),
        (LATER, RunRetry(), 4, {}, again(30, counts=False, reason="429", status=429)),
        (Deferred(wait_s=900, reason="429"), RunRetry(), 0, {}, again(900, counts=False, reason="429", status=429)),
        (Deferred(wait_s=901, reason="429"), RunRetry(), 0, {}, Dead(reason="429", status=429)),
        (LATER, QUICK, 0, {}, again(0.1, reason="429", status=429)),
        (LATER, QUICK, 1, {}, Dead(reason="gave up after 2 attempts: 429", status=429)),
        (
            Deferred(wait_s=3, reason="new", status=400, concerns="delivery"), QUICK, 1, {},
            again(3, counts=False, reason="new", status=400),
        ),
        (Unauthorized(reason="401"), RunRetry(), 4, {}, Held(reason="401", status=401)),
        (Refused(reason="400", splittable=True), RunRetry(), 0, {"alone": False}, Split(reason="400", status=400)),
        (Refused(reason="400"), RunRetry(), 0, {}, Dead(reason="400", status=400)),
        (LOST, RunRetry(), 0, {"may_repeat": False}, Dead(reason="no answer")),
        (UNREAD, RunRetry(), 0, {"may_repeat": False}, Dead(reason="not JSON", status=200)),
        (DOWN, RunRetry(), 0, {"may_repeat": False}, again(0.25)),
        (UNSENT, RunRetry(), 0, {"may_repeat": False}, again(0.25, reason="no connection", status=0)),
    ],
)  # fmt: skip
def test_every_outcome_in_a_run_has_its_sequel(
    outcome: Outcome, retry: RunRetry, failures: int, more: dict[str, bool], expected: Next
) -> None:
    """With half the jitter. What may have worked is not repeated where once and twice differ."""
    assert after_in_run(outcome, retry=retry, failures=failures, now_us=NOW, jitter=0.5, **more) == expected


@pytest.mark.parametrize(
    ("records", "rejected", "is_first", "expected"),
    [
        (199, 199, True, "wait"), (200, 100, True, "go on"), (200, 101, True, "stop"), (200, 200, False, "wait"),
        (1000, 500, False, "go on"), (1000, 501, False, "stop"),
    ],
)  # fmt: skip
def test_a_run_stops_when_more_than_half_is_refused(records: int, rejected: int, is_first: bool, expected: str) -> None:
    """Judged after the first 200, then every 1,000; half is not yet more than half."""
    assert RunBreaker().judge(records, rejected, is_first=is_first) == expected


def test_a_definitions_own_breaker_counts() -> None:
    """Ten records, a tenth of them."""
    strict = RunBreaker(first=10, window=20, share=0.1)
    assert [strict.judge(10, rejected, is_first=True) for rejected in (1, 2)] == ["go on", "stop"]
