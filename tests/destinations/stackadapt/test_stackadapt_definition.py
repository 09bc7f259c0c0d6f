"""The contract's tables of settings and fields as data, and the facts that are about the action as a whole."""

import asyncio
import json

import pytest
from graphql import parse
from stackadapt_cases import ON, custom_schema, event, mapping, owed, payload, profiles, sent

from gateway.core.fql import compile_trigger
from gateway.core.payloads import compile_check, defaults_of
from gateway.destinations.base import Owed
from gateway.destinations.rehearsal import MemberCase, WireCase, member_result, wire_result
from gateway.destinations.stackadapt.definition import CORRECTIONS, DEFINITION, FIELDS
from gateway.destinations.stackadapt.perform import ADVERTISER_PAGES_MAX, STACKADAPT
from gateway.destinations.stackadapt.schema import Entry
from gateway.destinations.stackadapt.wire import ADVERTISER_DIGITS_MAX, TIMEOUT_S, _entry_literal, upsert_request

SETTINGS = {"apiKey": "tok_demo", "advertiser_id": "31337"}

FIELD_ROWS = [  # key, label, type, required, choices, literal only, hidden
    ("standard_traits", "Standard User Properties", "object", False, [], False, False),
    ("custom_properties_mode", "Custom Properties Mode", "string", False, ["v1", "v2"], True, False),
    ("custom_traits", "Custom User Properties (Legacy)", "object", False, [], False, False),
    ("custom_user_properties", "Custom User Properties", "object", False, [], False, False),
    ("user_id", "Segment User ID", "string", False, [], False, False),
    ("event_type", "Event Type", "string", True, [], False, False),
    ("marketing_status", "Marketing Status", "string", True, ["Opted-in", "Indeterminate"], True, False),
    ("enable_batching", "Batch Profiles", "boolean", True, [], False, True),
    ("traits_or_props", "Event Properties", "object", True, [], False, True),
    (
        "segment_computation_class", "Segment Computation Class", "string", True, ["audience", "journey_step"], False, True,
    ),
    ("segment_computation_id", "Segment Computation ID", "string", True, [], False, True),
    ("segment_computation_key", "Segment Computation Key", "string", True, [], False, True),
    ("email", "Email", "string", True, [], False, False),
]  # fmt: skip

TRAITS = [
    ("first_name", "First Name"), ("last_name", "Last Name"), ("phone", "Phone"), ("address", "Address"), ("city", "City"),
    ("country", "Country"), ("state", "State"), ("timezone", "Time Zone"), ("postal_code", "Postal Code"),
    ("birth_date", "Birth Date"),
]  # fmt: skip

SOURCES = [  # in the order of a profile's keys
    ("first_name", "first_name"), ("last_name", "last_name"), ("phone", "phone"), ("address", "street"), ("city", "city"),
    ("country", "country"), ("state", "state"), ("postal_code", "postal_code"), ("timezone", "timezone"),
    ("birth_date", "birthday"),
]  # fmt: skip


def first_of(first, second):
    return {"@if": {"exists": {"@path": first}, "then": {"@path": first}, "else": {"@path": second}}}


DEFAULTS = {
    "standard_traits": {key: first_of(f"$.traits.{at}", f"$.properties.{at}") for key, at in SOURCES},
    "custom_properties_mode": "v2",
    "user_id": first_of("$.userId", "$.anonymousId"),
    "event_type": {"@path": "$.type"},
    "enable_batching": True,
    "traits_or_props": first_of("$.properties", "$.traits"),
    "segment_computation_class": {"@path": "$.context.personas.computation_class"},
    "segment_computation_id": {"@path": "$.context.personas.computation_id"},
    "segment_computation_key": {"@path": "$.context.personas.computation_key"},
    "email": first_of("$.traits.email", "$.properties.email"),
}


