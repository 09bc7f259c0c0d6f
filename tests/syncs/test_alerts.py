"""Alerts of syncs: the scripted scenario in which each comes up once and is over once, and what each of them looks at."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from alert_receivers import SECRET, MailServer, WebhookReceiver, trusting
from sync_world import ACCEPT, DAY, FAIL, HOUR, REFUSE, TIME_OUT, WITH_UPDATES, S, World, counters, whole_lists

from gateway.alerting.courier import Courier
from gateway.alerting.email import Email, Mailbox
from gateway.alerting.webhook import Webhook
from gateway.core.alert_options import ALERT_NAMES
from gateway.core.notices import read_notice
from gateway.core.outcomes import Outcome, Unreachable
from gateway.destinations.http_client import PartnerHttp
from gateway.observe import metrics
from gateway.store.rows import LaneRow
from gateway.syncs.watch import LOOK_US, OPERATIONS

pytestmark = pytest.mark.anyio

NAME = "lister/all/vip"
OPEN = {"max_removal_percent": "off", "empty_audience": "off", "unmappable_percent": "off"}
Told = list[tuple[str, str]]


def people(count: int, start: int = 0) -> list[str]:
    return [f"canary{number}" for number in range(start, start + count)]


def only_for(users: set[str], outcome: Outcome) -> Callable[[str, dict[str, Any]], Outcome]:
    """The platform has trouble with some people, and none with others."""
    return lambda _operation, payload: outcome if str(payload.get("email")).partition("@")[0] in users else ACCEPT


async def look(world: World) -> None:
    """The next look between runs."""
    world.now_us += LOOK_US
    await world.syncs.step()


async def standing(world: World) -> list[str]:
    rows = await world.state.read(lambda view: view.alerts())
    return [row.name for row in rows]


async def told(world: World) -> Told:
    """What was told since the last time, without a sink."""

    def take(tx: Any) -> Told:
        rows = tx.notices_due("", now_us=2**62, limit=1_000)
        for row in rows:
            tx.drop_notice(row.id)
        return [(one.kind, one.alert) for one in (read_notice(row.body) for row in rows)]

    found: Told = await world.state.write(take)
    return found


class Listening:
    """A webhook and a mail server that hear of the alerts of all worlds of a test."""

    def __init__(self, receiver: WebhookReceiver, server: MailServer, http: PartnerHttp) -> None:
        self.receiver, self.server, self._http = receiver, server, http

    async def hear(self, world: World) -> Told:
        """What has come since the last time, by webhook; the letters say the same."""
        before = len(self.receiver.posts)
        box = Mailbox(
            host="localhost", port=self.server.port, security="starttls", sender="gateway@example.com",
            recipients=("ops@example.com",),
        )  # fmt: skip
        webhook = Webhook(url=self.receiver.url, secret=SECRET, http=self._http.lane(allow_private=True))
        courier = Courier(
            state=world.state, sinks=[webhook, Email(box, context=trusting())], clock=lambda: world.now_us,
            chance=lambda: 0.5,
        )  # fmt: skip
        while await courier.step():
            pass
        new = self.receiver.posts[before:]
        subjects = [str(letter["Subject"]) for letter in self.server.letters[before:]]
        for post, subject in zip(new, subjects, strict=True):
            assert f": {post['data']['alert']}, {post['data']['sync']}" in subject
        return [(post["type"].removeprefix("alert."), post["data"]["alert"]) for post in new]


@pytest.fixture
async def listening(anyio_backend: str) -> AsyncIterator[Listening]:
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(WebhookReceiver().open())
        server = await stack.enter_async_context(MailServer().open())
        http = PartnerHttp(version="test")
        stack.push_async_callback(http.aclose)
        yield Listening(receiver, server, http)


async def test_every_alert_comes_up_once_and_is_over_once(world_of, listening):
    """The whole script, heard by a webhook and by e-mail; nobody's address is in any of it."""
    for act in (a_platform_that_hangs, a_login_that_is_refused, an_answer_that_never_came, trouble_with_people, whole):
        await act(world_of, listening.hear)
    heard = Counter((post["type"].removeprefix("alert."), post["data"]["alert"]) for post in listening.receiver.posts)
    assert heard == Counter({(kind, name): 1 for name in ALERT_NAMES for kind in ("raised", "recovered")})
    assert len(listening.server.letters) == len(listening.receiver.posts)
    assert b"canary" not in (listening.receiver.raw + listening.server.raw).lower()
    assert b"@example" not in listening.receiver.raw


Hear = Callable[[World], Awaitable[Told]]


