"""`kill -9` in the middle of deciding: at the next start everything is decided, and nothing twice."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from engine_harness import Engine
from rulebooks import audience_body

pytestmark = pytest.mark.anyio
EVENTS = 300
CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from rulebooks import rulebook
from gateway.decisions.worker import DecisionWorker
from gateway.store import open_inbox_reader, open_state

async def main(folder):
    rules = rulebook()
    worker = DecisionWorker(
        inbox=open_inbox_reader(folder), state=open_state(folder), rulebook=lambda: rules, wait=asyncio.sleep,
        clock=lambda: 1_795_000_000_000_000, block_items=10,
    )
    while True:
        print(await worker.step(), flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_an_engine_that_is_killed_decides_everything_once(engine: Engine) -> None:
    """A real process is killed wherever it stands; the next one finishes."""
    for start in range(0, EVENTS, 10):
        await engine.keep(*(audience_body(f"u-{n}", messageId=f"m-{n}") for n in range(start, start + 10)))
    await engine.state.close()
    command = [sys.executable, "-c", CHILD, str(engine.folder), str(Path(__file__).parents[1])]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    for _block in range(3):
        assert await child.stdout.readline() == b"10\n"
    child.kill()
    await child.wait()
    await engine.restart()
    left = await engine.decide()
    assert left <= EVENTS - 30
    deliveries = await engine.deliveries(limit=EVENTS * 2)
    assert len({one.member for one in deliveries}) == len(deliveries) == EVENTS
    audience = await engine.state.read(lambda view: view.audience("spa", "aud_vip"))
    assert audience.members == EVENTS
    assert [trace.duplicates for trace in await engine.traces()] == [0] * EVENTS
