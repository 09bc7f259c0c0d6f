"""One person and one sync, over a real store: the sentence follows what happened, and no value is shown unasked."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from ordering import NAME, orders
from rulebooks import audience_body
from sync_world import DAY, FAIL, REFUSE, TIME_OUT, S, World, counters, whole_lists

from gateway.admin.answers import MemberPage
from gateway.core.errors import OrderError
from gateway.core.fql import compile_trigger
from gateway.core.rulebook import Rulebook
from gateway.store.sync_rows import RunRow

pytestmark = pytest.mark.anyio


async def page(world: World, user: str = "ada", *, reveal: bool = False) -> dict[str, Any]:
    shown = await orders(world).explain(NAME, f"user_id:{user}", reveal=reveal)
    msgspec.convert(json.loads(msgspec.json.encode(shown)), MemberPage)  # the document's type holds for it
    return shown


async def code(world: World, user: str = "ada") -> str:
    return str((await page(world, user))["code"])


async def test_a_member_from_the_first_event_to_the_removal(world_of):
    """Entered, listed, changed, left, gone; the operations of the log stand in the page, newest first."""
    world = world_of()
    await world.enter("ada", ltv=1)
    shown = await page(world)
    assert (shown["code"], shown["waits_for"]) == ("to_add", "not_yet_run")
    assert shown["membership"]["state"] == "in"
    assert shown["membership"]["event"]["is_kept"]
    await world.run()
    assert await code(world) == "listed"
    await world.enter("ada", ltv=2)
    assert await code(world) == "to_update"
    await world.run()
    await world.leave("ada")
    shown = await page(world)
    assert (shown["code"], shown["membership"]["state"]) == ("to_remove", "out")
    assert [(one["operation"], one["status"]) for one in shown["operations"]] == [
        ("update", "accepted"),
        ("add", "accepted"),
    ]
    await world.run()
    shown = await page(world)
    assert (shown["code"], shown["records"]) == ("not_in", [])
    assert [one["operation"] for one in shown["operations"]] == ["remove", "update", "add"]


async def test_people_nobody_met_and_people_who_were_deleted(world_of):
    """Unknown, known elsewhere only, deleted with the erasure open and done; and an id without its kind is refused."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run()
    assert await code(world, "nobody") == "unknown_member"
    await world.delete("ada")
    shown = await page(world)
    assert (shown["code"], shown["records"]) == ("erasing", [])
    await world.work()
    assert await code(world) == "erased"
    with pytest.raises(OrderError, match="user_id"):
        await orders(world).explain(NAME, "ada")


async def test_a_deleted_person_who_is_known_again_was_deleted_all_the_same(world_of):
    """She came back into another audience, or a platform was told to delete her profile: not `never_seen`."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    await world.delete("ada")
    await world.work()
    world.now_us += S
    await world.send(audience_body("ada", is_member=True, key="gold"))
    shown = await page(world)
    assert (shown["code"], shown["membership"]["state"]) == ("erased", "deleted")
    assert "was deleted at" in shown["sentence"]


@pytest.mark.parametrize(("answer", "expected"), [(REFUSE, "quarantined"), (FAIL, "to_add"), (TIME_OUT, "unsure")])
async def test_what_did_not_get_through(world_of, answer, expected):
    """Refused, failed, unanswered; the problem stands beside the sentence."""
    world = world_of()
    await world.enter("ada")
    await world.run(answer)
    shown = await page(world)
    assert shown["code"] == expected
    assert shown["records"][0]["problem"] is not None


async def test_what_is_given_up_backing_off_or_left_alone(world_of):
    """By the retry options of the mapping."""
    world = world_of(retry={"give_up_after": {"attempts": 1}})
    await world.enter("ada")
    await world.run(FAIL)
    assert await code(world) == "given_up"
    world.edit(retry={"failed": False}, schedule={"manual": True})
    assert await code(world) == "left_alone"
    world.edit(retry={"backoff_after": 1}, schedule={"manual": True})
    await world.run(FAIL)
    world.edit(retry={"backoff_after": 2}, schedule={"manual": True})
    assert await code(world) in ("backoff", "to_add")


async def test_who_cannot_be_rendered(world_of):
    """With the code of the rule that says so."""
    world = world_of()
    await world.enter("ada", email=None)
    shown = await page(world)
    assert shown["code"] == "unmappable"
    assert "payload_invalid" in shown["sentence"]


async def test_who_shares_an_entry_is_told_whose_it_is(world_of):
    """By reference, the same as in the log."""
    world = world_of()
    await world.enter("ada", "bob", email="same@example.com")
    await world.run()
    pages = [await page(world, "ada"), await page(world, "bob")]
    assert {one["code"] for one in pages} == {"listed", "shared_identifier"}
    owner, other = sorted(pages, key=lambda one: one["code"])
    assert owner["member_ref"] in other["sentence"]


async def test_modes_have_their_own_words(world_of):
    """Additive retains, subtractive remembers, adopted people are assumed."""
    world = world_of(mode="additive")
    await world.enter("ada")
    await world.run()
    await world.leave("ada")
    assert await code(world) == "retained"
    world = world_of(mode="subtractive")
    await world.enter("ada")
    assert await code(world) == "tracked"
    await world.run()
    assert await code(world) == "assumed"


async def test_a_paused_a_held_and_a_deleted_sync_are_what_it_waits_for(world_of):
    """The nearest of what stands in the way."""
    world = world_of(guards={})
    users = [f"u{number}" for number in range(200)]
    await world.enter("ada", *users)
    await world.run()
    await world.leave("ada", *users[:150])
    held = await world.run()
    shown = await page(world)
    assert (held.status, shown["code"], shown["waits_for"]) == ("held", "to_remove", "held_run")
    assert f"run approve {held.id}" in shown["sentence"]
    await orders(world).reject(held.id)
    await orders(world).pause(NAME)
    assert (await page(world))["waits_for"] == "paused"
    await orders(world).resume(NAME)
    await orders(world).delete(NAME)
    assert (await page(world))["waits_for"] == "deleted"


async def test_a_filter_that_says_no_and_a_trigger_that_does_not_match(world_of):
    """Read again from the event, while its bytes are kept."""
    world = world_of()
    with_filter(world, "context.traits.consent = true")
    await world.enter("ada", consent=False)
    assert await code(world) == "filtered_out"
    world = world_of()
    with_trigger(world, 'context.traits.plan = "pro"')
    await world.enter("bob", plan="pro")
    await world.enter("ada", plan="free")
    assert await code(world) == "not_matching"


async def test_an_entry_that_is_gone_from_the_files(world_of):
    """Nothing is sent; put it back."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    world.rules = msgspec.structs.replace(world.rules, destinations=())
    shown = await page(world)
    assert (shown["code"], shown["planned"]["bucket"]) == ("not_served", "not_considered")


