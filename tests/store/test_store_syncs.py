"""What the store keeps of syncs: records written by decisions, planned from in order, runs claimed once, whole lists."""

import pytest
from owed import HOUR_US, NOW_US, owed

from gateway.core.events import Place
from gateway.store.rows import AttemptRow, Settlement
from gateway.store.sync_rows import ABSENT, ERASED, IN, OUT, PRESENT, ExitRow, PlannedRow, RowResult, RunRow, WantedRow

pytestmark = pytest.mark.anyio


def wanted(sync, member, *, entry=None, line=0, at_us=1, unmappable="", fingerprint=None):
    known = entry or bytes([member]) * 16
    return WantedRow(
        sync, member, line, at_us, Place(1, 1, 0), b'{"email":"ada@example.com"}', fingerprint or known, known, unmappable
    )  # fmt: skip


def gone(sync, member, *, is_unknown=False):
    return ExitRow(sync, member, 2, Place(1, 2, 0), b'{"email":"ada@example.com"}', b"f" * 16, b"e" * 16, is_unknown)


async def new_sync(state, audience=1):
    return await state.write(lambda tx: tx.intern_syncs([("ads/list", audience)], now_us=NOW_US)["ads/list", audience])


async def records(state, sync, **more):
    return await state.read(lambda view: view.records(sync, **more))


async def test_a_sync_is_made_once_for_each_mapping_and_audience(state):
    """And found by either."""
    first, again, other = await new_sync(state), await new_sync(state), await new_sync(state, 2)
    assert (first == again, first == other) == (True, False)
    row = await state.read(lambda view: view.sync_of("ads/list", 2))
    assert (row.id, row.status, row.created_us) == (other, "active", NOW_US)
    assert await state.read(lambda view: view.sync_of("ads/none", 2)) is None


async def test_what_is_wanted_leaves_what_is_listed_alone(state):
    """A second event changes the payload; what the platform confirmed stays."""
    sync = await new_sync(state)
    await state.write(lambda tx: tx.save_wanted([wanted(sync, 1), wanted(sync, 2)], now_us=5))
    (one, _two) = await records(state, sync)
    from msgspec.structs import replace

    listed = replace(one, state=PRESENT, sent=one.payload, sent_fingerprint=one.fingerprint, sent_entry=one.entry)
    await state.write(lambda tx: tx.put_records(sync, [listed]))
    assert [row.member for row in await records(state, sync, settled=False)] == [2]
    await state.write(lambda tx: tx.save_wanted([wanted(sync, 1, fingerprint=b"n" * 16)], now_us=6))
    (one, _two) = await records(state, sync)
    assert (one.state, one.fingerprint, one.sent_fingerprint) == (PRESENT, b"n" * 16, listed.sent_fingerprint)


async def test_an_event_without_a_payload_leaves_the_older_one_in_place(state):
    """And says why; the next good one takes that back."""
    sync = await new_sync(state)
    await state.write(
        lambda tx: tx.save_wanted([wanted(sync, 1), wanted(sync, 1, unmappable="payload_invalid")], now_us=5)
    )
    (row,) = await records(state, sync)
    assert (row.unmappable, row.entry, row.payload != b"") == ("payload_invalid", b"\x01" * 16, True)
    await state.write(lambda tx: tx.save_wanted([wanted(sync, 1)], now_us=6))
    assert (await records(state, sync))[0].unmappable == ""


async def test_who_left_and_is_not_listed_is_forgotten(state):
    """Who is listed waits to be removed, and one never seen in is kept for one removal."""
    sync = await new_sync(state)
    await state.write(lambda tx: tx.save_wanted([wanted(sync, 1), wanted(sync, 2)], now_us=5))
    from msgspec.structs import replace

    two = (await records(state, sync))[1]
    await state.write(lambda tx: tx.put_records(sync, [replace(two, state=PRESENT, sent_entry=two.entry)]))
    await state.write(
        lambda tx: tx.save_exits([gone(sync, 1), gone(sync, 2), gone(sync, 3, is_unknown=True)], now_us=6)
    )
    rows = await records(state, sync)
    assert [(row.member, row.standing, row.state, row.more != b"") for row in rows] == [
        (2, OUT, PRESENT, False),
        (3, OUT, ABSENT, True),
    ]


