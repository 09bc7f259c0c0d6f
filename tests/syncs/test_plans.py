"""A plan is what the run behind it does: after edits, beside other runs, for whole lists; and its digest says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ordering import NAME, Posting, orders
from rulebooks import audience_body
from sync_world import DAY, World, counters, whole_lists
from test_sync_pages import typed

from gateway.admin.answers import RunPage
from gateway.admin.order_answers import PlanPage
from gateway.core.http_messages import Request
from gateway.core.outcomes import Delivered
from gateway.destinations.base import Batch, Context, Performed
from gateway.store import ListForetold
from gateway.store.sync_rows import IN_THE_MAKING, RunRow
from gateway.syncs.renewal import Renewal
from gateway.syncs.whole_lists import terms_of_list

pytestmark = pytest.mark.anyio

MANUAL: dict[str, Any] = {"schedule": {"manual": True}, "guards": {"empty_audience": "off"}}
NO_VALUE = {"ltv": {"@path": "$.properties.nothing"}}
WORK_EMAIL = {"email": {"@path": "$.context.traits.work"}}


def people(count: int) -> list[str]:
    return [f"u{number}" for number in range(count)]


async def plan_of(world: World, **how: Any) -> dict[str, Any]:
    shown = await orders(world).plan(NAME, **how)
    typed(shown, PlanPage)
    return shown


async def edited(world: World, count: int, **traits: Any) -> None:
    """Everybody is on the list by a mapping without values; then the mapping takes them."""
    world.fields = dict(NO_VALUE)
    world.edit(**MANUAL)
    await world.enter(*people(count), ltv=3, **traits)
    await world.run()
    world.fields = {}
    world.edit(**MANUAL)


async def is_carried_out(world: World, planned: dict[str, Any]) -> RunRow:
    """The run does what the plan said: the same counts, digest, guards, and operations."""
    before = len(world.platform.requests)
    run = await world.run()
    shown: dict[str, Any] = await orders(world).show_run(run.id)
    typed(shown, RunPage)
    assert (run.status, counters(run).planned) == ("succeeded", planned["planned"])
    assert shown["plan_digest"] == planned["plan_digest"] != ""
    assert [one["guard"] for one in shown["guards"]] == [one["guard"] for one in planned["guards"]]
    rows = [row for request in planned["requests_made"] for row in json.loads(request["body"])]
    words = {"enter": "add", "update": "drop", "exit": "drop"}  # as `Posting` says them
    sent = world.platform.requests[before:]
    assert [(words[operation], email) for operation, email in sent[: len(rows)]] == [
        (row["op"], row["email"]) for row in rows
    ]
    return run


async def test_a_plan_after_a_newly_mapped_field_is_the_rewrite_that_the_run_makes(world_of):
    """Row 48: 100 % updates, with the warning, before any run has made the records anew."""
    world = world_of()
    await edited(world, 120)
    planned = await plan_of(world, reveal=True)
    assert planned["planned"] == {"update": 120}
    assert [(one["guard"], one["reaction"]) for one in planned["guards"]] == [("max_update_percent", "warn")]
    assert (planned["note"], planned["running"]) == ("", None)
    await is_carried_out(world, planned)
    assert set(world.platform.listed.values()) == {3}
    assert (await plan_of(world))["planned"] == {}


async def test_a_plan_after_an_edit_of_an_identifier_shows_both_halves_of_each_replacement(world_of):
    """What was sent is taken off, what is mapped now is put on."""
    world = world_of()
    await world.send(*({**_entered(user), "messageId": user} for user in people(12)))
    await world.run()
    world.fields = dict(WORK_EMAIL)
    world.edit(**MANUAL)
    planned = await plan_of(world, reveal=True)
    assert planned["planned"] == {"replace": 12}
    await is_carried_out(world, planned)
    assert set(world.platform.listed) == {f"{user}@work.example.com" for user in people(12)}


async def test_records_made_anew_by_a_plan_are_not_made_again_by_its_run(world_of):
    """Whoever comes first does it; the other finds them whole."""
    world = world_of()
    await edited(world, 3)
    pages: list[int] = []

    async def counted(sync: int, mapping: str, audience: int, after: int) -> int | None:
        pages.append(after)
        return await world.refresher.page(sync, mapping, audience, after)

    world.syncs.runner.renewal = Renewal(state=world.state, rulebook=lambda: world.rules, refresh=counted)
    await plan_of(world)
    assert pages == [0]
    assert (await world.sync()).rendering == world.rules.destinations[0].mappings[0].version
    await world.run()
    await plan_of(world)
    assert pages == [0]


async def test_a_plan_that_dies_while_records_are_made_anew_leaves_a_mark_and_the_next_begins_again(world_of):
    """Killed between two pages: half the records are new, and neither the next plan nor the next run believes them."""
    world = world_of()
    await edited(world, 600)

    async def dying(sync: int, mapping: str, audience: int, after: int) -> int | None:
        if after:
            raise ConnectionError("killed")
        return await world.refresher.page(sync, mapping, audience, after)

    world.syncs.runner.renewal = Renewal(state=world.state, rulebook=lambda: world.rules, refresh=dying)
    with pytest.raises(ConnectionError):
        await plan_of(world)
    assert (await world.sync()).rendering.startswith(IN_THE_MAKING)
    await world.restart()
    planned = await plan_of(world, reveal=True)
    assert planned["planned"] == {"update": 600}
    await is_carried_out(world, planned)


async def test_an_edit_while_a_plan_makes_records_anew_is_planned_as_well(world_of):
    """The plan begins again with the mapping that holds by then; edited without end it says so."""
    world = world_of()
    await edited(world, 3)
    edits = [{**NO_VALUE, "name": "second"}, {"name": "third"}]

    async def interrupted(sync: int, mapping: str, audience: int, after: int) -> int | None:
        last = await world.refresher.page(sync, mapping, audience, after)
        if edits:
            world.fields = edits.pop(0)
            world.edit(**MANUAL)
        return last

    world.syncs.runner.renewal = Renewal(state=world.state, rulebook=lambda: world.rules, refresh=interrupted)
    planned = await plan_of(world, reveal=True)
    assert planned["planned"] == {"update": 3}
    assert planned["mapping_version"] == world.rules.destinations[0].mappings[0].version
    await is_carried_out(world, planned)
    edits = [{"name": f"edit {number}"} for number in range(10)]
    world.fields = {"name": "another"}
    world.edit(**MANUAL)
    with pytest.raises(Exception, match="plan once more"):
        await plan_of(world)


async def test_beside_a_run_of_the_older_mapping_a_plan_says_whose_figures_it_shows(world_of):
    """The run ends with the records it began with; after it the plan is of the new mapping."""
    world = world_of()
    world.fields = dict(NO_VALUE)
    world.edit(**MANUAL)
    await world.enter(*people(3), ltv=3)
    await orders(world).run(NAME)
    while await world.syncs.step():
        pass
    world.fields = {}
    world.edit(**MANUAL)
    rendering = (await world.sync()).rendering
    planned = await plan_of(world)
    assert (planned["running"], planned["planned"]) == (1, {"add": 3})
    assert "earlier version of the mapping" in planned["note"]
    assert (await world.sync()).rendering == rendering
    await world.work()
    assert set(world.platform.listed.values()) == {None}
    planned = await plan_of(world, reveal=True)
    assert (planned["note"], planned["planned"]) == ("", {"update": 3})
    await is_carried_out(world, planned)


async def test_beside_a_run_of_the_same_mapping_what_is_not_sent_counts_as_to_be_done(world_of):
    """And the plan says so."""
    world = world_of()
    await world.enter(*people(3))
    await orders(world).run(NAME)
    while await world.syncs.step():
        pass
    planned = await plan_of(world)
    assert (planned["running"], planned["planned"]) == (1, {"add": 3})
    assert "not sent yet" in planned["note"]


async def test_a_paused_and_a_held_sync_are_planned_with_the_mapping_as_it_is(world_of):
    """Nothing of them plans or sends, so that their records can be made anew."""
    world = world_of(guards={})
    world.fields = dict(NO_VALUE)
    world.edit(schedule={"manual": True}, guards={})
    await world.enter(*people(200), ltv=3)
    await world.run()
    await orders(world).pause(NAME)
    world.fields = {}
    world.edit(schedule={"manual": True}, guards={})
    assert (await plan_of(world))["planned"] == {"update": 200}
    await orders(world).resume(NAME)
    await world.run()
    await world.leave(*people(150))
    held = await world.run()
    assert held.status == "held"
    world.fields = dict(NO_VALUE)
    world.edit(schedule={"manual": True}, guards={})
    planned = await plan_of(world)
    assert (planned["planned"], planned["held"]) == ({"remove": 150, "update": 50}, True)
    await orders(world).approve(held.id, by="ada")
    await world.work()
    run = await world.run_row(held.id)
    assert (run.status, counters(run).planned) == ("succeeded", planned["planned"])


STOPPED = [("pause", "paused", "sync resume"), ("delete", "deleted", "sync undelete")]


@pytest.mark.parametrize(("verb", "status", "mend"), STOPPED, ids=[row[0] for row in STOPPED])
@pytest.mark.parametrize("is_list", [False, True])
async def test_a_plan_of_a_sync_that_is_stopped_says_that_nothing_runs_by_itself(world_of, verb, status, mend, is_list):
    """In a sentence that names the way on, and in a field; that of one that goes on says nothing."""
    world = world_of(**(whole_lists(1) if is_list else {}))
    await world.enter("ada")
    show = plan_of_list if is_list else plan_of
    before = await show(world)
    assert (before["stopped"], before["note"]) == ("", "")
    await getattr(orders(world), verb)(NAME)
    shown = await show(world)
    assert (shown["stopped"], shown["planned"]) == (status, {"add": 1})
    assert f"`gateway {mend}`" in shown["note"]


async def test_a_held_run_keeps_the_digest_of_its_plan(world_of):
    """As of a plan while nothing moves, over several pages; approved it is planned to the same; one change makes another."""
    world = world_of(guards={})
    await world.enter(*people(2_300))
    first = await plan_of(world)
    run = await world.run()
    assert (await orders(world).show_run(run.id))["plan_digest"] == first["plan_digest"]
    await world.leave(*people(1_500))
    planned = await plan_of(world)
    run = await world.run()
    shown = await orders(world).show_run(run.id)
    assert (run.status, shown["plan_digest"]) == ("held", planned["plan_digest"])
    await world.enter("u1")
    assert (await plan_of(world))["plan_digest"] != planned["plan_digest"]
    await world.leave("u1")
    assert (await plan_of(world))["plan_digest"] == planned["plan_digest"]
    await world.restart()
    await orders(world).approve(run.id, by="ada")
    await world.work()
    assert (await orders(world).show_run(run.id))["plan_digest"] == planned["plan_digest"]


async def test_a_plan_says_why_its_run_would_send_nothing(world_of):
    """A destination that is switched off: no requests."""
    from msgspec.structs import replace

    world = world_of()
    await world.enter("ada")
    (destination,) = world.rules.destinations
    world.rules = replace(world.rules, destinations=(replace(destination, enabled=False),))
    planned = await plan_of(world)
    assert (planned["skipped_for"], planned["requests"]) == ("destination_disabled", 0)
    assert "requests_made" not in planned
    assert (await world.run()).reason == "destination_disabled"


async def test_a_first_run_that_waits_for_a_person_is_planned_as_held(world_of):
    """The second one is not."""
    world = world_of(first_run_approval=True)
    await world.enter("ada")
    planned = await plan_of(world)
    assert (planned["held"], planned["note"]) == (True, "The first run waits for a person.")
    run = await world.run()
    assert (run.status, run.reason) == ("held", planned["note"])
    await orders(world).approve(run.id, by="ada")
    await world.work()
    assert (await plan_of(world))["held"] is False


async def test_mode_and_schedule_are_known_before_the_first_run(world_of):
    """As the mapping says them; an edit shows at once, a pause hides nothing, and what it means for the run stays as it was."""
    world = world_of(mode="subtractive", schedule={"every": "15m", "at": "00:05"}, start="schedule")
    await world.enter("ada")
    await world.syncs.step()
    shown = await orders(world).show_sync(NAME)
    assert (shown["mode"], shown["sync_mode"], shown["runs"]) == ("subtractive", "subtractive", [])
    assert (shown["schedule"], shown["next_at"]) == ("every 15 minutes from 00:05 UTC", "2026-11-18T12:05:00.000+00:00")
    assert shown["makes_it_up"]["to_track"] == 1
    await orders(world).pause(NAME)
    world.edit(mode="mirror", **MANUAL)
    await world.syncs.step()
    shown = await orders(world).show_sync(NAME)
    assert (shown["mode"], shown["schedule"]) == ("mirror", "by hand")
    await orders(world).resume(NAME)
    assert ((await world.run()).kind, set(world.platform.listed)) == ("initial", {"ada@example.com"})


# whole lists -----------------------------------------------------------------------------------------------------------
class Uploading(Posting):
    """A destination that uploads whole lists in one request, as JSON."""

    async def perform(self, batch: Batch, context: Context) -> Performed:
        assert context.snapshot is not None
        (owed,) = batch.owed
        assert (owed.operation, owed.payload) == ("replace", {})
        body = json.dumps([payload["email"] for _, payload in context.snapshot.rows()]).encode()
        url = "https://lists.example.com/v1/lists/9001"
        await context.http.send(Request(method="PUT", url=url, headers={}, body=body))
        return Performed(outcomes=(Delivered(),), counts={"lines": context.snapshot.members})


async def plan_of_list(world: World, *, reveal: bool = True) -> dict[str, Any]:
    order = orders(world)
    order._registry = {"whole": Uploading()}
    shown: dict[str, Any] = await order.plan(NAME, reveal=reveal)
    typed(shown, PlanPage)
    return shown


@pytest.mark.parametrize("mode", ["mirror", "additive"])
async def test_a_whole_list_is_planned_as_it_will_be_frozen(world_of, mode):
    """Two spellings of a person, somebody with two addresses, who left, and who was forgotten: the same entries, in order."""
    world = world_of(**whole_lists(1), mode=mode, forget_after_days=10)
    await world.enter("old")
    await world.enter("twin", email="Same@Example.com")
    await world.enter("ada", email="ada@example.com")
    await world.enter("ada", email="ada@example.org")
    await world.run()
    world.now_us += 11 * DAY
    await world.enter("twin-2", email="same@example.com")
    await world.enter(*people(30))
    await world.leave("u3", "ada")
    planned = await plan_of_list(world)
    foretold = ListForetold(world.folder, 1, 0, **terms_of_list(await standing(world), world.now_us)._asdict())
    rows = [payload["email"] for _, payload in foretold.rows()]
    assert planned["upload"]["list"] == {"lines": len(rows)}
    run = await world.run()
    assert world.platform.uploads[-1] == rows
    assert (counters(run).planned, counters(run).list_after) == (planned["planned"], planned["list_after"])
    shown = await orders(world).show_run(run.id)
    assert shown["plan_digest"] == planned["plan_digest"] != ""
    (request,) = planned["requests_made"]
    assert json.loads(request["body"]) == rows
    assert request["bytes"] == len(request["body"])
    assert "ada@example.org" in rows if mode == "additive" else "ada@example.org" not in rows


async def test_a_plan_of_a_whole_list_freezes_and_keeps_nothing(world_of):
    """Its people are masked unless somebody asks; the store is as it was."""
    world = world_of(**whole_lists(1))
    await world.enter("ada.lovelace", "grace.hopper")

    def left(view: Any) -> object:
        return view.syncs()[0].memory, view.runs(), view.list_size(0), view.list_size(1)

    before = await world.state.read(left)
    shown = await plan_of_list(world, reveal=False)
    assert "lovelace" not in json.dumps(shown)
    assert sorted(json.loads(shown["requests_made"][0]["body"])) == ["a***@e***.com", "g***@e***.com"]
    assert await world.state.read(left) == before
    shown = await plan_of_list(world)
    assert "ada.lovelace@example.com" in shown["requests_made"][0]["body"]


async def test_a_whole_list_after_an_edit_is_planned_by_the_new_mapping(world_of):
    """The addresses that are mapped now, and not those that an older mapping made of the same events."""
    world = world_of(**whole_lists(1))
    await world.send(*({**_entered(user), "messageId": user} for user in people(5)))
    await world.run()
    world.fields = dict(WORK_EMAIL)
    world.edit(**MANUAL)
    planned = await plan_of_list(world)
    run = await world.run()
    assert (counters(run).planned, planned["planned"]["add"]) == (planned["planned"], 5)
    assert json.loads(planned["requests_made"][0]["body"]) == world.platform.uploads[-1]
    assert sorted(world.platform.uploads[-1]) == [f"{user}@work.example.com" for user in people(5)]


async def standing(world: World) -> Any:
    from gateway.syncs.names import standings

    return (await world.state.read(lambda view: standings(view, world.rules)))[0]


def _entered(user: str) -> dict[str, object]:
    body: Any = audience_body(user, is_member=True)
    body["context"]["traits"] = {"email": f"{user}@example.com", "work": f"{user}@work.example.com"}
    found: dict[str, object] = body
    return found


class Opening(Posting):
    """Makes its list before the first batch, as platforms do whose list is not there yet."""

    async def perform(self, batch: Batch, context: Context) -> Performed:
        if await context.notes.get("list/made") is None:
            await context.http.send(
                Request(method="POST", url="https://lists.example.com/v1/lists", headers={}, body=b"[]")
            )
            await context.notes.put("list/made", b"1")
        return await super().perform(batch, context)


async def test_a_plan_tells_the_requests_of_all_batches_and_shows_whole_ones(world_of):
    """Two and a half batches of additions behind half a one of removals: what is made once counts once, in requests and in time."""
    world = world_of(**MANUAL)
    batch = world.rules.destinations[0].mappings[0].batch_events_max
    await world.enter(*(f"old{number}" for number in range(batch // 2)))
    await world.run()
    await world.leave(*(f"old{number}" for number in range(batch // 2)))
    await world.enter(*people(batch * 5 // 2))
    order = orders(world, rate=2.0)
    order._registry = {"lister": Opening()}
    planned = await order.plan(NAME, reveal=True)
    assert (planned["requests"], planned["seconds_at_rate_limit"]) == (1 + 1 + 3, 2.5)
    sizes = [len(json.loads(one["body"])) for one in planned["requests_made"]]
    assert sizes == [0, batch // 2, batch]


LIST_AFTER: list[tuple[str, dict[str, Any], str]] = [
    ("everybody is added again", {}, "resend"),
    ("everybody is adopted", {"initial": "adopt"}, ""),
    ("newcomers are remembered", {"mode": "subtractive"}, ""),
    ("some leave, one of them never seen in", {}, ""),
]


@pytest.mark.parametrize(("what", "block", "kind"), LIST_AFTER, ids=[row[0] for row in LIST_AFTER])
async def test_the_list_after_is_that_of_the_run(world_of, what, block, kind):
    """Who is on the list already does not make it longer, who is only remembered does."""
    world = world_of(**MANUAL, **block)
    await world.enter("ada", "bob", "cyd")
    if "initial" not in block:
        await world.run()
    await world.enter("dan")
    await world.leave("cyd", "never-seen")
    planned = await plan_of(world, kind=kind)
    run = await world.run(kind=kind)
    assert (planned["kind"], planned["list_before"], planned["list_after"]) == (
        run.kind,
        counters(run).list_before,
        counters(run).list_after,
    ), what
