"""Backups: made while all runs, checked to the last byte, put back only where nothing is lost."""

import asyncio

import pytest
from inbox_frames import ALL, arrival, noise, texts

from gateway.core.errors import StoreError
from gateway.store import backup, restore, verify
from gateway.store.sqlite.build import driver

pytestmark = pytest.mark.anyio


@pytest.fixture
async def running(stores):
    """A gateway that takes and decides while the test looks."""
    writer, reader, state = stores.inbox_writer(file_bytes_max=200_000), stores.inbox_reader(), stores.state()
    (stores.folder / "keys").mkdir()
    (stores.folder / "keys" / "admin.token").write_text("secret")
    stop = asyncio.Event()

    async def take():
        n = 0
        while not stop.is_set():
            await writer.put(arrival(f"{n}:" + noise(5000)), 1)
            n += 1

    async def decide():
        position = (0, 0)
        while not stop.is_set():
            for frame in reader.read(position, **ALL):
                position = (frame.inbox, frame.id)
            await state.write(lambda tx, position=position: tx.move_cursor(*position))

    tasks = [asyncio.create_task(take()), asyncio.create_task(decide())]
    while (await state.read(lambda view: view.cursor()))[0] < 2:
        await state.write(lambda tx: None)
    yield stores
    stop.set()
    await asyncio.gather(*tasks)


async def test_a_backup_made_while_running_can_be_restored(running, tmp_path_factory):
    """The copy verifies, holds all that was decided, keeps the other files, and opens as a data folder."""
    target, fresh = tmp_path_factory.mktemp("backup"), tmp_path_factory.mktemp("fresh")
    told = []
    manifest = await asyncio.to_thread(backup, running.folder, target, lambda done, total: told.append((done, total)))
    assert verify(target) == []
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == sum(file.bytes for file in manifest.files)
    assert restore(target, fresh) == manifest
    assert (fresh / "keys" / "admin.token").read_text() == "secret"
    assert not list(fresh.glob("*.tmp"))
    copy = type(running)(fresh)
    cursor = await copy.state().read(lambda view: view.cursor())
    await copy.inbox_writer().put(arrival("after"), 1)
    frames = copy.inbox_reader().read((0, 0), **ALL)
    assert [int(text.split(":")[0]) for text in texts(frames)[:-1]] == list(range(len(frames) - 1))
    assert texts(frames)[-1] == "after"
    assert cursor in [(frame.inbox, frame.id) for frame in frames[:-1]]
    await copy.close()


@pytest.fixture
async def made(stores, tmp_path_factory):
    """A small finished backup."""
    writer, state = stores.inbox_writer(), stores.state()
    await writer.put(arrival("one"), 1)
    await state.write(lambda tx: tx.move_cursor(1, 1))
    await writer.close()
    await state.close()
    target = tmp_path_factory.mktemp("backup")
    backup(stores.folder, target)
    return target


async def test_damage_is_named(made):
    """A changed byte, a missing file, a missing or broken manifest: each is told with its file."""
    assert verify(made) == []
    inbox = made / "inbox-0-000001.db"
    whole = inbox.read_bytes()
    inbox.write_bytes(whole[:-1] + b"!")
    assert verify(made) == [
        f"{inbox} is not the file that was backed up: its size or SHA-256 differs from the manifest."
    ]
    inbox.unlink()
    assert verify(made) == [f"{inbox} is missing."]
    with pytest.raises(StoreError, match="cannot be restored"):
        restore(made, made / "data")
    (made / "manifest.json").write_text('{"format": 1}')
    assert "is not a manifest" in verify(made)[0]
    (made / "manifest.json").unlink()
    assert "did not finish" in verify(made)[0]


async def test_a_cursor_beyond_the_inbox_is_named(stores, tmp_path_factory):
    """A state that has decided more than the inbox holds would skip events: it does not verify."""
    writer, state = stores.inbox_writer(), stores.state()
    await writer.put(arrival("one"), 1)
    await state.write(lambda tx: tx.move_cursor(1, 5))
    target = tmp_path_factory.mktemp("backup")
    backup(stores.folder, target)
    assert "decided up to frame 5 of inbox file 1, but the inbox ends at frame 1 of file 1" in verify(target)[0]


async def test_nothing_is_overwritten_unless_told(made, stores):
    """Restoring refuses a folder with something in it; when told, what was there lies aside."""
    with pytest.raises(StoreError, match="not empty"):
        restore(made, stores.folder)
    writer = stores.inbox_writer()
    with pytest.raises(StoreError, match="another process"):
        restore(made, stores.folder, replace=True)
    await writer.put(arrival("later"), 1)
    await writer.close()
    restore(made, stores.folder, replace=True)
    assert texts(stores.inbox_reader().read((0, 0), **ALL)) == ["one"]
    (aside,) = stores.folder.glob("replaced-*")
    old = driver.connect(aside / "inbox-0-000001.db")
    assert old.execute("SELECT count(*) FROM frame").fetchone() == (2,)
    old.close()


async def test_a_backup_wants_a_folder_of_its_own(made, stores, tmp_path):
    """An existing backup is not mixed with another, and a folder without a gateway is told."""
    with pytest.raises(StoreError, match="not empty"):
        backup(stores.folder, made)
    with pytest.raises(StoreError, match="Is this the data folder"):
        backup(tmp_path / "nothing", tmp_path / "target")
