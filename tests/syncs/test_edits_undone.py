"""A mapping that is edited, or taken out of the files, and is soon what it was: the list holds whoever came and went meanwhile."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from sync_world import World

from gateway.core.fql import compile_trigger
from gateway.core.rulebook import Rulebook

pytestmark = pytest.mark.anyio


def without(rules: Rulebook) -> Rulebook:
    """The file is gone."""
    return replace(rules, destinations=())


def with_other_trigger(rules: Rulebook) -> Rulebook:
    """Nobody enters by this one."""
    (file,) = rules.destinations
    (mapping,) = file.mappings
    other = replace(mapping, trigger=compile_trigger('event = "Something Else"'), version="other")
    return replace(rules, destinations=(replace(file, mappings=(other,)),))


async def put_in_force(world: World, rules: Rulebook) -> None:
    """As the engine does it when the files have changed."""
    world.rules = rules
    world.syncs.rulebook_changed()


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("edit", [without, with_other_trigger])
async def test_what_comes_between_two_edits_is_made_up_for(world_of, edit, looks):
    """However soon the second one is there: the syncs need not have had a look, nor a run, in between."""
    world = world_of(schedule={"manual": True})
    await world.enter("ada", "bob")
    await world.run()
    before = world.rules
    await put_in_force(world, edit(before))
    if looks:
        await world.syncs.step()
    await world.enter("cyd")
    await world.leave("ada")
    if looks:
        await world.syncs.step()
    await put_in_force(world, before)
    while await world.syncs.step():
        pass
    await world.run()
    assert set(world.platform.listed) == {"bob@example.com", "cyd@example.com"}


async def test_gone_once_more_while_its_sync_comes_back_it_begins_at_the_start(world_of, monkeypatch):
    """A member who had been looked at leaves in that moment."""
    monkeypatch.setattr("gateway.syncs.file_entries.LEFT_RECORDS", 1)
    world = world_of(schedule={"manual": True})
    await world.enter("ada", "bob", "cyd")
    await world.run()
    before = world.rules
    await put_in_force(world, without(before))
    await world.syncs.step()
    await put_in_force(world, before)
    await world.syncs.step()
    await put_in_force(world, without(before))
    await world.leave("ada")
    await put_in_force(world, before)
    while await world.syncs.step():
        pass
    await world.run()
    assert set(world.platform.listed) == {"bob@example.com", "cyd@example.com"}
