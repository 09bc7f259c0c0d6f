"""The pages of a sync and of a run: who makes up the difference, health, times, problems with their mend; and orders' versions."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from ordering import NAME, orders
from sync_world import ACCEPT, FAIL, HOUR, REFUSE, TIME_OUT, S, World, whole_lists

from gateway.admin.answers import RunPage, RunProgress, SyncLine, SyncPage
from gateway.admin.order_answers import PlanPage
from gateway.cli.run_following import progress_line
from gateway.core.errors import OrderError
from gateway.syncs.pace import Pace

pytestmark = pytest.mark.anyio


def typed(shown: Any, wanted: type) -> None:
    """The API's document says this type of the answer."""
    msgspec.convert(json.loads(msgspec.json.encode(shown)), wanted)


async def sync_page(world: World) -> dict[str, Any]:
    shown = await orders(world).show_sync(NAME)
    typed(shown, SyncPage)
    return shown


async def test_who_makes_up_the_difference_is_counted_by_why(world_of):
    """Added, updated, removed, refused, unsure, shared, unrenderable: each person once."""
    world = world_of(guards={"unmappable_percent": "off"})
    await world.enter("kept", "changed", "left", "unsure", "refused")
    world.platform.answer = lambda _operation, payload: ACCEPT
    answers = {"unsure@example.com": TIME_OUT, "refused@example.com": REFUSE}
    await world.run(lambda _operation, payload: answers.get(payload["email"], ACCEPT))
    await world.enter("changed", ltv=9)
    await world.leave("left")
    await world.enter("new")
    await world.enter("nobody", email=None)
    await world.enter("twin", email="kept@example.com")
    shown = await sync_page(world)
    assert shown["makes_it_up"] == {
        "to_add": 1, "to_track": 0, "to_update": 1, "to_remove": 1, "to_erase": 0, "retained": 0,
        "unmappable": {"payload_invalid": 1}, "quarantined": {"INVALID_RECORD": 1}, "failed": {}, "unsure": 1, "shared": 1,
    }  # fmt: skip
    assert (shown["audience_size"], shown["list_size"], shown["difference"]) == (7, 4, 3)
    assert (shown["health"], shown["status"]) == ("warning", "active")


async def test_freshness_is_the_age_of_the_oldest_change_that_is_not_sent(world_of):
    """Nothing to send: 0."""
    world = world_of()
    await world.enter("ada")
    world.now_us += HOUR
    await world.enter("bob")
    assert (await sync_page(world))["freshness_s"] == 3_601
    await world.run()
    assert (await sync_page(world))["freshness_s"] == 0


