"""What the syncs ask of the store while nothing happens and while a run goes on grows with neither history nor backlog."""

from __future__ import annotations

from typing import Any

import pytest
from ordering import NAME, orders
from sync_world import ACCEPT, FAIL, REFUSE, S

from gateway.store.sqlite.build import driver
from gateway.store.sqlite.session import Session
from gateway.store.sqlite.state import STATE_FILE
from gateway.syncs.keeping import tidy_syncs

pytestmark = pytest.mark.anyio

GROWS = ("run", "record", "planned", "delivery", "row_result", "listed", "membership", "member", "attempt", "orphan")
"""Tables with a row a person, an operation or a run: whoever looks must not go through all of one."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Every statement that is given to a store from now on, with values that fit it."""
    found: dict[str, Any] = {}

    def listening(name: str) -> Any:
        real = getattr(Session, name)

        def call(self: Session, sql: str, values: Any = ()) -> Any:
            kept = list(values)
            found[sql] = kept[0] if name == "_run_many" and kept else kept
            return real(self, sql, kept)

        return call

    for name in ("_rows", "_row", "_run", "_run_many"):
        monkeypatch.setattr(Session, name, listening(name))
    return found


def plans(folder: Any, statements: dict[str, Any]) -> dict[str, list[str]]:
    """How each statement is carried out, step by step."""
    connection = driver.connect(folder / STATE_FILE)
    found = {}
    for sql, values in statements.items():
        if not values and "?" in sql:  # many of nothing
            continue
        found[sql] = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    connection.close()
    return found


def scans(folder: Any, statements: dict[str, Any]) -> list[str]:
    """Statements that go through a whole table of those that grow."""
    return [
        sql
        for sql, plan in plans(folder, statements).items()
        if any(step == f"SCAN {table}" for step in plan for table in GROWS)
    ]


def record_reads(folder: Any, statements: dict[str, Any]) -> int:
    """How often all records of a sync are gone through."""
    steps = [step for plan in plans(folder, statements).values() for step in plan]
    return sum(step in (f"SEARCH {name} USING PRIMARY KEY (sync=?)" for name in ("record", "mine")) for step in steps)


async def test_no_look_and_no_step_goes_through_a_whole_table(world_of, asked):
    """Ticks, looks, a run of each operation, its orders and what is tidied up after it."""
    world = world_of(alerts={"freshness": "2h", "size_change": 30, "long_run": "median"})
    await world.enter("ada", "bob", "cyd")
    await world.run()
    await world.leave("ada")
    await world.enter("bob", ltv=5)
    await world.delete("cyd")
    await world.run()
    for _ in range(3):
        world.now_us += 11 * S
        await world.work()
    await world.state.write(lambda tx: tidy_syncs(tx, world.now_us))
    await world.state.read(lambda view: (view.runs(sync=1), view.planned_left(1), view.deliveries_of_run(1, [1])))
    assert len(asked) > 50
    assert scans(world.folder, asked) == []


async def test_following_a_run_reads_no_table_that_grows_with_it(world_of, asked):
    """Asked twice a second: what it tells is in the rows of the run and its sync."""
    world = world_of()
    await world.enter(*(f"u{number}" for number in range(500)))
    order = orders(world, rate=10.0)
    started = await order.run(NAME)
    while await world.syncs.step():
        pass
    run = int(str(started["id"]))
    asked.clear()
    shown = await order.run_progress(run)
    assert (shown["status"], shown["planned"], shown["done"]) == ("sending", 500, 0)
    touched = {word for sql in asked for word in sql.replace(",", " ").split()}
    assert touched & {"row_result", "planned", "record", "delivery", "attempt", "membership", "member"} == set()
    page = await order.show_run(run)
    assert shown.pop("ended") == 0
    assert {name: page[name] for name in shown} == shown


async def test_a_runs_page_reads_what_went_wrong_and_the_last_lines_of_its_log(world_of, asked):
    """Never the lines of all that got through."""
    world = world_of()
    await world.enter("ada", "bob", "cyd")
    answers = {"ada@example.com": REFUSE, "bob@example.com": FAIL}
    run = await world.run(lambda _operation, payload: answers.get(payload["email"], ACCEPT))
    asked.clear()
    shown: dict[str, Any] = await orders(world).show_run(run.id)
    assert sorted(one["status"] for one in shown["sample"]) == ["failed", "rejected"]
    await world.state.read(lambda view: view.deliveries_of_run(run.id, [1]))
    looked = {sql: plan for sql, plan in plans(world.folder, asked).items() if "row_result" in sql}
    assert looked
    for sql, plan in looked.items():
        for step in (one for one in plan if "row_result" in one):
            assert "row_result_wrong" in step or "seq=?" in step or "ORDER BY seq DESC LIMIT" in sql, (sql, step)
    assert scans(world.folder, asked) == []


@pytest.mark.parametrize("answer", [ACCEPT, REFUSE], ids=["all well", "with trouble"])
async def test_a_syncs_page_and_a_run_read_no_record_that_is_settled(world_of, asked, answer):
    """Whether or not something is wrong with others: sums are kept, and who waits is found by an index of their own."""
    world = world_of(alerts={"freshness": "2h"})
    await world.enter("ada", "bob")
    await world.run(lambda _operation, payload: answer if payload["email"].startswith("ada") else ACCEPT)
    asked.clear()
    shown = await orders(world).show_sync(NAME)
    assert shown["members_in"] == 2
    await world.enter("cyd")
    await world.run(answer)
    world.now_us += 11 * S
    await world.work()
    assert record_reads(world.folder, asked) == 0
    assert scans(world.folder, asked) == []
