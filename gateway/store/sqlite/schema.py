"""Tables of both databases, as numbered migrations in plain SQL, and the check that a file is of a version we know.

A migration that was released is never edited: a change is a new one at the end of its list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.core.errors import StoreError
from gateway.store.sqlite.alerts import ALERTS_ARE_TOLD
from gateway.store.sqlite.attempts import ATTEMPTS_ARE_SHELVED, shelve_all
from gateway.store.sqlite.build import driver
from gateway.store.sqlite.deliveries import DEAD_ARE_FOUND
from gateway.store.sqlite.log_exports import LOG_EXPORTS
from gateway.store.sqlite.memberships import TOMBSTONES_BY_TIME
from gateway.store.sqlite.record_counts import RECORDS_ARE_COUNTED
from gateway.store.sqlite.run_operations import RUNS_REMEMBER_OPERATIONS
from gateway.store.sqlite.sync_schema import (
    LOGS_KNOW_THEIR_MEMBERS,
    LOGS_KNOW_WHAT_WENT_WRONG,
    RUNS_KNOW_THEIR_WORK,
    STATE_002,
    SYNC_RENDERING,
    SYNCS_BESIDE_HELD_RUNS,
)

if TYPE_CHECKING:
    from sqlite_utils import Database

Step = Callable[["Database"], None]


class Migrations:
    """The steps of one database, in order. Steps are declared by decorating their function with `(name=…)`.

    sqlite-utils applies them. Most files are of the newest version when they are opened, and it takes longer to load than
    all of the store, so it is loaded where a step is due and nowhere else.
    """

    def __init__(self, name: str, steps: Mapping[str, Step] | None = None) -> None:
        self.name = name
        self.steps: dict[str, Step] = dict(steps or {})

    def __call__(self, *, name: str) -> Callable[[Step], Step]:
        """Add a step at the end."""

        def add(step: Step) -> Step:
            assert name not in self.steps, name
            self.steps[name] = step
            return step

        return add

    def applied(self, connection: driver.Connection) -> set[str]:
        """Names of the steps that a file has; sqlite-utils notes them there."""
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = '_sqlite_migrations'").fetchone():
            return set()
        found = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (self.name,))
        return {row[0] for row in found.fetchall()}

    def apply(self, connection: driver.Connection) -> None:
        """Take the steps that a file lacks, each in a transaction of its own."""
        import sqlite_utils  # noqa: PLC0415 # see above

        steps = sqlite_utils.Migrations(self.name)
        for name, step in self.steps.items():
            steps(name=name)(step)
        steps.apply(sqlite_utils.Database(connection))


inbox_migrations = Migrations("gateway.inbox")
state_migrations = Migrations("gateway.state")


@inbox_migrations(name="001 frames")
def _frames(db: Database) -> None:
    """A row is one commit group. `sealed` gets its one row when the writer has moved on to the next file."""
    db.conn.execute(
        """CREATE TABLE frame (
            id INTEGER PRIMARY KEY, received_us INTEGER NOT NULL, count INTEGER NOT NULL, crc INTEGER NOT NULL,
            body BLOB NOT NULL
        ) STRICT"""
    )
    db.conn.execute("CREATE TABLE sealed (sealed_us INTEGER NOT NULL, last_frame INTEGER NOT NULL) STRICT")


STATE_001 = (
    "CREATE TABLE cursor (writer INTEGER PRIMARY KEY, inbox INTEGER NOT NULL, frame INTEGER NOT NULL) STRICT",
    # Names of lanes, mappings, operations, sources, spaces and outcomes; never deleted, so an id always means one text.
    "CREATE TABLE text (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT",
    # Next ids of tables whose rows go while others still name their ids.
    "CREATE TABLE counter (name TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE note (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE audience (
        id INTEGER PRIMARY KEY, space INTEGER NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL, first_us INTEGER NOT NULL,
        external_id TEXT NOT NULL DEFAULT '', members INTEGER NOT NULL DEFAULT 0, UNIQUE (space, name)
    ) STRICT""",
    # Found by a 64-bit hash of space and id, then by the texts themselves: a narrow index for what grows the most.
    """CREATE TABLE member (
        id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, space INTEGER NOT NULL, canonical TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX member_hash ON member (hash)",
    """CREATE TABLE membership (
        audience INTEGER NOT NULL, member INTEGER NOT NULL, is_member INTEGER NOT NULL, at_us INTEGER NOT NULL,
        arrived_us INTEGER NOT NULL, since_us INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (audience, member)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX membership_member ON membership (member)",  # new members have the largest ids: written at its end
    "CREATE INDEX membership_out ON membership (arrived_us) WHERE is_member = 0",
    "CREATE TABLE tombstone (member BLOB PRIMARY KEY, deleted_us INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE lane (
        lane INTEGER PRIMARY KEY, paused INTEGER NOT NULL DEFAULT 0, hold TEXT NOT NULL DEFAULT '',
        hold_reason TEXT NOT NULL DEFAULT '', held_us INTEGER NOT NULL DEFAULT 0, breaker TEXT NOT NULL DEFAULT 'closed',
        breaker_us INTEGER NOT NULL DEFAULT 0, failing_since_us INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    # state: see deliveries_read.py. due_us of a dead one is when it died.
    """CREATE TABLE delivery (
        id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, mapping INTEGER NOT NULL, audience INTEGER NOT NULL,
        member INTEGER NOT NULL, operation INTEGER NOT NULL, state INTEGER NOT NULL, due_us INTEGER NOT NULL,
        lease_us INTEGER NOT NULL, failures INTEGER NOT NULL, status INTEGER NOT NULL, identifiers INTEGER NOT NULL,
        place INTEGER NOT NULL, event_at_us INTEGER NOT NULL, created_us INTEGER NOT NULL, reason TEXT NOT NULL,
        audience_settings BLOB NOT NULL, payload BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX delivery_due ON delivery (lane, mapping, due_us) WHERE state = 0",
    "CREATE INDEX delivery_claimed ON delivery (lane, lease_us) WHERE state = 1",
    "CREATE INDEX delivery_dead ON delivery (lane, mapping, due_us, member) WHERE state = 2",
    "CREATE INDEX delivery_parked ON delivery (lane) WHERE state = 3",
    # The order of a person's changes. Its columns never change while a row waits, so claims and retries leave it alone.
    "CREATE INDEX delivery_order ON delivery (lane, member) WHERE state <> 2 AND member <> 0",
    """CREATE TABLE attempt (
        id INTEGER PRIMARY KEY, lane INTEGER NOT NULL, mapping INTEGER NOT NULL, started_us INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL, outcome INTEGER NOT NULL, status INTEGER NOT NULL, first_delivery INTEGER NOT NULL,
        last_delivery INTEGER NOT NULL, deliveries BLOB NOT NULL, reason TEXT NOT NULL, request TEXT NOT NULL,
        answer TEXT NOT NULL
    ) STRICT""",
)


@state_migrations(name="001 state")
def _state(db: Database) -> None:
    """Everything but the tables made per window (`traces.py`)."""
    for statement in STATE_001:
        db.conn.execute(statement)


@state_migrations(name="002 syncs")
def _syncs(db: Database) -> None:
    """Syncs, records, runs, whole lists and logs; deliveries know their run."""
    for statement in STATE_002:
        db.conn.execute(statement)


@state_migrations(name="003 attempts have warnings")
def _attempt_warnings(db: Database) -> None:
    """Codes of what the identifiers of an attempt look like, with blanks between."""
    db.conn.execute("ALTER TABLE attempt ADD COLUMN warnings TEXT NOT NULL DEFAULT ''")


@state_migrations(name="004 runs beside held ones")
def _runs_beside_held_ones(db: Database) -> None:
    """A held run lets another one go on; orphans are found by what they are; audiences know their last event."""
    for statement in SYNCS_BESIDE_HELD_RUNS:
        db.conn.execute(statement)


@state_migrations(name="005 sync log exports")
def _log_exports(db: Database) -> None:
    """Which runs' logs lie in the export folder."""
    db.conn.execute(LOG_EXPORTS)


@state_migrations(name="sync rendering")
def _sync_rendering(db: Database) -> None:
    """A sync knows by which version of its mapping its records were made."""
    for statement in SYNC_RENDERING:
        db.conn.execute(statement)


@state_migrations(name="alerts are told")
def _alerts_are_told(db: Database) -> None:
    """Alerts know when they were told, and sinks what they still owe."""
    for statement in ALERTS_ARE_TOLD:
        db.conn.execute(statement)


@state_migrations(name="log lines name fields")
def _log_fields(db: Database) -> None:
    """Names, with commas between, of what was sent of a member."""
    db.conn.execute("ALTER TABLE row_result ADD COLUMN fields TEXT NOT NULL DEFAULT ''")


@state_migrations(name="runs know their work")
def _runs_know_their_work(db: Database) -> None:
    """What waits of a run's plan, and whether its log is gone, are found without looking at everything else."""
    for statement in RUNS_KNOW_THEIR_WORK:
        db.conn.execute(statement)


@state_migrations(name="logs know what went wrong")
def _logs_know_what_went_wrong(db: Database) -> None:
    """Log lines of what did not get through are found without reading the others."""
    for statement in LOGS_KNOW_WHAT_WENT_WRONG:
        db.conn.execute(statement)


@state_migrations(name="records are counted")
def _records_are_counted(db: Database) -> None:
    """How many records stand how is kept; those a run may have something to do with are found without the others."""
    for statement in RECORDS_ARE_COUNTED:
        db.conn.execute(statement)


@state_migrations(name="attempts are shelved")
def _attempts_are_shelved(db: Database) -> None:
    """Requests are found by the deliveries they carried, and by their lane."""
    for statement in ATTEMPTS_ARE_SHELVED:
        db.conn.execute(statement)
    shelve_all(db.conn)


@state_migrations(name="logs know their members")
def _logs_know_their_members(db: Database) -> None:
    """A member's lines of a run's log, and a sync's last runs over everybody, are found without reading the others."""
    for statement in LOGS_KNOW_THEIR_MEMBERS:
        db.conn.execute(statement)


@state_migrations(name="dead deliveries are found")
def _dead_deliveries_are_found(db: Database) -> None:
    """By lane in order, and by person, however many there are; and tombstones by time."""
    for statement in (*DEAD_ARE_FOUND, TOMBSTONES_BY_TIME):
        db.conn.execute(statement)


@state_migrations(name="runs remember operations")
def _runs_remember_operations(db: Database) -> None:
    """What a run did for each member is known until its snapshot takes it in."""
    for statement in RUNS_REMEMBER_OPERATIONS:
        db.conn.execute(statement)


def migrate(connection: driver.Connection, migrations: Migrations, path: Path) -> None:
    """Bring a writer's file to the newest version. Raises StoreError when a newer gateway wrote it."""
    if not check_version(connection, migrations, path):
        migrations.apply(connection)


def check_version(connection: driver.Connection, migrations: Migrations, path: Path) -> bool:
    """Whether no migration is pending. Raises StoreError when a newer gateway wrote the file."""
    applied = migrations.applied(connection)
    if unknown := sorted(applied - migrations.steps.keys()):
        raise StoreError(
            f"{path} was written by a newer gateway (it has {unknown[-1]!r}, which this version does not know). "
            "Run that version, or restore a backup made by this one."
        )
    return applied == migrations.steps.keys()


def require_current(connection: driver.Connection, migrations: Migrations, path: Path) -> None:
    """Let a reader pass only if the file is of this very version."""
    if not check_version(connection, migrations, path):
        raise StoreError(f"{path} is of an older version. Start the gateway once: it brings the file up to date.")
