"""What the SQLite inbox does when the disk, a stranger or a bad page is in its way."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from inbox_frames import ALL, arrival, noise, texts

from gateway.core.errors import StoreError
from gateway.core.events import Place
from gateway.store.sqlite.build import driver

pytestmark = pytest.mark.anyio


async def test_a_full_disk_refuses_the_whole_group_and_recovers(stores):
    """No arrival of a group that does not fit is kept or answered; once there is room, the next is."""
    writer, reader = stores.inbox_writer(), stores.inbox_reader()
    await writer.put(arrival("before"), 1)
    connection = writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 2}")
    ended = await asyncio.gather(*(writer.put(arrival(noise(90_000 + n)), 1) for n in range(4)), return_exceptions=True)
    assert [type(end) for end in ended] == [StoreError] * 4
    assert "full" in str(ended[0])
    assert texts(reader.read((0, 0), **ALL)) == ["before"]
    connection.execute("PRAGMA max_page_count=1000000")
    await writer.put(arrival("after"), 1)
    assert texts(reader.read((0, 0), **ALL)) == ["before", "after"]


async def test_a_locked_file_refuses_and_recovers(stores, tmp_path, monkeypatch):
    """While a stranger holds the write lock, senders are told to come again; then all goes on."""
    monkeypatch.setattr("gateway.store.sqlite.connection.BUSY_WAIT_MS", 20)
    writer, reader = stores.inbox_writer(), stores.inbox_reader()
    await writer.put(arrival("before"), 1)
    stranger = driver.connect(tmp_path / "inbox-0-000001.db", isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await writer.put(arrival("during"), 1)
    stranger.execute("ROLLBACK")
    stranger.close()
    await writer.put(arrival("after"), 1)
    assert texts(reader.read((0, 0), **ALL)) == ["before", "after"]


async def test_a_read_only_database_refuses_and_recovers(stores):
    """A database that may not be written refuses with its name, and is written again when it may."""
    writer = stores.inbox_writer()
    await writer.put(arrival("before"), 1)
    writer._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(StoreError, match=r"inbox-0-000001\.db"):
        await writer.put(arrival("during"), 1)
    await writer.put(arrival("after"), 1)  # the file was opened anew
    assert texts(stores.inbox_reader().read((0, 0), **ALL)) == ["before", "after"]


async def test_a_frame_with_wrong_bytes_is_named_and_passed(stores, tmp_path):
    """A frame that fails its checksum comes in its place without a body; those behind it are whole."""
    writer = stores.inbox_writer()
    for text in ("one", "two", "three"):
        await writer.put(arrival(text), 1)
    await writer.close()
    damaged = driver.connect(tmp_path / "inbox-0-000001.db")
    damaged.execute("UPDATE frame SET body = x'ff00' WHERE id = 2")
    damaged.commit()
    damaged.close()
    reader = stores.inbox_reader()
    frames = reader.read((0, 0), **ALL)
    assert [(frame.id, bool(frame.body), frame.problem) for frame in frames] == [
        (1, True, ""),
        (2, False, "frame 2 of inbox file 1 fails its checksum"),
        (3, True, ""),
    ]
    assert reader.item(Place(1, 2, 0)) is None


async def test_a_damaged_page_is_passed(stores, tmp_path):
    """A frame whose pages SQLite itself refuses is named too, and the frames behind it are read."""
    writer = stores.inbox_writer()
    for number in range(6):
        await writer.put(arrival(noise(100_000 + number)), 1)
    third = writer._connection.execute("SELECT body FROM frame WHERE id = 3").fetchone()[0]
    await writer.close()
    path = tmp_path / "inbox-0-000001.db"
    pages = bytearray(path.read_bytes())
    # Frame 3's overflow chain: cut it by pointing one of its pages nowhere.
    hit = bytes(pages).index(third[40_000:42_000]) // 16384 * 16384
    pages[hit : hit + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(pages))
    reader = stores.inbox_reader()
    read, position = [], (0, 0)
    while frames := reader.read(position, **ALL):
        read += frames
        position = (frames[-1].inbox, frames[-1].id)
    assert [frame.id for frame in read] == [1, 2, 3, 4, 5, 6]
    assert [bool(frame.body) for frame in read] == [True, True, False, True, True, True]
    assert "inbox file 1" in read[2].problem


async def test_a_file_from_a_newer_gateway_is_refused(stores, tmp_path):
    """A migration we do not know means a newer version wrote the file: the error says so."""
    writer = stores.inbox_writer()
    await writer.close()
    newer = driver.connect(tmp_path / "inbox-0-000001.db")
    newer.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('gateway.inbox', '099 later', '')"
    )
    newer.commit()
    newer.close()
    with pytest.raises(StoreError, match="written by a newer gateway"):
        stores.inbox_writer()
    with pytest.raises(StoreError, match="written by a newer gateway"):
        stores.inbox_reader().read((0, 0), **ALL)


async def test_a_folder_that_cannot_be_written_is_named(stores, tmp_path):
    """Without the folder there is a StoreError with its name, not a traceback."""
    stores.folder = tmp_path / "missing"
    with pytest.raises(StoreError, match="missing"):
        stores.inbox_writer()


SMALL_DISK_CHILD = """
import asyncio, resource, sys
from pathlib import Path
from inbox_frames import ALL, arrival, noise, texts
from gateway.core.errors import StoreError
from gateway.store import open_inbox_reader, open_inbox_writer

async def main():
    folder = Path(sys.argv[1])
    writer = open_inbox_writer(folder)
    await writer.put(arrival("before"), 1)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, unlimited[1]))
    kept, refused = ["before"], []
    for n in range(40):
        text = f"{n}:" + noise(20_000)
        try:
            await writer.put(arrival(text), 1)
            kept.append(text)
        except StoreError:
            refused.append(text)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    await writer.put(arrival("after"), 1)
    await writer.close()
    reader = open_inbox_reader(folder)
    found = texts(reader.read((0, 0), **ALL))
    reader.close()
    assert found == [*kept, "after"], (len(found), len(kept))
    assert refused

asyncio.run(main())
"""


def test_a_write_that_fails_half_way_is_taken_back(tmp_path):
    """When the system stops a file's growth in the middle of a write, what was answered is kept and nothing else; then on."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK_CHILD, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
