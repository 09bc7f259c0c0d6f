"""The contract's tables of settings, audience settings, fields and numbers, as data."""

import pytest

from gateway.core.sync_options import WHOLE_LISTS
from gateway.destinations.the_trade_desk import answers, lines, list_run, segments, wire
from gateway.destinations.the_trade_desk.definition import BATCH_SIZE, CORRECTIONS, DEFINITION

SETTINGS = [  # key, label, type, default
    ("auth_token", "Authentication Token", "password", None),
    ("advertiser_id", "Advertiser ID", "string", None),
    ("__segment_internal_engage_force_full_sync", "Force Full Sync", "boolean", True),
    ("__segment_internal_engage_batch_sync", "Supports batch sync via ADS", "boolean", True),
    ("api_base_url", "API address", "string", "https://api.thetradedesk.com/v3"),
    ("data_provider_id", "Data Provider ID", "string", "twilio"),
    ("sync_hour_utc", "Hour of the daily run", "integer", None),
]

FIELDS = [  # key, label, type, required, hidden, default
    (
        "external_id",
        "External Audience ID",
        "string",
        False,
        True,
        {"@path": "$.context.personas.external_audience_id"},
    ),
    ("pii_type", "PII Type", "string", True, False, None),
    ("email", "User Email", "string", False, False, {"@path": "$.context.traits.email"}),
    ("enable_batching", "Enable Batching", "boolean", False, True, True),
    ("event_name", "Event Name", "string", False, True, {"@path": "$.event"}),
    ("batch_size", "Batch Size", "number", False, True, 100_000),
]


def default_of(field):
    return field.default if isinstance(field.default, (dict, bool, int, str)) else None


def test_names():
    """Segment's slug means the same; one action; one switchable correction."""
    assert DEFINITION.title == "The Trade Desk CRM"
    assert "actions-the-trade-desk-crm" in DEFINITION.names
    (action,) = DEFINITION.actions
    assert (action.slug, action.title) == ("syncAudience", "Sync Audience to CRM Data Segment")
    assert action.trigger == 'event = "Audience Entered"'
    assert action.sync_only
    assert [one.name for one in CORRECTIONS] == ["no_token_at_upload"]


@pytest.mark.parametrize("row", SETTINGS, ids=[row[0] for row in SETTINGS])
def test_settings(row):
    """In the form's order; the platform's own flags are hidden and need not be there."""
    place = [one[0] for one in SETTINGS].index(row[0])
    field = DEFINITION.settings[place]
    assert (field.key, field.label, field.type, default_of(field)) == row
    assert field.required is (row[0] in {"auth_token", "advertiser_id"})
    assert field.secret is (row[0] == "auth_token")
    assert field.hidden is row[0].startswith("__segment_internal_")


def test_the_region_is_one_of_three():
    """In capitals, with what each means."""
    (action,) = DEFINITION.actions
    region = next(field for field in action.audience_settings if field.key == "region")
    assert (region.label, region.type) == ("Region", "string")
    assert [one.value for one in region.choices] == ["US", "EU", "APAC"]


@pytest.mark.parametrize("row", FIELDS, ids=[row[0] for row in FIELDS])
def test_fields(row):
    """None allows null or several values."""
    (action,) = DEFINITION.actions
    field = next(field for field in action.fields if field.key == row[0])
    assert (field.key, field.label, field.type, field.required, field.hidden, default_of(field)) == row
    assert not field.multiple
    assert not field.allow_null


def test_pii_types_have_their_labels():
    """And no default."""
    (action,) = DEFINITION.actions
    pii_type = next(field for field in action.fields if field.key == "pii_type")
    assert [(one.value, one.label) for one in pii_type.choices] == [
        ("Email", "Email"), ("EmailHashedUnifiedId2", "Hashed Email"),
    ]  # fmt: skip


NUMBERS = [
    ("least distinct people in a drop", wire.DISTINCT_MIN, 1500),
    ("the same, where runs are planned", WHOLE_LISTS.min_distinct, 1500),
    ("a list every so many seconds", WHOLE_LISTS.full_replace_every_s, 86_400),
    ("largest single upload, bytes", wire.UPLOAD_BYTES_MAX, 5 * 1024**3),
    ("batch size, carried only", BATCH_SIZE, 100_000),
    ("time for an API call, s", wire.API_TIMEOUT_S, 10.0),
    ("an upload that stands still, s", wire.UPLOAD_IDLE_S_MAX, 60.0),
    ("an upload in all, s", wire.UPLOAD_S_MAX, 50 * 60.0),
    ("spooled to disk beyond, bytes", list_run.BODY_BYTES_MAX, 8 * 1024 * 1024),
    ("upload addresses within an attempt", list_run.ADDRESSES_MAX, 2),
    ("wait after a 429 that names none, s", answers.TOO_MANY_WAIT_S, 30.0),
    ("pages of segments", segments.PAGES_MAX, 1000),
    ("characters of an address", lines.EMAIL_CHARS_MAX, 320),
    ("characters of a Base64 value", lines.BASE64_CHARS_MAX, 88),
]


@pytest.mark.parametrize(("what", "ours", "theirs"), NUMBERS, ids=[row[0] for row in NUMBERS])
def test_numbers(what, ours, theirs):
    """A hash line has 44 characters and its line feed, so the largest audience offered fits into one upload."""
    assert ours == theirs, what
    assert wire.UPLOAD_BYTES_MAX > 100_000_000 * 45
    assert len(lines.person_key("a@b.c")) + 1 == 45
