"""Sums over records are kept as they are written: they are those that counting them all would give."""

import random

import pytest
from msgspec.structs import replace
from owed import NOW_US

from gateway.core.errors import StoreError
from gateway.core.events import Place
from gateway.store import SumsChecked, check_sums, recount
from gateway.store.sqlite import schema
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.record_counts import RECORDS_ARE_COUNTED
from gateway.store.sqlite.state import STATE_FILE
from gateway.store.sync_rows import ERASED, IN, OUT, ExitRow, RecordRow, RunRow, WantedRow

pytestmark = pytest.mark.anyio

PROBLEMS = (
    b"",
    b'{"problem":{"kind":"rejected","code":"BAD"}}',
    b'{"problem":{"kind":"failed"}}',
    b'{"remembered":"eA=="}',
    b'{"orphans":[{"identity":"aa01","fingerprint":"aa01"}]}',
)
COUNTED = (
    "SELECT * FROM record_count WHERE records <> 0 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8",
    "SELECT * FROM record_people WHERE people <> 0 ORDER BY sync",
    "SELECT * FROM record_run ORDER BY sync, run",
)
FILLED = [statement for statement in RECORDS_ARE_COUNTED if statement.startswith("INSERT")]


def recounted(tx):
    """What is kept, and what counting all records anew says."""
    kept = [tx._rows(sql) for sql in COUNTED]
    for table, fill in zip(("record_count", "record_people", "record_run"), FILLED, strict=True):
        tx._run(f"DELETE FROM {table}")
        tx._run(fill)
    return kept, [tx._rows(sql) for sql in COUNTED]


def anything(chance, member):
    """A record that may stand in any way."""
    fingerprints = [bytes([number]) * 16 for number in range(3)]
    return RecordRow(
        member, chance.choice((0, 0, 3)), chance.choice((OUT, IN, IN, ERASED)), chance.randrange(4), 5, Place(1, 1, 0), b"{}",
        chance.choice(fingerprints), chance.choice((b"", b"e" * 16)), b"{}", chance.choice(fingerprints), b"s" * 16,
        chance.choice(("", "", "payload_invalid")), chance.choice(PROBLEMS), NOW_US, chance.randrange(3),
    )  # fmt: skip


def change(tx, chance, sync):
    """One of the ways in which records are written."""
    members = chance.sample(range(1, 40), 6)
    kept = bytes([chance.randrange(3)]) * 16
    wanted = [
        WantedRow(
            sync, one, chance.choice((0, 3)), 5, Place(1, 2, 0), b"{}", kept, kept, chance.choice(("", "no_entry"))
        )
        for one in members
    ]
    match chance.randrange(8):
        case 0 | 1:
            tx.put_records(sync, [anything(chance, one) for one in members])
        case 2:
            tx.save_wanted(wanted, now_us=NOW_US)
        case 3:
            tx.save_exits([ExitRow(sync, one, 6, Place(1, 3, 0), b"{}", kept, kept, True) for one in members], now_us=7)
        case 4:
            tx.drop_records(sync, [(one, chance.choice((0, 3))) for one in members])
        case 5:
            tx._erase_records(members[0])
        case 6:
            tx.note_left(sync, 1, after=members[0], limit=5, now_us=NOW_US)
        case 7:
            tx.mark_listed(1, sync, after=members[0], members=5, now_us=NOW_US)


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_kept_is_what_counting_gives(state, seed):
    """After any changes, in any order, of two syncs, and of a forwarding mapping, which is not counted."""
    chance = random.Random(seed)

    def walk(tx):
        syncs = list(tx.intern_syncs([("ads/list", 1), ("ads/list", 2)], now_us=NOW_US).values())
        tx._run("INSERT INTO listed VALUES (1, ?, 1, 1, x'')", (b"e" * 16,))
        for _ in range(120):
            change(tx, chance, chance.choice((*syncs, -7)))
        return recounted(tx)

    kept, counted = await state.write(walk)
    assert kept == counted
    assert len(counted[0]) > 20
    assert all(row[0] > 0 for table in counted for row in table)
    sync = kept[0][0][0]
    left = 1
    while left:
        left = await state.write(lambda tx: tx.drop_all_records(sync, limit=7))
    kept, counted = await state.write(recounted)
    assert kept == counted
    assert {row[0] for table in counted for row in table} == {2}


async def test_ways_to_stand_with_nobody_in_them_go(state):
    """A platform may give each refusal a code of its own."""

    def fill(tx):
        sync = tx.intern_syncs([("ads/list", 1)], now_us=NOW_US)["ads/list", 1]
        for number in range(9):
            problem = b'{"problem":{"kind":"rejected","code":"REQ%d"}}' % number
            tx.put_records(sync, [replace(anything(random.Random(1), 1), standing=IN, more=problem)])
        counts = "SELECT records FROM record_count ORDER BY records DESC"
        found = [tx._rows(counts)]
        while tx.drop_empty_counts(limit=5):
            found.append(tx._rows(counts))
        return [[records for (records,) in one] for one in found]

    assert await state.write(fill) == [[1, *[0] * 8], [1, 0, 0, 0], [1]]


