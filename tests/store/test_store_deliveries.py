"""What every store does with deliveries: order per person, claims, settlements, replacement, the dead."""

import pytest
from owed import HOUR_US, NOW_US, claim_ids, owed, settle

from gateway.store.rows import AttemptRow, Settlement

pytestmark = pytest.mark.anyio


async def test_ids_are_consecutive_and_never_given_again(state):
    """Ids go on after everything was delivered."""
    assert await state.write(lambda tx: tx.add_deliveries([owed(member=n) for n in (1, 2, 3)], now_us=1)) == 1

    def work(tx):
        settle(tx, claim_ids(tx))
        return tx.add_deliveries([owed()], now_us=1)

    assert await state.write(work) == 4


async def test_a_claim_holds_one_mapping_in_order_of_id(state):
    """The mapping that waits longest goes first; its rows come in order of id, as they were stored."""

    def work(tx):
        tx.add_deliveries(
            [
                owed(mapping="b", member=1, due_us=5),
                owed(mapping="a", member=2, due_us=4),
                owed(mapping="b", member=3, due_us=3),
                owed(mapping="b", member=4, due_us=99 + NOW_US),
            ],
            now_us=2,
        )
        first = tx.claim("ads", now_us=NOW_US, lease_until_us=NOW_US + 1, events_max=10, bytes_max=9999)
        return first, claim_ids(tx), claim_ids(tx), tx.next_due_us("ads")

    first, second, third, next_due_us = await state.write(work)
    assert [(row.id, row.mapping, row.state, row.due_us, row.created_us) for row in first] == [
        (1, "b", "claimed", 5, 2),
        (3, "b", "claimed", 3, 2),
    ]
    assert first[0].payload == b'{"email":"ada@example.com"}'
    assert (second, third, next_due_us) == ([2], [], NOW_US + 99)


async def test_only_the_mappings_asked_for_are_claimed(state):
    """A claim may be kept to some mappings."""

    def work(tx):
        tx.add_deliveries([owed(mapping="a", member=1), owed(mapping="b", member=2)], now_us=1)
        return (
            claim_ids(tx, mappings=["never met"]),
            claim_ids(tx, mappings=["b"]),
            claim_ids(tx, mappings=["b"]),
            claim_ids(tx),
        )

    assert await state.write(work) == ([], [2], [], [1])


async def test_a_persons_changes_share_a_batch_or_wait(state):
    """While one of a person's deliveries is in flight the later ones wait; in one batch they may be together."""

    def work(tx):
        tx.add_deliveries(
            [owed(member=1), owed(member=2), owed(member=1), owed(member=1, mapping="b"), owed(member=1)], now_us=1
        )
        together = claim_ids(tx)
        blocked = claim_ids(tx)
        settle(tx, [1])
        still = claim_ids(tx)
        settle(tx, [3])
        other = claim_ids(tx)
        settle(tx, [4])
        return together, blocked, still, other, claim_ids(tx)

    assert await state.write(work) == ([1, 2, 3], [], [], [4], [5])


async def test_a_retry_holds_back_what_is_behind_it(state):
    """A delivery due again later keeps its person's later ones waiting, across batches, and nobody else's."""

    def work(tx):
        tx.add_deliveries([owed(member=1), owed(member=1), owed(member=2)], now_us=1)
        first = claim_ids(tx, events_max=1)
        settle(tx, first, "due", due_us=NOW_US + HOUR_US, reason="503", status=503)
        before = claim_ids(tx)
        waits = tx.next_due_us("ads")
        after = claim_ids(tx, now_us=NOW_US + HOUR_US)
        row = tx.delivery(1)
        return first, before, waits, after, (row.failures, row.reason, row.status, row.state)

    assert await state.write(work) == ([1], [3], NOW_US + HOUR_US, [1, 2], (1, "503", 503, "claimed"))