def test_names():
    """Both titles and Segment's slug mean the one action; Track and Identify start it."""
    (action,) = DEFINITION.actions
    assert (action.slug, action.title) == ("forwardAudienceEvent", "Sync Audience")
    assert DEFINITION.action("Forward Audience Event") is DEFINITION.action("Sync Audience") is action
    assert "actions-stackadapt-audiences" in DEFINITION.names
    trigger = compile_trigger(action.trigger)
    assert [trigger.matches({"type": kind}) for kind in ("identify", "track", "page", "group")] == [
        True,
        True,
        False,
        False,
    ]
    assert [one.name for one in CORRECTIONS] == [
        "escape_text", "check_advertiser_id", "objects_as_text", "read_answers", "delete_needs_id",
    ]  # fmt: skip
    assert (action.batch_events_max, action.batch_bytes_max) == (1000, 4_000_000)
    assert (TIMEOUT_S, ADVERTISER_PAGES_MAX > 1, ADVERTISER_DIGITS_MAX) == (10.0, True, 18)


def test_settings():
    """Two of the reference's, both required; a number is taken as its text."""
    rows = [(one.key, one.label, one.type, one.required, one.secret) for one in DEFINITION.settings[:2]]
    assert rows == [
        ("apiKey", "GraphQL Token", "password", True, True), ("advertiser_id", "Advertiser ID", "string", True, False),
    ]  # fmt: skip
    checked = compile_check(DEFINITION.settings).check_settings({"apiKey": "t", "advertiser_id": 31337})
    assert checked["advertiser_id"] == "31337"


@pytest.mark.parametrize("row", FIELD_ROWS, ids=[row[0] for row in FIELD_ROWS])
def test_fields(row):
    """With the labels that messages name."""
    field = next(one for one in FIELDS if one.key == row[0])
    choices = [one.value for one in field.choices]
    assert (field.key, field.label, field.type, field.required, choices, field.literal_only, field.hidden) == row
    assert field.format == ("email" if row[0] == "email" else None)
    assert field.multiple is (row[0] == "custom_user_properties")


def test_fields_inside_fields():
    """Ten standard traits; three members of a custom property."""
    fields = {one.key: one for one in FIELDS}
    assert [(one.key, one.label) for one in fields["standard_traits"].properties] == TRAITS
    assert [one.format for one in fields["standard_traits"].properties] == [None] * 9 + ["date"]
    name, kind, value = fields["custom_user_properties"].properties
    assert (name.key, name.label, name.required, name.literal_only) == ("name", "Name", True, True)
    assert (kind.key, kind.label, kind.required, kind.literal_only) == ("type", "Type", True, True)
    assert [one.value for one in kind.choices] == ["STRING", "NUMBER", "BOOLEAN", "DATE"]
    assert (value.key, value.label, value.required) == ("value", "Value", False)
    modes = fields["custom_properties_mode"].choices
    assert [one.label for one in modes] == ["Legacy (Key-Value)", "Custom User Properties"]


def test_default_mappings():
    """Consent has none: the operator says it."""
    given = defaults_of(FIELDS)
    assert given == DEFAULTS
    assert list(given["standard_traits"]) == [key for key, _ in SOURCES]


def test_a_mapping_that_omits_what_is_required_is_refused_and_one_without_a_mode_is_v1():
    """At delivery only the stored mapping counts."""
    whole = mapping(custom_traits={"a": 1}, custom_user_properties=[{"name": "b", "type": "STRING"}])
    del whole["custom_properties_mode"]
    (request,) = wire(event(), mapping=whole)["requests"]
    assert 'incomingKey: \\"a\\"' in request["body"]
    assert 'incomingKey: \\"b\\"' not in request["body"]
    for key in ("enable_batching", "event_type"):
        lacking = {name: value for name, value in mapping().items() if name != key}
        result = wire(event(), mapping=lacking)
        assert (result["requests"], result["results"][0]["status"]) == ([], 400)
        assert key in result["results"][0]["error"]


def wire(*events, **more):
    case = {"destination": "stackadapt-audience", "settings": SETTINGS, "mapping": mapping(), "batch": True}
    return asyncio.run(wire_result(WireCase(**{**case, **more}, events=list(events))))


def test_an_event_of_another_type_is_not_subscribed():
    """In a batch that goes on with others it is told as refused; without others nothing is sent."""
    trigger = 'type = "identify" or type = "track"'
    result = wire({**event(), "type": "page"}, event(), trigger=trigger)
    assert (len(result["requests"]), [one["status"] for one in result["results"]]) == (1, [400, 200])
    assert wire({**event(), "type": "page"}, trigger=trigger)["requests"] == []


