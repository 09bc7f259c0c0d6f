"""The engine's loop over a real inbox and a real state: what is recorded, once, whatever dies when."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import Any

import msgspec
import pytest
from engine_harness import NOON_US, Engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rulebooks import LISTS, audience_body, destination, lister, mapping, rulebook

from gateway.core.arrivals import ITEM_AUDIENCE, ITEM_REJECT, Item
from gateway.core.decisions import Skipped
from gateway.core.errors import StoreError
from gateway.core.events import Place
from gateway.core.mapping import MappingError
from gateway.core.summaries import ChangeSummary, Summary, read_summary
from gateway.decisions import recording
from gateway.observe import metrics
from gateway.store.rows import Settlement, TraceRow

pytestmark = pytest.mark.anyio


def iso(at_us: int) -> str:
    """A time after noon as senders write it."""
    seconds, micros = divmod(NOON_US + at_us, 1_000_000)
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{micros // 1000:03d}Z"


def body(
    user: str = "u-1", number: int = 1, *, is_member: object = True, at_us: int = -60_000_000, **members: object
) -> dict[str, object]:
    """An audience event with a message id and a time."""
    return audience_body(user, is_member=is_member, messageId=f"m-{number}", timestamp=iso(at_us), **members)


def deletion(user: str = "u-1", number: int = 900, *, at_us: int = 0) -> dict[str, object]:
    return {"type": "delete", "userId": user, "messageId": f"m-{number}", "timestamp": iso(at_us)}


async def test_an_entry_is_recorded_with_what_it_causes(engine: Engine) -> None:
    """Trace, membership, delivery and cursor, and the lane is woken after the commit."""
    await engine.keep(body())
    assert await engine.decide() == 1
    (delivery,) = await engine.deliveries()
    assert (delivery.lane, delivery.mapping, delivery.operation, delivery.due_us) == (
        "mailer",
        "mailer/all",
        "enter",
        NOON_US,
    )
    assert json.loads(delivery.payload) == {"email": "u-1@example.com", "name": "Audience Entered"}
    (trace,) = await engine.traces()
    assert (trace.outcome, trace.source, trace.first_delivery, trace.deliveries) == ("decided", "shop", delivery.id, 1)
    assert read_summary(trace.summary) == Summary(
        changes=(ChangeSummary(audience=delivery.audience, is_member=True, verdict="entered", rule="6.1-1"),)
    )
    assert await engine.is_member("user_id:u-1") is True
    assert engine.woken == [{"mailer"}]
    assert await engine.state.read(lambda view: view.cursor()) == (1, 1)


async def test_a_message_sent_again_changes_nothing(engine: Engine) -> None:
    """Within one request, in another one, and after a restart."""
    await engine.keep(body(), body())
    await engine.keep({**body(), "sentAt": iso(0)})
    await engine.decide()
    await engine.restart()
    await engine.keep(body())
    await engine.decide()
    assert len(await engine.deliveries()) == 1
    assert [(trace.outcome, trace.duplicates) for trace in await engine.traces()] == [("decided", 3)]


async def test_a_reused_message_id_is_another_event(engine: Engine) -> None:
    """Its content differs, so it is processed and marked."""
    await engine.keep(body(), body(is_member=False, at_us=-1_000_000))
    await engine.decide()
    assert await engine.is_member("user_id:u-1") is False
    assert [read_summary(trace.summary).warnings for trace in await engine.traces()] == [(), ("message_id_reused",)]


async def test_several_changes_of_one_person_in_one_block_follow_each_other(engine: Engine) -> None:
    """Each is judged by what those before it left."""
    await engine.keep(
        body(number=1, at_us=-50),
        body(number=2, at_us=-40_000, is_member=False),
        body(number=3, at_us=0, is_member=False),
    )
    await engine.keep(body(number=4, at_us=1_000_000), at_us=1_000_000)
    await engine.decide()
    verdicts = [read_summary(trace.summary).changes[0].verdict for trace in await engine.traces()]
    assert verdicts == ["entered", "stale", "left", "entered"]
    assert [one.operation for one in await engine.deliveries()] == ["enter", "exit", "enter"]


async def test_a_stale_change_is_kept_back_where_it_contradicts(engine: Engine) -> None:
    """And goes out where it says what the ledger says."""
    await engine.keep(body(number=1, is_member=False, at_us=0))
    await engine.keep(body(number=2, at_us=-5_000_000), body(number=3, is_member=False, at_us=-4_000_000))
    await engine.decide()
    first, second, third = [read_summary(trace.summary) for trace in await engine.traces()]
    assert first.changes[0].verdict == "unknown_exit"
    assert (second.skipped, second.withheld) == (
        (Skipped(destination="mailer", mapping="mailer/all", code="stale"),),
        1,
    )
    assert (third.changes[0].verdict, third.skipped) == ("stale", ())
    assert [one.operation for one in await engine.deliveries()] == ["exit", "exit"]


async def test_rejects_and_created_audiences_get_a_trace(engine: Engine) -> None:
    """With the reason; they are no events."""
    await engine.keep(
        Item(body=b"{}", kind=ITEM_REJECT, code="missing_type", message="no type", pointer="/batch/0"),
        Item(body=b"{}", kind=ITEM_AUDIENCE),
        body(),
    )
    await engine.decide()
    rejected, audience, decided = await engine.traces()
    assert [rejected.outcome, audience.outcome, decided.outcome] == ["rejected", "audience", "decided"]
    assert read_summary(rejected.summary) == Summary(code="missing_type", pointer="/batch/0")


async def test_an_event_that_cannot_be_read_is_set_aside(engine: Engine) -> None:
    """Under the name of its fault; the rest of the request goes on."""
    await engine.keep(b"not json: u-9@example.com", body())
    await engine.decide()
    first, second = await engine.traces()
    assert (first.outcome, second.outcome) == ("set_aside", "decided")
    assert b"u-9" not in first.summary
    assert read_summary(first.summary).code == "fault:EventError"


async def test_a_frame_that_is_none_is_set_aside_whole(engine: Engine) -> None:
    """The cursor passes it."""
    await engine.inbox.put(b"\x05", 1)
    await engine.keep(body())
    await engine.decide()
    assert [trace.outcome for trace in await engine.traces()] == ["set_aside", "decided"]


class Refusing:
    """A state whose next writes fail; reading goes on."""

    def __init__(self, state: Any, error: Exception, times: int) -> None:
        self.state, self.error, self.times = state, error, times

    async def write(self, work: Any) -> Any:
        if self.times:
            self.times -= 1
            raise self.error
        return await self.state.write(work)

    async def read(self, work: Any) -> Any:
        return await self.state.read(work)


async def test_a_store_that_cannot_keep_a_block_gets_the_same_one_again(engine: Engine) -> None:
    """Nothing is lost and nothing is skipped."""
    await engine.keep(body())
    real, engine.state = engine.state, Refusing(engine.state, StoreError("disk full"), 2)
    engine.worker = engine.new_worker()
    for _ in range(2):
        with pytest.raises(StoreError):
            await engine.worker.step()
    assert await engine.worker.step() == 1
    engine.state = real
    assert len(await engine.deliveries()) == 1


async def test_the_loop_waits_for_the_store_and_for_the_inbox(engine: Engine) -> None:
    """`run` goes on by itself until it is cancelled."""
    recorded = asyncio.Event()
    real = engine.state
    engine.state = Refusing(real, StoreError("locked", retry_after_s=0), 1)
    engine.worker = engine.new_worker()
    engine.woken = Woken(recorded)  # type: ignore[assignment]
    engine.worker._on_recorded = engine.woken.append
    running = asyncio.create_task(engine.worker.run())
    await engine.keep(body())
    await asyncio.wait_for(recorded.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    engine.state = real


class Woken(list[set[str]]):
    """Sets an event at the first lane woken."""

    def __init__(self, event: asyncio.Event) -> None:
        super().__init__()
        self.event = event

    def append(self, lanes: set[str]) -> None:
        self.event.set()


async def test_an_event_that_breaks_the_recording_is_set_aside_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rule foresees it: the block is searched for it, and recorded without it."""
    real = recording.write_summary

    def failing(summary: Summary) -> bytes:
        if "message_id_reused" in summary.warnings:
            raise ZeroDivisionError
        return real(summary)

    monkeypatch.setattr(recording, "write_summary", failing)
    await engine.keep(body("u-1", 1), body("u-2", 2), body("u-3", 2), body("u-4", 4))
    await engine.decide()
    assert [trace.outcome for trace in await engine.traces()] == ["decided", "decided", "set_aside", "decided"]
    assert len(await engine.deliveries()) == 3
    assert await engine.is_member("user_id:u-3") is None