async def test_both_of_a_batch_due_again_keep_their_order(state):
    """When two of one person come back from one batch, the second waits for the first, whichever is due sooner."""

    def work(tx):
        tx.add_deliveries([owed(member=1), owed(member=1)], now_us=1)
        claim_ids(tx)
        settle(tx, [2], "due", due_us=NOW_US + 1)
        settle(tx, [1], "due", due_us=NOW_US + 9, counts=False)
        return (
            claim_ids(tx, now_us=NOW_US + 5),
            claim_ids(tx, now_us=NOW_US + 9),
            tx.delivery(1).failures,
            tx.delivery(2).failures,
        )

    assert await state.write(work) == ([], [1, 2], 0, 1)


async def test_a_dead_one_lets_the_next_pass(state):
    """Dead deliveries block nobody, are listed with their reason, and go back in order when retried."""

    def work(tx):
        tx.add_deliveries([owed(member=1), owed(member=1), owed(member=2)], now_us=1)
        settle(tx, claim_ids(tx, events_max=1), "dead", reason="Bad Audience", status=400)
        passed = claim_ids(tx, events_max=1, now_us=NOW_US)
        tx.release(passed)
        none = tx.retry_dead(lane="ads", reason_like="other", now_us=NOW_US)
        dead = [(row.id, row.reason, row.due_us) for row in tx.deliveries(state="dead")]
        revived = tx.retry_dead(lane="ads", mapping="forward", ids=[1, 2], reason_like="audience", now_us=NOW_US)
        alone = claim_ids(tx, events_max=2)
        return passed in ([2], [3]), none, dead, revived, alone, claim_ids(tx), tx.delivery(1).failures

    right, none, dead, revived, alone, rest, failures = await state.write(work)
    assert (right, none, dead, revived, failures) == (True, 0, [(1, "Bad Audience", NOW_US)], 1, 0)
    assert alone == [1, 3]
    assert rest == []


async def test_retrying_the_dead_needs_a_filter_and_dropping_is_bounded(state):
    """Without a filter nothing comes back to life; the dead go by id or age."""

    def work(tx):
        tx.add_deliveries([owed(member=n) for n in range(1, 6)], now_us=1)
        settle(tx, claim_ids(tx), "dead", now_us=100)
        return (
            tx.drop_dead(ids=[2, 99]),
            tx.drop_dead(older_than_us=100),
            tx.drop_dead(older_than_us=101, limit=3),
            tx.drop_dead(older_than_us=101),
        )

    assert await state.write(work) == (1, 0, 3, 1)
    with pytest.raises(ValueError, match="filter"):
        await state.write(lambda tx: tx.retry_dead(now_us=1))


async def test_leases_end_and_releases_count_nothing(state):
    """Expired claims are due again, in order; a released claim too, with no failure counted."""

    def work(tx):
        tx.add_deliveries([owed(member=1), owed(member=1), owed(member=2)], now_us=1)
        claim_ids(tx)
        early = tx.release_expired(now_us=NOW_US)
        late = tx.release_expired(now_us=NOW_US + HOUR_US)
        again = claim_ids(tx)
        tx.release(again)
        return early, late, again, claim_ids(tx, events_max=2), [row.failures for row in tx.deliveries()]

    assert await state.write(work) == (0, 3, [1, 2, 3], [1, 3], [0, 0, 0])


async def test_a_late_settlement_does_not_disturb_another_claim(state):
    """What is no longer claimed is left alone, except that what was delivered is gone."""

    def work(tx):
        tx.add_deliveries([owed(member=1), owed(member=2)], now_us=1)
        claim_ids(tx)
        tx.release_expired(now_us=1 << 60)
        settle(tx, [1], "dead")
        settle(tx, [2], "delivered")
        return [(row.id, row.state) for row in tx.deliveries()]

    assert await state.write(work) == [(1, "due")]


