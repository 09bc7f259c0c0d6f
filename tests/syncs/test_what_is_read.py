"""What the syncs ask of the store while nothing happens and while a run goes on grows with neither history nor backlog."""

from __future__ import annotations

from typing import Any

import pytest
from sync_world import S

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


def scans(folder: Any, statements: dict[str, Any]) -> list[str]:
    """Statements that go through a whole table of those that grow."""
    connection = driver.connect(folder / STATE_FILE)
    found = []
    for sql, values in statements.items():
        if not values and "?" in sql:  # many of nothing
            continue
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        if any(step == f"SCAN {table}" for step in plan for table in GROWS):
            found.append(sql)
    connection.close()
    return found


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
