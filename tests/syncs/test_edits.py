"""What an edited mapping file does at the next run."""

from __future__ import annotations

import pytest
from sync_world import counters

pytestmark = pytest.mark.anyio

MANUAL = {"schedule": {"manual": True}, "guards": {"empty_audience": "off"}}


async def test_a_newly_mapped_field_is_an_update_of_everybody(world_of):
    """Row 48: the payloads are made anew from the events that were kept."""
    world = world_of()
    world.fields = {"ltv": {"@path": "$.properties.nothing"}}
    world.edit(**MANUAL)
    await world.enter(*(f"u{number}" for number in range(100)), ltv=3)
    await world.run()
    assert set(world.platform.listed.values()) == {None}
    world.fields = {}
    world.edit(**MANUAL)
    run = await world.run()
    assert (counters(run).updated, set(world.platform.listed.values())) == (100, {3})
    assert counters(await world.run()).unchanged == 100


async def test_a_new_sync_begins_with_everybody_who_is_in(world_of):
    """Members that entered before the mapping was there are on the first list all the same."""
    world = world_of()
    await world.enter("ada", "bob", "cyd")
    await world.leave("cyd")
    sync = await world.sync()
    await world.state.write(lambda tx: tx.drop_all_records(sync.id))
    run = await world.run()
    assert (run.kind, counters(run).added) == ("initial", 2)


async def test_a_filter_that_is_added_takes_members_out(world_of):
    """Who does not meet it counts as out from the next run on, once their events are looked at again."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run()
    world.fields = {"name": "filtered"}
    world.edit(**MANUAL)
    from msgspec.structs import replace

    from gateway.core.fql import compile_trigger

    (destination,) = world.rules.destinations
    kept = replace(destination.mappings[0], sync_filter=compile_trigger('userId = "ada"'))
    world.rules = replace(world.rules, destinations=(replace(destination, mappings=(kept,)),))
    run = await world.run()
    assert (counters(run).removed, set(world.platform.listed)) == (1, {"ada@example.com"})


@pytest.mark.parametrize(
    ("before", "after", "listed"),
    [
        ("mirror", "additive", {"bob", "cyd"}),
        ("mirror", "subtractive", {"bob"}),
        ("additive", "mirror", {"bob", "cyd"}),
        ("additive", "subtractive", {"bob"}),
        ("subtractive", "mirror", {"bob", "cyd"}),
        ("subtractive", "additive", {"bob", "cyd"}),
    ],
)
async def test_a_change_of_mode_takes_effect_at_the_next_run(world_of, before, after, listed):
    """Ada left while the first mode held; Cyd enters under the second."""
    world = world_of(mode=before)
    await world.enter("ada", "bob")
    await world.run()
    await world.leave("ada")
    await world.run()
    world.edit(mode=after, **MANUAL)
    await world.enter("cyd")
    await world.run()
    found = {email.split("@")[0] for email in world.platform.listed}
    assert found - {"ada"} == listed - ({"bob"} if before == after == "subtractive" else set())
    assert ("ada" in found) is (before == "additive" and after == "additive")


async def test_an_entry_taken_out_of_the_file_stops_the_sync_and_keeps_what_it_knew(world_of):
    """Nothing is sent; put back, it goes on."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    rules = world.rules
    from msgspec.structs import replace

    world.rules = replace(rules, destinations=())
    run = await world.run()
    assert (run.status, run.reason, world.platform.listed) == (
        "skipped",
        "destination_disabled",
        {"ada@example.com": None},
    )
    world.rules = rules
    await world.enter("bob")
    assert counters(await world.run()).added == 1
