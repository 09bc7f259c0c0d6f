"""What every store's inbox does: keeps before it answers, groups, rotates, is read in order, bounded."""

import asyncio

import pytest
from inbox_frames import ALL, arrival, noise, texts

from gateway.core.errors import StoreError
from gateway.core.events import Place
from gateway.store.sqlite.places import FILES_PER_WRITER

pytestmark = pytest.mark.anyio


async def test_what_was_put_is_read_in_order(stores):
    """Arrivals put one after the other come back as they were, with the number of their items."""
    writer, reader = stores.inbox_writer(), stores.inbox_reader()
    for text in ("one", "two", "three"):
        await writer.put(arrival(text), 1)
    frames = reader.read((0, 0), **ALL)
    assert texts(frames) == ["one", "two", "three"]
    assert [(frame.inbox, frame.id, frame.count, frame.problem) for frame in frames] == [
        (1, n, 1, "") for n in (1, 2, 3)
    ]
    assert reader.read((1, 2), **ALL) == frames[2:]
    assert reader.read((1, 3), **ALL) == []


async def test_arrivals_of_one_moment_share_commits(stores):
    """A thousand concurrent arrivals make far fewer frames, and none is lost or doubled."""
    writer, reader = stores.inbox_writer(), stores.inbox_reader()
    await asyncio.gather(*(writer.put(arrival(str(n)), 1) for n in range(1000)))
    frames = reader.read((0, 0), **ALL)
    assert sorted(texts(frames), key=int) == [str(n) for n in range(1000)]
    assert len(frames) <= 10
    assert sum(frame.count for frame in frames) == 1000
    assert writer.waiting_bytes == 0


async def test_a_sender_that_hangs_up_does_not_end_the_others(stores):
    """Cancelling one waiting arrival leaves those of its group answered."""
    writer, reader = stores.inbox_writer(), stores.inbox_reader()
    waiting = [asyncio.create_task(writer.put(arrival(str(n)), 1)) for n in range(20)]
    await asyncio.sleep(0)
    waiting[7].cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [n for n, end in enumerate(ended) if end is not None] == [7]
    assert len(texts(reader.read((0, 0), **ALL))) == 20


async def test_reading_is_bounded_by_frames_and_bytes(stores):
    """A read stops at its bounds but gives at least one frame."""
    writer, reader = stores.inbox_writer(), stores.inbox_reader()
    for n in range(5):
        await writer.put(arrival(str(n) * 1000), 1)
    assert len(reader.read((0, 0), frames_max=2, bytes_max=1 << 30)) == 2
    assert len(reader.read((0, 0), frames_max=100, bytes_max=2500)) == 2
    assert len(reader.read((0, 0), frames_max=100, bytes_max=1)) == 1


async def test_the_buffer_is_bounded(stores, tmp_path):
    """What would not fit into memory is refused at once; what fits is kept."""
    from gateway.store.sqlite.inbox_writer import SqliteInboxWriter

    writer = stores._keep(SqliteInboxWriter(tmp_path, buffer_bytes_max=10_000))
    body = arrival(noise(3000))
    ended = await asyncio.gather(*(writer.put(body, 1) for _ in range(10)), return_exceptions=True)
    assert [type(end) for end in ended] == [type(None)] * 3 + [StoreError] * 7
    assert len(texts(stores.inbox_reader().read((0, 0), **ALL))) == 3
    await writer.put(body, 1)


async def test_files_rotate_and_readers_move_on(stores):
    """With a small file bound, frames run over several files; a reader follows frame by frame."""
    writer, reader = stores.inbox_writer(file_bytes_max=60_000), stores.inbox_reader()
    sent = [f"{n}:" + noise(9000) for n in range(30)]
    position, read = (0, 0), []
    for text in sent:
        await writer.put(arrival(text), 1)
        for frame in reader.read(position, frames_max=1, bytes_max=1):
            read += texts([frame])
            position = (frame.inbox, frame.id)
    while frames := reader.read(position, frames_max=2, bytes_max=1 << 20):
        read += texts(frames)
        position = (frames[-1].inbox, frames[-1].id)
    assert read == sent
    assert position[0] > 3


async def test_one_read_runs_over_files(stores):
    """A read with room enough does not stop at a file's end."""
    writer, reader = stores.inbox_writer(file_bytes_max=60_000), stores.inbox_reader()
    for n in range(20):
        await writer.put(arrival(f"{n}:" + noise(9000)), 1)
    frames = reader.read((0, 0), **ALL)
    assert len(texts(frames)) == 20
    assert len({frame.inbox for frame in frames}) > 2
    assert reader.backlog((0, 0)) == (20, frames[0].received_us)
    assert reader.backlog((frames[12].inbox, frames[12].id)) == (7, frames[13].received_us)
    assert reader.backlog((frames[19].inbox, frames[19].id)) == (0, 0)


