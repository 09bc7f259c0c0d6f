"""How the store's statements are carried out: what lanes, decisions and the janitor ask again and again grows with no table."""

import pytest
from owed import NOW_US, claim_ids, owed

from gateway.core.events import Place
from gateway.store.rows import AttemptRow, MembershipRow, Settlement
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.session import Session
from gateway.store.sqlite.state import STATE_FILE
from gateway.store.sync_rows import ExitRow, WantedRow

pytestmark = pytest.mark.anyio

GROWS = (
    "delivery", "attempt", "attempt_shelf", "record", "membership", "member", "tombstone", "touched", "orphan", "listed",
    "row_result", "run", "run_operation",
)  # fmt: skip


class Listening:
    """Hands statements on, and remembers each with values that fit it."""

    def __init__(self, connection, asked):
        self._connection, self._asked = connection, asked

    def execute(self, sql, values=()):
        self._asked[sql] = values
        return self._connection.execute(sql, values)

    def executemany(self, sql, rows):
        kept = [tuple(row) for row in rows]
        if kept:
            self._asked[sql] = kept[0]
        return self._connection.executemany(sql, kept)


@pytest.fixture
def asked(monkeypatch):
    """Every statement of every session from now on."""
    found = {}
    real = Session.__init__

    def init(self, connection, names):
        real(self, Listening(connection, found), names)

    monkeypatch.setattr(Session, "__init__", init)
    return found


def bad_steps(folder, asked):
    """(statement, step) where a table that grows is gone through whole, by the first column of an index alone, or sorted."""
    connection = driver.connect(folder / STATE_FILE)
    found = []
    for sql, values in asked.items():
        if not sql.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            continue
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        found += [(sql, step) for step in steps if step.startswith("SCAN ") and step.split()[1] in GROWS]
        found += [(sql, step) for step in steps if "TEMP B-TREE" in step]
    connection.close()
    return found


def walk(tx):
    """A day of the engine: decisions, claims and their ends, people's orders, a deletion, tidying."""
    members = list(tx.intern_members([("default", f"user_id:{one}") for one in "abc"]).values())
    audience = tx.intern_audiences([("default", "vip", "vip")], now_us=NOW_US)["default", "vip"].id
    sync = tx.intern_syncs([("ads/list", audience)], now_us=NOW_US)["ads/list", audience]
    tx.memberships([(audience, one) for one in members])
    tx.save_memberships([MembershipRow(audience, one, True, 1, 1, 1, Place(1, 1, 0)) for one in members])
    tx.save_wanted(
        [WantedRow(sync, one, 0, 1, Place(1, 1, 0), b"{}", b"f" * 16, b"e" * 16) for one in members], now_us=NOW_US
    )
    tx.save_exits([ExitRow(sync, members[0], 2, Place(1, 2, 0))], now_us=NOW_US)
    tx.touch([(sync, one) for one in members], now_us=NOW_US)
    tx.touched(sync, limit=10), tx.touched_since()
    tx.drop_news(sync, before_us=NOW_US + 1, limit=10)
    tx.note_left(sync, audience, after=0, limit=10, now_us=NOW_US)
    tx.add_deliveries([owed(member=one) for one in members] + [owed(member=members[0])], now_us=NOW_US)
    first = claim_ids(tx)
    tx.settle(
        [Settlement(first[0], "delivered"), Settlement(first[1], "dead"), Settlement(first[2], "due", due_us=2**60)],
        AttemptRow(0, "ads", "forward", 5, 20, "mixed", 200, tuple(first), "", "", ""),
        now_us=NOW_US,
    )
    tx.next_due_us("ads"), tx.mappings_due("ads"), tx.lane("ads"), tx.release_expired(now_us=NOW_US)
    tx.deliveries(state="dead", lane="ads"), tx.deliveries(state="dead"), tx.deliveries(state="claimed")
    tx.attempts(lane="ads"), tx.attempts(), tx.attempts_of(first[0])
    tx.bring_forward(lane="ads", now_us=NOW_US)
    (
        tx.retry_dead(lane="ads", now_us=NOW_US),
        tx.retry_dead(reason_like="x", now_us=NOW_US),
        tx.retry_dead(ids=[1], now_us=1),
    )
    tx.records(sync), tx.records(sync, settled=False), tx.records_of(sync, members), tx.claimants(sync, [b"e" * 16])
    tx.settled_count(sync), tx.listed_count(sync), tx.unmappable_count(sync), tx.record_shares(sync, version="v")
    tx.unsent_page(sync, after=(0, 0), limit=2), tx.troubled(sync)
    tx.finished_runs(sync, limit=5), tx.results_of_member(1, "ref"), tx.runs(sync=sync), tx.open_runs()
    tx.freeze_page(1, sync, after=0, members=2, keeps_out=False), tx.list_difference(1, 2, after=b"", limit=2)
    tx.list_named(1, 2, sync, after=b"", limit=2), tx.list_dropped(2, 1, sync, after=b"", limit=2)
    tx.unlisted(sync, after=0, last=members[1]), tx.add_run_operations(1, [(members[0], 0, "add")])
    tx.run_operations(1, after=(0, 0), limit=2), tx.drop_run_operations(1, limit=2), tx.drop_operations_left(limit=2)
    tx.mark_listed(1, sync, after=0, members=2, now_us=NOW_US), tx.strip_list(1, after=b"", limit=2)
    tx.deliveries_of(members[0]), tx.forwarded_of(members[0])
    tx.members(audience), tx.memberships_of("default", "user_id:a"), tx.take_forwarded("default", "user_id:b")
    tx.forget_member("default", "user_id:a")
    tx.prune(now_us=2**61, retain_seen_us=0, retain_dead_us=0, retain_attempts_us=0, retain_out_us=0)
    tx.drop_all_records(sync), tx.drop_list(1, limit=10), tx.drop_runs(finished_before_us=1, limit=5)


FEW = (
    "FROM run INDEXED BY run_open",  # the few runs that are open
    "INDEXED BY delivery_claimed",  # as many as lanes have on their way
    "INDEXED BY membership_member",  # the audiences of one person
    "FROM attempt WHERE true ORDER BY id DESC LIMIT",  # in order of the table, up to the limit
    "FROM attempt ORDER BY id LIMIT",
)


async def test_nothing_that_is_asked_often_goes_through_a_table_or_sorts_one(stores, asked):
    """Pages come in the order of an index; deletions and retries find what they mean."""
    state = stores.state()
    await state.write(walk)
    assert len(asked) > 80
    bad = [(sql, step) for sql, step in bad_steps(stores.folder, asked) if not any(one in sql for one in FEW)]
    assert bad == [], "\n".join(f"{step}: {sql}" for sql, step in bad)
