"""A data folder of an earlier version: what later migrations make of the rows that were there."""

import pytest

from gateway.store import backup, restore, verify
from gateway.store.sqlite import schema
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.state import STATE_FILE

pytestmark = pytest.mark.anyio

FIRST = ("001 state", "002 syncs", "003 attempts have warnings")
ORPHANED = (
    b'{"orphans":[{"identity":"aa01","fingerprint":"aa01","payload":"e30="},{"identity":"aa02","fingerprint":"aa02"}]}'
)
RECORD = "INSERT INTO record VALUES (1, ?, 0, 1, 1, 5, 0, x'', x'', x'bb', x'', x'', x'cc', '', ?, 5, 0)"


def earlier_state(folder):
    """`state.db` as the first migrations left it, with a held run, a queued one, and members of two audiences."""
    steps = schema.state_migrations.steps
    first = schema.Migrations(schema.state_migrations.name, {name: steps[name] for name in FIRST})
    connection = driver.connect(folder / STATE_FILE, isolation_level=None)
    first.apply(connection)
    connection.execute("INSERT INTO text (id, text) VALUES (1, 'lister/all'), (2, 'shop')")
    connection.execute(
        "INSERT INTO audience (id, space, name, key, first_us) VALUES (1, 2, 'vip', 'vip', 1), (2, 2, 'b', 'b', 1)"
    )
    connection.execute("INSERT INTO sync (id, mapping, audience, created_us, updated_us) VALUES (1, 1, 1, 1, 1)")
    connection.execute(RECORD, (7, ORPHANED))
    connection.execute(RECORD, (8, b""))
    for member, arrived_us in ((7, 70), (8, 90)):
        connection.execute("INSERT INTO membership VALUES (1, ?, 1, 5, ?, 5, 0)", (member, arrived_us))
    for number, status in ((1, "held"), (2, "queued")):
        connection.execute(
            "INSERT INTO run VALUES (?, 1, 'diff', 'manual', ?, 0, 0, 0, 1, 1, 0, 0, '', '', '', x'', x'')",
            (number, status),
        )
    connection.close()


async def test_orphans_are_found_and_audiences_know_their_last_event(stores):
    """And a held run of before lets another one begin beside it."""
    earlier_state(stores.folder)
    state = stores.state()
    found = await state.read(lambda view: [row.member for row in view.claimants(1, [bytes.fromhex("aa02")])])
    audiences = await state.read(lambda view: [one.last_event_us for one in view.audiences()])
    assert (found, audiences) == ([7], [90, 0])
    held, running = await state.read(lambda view: (view.held_run(1), view.running_run(1)))
    assert (held.id, running) == (1, None)
    assert [run.id for run in await state.read(lambda view: view.open_runs())] == [1, 2]


async def test_a_backup_of_an_earlier_version_is_made_and_restored_as_it_is(stores, tmp_path_factory):
    """What was copied before an upgrade is good after it; the first start of the restored folder brings it up to date."""
    earlier_state(stores.folder)
    target, fresh = tmp_path_factory.mktemp("backup"), tmp_path_factory.mktemp("fresh")
    assert backup(stores.folder, target).files[0].migrations == FIRST
    assert verify(target) == []
    restore(target, fresh)
    state = type(stores)(fresh).state()
    assert [run.id for run in await state.read(lambda view: view.open_runs())] == [1, 2]
    await state.close()