async def test_old_files_are_dropped_only_before_the_cursor(stores):
    """Dropping takes whole files that are sealed, read and old; their places are then no longer kept."""
    writer, reader = stores.inbox_writer(file_bytes_max=60_000), stores.inbox_reader()
    for n in range(20):
        await writer.put(arrival(f"{n}:" + noise(9000)), 1)
    frames = reader.read((0, 0), **ALL)
    last = frames[-1]
    assert reader.drop_before((1, 3), older_than_us=1 << 60) == 0
    assert reader.drop_before((last.inbox, last.id), older_than_us=0) == 0
    assert reader.item(Place(1, 2, 0)) == frames[1].body
    assert reader.drop_before((last.inbox, last.id), older_than_us=1 << 60) == last.inbox - 1
    assert reader.item(Place(1, 2, 0)) is None
    assert reader.item(Place(last.inbox, last.id, 0)) == last.body
    assert reader.read((0, 0), **ALL) == [frame for frame in frames if frame.inbox == last.inbox]


async def test_a_reopened_inbox_goes_on_behind_what_is_there(stores):
    """Closing and opening loses nothing and gives no place twice."""
    writer = stores.inbox_writer()
    await writer.put(arrival("one"), 1)
    await writer.close()
    with pytest.raises(StoreError, match="closing"):
        await writer.put(arrival("late"), 1)
    writer = stores.inbox_writer()
    await writer.put(arrival("two"), 1)
    frames = stores.inbox_reader().read((0, 0), **ALL)
    assert [(frame.id, texts([frame])) for frame in frames] == [(1, ["one"]), (2, ["two"])]


async def test_close_keeps_what_was_handed_over(stores):
    """Arrivals that wait when `close` begins are committed and answered."""
    writer, reader = stores.inbox_writer(), stores.inbox_reader()
    waiting = [asyncio.create_task(writer.put(arrival(str(n)), 1)) for n in range(50)]
    await asyncio.sleep(0)
    await writer.close()
    await asyncio.gather(*waiting)
    assert len(texts(reader.read((0, 0), **ALL))) == 50


async def test_several_writers_are_merged_by_arrival(stores):
    """Each ingest process has its own files and cursor; together they are read as they came."""
    first, second, reader = stores.inbox_writer(0), stores.inbox_writer(3), stores.inbox_reader()
    for n in range(6):
        await (first if n % 2 == 0 else second).put(arrival(str(n)), 1)
    assert reader.writers() == [0, 3]
    frames = reader.read_merged({}, **ALL)
    assert texts(frames) == [str(n) for n in range(6)]
    assert [frame.inbox for frame in frames[:2]] == [1, 3 * FILES_PER_WRITER + 1]
    rest = reader.read_merged({0: (1, 2), 3: (3 * FILES_PER_WRITER + 1, 1)}, **ALL)
    assert texts(rest) == ["3", "4", "5"]
    assert len(reader.read_merged({}, frames_max=4, bytes_max=1 << 20)) == 4


async def test_a_second_writer_is_refused_by_name(stores):
    """Only one process writes an inbox; the error says which file and who holds it."""
    stores.inbox_writer()
    with pytest.raises(StoreError, match=r"inbox-0 is written by another process \(pid \d+\)"):
        stores.inbox_writer()


async def test_a_nearly_full_disk_is_told(stores):
    """Below the named minimum of free space nothing is accepted, with a wait for the sender."""
    writer = stores.inbox_writer(disk_free_bytes_min=1 << 62)
    with pytest.raises(StoreError, match="nearly full") as caught:
        await writer.put(arrival("one"), 1)
    assert caught.value.retry_after_s == 60


async def test_the_reader_is_woken_by_a_commit(stores, tmp_path):
    """The signal rings after a commit, long before its time-out, and not without one."""
    from gateway.store import open_inbox_signal

    signal, writer = open_inbox_signal(tmp_path), stores.inbox_writer()
    try:
        assert signal.listens
        assert await signal.wait(0.001) is False
        await writer.put(arrival("one"), 1)
        assert await signal.wait(30) is True
    finally:
        signal.close()
    await writer.put(arrival("two"), 1)


async def test_the_log_stays_small_under_load(stores, tmp_path):
    """Checkpoints beside the commits keep the write-ahead log far below what went through it."""
    writer, log = stores.inbox_writer(), tmp_path / "inbox-0-000001.db-wal"
    body, largest = arrival(noise(100_000)), 0
    for _ in range(60):
        await asyncio.gather(*(writer.put(body, 1) for _ in range(20)))
        largest = max(largest, log.stat().st_size)
    assert largest < 48 * 1024 * 1024, "120 MB went through"
