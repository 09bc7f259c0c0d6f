"""Lanes from the store to a partner's socket: order, retries, holds, breaker, restarts, isolation."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from email.utils import formatdate
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.core.errors import StoreError
from gateway.core.events import Place
from gateway.core.retries import FAILURES_MAX
from gateway.core.sync_options import WHOLE_LISTS
from gateway.delivery import operations, send
from gateway.delivery.batches import halving_requests_max
from gateway.delivery.bounds import LaneLimits
from gateway.delivery.notes import NOTE_BYTES_MAX, LaneNotes
from gateway.delivery.worker import CLAIM_S_MAX, LEASE_S, LIST_LEASE_S
from gateway.store.rows import NewDelivery

pytestmark = pytest.mark.anyio
RigOf = Callable[..., AbstractAsyncContextManager[Any]]
S = 1_000_000
OK = (200, {}, b'{"ok":true}')
HANG = "hang"


def failing(status: int, headers: dict[str, str] | None = None, body: bytes = b"{}") -> Callable[[list[int]], Any]:
    return lambda _records: (status, headers or {}, body)


def in_turn(*answers: Any) -> Callable[[list[int]], Any]:
    """The answers one after the other, then success."""
    left = list(answers)
    return lambda _records: left.pop(0) if left else OK


# what goes into a request -----------------------------------------------------------------------------------------


async def test_what_is_owed_goes_out_in_one_batch(rig_of: RigOf) -> None:
    """Recorded before the start, sent together, gone from the store; one attempt row."""
    async with rig_of() as rig:
        await rig.owe(range(25))
        rig.start()
        await rig.empty()
        assert rig.partner.requests == [list(range(25))]
        attempts = await rig.state.read(lambda view: view.attempts(lane="a"))
        assert [(one.outcome, one.status, len(one.deliveries), one.request) for one in attempts] == [
            ("delivered", 200, 25, "POST 25 records")
        ]


async def test_a_batch_is_bounded_grouped_and_never_mixes_mappings(mapping_of: Any, rig_of: RigOf) -> None:
    """Bounds of the mapping, groups of the destination."""
    async with rig_of() as rig:
        rig.set_lane("a", mappings=[mapping_of("a/m", batch_events_max=10), mapping_of("a/k")])
        await rig.owe(range(12))
        await rig.owe(range(20, 23), mapping="k", g="x")
        await rig.owe(range(30, 32), mapping="k", g="y")
        rig.start()
        await rig.empty()
        assert sorted(rig.partner.requests) == [list(range(10)), [10, 11], [20, 21, 22], [30, 31]]


async def test_a_mapping_without_batching_sends_one_by_one(mapping_of: Any, rig_of: RigOf) -> None:
    """In order per person, at most `batches_at_once` at a time."""
    async with rig_of() as rig:
        rig.set_lane("a", mappings=[mapping_of("a/m", batching=False)])
        await rig.owe(range(30))
        await rig.owe(range(100, 110), member=999)
        rig.start()
        await rig.empty()
        assert all(len(request) == 1 for request in rig.partner.requests)
        assert [n for (n,) in rig.partner.requests if n >= 100] == list(range(100, 110))
        assert rig.partner.at_once_max <= 4


async def test_a_privacy_requests_removal_is_an_exit_whatever_its_payload_says(rig_of: RigOf) -> None:
    """The payload is the one that was added, flag and all, so the operation has to count."""
    async with rig_of() as rig:
        now_us = rig.clock()
        row = NewDelivery("a", "a/m", 0, 5, "erase", b'{"n":1,"vip":true}', Place(1, 1, 0), now_us, now_us)
        await rig.state.write(lambda tx: tx.add_deliveries([row], now_us=now_us))
        rig.start()
        await rig.empty()
        assert [(one.operation, one.planned) for one in rig.destination.owed] == [("exit", True)]


async def test_a_payload_that_cannot_be_read_dies_alone(rig_of: RigOf) -> None:
    """What should never happen costs one delivery, not the lane."""
    async with rig_of() as rig:
        await rig.owe(range(3))
        broken = (await rig.rows())[1].id
        await rig.state.write(lambda tx: tx._run("UPDATE delivery SET payload = ? WHERE id = ?", (b"{", broken)))
        rig.start()
        await rig.until(lambda: sorted(rig.partner.answered) == [0, 2])
        await rig.settled(1)
        assert [(row.id, row.reason) for row in await rig.rows("dead")] == [
            (broken, "what was stored for this delivery cannot be read")
        ]


async def test_a_destination_sees_audience_settings_and_external_id(rig_of: RigOf) -> None:
    """The mapping's own id first, else what the ledger knows of the audience when the batch is sent."""
    async with rig_of() as rig:
        now_us = rig.clock()

        def record(tx: Any) -> None:
            audience = tx.intern_audiences([("default", "aud_1", "vips")], now_us=now_us)["default", "aud_1"].id
            tx.set_external_id(audience, "77")
            rows = [
                NewDelivery(
                    "a", "a/m", audience, number, "exit", b'{"n":%d}' % number, Place(1, 1, 0), now_us, now_us,
                    audience_settings=settings,
                )
                for number, settings in enumerate([b"", b'{"external_id":"88","ttl":3}'], 1)
            ]  # fmt: skip
            tx.add_deliveries(rows, now_us=now_us)

        await rig.state.write(record)
        rig.start()
        await rig.empty()
        seen = [
            (one.operation, one.audience_key, one.external_id, one.audience_settings) for one in rig.destination.owed
        ]
        assert seen == [("exit", "vips", "77", {}), ("exit", "vips", "88", {"external_id": "88", "ttl": 3})]


