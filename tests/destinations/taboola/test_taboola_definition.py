"""The contract's tables of settings, audience settings, fields and numbers, as data."""

import pytest

from gateway.core.payloads import PayloadError, compile_check, defaults_of
from gateway.destinations.taboola import answers, session, wire
from gateway.destinations.taboola.definition import CREATION_SETTINGS, DEFINITION
from gateway.sandbox.taboola.audiences import TTL_HOURS

SETTINGS = [  # key, label, type, required, default
    ("client_id", "Client ID", "string", True, None),
    ("client_secret", "Client Secret", "password", True, None),
    ("audience_identifier", "Audience Identifier", "string", False, "computation_key"),
    ("backstage_base_url", "Backstage address", "string", False, "https://backstage.taboola.com/backstage"),
    ("integration_source", "Integration source", "string", False, "segment.com"),
]
AUDIENCE_SETTINGS = [
    ("account_id", "Account ID", "string"),
    ("ttl_in_hours", "TTL in Hours", "number"),
    ("exclude_from_campaigns", "Exclude from Campaigns", "boolean"),
]


def first_of(first, second):
    return {"@if": {"exists": {"@path": first}, "then": {"@path": first}, "else": {"@path": second}}}


FIELDS = [  # key, label, type, required, hidden, default
    (
        "external_audience_id", "External Audience ID", "string", False, True,
        {"@path": "$.context.personas.external_audience_id"},
    ),
    ("segment_computation_key", "Audience Key", "string", True, True, {"@path": "$.context.personas.computation_key"}),
    (
        "segment_computation_action", "Segment Computation Action", "string", True, True,
        {"@path": "$.context.personas.computation_class"},
    ),
    ("user_email", "Email address", "string", False, False, first_of("$.traits.email", "$.context.traits.email")),
    ("traits_or_props", "Traits or properties object", "object", True, True, first_of("$.properties", "$.traits")),
    ("enable_batching", "Batch events", "boolean", True, False, True),
    (
        "device_id", "Mobile Device ID", "string", False, False,
        first_of("$.properties.ios_id", "$.properties.android_id"),
    ),
    ("batch_size", "Batch Size", "integer", True, True, 1000),
    ("action", "Action", "string", False, True, None),
]  # fmt: skip


def default_of(field):
    return field.default if isinstance(field.default, (dict, bool, int, str)) else None


def test_names():
    """Segment's slug means the same; one action; the corrections by name."""
    assert DEFINITION.title == "Taboola (Actions)"
    assert "actions-taboola-actions" in DEFINITION.names
    (action,) = DEFINITION.actions
    assert (action.slug, action.title, action.trigger) == ("syncAudience", "Sync Audience", 'type = "track"')
    assert [one.name for one in DEFINITION.corrections] == [
        "lower_trim_email", "last_operation_wins", "check_audience_id", "drop_zero_device_id",
    ]  # fmt: skip


@pytest.mark.parametrize("row", SETTINGS, ids=[row[0] for row in SETTINGS])
def test_settings(row):
    """In the form's order."""
    field = DEFINITION.settings[[one[0] for one in SETTINGS].index(row[0])]
    assert (field.key, field.label, field.type, field.required, default_of(field)) == row
    assert field.secret is (row[0] == "client_secret")


def test_the_name_of_audiences_is_one_of_two():
    """Another value is refused; an absent one means the key."""
    field = next(one for one in DEFINITION.settings if one.key == "audience_identifier")
    assert [(one.value, one.label) for one in field.choices] == [
        ("computation_key", "Audience Computation Key"), ("audience_name", "Audience Name"),
    ]  # fmt: skip
    check = compile_check(DEFINITION.settings)
    login = {"client_id": "a", "client_secret": "b"}
    assert (
        check.check_settings({**defaults_of(DEFINITION.settings), **login})["audience_identifier"] == "computation_key"
    )
    with pytest.raises(PayloadError, match="Audience Identifier"):
        check.check_settings({**login, "audience_identifier": "name"})


@pytest.mark.parametrize("row", AUDIENCE_SETTINGS, ids=[row[0] for row in AUDIENCE_SETTINGS])
def test_audience_settings(row):
    """Their defaults are Taboola's own and not sent."""
    field = CREATION_SETTINGS[AUDIENCE_SETTINGS.index(row)]
    assert (field.key, field.label, field.type, default_of(field)) == (*row, None)


def test_audience_settings_are_coerced():
    """Texts of numbers and flags."""
    checked = compile_check(CREATION_SETTINGS).check_settings({"ttl_in_hours": "48", "exclude_from_campaigns": "true"})
    assert checked == {"ttl_in_hours": 48, "exclude_from_campaigns": True}


@pytest.mark.parametrize("row", FIELDS, ids=[row[0] for row in FIELDS])
def test_fields(row):
    """Where the audience's number is looked for elsewhere, too, the field is not required here: what lacks one is refused."""
    (action,) = DEFINITION.actions
    assert [one.key for one in action.fields] == [one[0] for one in FIELDS]
    field = next(one for one in action.fields if one.key == row[0])
    assert (field.key, field.label, field.type, field.required, field.hidden, default_of(field)) == row


def test_choices_of_fields():
    """Classes of computations, and the inner field that nothing reads."""
    (action,) = DEFINITION.actions
    fields = {one.key: one for one in action.fields}
    assert [one.value for one in fields["segment_computation_action"].choices] == ["audience", "journey_step"]
    assert [(one.value, one.label) for one in fields["action"].choices] == [("ADD", "Add"), ("REMOVE", "Remove")]


def test_batch_sizes():
    """From one to what Taboola advises at most; more is taken for as many."""
    (action,) = DEFINITION.actions
    size = next(one for one in action.fields if one.key == "batch_size")
    assert (size.minimum, size.maximum, action.batch_events_max) == (1, 100_000, 100_000)


NUMBERS = [
    ("life of a token, s", answers.TOKEN_LIFE_S, 43_200.0),
    ("renewed when so much is left, s", session.RENEW_BEFORE_S, 300.0),
    ("time for a call, s", wire.TIMEOUT_S, 10.0),
    ("time for a large one, s", wire.LARGE_TIMEOUT_S, 60.0),
    ("identities of a large one, more than", wire.LARGE_IDENTITIES, 10_000),
    ("wait after a 429 that names none, s", answers.TOO_MANY_WAIT_S, 30.0),
    ("wait for a new audience, s", answers.NOT_READY_WAIT_S, 600.0),
    ("an audience is new for, µs", answers.NOT_READY_US, 7_200_000_000),
    ("Taboola's own TTL, h", TTL_HOURS, 8760),
]


@pytest.mark.parametrize(("what", "ours", "theirs"), NUMBERS, ids=[row[0] for row in NUMBERS])
def test_numbers(what, ours, theirs):
    """As documented, or as the contract decides."""
    assert ours == theirs, what
