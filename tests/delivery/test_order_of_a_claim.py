"""How a claim becomes requests, and outcomes become settlements; without any I/O."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.events import Place
from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.delivery.batches import halves_of, rounds_of
from gateway.delivery.settling import decide, read_attempt
from gateway.store.rows import DeliveryRow

NOW = 1_760_000_000_000_000
S = 1_000_000
REFUSED = Refused(reason="400", splittable=True)
DOWN = Unreachable(reason="503", status=503)


def row(number: int, member: int = 0, *, group: str = "", failures: int = 0) -> DeliveryRow:
    return DeliveryRow(
        number, "a", "a/m", 0, member, "enter", group.encode(), Place(1, 1, 0), NOW, NOW, "claimed", failures, NOW
    )


def left(
    rows: Sequence[DeliveryRow], outcomes: Sequence[Outcome], **more: object
) -> tuple[dict[int, tuple[str, int, bool]], list[int]]:
    """(id → how it is left, seconds until it is due, whether it counts), ids to send again."""
    decided = decide(rows, outcomes, now_us=NOW, jitter=1.0, **more)  # type: ignore[arg-type]
    states = {
        one.id: (one.settled, (one.due_us - NOW) // S if one.settled == "due" else 0, one.counts)
        for one in decided.settlements
    }
    return states, [one.id for one in decided.again]


@pytest.mark.parametrize(
    ("outcomes", "expected", "again"),
    [
        ([Delivered(), Delivered()], {1: ("delivered", 0, True), 2: ("delivered", 0, True)}, []),
        ([DOWN, DOWN], {1: ("due", 1, True), 2: ("due", 1, True)}, []),
        ([Deferred(wait_s=9, reason="")] * 2, {1: ("due", 9, False), 2: ("due", 9, False)}, []),
        ([Unauthorized(reason="")] * 2, {1: ("due", 0, False), 2: ("due", 0, False)}, []),
        ([REFUSED, REFUSED], {}, [1, 2]),
        ([REFUSED, Refused(reason="no id")], {1: ("dead", 0, True), 2: ("dead", 0, True)}, []),
        ([REFUSED, Delivered()], {1: ("dead", 0, True), 2: ("delivered", 0, True)}, []),
    ],
)
def test_each_outcome_leaves_its_delivery_somewhere(
    outcomes: list[Outcome], expected: dict[int, tuple[str, int, bool]], again: list[int]
) -> None:
    """Two people's deliveries in one batch."""
    assert left([row(1, 1), row(2, 2)], outcomes) == (expected, again)


def test_what_was_taken_after_something_that_waits_is_sent_once_more_after_it() -> None:
    """One person's exit waits while the enter behind it was taken: both go again, in order."""
    states, _ = left([row(1, 7), row(2, 7), row(3, 8)], [DOWN, Delivered(), Delivered()])
    assert states == {1: ("due", 1, True), 2: ("due", 1, False), 3: ("delivered", 0, True)}


def test_what_was_taken_after_a_refused_one_of_the_same_person_joins_the_halves() -> None:
    """The halves keep the person's order."""
    states, again = left([row(1, 7), row(2, 7), row(3, 8)], [REFUSED, Delivered(), REFUSED])
    assert (states, again) == ({}, [1, 2, 3])


def test_a_batch_out_of_requests_waits_instead_of_halving() -> None:
    """It counts as a failure, so that it ends some day."""
    assert left([row(1, 1), row(2, 2)], [REFUSED, REFUSED], may_split=False) == (
        {1: ("due", 1, True), 2: ("due", 1, True)},
        [],
    )


def test_a_probe_uses_up_nothing_and_finishes_nobody_off() -> None:
    """Also with 34 failures behind it, and it stands back for the next one."""
    states, _ = left([row(1, 1, failures=34)], [DOWN], probe_back_us=NOW + 9000 * S)
    assert states == {1: ("due", 9000, False)}
    assert left([row(1, 1, failures=34)], [DOWN])[0] == {1: ("dead", 0, True)}


def test_an_attempt_is_summed_up_by_its_worst() -> None:
    """For the attempt row and the gate."""
    reading = read_attempt([Delivered(), DOWN])
    assert (reading.word, reading.status, reading.reason, reading.answered) == ("mixed", 503, "503", True)
    assert read_attempt([Deferred(wait_s=3, reason=""), Deferred(wait_s=5, reason="")]).wait_s == 5
    assert read_attempt([Unauthorized(reason="no")]).unauthorized == "no"


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc")), max_size=40), st.integers(1, 8))
def test_rounds_keep_everybodys_order_and_lose_nothing(spec: list[tuple[int, str]], events_max: int) -> None:
    """Whatever people and groups a claim mixes, however small the batches."""
    rows = [row(number, member, group=group) for number, (member, group) in enumerate(spec)]
    rounds = rounds_of(rows, lambda one: one.payload, events_max=events_max)
    assert sorted(one.id for batches in rounds for batch in batches for one in batch) == list(range(len(rows)))
    places: dict[int, tuple[int, int, int]] = {}
    for number, batches in enumerate(rounds):
        members_met: set[int] = set()
        for place, batch in enumerate(batches):
            assert len({one.payload for one in batch}) == 1
            assert len(batch) <= events_max
            assert not members_met & {one.member for one in batch if one.member}
            members_met |= {one.member for one in batch}
            places |= {one.id: (number, place, at) for at, one in enumerate(batch)}
    for earlier, later in ((a, b) for a in rows for b in rows if a.id < b.id and a.member == b.member != 0):
        assert places[earlier.id] < places[later.id]
        assert places[earlier.id][0] < places[later.id][0] or places[earlier.id][1] == places[later.id][1]


@given(st.integers(2, 1000))
def test_halves_are_smaller_and_together_the_whole(count: int) -> None:
    """So that halving ends."""
    rows = [row(number) for number in range(count)]
    first, second = halves_of(rows)
    assert first + second == rows
    assert first
    assert second


def test_what_was_put_off_without_a_request_is_no_answer_of_the_partner() -> None:
    """Else the rest of a batch that was stopped would close the breaker that its only request helped to open."""
    put_off = Deferred(wait_s=1, reason="", status=0, concerns="delivery")
    assert not read_attempt([DOWN, put_off]).answered
    assert read_attempt([DOWN, Deferred(wait_s=1, reason="", status=404, concerns="delivery")]).answered


def test_what_was_said_of_the_lane_counts_where_the_outcomes_keep_silent_about_it() -> None:
    """A change of several steps, of which a later one was not let in: nobody knows what came of it, and the lane is held."""
    unsure = Unreachable(reason="403", sent=True)
    reading = read_attempt([unsure], stops=Unauthorized(reason="no", status=403))
    assert (reading.word, reading.status, reading.unauthorized) == ("unreachable", 403, "no")
    late = Deferred(wait_s=7, reason="")
    assert read_attempt([unsure], stops=late).wait_s == 7
    assert read_attempt([unsure], stops=late, heeds_waits=False).wait_s is None