async def test_a_deletion_keeps_only_what_its_removal_needs(state):
    """Listed: to be erased, without today's payload; not listed: gone."""
    sync, other = await new_sync(state), await new_sync(state, 2)
    member = await state.write(lambda tx: tx.intern_members([("default", "user_id:ada")])["default", "user_id:ada"])
    await state.write(lambda tx: tx.save_wanted([wanted(sync, member), wanted(other, member)], now_us=5))
    from msgspec.structs import replace

    (row,) = await records(state, sync)
    await state.write(lambda tx: tx.put_records(sync, [replace(row, state=PRESENT, sent=b"{}", sent_entry=row.entry)]))
    await state.write(lambda tx: tx.forget_member("default", "user_id:ada"))
    (row,) = await records(state, sync)
    assert (row.standing, row.payload, row.sent, await records(state, other)) == (ERASED, b"", b"{}", [])
    assert await state.read(lambda view: (view.erased_syncs(), view.erased_members(sync, limit=9))) == (
        [sync],
        [member],
    )
    assert not await state.read(lambda view: view.has_member(member))


async def test_claimants_of_an_entry_are_found_by_what_they_want_and_hold(state):
    """However many members there are."""
    sync = await new_sync(state)
    shared = b"s" * 16
    await state.write(
        lambda tx: tx.save_wanted(
            [wanted(sync, 1, entry=shared), wanted(sync, 2), wanted(sync, 3, entry=shared)], now_us=5
        )
    )
    found = await state.read(lambda view: view.claimants(sync, [shared]))
    assert [row.member for row in found] == [1, 3]


async def test_a_tick_is_claimed_once_and_one_run_is_open(state):
    """The same tick, a second queued and a second open run are refused."""
    sync = await new_sync(state)
    row = RunRow(id=0, sync=sync, kind="", trigger="schedule", scheduled_us=NOW_US)
    first = await state.write(lambda tx: tx.add_run(row))
    from msgspec.structs import replace

    assert first
    assert await state.write(lambda tx: tx.add_run(row)) == 0
    assert await state.write(lambda tx: tx.add_run(replace(row, scheduled_us=NOW_US + 1))) == 0
    await state.write(lambda tx: tx.save_run(replace(row, id=first, status="planning")))
    second = await state.write(lambda tx: tx.add_run(replace(row, scheduled_us=NOW_US + 2)))
    assert second
    assert await state.write(lambda tx: tx.add_run(replace(row, scheduled_us=NOW_US + 3, status="planning"))) == 0
    assert await state.read(lambda view: (view.open_run(sync).id, view.queued_run(sync).id)) == (first, second)


async def test_operations_become_deliveries_and_are_found_by_them(state):
    """In order, phase by phase; what was deleted under them is told."""
    await state.write(lambda tx: tx.add_planned([PlannedRow(0, 7, phase, 1, b"x") for phase in (4, 3, 3)]))
    assert await state.read(lambda view: (view.next_phase(7), view.planned_left(7))) == (3, (3, 0))
    rows = await state.read(lambda view: view.planned(7, phase=3))

    def release(tx):
        first = tx.add_deliveries([owed(member=0), owed(member=0)], now_us=NOW_US)
        tx.release_planned([row.id for row in rows], first)
        return first

    first = await state.write(release)
    found = await state.read(lambda view: view.planned_of([first, first + 1]))
    assert [row.id for row in found.values()] == [row.id for row in rows]
    await state.write(
        lambda tx: tx.claim("ads", now_us=NOW_US, lease_until_us=NOW_US + HOUR_US, events_max=1, bytes_max=99)
    )
    await state.write(lambda tx: tx.settle([Settlement(first, "closed")], None, now_us=NOW_US))
    lost = await state.write(lambda tx: tx.drop_plan(7, limit=10, unreleased=False))
    assert [row.delivery for row in lost] == [first]


