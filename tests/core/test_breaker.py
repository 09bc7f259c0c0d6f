"""The breaker with a hand-set clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.breaker import (
    FAILED_SHARE_MAX,
    GIVEN_UP_AFTER_S,
    PAUSE_S_MAX,
    PAUSE_S_MIN,
    REQUESTS_MIN,
    Breaker,
)

S = 1_000_000
T0 = 1_700_000_000 * S


def after_requests(word: str, *, at_us: int = T0) -> Breaker:
    """A breaker after requests: `x` failed, `.` answered."""
    breaker = Breaker()
    for letter in word:
        breaker = breaker.failed(at_us) if letter == "x" else breaker.answered(at_us)
    return breaker


@pytest.mark.parametrize(
    ("requests", "state"),
    [
        ("x" * 9, "closed"),
        ("x" * 10, "open"),
        ("...xxxxxxx", "open"),
        ("....xxxxxx", "closed"),
        ("....xxxxxxxxx", "closed"),
        ("....xxxxxxxxxx", "open"),
        ("." * 50, "closed"),
    ],
)
def test_it_opens_at_70_percent_of_at_least_ten(requests: str, state: str) -> None:
    """The threshold in requests."""
    assert after_requests(requests).state == state


def test_failures_of_more_than_a_minute_ago_do_not_count() -> None:
    """Nine failures now, one 70 seconds later."""
    breaker = after_requests("x" * 9)
    assert breaker.failed(T0 + 70 * S).state == "closed"
    assert breaker.failed(T0 + 30 * S).state == "open"


def test_an_open_breaker_turns_half_open_after_its_pause() -> None:
    """Not a microsecond earlier."""
    breaker = after_requests("x" * 10)
    over_us = T0 + round(PAUSE_S_MIN * S)
    assert breaker.at(over_us - 1).state == "open"
    assert breaker.at(over_us).state == "half_open"


def test_a_probe_that_is_answered_closes_it_and_one_that_fails_opens_it_again() -> None:
    """Both ends of half open; the start of the trouble is remembered through re-opening."""
    half = after_requests("x" * 10).at(T0 + 40 * S)
    assert half.answered(T0 + 41 * S) == Breaker(state="closed", changed_us=T0 + 41 * S)
    assert half.failed(T0 + 41 * S) == Breaker(state="open", changed_us=T0 + 41 * S, failing_since_us=T0)


def test_pauses_grow_with_the_trouble_up_to_ten_minutes() -> None:
    """A quarter of how long it has been failing."""
    since = {"state": "open", "failing_since_us": T0}
    assert Breaker(**since, changed_us=T0 + 60 * S).pause_s() == PAUSE_S_MIN
    assert Breaker(**since, changed_us=T0 + 400 * S).pause_s() == 100
    assert Breaker(**since, changed_us=T0 + 86_400 * S).pause_s() == PAUSE_S_MAX


def test_five_days_without_an_answer_give_up() -> None:
    """One answer in between starts the count again."""
    late_us = T0 + GIVEN_UP_AFTER_S * S
    breaker = Breaker().failed(T0)
    assert not breaker.is_given_up(late_us - 1)
    assert breaker.is_given_up(late_us)
    assert not breaker.answered(T0 + S).is_given_up(late_us)
    assert not Breaker().is_given_up(late_us)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=200))
def test_whatever_comes_it_stays_small_and_opens_only_for_cause(steps: list[tuple[bool, int]]) -> None:
    """The window never holds more than its slots; it never opens on a success or on few requests."""
    breaker, now_us, requests = Breaker(), T0, 0
    for is_failure, wait_s in steps:
        now_us += wait_s * S
        before = breaker = breaker.at(now_us)
        breaker = breaker.failed(now_us) if is_failure else breaker.answered(now_us)
        requests = 1 if breaker.state != before.state and breaker.state == "closed" else requests + 1
        assert len(breaker.slots) <= 6
        if before.state == "closed" and breaker.state == "open":
            assert is_failure
            assert requests >= REQUESTS_MIN
            assert FAILED_SHARE_MAX > 0
        if not is_failure:
            assert breaker.state == "closed"
            assert breaker.failing_since_us == 0
