"""What forwarding put on lists is remembered until it is removed, and taken when the person is deleted."""

import pytest
from owed import NOW_US, claim_ids, owed, settle

from gateway.core.events import Place
from gateway.store.rows import ForwardedRow, NewDelivery

pytestmark = pytest.mark.anyio

ADA = ("s", "email:ada@example.com")
SENT = b'{"email":"ada@example.com"}'


def listed(tx, *operations, audience=1, identifiers=7, mapping="ads/forward"):
    """Owe operations on Ada, one after the other; returns her number."""
    member = tx.intern_members([ADA])[ADA]
    tx.add_deliveries(
        [
            owed(mapping=mapping, member=member, operation=operation, audience=audience, identifiers=identifiers)
            for operation in operations
        ],
        now_us=NOW_US,
    )
    return member


def taken(tx):
    return [(row.mapping, row.audience, row.identifiers) for row in tx.take_forwarded(*ADA)]


@pytest.mark.parametrize(
    ("operations", "is_kept"),
    [
        (("enter",), True),
        (("enter", "exit"), False),
        (("exit", "enter"), True),
        (("enter", "exit", "enter"), True),
        (("enter", "erase"), False),
        (("exit",), False),
        (("send",), False),
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_the_last_delivered_operation_counts(state, operations, is_kept, together):
    """In one attempt or one after the other; it is taken once."""

    def work(tx):
        listed(tx, *operations)
        if together:
            settle(tx, claim_ids(tx))
        else:
            for _ in operations:
                settle(tx, claim_ids(tx, events_max=1))
        return taken(tx), taken(tx)

    assert await state.write(work) == ([("ads/forward", 1, 7)] if is_kept else [], [])


async def test_each_audience_mapping_and_set_of_identifiers_is_kept_by_itself(state):
    """As it was sent, with the audience settings it was sent with; an exit under other identifiers removes nothing."""

    def work(tx):
        member = listed(tx, "enter")
        listed(tx, "enter", identifiers=-8)
        listed(tx, "exit", identifiers=9)
        listed(tx, "enter", audience=2)
        listed(tx, "enter", mapping="ads/other")
        tx.add_deliveries(
            [
                NewDelivery(
                    "ads", "ads/forward", 3, member, "enter", b'{"n":1}', Place(1, 1, 0), 5, 0, False, 7, b'{"external_id":"x"}'
                )
            ],
            now_us=NOW_US,
        )  # fmt: skip
        while ids := claim_ids(tx):
            settle(tx, ids)
        return member, tx.take_forwarded(*ADA)

    member, rows = await state.write(work)
    found = {(row.mapping, row.audience, row.identifiers): row for row in rows}
    assert len(rows) == len(found)
    assert set(found) == {
        ("ads/forward", 1, 7),
        ("ads/forward", 1, -8),
        ("ads/forward", 2, 7),
        ("ads/other", 1, 7),
        ("ads/forward", 3, 7),
    }
    assert found["ads/forward", 1, -8] == ForwardedRow("ads/forward", 1, member, -8, SENT, b"")
    assert found["ads/forward", 3, 7] == ForwardedRow("ads/forward", 3, member, 7, b'{"n":1}', b'{"external_id":"x"}')


async def test_what_is_no_list_is_not_kept(state):
    """Without identifiers, audience or member, or sent by a run."""

    def work(tx):
        listed(tx, "enter", identifiers=0)
        listed(tx, "enter", audience=0)
        tx.add_deliveries([owed(member=0, identifiers=7)], now_us=NOW_US)
        while ids := claim_ids(tx):
            settle(tx, ids)
        return taken(tx), tx.erased_syncs(), tx.syncs(), tx._rows("SELECT count(*) FROM record")

    assert await state.write(work) == ([], [], [], [(0,)])


async def test_an_addition_that_may_have_arrived_counts(state):
    """On its way, or tried without an answer; one that waits for its first try does not, nor one that was refused."""

    def on_its_way(tx):
        listed(tx, "enter")
        untried = taken(tx)
        ids = claim_ids(tx)
        return untried, taken(tx), ids

    untried, claimed, ids = await state.write(on_its_way)
    assert (untried, claimed) == ([], [("ads/forward", 1, 7)])

    def tried(tx):
        settle(tx, ids, "due", due_us=NOW_US + 9, reason="no answer")
        waiting = taken(tx)
        settle(tx, claim_ids(tx, now_us=NOW_US + 9), "dead", reason="no answer", status=503)
        dead = taken(tx)
        tx.retry_dead(ids=ids, now_us=NOW_US)
        settle(tx, claim_ids(tx), "dead", reason="refused", status=400)
        return waiting, dead, taken(tx)

    assert await state.write(tried) == ([("ads/forward", 1, 7)], [("ads/forward", 1, 7)], [])


async def test_forgetting_keeps_removals_that_a_deletion_asked_for(state):
    """A second deletion, or a dead removal, does not lose them."""

    def work(tx):
        listed(tx, "erase", "enter")
        tx.forget_member(*ADA)
        return [row.operation for row in tx.deliveries()]

    assert await state.write(work) == ["erase"]


async def test_what_is_owed_of_a_person_and_listed_of_them_is_found_by_their_number(state):
    """Waiting and dead ones of every lane, by id; nobody else's; and nothing is forgotten by asking."""
    other = ("s", "email:bob@example.com")

    def work(tx):
        ada, bob = listed(tx, "enter"), tx.intern_members([other])[other]
        settle(tx, claim_ids(tx))
        tx.add_deliveries(
            [owed(lane=lane, member=member) for lane in ("ads", "mail") for member in (ada, bob, ada)], now_us=NOW_US
        )
        settle(tx, claim_ids(tx, events_max=1), "dead")
        found = tx.deliveries_of(ada)
        return (
            [(one.lane, one.state, one.member == ada) for one in found],
            [one.id for one in found] == sorted(one.id for one in found),
            len(tx.deliveries_of(ada, limit=2)),
            [(one.mapping, one.audience) for one in (*tx.forwarded_of(ada), *tx.forwarded_of(ada))],
            tx.forwarded_of(bob),
        )

    rows, is_in_order, limited, forwarded, others = await state.write(work)
    assert sorted(rows) == [("ads", "dead", True), ("ads", "due", True), ("mail", "due", True), ("mail", "due", True)]
    assert (is_in_order, limited, forwarded, others) == (True, 2, [("ads/forward", 1)] * 2, [])