async def test_list_shaped_changes_replace_what_was_not_sent(state):
    """A later one drops waiting ones of the same list, person and identifiers, also within one call, not those in flight."""

    def work(tx):
        flip = {"replaces": True, "identifiers": 7}
        tx.add_deliveries(
            [owed(member=1, **flip), owed(member=1, **flip), owed(member=1, audience=2, **flip)], now_us=1
        )
        tx.add_deliveries(
            [owed(member=1, **flip), owed(member=1, replaces=True, identifiers=8), owed(member=2, **flip)], now_us=1
        )
        left = [row.id for row in tx.deliveries()]
        in_flight = claim_ids(tx, events_max=1)
        tx.add_deliveries([owed(member=1, audience=2, **flip), owed(member=1, mapping="b", **flip)], now_us=1)
        return left, in_flight, [(row.id, row.state) for row in tx.deliveries()]

    left, in_flight, rest = await state.write(work)
    assert left == [3, 4, 5, 6]
    assert in_flight == [3]
    assert rest == [(3, "claimed"), (4, "due"), (5, "due"), (6, "due"), (7, "due"), (8, "due")]


async def test_a_retry_that_waits_is_replaced_too(state):
    """A person who flips while the partner is down costs one request."""

    def work(tx):
        tx.add_deliveries([owed(member=1, replaces=True)], now_us=1)
        settle(tx, claim_ids(tx), "due", due_us=NOW_US + HOUR_US)
        for _ in range(5):
            tx.add_deliveries([owed(member=1, replaces=True)], now_us=1)
        return claim_ids(tx), claim_ids(tx)

    assert await state.write(work) == ([6], [])


async def test_claims_are_bounded_by_bytes(state):
    """A claim stops before its bytes are over, but takes at least one."""

    def work(tx):
        tx.add_deliveries([owed(member=n) for n in range(1, 6)] + [owed(member=5)], now_us=1)
        size = len(owed().payload)
        return claim_ids(tx, bytes_max=1), claim_ids(tx, bytes_max=2 * size), claim_ids(tx, bytes_max=3 * size)

    assert await state.write(work) == ([1], [2, 3], [4, 5, 6])


async def test_member_zero_has_no_order(state):
    """Deliveries of nobody in particular never wait for each other."""

    def work(tx):
        tx.add_deliveries([owed(member=0) for _ in range(3)], now_us=1)
        return claim_ids(tx, events_max=1), claim_ids(tx)

    assert await state.write(work) == ([1], [2, 3])


async def test_attempts_are_found_by_delivery(state):
    """Attempts come newest first, by lane and by the deliveries they carried."""

    def attempt(lane, ids):
        return AttemptRow(0, lane, "forward", 5, 20, "delivered", 200, ids, "", "POST /v1", "200 OK")

    def work(tx):
        tx.settle([], attempt("ads", (9, 3, 4)), now_us=1)
        tx.settle([], attempt("mail", (5,)), now_us=1)
        tx.settle([], attempt("ads", ()), now_us=1)
        return (
            [row.id for row in tx.attempts()],
            [row.id for row in tx.attempts(lane="ads")],
            [(row.id, row.deliveries) for row in tx.attempts_of(4)],
            [row.id for row in tx.attempts_of(5)],
            [row.id for row in tx.attempts(before_id=3, limit=1)],
        )

    assert await state.write(work) == ([3, 2, 1], [3, 1], [(1, (3, 4, 9))], [2], [2])


