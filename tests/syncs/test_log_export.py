"""The sync log as files: columns, both formats, by run and by time; the export folder, crashes, and retention that waits."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest
from ordering import NAME, orders
from sync_world import ACCEPT, DAY, HOUR, World

from gateway.admin.answers import FlatLine
from gateway.core.outcomes import Refused
from gateway.syncs.keeping import tidy_syncs
from gateway.syncs.log_export import LogExporter
from gateway.syncs.log_lines import COLUMNS, LogLines, encoder

pytestmark = pytest.mark.anyio

FORMULA = "=HYPERLINK(1)"


async def refused_run(world: World) -> int:
    await world.enter("ada", "bob")
    answer = Refused(reason=FORMULA)
    run = await world.run(lambda _operation, payload: answer if payload["email"].startswith("ada") else ACCEPT)
    return run.id


async def collected(pieces) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_lines_have_every_column_in_both_formats(world_of):
    """JSON lines and CSV say the same; what a spreadsheet would run stands behind an apostrophe."""
    world = world_of()
    run = await refused_run(world)
    lines = await world.state.read(lambda view: [LogLines(view).line(row) for row in view.row_results(run=run)])
    assert [tuple(line) for line in lines] == [COLUMNS] * 2
    by_status = {line["status"]: line for line in lines}
    assert set(by_status) == {"accepted", "rejected"}
    assert by_status["rejected"]["message"] == FORMULA
    assert by_status["accepted"]["sync_id"] == NAME
    assert by_status["accepted"]["fields"] == "email,name"
    assert by_status["accepted"]["run_started_at"] == "2026-11-18T12:00:01.000+00:00"
    order = orders(world)
    text = (await collected(order.exported_run(run, "ndjson"))).decode()
    assert [json.loads(line) for line in text.splitlines()] == lines
    assert msgspec.convert(json.loads(text.splitlines()[0]), FlatLine)
    table = list(csv.DictReader(io.StringIO((await collected(order.exported_run(run, "csv"))).decode())))
    assert tuple(table[0]) == COLUMNS
    assert {row["status"]: row["message"] for row in table} == {"accepted": "", "rejected": f"'{FORMULA}"}


@pytest.mark.parametrize("beginning", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_begins_a_formula(beginning):
    """Whatever a spreadsheet takes for one."""
    line = {**dict.fromkeys(COLUMNS, ""), "message": f"{beginning}1+1"}
    _head, encode = encoder("csv")
    (row,) = csv.reader(io.StringIO(encode([line]).decode(), newline=""))
    assert row[COLUMNS.index("message")] == f"'{beginning}1+1"


async def test_a_log_of_a_time_goes_over_runs_in_pages(world_of):
    """Half open; pages meet without a gap."""
    world = world_of()
    starts = []
    for number in range(3):
        await world.enter(*(f"u{number}-{at}" for at in range(4)))
        starts.append(world.now_us)
        await world.run()
        world.now_us += HOUR
    order = orders(world)
    seen, place = [], (0, 0)
    while place is not None:
        lines, place = await order.sync_log(NAME, since_us=starts[1], until_us=starts[2], after=place, limit=3)
        seen += [(line["run_id"], line["seq"]) for line in lines]
    assert seen == [(2, at) for at in range(1, 5)]
    every = await collected(order.exported_sync(NAME, "ndjson", since_us=0, until_us=2**62))
    assert len(every.splitlines()) == 12


async def test_each_run_is_written_once_and_whole(world_of, tmp_path):
    """A run that has not ended waits; one that ended behind it does not."""
    world = world_of(guards={})
    folder = tmp_path / "out" / "logs"
    exporter = LogExporter(state=world.state, folder=folder, form="ndjson", every_s=1.0)
    assert await exporter.round() == 0
    users = [f"u{number}" for number in range(200)]
    await world.enter(*users)
    await world.run()
    await world.leave(*users[:150])
    held = await world.run()
    assert await exporter.round() == 1
    await orders(world).approve(held.id, by="ada")
    await world.work()
    assert (await exporter.round(), await exporter.round()) == (1, 0)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["sync-log-000000000001.ndjson", "sync-log-000000000002.ndjson"]
    assert [len((folder / name).read_text().splitlines()) for name in names] == [200, 150]


async def test_a_crash_between_file_and_note_writes_nothing_twice(world_of, tmp_path):
    """The file that is there stays; one that was begun only is written anew."""
    world = world_of()
    await refused_run(world)
    exporter = LogExporter(state=world.state, folder=tmp_path / "x", form="csv", every_s=1.0)
    unfinished = tmp_path / "x" / ".sync-log-000000000001.csv.part"
    unfinished.parent.mkdir()
    unfinished.write_bytes(b"half a li")
    await exporter.round()
    path = tmp_path / "x" / "sync-log-000000000001.csv"
    assert (len(path.read_text().splitlines()), unfinished.exists()) == (3, False)
    await world.state.write(lambda tx: (tx._run("DELETE FROM log_export"), tx._run("DELETE FROM note")))
    before = path.stat()
    await exporter.round()
    assert path.stat() == before
    assert await world.state.read(lambda view: view.runs_to_export()) == []


async def test_retention_waits_for_the_export_where_there_is_one(world_of, tmp_path):
    """Without an export folder nothing waits."""
    world = world_of(log={"days": 1})
    run = await refused_run(world)
    world.now_us += 3 * DAY

    async def tidied(*, only_exported: bool) -> int:
        await world.state.write(lambda tx: tidy_syncs(tx, world.now_us, only_exported=only_exported))
        return len(await world.state.read(lambda view: view.row_results(run=run)))

    assert await tidied(only_exported=True) == 2
    await LogExporter(state=world.state, folder=tmp_path, form="csv", every_s=1.0).round()
    assert await tidied(only_exported=True) == 0
    await world.enter("cyd")
    run = (await world.run()).id
    world.now_us += 3 * DAY
    assert await tidied(only_exported=False) == 0