async def test_who_was_sent_by_an_earlier_mapping_is_counted(world_of):
    """Those whose record is the same after the edit are not sent again, and counted."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run()
    assert (await sync_page(world))["delivered_under_older"] == 0
    world.fields = {"name": "static"}
    world.edit(schedule={"manual": True})
    await world.enter("cyd")
    await world.run()
    shown = await sync_page(world)
    assert (shown["delivered_under_older"], shown["list_size"]) == (2, 3)
    await world.run(kind="resend")
    assert (await sync_page(world))["delivered_under_older"] == 0


async def test_a_held_sync_says_so_with_its_guards(world_of):
    """In the list, too; the aliases of other systems stand beside our own names."""
    world = world_of(guards={})
    users = [f"u{number}" for number in range(200)]
    await world.enter(*users)
    await world.run()
    await world.leave(*users[:150])
    run = await world.run()
    (line,) = await orders(world).list_syncs()
    typed(line, SyncLine)
    assert (line["status"], line["health"], line["open_run"]) == ("held", "held", run.id)
    shown = await sync_page(world)
    assert shown["guards"][0]["run"] == run.id
    assert (shown["sync_mode"], shown["status_error"]) == ("mirror", "")
    assert shown["last_synced_at"].startswith("2026-11-18T12:00:01")


async def test_a_run_page_tells_its_times_sums_problems_and_requests(world_of):
    """Problems are grouped with a mend; whether the sums hold is said."""
    world = world_of()
    await world.enter("ada", "bob", "cyd")
    answers = {"ada@example.com": REFUSE, "bob@example.com": FAIL}
    run = await world.run(lambda _operation, payload: answers.get(payload["email"], ACCEPT))
    shown = await orders(world).show_run(run.id)
    typed(shown, RunPage)
    assert (shown["status"], shown["sums_hold"], shown["sync_name"]) == ("partial", True, NAME)
    found = {(one["status"], one["code"]): (one["count"], bool(one["fix"])) for one in shown["problems"]}
    assert found == {("rejected", "INVALID_RECORD"): (1, True), ("failed", ""): (1, True)}
    timeline = shown["timeline"]
    assert all(
        timeline[name] for name in ("started_us", "planned_us", "first_request_us", "last_answer_us", "finished_us")
    )
    assert timeline["started_us"] <= timeline["first_request_us"] <= timeline["last_answer_us"]
    assert shown["seconds_left"] is None


async def test_a_run_without_a_log_tells_its_times_all_the_same(world_of):
    """They are kept as answers come, not looked for in the log."""
    world = world_of(log={"keep": False})
    await world.enter("ada")
    run = await world.run()
    timeline = (await orders(world).show_run(run.id))["timeline"]
    assert min(timeline["first_request_us"], timeline["last_answer_us"]) > 0


async def test_how_far_a_run_is_counts_what_was_planned_alone(world_of):
    """Two members whom the mapping refuses are no progress: of one planned operation none has ended, then one."""
    world = world_of(guards={"unmappable_percent": "off"})
    await world.enter("ada")
    await world.enter("nobody", email=None)
    await world.enter("nobody-2", email=None)
    order = orders(world)
    started = await order.run(NAME)
    while await world.syncs.step():
        pass
    shown = await order.run_progress(int(str(started["id"])))
    typed(shown, RunProgress)
    assert (shown["planned"], shown["ended"], shown["wrong"]) == (1, 0, 2)
    assert progress_line(shown, 10.0) == f"run {shown['id']} sending: 0 of 1"
    await world.work()
    shown = await order.run_progress(int(str(started["id"])))
    assert (shown["status"], shown["planned"], shown["ended"]) == ("partial", 1, 1)


async def test_a_run_under_way_tells_how_long_the_rest_takes_at_the_limit(world_of):
    """500 operations, one a request, 10 requests a second."""
    world = world_of()
    await world.enter(*(f"u{number}" for number in range(500)))
    order = orders(world, rate=10.0)
    started = await order.run(NAME)
    while await world.syncs.step():
        pass
    shown = await order.show_run(int(str(started["id"])))
    typed(shown, RunPage)
    batch = world.rules.destinations[0].mappings[0].batch_events_max
    assert (shown["status"], shown["sums_hold"]) == ("sending", None)
    assert shown["seconds_left"] == -(-500 // batch) / 10.0


@pytest.mark.parametrize(
    ("left", "seconds"),
    [({"add": 150}, 15.0), ({"remove": 150}, 0.2), ({"replace": 10, "erase": 1}, 1.2), ({}, 0.0)],
)
def test_the_time_goes_by_what_one_request_takes_of_each_operation(left, seconds):
    """Two people to add, five hundred to remove: a replace is one of both."""
    pace = Pace(batch=500, requests_per_s=5.0, of_request={"add": 2, "remove": 500})
    assert pace.seconds(left) == seconds


async def test_a_plan_masks_its_requests_and_counts_their_time(world_of):
    """Bodies are shown without people; in clear only when asked for."""
    world = world_of()
    await world.enter("ada.lovelace", ltv=5)
    shown = await orders(world, rate=2.0).plan(NAME)
    typed(shown, PlanPage)
    assert (shown["requests"], shown["requests_per_s"], shown["seconds_at_rate_limit"]) == (1, 2.0, 0.5)
    assert "lovelace" not in json.dumps(shown)
    (request,) = shown["requests_made"]
    assert request["url"] == "https://lists.example.com/v1/lists/9001"
    (row,) = json.loads(request["body"])
    assert (row["op"], row["email"]) == ("add", "a***@e***.com")
    (exact,) = (await orders(world).plan(NAME, reveal=True))["requests_made"]
    assert json.loads(exact["body"])[0]["email"] == "ada.lovelace@example.com"
    assert exact["bytes"] == request["bytes"] == len(exact["body"])


async def test_a_resend_of_a_whole_list_is_an_upload(world_of):
    """The platform takes nothing else."""
    world = world_of(**whole_lists(1))
    await world.enter("ada")
    await orders(world).run(NAME, kind="resend")
    await world.work()
    assert [run.kind for run in await world.runs()] == ["replace"]
    assert world.platform.uploads == [["ada@example.com"]]


async def test_an_order_for_what_has_changed_is_refused(world_of):
    """`If-Match`: the version that was seen, any of several, or `*`; without one, any."""
    world = world_of(guards={})
    users = [f"u{number}" for number in range(200)]
    await world.enter(*users)
    await world.run()
    order = orders(world)
    seen = f'"{(await order.show_sync(NAME))["version"]}"'
    await world.enter("later")
    await order.expecting(seen).pause(NAME)  # events do not change the version
    with pytest.raises(OrderError, match="has changed since you looked") as refused:
        await order.expecting(seen).resume(NAME)
    assert refused.value.status == 412
    await order.expecting(f'"other", {seen}, *').resume(NAME)
    await world.leave(*users[:150])
    held = await world.run()
    seen = f'"{(await order.show_run(held.id))["version"]}"'
    await order.expecting(seen).approve(held.id, by="ada")
    with pytest.raises(OrderError) as refused:
        await order.expecting(seen).cancel(held.id)
    assert refused.value.status == 412
    await order.expecting("").cancel(held.id)


async def test_waiting_for_a_run_is_bounded(world_of):
    """It comes back with the page, and whether the run has ended."""
    world = world_of()
    await world.enter("ada")
    order = orders(world)
    started = int(str((await order.run(NAME))["id"]))
    shown, has_ended = await order.wait(started, seconds=0)
    assert (shown["status"], has_ended) == ("queued", False)
    await world.work()
    shown, has_ended = await order.wait(started, seconds=5)
    assert (shown["status"], has_ended) == ("succeeded", True)


async def test_a_run_while_paused_does_everything(world_of):
    """Told to, by hand."""
    world = world_of()
    await world.enter("ada")
    await orders(world).pause(NAME)
    await orders(world).run(NAME, while_paused=True)
    await world.work()
    assert world.platform.listed == {"ada@example.com": None}
    assert (await world.sync()).status == "paused"


@pytest.mark.parametrize("verb", ["pause", "resume", "run", "clear", "delete"])
async def test_a_deleted_sync_takes_no_orders_but_undelete(world_of, verb):
    """So that a pause or a resume does not bring it back by the way."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    await orders(world).delete(NAME)
    with pytest.raises(OrderError, match="undelete"):
        await getattr(orders(world), verb)(NAME)