async def test_answers_of_deliveries_long_ago_are_found_until_they_are_pruned(state):
    """Whatever number of requests came since, and however far apart the deliveries are that one request carried."""

    def attempt(ids, started_us):
        return AttemptRow(0, "ads", "forward", started_us, 20, "delivered", 200, ids, "", "POST /v1", "200 OK")

    def prune(tx):
        return tx.prune(now_us=100, retain_seen_us=0, retain_dead_us=0, retain_attempts_us=50, retain_out_us=0)

    def work(tx):
        tx.settle([], attempt((7, 100_007), 1), now_us=1)
        for number in range(1_500):
            tx.settle([], attempt((1_000 + number,), 60), now_us=1)
        tx.settle([], attempt((7,), 70), now_us=1)
        before = [[row.id for row in tx.attempts_of(one)] for one in (7, 100_007, 1_000, 2_499, 50_000)]
        latest = [row.id for row in tx.attempts_of(7, limit=1)]
        pruned = prune(tx)
        after = [[row.id for row in tx.attempts_of(one)] for one in (7, 100_007, 1_000)]
        return before, latest, pruned, after, tx._row("SELECT count(*) FROM attempt_shelf WHERE attempt = 1")[0]

    before, latest, pruned, after, shelved = await state.write(work)
    assert before == [[1_502, 1], [1], [2], [1_501], []]
    assert (latest, pruned, after, shelved) == ([1_502], 1, [[1_502], [], [2]], 0)


async def test_listings_are_filtered_by_lane_mapping_and_state(state):
    """Pages run by id, whatever the filter."""

    def work(tx):
        tx.add_deliveries(
            [
                owed(lane=lane, mapping=mapping, member=n)
                for n, (lane, mapping) in enumerate([("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")], 1)
            ],
            now_us=1,
        )
        settle(tx, claim_ids(tx, lane="b"), "dead")
        claim_ids(tx, lane="a", mappings=["y"])

        def listed(**by):
            return [row.id for row in tx.deliveries(**by)]

        return (
            listed(lane="a"),
            listed(lane="a", mapping="x"),
            listed(state="dead"),
            listed(state="claimed", lane="a"),
            listed(state="due", after_id=1),
            listed(lane="?"),
            listed(limit=2),
        )

    assert await state.write(work) == ([1, 3, 4], [1, 4], [2], [3], [4], [], [1, 2])


async def test_what_waits_is_brought_forward_by_filter_with_what_stands_behind_it(state):
    """Times become the last second's, in their order; what is due, dead or another's stays as it is."""

    def work(tx):
        tx.add_deliveries(
            [owed(member=1), owed(member=1), owed(member=2), owed(lane="other", member=3), owed(member=4)], now_us=1
        )
        for lane in ("ads", "other"):
            claim_ids(tx, lane=lane)
        tx.settle(
            [
                Settlement(1, "due", due_us=NOW_US + HOUR_US, reason="503 Down"),
                Settlement(2, "due", due_us=NOW_US + HOUR_US, counts=False),
                Settlement(3, "due", due_us=NOW_US + 1000 * 4096, reason="429"),
                Settlement(4, "due", due_us=NOW_US + HOUR_US),
                Settlement(5, "dead"),
            ],
            None,
            now_us=NOW_US,
        )
        none = [
            tx.bring_forward(lane="nobody", now_us=NOW_US),
            tx.bring_forward(mapping="nobody", now_us=NOW_US),
            tx.bring_forward(lane="ads", reason_like="404", now_us=NOW_US),
            tx.bring_forward(lane="ads", ids=[4, 5], now_us=NOW_US),
        ]
        counts = [tx.bring_forward(lane="ads", now_us=NOW_US, limit=1) for _ in range(3)]
        times = [row.due_us - NOW_US for row in tx.deliveries()]
        failures = [row.failures for row in tx.deliveries()]
        first = claim_ids(tx)
        return none, counts, times, failures, first, tx.bring_forward(reason_like="", ids=[4], now_us=NOW_US)

    none, counts, times, failures, first, by_id = await state.write(work)
    assert (none, counts, by_id) == ([0, 0, 0, 0], [1, 1, 0], 1)
    hour = -1_000_000 + HOUR_US // 4096
    assert times == [hour, hour, -999_000, HOUR_US, 0]
    assert failures == [1, 0, 1, 1, 1]
    assert first == [1, 2, 3]
    with pytest.raises(ValueError, match="filter"):
        await state.write(lambda tx: tx.bring_forward(now_us=1))
