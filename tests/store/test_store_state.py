"""What every store's state does besides deliveries: transactions, cursor, notes, duplicates, traces, the ledger."""

import asyncio

import pytest
from owed import DAY_US, NOW_US, claim_ids, owed, settle, trace

from gateway.core.errors import StoreError
from gateway.core.events import Place
from gateway.store.rows import AttemptRow, AudienceRow, LaneRow, MembershipRow, SeenKey

pytestmark = pytest.mark.anyio


async def test_cursor_and_notes_are_kept(stores, state):
    """What was written is there after closing and opening, also for a reader beside the engine."""
    assert await state.read(lambda view: (view.cursor(), view.note("a"))) == ((0, 0), None)

    def work(tx):
        tx.move_cursor(1, 7)
        tx.move_cursor(1, 9)
        tx.move_cursor(3 * 16384 + 2, 4)
        tx.put_note("a", b"1")
        tx.put_note("a", b"2")

    await state.write(work)
    await state.close()
    state = stores.state()
    seen = await state.read(lambda view: (view.cursor(), view.cursors(), view.note("a")))
    assert seen == ((1, 9), {0: (1, 9), 3: (3 * 16384 + 2, 4)}, b"2")


async def test_a_work_that_raises_leaves_nothing(state):
    """Works that run together fail alone: the others' changes stay, theirs are gone, and what was remembered with them."""

    def good(n):
        def work(tx):
            tx.put_note(str(n), b"kept")
            return tx.add_deliveries([owed(lane=f"lane {n}", mapping=f"mapping {n}")], now_us=1)

        return work

    def bad(n):
        def work(tx):
            tx.put_note(str(n), b"lost")
            tx.intern_audiences([("default", f"audience {n}", "key")], now_us=1)
            tx.intern_members([("default", f"user_id:{n}")])
            tx.add_traces([trace(n, received_us=n * DAY_US)], now_us=1)
            tx.add_deliveries([owed(lane=f"lane {n}", mapping=f"mapping {n}")], now_us=1)
            raise RuntimeError(f"no {n}")

        return work

    ended = await asyncio.gather(
        *(state.write(bad(n) if n % 3 == 0 else good(n)) for n in range(30)), return_exceptions=True
    )
    assert [str(end) if n % 3 == 0 else end for n, end in enumerate(ended)] == [
        f"no {n}" if n % 3 == 0 else n - n // 3 for n in range(30)
    ]
    kept = [n for n in range(30) if n % 3]
    assert await state.read(lambda view: [n for n in range(30) if view.note(str(n))]) == kept
    rows = await state.read(lambda view: view.deliveries())
    assert [(row.lane, row.mapping) for row in rows] == [(f"lane {n}", f"mapping {n}") for n in kept]
    assert await state.read(lambda view: (view.audiences(), view.traces())) == ([], [])
    made = await state.write(lambda tx: tx.intern_members([("default", "user_id:3")]))
    assert await state.read(lambda view: view.member_id("default", "user_id:3")) == made["default", "user_id:3"]


async def test_a_read_sees_one_moment(state):
    """A view does not see what is committed while it looks."""
    looked, written = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def look(view):
        first = view.note("a")
        loop.call_soon_threadsafe(looked.set)
        asyncio.run_coroutine_threadsafe(written.wait(), loop).result()
        return first, view.note("a")

    reading = asyncio.create_task(state.read(look))
    await looked.wait()
    await state.write(lambda tx: tx.put_note("a", b"1"))
    written.set()
    assert await reading == (None, None)
    assert await state.read(lambda view: view.note("a")) == b"1"


async def test_a_view_cannot_change_anything(state):
    """Reading connections refuse to write."""
    with pytest.raises(StoreError):
        await state.read(lambda view: view._connection.execute("DELETE FROM note"))


async def test_closing_finishes_what_waits(stores, state):
    """Works handed over before `close` are committed; later ones are refused."""
    waiting = [asyncio.create_task(state.write(lambda tx, n=n: tx.put_note(str(n), b"x"))) for n in range(40)]
    await asyncio.sleep(0)
    await state.close()
    await asyncio.gather(*waiting)
    with pytest.raises(StoreError, match="closing"):
        await state.write(lambda tx: None)
    assert await stores.state().read(lambda view: [view.note(str(n)) for n in range(40)]) == [b"x"] * 40


async def test_a_second_engine_is_refused_by_name(stores, state):
    """Only one process writes the state; the error says which file and who holds it."""
    with pytest.raises(StoreError, match=r"state.db is written by another process \(pid \d+\)"):
        stores.state()