async def test_a_block_whose_answer_was_lost_is_not_recorded_twice(engine: Engine) -> None:
    """The commit was kept and its answer was not: the cursor tells."""
    await engine.keep(body())
    block = await engine.worker._next_block()
    assert block is not None
    await engine.write(lambda tx: recording.record(tx, block, now_us=1))
    engine.worker._block = block
    assert await engine.decide() == 1
    await engine.keep(body("u-2", 2))
    await engine.decide()
    assert len(await engine.deliveries()) == 2


@pytest.mark.parametrize("dies_after", ["reading", "recording without a commit", "the commit"])
async def test_an_engine_that_dies_decides_once(engine: Engine, dies_after: str) -> None:
    """The state is dropped between two steps and opened again."""
    await engine.keep(body(), body("u-2", 2))
    block = await engine.worker._next_block()
    assert block is not None
    if dies_after == "recording without a commit":

        def dying(tx: Any) -> None:
            recording.record(tx, block, now_us=1)
            raise KeyError

        with pytest.raises(KeyError):
            await engine.write(dying)
    elif dies_after == "the commit":
        await engine.write(lambda tx: recording.record(tx, block, now_us=1))
    await engine.restart()
    await engine.decide()
    assert len(await engine.deliveries()) == 2
    assert [trace.outcome for trace in await engine.traces()] == ["decided", "decided"]