async def test_a_destinations_notes_are_its_own_lanes(rig_of: RigOf) -> None:
    """Kept over restarts, by lane, bounded."""
    async with rig_of() as rig:
        mine, others = LaneNotes(rig.state, "a"), LaneNotes(rig.state, "b")
        await mine.put("token", b"t")
        assert (await mine.get("token"), await others.get("token")) == (b"t", None)
        with pytest.raises(ValueError, match="at most"):
            await mine.put("token", bytes(NOTE_BYTES_MAX + 1))


# order -----------------------------------------------------------------------------------------------------------


async def test_a_persons_changes_keep_their_order_through_retries(rig_of: RigOf) -> None:
    """The first of three fails twice; others overtake, the person's own never do."""
    async with rig_of() as rig:
        fails = in_turn((503, {}, b""), (503, {}, b""))
        rig.partner.answer = lambda records: fails(records) if 0 in records else OK
        await rig.owe([0], member=7)
        rig.start()
        await rig.settled(1)
        await rig.owe([1], member=7)
        await rig.owe([50], member=8)
        await rig.until(lambda: 50 in rig.partner.answered)
        rig.advance(1)
        await rig.until(lambda: len([r for r in rig.partner.requests if 0 in r]) == 2)
        await rig.settled(3)
        assert 1 not in rig.partner.answered
        await rig.owe([2], member=7)
        rig.advance(4)
        await rig.empty()
        assert [n for n in rig.partner.answered if n < 50] == [0, 1, 2]


async def test_groups_of_one_claim_keep_a_persons_order(rig_of: RigOf) -> None:
    """Enter in one list, then another, then the first again: three requests, the failing one stops the later."""
    async with rig_of() as rig:
        rig.partner.answer = in_turn(OK, (503, {}, b""))
        for number, group in enumerate("xyx"):
            await rig.owe([number], member=7, g=group)
        rig.start()
        await rig.settled(2)
        assert rig.partner.requests == [[0], [1]]
        rig.advance(1)
        await rig.empty()
        assert rig.partner.answered == [0, 1, 2]


async def test_a_claim_that_was_stopped_once_starts_nothing_more(rig_of: RigOf) -> None:
    """A 429 keeps a person's first change back; when the wait is over before the claim is, the second must not go first."""
    async with rig_of() as rig:
        rig.limits = LaneLimits(requests_per_s=10_000.0, batches_at_once=2)
        first = in_turn((429, {"retry-after": "1"}, b""))
        rig.partner.answer = lambda records: first(records) if 0 in records else HANG if 1 in records else OK
        for number, group, member in ((0, "x", 1), (1, "y", 2), (2, "z", 7), (3, "w", 7)):
            await rig.owe([number], g=group, member=member)
        rig.start()
        await rig.until(lambda: rig.partner.at_once == 1 and [0] in rig.partner.requests)
        await rig.signal.until(lambda: _is_attempted(rig))
        rig.clock.advance(1)
        rig.partner.let_go()
        await rig.empty()
        assert sorted(rig.partner.answered) == [0, 1, 2, 3]
        sent = [n for request in rig.partner.requests for n in request]
        assert sent.index(2) < sent.index(3)


