"""Claims and settlements against a model that knows only the rule: nobody's later change passes an earlier one."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from owed import owed

from gateway.store import open_state
from gateway.store.rows import Settlement

MAPPINGS = ("a", "b")
members = st.sampled_from([1, 1, 2, 3, 0])
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.lists(
                st.tuples(
                    members,
                    st.sampled_from(MAPPINGS),
                    st.sampled_from([0, 0, 0, 4]),
                    st.sampled_from([False, False, False, True]),
                ),
                min_size=1,
                max_size=4,
            ),
        ),
        st.tuples(st.just("claim"), st.sampled_from([1, 1, 2, 5]), st.sampled_from([None, "a", "b"])),
        st.tuples(
            st.just("settle"),
            st.lists(st.sampled_from(["delivered", "due", "dead", "claimed"]), min_size=1, max_size=5),
        ),
        st.tuples(st.just("release"), st.integers(1, 3)),
        st.tuples(st.just("expire")),
        st.tuples(st.just("retry"), st.sampled_from(MAPPINGS)),
    ),
    min_size=20,
    max_size=60,
)


class Model:
    """Deliveries as a list, read from the front every time."""

    def __init__(self):
        self.rows = {}
        self.next_id = 1
        self.now = 0

    def add(self, rows):
        for member, mapping, due, replaces in rows:
            if replaces and member:
                self.rows = {
                    n: row
                    for n, row in self.rows.items()
                    if not (row["state"] == "due" and (row["member"], row["mapping"]) == (member, mapping))
                }
            self.rows[self.next_id] = {
                "member": member,
                "mapping": mapping,
                "due": self.now + due,
                "state": "due",
                "failures": 0,
            }
            self.next_id += 1

    def may_go(self, mapping):
        """Ids that could go together, had the batch no bound."""
        going, held = [], set()
        for n, row in sorted(self.rows.items()):
            if row["state"] == "dead":
                continue
            if (
                row["state"] == "due"
                and row["due"] <= self.now
                and row["mapping"] == mapping
                and row["member"] not in held
            ):
                going.append(n)
            elif row["member"]:
                held.add(row["member"])
        return going


class UndoError(Exception):
    """Takes one example back, so that the next begins with an empty store."""


def run(tx, steps):
    model = Model()
    for step in steps:
        model.now += 1
        match step:
            case ("add", rows):
                new = [owed(mapping=p, member=m, due_us=model.now + d, replaces=r) for m, p, d, r in rows]
                assert tx.add_deliveries(new, now_us=model.now) == model.next_id
                model.add(rows)
            case ("claim", count, only):
                check_claim(tx, model, count, only)
            case ("settle", ends):
                claimed = [n for n, row in sorted(model.rows.items()) if row["state"] == "claimed"]
                settle_both(tx, model, list(zip(claimed, ends, strict=False)))
            case ("release", count):
                ids = [n for n, row in sorted(model.rows.items()) if row["state"] == "claimed"][-count:]
                tx.release(ids)
                for n in ids:
                    model.rows[n]["state"] = "due"
            case ("expire",):
                claimed = [row for row in model.rows.values() if row["state"] == "claimed"]
                assert tx.release_expired(now_us=1 << 60) == len(claimed)
                for row in claimed:
                    row["state"] = "due"
            case ("retry", mapping):
                dead = [row for row in model.rows.values() if row["state"] == "dead" and row["mapping"] == mapping]
                assert tx.retry_dead(mapping=mapping, now_us=model.now) == len(dead)
                for row in dead:
                    row.update(state="due", due=model.now, failures=0)
        kept = {row.id: (row.member, row.mapping, row.state, row.failures) for row in tx.deliveries(limit=1000)}
        assert kept == {
            n: (row["member"], row["mapping"], row["state"], row["failures"]) for n, row in model.rows.items()
        }


def check_claim(tx, model, count, only):
    rows = tx.claim(
        "ads",
        now_us=model.now,
        lease_until_us=model.now + 5,
        events_max=count,
        bytes_max=1 << 20,
        mappings=only and [only],
    )
    ids = [row.id for row in rows]
    assert ids == sorted(ids)
    if not ids:
        assert all(not model.may_go(mapping) for mapping in ([only] if only else MAPPINGS))
        return
    (mapping,) = {row.mapping for row in rows}
    could = model.may_go(mapping)
    assert len(ids) == min(count, len(could)), "a claim takes as many as may go"
    for n in ids:
        member = model.rows[n]["member"]
        before = [m for m in could if m < n and model.rows[m]["member"] == member and member]
        assert n in could
        assert set(before) <= set(ids), "an earlier change of the same person was left behind"
    for n in ids:
        model.rows[n]["state"] = "claimed"


def settle_both(tx, model, ends):
    told = [Settlement(n, end, due_us=model.now + 1 + n % 3, reason="r") for n, end in ends if end != "claimed"]
    tx.settle(told, None, now_us=model.now)
    for settlement in told:
        if settlement.settled == "delivered":
            del model.rows[settlement.id]
        else:
            row = model.rows[settlement.id]
            row.update(state=settlement.settled, failures=row["failures"] + 1)
            if settlement.settled == "due":
                row["due"] = settlement.due_us


def test_claims_follow_the_rule_whatever_happened_before(tmp_path):
    """Any series of adding, claiming, settling, releasing and retrying keeps order per person and leaves nobody stuck."""
    with asyncio.Runner() as runner:
        state = runner.run(opened(tmp_path))

        def work(tx, steps):
            run(tx, steps)
            raise UndoError

        @settings(max_examples=100, deadline=None, derandomize=True)
        @given(steps)
        def every_series(steps):
            with pytest.raises(UndoError):
                runner.run(state.write(lambda tx: work(tx, steps)))

        every_series()
        runner.run(state.close())


async def opened(folder):
    return open_state(folder)