async def a_platform_that_hangs(world_of: Any, hear: Hear) -> None:
    """A run goes out at two and has no answers for hours: its changes are old, the sync is stale, the run takes too long."""
    world = world_of(
        schedule={"every": "1h"}, start="schedule", alerts={"freshness": "2h", "long_run": "100m", "size_change": 60}
    )
    await world.enter(*people(10))
    world.now_us += HOUR
    await world.work()
    await world.enter("canary-late")
    world.now_us += HOUR
    for _ in range(5):
        await look(world)
    assert await hear(world) == []
    for minutes, alert in ((60, "freshness"), (10, "stale"), (31, "long_run")):
        world.now_us += minutes * 60 * S
        await look(world)
        assert await hear(world) == [("raised", alert)]
    await look(world)
    assert await hear(world) == []
    await world.work()
    await look(world)
    assert sorted(await hear(world)) == [("recovered", "freshness"), ("recovered", "long_run"), ("recovered", "stale")]
    # Within the day the audience doubles, and a day later that is how it is.
    world.edit(alerts={"size_change": 60}, schedule={"manual": True})
    await world.enter(*people(9, start=20))
    await look(world)
    assert await hear(world) == [("raised", "size_change")]
    for _ in range(26):
        world.now_us += HOUR
        await look(world)
    assert await hear(world) == [("recovered", "size_change")]


async def a_login_that_is_refused(world_of: Any, hear: Hear) -> None:
    world = world_of()
    await world.enter("canary1")
    await world.run()
    await world.state.write(lambda tx: tx.save_lane(LaneRow(lane="lister", hold="unauthorized", hold_reason="401")))
    await look(world)
    await look(world)
    assert await hear(world) == [("raised", "credentials_refused")]
    await world.state.write(lambda tx: tx.save_lane(LaneRow(lane="lister")))
    await look(world)
    assert await hear(world) == [("recovered", "credentials_refused")]


async def an_answer_that_never_came(world_of: Any, hear: Hear) -> None:
    world = world_of()
    await world.enter(*people(12))
    await world.run(only_for({"canary1"}, TIME_OUT))
    world.now_us += DAY - HOUR
    await look(world)
    assert await hear(world) == []
    world.now_us += 2 * HOUR
    await look(world)
    assert await hear(world) == [("raised", "unsure")]
    await world.run(ACCEPT)
    await look(world)
    assert await hear(world) == [("recovered", "unsure")]


async def trouble_with_people(world_of: Any, hear: Hear) -> None:
    """Held; then some who cannot be rendered; then one whom the platform will not have."""
    block = {
        "guards": {"max_removals": 1, "unmappable_percent": "off"},
        "retry": {"give_up_after": {"attempts": 2}},
        "alerts": {"problem_share": "off"},
    }
    world = world_of(**block)
    await world.enter(*people(40))
    await world.run()
    await world.leave("canary1", "canary2")
    run = await world.run()
    assert (run.status, await hear(world)) == ("held", [("raised", "held")])
    run = await world.state.write(lambda tx: end(tx, run.id, world.now_us))
    run = await world.run()
    assert (run.status, await hear(world)) == ("held", [])
    await world.state.write(lambda tx: end(tx, run.id, world.now_us))
    world.edit(**{**block, "guards": {"unmappable_percent": "off"}, "schedule": {"manual": True}})
    assert (await world.run()).status == "succeeded"
    assert await hear(world) == [("recovered", "held")]

    await world.enter(*people(10, start=50), email=None)
    for number in range(3):
        assert await hear(world) == []
        assert (await world.run()).status == "partial", number
    assert await hear(world) == [("raised", "list_difference")]
    await world.run()
    assert await hear(world) == []
    await world.enter(*people(10, start=50))
    await world.run()
    assert await hear(world) == [("recovered", "list_difference")]

    await world.enter("canary-refused")
    for number in range(2):
        await world.enter(f"canary-other{number}")
        await world.run(only_for({"canary-refused"}, FAIL))
        assert await hear(world) == []
    await world.run(FAIL)
    assert await hear(world) == [("raised", "given_up")]
    await world.enter("canary-refused", ltv=3)
    await world.run()
    assert await hear(world) == [("recovered", "given_up")]


def end(tx: Any, run: int, now_us: int) -> None:
    """A person rejects a held run."""
    tx.save_run(msgspec.structs.replace(tx.run(run), status="cancelled", finished_us=now_us))


