"""Tables of syncs, their records, runs, lists and logs, and what was changed about them since: migrations in plain SQL."""

from __future__ import annotations

STATE_002 = (
    """CREATE TABLE sync (
        id INTEGER PRIMARY KEY, mapping INTEGER NOT NULL, audience INTEGER NOT NULL, status TEXT NOT NULL DEFAULT 'active',
        status_error TEXT NOT NULL DEFAULT '', next_us INTEGER NOT NULL DEFAULT 0, created_us INTEGER NOT NULL,
        updated_us INTEGER NOT NULL, last_run INTEGER NOT NULL DEFAULT 0, last_synced_us INTEGER NOT NULL DEFAULT 0,
        last_success_us INTEGER NOT NULL DEFAULT 0, deleted_us INTEGER NOT NULL DEFAULT 0, listed INTEGER NOT NULL DEFAULT 0,
        listed_run INTEGER NOT NULL DEFAULT 0, event_settings BLOB NOT NULL DEFAULT x'', memory BLOB NOT NULL DEFAULT x'',
        UNIQUE (mapping, audience)
    ) STRICT""",
    # In member order, so that a plan reads it like a book. standing, state: see sync_rows.py. line: 0, or one of several.
    # more_kinds: which rare things `more` holds, so that a plan can pass over the many records without any.
    """CREATE TABLE record (
        sync INTEGER NOT NULL, member INTEGER NOT NULL, line INTEGER NOT NULL, standing INTEGER NOT NULL,
        state INTEGER NOT NULL, at_us INTEGER NOT NULL, place INTEGER NOT NULL, payload BLOB NOT NULL,
        fingerprint BLOB NOT NULL, entry BLOB NOT NULL, sent BLOB NOT NULL, sent_fingerprint BLOB NOT NULL,
        sent_entry BLOB NOT NULL, unmappable TEXT NOT NULL, more BLOB NOT NULL, changed_us INTEGER NOT NULL,
        run INTEGER NOT NULL, PRIMARY KEY (sync, member, line)
    ) STRICT, WITHOUT ROWID""",
    # Two members with the same identifiers are one entry of a list; for these questions alone, and not for whole lists' lines.
    "CREATE INDEX record_wants ON record (sync, entry) WHERE standing = 1 AND entry <> x''",
    "CREATE INDEX record_holds ON record (sync, sent_entry) WHERE sent_entry <> x''",
    # Deleted people who are still on a list: few, and asked for often.
    # Members with news for a sync that follows events: gathered for a short while, then run.
    """CREATE TABLE touched (
        sync INTEGER NOT NULL, member INTEGER NOT NULL, at_us INTEGER NOT NULL, PRIMARY KEY (sync, member)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX record_erased ON record (sync, member) WHERE standing = 2",
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY, sync INTEGER NOT NULL, kind TEXT NOT NULL, "trigger" TEXT NOT NULL, status TEXT NOT NULL,
        scheduled_us INTEGER NOT NULL, missed INTEGER NOT NULL, coalesced INTEGER NOT NULL, queued_us INTEGER NOT NULL,
        due_us INTEGER NOT NULL, started_us INTEGER NOT NULL, finished_us INTEGER NOT NULL, reason TEXT NOT NULL,
        approved_by TEXT NOT NULL, config TEXT NOT NULL, counters BLOB NOT NULL, progress BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX run_sync ON run (sync, id)",
    # A tick is claimed by its row; one run of a sync is open, and one waits behind it.
    "CREATE UNIQUE INDEX run_tick ON run (sync, scheduled_us) WHERE scheduled_us > 0",
    "CREATE UNIQUE INDEX run_open ON run (sync) WHERE status IN ('planning', 'sending', 'held')",
    "CREATE UNIQUE INDEX run_queued ON run (sync) WHERE status = 'queued'",
    "CREATE INDEX run_finished ON run (finished_us) WHERE finished_us > 0",
    """CREATE TABLE planned (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL, phase INTEGER NOT NULL, member INTEGER NOT NULL, body BLOB NOT NULL,
        delivery INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX planned_waiting ON planned (run, phase, id) WHERE delivery = 0",
    "CREATE INDEX planned_released ON planned (delivery) WHERE delivery <> 0",
    "CREATE INDEX planned_run ON planned (run, phase)",
    # A whole list as one run froze it: people once each, by digest of what a platform knows them by. When the platform has
    # taken the list the payloads go, and what stays says who is on it.
    """CREATE TABLE listed (
        run INTEGER NOT NULL, entry BLOB NOT NULL, member INTEGER NOT NULL, at_us INTEGER NOT NULL, payload BLOB NOT NULL,
        PRIMARY KEY (run, entry)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX listed_member ON listed (member)",
    """CREATE TABLE row_result (
        run INTEGER NOT NULL, seq INTEGER NOT NULL, member_ref TEXT NOT NULL, operation TEXT NOT NULL, status TEXT NOT NULL,
        stage TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, http_status INTEGER NOT NULL, attempts INTEGER NOT NULL,
        batch INTEGER NOT NULL, first_us INTEGER NOT NULL, finished_us INTEGER NOT NULL, fingerprint_before TEXT NOT NULL,
        fingerprint_after TEXT NOT NULL, PRIMARY KEY (run, seq)
    ) STRICT, WITHOUT ROWID""",
    # One compressed blob a part: (member, state, fingerprint, operation) of every record after a run.
    """CREATE TABLE snapshot (
        run INTEGER NOT NULL, part INTEGER NOT NULL, members INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (run, part)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE alert (
        sync INTEGER NOT NULL, name TEXT NOT NULL, level TEXT NOT NULL, since_us INTEGER NOT NULL, message TEXT NOT NULL,
        PRIMARY KEY (sync, name)
    ) STRICT, WITHOUT ROWID""",
    "ALTER TABLE delivery ADD COLUMN run INTEGER NOT NULL DEFAULT 0",
)

SYNCS_BESIDE_HELD_RUNS = (
    # One run of a sync is on its way, and one more may be held for a person at the same time.
    "DROP INDEX run_open",
    "CREATE UNIQUE INDEX run_open ON run (sync) WHERE status IN ('planning', 'sending')",
    "CREATE UNIQUE INDEX run_held ON run (sync) WHERE status = 'held'",
    # Identifiers that a list still holds of a member under which it is not sent any more: whoever else wants them asks here.
    """CREATE TABLE orphan (
        sync INTEGER NOT NULL, entry BLOB NOT NULL, member INTEGER NOT NULL, line INTEGER NOT NULL,
        PRIMARY KEY (sync, entry, member, line)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX orphan_member ON orphan (sync, member, line)",
    """INSERT OR IGNORE INTO orphan
        SELECT record.sync, unhex(json_extract(one.value, '$.identity')), record.member, record.line
        FROM record, json_each(CAST(record.more AS TEXT), '$.orphans') AS one
        WHERE instr(record.more, CAST('"orphans"' AS BLOB)) > 0""",
    "ALTER TABLE audience ADD COLUMN last_event_us INTEGER NOT NULL DEFAULT 0",
    """UPDATE audience SET last_event_us =
        coalesce((SELECT max(arrived_us) FROM membership WHERE membership.audience = audience.id), 0)""",
)

# The version of the mapping that made all of a sync's records: '' before they were made whole, '*' where several did.
SYNC_RENDERING = ("ALTER TABLE sync ADD COLUMN rendering TEXT NOT NULL DEFAULT ''",)

RUNS_KNOW_THEIR_WORK = (
    # A run's plan is found by what waits of it and what was released of it, however large the rest is.
    "DROP INDEX planned_run",
    "CREATE INDEX planned_sent ON planned (run, phase, delivery) WHERE delivery <> 0",
    # 0: the run's log lines are gone. So retention looks at no run twice.
    "ALTER TABLE run ADD COLUMN has_log INTEGER NOT NULL DEFAULT 1",
    "CREATE INDEX run_logged ON run (sync, finished_us) WHERE has_log = 1 AND finished_us > 0",
)

# Lines of a run's log that are not of accepted operations: few among many. Wide enough to count them by how they ended.
LOGS_KNOW_WHAT_WENT_WRONG = (
    "CREATE INDEX row_result_wrong ON row_result (run, status, seq, stage, code, http_status) WHERE status <> 'accepted'",
)

# A member's lines of one run's log; runs that have ended and looked at everybody, among the many live ones of a sync.
LOGS_KNOW_THEIR_MEMBERS = (
    "CREATE INDEX row_result_member ON row_result (run, member_ref)",
    """CREATE INDEX run_whole ON run (sync, id)
        WHERE finished_us > 0 AND kind NOT IN ('', 'live', 'clear') AND status IN ('succeeded', 'partial', 'failed')""",
)
