"""Acceptance 3: the same events in any order give the same membership, and so the same list."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st
from one_thread_store import OneThreadWorld, memory_folder
from rulebooks import audience_body
from sync_world import NOON_US, S

PEOPLE = ("ada", "bob", "cyd")
MINUTE_US = 60 * S

happened = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.booleans(), st.integers(1, 600), st.integers(0, 3)),
    min_size=1, max_size=12, unique_by=lambda one: one[2],
)  # fmt: skip


def event(user: str, is_member: bool, minutes_ago: int, ltv: int) -> dict[str, object]:
    """What happened so many minutes before it arrived."""
    at = datetime.fromtimestamp((NOON_US - minutes_ago * MINUTE_US) / S, UTC)
    body: Any = audience_body(user, is_member=is_member, messageId=f"m-{user}-{minutes_ago}")
    traits = {"email": f"{user}@example.com", "ltv": ltv}
    return {**body, "timestamp": at.isoformat(), "context": {**body["context"], "traits": traits}}


async def outcome(requests: list[list[dict[str, object]]]) -> tuple[object, object]:
    """(who is in, since which event, and what is wanted of them; the list after a run) when they arrive like this."""
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder:
        world = OneThreadWorld(Path(folder), schedule={"manual": True}, guards={"empty_audience": "off"})
        try:
            for events in requests:
                await world.send(*events)
            ledger = await world.state.read(
                lambda view: {
                    user: (row.is_member, row.at_us)
                    for user in PEOPLE
                    if (row := view.membership(view.audiences()[0].id, "default", f"user_id:{user}")) is not None
                }
            )
            await world.run()
            return ledger, world.platform.listed
        finally:
            await world.close()


@settings(max_examples=60, deadline=None)
@given(happened, st.data())
def test_the_order_of_arrival_makes_no_difference(
    events: list[tuple[str, bool, int, int]], data: st.DataObject
) -> None:
    """As they happened, one by one; and shuffled, in one request or in several."""
    in_order = sorted(events, key=lambda one: -one[2])
    shuffled = data.draw(st.permutations(events))
    cut = data.draw(st.integers(0, len(events)))

    async def both() -> None:
        expected = await outcome([[event(*one)] for one in in_order])
        pieces = [piece for piece in (shuffled[:cut], shuffled[cut:]) if piece]
        assert await outcome([[event(*one) for one in piece] for piece in pieces]) == expected
        ledger, listed = expected
        latest = {user: one for one in in_order for user in [one[0]]}
        assert ledger == {user: (one[1], NOON_US - one[2] * MINUTE_US) for user, one in latest.items()}
        assert listed == {f"{user}@example.com": one[3] for user, one in latest.items() if one[1]}

    anyio.run(both)