async def test_a_nearly_full_disk_stops_writes(stores):
    """Below the named minimum of free space works are refused with a wait, once it was noticed."""
    state = stores.state(disk_free_bytes_min=1 << 62)
    await state.write(lambda tx: None)
    with pytest.raises(StoreError, match="nearly full"):
        await state.write(lambda tx: None)


async def test_duplicates_are_told_by_id_and_digest(state):
    """Same id and digest: duplicate; same id, other digest: reused; keys of one call count for each other."""
    keys = [SeenKey(1, 1, Place(1, 1, n)) for n in range(2)] + [
        SeenKey(1, 2, Place(1, 1, 2)),
        SeenKey(2, 1, Place(1, 1, 3)),
    ]
    assert await state.write(lambda tx: tx.check_seen(keys, now_us=NOW_US)) == ["new", "duplicate", "id_reused", "new"]
    assert await state.write(lambda tx: tx.check_seen(keys[:1], now_us=NOW_US)) == ["new"], "only traces make it known"
    await state.write(lambda tx: tx.add_traces([trace(1), trace(-5, -6, frame=2)], now_us=NOW_US))
    again = [
        SeenKey(1, 1, Place(2, 1, 0)),
        SeenKey(1, 2, Place(2, 1, 1)),
        SeenKey(1, 2, Place(2, 1, 2)),
        SeenKey(-5, -6, Place(2, 1, 3)),
    ]
    assert await state.write(lambda tx: tx.check_seen(again, now_us=NOW_US)) == [
        "duplicate",
        "id_reused",
        "duplicate",
        "duplicate",
    ]


@pytest.mark.parametrize(("days", "verdict"), [(0, "duplicate"), (6.99, "duplicate"), (7.01, "new"), (20, "new")])
async def test_a_repeat_counts_within_seven_days(state, days, verdict):
    """The window is seven days to the second, whichever tables they fall into."""
    await state.write(lambda tx: tx.add_traces([trace(1)], now_us=NOW_US))
    key = SeenKey(1, 1, Place(9, 1, 0))
    assert await state.write(lambda tx: tx.check_seen([key], now_us=NOW_US + int(days * DAY_US))) == [verdict]


async def test_traces_are_found_by_id_and_listed_newest_first(state):
    """Traces of one id come oldest first; lists run from the newest place back, filtered, over days."""
    rows = [
        trace(
            n // 2,
            n,
            frame=n,
            received_us=NOW_US + n * DAY_US // 4,
            outcome="rejected" if n == 3 else "decided",
            source="app" if n % 2 else "shop",
        )
        for n in range(1, 9)
    ]
    rows.append(trace(0, 0, frame=20, received_us=NOW_US + 3 * DAY_US, outcome="rejected"))
    await state.write(lambda tx: tx.add_traces(rows, now_us=NOW_US))
    assert await state.read(lambda view: view.traces()) == rows[::-1]
    assert await state.read(lambda view: view.traces(before=Place(1, 6, 0), limit=2)) == [rows[4], rows[3]]
    assert await state.read(lambda view: view.traces(outcome="rejected", source="app")) == [rows[2]]
    assert await state.read(lambda view: view.traces(source="never met")) == []
    assert await state.read(lambda view: view.trace(2)) == [rows[3], rows[4]]
    assert await state.read(lambda view: view.trace(0)) == []  # it has no key
    between = await state.read(lambda view: view.traces_between(rows[1].received_us, rows[6].received_us))
    assert between == [row for row in rows[1:6] if row.outcome == "decided"]
    page = await state.read(lambda view: view.traces_between(0, 1 << 60, after=rows[4].place, limit=2, source="app"))
    assert page == [rows[6]]


async def test_a_repeat_is_counted_at_the_first(state):
    """A duplicate leaves no row of its own."""
    first = trace(1, deliveries=2, first_delivery=5)
    repeat = trace(1, frame=2, outcome="duplicate")
    await state.write(lambda tx: tx.add_traces([first, repeat], now_us=NOW_US))
    await state.write(lambda tx: tx.add_traces([repeat, trace(77, outcome="duplicate")], now_us=NOW_US))
    (found,) = await state.read(lambda view: view.traces())
    assert (found.place, found.duplicates, found.first_delivery, found.deliveries) == (first.place, 2, 5, 2)


