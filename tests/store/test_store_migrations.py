"""Files of other versions: older ones are brought up to date, newer ones refused; the SQLite build is checked."""

import pytest

from gateway.core.errors import StoreError
from gateway.store import open_state_reader, sqlite_build_problem
from gateway.store.sqlite import schema
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.places import INBOX_MAX, Place, pack_place, unpack_place

pytestmark = pytest.mark.anyio


@pytest.fixture
def next_version(monkeypatch):
    """A gateway one migration ahead: what it has beside the present one."""
    later = schema.Migrations(schema.state_migrations.name, schema.state_migrations.steps)

    @later(name="999 notes have a time")
    def notes_have_a_time(db):
        db.conn.execute("ALTER TABLE note ADD COLUMN kept_us INTEGER NOT NULL DEFAULT 0")

    def go():
        monkeypatch.setattr("gateway.store.sqlite.state.state_migrations", later)

    return go


async def test_an_older_file_is_brought_up_to_date(stores, next_version):
    """A file of the present version opens in the next one, with its rows; a reader waits for the writer to do it."""
    state = stores.state()
    await state.write(lambda tx: tx.put_note("a", b"1"))
    await state.close()
    next_version()
    with pytest.raises(StoreError, match="older version"):
        open_state_reader(stores.folder)
    state = stores.state()
    assert await state.read(lambda view: view._rows("SELECT key, value, kept_us FROM note")) == [("a", b"1", 0)]


async def test_a_newer_file_is_refused(stores, next_version, monkeypatch):
    """What a newer gateway wrote is left untouched, and the error names the file and the migration."""
    with monkeypatch.context():
        next_version()
        await stores.state().close()
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"state\.db was written by a newer gateway \(it has '999 notes have a time'"):
        stores.state()
    with pytest.raises(StoreError, match="newer gateway"):
        open_state_reader(stores.folder)


async def test_a_migration_that_fails_leaves_the_file_as_it_was(stores, monkeypatch):
    """An interrupted upgrade is taken back whole and runs again at the next start."""
    await stores.state().close()
    broken = schema.Migrations(schema.state_migrations.name, schema.state_migrations.steps)

    @broken(name="999 broken")
    def half(db):
        db.conn.execute("CREATE TABLE half (x INTEGER) STRICT")
        raise RuntimeError("power cut")

    monkeypatch.setattr("gateway.store.sqlite.state.state_migrations", broken)
    with pytest.raises(RuntimeError, match="power cut"):
        stores.state()
    monkeypatch.undo()
    state = stores.state()
    assert await state.read(lambda view: view._rows("SELECT 1 FROM sqlite_schema WHERE name = 'half'")) == []


def test_every_table_is_strict(tmp_path):
    """Columns hold what they say, in both databases."""
    for migrations in (schema.inbox_migrations, schema.state_migrations):
        database = driver.connect(tmp_path / migrations.name, isolation_level=None)
        migrations.apply(database)
        loose = database.execute(
            "SELECT name FROM pragma_table_list WHERE strict = 0 AND name NOT LIKE '%sqlite%'"
        ).fetchall()
        database.close()
        assert loose == []


@pytest.mark.parametrize(
    ("version", "part"),
    [
        ((3, 53, 4), None),
        ((3, 51, 3), None),
        ((3, 51, 2), "WAL-reset"),
        ((3, 40, 1), "WAL-reset"),
        ((3, 31, 1), "too old"),
    ],
)
def test_the_sqlite_build_is_judged(version, part):
    """Builds with the WAL fault are told with the way out, those too old for our tables as well."""
    problem = sqlite_build_problem(version)
    assert problem is None if part is None else part in problem and "pysqlite3" in problem


def test_places_pack_in_order():
    """A packed place is found again, sorts as places do, and one out of range is refused."""
    places = [
        Place(i, f, n) for i in (0, 1, 16385, INBOX_MAX) for f in (0, 1, (1 << 24) - 1) for n in (0, 5, (1 << 19) - 1)
    ]
    packed = [pack_place(place) for place in places]
    assert packed == sorted(packed)
    assert [unpack_place(one) for one in packed] == places
    with pytest.raises(ValueError, match="no such place"):
        pack_place(Place(1, 1 << 24, 0))