async def test_a_new_rulebook_holds_from_the_next_block_on(engine: Engine) -> None:
    """What was recorded stays as it was decided."""
    await engine.keep(body())
    await engine.decide()
    engine.rules = rulebook(destination(mapping("mailer/all"), mapping("mailer/more")))
    await engine.keep(body("u-2", 2))
    await engine.decide()
    assert [one.mapping for one in await engine.deliveries()] == ["mailer/all", "mailer/all", "mailer/more"]


async def test_a_block_ends_at_its_bound_but_never_within_a_frame(engine: Engine) -> None:
    """So that the cursor can stand between frames."""
    engine.worker = engine.new_worker(block_items=3)
    await engine.keep(*(body(f"u-{n}", n) for n in range(4)))
    await engine.keep(body("u-8", 8))
    assert await engine.worker.step() == 4
    assert await engine.worker.step() == 1


async def test_several_ingest_processes_are_read_to_their_ends(engine: Engine) -> None:
    """Each has files of its own."""
    from gateway.store import open_inbox_writer

    second = open_inbox_writer(engine.folder, writer=1)
    first, engine.inbox = engine.inbox, second
    await engine.keep(body("u-2", 2))
    engine.inbox = first
    await engine.keep(body())
    await engine.decide()
    await engine.restart()
    assert await engine.decide() == 0
    assert len(await engine.deliveries()) == 2
    await second.close()


async def test_a_later_list_delivery_takes_the_place_of_an_unsent_one(engine: Engine) -> None:
    """In and out ten times while nothing is sent costs one request."""
    engine.rules = rulebook(lister())
    await engine.keep(*(body(number=n, is_member=n % 2 == 0, at_us=-1_000_000 + n * 1000) for n in range(10)))
    await engine.decide()
    assert [one.operation for one in await engine.deliveries()] == ["exit"]


async def test_a_list_without_its_partners_id_owes_nothing_yet(engine: Engine) -> None:
    """Until the store knows the id."""
    needy = msgspec.structs.replace(LISTS.actions[0], needs_audience_id=True)
    engine.rules = rulebook(destination(mapping(action=needy)))
    await engine.keep(body())
    await engine.decide()
    (trace,) = await engine.traces()
    assert [skip.code for skip in read_summary(trace.summary).skipped] == ["audience_not_connected"]
    audience = await engine.state.read(lambda view: view.audience("spa", "aud_vip"))
    await engine.write(lambda tx: tx.set_external_id(audience.id, "x-1"))
    await engine.keep(body(number=2, at_us=0))
    await engine.decide()
    assert len(await engine.deliveries()) == 1


async def test_a_person_who_is_deleted_is_forgotten(engine: Engine) -> None:
    """Memberships and what was not yet sent go; each destination that keeps profiles is told."""
    await engine.keep(body(), deletion(), body("u-2", 2))
    await engine.decide()
    assert await engine.is_member("user_id:u-1") is None
    assert [(one.operation, json.loads(one.payload)) for one in await engine.deliveries()] == [
        ("delete", {"userId": "u-1"}),
        ("enter", {"email": "u-2@example.com", "name": "Audience Entered"}),
    ]
    tombstone = await engine.state.read(lambda view: view.tombstone("default", "user_id:u-1"))
    assert tombstone.deleted_us == NOON_US