async def test_pausing_now_stops_the_open_run_and_leaves_the_rest_for_the_next(world_of):
    """What is on its way ends, the rest is cancelled; resumed with `run`, the rest goes out."""
    world = world_of()
    await world.enter(*(f"u{number}" for number in range(20)))
    order = orders(world)
    await order.run(NAME)
    while await world.syncs.step():
        pass
    await world.deliver(5)
    await order.pause(NAME, now=True)
    await world.work()
    (run,) = await world.runs()
    assert (run.status, len(world.platform.listed)) == ("cancelled", 5)
    resumed = await order.resume(NAME, run=True)
    await world.work()
    assert (await world.run_row(int(str(resumed["run"])))).status == "succeeded"
    assert len(world.platform.listed) == 20


async def test_problems_come_in_pages(world_of):
    """With a cursor of member and line."""
    world = world_of()
    await world.enter(*(f"u{number}" for number in range(5)))
    world.now_us += S
    await world.run(REFUSE)
    first, place = await orders(world).problems(NAME, limit=3)
    rest, end = await orders(world).problems(NAME, after=place, limit=3)
    assert ([one["kind"] for one in (*first, *rest)], end) == (["rejected"] * 5, None)
    assert len({one["member_ref"] for one in (*first, *rest)}) == 5