async def test_audiences_and_members_keep_their_ids(state, stores):
    """Names become integers once; the latest key is remembered; a new process finds the same."""
    first = await state.write(lambda tx: tx.intern_audiences([("s", "vip", "vip_key"), ("t", "vip", "k")], now_us=3))
    assert first["s", "vip"] == AudienceRow(1, "s", "vip", "vip_key", 3)
    people = await state.write(
        lambda tx: tx.intern_members([("s", "user_id:1"), ("s", "user_id:1"), ("t", "user_id:1")])
    )
    assert sorted(people.values()) == [1, 2]
    await state.write(lambda tx: tx.set_external_id(1, "ext-1"))
    await state.close()
    state = stores.state()
    again = await state.write(lambda tx: tx.intern_audiences([("s", "vip", "renamed")], now_us=9))
    assert again == {("s", "vip"): AudienceRow(1, "s", "vip", "renamed", 3, "ext-1")}
    assert await state.write(lambda tx: tx.intern_members([*people, ("s", "user_id:2")])) == {
        **people,
        ("s", "user_id:2"): 3,
    }
    assert await state.read(lambda view: view.audience("s", "vip")) == again["s", "vip"]
    assert await state.read(lambda view: view.audience("u", "vip")) is None


async def test_the_ledger_counts_who_is_in(state):
    """Member counts follow entries, exits, repeats and rows that were never read."""

    def row(member, is_member, at_us=1):
        return MembershipRow(1, member, is_member, at_us, at_us, at_us, Place(1, 1, member))

    def work(tx):
        tx.intern_audiences([("s", "vip", "k")], now_us=1)
        tx.intern_members([("s", f"user_id:{n}") for n in (1, 2, 3)])
        assert tx.memberships([(1, 1), (1, 2)]) == {}
        tx.save_memberships([row(1, True), row(2, True), row(3, False)])
        tx.save_memberships([row(1, True, 2), row(2, False, 2)])
        return tx.memberships([(1, 1), (1, 2), (1, 3), (2, 1)])

    assert await state.write(work) == {(1, 1): row(1, True, 2), (1, 2): row(2, False, 2), (1, 3): row(3, False)}
    await state.write(lambda tx: tx.save_memberships([row(2, True, 3)]))
    assert (await state.read(lambda view: view.audiences()))[0].members == 2
    assert await state.read(lambda view: view.members(1)) == [
        (1, "user_id:1", row(1, True, 2)),
        (2, "user_id:2", row(2, True, 3)),
    ]
    assert await state.read(lambda view: view.members(1, after=1, limit=5)) == [(2, "user_id:2", row(2, True, 3))]
    assert await state.read(lambda view: view.membership(1, "s", "user_id:3")) == row(3, False)
    assert await state.read(lambda view: view.membership(1, "s", "user_id:9")) is None
    ((audience, of_one),) = await state.read(lambda view: view.memberships_of("s", "user_id:1"))
    assert (audience.name, of_one) == ("vip", row(1, True, 2))


async def test_a_deletion_takes_what_was_kept_for_debugging_and_no_other_note(state):
    """Request bodies name people, and nobody knows which."""

    def work(tx):
        for key in ("destination/nw/debug/0", "destination/nw/debug/count", "destination/nw/token", "debug/engine"):
            tx.put_note(key, b"x")
        tx.forget_member("s", "email:ada@example.com")
        return [tx.note(key) for key in ("destination/nw/debug/0", "destination/nw/debug/count")], [
            tx.note(key) for key in ("destination/nw/token", "debug/engine")
        ]

    assert await state.write(work) == ([None, None], [b"x", b"x"])


async def test_a_deleted_person_leaves_a_hash_only(state):
    """Forgetting removes ids, memberships and what waits or died, except deletes; the tombstone holds no name."""

    def work(tx):
        tx.intern_audiences([("s", "vip", "k")], now_us=1)
        tx.intern_members([("s", "email:ada@example.com"), ("s", "user_id:2")])
        tx.save_memberships([MembershipRow(1, n, True, 1, 1, 1, Place(1, 1, n)) for n in (1, 2)])
        tx.add_deliveries(
            [owed(member=1), owed(lane="other", member=1), owed(member=1, operation="delete"), owed(member=2)], now_us=1
        )
        assert tx.tombstones([("s", "email:ada@example.com")]) == {}
        tx.add_tombstone("s", "email:ada@example.com", deleted_us=50)
        tx.add_tombstone("s", "email:ada@example.com", deleted_us=40)
        tx.forget_member("s", "email:ada@example.com")
        tx.forget_member("s", "never met")
        return tx.tombstones([("s", "email:ada@example.com"), ("s", "user_id:2")])

    assert await state.write(work) == {("s", "email:ada@example.com"): 50}
    assert (await state.read(lambda view: view.tombstone("s", "email:ada@example.com"))).deleted_us == 50
    assert await state.read(lambda view: view.tombstone("s", "user_id:2")) is None
    assert (await state.read(lambda view: view.audiences()))[0].members == 1
    assert await state.read(lambda view: view.memberships_of("s", "email:ada@example.com")) == []
    assert [(row.id, row.operation) for row in await state.read(lambda view: view.deliveries())] == [
        (3, "delete"),
        (4, "enter"),
    ]
    assert [
        row.id
        for row in await state.write(
            lambda tx: tx.claim("ads", now_us=9, lease_until_us=10, events_max=9, bytes_max=9999)
        )
    ] == [3, 4]
    fresh = await state.write(lambda tx: tx.intern_members([("s", "email:ada@example.com")]))
    assert fresh == {("s", "email:ada@example.com"): 3}