async def test_a_deleted_person_is_taken_off_the_lists_that_forwarding_put_them_on(engine: Engine) -> None:
    """With what was sent, from every list that took them; the deletion's trace counts it, and nothing is done twice."""
    engine.rules = rulebook(lister())
    await engine.keep(body(), body("u-2", 2))
    await engine.decide()

    def deliver(tx: Any) -> None:
        rows = tx.claim("lister", now_us=NOON_US, lease_until_us=NOON_US + 1, events_max=10, bytes_max=1 << 20)
        tx.settle([Settlement(row.id, "delivered") for row in rows], None, now_us=NOON_US)

    await engine.write(deliver)
    engine.woken.clear()
    await engine.keep(deletion(), deletion(number=901))
    await engine.decide()
    (removal,) = await engine.deliveries()
    assert (removal.lane, removal.mapping, removal.operation) == ("lister", "lister/all", "erase")
    assert json.loads(removal.payload)["email"] == "u-1@example.com"
    assert [(one.first_delivery, one.deliveries) for one in await engine.traces()][2:] == [(removal.id, 1), (0, 0)]
    assert engine.woken == [{"lister"}]


async def test_what_happened_before_a_deletion_does_not_bring_anybody_back(engine: Engine) -> None:
    """Neither by user id nor by an event that names the deleted id beside another one; what happens later starts afresh."""
    await engine.keep(deletion())
    await engine.keep(
        body(number=2, at_us=-1_000_000),
        {
            **body(number=3, at_us=-1_000_000),
            "type": "identify",
            "traits": {"name": "x"},
            "context": {"traits": {"email": "u-1@example.com"}},
        },
        at_us=5_000_000,
    )
    await engine.decide()
    assert await engine.is_member("user_id:u-1") is None
    assert [one.operation for one in await engine.deliveries()] == ["delete"]
    _, late, plain = [read_summary(trace.summary) for trace in await engine.traces()]
    assert (late.changes[0].verdict, [skip.code for skip in late.skipped]) == ("deleted", ["forgotten"])
    assert [skip.code for skip in plain.skipped] == ["forgotten"]
    await engine.keep(body(number=4, at_us=6_000_000), at_us=6_000_000)
    await engine.decide()
    assert await engine.is_member("user_id:u-1") is True


async def test_a_long_list_is_applied_whole_and_summed_up(engine: Engine) -> None:
    """Every person is a member; the trace stays small."""
    rows = [{"email": f"p{n}@example.com"} for n in range(150)]
    listed = {"type": "audiencelist", "messageId": "m-1", "properties": {"listData": {"add": rows, "remove": rows[:1]}}}
    fields: dict[str, object] = {"email": {"@path": "$.properties.email"}}
    engine.rules = rulebook(destination(mapping(trigger='type = "audiencelist"', fields=fields)))
    await engine.keep(listed)
    await engine.decide()
    (trace,) = await engine.traces()
    summary = read_summary(trace.summary)
    assert (len(summary.changes), summary.more_changes, trace.deliveries) == (100, 51, 151)
    assert await engine.is_member("email:p0@example.com", key="buyers", space="shop") is False
    assert await engine.is_member("email:p149@example.com", key="buyers", space="shop") is True