async def test_a_list_holds_each_entry_once_with_the_latest_payload(state):
    """Frozen in pages of members; compared with the list before; stripped of what people gave."""
    sync = await new_sync(state)
    shared = b"s" * 16
    rows = [wanted(sync, 1, entry=shared, at_us=9), wanted(sync, 2, entry=shared, at_us=3), wanted(sync, 3)]
    await state.write(lambda tx: tx.save_wanted(rows, now_us=5))

    async def freeze(run):
        after = 0
        while after is not None:
            after = await state.write(
                lambda tx, after=after: tx.freeze_page(run, sync, after=after, members=1, keeps_out=False)
            )

    await freeze(1)
    page = await state.read(lambda view: view.list_page(1, after=b""))
    assert [(entry[:1], member, at_us) for entry, member, at_us, _payload in page] == [(b"\x03", 3, 1), (b"s", 1, 9)]
    await state.write(lambda tx: tx.save_exits([gone(sync, 3)], now_us=6))
    await state.write(lambda tx: tx.save_wanted([wanted(sync, 4)], now_us=6))
    assert await state.read(lambda view: view.list_plan(sync, 1)) == (2, 1, 1)
    await freeze(2)

    def pages(view, one, other):
        after, found = b"", []
        while after is not None:
            entries, missing, after = view.list_difference(one, other, after=after, limit=1)
            found.append((entries, missing))
        return found

    assert await state.read(lambda view: pages(view, 2, 1)) == [(1, 1), (1, 0), (0, 0)]
    assert await state.read(lambda view: pages(view, 1, 2)) == [(1, 1), (1, 0), (0, 0)]
    after = b""
    while after is not None:
        after = await state.write(lambda tx, after=after: tx.strip_list(2, after=after, limit=1))
    assert {row[3] for row in await state.read(lambda view: view.list_page(2, after=b""))} == {b""}
    await state.write(lambda tx: tx.mark_listed(2, sync, after=0, members=100, now_us=7))
    assert {row.member: row.state for row in await records(state, sync)} == {1: PRESENT, 2: PRESENT, 4: PRESENT}
    assert all(row.standing == IN for row in await records(state, sync))


async def test_requests_of_a_time_are_found_among_many_others(state):
    """The last ones of the mapping that began and ended in it, oldest first, whatever other lanes did meanwhile."""

    def keep(tx):
        for number in range(1, 401):
            lane = "ads" if number % 4 == 0 else "mail"
            started_us = NOW_US + number * 1_000_000
            tx.settle(
                [],
                AttemptRow(0, lane, f"{lane}/list", started_us, 500, "delivered", 200, (number,), "", "", "", ()),
                now_us=1,
            )

    await state.write(keep)

    async def found(begin_s, end_s, limit=1_000):
        rows = await state.read(
            lambda view: view.attempts_between(
                "ads", "ads/list", NOW_US + begin_s * 1_000_000, NOW_US + end_s * 1_000_000, limit=limit
            )
        )
        return [row.deliveries[0] for row in rows]

    assert await found(100, 120) == [100, 104, 108, 112, 116, 120]
    assert await found(100, 120, limit=2) == [116, 120]
    assert await found(0, 5) == [4]
    assert await found(401, 900) == []
    assert await found(-50, 2**40, limit=1) == [400]


async def test_news_of_members_is_told_of_each_sync_by_itself(state):
    """The oldest and how many."""
    await state.write(lambda tx: tx.touch([(2, 5), (2, 6), (9, 5)], now_us=7))
    await state.write(lambda tx: tx.touch([(2, 7), (2, 5)], now_us=8))
    assert await state.read(lambda view: view.touched_since()) == {2: (7, 3), 9: (7, 1)}