def test_results_are_in_the_order_of_the_events():
    """Those who failed the check keep their 400."""
    result = wire(event(traits={"cart_rescue": True}), event(), event(context={}), event())
    assert [one["status"] for one in result["results"]] == [400, 200, 400, 200]


def test_entries_become_graphql_objects():
    """Fact 20: names without quotes, an enum literal, texts quoted and escaped; a type in lower case is written in capitals."""
    literal = _entry_literal(Entry(incoming_key="a", destination_key="b", label='say "hi"', type="STRING", is_pii=True))
    assert literal == '{incomingKey: "a", destinationKey: "b", label: "say \\"hi\\"", type: STRING, isPii: true}'
    given = payload()
    given["custom_user_properties"] = [{"name": "a", "type": "number"}]
    assert custom_schema(given) == {"a": ("A", "NUMBER")}


def test_arbitrary_text_everywhere_makes_a_request():
    """Fact 21: consent is not given, the person leaves, an unknown trait is gone."""
    text = 'Nv"[x\\'
    given = {
        "event_type": text, "marketing_status": "Indeterminate", "enable_batching": True, "traits_or_props": {"x": text},
        "segment_computation_class": "audience", "segment_computation_id": text, "segment_computation_key": text,
        "email": "a@b.c", "standard_traits": {"zip": text, "city": text},
    }  # fmt: skip
    checked = compile_check(FIELDS).check(given, batched=False)
    (profile,) = profiles(checked)
    assert profile == {"email": "a@b.c", "city": text, "audienceId": text, "audienceName": text, "action": "exit"}
    assert sent(checked)["upsertProfileMapping"]["isOptedIn"] is False


def test_an_advertiser_of_a_mapping_is_part_of_the_document():
    """One anonymous mutation, root fields in order, nothing but user errors selected."""
    body = json.loads(upsert_request(owed(payload()), SETTINGS, "31337", ON).body)
    (operation,) = parse(body["query"]).definitions
    assert (operation.name, operation.operation.value, list(body)) == (None, "mutation", ["query"])
    for field in operation.selection_set.selections:
        (errors,) = field.selection_set.selections
        (message,) = errors.selection_set.selections
        assert (errors.name.value, message.name.value) == ("userErrors", "message")


# --- Members and lists ---


def test_the_member_kind_gives_the_profile():
    """As it stands in the list of profiles; without an address there is none."""
    given = payload(custom_properties_mode="v1", custom_traits={"o": {"a": 1}})
    case = MemberCase(destination="actions-stackadapt-audiences", payload=given)
    assert member_result(case) == profiles(given)[0]
    off = MemberCase(destination="stackadapt-audience", payload=given, corrections="off")
    assert member_result(off)["o"] == {"a": 1}
    assert member_result(MemberCase(destination="stackadapt-audience", payload={"user_id": "u"})) is None


def test_a_syncs_record_tells_an_update_from_another_person():
    """A changed trait or consent is the same profile; what changes is only what StackAdapt would get."""
    first, identifiers = STACKADAPT.rendered("forwardAudienceEvent", payload(), hashing="on")
    assert identifiers <= first.keys()
    assert "action" not in first
    seen = event(flag=False, messageId="another", traits={**event()["traits"], "unrelated": 1})
    assert STACKADAPT.rendered("forwardAudienceEvent", payload(seen), hashing="on")[0] == first
    for changed in (
        payload(marketing_status="Indeterminate"),
        payload(event(traits={**event()["traits"], "street": "x"})),
    ):
        again, _ = STACKADAPT.rendered("forwardAudienceEvent", changed, hashing="on")
        assert again != first
        assert {key: again[key] for key in identifiers} == {key: first[key] for key in identifiers}


@pytest.mark.parametrize(("operation", "action"), [("enter", "enter"), ("update", "enter"), ("exit", "exit")])
@pytest.mark.parametrize("flag", [True, False])
def test_a_planned_operation_sets_the_action(operation, action, flag):
    """Whatever the flag of the payload that is known of the member."""
    planned = Owed(id=1, operation=operation, planned=True, payload=payload(event(flag=flag)))
    document = json.loads(upsert_request([planned], SETTINGS, "31337", ON).body)["query"]
    assert f'\\"action\\":\\"{action}\\"' in document