async def test_what_was_decided_is_counted(engine: Engine) -> None:
    """By outcome, verdict, destination and reason."""

    def counts() -> list[float]:
        return [
            metrics.DECIDED_EVENTS.labels("decided")._value.get(),
            metrics.DECIDED_EVENTS.labels("duplicate")._value.get(),
            metrics.DECIDED_CHANGES.labels("entered")._value.get(),
            metrics.DECIDED_DELIVERIES.labels("mailer")._value.get(),
            metrics.DECIDED_SKIPPED.labels("not_matching")._value.get(),
        ]

    engine.rules = rulebook(destination(mapping(), mapping("mailer/pages", trigger='type = "page"')))
    before = counts()
    await engine.keep(body(), body(), body("u-2", 2))
    await engine.decide()
    assert [after - start for after, start in zip(counts(), before, strict=True)] == [2, 1, 2, 2, 2]
    assert metrics.BACKLOG_FRAMES._value.get() == 0


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([body(), body()], {"applied": 1, "duplicate": 1}),
        ([body(), body(number=2, is_member=False), body(number=3, at_us=-120_000_000)], {"applied": 2, "stale": 1}),
        ([body(), body(is_member=False, at_us=-30_000_000)], {"applied": 1, "message_id_reused": 1}),
        ([{"type": "track", "event": "Page Seen", "userId": "u-1", "messageId": "m-9"}], {}),
    ],
)
async def test_membership_events_are_counted_once_each(
    engine: Engine, events: list[dict[str, object]], expected: dict[str, int]
) -> None:
    """By what the ledger made of them; events that say nothing of an audience are not among them."""

    def counts() -> dict[str, float]:
        results = ("applied", "stale", "duplicate", "message_id_reused", "too_late")
        return {result: metrics.MEMBERSHIP_EVENTS.labels("track", result)._value.get() for result in results}

    before = counts()
    for event in events:
        await engine.keep(event)
        await engine.decide()
    assert {result: count - before[result] for result, count in counts().items() if count > before[result]} == expected


class Quoting:
    """A transform whose error repeats the event."""

    def apply(self, body: dict[str, object]) -> object:
        raise MappingError(f"cannot read {body['userId']}")


async def test_no_trace_holds_personal_data(engine: Engine) -> None:
    """Summaries name mappings, audiences and rules."""
    quoting = msgspec.structs.replace(mapping("mailer/quoting"), transform=Quoting())
    wrong = mapping("mailer/wrong", fields={"email": {"@path": "$.properties"}})
    engine.rules = rulebook(destination(mapping(), wrong, quoting))
    await engine.keep(body("canary-77"), deletion("canary-77"), body("canary-77", 3, at_us=-9_000_000))
    await engine.decide()
    traces = await engine.traces()
    assert not [trace for trace in traces if b"canary" in trace.summary]
    codes = [skip.code for skip in read_summary(traces[0].summary).skipped]
    assert codes == ["payload_invalid", "mapping_failed"]


async def test_numbers_too_large_for_a_word_are_owed_all_the_same(engine: Engine) -> None:
    """As JavaScript would write them."""
    whole = {"email": {"@path": "$.context.traits.email"}, "name": {"@path": "$.properties.n"}}
    engine.rules = rulebook(destination(mapping(fields=whole)))
    raw = json.dumps(body(properties={"n": 0})).replace('"n": 0', '"n": 98765432109876543210')
    await engine.keep(raw.encode())
    await engine.decide()
    (delivery,) = await engine.deliveries()
    assert json.loads(delivery.payload)["name"].startswith("987654321098765")


CHANGES = st.lists(
    st.tuples(st.sampled_from(["u-1", "u-2"]), st.booleans(), st.integers(0, 10_000)),
    min_size=1, max_size=8, unique_by=lambda one: one[2],
)  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES, st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_ledger_does_not_depend_on_the_order_of_arrival(
    changes: list[tuple[str, bool, int]], random: Any, per_request: int
) -> None:
    """Any order, any grouping into requests and blocks: the latest of each person wins."""
    import tempfile
    from pathlib import Path

    shuffled = list(enumerate(changes))
    random.shuffle(shuffled)

    async def play() -> dict[str, bool | None]:
        with tempfile.TemporaryDirectory() as folder:
            engine = Engine(Path(folder), rulebook())
            engine.worker = engine.new_worker(block_items=2)
            for start in range(0, len(shuffled), per_request):
                group = shuffled[start : start + per_request]
                await engine.keep(
                    *(body(user, n, is_member=is_in, at_us=(at - 20_000) * 1_000) for n, (user, is_in, at) in group)
                )
            await engine.decide()
            found = {user: await engine.is_member("user_id:" + user) for user, _, _ in changes}
            await engine.close()
            return found

    wanted = {user: is_in for user, is_in, _ in sorted(changes, key=lambda one: one[2])}
    assert asyncio.run(play()) == wanted


async def test_a_set_aside_row_has_no_keys() -> None:
    """So that nothing can be its duplicate."""
    from gateway.decisions.blocks import set_aside

    row = set_aside(Place(1, 2, 3), 4, "shop", "KeyError")
    assert isinstance(row, TraceRow)
    assert (row.id_hash, row.digest) == (0, 0)
