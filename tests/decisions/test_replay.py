"""Replay: routed again by today's rulebook, and never against the ledger."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engine_harness import NOON_US, Engine
from rulebooks import audience_body, destination, lister, mapping, rulebook

from gateway.decisions import replay as module
from gateway.decisions.replay import Replayed, replay

pytestmark = pytest.mark.anyio
HOUR_US = 3_600_000_000


async def again(engine: Engine, **more: Any) -> Replayed:
    wanted = {"from_us": NOON_US - HOUR_US, "to_us": NOON_US + HOUR_US, "now_us": NOON_US + 5, **more}
    return await replay(state=engine.state, inbox=engine.reader, rulebook=engine.rules, **wanted)


def body(user: str, number: int, *, is_member: bool = True) -> dict[str, object]:
    return audience_body(user, is_member=is_member, messageId=f"m-{number}")


async def prepared(engine: Engine) -> None:
    """Three people came, and one of them left."""
    await engine.keep(body("u-1", 1), body("u-2", 2), at_us=1_000)
    await engine.keep(body("u-2", 3, is_member=False), at_us=2_000)
    await engine.keep(body("u-3", 4), source="app", at_us=3_000)
    await engine.decide()
    await engine.restart()


async def test_only_what_agrees_with_the_ledger_is_owed_again(engine: Engine) -> None:
    """Whoever has left is not brought back; the exit goes out again."""
    await prepared(engine)
    before = await engine.deliveries()
    assert await again(engine) == Replayed(events=4, deliveries=3, kept_back=1)
    fresh = (await engine.deliveries())[len(before) :]
    assert [(one.operation, json.loads(one.payload)["email"]) for one in fresh] == [
        ("enter", "u-1@example.com"),
        ("exit", "u-2@example.com"),
        ("enter", "u-3@example.com"),
    ]
    assert {one.due_us for one in fresh} == {NOON_US + 5}


async def test_a_dry_run_counts_and_owes_nothing(engine: Engine) -> None:
    """The same numbers."""
    await prepared(engine)
    before = await engine.deliveries()
    assert await again(engine, dry_run=True) == Replayed(events=4, deliveries=3, kept_back=1)
    assert await engine.deliveries() == before


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"source": "app"}, Replayed(events=1, deliveries=1)),
        ({"from_us": NOON_US + 2_000, "to_us": NOON_US + 3_000}, Replayed(events=1, deliveries=1)),
        ({"mapping": "lister"}, Replayed(events=4, deliveries=3, kept_back=1)),
        ({"mapping": "lister/all"}, Replayed(events=4, deliveries=3, kept_back=1)),
        ({"mapping": "gone/all"}, Replayed(events=4)),
        ({"source": "nobody"}, Replayed()),
    ],
)
async def test_a_replay_can_be_narrowed(engine: Engine, chosen: dict[str, Any], expected: Replayed) -> None:
    """By source, arrival, destination or mapping; a mapping that is new today counts too."""
    await prepared(engine)
    engine.rules = rulebook(destination(mapping("mailer/all", enabled=False)), lister())
    assert await again(engine, dry_run=True, **chosen) == expected


async def test_pages_join_without_a_gap(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is a transaction of its own."""
    await prepared(engine)
    monkeypatch.setattr(module, "PAGE_EVENTS", 1)
    assert await again(engine) == Replayed(events=4, deliveries=3, kept_back=1)


async def test_nobody_who_was_deleted_is_brought_back(engine: Engine) -> None:
    """And the deletion itself is not repeated: the person may have come back since."""
    await prepared(engine)
    await engine.keep({"type": "delete", "userId": "u-1", "messageId": "m-9"}, at_us=4_000)
    await engine.decide()
    assert await again(engine, mapping="mailer") == Replayed(events=5, deliveries=2, kept_back=3)


async def test_events_whose_bytes_are_gone_are_counted(engine: Engine) -> None:
    """Retention has taken the file."""
    await prepared(engine)

    class Emptied:
        def item(self, _place: object) -> None:
            return None

    result = await replay(
        state=engine.state, inbox=Emptied(), rulebook=engine.rules, from_us=0, to_us=NOON_US * 2, now_us=NOON_US
    )  # type: ignore[arg-type]
    assert result == Replayed(missing=4)
