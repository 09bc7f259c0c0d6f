"""Alerts and the notices that sinks owe: rows as they are written, shared, put off and dropped; and an older file's alerts."""

import pytest

from gateway.store.alert_rows import AlertRow
from gateway.store.sqlite import schema

pytestmark = pytest.mark.anyio

HELD = AlertRow(1, "held", "critical", 5, "35 % would go", 5)


async def test_an_alert_stands_until_it_is_dropped(stores):
    """Written anew in its place; dropped once."""
    state = stores.state()
    await state.write(lambda tx: tx.put_alert(HELD))
    await state.write(lambda tx: tx.put_alert(AlertRow(1, "held", "critical", 5, "36 % would go", 9)))
    await state.write(lambda tx: tx.put_alert(AlertRow(2, "stale", "critical", 7, "", 7)))
    found = await state.read(lambda view: (view.alert(1, "held"), view.alert(1, "stale"), len(view.alerts())))
    assert found == (AlertRow(1, "held", "critical", 5, "36 % would go", 9), None, 2)
    assert [await state.write(lambda tx: tx.drop_alert(1, "held")) for _ in range(2)] == [True, False]


async def test_a_notice_is_shared_once_and_owed_by_each_sink(stores):
    """Its number stays the same; what is put off is not due; what is dropped is nobody's."""
    state = stores.state()
    first = await state.write(lambda tx: tx.add_notice(b"one", now_us=10))
    second = await state.write(lambda tx: tx.add_notice(b"two", now_us=11))
    assert second == first + 1
    for _ in range(2):
        assert await state.write(lambda tx: tx.share_notices(["a", "b"], now_us=20, kept_max=100)) == 0
    rows = await state.read(lambda view: view.notices_due("a", now_us=20, limit=10))
    assert [(row.number, row.sink, row.body, row.created_us, row.due_us) for row in rows] == [
        (first, "a", b"one", 10, 20), (second, "a", b"two", 11, 20),
    ]  # fmt: skip
    late = type(rows[0])(**{name: getattr(rows[0], name) for name in rows[0].__struct_fields__} | {"due_us": 30})
    await state.write(lambda tx: tx.save_notice(late))
    await state.write(lambda tx: tx.drop_notice(rows[1].id))
    assert await state.read(lambda view: view.notices_due("a", now_us=29, limit=10)) == []
    assert len(await state.read(lambda view: view.notices_due("b", now_us=29, limit=10))) == 2


async def test_a_number_is_never_given_twice(stores):
    """Not after the notice is gone, nor after a restart."""
    state = stores.state()
    first = await state.write(lambda tx: tx.add_notice(b"one", now_us=10))
    await state.write(lambda tx: tx.share_notices([], now_us=10, kept_max=1))
    await state.close()
    state = stores.state()
    assert await state.write(lambda tx: tx.add_notice(b"two", now_us=11)) == first + 1


async def test_alerts_of_an_older_file_stand_on(stores, monkeypatch):
    """They have not been told by the new way, and are not told again for that."""
    before = schema.Migrations(schema.state_migrations.name)
    for name, step in schema.state_migrations.steps.items():
        if name == "alerts are told":
            break
        before(name=name)(step)
    with monkeypatch.context() as older:
        older.setattr("gateway.store.sqlite.state.state_migrations", before)
        state = stores.state()
        await state.write(lambda tx: tx._run("INSERT INTO alert VALUES (1, 'held', 'critical', 5, 'held')"))
        await state.close()
    state = stores.state()
    assert await state.read(lambda view: view.alerts()) == [AlertRow(1, "held", "critical", 5, "held", 0)]