async def test_wrong_sums_are_found_and_made_anew(stores):
    """In a folder whose gateway runs, or not; of as many records as there is room for."""
    state = stores.state()

    def fill(tx):
        numbers = tx.intern_syncs([("ads/list", one) for one in (1, 2, 3)], now_us=NOW_US)
        chance = random.Random(3)
        for number in numbers.values():
            tx.put_records(number, [anything(chance, one) for one in range(1, 120)])
        return tuple(numbers.values())

    first, second, third = await state.write(fill)
    assert check_sums(stores.folder) == SumsChecked(records=3 * 119)
    spoilt = (
        ("UPDATE record_count SET records = records + 1 WHERE sync = ?", first),
        ("UPDATE record_people SET people = people - 1 WHERE sync = ?", second),
        ("DELETE FROM record_run WHERE sync = ?", third),
    )
    for statement, sync in spoilt:
        await state.write(lambda tx, statement=statement, sync=sync: tx._run(statement, (sync,)))
    found = check_sums(stores.folder, records_max=2 * 119 + 118)
    assert found == SumsChecked(wrong=(first, second), left_out=(third,), records=2 * 119)
    with pytest.raises(StoreError, match="another process"):
        recount(stores.folder)
    await state.close()
    assert check_sums(stores.folder).wrong == (first, second, third)
    recount(stores.folder)
    assert check_sums(stores.folder) == SumsChecked(records=3 * 119)


async def test_figures_are_read_from_the_sums(state):
    """Settled, listed, unmappable, and the shares of a page."""

    def fill(tx):
        sync = tx.intern_syncs([("ads/list", 1)], now_us=NOW_US)["ads/list", 1]
        tx.add_run(RunRow(id=0, sync=sync, kind="diff", trigger="manual", status="succeeded", config="v1"))
        one = RecordRow(
            1, 0, IN, 1, 5, Place(1, 1, 0), b"{}", b"f" * 16, b"e" * 16, b"{}", b"f" * 16, b"e" * 16, "", b"", 5, 1
        )  # fmt: skip
        tx.put_records(
            sync,
            [
                one,
                replace(one, member=2, fingerprint=b"g" * 16, entry=b"2" * 16, changed_us=4),
                replace(one, member=3, state=0, sent_fingerprint=b"", sent_entry=b"", changed_us=9),
                replace(one, member=4, standing=OUT, changed_us=8),
                replace(one, member=5, standing=ERASED),
                replace(one, member=6, state=3, entry=b"6" * 16),
                replace(one, member=7, state=0, entry=b"", unmappable="payload_invalid"),
            ],
        )
        return sync

    sync = await state.write(fill)
    counts = await state.read(lambda v: (v.settled_count(sync), v.listed_count(sync), v.unmappable_count(sync)))
    assert counts == (1, 5, 1)
    shares = await state.read(lambda view: view.record_shares(sync, version="v2"))
    assert (shares.members_in, shares.waiting, shares.to_add, shares.to_update) == (5, 6, 1, 1)
    assert (shares.gone_and_listed, shares.to_erase, shares.unsure, shares.older) == (1, 1, 1, 5)
    assert [row.member for row in await state.read(lambda view: view.records(sync, settled=False))] == [
        2,
        3,
        4,
        5,
        6,
        7,
    ]
    after, pages = (0, -(2**63)), []
    while after is not None:
        page = await state.read(lambda view, after=after: view.unsent_page(sync, after=after, limit=2))
        pages.append((page.shared, page.oldest_us))
        after = page.last
    assert pages == [(1, 4), (0, 5), (0, 5), (0, 0)]


async def test_an_earlier_state_is_counted_when_it_is_opened(stores):
    """Records of before, in two syncs; forwarding is left out."""
    steps = schema.state_migrations.steps
    names = list(steps)
    first = {name: steps[name] for name in names[: names.index("records are counted")]}
    connection = driver.connect(stores.folder / STATE_FILE, isolation_level=None)
    schema.Migrations(schema.state_migrations.name, first).apply(connection)
    chance = random.Random(1)
    for sync in (1, 2, -9):
        for member in range(1, 30):
            one = anything(chance, member)
            connection.execute(
                "INSERT INTO record VALUES (?, ?, ?, ?, ?, 5, 0, x'', ?, ?, x'', ?, x'', ?, ?, 5, ?)",
                (
                    sync, member, one.line, one.standing, one.state, one.fingerprint, one.entry, one.sent_fingerprint,
                    one.unmappable, one.more, one.run,
                ),
            )  # fmt: skip
    attempts = ((1, 5, b"\x91\x01"), (2, 250, b"\x92\x01\xcd\x03\xe8"), (3, 0, b"\x90"))
    for number, first_delivery, packed in attempts:
        connection.execute(
            "INSERT INTO attempt VALUES (?, 1, 1, 5, 5, 1, 200, ?, ?, ?, '', '', '', '')",
            (number, first_delivery, {1: 6, 2: 1251, 3: 0}[number], packed),
        )
    connection.execute("INSERT INTO text (id, text) VALUES (1, 'ads')")
    connection.close()
    state = stores.state()
    kept, counted = await state.write(recounted)
    assert kept == counted
    assert {row[0] for row in kept[0]} == {1, 2}
    found = await state.read(
        lambda view: [[row.id for row in view.attempts_of(one)] for one in (5, 6, 250, 251, 1251, 7)]
    )
    assert found == [[1], [1], [2], [2], [2], []]
