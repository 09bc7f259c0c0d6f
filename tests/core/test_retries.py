"""What follows an attempt, as data."""

import math

import pytest

from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.core.retries import FAILURES_MAX, Dead, DueAgain, Held, Next, Settled, Split, after, retry_delay_s

NOW = 1_000_000_000_000_000
S = 1_000_000


@pytest.mark.parametrize(
    ("failures", "delay_s"),
    [(1, 1), (2, 4), (3, 16), (4, 64), (5, 256), (6, 1024), (7, 3600), (8, 3600), (34, 3600), (10**9, 3600), (0, 1)],
)
def test_waits_grow_fourfold_to_an_hour(failures: int, delay_s: int) -> None:
    """The schedule in numbers."""
    assert retry_delay_s(failures) == delay_s


@pytest.mark.parametrize(
    ("asked_s", "delay_s"),
    [(0.2, 16), (20, 20), (7200, 3600), (-5, 16), (math.nan, 16), (math.inf, 3600)],
)
def test_the_longer_of_own_and_asked_wait_wins_within_bounds(asked_s: float, delay_s: float) -> None:
    """A partner's wish counts from 1 s to 1 h."""
    assert retry_delay_s(3, asked_s=asked_s) == delay_s


def test_all_waits_together_are_about_28_hours() -> None:
    """Up to the last failure that is followed by a wait."""
    assert sum(retry_delay_s(failures) for failures in range(1, FAILURES_MAX)) == 1365 + 28 * 3600


@pytest.mark.parametrize(
    ("outcome", "failures", "alone", "expected"),
    [
        (Delivered(status=202), 3, True, Settled()),
        (
            Deferred(wait_s=30, reason="429"),
            34,
            True,
            DueAgain(due_us=NOW + 30 * S, counts=False, reason="429", status=429),
        ),
        (
            Deferred(wait_s=90_000, reason="429"),
            0,
            True,
            DueAgain(due_us=NOW + 3600 * S, counts=False, reason="429", status=429),
        ),
        (
            Unreachable(reason="503", status=503),
            0,
            True,
            DueAgain(due_us=NOW + S // 2, counts=True, reason="503", status=503),
        ),
        (
            Unreachable(reason="reset"),
            6,
            True,
            DueAgain(due_us=NOW + 1800 * S, counts=True, reason="reset"),
        ),
        (Unreachable(reason="reset"), 33, True, DueAgain(due_us=NOW + 1800 * S, counts=True, reason="reset")),
        (Unreachable(reason="reset"), 34, True, Dead(reason="gave up after 35 attempts: reset")),
        (Unauthorized(reason="401"), 34, True, Held(reason="401", status=401)),
        (Refused(reason="400", splittable=True), 0, False, Split(reason="400", status=400)),
        (Refused(reason="400", splittable=True), 0, True, Dead(reason="400", status=400)),
        (Refused(reason="404", status=404), 0, False, Dead(reason="404", status=404)),
    ],
)
def test_every_outcome_has_its_sequel(outcome: Outcome, failures: int, alone: bool, expected: Next) -> None:
    """With half the jitter; only what the partner could not be reached for uses up an attempt."""
    assert after(outcome, failures=failures, now_us=NOW, jitter=0.5, alone=alone) == expected


@pytest.mark.parametrize(("jitter", "wait_s"), [(0.0, 0), (1.0, 4), (7.0, 4), (-1.0, 0)])
def test_jitter_takes_a_part_of_the_wait(jitter: float, wait_s: int) -> None:
    """Full jitter, from nothing to the whole wait."""
    step = after(Unreachable(reason="x"), failures=1, now_us=NOW, jitter=jitter)
    assert step == DueAgain(due_us=NOW + wait_s * S, counts=True, reason="x")
