"""What the SQLite state does when the disk or a stranger is in its way: nothing half, and on again afterwards."""

import asyncio

import pytest
from owed import NOW_US, owed

from gateway.core.errors import StoreError
from gateway.store import open_state_reader
from gateway.store.sqlite.build import driver

pytestmark = pytest.mark.anyio


def note(key, size=1):
    return lambda tx: tx.put_note(key, b"x" * size)


async def test_a_full_disk_refuses_works_and_recovers(state):
    """Works that do not fit fail with StoreError, alone or with their group; later ones are kept."""
    await state.write(note("before"))
    pages = state._connection.execute("PRAGMA page_count").fetchone()[0]
    state._connection.execute(f"PRAGMA max_page_count={pages + 3}")
    ended = await asyncio.gather(*(state.write(note(f"big {n}", 200_000)) for n in range(5)), return_exceptions=True)
    assert [type(end) for end in ended] == [StoreError] * 5
    state._connection.execute("PRAGMA max_page_count=1000000")
    await state.write(note("after"))
    assert await state.read(lambda view: [row[0] for row in view._rows("SELECT key FROM note ORDER BY key")]) == [
        "after",
        "before",
    ]


async def test_a_locked_file_refuses_and_recovers(state, tmp_path):
    """While a stranger holds the write lock works wait, then fail; afterwards they are kept."""
    state._connection.execute("PRAGMA busy_timeout=20")
    stranger = driver.connect(tmp_path / "state.db", isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    ended = await asyncio.gather(*(state.write(note(str(n))) for n in range(3)), return_exceptions=True)
    assert [type(end) for end in ended] == [StoreError] * 3
    assert "locked" in str(ended[0])
    stranger.execute("ROLLBACK")
    stranger.close()
    await state.write(note("after"))
    assert await state.read(lambda view: (view.note("0"), view.note("after"))) == (None, b"x")


async def test_what_was_remembered_is_forgotten_when_a_commit_fails(state):
    """Ids given in a transaction that was lost are given again, and mean what the file says."""
    state._connection.execute("PRAGMA busy_timeout=20")

    def lost(tx):
        tx.intern_members([("s", "user_id:1")])
        tx.intern_audiences([("s", "vip", "k")], now_us=1)
        tx.add_deliveries([owed(lane="lost")], now_us=1)
        tx._connection.execute("ROLLBACK")

    with pytest.raises(StoreError):
        await state.write(lost)

    def kept(tx):
        return (
            tx.intern_members([("s", "user_id:2")]),
            tx.intern_audiences([("t", "vip", "k")], now_us=1)["t", "vip"].id,
            tx.add_deliveries([owed(lane="ads")], now_us=1),
        )

    assert await state.write(kept) == ({("s", "user_id:2"): 1}, 1, 1)
    assert [row.lane for row in await state.read(lambda view: view.lanes())] == ["ads"]


async def test_a_cancelled_caller_disturbs_nobody(state):
    """Cancelling one caller leaves its work and all others to be kept."""
    waiting = [asyncio.create_task(state.write(note(str(n)))) for n in range(10)]
    await asyncio.sleep(0)
    waiting[3].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await state.write(note("after"))
    assert await state.read(lambda view: [view.note(str(n)) for n in range(10)]) == [b"x"] * 10


async def test_commands_read_beside_the_engine(state, tmp_path):
    """A reader of another process sees what is committed, and says so when there is nothing to read."""
    await state.write(note("a"))
    reader = open_state_reader(tmp_path)
    assert reader.read(lambda view: view.note("a")) == b"x"
    await state.write(lambda tx: tx.add_deliveries([owed(lane="new lane")], now_us=NOW_US))
    assert [row.lane for row in reader.read(lambda view: view.deliveries())] == ["new lane"]
    reader.close()
    with pytest.raises(StoreError, match="Is this the data folder"):
        open_state_reader(tmp_path / "elsewhere")