async def whole(world_of: Any, hear: Hear) -> None:
    """Whole lists: one too small, one that the platform fails with somebody's address in its answer."""
    world = world_of(**whole_lists(), alerts={"stale": "off"})
    await world.enter("canary1", "canary2")
    for _ in range(2):
        assert (await world.run()).status == "skipped"
    assert await hear(world) == [("raised", "below_minimum")]
    await world.enter("canary3")
    assert (await world.run()).status == "succeeded"
    assert await hear(world) == [("recovered", "below_minimum")]
    world.now_us += DAY
    await world.run(Unreachable(reason="503 canary2@example.com is unknown", status=503))
    for _ in range(60):  # a whole list is tried for hours
        world.now_us += HOUR
        await world.work()
    assert sorted(await hear(world)) == [("raised", "problem_share"), ("raised", "run_failed")]
    await world.run(ACCEPT)
    assert sorted(await hear(world)) == [("recovered", "problem_share"), ("recovered", "run_failed")]


async def test_every_tells_again_at_every_run(world_of):
    """And a first one of the same kind stays silent while it stands."""
    world = world_of(alerts={"run_failed": {"occurrence": "every", "recovery": False}})
    await world.enter("a")
    for _ in range(2):
        await world.run(FAIL)
    assert await told(world) == [("raised", "run_failed"), ("raised", "problem_share"), ("raised", "run_failed")]
    await world.run(ACCEPT)
    assert await told(world) == [("recovered", "problem_share")]


async def test_a_worse_share_is_told_again(world_of):
    """From warning to critical; the other way round it stays quiet."""
    world = world_of(retry={"rejected": "every_run"})
    await world.enter(*people(20))
    await world.run(only_for({"canary1"}, REFUSE))
    assert await told(world) == [("raised", "problem_share")]
    await world.enter("x")
    await world.run(only_for({"canary1"}, REFUSE))
    assert await told(world) == [("raised", "problem_share")]
    await world.enter(*people(15, start=30))
    await world.run(only_for({"canary1"}, REFUSE))
    assert await told(world) == []
    (row,) = await world.state.read(lambda view: view.alerts())
    assert row.level == "critical"


async def test_an_alert_that_is_switched_off_goes_without_a_word(world_of):
    """What stood is taken back, and nothing is told."""
    world = world_of()
    await world.enter("a")
    await world.run(FAIL)
    assert len(await told(world)) == 2
    world.edit(schedule={"manual": True}, alerts={"run_failed": "off", "problem_share": "off"})
    await look(world)
    assert (await standing(world), await told(world)) == ([], [])
    await world.run(FAIL)
    assert (await standing(world), await told(world)) == ([], [])


async def test_members_who_share_an_entry_are_no_difference(world_of):
    """A household with one address is one entry of the list, and the list lacks nobody, however many runs look."""
    world = world_of()
    await world.enter(*people(10))
    await world.enter(*people(8, start=10), email="canary-household@example.com")
    for _ in range(4):
        assert (await world.run()).status == "succeeded"
    assert (await told(world), await standing(world)) == ([], [])


async def test_alerts_outlive_a_restart(world_of):
    """What was told is not told again by a new process."""
    world = world_of()
    await world.enter("a")
    await world.run(FAIL)
    await told(world)
    await world.restart()
    await look(world)
    await world.run(FAIL)
    assert (await told(world), await standing(world)) == ([], ["problem_share", "run_failed"])


async def test_the_alerts_of_a_deleted_sync_end(world_of):
    """And so do its series."""
    world = world_of()
    await world.enter("a")
    await world.run(FAIL)
    await look(world)
    await told(world)
    assert f'gateway_sync_list_size{{sync="{NAME}"}}' in metrics.exposition().decode()
    sync = await world.sync()
    await world.state.write(lambda tx: tx.save_sync(msgspec.structs.replace(sync, status="deleted")))
    await look(world)
    assert sorted(await told(world)) == [("recovered", "problem_share"), ("recovered", "run_failed")]
    assert f'sync="{NAME}"' not in metrics.exposition().decode()


async def test_a_paused_sync_does_not_become_stale_and_has_its_grace(world_of):
    """Paused for a day it is not expected to run; after the resume it may wait for its next tick."""
    world = world_of(schedule={"every": "1h"})
    await world.enter("a")
    await world.work()
    sync = await world.sync()
    await world.state.write(lambda tx: tx.save_sync(msgspec.structs.replace(sync, status="paused")))
    await look(world)
    world.now_us += DAY
    await look(world)
    next_us = world.now_us + HOUR
    await world.state.write(lambda tx: tx.save_sync(msgspec.structs.replace(sync, status="active", next_us=next_us)))
    await look(world)
    world.now_us += 50 * 60 * S
    await look(world)
    assert await told(world) == []