async def test_a_log_is_deleted_in_pieces_and_its_run_not_looked_at_again(state):
    """Lines first, then the run counts once more as done with; runs that have not ended, or ended later, keep theirs."""
    sync = await new_sync(state)

    def fill(tx):
        for number, finished_us in ((1, 10), (2, 20), (3, 30), (4, 0)):
            row = RunRow(id=0, sync=sync, kind="diff", trigger="manual", status="succeeded", finished_us=finished_us)
            assert tx.add_run(row) == number
            tx.add_row_results(
                [
                    RowResult(sync, number, seq, "ref", "add", "accepted", "", "", "", 200, 1, 1, 1, 1, "", "")
                    for seq in (1, 2)
                ]
            )

    await state.write(fill)

    def drop(tx):
        return tx.drop_row_results(sync, finished_before_us=30, limit=3)

    assert [await state.write(drop) for _ in range(3)] == [3, 3, 0]
    left = await state.read(lambda view: [len(view.row_results(run=run)) for run in (1, 2, 3, 4)])
    assert left == [0, 0, 2, 2]


async def test_shares_count_a_member_once_and_trouble_by_code(state):
    """However many lines it has, and whichever of them are in; who was listed under another mapping is told."""
    sync = await new_sync(state)
    await state.write(lambda tx: tx.save_wanted([wanted(sync, 1)], now_us=5))
    (row,) = await records(state, sync)
    from msgspec.structs import replace

    problem = b'{"problem":{"kind":"rejected","code":"BAD"}}'
    kept = [
        row,
        replace(row, line=7),
        replace(row, member=2, line=-3, state=PRESENT, run=1),
        replace(row, member=2, line=4, state=PRESENT, run=2),
        replace(row, member=3, line=5, standing=OUT, state=PRESENT),
        replace(row, member=3, line=6, more=problem),
        replace(row, member=4, entry=b"", unmappable="payload_invalid"),
        replace(row, member=5, standing=OUT, unmappable="payload_invalid", more=problem),
    ]

    def fill(tx):
        for version in ("v1", "v2"):
            tx.add_run(RunRow(id=0, sync=sync, kind="diff", trigger="manual", status="succeeded", config=version))
        tx.put_records(sync, kept)

    await state.write(fill)
    shares = await state.read(lambda view: view.record_shares(sync, version="v2"))
    assert (shares.members_in, shares.waiting, shares.gone_and_listed, shares.older) == (4, 8, 1, 1)
    assert (shares.unmappable, shares.problems) == ({"payload_invalid": 1}, [("rejected", "BAD", 2)])
    assert (await state.read(lambda view: view.record_shares(sync))).older == 0


async def test_log_lines_that_went_wrong_are_found_and_counted(state):
    """By status in order; grouped with the first message, most first; what was accepted is not among them."""
    sync = await new_sync(state)
    ended = ["accepted", "rejected", "failed", "rejected", "accepted", "unsure"]

    def fill(tx):
        run = tx.add_run(RunRow(id=0, sync=sync, kind="diff", trigger="manual", status="partial", finished_us=9))
        tx.add_row_results(
            [
                RowResult(sync, run, seq, "ref", "add", status, "request", "", f"line {seq}", 200, 1, 1, 1, 1, "", "")
                for seq, status in enumerate(ended, 1)
            ]
        )
        return run

    run = await state.write(fill)

    def seqs(view, status, after=0):
        return [line.seq for line in view.row_results(run=run, status=status, after_seq=after)]

    assert await state.read(lambda view: [seqs(view, one) for one in ("", "accepted", "rejected", "failed", "cancelled")]) == [
        [1, 2, 3, 4, 5, 6], [1, 5], [2, 4], [3], [],
    ]  # fmt: skip
    assert await state.read(lambda view: seqs(view, "rejected", 2)) == [4]
    counts = await state.read(lambda view: view.result_counts(run))
    assert (counts[0].status, counts[0].count, counts[0].message) == ("rejected", 2, "line 2")
    assert sorted(one.status for one in counts) == ["failed", "rejected", "unsure"]