# retries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "wait_s", "failures"),
    [
        ((500, {}, b""), 1, 1),
        ((503, {}, b""), 1, 1),
        ((408, {}, b""), 1, 1),
        ((429, {}, b""), 1, 1),
        ((200, {}, b"<html>login</html>"), 1, 1),
        ("reset", 1, 1),
        ((429, {"retry-after": "120"}, b""), 120, 0),
        ((503, {"retry-after": "120"}, b""), 120, 0),
        ((429, {"retry-after": "0"}, b""), 1, 0),
        ((429, {"retry-after": "86400"}, b""), 3600, 0),
        ((429, {"retry-after": formatdate(1_760_000_000 + 90, usegmt=True)}, b""), 90, 0),
        ((429, {"retry-after": "soon"}, b""), 1, 1),
        ((429, {"retry-after": "-5"}, b""), 1, 1),
    ],
)
async def test_trouble_is_tried_again_in_time(rig_of: RigOf, answer: Any, wait_s: int, failures: int) -> None:
    """Full wait of the jitter; a wait that the partner asked for uses up no attempt."""
    async with rig_of() as rig:
        rig.partner.answer = in_turn(answer)
        await rig.owe([0])
        rig.start()
        await rig.settled(1)
        (row,) = await rig.rows()
        assert ((row.due_us - rig.clock()) // S, row.failures, row.state) == (wait_s, failures, "due")
        rig.advance(wait_s - 0.01)
        assert len(rig.partner.requests) == 1
        rig.advance(0.01)
        await rig.empty()
        assert rig.partner.requests == [[0], [0]]


async def test_no_answer_in_time_is_trouble(rig_of: RigOf) -> None:
    """The request's own bound."""
    async with rig_of() as rig:
        rig.set_lane("a", timeout_s=0.1)
        rig.partner.answer = in_turn(HANG)
        await rig.owe([0])
        rig.start()
        await rig.settled(1)
        (row,) = await rig.rows()
        assert (row.failures, row.reason) == (1, "no answer within 0.1 s")


async def test_a_429_stops_the_whole_lane_until_its_time(rig_of: RigOf) -> None:
    """Other deliveries of the lane wait too."""
    async with rig_of() as rig:
        rig.partner.answer = in_turn((429, {"retry-after": "60"}, b""))
        await rig.owe([0])
        rig.start()
        await rig.settled(1)
        await rig.owe([1])
        (standing,) = await rig.lanes.standing()
        assert (standing.word, standing.until_us) == ("waiting", rig.clock() + 60 * S)
        assert len(rig.partner.requests) == 1
        rig.advance(60)
        await rig.empty()
        assert sorted(rig.partner.answered) == [0, 1]


async def test_waits_the_partner_asked_for_never_kill(rig_of: RigOf) -> None:
    """More of them than failures are allowed."""
    async with rig_of() as rig:
        rig.partner.answer = failing(429, {"retry-after": "5"})
        await rig.owe([0])
        rig.start()
        for attempts in range(1, FAILURES_MAX + 6):
            await rig.settled(attempts)
            rig.advance(5)
        (row,) = await rig.rows()
        assert (row.state != "dead", row.failures) == (True, 0)


async def test_the_35th_failure_is_the_last(rig_of: RigOf) -> None:
    """28 hours of waits by the hand-set clock, then dead with the cause; a person brings it back."""
    async with rig_of() as rig:
        rig.partner.answer = failing(500)
        await rig.owe([0])
        start_us = rig.clock()
        rig.start()
        for attempts in range(1, FAILURES_MAX):
            await rig.settled(attempts)
            (row,) = await rig.rows()
            assert (row.state, row.failures) == ("due", attempts)
            rig.advance((row.due_us - rig.clock()) / S)
        await rig.settled(FAILURES_MAX)
        (row,) = await rig.rows("dead")
        assert row.reason.startswith("gave up after 35 attempts")
        assert (rig.clock() - start_us) // S == 1365 + 28 * 3600
        rig.partner.answer = lambda _records: OK
        assert await operations.retry_dead(rig.state, now_us=rig.clock(), lane="a") == 1
        rig.lanes.wake(["a"])
        await rig.empty()


async def test_a_fault_of_ours_is_trouble_and_quotes_nothing(rig_of: RigOf) -> None:
    """A destination that raises: the delivery is tried again, the log says where, without the payload."""
    async with rig_of() as rig:
        await rig.owe([0], boom="canary")
        with capture_logs() as lines:
            rig.start()
            await rig.settled(1)
        (row,) = await rig.rows()
        assert row.reason == "the gateway failed (ValueError); see the log"
        assert any(line["event"] == "delivery.failed_unforeseen" and line["where"] for line in lines)
        assert "canary" not in str(lines)


async def test_a_lane_whose_destination_is_unknown_waits_instead_of_spinning(rig_of: RigOf) -> None:
    """A fault before any request: said once, tried again later, nothing counted; other lanes go on."""
    async with rig_of("a", "b") as rig:
        unknown = msgspec.structs.replace(rig.destination.definition, slug="unknown")
        rig.destinations["a"] = msgspec.structs.replace(rig.destinations["a"], definition=unknown)
        await rig.owe([0])
        await rig.owe([1], lane="b")
        with capture_logs() as lines:
            rig.start()
            await rig.empty("b")
            await rig.signal.until(lambda: _has_word(rig, "waiting"))
            await rig.signal.until(lambda: _nothing_claimed(rig))
        assert [line["error"] for line in lines if line["event"] == "lane.failed"] == ["KeyError"]
        assert [row.failures for row in await rig.rows("due")] == [0]
        rig.set_lane("a")
        rig.advance(30)
        await rig.empty()


async def test_lanes_that_never_ran_stop_at_once(rig_of: RigOf) -> None:
    """A service may be told to stop before it started."""
    async with rig_of() as rig:
        rig.start()
        rig.task.cancel()
        await asyncio.gather(rig.task, return_exceptions=True)
        await rig.lanes.stop()
        rig.lanes = None


# refusals --------------------------------------------------------------------------------------------------------


async def test_a_batch_refused_whole_is_halved_until_the_bad_record_is_alone(rig_of: RigOf) -> None:
    """One bad of 64: 63 arrive, one is dead, within 13 requests."""
    async with rig_of() as rig:
        rig.partner.answer = lambda records: (422, {}, b"") if 37 in records else OK
        await rig.owe(range(64))
        rig.start()
        await rig.until(lambda: len(rig.partner.answered) == 63)
        await rig.settled(13)
        (dead,) = await rig.rows("dead")
        assert b'"n":37' in dead.payload.replace(b" ", b"")
        assert len(rig.partner.requests) == 13
        assert await rig.rows("due") == []


async def test_every_culprit_is_found_at_two_requests_a_halving(rig_of: RigOf) -> None:
    """Nine bad of 256: all others arrive in the same go, within the bound."""
    async with rig_of() as rig:
        bad = set(range(5, 256, 29))
        rig.partner.answer = lambda records: (400, {}, b"") if bad & set(records) else OK
        await rig.owe(range(256))
        rig.start()
        await rig.signal.until(lambda: _are_dead(rig, 9))
        await rig.signal.until(lambda: _nothing_claimed(rig))
        assert sorted(rig.partner.answered) == [n for n in range(256) if n not in bad]
        assert await rig.rows("due") == []
        assert len(rig.partner.requests) <= halving_requests_max(256, len(bad))


async def test_halving_that_finds_nobody_at_fault_is_bounded_and_goes_on_later(rig_of: RigOf) -> None:
    """A partner that refuses batches but takes each record: so many requests in one go, the rest waits, nothing is lost."""
    async with rig_of() as rig:
        rig.partner.answer = lambda records: (400, {}, b"") if len(records) > 1 else OK
        await rig.owe(range(64))
        rig.start()
        await rig.signal.until(lambda: _some_failed(rig))
        await rig.signal.until(lambda: _nothing_claimed(rig))
        most = halving_requests_max(64, 0)
        assert most <= len(rig.partner.requests) <= most + 6
        due = await rig.rows("due")
        assert len(due) + len(rig.partner.answered) == 64
        assert {row.failures for row in due} == {1}
        for _ in range(20):
            rig.advance(3600)
            await rig.signal.until(lambda: _nothing_is_due(rig))
        assert sorted(rig.partner.answered) == list(range(64))


async def test_a_final_answer_is_not_halved(rig_of: RigOf) -> None:
    """404: one request, all dead with the cause."""
    async with rig_of() as rig:
        rig.partner.answer = failing(404)
        await rig.owe(range(10))
        rig.start()
        await rig.settled(1)
        assert {row.status for row in await rig.rows("dead")} == {404}
        assert len(rig.partner.requests) == 1


# holds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_hold_the_lane_and_nothing_dies(rig_of: RigOf, status: int) -> None:
    """Until a person resumes; what is owed meanwhile waits too."""
    async with rig_of() as rig:
        rig.partner.answer = failing(status)
        await rig.owe([0])
        rig.start()
        await rig.lane_is(hold="unauthorized")
        await rig.owe([1])
        rig.advance(3599)
        assert (await rig.lanes.standing())[0].word == "held"
        assert {row.failures for row in await rig.rows()} == {0}
        assert len(rig.partner.requests) == 1
        rig.partner.answer = lambda _records: OK
        await rig.lanes.resume("a")
        await rig.empty()
        assert (await rig.row()).hold == ""


async def test_a_changed_file_frees_the_hold(rig_of: RigOf) -> None:
    """The same file does not."""
    async with rig_of() as rig:
        rig.partner.answer = lambda _records: (401, {}, b"") if rig.partner.tokens[-1] == "t1" else OK
        await rig.owe([0])
        rig.start()
        await rig.lane_is(hold="unauthorized")
        rig.set_lane("a")
        assert (await rig.lanes.standing())[0].word == "held"
        rig.set_lane("a", token="t2")
        await rig.empty()
        assert rig.partner.tokens == ["t1", "t2"]


async def test_a_file_changed_while_the_gateway_was_down_frees_the_hold(rig_of: RigOf) -> None:
    """The hold itself outlives the restart."""
    async with rig_of() as rig:
        rig.partner.answer = lambda _records: (401, {}, b"") if rig.partner.tokens[-1] == "t1" else OK
        await rig.owe([0])
        rig.start()
        await rig.lane_is(hold="unauthorized")
        await rig.lanes.stop()
        rig.start()
        await rig.signal.until(lambda: _has_word(rig, "held"))
        await rig.lanes.stop()
        rig.set_lane("a", token="t2")
        rig.start()
        await rig.empty()
        assert rig.partner.tokens == ["t1", "t2"]


async def test_a_held_lane_is_probed_once_an_hour_with_one_delivery(rig_of: RigOf) -> None:
    """A failing probe waits another hour, a good one frees the lane."""
    async with rig_of() as rig:
        rig.partner.answer = failing(401)
        await rig.owe(range(5))
        rig.start()
        await rig.lane_is(hold="unauthorized")
        await rig.settled(1)
        rig.advance(3600)
        await rig.settled(2)
        assert [len(request) for request in rig.partner.requests] == [5, 1]
        rig.advance(3599)
        rig.partner.answer = lambda _records: OK
        assert len(rig.partner.requests) == 2
        rig.advance(1)
        await rig.empty()
        assert [len(request) for request in rig.partner.requests] == [5, 1, 1, 4]


async def test_a_paused_lane_sends_nothing_until_resumed_restarts_or_not(rig_of: RigOf) -> None:
    """Pause is kept in the store; a probe asked for goes through all the same."""
    async with rig_of() as rig:
        rig.start()
        await rig.lanes.pause("a")
        await rig.owe(range(3))
        await rig.lanes.stop()
        rig.start()
        await rig.signal.until(lambda: _has_word(rig, "paused"))
        assert rig.partner.requests == []
        await rig.lanes.probe("a")
        await rig.until(lambda: rig.partner.answered == [0])
        await rig.lanes.resume("a")
        await rig.empty()


# breaker ---------------------------------------------------------------------------------------------------------


async def _open_breaker(rig: Any, mapping_of: Any) -> None:
    """Twelve single requests that fail."""
    rig.set_lane("a", mappings=[mapping_of("a/m", batching=False)])
    rig.partner.answer = failing(503)
    await rig.owe(range(40))
    rig.start()
    await rig.lane_is(breaker="open")
    await rig.signal.until(lambda: _nothing_claimed(rig))


async def test_the_breaker_opens_probes_and_closes(rig_of: RigOf, mapping_of: Any) -> None:
    """Most of the backlog never meets the outage; a failed probe uses up nothing; an answer lets all through."""
    async with rig_of() as rig:
        await _open_breaker(rig, mapping_of)
        sent = len(rig.partner.requests)
        assert 10 <= sent <= 14
        failures = sum(row.failures for row in await rig.rows())
        assert failures == sent
        rig.advance(29)
        assert len(rig.partner.requests) == sent
        rig.advance(1)
        await rig.until(lambda: len(rig.partner.requests) == sent + 1)
        await rig.settled(sent + 1)
        await rig.lane_is(breaker="open")
        assert sum(row.failures for row in await rig.rows()) == failures
        first_probe = rig.partner.requests[-1]
        rig.partner.answer = lambda _records: OK
        rig.advance(31)
        await rig.lane_is(breaker="closed")
        assert rig.partner.answered[0] != first_probe[0]
        rig.advance(3600)
        await rig.empty()
        assert sorted(rig.partner.answered) == list(range(40))


async def test_a_destination_down_for_five_days_is_held_with_its_backlog(rig_of: RigOf, mapping_of: Any) -> None:
    """Probes in between use up nothing; a person resumes."""
    async with rig_of() as rig:
        await _open_breaker(rig, mapping_of)
        requests = len(rig.partner.requests)
        for _ in range(2):
            rig.advance(2.6 * 24 * 3600)
            requests += 1
            await rig.settled(requests)
        await rig.lane_is(hold="down_5_days")
        rig.advance(30 * 24 * 3600)
        assert len(await rig.rows("due")) == 40
        assert len(rig.partner.requests) == requests
        rig.partner.answer = lambda _records: OK
        await rig.lanes.resume("a")
        await rig.empty()


# restarts, leases, stop --------------------------------------------------------------------------------------------


async def test_a_crash_repeats_only_what_was_in_flight(rig_of: RigOf, mapping_of: Any) -> None:
    """Delivered ones are gone before it, waiting ones come once, the hanging batch twice."""
    async with rig_of() as rig:
        rig.set_lane("a", mappings=[mapping_of("a/m", batch_events_max=10)])
        await rig.owe(range(10))
        rig.start()
        await rig.empty()
        rig.partner.answer = lambda records: HANG if 10 in records else OK
        await rig.lanes.pause("a")
        await rig.owe(range(10, 20))
        await rig.lanes.resume("a")
        await rig.until(lambda: list(range(10, 20)) in rig.partner.requests)
        await rig.kill()
        await rig.owe(range(20, 30))
        rig.partner.answer = lambda _records: OK
        rig.start()
        await rig.empty()
        sent = [n for request in rig.partner.requests for n in request]
        assert {n for n in sent if sent.count(n) > 1} == set(range(10, 20))
        assert set(sent) == set(range(30))


async def test_an_expired_lease_gives_its_deliveries_back(rig_of: RigOf) -> None:
    """As when settling failed for good: the claim is repeated after its time."""
    async with rig_of() as rig:
        rig.start()
        await rig.owe([0])
        await rig.empty()
        now_us = rig.clock()
        await rig.lanes.pause("a")
        await rig.owe([1])
        await rig.state.write(
            lambda tx: tx.claim("a", now_us=now_us, lease_until_us=now_us + 100 * S, events_max=5, bytes_max=10_000)
        )
        await rig.lanes.resume("a")
        rig.advance(99)
        rig.lanes.rulebook_changed()
        assert [row.state for row in await rig.rows()] == ["claimed"]
        rig.advance(31)
        rig.lanes.rulebook_changed()
        await rig.empty()


async def test_a_stop_lets_what_is_in_flight_end(rig_of: RigOf) -> None:
    """And starts nothing new."""
    async with rig_of() as rig:
        rig.partner.answer = lambda _records: HANG
        await rig.owe([0])
        rig.start()
        await rig.until(lambda: rig.partner.at_once == 1)
        stopping = asyncio.create_task(rig.lanes.stop(10.0))
        await asyncio.sleep(0)
        await rig.owe([1])
        rig.partner.let_go()
        await stopping
        await rig.task
        assert [row.state for row in await rig.rows()] == ["due"]
        assert rig.partner.answered == [0]


async def test_a_stop_cuts_off_what_takes_too_long_and_gives_it_back(rig_of: RigOf) -> None:
    """Due at once, nothing counted: nobody knows whether it arrived."""
    async with rig_of() as rig:
        rig.partner.answer = lambda _records: HANG
        await rig.owe(range(5))
        rig.start()
        await rig.until(lambda: rig.partner.at_once == 1)
        await rig.lanes.stop(0.05)
        await rig.task
        rows = await rig.rows()
        assert {(row.state, row.failures) for row in rows} == {("due", 0)}
        assert len(rows) == 5
        assert max(row.due_us for row in rows) <= rig.clock()


async def test_settling_is_tried_again_while_the_store_is_in_trouble(
    rig_of: RigOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partner has it: a full disk must not send it twice."""
    monkeypatch.setattr(send, "SETTLE_WAIT_S", 0.0)
    async with rig_of() as rig:
        trouble = _fail_to_settle(rig, 3)
        await rig.owe([0])
        rig.start()
        await rig.empty()
        assert (rig.partner.requests, trouble) == ([[0]], [0])


async def test_what_could_not_be_settled_is_left_for_its_run_to_judge(
    rig_of: RigOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its lease is over the run hears of it, before it is given back; what was forwarded is given back at once."""
    monkeypatch.setattr(send, "SETTLE_S_MAX", 0.0)
    async with rig_of() as rig:
        trouble = _fail_to_settle(rig, 2)
        await rig.owe([0], run=7)
        await rig.owe([1])
        rig.start()
        await rig.until(lambda: not trouble[0])
        await rig.signal.until(lambda: _is_left(rig, [(0, "due", 0), (7, "claimed", 0)]))
        assert rig.runs.doubted == []
        (kept,) = [row.id for row in await rig.rows("claimed")]
        rig.advance(LEASE_S + 60)
        rig.lanes.rulebook_changed()  # its housekeeping looks at leases, too
        await rig.empty()
        assert rig.runs.doubted == [kept]
        assert sorted(rig.partner.requests) == [[0], [0], [1], [1]]


def _fail_to_settle(rig: Any, times: int) -> list[int]:
    """Let the store refuse the next settlements; how many it still will."""
    write, trouble = rig.state.write, [times]

    async def failing_write(work: Any) -> Any:
        if getattr(work, "func", None) is send._write and trouble[0]:
            trouble[0] -= 1
            raise StoreError("the disk is full")
        return await write(work)

    rig.state.write = failing_write
    return trouble


async def _is_left(rig: Any, expected: list[tuple[int, str, int]]) -> bool:
    return sorted((row.run, row.state, row.failures) for row in await rig.rows()) == expected


# bounds in time ----------------------------------------------------------------------------------------------------


def test_no_lease_ends_under_an_attempt() -> None:
    """Waiting for its turn, the attempt, and writing what came of it."""
    assert CLAIM_S_MAX + send.ATTEMPT_S_MAX + send.SETTLE_S_MAX < LEASE_S
    assert CLAIM_S_MAX + send.LIST_ATTEMPT_S_MAX + send.SETTLE_S_MAX < LIST_LEASE_S


async def test_a_whole_list_has_a_long_attempt_and_a_long_lease(
    rig_of: RigOf, mapping_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not cut off with the single change beside it, which may take as good as no time here."""
    monkeypatch.setattr(send, "ATTEMPT_S_MAX", 0.05)
    async with rig_of() as rig:
        rig.runs.lists = {7}
        rig.set_lane("a", mappings=[mapping_of("a/m", capabilities=WHOLE_LISTS)])
        rig.partner.answer = lambda _records: HANG
        await rig.owe([0], run=7, operation="replace")
        rig.start()
        await rig.until(lambda: rig.partner.at_once == 1)
        await rig.owe([1])
        await rig.signal.until(lambda: _is_left(rig, [(0, "due", 1), (7, "claimed", 0)]))
        ends_us = rig.clock() + LIST_LEASE_S * S
        for lease_until_us, claimed in ((ends_us - 1, 0), (ends_us, 1)):
            found = await rig.state.write(
                lambda tx, until=lease_until_us: tx.run_deliveries_claimed(lease_until_us=until)
            )
            assert len(found) == claimed
        rig.partner.let_go()
        await rig.settled(2)
        assert await _is_left(rig, [(0, "due", 1)])


# the rulebook changes ----------------------------------------------------------------------------------------------


async def test_deliveries_of_a_removed_mapping_wait_and_the_lane_says_so(rig_of: RigOf, mapping_of: Any) -> None:
    """Others of the lane go on; putting the mapping back sends them."""
    async with rig_of() as rig:
        await rig.owe([0], mapping="old")
        await rig.owe([1])
        rig.start()
        await rig.settled(1)
        assert rig.partner.answered == [1]
        await rig.signal.until(lambda: _has_reason(rig, "mapping removed: a/old"))
        assert [row.state for row in await rig.rows()] == ["due"]
        rig.set_lane("a", mappings=[mapping_of("a/m"), mapping_of("a/old")])
        await rig.empty()
        assert rig.partner.answered == [1, 0]


async def test_a_disabled_or_removed_destination_keeps_its_backlog(rig_of: RigOf) -> None:
    """Both words are shown; enabling sends."""
    async with rig_of("a", "b") as rig:
        rig.set_lane("a", enabled=False)
        gone = rig.destinations.pop("b")
        await rig.owe([0])
        await rig.owe([1], lane="b")
        rig.start()
        assert [one.word for one in await rig.lanes.standing()] == ["disabled", "removed"]
        rig.destinations["b"] = gone
        rig.set_lane("a")
        await rig.empty()
        await rig.empty("b")
        assert (rig.partner.answered, rig.partners["b"].answered) == ([0], [1])


async def test_a_changed_setting_counts_from_the_next_batch_on(rig_of: RigOf) -> None:
    """No restart."""
    async with rig_of() as rig:
        rig.start()
        await rig.owe([0])
        await rig.empty()
        rig.set_lane("a", token="t2")
        await rig.owe([1])
        await rig.empty()
        assert rig.partner.tokens == ["t1", "t2"]


# isolation and privacy ---------------------------------------------------------------------------------------------


async def test_a_hanging_destination_costs_the_others_nothing(rig_of: RigOf, mapping_of: Any) -> None:
    """Lane b delivers all of its thousand while every request of lane a hangs."""
    async with rig_of("a", "b") as rig:
        for lane in "ab":
            rig.set_lane(lane, mappings=[mapping_of(f"{lane}/m", batch_events_max=10)])
        rig.partners["a"].answer = lambda _records: HANG
        await rig.owe(range(1000))
        await rig.owe(range(1000), lane="b")
        rig.start()
        await rig.until(lambda: rig.partners["a"].at_once == 4)
        await rig.empty("b")
        assert sorted(rig.partners["b"].answered) == list(range(1000))
        assert (rig.partners["a"].answered, rig.partners["a"].at_once) == ([], 4)


async def test_no_line_and_no_row_holds_anything_of_a_person(rig_of: RigOf) -> None:
    """A canary through success, refusal, trouble, hold and timeout."""
    async with rig_of() as rig:
        rig.set_lane("a", timeout_s=0.2, token="canary-token")
        answers: list[Any] = [
            OK,
            (400, {}, b"canary@example.com"),
            (500, {}, b"canary"),
            HANG,
            "reset",
            (401, {}, b"canary"),
        ]
        with capture_logs() as lines:
            rig.start()
            for number, answer in enumerate(answers, 1):
                rig.partner.answer = in_turn(answer)
                await rig.owe([number], email="canary@example.com")
                await rig.settled(number)
                rig.partner.answer = lambda _records: OK
                for row in await rig.rows("due"):
                    assert "canary" not in row.reason
                await rig.state.write(lambda tx: tx._run("DELETE FROM delivery WHERE state = 0"))
            attempts = await rig.state.read(lambda view: view.attempts())
            standing = await rig.lanes.standing()
        assert len([line for line in lines if line["event"] == "delivery.attempted"]) == len(answers)
        for text in (str(lines), str(attempts), str(standing), str([row.reason for row in await rig.rows("dead")])):
            assert "canary" not in text


# what a person does with dead ones -----------------------------------------------------------------------------------


async def test_dead_deliveries_are_retried_by_filter_and_dropped(rig_of: RigOf) -> None:
    """Thin functions with their refusals."""
    async with rig_of() as rig:
        rig.partner.answer = failing(404)
        await rig.owe(range(6))
        rig.start()
        await rig.settled(1)
        dead = await rig.rows("dead")
        assert len(dead) == 6
        assert await operations.drop_dead(rig.state, ids=[dead[0].id]) == 1
        rig.partner.answer = lambda _records: OK
        assert await operations.retry_dead(rig.state, now_us=rig.clock(), ids=[dead[1].id]) == 1
        assert await operations.retry_dead(rig.state, now_us=rig.clock(), reason_like="404") == 4
        with pytest.raises(ValueError, match="Give a lane"):
            await operations.retry_dead(rig.state, now_us=rig.clock())
        with pytest.raises(ValueError, match="Give ids"):
            await operations.drop_dead(rig.state)
        rig.lanes.wake(["a"])
        await rig.empty()


async def _is_attempted(rig: Any) -> bool:
    return bool(await rig.state.read(lambda view: view.attempts()))


async def _has_word(rig: Any, word: str) -> bool:
    return any(one.word == word for one in await rig.lanes.standing())


async def _has_reason(rig: Any, reason: str) -> bool:
    return any(reason in one.reason for one in await rig.lanes.standing())


async def _nothing_claimed(rig: Any) -> bool:
    return not await rig.rows("claimed")


async def _nothing_is_due(rig: Any) -> bool:
    return all(row.state == "due" and row.due_us > rig.clock() for row in await rig.rows())


async def _are_dead(rig: Any, count: int) -> bool:
    return len(await rig.rows("dead")) == count


async def _some_failed(rig: Any) -> bool:
    return any(row.failures for row in await rig.rows("due"))