async def test_lanes_keep_their_standing_and_count(state):
    """Standing is what was saved; counts come from the deliveries."""
    saved = LaneRow(
        lane="ads",
        paused=True,
        hold="unauthorized",
        hold_reason="401",
        held_us=4,
        breaker="open",
        breaker_us=5,
        failing_since_us=6,
    )

    def work(tx):
        tx.save_lane(saved)
        tx.add_deliveries(
            [owed(member=1, due_us=7), owed(member=1, due_us=3), owed(member=0, due_us=9), owed(lane="new")], now_us=1
        )
        tx.claim("ads", now_us=8, lease_until_us=10, events_max=1, bytes_max=9999)

    await state.write(work)
    assert await state.read(lambda view: view.lanes()) == [
        LaneRow(
            lane="ads",
            paused=True,
            hold="unauthorized",
            hold_reason="401",
            held_us=4,
            breaker="open",
            breaker_us=5,
            failing_since_us=6,
            due=2,
            claimed=1,
            oldest_due_us=9,
        ),
        LaneRow(lane="new", due=1),
    ]
    assert await state.read(lambda view: view.lane("never met")) == LaneRow(lane="never met")


async def test_pruning_deletes_what_is_over_in_pieces(state):
    """Each kind goes when its own time is over and stays until then; tables of a window go whole."""

    def fill(tx):
        tx.add_traces([trace(n, frame=n, received_us=n * DAY_US) for n in range(1, 30)], now_us=1)
        tx.intern_audiences([("s", "vip", "k")], now_us=1)
        tx.save_memberships([MembershipRow(1, n, n % 2 == 0, 1, n * DAY_US, 1, Place(1, 1, n)) for n in range(1, 30)])
        tx.add_tombstone("s", "user_id:1", deleted_us=1)
        tx.add_deliveries([owed(member=n) for n in range(1, 5)], now_us=1)
        for day in (28, 29):
            settle(tx, claim_ids(tx, events_max=2), "dead", now_us=day * DAY_US)
            tx.settle([], AttemptRow(0, "ads", "forward", day * DAY_US - 1, 1, "refused", 400, ()), now_us=day * DAY_US)

    await state.write(fill)

    def prune(tx):
        return tx.prune(
            now_us=30 * DAY_US,
            retain_seen_us=7 * DAY_US,
            retain_dead_us=DAY_US,
            retain_attempts_us=DAY_US,
            retain_out_us=20 * DAY_US,
        )

    deleted = await state.write(prune)
    assert deleted == 22 + 3 + 5 + 2 + 2  # trace and seen tables, exits, dead, attempts
    assert await state.write(prune) == 0
    assert [row.place.frame for row in await state.read(lambda view: view.traces())] == list(range(29, 22, -1))
    assert len(await state.read(lambda view: view.deliveries())) == 2
    left = await state.write(lambda tx: tx.memberships([(1, n) for n in range(30)]))
    assert sorted(member for _audience, member in left) == [n for n in range(1, 30) if n % 2 == 0 or n >= 10]


async def test_what_is_told_of_a_commit_is_told_behind_it_and_only_where_it_is_kept(state):
    """A log line that came first would lie to whoever reads the store on its word."""
    told = []

    def kept(tx):
        tx.put_note("one", b"1")
        tx.when_committed(lambda: told.append("kept"))
        assert told == []

    def lost(tx):
        tx.when_committed(lambda: told.append("lost"))
        raise KeyError("no")

    await state.write(kept)
    assert told == ["kept"]
    with pytest.raises(KeyError):
        await state.write(lost)
    assert told == ["kept"]
