"""The numbered examples of events: what arrives in which order, what membership it leaves, and how each is counted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from rulebooks import audience_body
from sync_world import DAY, HOUR, NOON_US, S, World

from gateway.core.fql import compile_trigger
from gateway.core.summaries import read_summary

pytestmark = pytest.mark.anyio

TEN_US = NOON_US - 2 * HOUR
MINUTE = 60 * S
APPLIED = {"entered", "left", "repeat", "unknown_exit"}


def track(is_member: bool, minute: int, number: str = "", **members: Any) -> dict[str, object]:
    """An event about Ada, so many minutes after ten. number: its message id, else one of its own."""
    at = datetime.fromtimestamp((TEN_US + minute * MINUTE) / S, UTC).isoformat()
    named = {"messageId": number} if number else {"messageId": f"m{is_member}{minute}"}
    return {**audience_body("ada", is_member=is_member), "timestamp": at, **named, **members}


def identify(is_member: bool, minute: int, email: str = "ada@example.com") -> dict[str, object]:
    """The same as an Identify event."""
    body: Any = track(is_member, minute, f"i{minute}")
    del body["event"], body["properties"]
    context = {**body["context"], "traits": {"email": email}}
    return {**body, "type": "identify", "traits": {"vip": is_member}, "context": context}


def named_entered(is_member: bool, minute: int) -> dict[str, object]:
    """Whatever its value, it is called an entry."""
    return {**track(is_member, minute), "event": "Audience Entered"}


def at_2099(is_member: bool) -> dict[str, object]:
    return {**track(is_member, 0), "timestamp": "2099-01-01T00:00:00Z"}


# number, arrivals, in (None: the ledger knows nothing of her), how they are counted
ROWS: list[tuple[str, list[dict[str, object]], bool | None, list[str]]] = [
    ("E1", [track(True, 0)], True, ["applied"]),
    ("E2", [track(False, 5), track(True, 0)], False, ["applied", "stale"]),
    ("E3", [track(True, 0), track(False, 5), track(True, 2)], False, ["applied", "applied", "stale"]),
    ("E4", [track(True, 0), track(False, 5), track(True, 9)], True, ["applied"] * 3),
    ("E5", [track(True, 0), track(True, 0)], True, ["applied", "duplicate"]),
    ("E6", [track(True, 0, "m"), track(False, 1, "m")], False, ["applied", "applied", "message_id_reused"]),
    ("E7", [track(True, 0), track(False, 0)], False, ["applied", "applied"]),
    ("E8", [at_2099(False), track(True, 1)], True, ["applied", "applied"]),
    ("E9", [identify(True, 0), track(False, 1)], False, ["applied", "applied"]),
    ("E10", [named_entered(False, 0)], False, ["applied", "membership_name_mismatch"]),
    ("E11", [track(True, -45 * 24 * 60)], None, ["too_late"]),
    ("E12", [track(True, 0), identify(True, -60, "older@example.com")], True, ["applied", "stale"]),
]  # fmt: skip


def also_identify(world: World) -> None:
    """The mapping takes Identify events, too."""
    (destination,) = world.rules.destinations
    kept = replace(destination.mappings[0], trigger=compile_trigger('type = "track" or type = "identify"'))
    world.rules = replace(world.rules, destinations=(replace(destination, mappings=(kept,)),))


@pytest.mark.parametrize(("number", "arrivals", "is_in", "counted"), ROWS, ids=[row[0] for row in ROWS])
async def test_the_ledger_and_the_list_after(world_of, number, arrivals, is_in, counted):
    """Each arrives in a request of its own; E8's at the minutes it names, all others at noon."""
    world = world_of()
    also_identify(world)
    world.now_us = NOON_US - 40 * DAY
    await world.enter("somebody")  # so that the audience is older than the window
    world.now_us = TEN_US - S if number == "E8" else NOON_US
    for body in arrivals:
        await world.send(body)
        world.now_us += MINUTE - S
    found = await world.state.read(lambda view: view.membership(view.audiences()[0].id, "default", "user_id:ada"))
    assert (found.is_member if found else None) is is_in
    assert await _counted(world) == ["applied", *counted]
    await world.run()
    assert ("ada@example.com" in world.platform.listed) is bool(is_in)
    assert "older@example.com" not in world.platform.listed


async def _counted(world: World) -> list[str]:
    words: list[str] = []
    for trace in reversed(await world.state.read(lambda view: view.traces())):
        summary = read_summary(trace.summary)
        words += ["applied" if one.verdict in APPLIED else one.verdict for one in summary.changes]
        words += [*summary.warnings, *(["duplicate"] * trace.duplicates)]
    return words
