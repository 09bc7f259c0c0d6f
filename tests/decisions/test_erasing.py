"""A deletion that an operator orders does what a sender's does, in one transaction, and can be rehearsed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engine_harness import NOON_US, Engine
from rulebooks import audience_body, destination, lister, rulebook

from gateway.core.summaries import read_summary
from gateway.decisions.erasing import Erasure, erase
from gateway.decisions.replay import Replayed, replay
from gateway.store.rows import Settlement

pytestmark = pytest.mark.anyio


async def ordered(
    engine: Engine, member: str = "user_id:u-1", *, space: str = "default", dry_run: bool = False
) -> Erasure:
    return await erase(
        engine.state, engine.rules, space=space, member=member, clock=lambda: engine.now_us, wake=engine.woken.append,
        dry_run=dry_run,
    )  # fmt: skip


async def met(engine: Engine, *users: str) -> None:
    """They entered, and every lane has delivered that."""
    await engine.keep(*(audience_body(user, messageId=f"m-{user}") for user in users))
    await engine.decide()

    def deliver(tx: Any) -> None:
        for lane in ("lister", "mailer"):
            rows = tx.claim(lane, now_us=NOON_US, lease_until_us=NOON_US + 1, events_max=10, bytes_max=1 << 20)
            tx.settle([Settlement(row.id, "delivered") for row in rows], None, now_us=NOON_US)

    await engine.write(deliver)
    engine.woken.clear()


async def test_the_order_owes_what_a_senders_deletion_owes(engine: Engine) -> None:
    """A profile is deleted by its id, and what forwarding put on a list is taken off; nothing of the person is left."""
    engine.rules = rulebook(destination(), lister())
    await met(engine, "u-1", "u-2")
    assert await ordered(engine) == Erasure(audiences=1, destinations=("lister", "mailer"), deliveries=2, syncs=0)
    assert {(one.lane, one.operation): json.loads(one.payload) for one in await engine.deliveries()} == {
        ("lister", "erase"): {"email": "u-1@example.com", "name": "Audience Entered"},
        ("mailer", "delete"): {"userId": "u-1"},
    }
    assert engine.woken == [{"lister", "mailer"}]
    assert (await engine.is_member("user_id:u-1"), await engine.is_member("user_id:u-2")) == (None, True)
    (trace,) = [one for one in await engine.traces() if one.source == "gateway erase"]
    assert (read_summary(trace.summary).deletions, trace.deliveries) == (1, 2)


async def test_late_events_do_not_bring_back_whom_an_order_deleted(engine: Engine) -> None:
    """What happened before the order is forgotten when it comes; what happened later starts afresh."""
    await met(engine, "u-1")
    engine.now_us += 2_000_000
    await ordered(engine)
    late = audience_body(messageId="late", timestamp="2026-11-18T12:00:00Z")
    await engine.keep(late, at_us=1_000_000)
    await engine.decide()
    assert await engine.is_member("user_id:u-1") is None
    await engine.keep(audience_body(messageId="new"), at_us=3_000_000)
    await engine.decide()
    assert await engine.is_member("user_id:u-1") is True


async def test_a_rehearsal_keeps_nothing(engine: Engine) -> None:
    """It says what the order would do, and everything is as before."""
    engine.rules = rulebook(destination(), lister())
    await met(engine, "u-1")
    rehearsed = await ordered(engine, dry_run=True)
    assert (await engine.is_member("user_id:u-1"), await engine.deliveries(), engine.woken) == (True, [], [])
    assert await ordered(engine) == rehearsed


async def test_a_person_without_a_user_id_is_deleted_too(engine: Engine) -> None:
    """By e-mail address: taken off the lists; no platform knows a profile by it."""
    engine.rules = rulebook(destination(), lister())
    body = audience_body(messageId="m-1")
    del body["userId"]
    await engine.keep(body)
    await engine.decide()
    found = await ordered(engine, "email:u-1@example.com")
    assert (found.audiences, found.destinations) == (1, ())  # nothing had been sent
    assert await engine.is_member("email:u-1@example.com") is None
    assert await engine.state.read(lambda view: view.tombstone("default", "email:u-1@example.com")) is not None


async def test_the_same_id_in_another_space_is_another_person(engine: Engine) -> None:
    """Only the one that is meant goes."""
    await met(engine, "u-1")
    assert (await ordered(engine, space="elsewhere")).audiences == 0
    assert await engine.is_member("user_id:u-1") is True


async def test_each_order_has_a_trace_of_its_own(engine: Engine) -> None:
    """However often it is repeated, also after a restart."""
    await met(engine, "u-1")
    await ordered(engine)
    await engine.restart()
    engine.now_us += 1
    await ordered(engine)
    places = [one.place for one in await engine.traces() if one.source == "gateway erase"]
    assert len(set(places)) == len(places) == 2


async def test_a_replay_does_not_count_what_was_ordered(engine: Engine) -> None:
    """It is no event, and no bytes of one are missing."""
    await met(engine, "u-2")
    engine.now_us += 1
    await ordered(engine, "user_id:u-2")
    replayed = await replay(
        state=engine.state, inbox=engine.reader, rulebook=engine.rules, from_us=NOON_US, to_us=NOON_US + 10, now_us=NOON_US + 10
    )  # fmt: skip
    assert replayed == Replayed(events=1, kept_back=1)
