"""A process that is killed at any moment loses nothing that it was told is kept, and leaves nothing half."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from inbox_frames import ALL, texts

from gateway.store import open_inbox_reader, open_inbox_writer, open_state, open_state_reader
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.places import inbox_files, inbox_path

pytestmark = pytest.mark.anyio

INBOX_CHILD = """
import asyncio, os, sys
from pathlib import Path
from inbox_frames import arrival
from gateway.store import open_inbox_writer

async def send(writer, lane):
    n = 0
    while True:
        text = f"{os.getpid()}-{lane}-{n}:" + "x" * 3000
        await writer.put(arrival(text), 1)
        os.write(1, (text.split(":")[0] + "\\n").encode())
        n += 1

async def main():
    writer = open_inbox_writer(Path(sys.argv[1]), file_bytes_max=400_000)
    await asyncio.gather(*(send(writer, lane) for lane in range(8)))

asyncio.run(main())
"""

STATE_CHILD = """
import asyncio, os, sys
from pathlib import Path
from owed import NOW_US, claim_ids, owed, settle, trace
from gateway.store import open_state

async def main():
    state = open_state(Path(sys.argv[1]))
    frame = (await state.read(lambda view: view.cursor()))[1]
    await state.write(lambda tx: tx.release_expired(now_us=1 << 60))
    while True:
        frame += 1
        def decide(tx, frame=frame):
            first = tx.add_deliveries([owed(member=n) for n in range(1, 21)], now_us=frame)
            rows = [trace(frame * 100 + n, frame=frame, ordinal=n, first_delivery=first, deliveries=1) for n in range(20)]
            tx.add_traces(rows, now_us=frame)
            tx.move_cursor(1, frame)
        await asyncio.gather(state.write(decide), state.write(lambda tx: settle(tx, claim_ids(tx, events_max=13))))
        os.write(1, f"{frame}\\n".encode())

asyncio.run(main())
"""


def run_and_kill(code, folder, lines):
    """Run the child until it has told so many lines, kill it at that moment, return all it told."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    child = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, env=environment)
    told = []
    with child.stdout:
        for line in child.stdout:
            told.append(line.decode().strip())
            if len(told) == lines:
                child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    return told


def assert_whole(path):
    connection = driver.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def test_killed_ingest_keeps_all_it_answered(tmp_path):
    """After several kills at random moments, across rotations, every answered arrival is there once, in whole frames."""
    answered = []
    for turn in range(4):
        answered += run_and_kill(INBOX_CHILD, tmp_path, random.Random(turn).randint(20, 300))
    await open_inbox_writer(tmp_path).close()
    for inbox in inbox_files(tmp_path):
        assert_whole(inbox_path(tmp_path, inbox))
    reader = open_inbox_reader(tmp_path)
    frames = reader.read((0, 0), **ALL)
    position = (frames[-1].inbox, frames[-1].id)
    while more := reader.read(position, **ALL):
        frames += more
        position = (frames[-1].inbox, frames[-1].id)
    reader.close()
    kept = [text.split(":")[0] for text in texts(frames)]
    assert [frame for frame in frames if frame.problem] == []
    assert len(kept) == len(set(kept))
    assert set(answered) <= set(kept)


async def test_killed_engine_decides_exactly_once(tmp_path):
    """After several kills, cursor, traces and deliveries agree: each block is there whole or not at all."""
    for turn in range(4):
        last = int(run_and_kill(STATE_CHILD, tmp_path, random.Random(turn).randint(5, 60))[-1])
    state = open_state(tmp_path)
    await state.close()
    assert_whole(tmp_path / "state.db")
    reader = open_state_reader(tmp_path)
    frame = reader.read(lambda view: view.cursor())[1]
    traces = reader.read(lambda view: view.traces(limit=100_000))
    left = reader.read(lambda view: view.deliveries(limit=100_000))
    reader.close()
    assert frame >= last
    assert [(row.place.frame, row.place.ordinal) for row in reversed(traces)] == [
        (f, n) for f in range(1, frame + 1) for n in range(20)
    ]
    assert [row.first_delivery for row in reversed(traces)] == [
        1 + 20 * (f - 1) for f in range(1, frame + 1) for n in range(20)
    ]
    assert len({row.id for row in left}) == len(left)
    assert max(row.id for row in left) <= 20 * frame
