"""Latest wins: which of two changes the ledger keeps, and which of them destinations hear of."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.audiences import agrees, apply_change, audience_entry, audience_name
from gateway.core.decisions import MembershipChange
from gateway.core.events import Place

MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE
TEN = 20_000 * DAY + 600 * MINUTE  # ten o'clock of some day


class Row(NamedTuple):
    is_member: bool
    at_us: int
    arrived_us: int
    place: Place
    since_us: int


class Arrives(NamedTuple):
    is_member: bool
    minute: int  # ordering time, after ten o'clock
    arrival: int | None = None  # its own minute, else the order in the list


def play(arrivals: list[Arrives], *, first_us: int = 0) -> tuple[Row | None, list[tuple[str, bool]]]:
    row: Row | None = None
    words = []
    for number, one in enumerate(arrivals):
        place, at_us = Place(1, number, 0), TEN + one.minute * MINUTE
        arrived_us = TEN + 60 * MINUTE + number if one.arrival is None else TEN + one.arrival * MINUTE
        verdict = apply_change(
            row, is_member=one.is_member, at_us=at_us, arrived_us=arrived_us, place=place, audience_first_us=first_us
        )
        words.append((verdict.word, verdict.forwarded))
        if verdict.applied:
            row = Row(one.is_member, at_us, arrived_us, place, at_us)
    return row, words


IN, OUT = True, False
TABLE: list[tuple[str, list[Arrives], bool | None, list[tuple[str, bool]]]] = [
    ("enter", [Arrives(IN, 0)], True, [("entered", True)]),
    ("an exit of somebody never seen, then the older enter",
        [Arrives(OUT, 5), Arrives(IN, 0)], False, [("unknown_exit", True), ("stale", False)]),
    ("an exit of somebody never seen, then a newer enter",
        [Arrives(OUT, 5), Arrives(IN, 6)], True, [("unknown_exit", True), ("entered", True)]),
    ("an enter between",
        [Arrives(IN, 0), Arrives(OUT, 5), Arrives(IN, 2)], False, [("entered", True), ("left", True), ("stale", False)]),
    ("in, out, in",
        [Arrives(IN, 0), Arrives(OUT, 5), Arrives(IN, 9)], True, [("entered", True), ("left", True), ("entered", True)]),
    ("an enter repeated", [Arrives(IN, 0), Arrives(IN, 1)], True, [("entered", True), ("repeat", True)]),
    ("equal times, the later arrival", [Arrives(IN, 0), Arrives(OUT, 0)], False, [("entered", True), ("left", True)]),
    ("stale but it agrees", [Arrives(OUT, 5), Arrives(OUT, 1)], False, [("unknown_exit", True), ("stale", True)]),
    ("an exit from the future ranks at its arrival",
        [Arrives(OUT, 0, 0), Arrives(IN, 1, 1)], True, [("unknown_exit", True), ("entered", True)]),
    ("an old enter of somebody unknown", [Arrives(IN, -45 * 24 * 60)], None, [("too_late", False)]),
    ("an old exit of somebody unknown", [Arrives(OUT, -45 * 24 * 60)], None, [("too_late", True)]),
    ("old, but the person is known",
        [Arrives(IN, -1), Arrives(OUT, -45 * 24 * 60)], True, [("entered", True), ("stale", False)]),
]  # fmt: skip


@pytest.mark.parametrize(("arrivals", "state", "words"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_ledger_after(arrivals: list[Arrives], state: bool | None, words: list[tuple[str, bool]]) -> None:
    """Arrivals in order, the state they leave, and for each the verdict and whether it goes out."""
    row, given_words = play(arrivals)
    assert (row.is_member if row else None, given_words) == (state, words)


def test_nothing_is_too_late_in_a_young_audience() -> None:
    """No tombstone can be gone yet, so a 45 day old event of somebody unknown is simply news."""
    assert play([Arrives(IN, -45 * 24 * 60)], first_us=TEN)[1] == [("entered", True)]


def test_what_happened_before_a_deletion_is_not_applied() -> None:
    """And what happened after it starts afresh."""
    change = {
        "is_member": True,
        "arrived_us": TEN,
        "place": Place(1, 1, 0),
        "audience_first_us": 0,
        "deleted_us": TEN - 5,
    }
    before = apply_change(None, at_us=TEN - 6, **change)  # type: ignore[arg-type]
    after = apply_change(None, at_us=TEN - 5, **change)  # type: ignore[arg-type]
    assert (before.word, before.applied, before.forwarded) == ("deleted", False, False)
    assert after.word == "entered"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 1_000)), min_size=1, max_size=5, unique_by=lambda pair: pair[1])
)
def test_the_order_of_arrival_does_not_matter(changes: list[tuple[bool, int]]) -> None:
    """Changes at different times leave the same state, whichever of them arrives when."""
    newest = max(changes, key=lambda pair: pair[1])
    for order in itertools.permutations(changes):
        row, _ = play([Arrives(is_member, minute) for is_member, minute in order])
        assert row is not None
        assert (row.is_member, row.at_us) == (newest[0], TEN + newest[1] * MINUTE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=8))
def test_only_what_agrees_with_the_ledger_goes_out(changes: list[tuple[bool, int]]) -> None:
    """After every change, what was forwarded says what the ledger says then."""
    row: Row | None = None
    for number, (is_member, minute) in enumerate(changes):
        verdict = apply_change(
            row, is_member=is_member, at_us=minute, arrived_us=number, place=Place(1, number, 0), audience_first_us=0
        )
        if verdict.applied:
            row = Row(is_member, minute, number, Place(1, number, 0), minute)
        assert verdict.forwarded is agrees(row, is_member=is_member)


def change(computation_id: str = "aud_1", key: str = "vip") -> MembershipChange:
    return MembershipChange(
        audience_space="s",
        audience_key=key,
        computation_id=computation_id,
        member="user_id:u",
        is_member=True,
        rule="6.1-1",
    )


def test_an_audience_is_named_by_its_id_then_by_its_key() -> None:
    """The key can be reused for another audience, the id cannot."""
    assert (audience_name(change()), audience_name(change(""))) == ("aud_1", "vip")


@pytest.mark.parametrize(
    ("audiences", "expected"),
    [
        ({"aud_1": {"n": 1}, "vip": {"n": 2}, "*": {"n": 3}}, {"n": 1}),
        ({"vip": {"n": 2}, "*": {"n": 3}}, {"n": 2}),
        ({"*": {"n": 3}}, {"n": 3}),
        ({"other": {}}, None),
        ({}, None),
    ],
)
def test_a_mapping_serves_by_id_then_key_then_star(
    audiences: dict[str, dict[str, object]], expected: dict[str, object] | None
) -> None:
    """The most exact entry wins."""
    assert audience_entry(audiences, change()) == expected