async def test_a_gateway_that_was_down_for_long_is_not_stale_at_once(world_of):
    """It catches up first; if that does not help, it is told ten minutes later."""
    world = world_of(schedule={"every": "1h"})
    await world.enter("a")
    await world.work()
    world.now_us += 2 * DAY
    await world.restart()
    await world.enter("b")
    await look(world)  # the run is on its way, nobody answers
    assert await told(world) == []
    world.now_us += 11 * 60 * S
    await look(world)
    assert await told(world) == [("raised", "stale")]
    await world.work()
    await look(world)
    assert await told(world) == [("recovered", "stale")]


async def test_gauges_follow_the_list_and_what_it_lacks(world_of):
    """Sizes, pending operations and freshness, as a look finds them; quarantined members wait for nothing."""
    world = world_of()
    await world.enter("a", "b", "c", "d")
    await world.run()
    await world.enter("refused")
    await world.run(REFUSE)
    await world.leave("a")
    await world.enter("b", ltv=3)
    await world.enter("e", "f")
    world.now_us += 60 * S
    await look(world)
    read = {
        name: getattr(metrics, name).labels(NAME)._value.get()
        for name in ("SYNC_LIST_SIZE", "SYNC_AUDIENCE_SIZE", "SYNC_FRESHNESS_S")
    }
    assert read == {"SYNC_LIST_SIZE": 4, "SYNC_AUDIENCE_SIZE": 6, "SYNC_FRESHNESS_S": 72}
    pending = {op: metrics.SYNC_PENDING.labels(NAME, op)._value.get() for op in ("add", "update", "replace", "remove")}
    assert pending == {"add": 2, "update": 1, "replace": 0, "remove": 1}
    await world.run()
    await look(world)
    assert metrics.SYNC_FRESHNESS_S.labels(NAME)._value.get() == 0


@pytest.mark.parametrize("mode", ["mirror", "additive", "subtractive"])
@pytest.mark.parametrize("can_update", [True, False])
async def test_what_is_pending_is_what_the_next_run_plans(world_of, mode, can_update):
    """With everything that can be odd about a record: refused, failed, unsure, renamed, shared, unrenderable, gone, deleted."""
    capabilities = msgspec.structs.replace(WITH_UPDATES, update=can_update)
    world = world_of(mode="mirror", capabilities=capabilities, guards=OPEN)
    await world.enter(*people(20))
    trouble = {"canary1": REFUSE, "canary2": FAIL, "canary3": TIME_OUT, "canary4": REFUSE}
    await world.run(lambda _operation, payload: trouble.get(str(payload.get("email")).partition("@")[0], ACCEPT))
    await world.leave("canary5", "canary3", "never-seen")
    await world.enter("canary4", "canary6", ltv=9)
    await world.enter("canary7", email="canary-renamed@example.com")
    await world.enter("canary8", email=None)
    await world.enter("twin", email="canary9@example.com")
    await world.enter("new")
    await world.delete("canary10")
    world.edit(mode=mode, schedule={"manual": True}, guards=OPEN)
    await look(world)
    pending = {op: metrics.SYNC_PENDING.labels(NAME, op)._value.get() for op in OPERATIONS}
    await world.run(kind="diff")
    _, erasure, run = await world.runs()
    planned = counters(run).planned | counters(erasure).planned
    assert {op: count for op, count in pending.items() if count} == planned


async def test_operations_are_counted_by_what_they_were_and_how_they_ended(world_of):
    """`_ops_total` by operation and outcome, `_rejected_total` by code."""
    world = world_of()
    await world.enter("a", "b")
    await world.run(only_for({"a"}, REFUSE))
    await world.leave("b")
    await world.enter("nobody", email=None)
    await world.run(FAIL)
    text = metrics.exposition().decode()
    for line in (
        f'gateway_sync_ops_total{{op="add",outcome="accepted",sync="{NAME}"}}',
        f'gateway_sync_ops_total{{op="add",outcome="rejected",sync="{NAME}"}}',
        f'gateway_sync_ops_total{{op="remove",outcome="failed",sync="{NAME}"}}',
        f'gateway_sync_rejected_total{{code="INVALID_RECORD",sync="{NAME}"}}',
        f'gateway_sync_rejected_total{{code="payload_invalid",sync="{NAME}"}}',
    ):
        assert line in text, line


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
async def test_large_syncs_are_gone_through_in_pieces(world_of, monkeypatch, piece):
    """Whatever the size of a piece, the counts are the same once a sync was gone through whole."""
    monkeypatch.setattr("gateway.syncs.record_walk.ROWS_A_LOOK", piece)
    world = world_of()
    await world.enter(*people(7))
    for _ in range(8):
        await look(world)
    assert metrics.SYNC_PENDING.labels(NAME, "add")._value.get() == 7
