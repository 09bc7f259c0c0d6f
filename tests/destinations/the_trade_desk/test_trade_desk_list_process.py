"""Lists written in a process of their own: the same file, an end with its parent's patience, no text of its faults."""

import asyncio

import pytest
from trade_desk_cases import PortableSnapshot, people, performed, run_of, snapshot

from gateway.core.outcomes import Unreachable
from gateway.destinations.base import Batch, Context
from gateway.destinations.rehearsal import FreshNotes
from gateway.destinations.the_trade_desk import list_process
from gateway.destinations.the_trade_desk.lines import HASHED
from gateway.destinations.the_trade_desk.list_process import Asked, ListError, list_folder, write_snapshot
from gateway.destinations.the_trade_desk.perform import THE_TRADE_DESK

pytestmark = pytest.mark.anyio


async def test_a_process_writes_what_a_thread_writes(tmp_path):
    """Mode and external id come from the first member where they are not given."""
    (_, first), *rest = people(50)
    rows = [("user_id:0", {**first, "external_id": "cc9b84o"}), *rest]
    here = await write_snapshot(Asked(snapshot=snapshot(rows), pii_type="", path=str(tmp_path / "here")))
    there = await write_snapshot(Asked(snapshot=PortableSnapshot(rows), pii_type="", path=str(tmp_path / "there")))
    assert here == there
    assert (here.pii_type, here.external_id, here.file.distinct) == (HASHED, "cc9b84o", 50)
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


async def test_a_fault_in_the_process_is_told_without_its_text(tmp_path, capfd):
    """Its traceback may hold a row, so nobody sees it; the run is tried again."""
    broken = PortableSnapshot([], broken=True)
    with pytest.raises(ListError) as caught:
        await write_snapshot(Asked(snapshot=broken, pii_type=HASHED, path=str(tmp_path / "list")))
    assert "canary" not in str(caught.value) + "".join(capfd.readouterr())
    owed = run_of(external_id="cc9b84o")
    batch = Batch(action="syncAudience", settings={}, owed=(owed,), corrections=frozenset())
    context = Context(http=None, notes=FreshNotes(), now_us=0, snapshot=broken)
    done = await THE_TRADE_DESK.perform(batch, context)
    assert done.outcomes == (Unreachable(reason="The list could not be written (ListError).", sent=False),)


async def test_cancelling_ends_the_process(tmp_path, monkeypatch):
    """A lane that stops waits for nobody."""
    started = []
    original = asyncio.create_subprocess_exec

    async def noted(*words, **options):
        started.append(await original(*words, **options))
        return started[0]

    monkeypatch.setattr(list_process.asyncio, "create_subprocess_exec", noted)
    slow = PortableSnapshot([], slow_s=600)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await write_snapshot(Asked(snapshot=slow, pii_type=HASHED, path=str(tmp_path / "list")))
    assert started[0].returncode is not None


async def test_a_run_leaves_no_file_behind(tmp_path, monkeypatch):
    """Whatever it came to; only we could read what lay there. A snapshot says where; else it is the system's place."""
    monkeypatch.setattr(list_process.tempfile, "tempdir", str(tmp_path))
    snapshot = PortableSnapshot([])
    snapshot.spool = tmp_path / "data/spool"
    with list_folder(snapshot) as folder:
        assert folder.parent == snapshot.spool
        assert folder.stat().st_mode & 0o077 == 0
    await performed(None, {}, run_of(external_id="a"), people(3))
    assert [str(one.relative_to(tmp_path)) for one in sorted(tmp_path.rglob("*"))] == ["data", "data/spool"]
