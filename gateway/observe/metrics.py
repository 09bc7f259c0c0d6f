"""Every metric, declared once. Labels have few values: names from mapping files, outcome words, never data of a person.

Names begin with `gateway_`, end in their unit; `docs/metrics.md` lists them and a test holds the two together.
Hot paths bind labels once (`COUNTER.labels(...)` kept in a variable): an unbound look-up costs three times the increment.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry(auto_describe=True)

# ingest ----------------------------------------------------------------------------------------------------------
INGEST_REQUESTS = Counter(
    "gateway_ingest_requests_total",
    "Requests answered, by route family and status.",
    ["route", "status"],
    registry=REGISTRY,
)
INGEST_EVENTS = Counter(
    "gateway_ingest_events_total", "Events accepted or rejected, by source.", ["source", "result"], registry=REGISTRY
)
INGEST_REFUSALS = Counter("gateway_ingest_refusals_total", "Error answers, by code.", ["code"], registry=REGISTRY)
INGEST_BODY_BYTES = Counter("gateway_ingest_body_bytes_total", "Bytes of bodies read, as sent.", registry=REGISTRY)
INGEST_WAITING_BYTES = Gauge(
    "gateway_ingest_waiting_bytes", "Bytes handed to the inbox writer and not yet committed.", registry=REGISTRY
)

# decisions -------------------------------------------------------------------------------------------------------
DECIDED_EVENTS = Counter(
    "gateway_decided_events_total",
    "Items taken from the inbox, by what became of them.",
    ["outcome"],
    registry=REGISTRY,
)
DECIDED_CHANGES = Counter(
    "gateway_membership_changes_total", "Membership changes, by verdict of the ledger.", ["verdict"], registry=REGISTRY
)
MEMBERSHIP_EVENTS = Counter(
    "gateway_events_total",
    "Events that say who is in an audience, by type and by what the ledger made of them.",
    ["kind", "result"],
    registry=REGISTRY,
)
DECIDED_DELIVERIES = Counter(
    "gateway_deliveries_owed_total", "Deliveries recorded, by destination.", ["destination"], registry=REGISTRY
)
DECIDED_SKIPPED = Counter(
    "gateway_mappings_skipped_total",
    "Mappings that sent nothing for an event, by reason.",
    ["reason"],
    registry=REGISTRY,
)
BACKLOG_FRAMES = Gauge("gateway_backlog_frames", "Frames of the inbox not yet decided.", registry=REGISTRY)
BACKLOG_AGE_S = Gauge("gateway_backlog_age_seconds", "Age of the oldest frame not yet decided.", registry=REGISTRY)
DECIDE_BLOCK_S = Histogram(
    "gateway_decide_block_seconds",
    "Time to decide and record one block of events.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)

# delivery --------------------------------------------------------------------------------------------------------
DELIVERY_OUTCOMES = Counter(
    "gateway_deliveries_total",
    "Deliveries attempted, by destination and outcome.",
    ["destination", "outcome"],
    registry=REGISTRY,
)
DELIVERY_ATTEMPT_S = Histogram(
    "gateway_delivery_attempt_seconds",
    "Time of one attempt (a batch), by destination.",
    ["destination"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
DELIVERY_BATCH = Histogram(
    "gateway_delivery_batch_deliveries",
    "Deliveries in one attempt, by destination.",
    ["destination"],
    buckets=(1, 2, 5, 10, 50, 100, 500, 1000),
    registry=REGISTRY,
)
IDENTIFIER_WARNINGS = Counter(
    "gateway_identifier_warnings_total",
    "Identifiers in attempts that look wrong to a platform, by destination and code of the fault.",
    ["destination", "code"],
    registry=REGISTRY,
)
LANE_DUE = Gauge("gateway_lane_due", "Deliveries waiting in a lane.", ["destination"], registry=REGISTRY)
LANE_DEAD = Gauge("gateway_lane_dead", "Dead deliveries of a lane.", ["destination"], registry=REGISTRY)
LANE_HELD = Gauge(
    "gateway_lane_held", "1 while a lane is paused, held or its breaker is open.", ["destination"], registry=REGISTRY
)

# syncs -----------------------------------------------------------------------------------------------------------
SYNC_RUNS = Counter(
    "gateway_sync_runs_total", "Runs that ended, by sync and status.", ["sync", "status"], registry=REGISTRY
)
SYNC_OPERATIONS = Counter(
    "gateway_sync_ops_total",
    "Operations of runs, by sync, operation and outcome.",
    ["sync", "op", "outcome"],
    registry=REGISTRY,
)
SYNC_REJECTED = Counter(
    "gateway_sync_rejected_total",
    "Records that their mapping or the platform refused, by sync and code.",
    ["sync", "code"],
    registry=REGISTRY,
)
SYNC_LIST_SIZE = Gauge(
    "gateway_sync_list_size", "Members on the platform's list, as far as we know.", ["sync"], registry=REGISTRY
)
SYNC_AUDIENCE_SIZE = Gauge("gateway_sync_audience_size", "Members of the sync's audience.", ["sync"], registry=REGISTRY)
SYNC_PENDING = Gauge(
    "gateway_sync_pending",
    "Members whom the next run would have something to do with, by operation; without quarantined ones.",
    ["sync", "op"],
    registry=REGISTRY,
)
SYNC_FRESHNESS_S = Gauge(
    "gateway_sync_freshness_seconds",
    "Age of the oldest change not yet on the list; 0 for none.",
    ["sync"],
    registry=REGISTRY,
)
SYNC_REQUESTS = Counter(
    "gateway_sync_requests_total",
    "Requests made for runs, by destination and HTTP status (`none`: no answer).",
    ["destination", "status"],
    registry=REGISTRY,
)
SYNC_REQUEST_S = Histogram(
    "gateway_sync_request_seconds",
    "Time of one request made for a run, by destination.",
    ["destination"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
    registry=REGISTRY,
)
SYNC_RUN_S = Histogram(
    "gateway_sync_run_seconds",
    "Time from a run's start to its end.",
    ["sync"],
    buckets=(0.1, 1, 5, 30, 120, 600, 3600, 6 * 3600),
    registry=REGISTRY,
)
SYNC_HELD = Gauge("gateway_sync_held", "1 while a run of the sync waits for a person.", ["sync"], registry=REGISTRY)
SYNC_NEXT_RUN = Gauge(
    "gateway_sync_next_run_timestamp", "Unix time of the next tick; 0 for none.", ["sync"], registry=REGISTRY
)

ALERT_NOTICES = Counter(
    "gateway_alert_notices_total",
    "Tellings of alerts, by sink and result (sent, failed, dropped).",
    ["sink", "result"],
    registry=REGISTRY,
)
_OF_A_SYNC = (
    SYNC_RUNS, SYNC_OPERATIONS, SYNC_REJECTED, SYNC_LIST_SIZE, SYNC_AUDIENCE_SIZE, SYNC_PENDING, SYNC_FRESHNESS_S, SYNC_RUN_S,
    SYNC_HELD, SYNC_NEXT_RUN,
)  # fmt: skip

# service ---------------------------------------------------------------------------------------------------------
RULEBOOK_RELOADS = Counter(
    "gateway_rulebook_reloads_total", "Reloads of mappings/, by result.", ["result"], registry=REGISTRY
)
RULEBOOK_PROBLEMS = Gauge(
    "gateway_rulebook_problems",
    "Problems in mappings/ as it stands on disk (0: what runs is what is there).",
    registry=REGISTRY,
)
ROLE_RESTARTS = Counter(
    "gateway_role_restarts_total", "Restarts of a process by the supervisor.", ["role"], registry=REGISTRY
)


def forget_sync(name: str) -> None:
    """Take away all series of a sync that is no more."""
    for metric in _OF_A_SYNC:
        metric.remove_by_labels({"sync": name})


def exposition() -> bytes:
    """Render all metrics of this process in Prometheus text format."""
    return generate_latest(REGISTRY)