async def test_a_whole_list_holds_whoever_is_in(world_of):
    """Added by the next upload, then held by each."""
    world = world_of(**whole_lists(1))
    await world.enter("ada")
    assert await code(world) == "to_add"
    await world.run()
    world.now_us += DAY
    assert await code(world) == "listed"


async def test_values_are_shown_only_when_asked_for(world_of):
    """Masked in every part of the page; in clear with `reveal`."""
    world = world_of()
    await world.enter("ada.lovelace", ltv=12)
    await world.run(REFUSE)
    hidden = json.dumps(await page(world, "ada.lovelace"))
    assert "lovelace" not in hidden
    shown = await page(world, "ada.lovelace", reveal=True)
    assert shown["records"][0]["wanted"]["payload"]["email"] == "ada.lovelace@example.com"
    assert shown["member"] == "user_id:ada.lovelace"


def with_filter(world: World, text: str) -> None:
    _edited(world, sync_filter=compile_trigger(text))


def with_trigger(world: World, text: str) -> None:
    _edited(world, trigger=compile_trigger(text), trigger_text=text)


def _edited(world: World, **changes: Any) -> None:
    destination = world.rules.destinations[0]
    mapping = msgspec.structs.replace(destination.mappings[0], **changes)
    changed = msgspec.structs.replace(destination, mappings=(mapping,))
    world.rules = Rulebook(version="2", sources=world.rules.sources, destinations=(changed,))


async def test_right_after_an_edit_a_member_is_shown_as_the_next_run_will_see_them(world_of):
    """The record is made anew from the latest event, and nobody else's; while a run goes on it is left to that."""
    world = world_of()
    await world.enter("ada", "bob", ltv=3)
    await world.run()
    assert await code(world) == "listed"
    world.fields = {"ltv": {"@path": "$.properties.nothing"}}
    world.edit(schedule={"manual": True})
    shown = await page(world)
    assert (shown["code"], shown["planned"]["operation"]) == ("to_update", "update")
    (record,) = shown["records"]
    assert ("ltv" in record["wanted"]["payload"], "ltv" in record["sent"]["payload"]) == (False, True)
    bob = await world.record("bob")
    assert bob.fingerprint == bob.sent_fingerprint
    run = await world.run()
    assert counters(run).updated == 2

    world.fields = {}
    world.edit(schedule={"manual": True})
    sync = await world.sync()
    await world.state.write(
        lambda tx: tx.add_run(RunRow(id=0, sync=sync.id, kind="diff", trigger="manual", status="sending"))
    )
    assert await code(world) == "listed"
