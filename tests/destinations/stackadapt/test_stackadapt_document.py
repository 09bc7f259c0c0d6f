"""Payloads to one document: the worked example, the hashes, the profile, the schema, the corrections on and off."""

import json

import pytest
from graphql import GraphQLSyntaxError
from stackadapt_cases import (
    ON,
    SETTINGS,
    custom_schema,
    document,
    event,
    fields_of,
    owed,
    payload,
    profiles,
    sent,
)

from gateway.core.payloads import PayloadError
from gateway.destinations.stackadapt.definition import ESCAPE_TEXT, OBJECTS_AS_TEXT
from gateway.destinations.stackadapt.schema import STANDARD_ENTRIES, label_of, looks_like_date
from gateway.destinations.stackadapt.wire import (
    advertiser_literal,
    delete_request,
    profiles_text,
    quoted,
    sha256_hex,
    upsert_request,
)

PLAN = {"name": "plan", "type": "STRING", "value": {"@path": "$.traits.plan"}}


def test_the_worked_example():
    """One identify event, one property: the whole document, read back with a GraphQL parser."""
    fields = sent(payload(custom_user_properties=[PLAN]))
    assert list(fields) == ["upsertProfileMapping", "upsertProfiles", "upsertExternalAudienceMapping"]
    schema = fields["upsertProfileMapping"].pop("mappingSchemaV2")
    assert fields == {
        "upsertProfileMapping": {"advertiserId": ("int", "31337"), "isOptedIn": True, "mappableType": "segment_io"},
        "upsertProfiles": {
            "advertiserId": ("int", "31337"),
            "externalProvider": "segment_io",
            "syncId": "fdd39514a3471a759b8e41935753d6881c93e3bc51926e552e56d172522dff2e",
            "profiles": '[{"userId":"u-204","email":"mei@shop.example","first_name":"Mei","address":"9 Quay St",'
            '"plan":"pro","audienceId":"aud_7Hx","audienceName":"cart_rescue","action":"enter"}]',
        },
        "upsertExternalAudienceMapping": {
            "advertiserId": ("int", "31337"),
            "mappingSchema": [
                {"incomingKey": "audienceId", "destinationKey": "external_id", "label": "External Audience ID",
                 "type": ("enum", "STRING"), "isPii": False},
                {"incomingKey": "audienceName", "destinationKey": "name", "label": "External Audience Name",
                 "type": ("enum", "STRING"), "isPii": False},
            ],
            "mappableType": "segment_io",
        },
    }  # fmt: skip
    assert [(one["incomingKey"], one["destinationKey"], one["label"], one["type"], one["isPii"]) for one in schema] == [
        *((one.incoming_key, one.destination_key, one.label, ("enum", one.type), one.is_pii) for one in STANDARD_ENTRIES),
        ("plan", "plan", "Plan", ("enum", "STRING"), False),
    ]  # fmt: skip


def test_the_standard_entries_are_eleven_in_this_order():
    """key, label, type, whether personal."""
    assert [(one.incoming_key, one.label, one.type, one.is_pii) for one in STANDARD_ENTRIES] == [
        ("email", "Email", "STRING", True), ("first_name", "First Name", "STRING", True),
        ("last_name", "Last Name", "STRING", True), ("phone", "Phone", "STRING", True),
        ("address", "Address", "STRING", True), ("city", "City", "STRING", False), ("state", "State", "STRING", False),
        ("country", "Country", "STRING", False), ("postal_code", "Postal Code", "STRING", False),
        ("timezone", "Timezone", "STRING", False), ("birth_date", "Birth Date", "DATE", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sync_id"),
    [
        (
            (
                '[{"userId":"u-204","email":"mei@shop.example","audienceId":"aud_7Hx","audienceName":"cart_rescue","action":"enter"},'
                '{"userId":"u-205","email":"tomas@shop.example","audienceId":"aud_7Hx","audienceName":"cart_rescue","action":"exit"}]'
            ),
            "d6233e20c1f13cc49b415789713b451cf04536f84a53f2c47ab4f7d72eed430c",
        ),
        (
            '[{"userId":"u-9","email":"kit@shop.example","city":"Łódź","audienceId":"aud_Q","audienceName":"q_fans","action":"exit"}]',
            "3a7433c185adf2ff94a46a417a1ff555fb09d559b6f87d7fa9e9401cbf934d77",
        ),
        (
            (
                '[{"userId":"u-9","email":"kit@shop.example","first_name":"Kit \\"K\\" O","audienceId":"aud_Q",'
                '"audienceName":"q_fans","action":"enter"}]'
            ),
            "c0f2e296b7f88853f088b0299f1cf8317f97a9ce2b68900c31608b3d8f92b65e",
        ),
    ],
)
def test_the_sync_id_is_the_hash_of_the_escaped_text(text, sync_id):
    """Of the characters between the quotes of the literal."""
    assert profiles_text(json.loads(text)) == text
    assert sha256_hex(quoted(text, escapes=True)) == sync_id


def test_a_deletion_is_one_document():
    """Fact 3: the id stands in it, with the hash of the id alone."""
    fields = fields_of(document(delete_request("u-204", SETTINGS, "31337", ON)))
    assert fields == {
        "deleteProfilesWithExternalIds": {
            "externalIds": ["u-204"],
            "externalProvider": "segment_io",
            "syncId": "7fbe1557388f8954b15cffe19da1cf0f3b8562bc40b770ae36e353f4bca87ad1",
            "advertiserIds": [("int", "31337")],
        }
    }


def test_requests_carry_the_token_and_nothing_that_is_not_needed():
    """Fact 11: bearer, JSON, a user agent; one key in the body; ten seconds."""
    request = upsert_request(owed(payload()), SETTINGS, "31337", ON)
    assert request.headers == {
        "Authorization": "Bearer tok_demo", "Content-Type": "application/json", "User-Agent": "audience-gateway",
    }  # fmt: skip
    assert (request.method, request.url, request.timeout_s) == ("POST", "https://api.stackadapt.com/graphql", 10.0)


# --- Profiles ---


def test_v1_takes_the_legacy_properties_and_orders_the_profile():
    """Facts 5 and 6: eleven standard entries, then the custom ones; unknown standard traits never reach the profile."""
    given = payload(
        event(traits={"cart_rescue": True, "email": "mei@shop.example", "first_name": "Mei", "city": "Oslo"}),
        custom_properties_mode="v1",
        custom_traits={"shoe_size": 41, "club": "north"},
        standard_traits={"city": "Oslo", "first_name": "Mei", "birth_year": "1990", "zip": "1"},
    )
    (profile,) = profiles(given)
    assert list(profile.items()) == [
        ("userId", "u-204"), ("email", "mei@shop.example"), ("city", "Oslo"), ("first_name", "Mei"), ("shoe_size", 41),
        ("club", "north"), ("audienceId", "aud_7Hx"), ("audienceName", "cart_rescue"), ("action", "enter"),
    ]  # fmt: skip
    assert custom_schema(given) == {"shoe_size": ("Shoe Size", "NUMBER"), "club": ("Club", "STRING")}


def test_a_later_value_keeps_the_earlier_place_and_the_audience_always_wins():
    """Custom names may overwrite traits, e-mail and id, never what says who is in."""
    given = payload(
        custom_properties_mode="v1",
        custom_traits={
            "email": "other@shop.example",
            "userId": "u-9",
            "action": "exit",
            "audienceId": "x",
            "first_name": 5,
        },
    )
    (profile,) = profiles(given)
    assert list(profile)[:3] == ["userId", "email", "first_name"]
    assert (profile["email"], profile["userId"], profile["first_name"]) == ("other@shop.example", "u-9", 5)
    assert (profile["action"], profile["audienceId"]) == ("enter", "aud_7Hx")


@pytest.mark.parametrize(
    ("given", "action"),
    [
        (event(), "enter"),
        (event(flag=False), "exit"),
        (event(kind="track"), "enter"),
        (event(kind="track", flag=0), "exit"),
        (event(kind="track", flag=None), "exit"),
        (event(kind="track", flag=""), "exit"),
        (event(kind="track", flag="true"), "enter"),
        (event(kind="track", flag="false"), "enter"),
        (event(kind="track", flag=[]), "enter"),
        (event(kind="track", key="a.b"), "enter"),
        (event(kind="track", event="Audience Exited"), "enter"),
        (event(properties={}), "exit"),
        (event(properties=None), "enter"),
        (event(traits={"email": "mei@shop.example"}), "exit"),
    ],
)
def test_the_flag_under_the_audience_key_decides(given, action):
    """Fact 8 and the rule for text flags: any text but the empty one is enter."""
    (profile,) = profiles(payload(given, batched=True))
    assert profile["action"] == action


def test_a_syncs_plan_overrules_the_flag():
    """A planned exit of somebody whose last payload says enter is an exit."""
    request = upsert_request(owed(payload())[:1], SETTINGS, "31337", ON)
    assert b"enter" in request.body
    (one,) = owed(payload(), planned=True)
    planned = type(one)(id=1, operation="exit", planned=True, payload=one.payload)
    (profile,) = json.loads(
        fields_of(document(upsert_request([planned], SETTINGS, "31337", ON)))["upsertProfiles"]["profiles"]
    )
    assert profile["action"] == "exit"


def test_first_alone_decides_consent_and_mode():
    """Fact 7; later payloads' statuses and modes do not count."""
    first = payload(marketing_status="Indeterminate", custom_properties_mode="v1", custom_traits={"a": 1})
    later = payload(custom_user_properties=[PLAN])
    fields = sent(first, later)
    assert fields["upsertProfileMapping"]["isOptedIn"] is False
    assert custom_schema(first, later) == {"a": ("A", "NUMBER")}
    assert sent(payload())["upsertProfileMapping"]["isOptedIn"] is True


def test_equal_events_are_two_profiles_and_one_schema():
    """Fact 10."""
    one = payload(custom_user_properties=[PLAN])
    assert len(profiles(one, one)) == 2
    assert custom_schema(one, one) == {"plan": ("Plan", "STRING")}


def test_anonymous_people_and_absent_ids():
    """No user id at all is delivered without one; an empty one survives only in a batch."""
    nobody = {key: value for key, value in event().items() if key != "userId"}
    assert "userId" not in profiles(payload(nobody))[0]
    assert profiles(payload({**nobody, "anonymousId": "anon-1"}))[0]["userId"] == "anon-1"
    assert "userId" not in profiles(payload({**nobody, "userId": ""}))[0]
    assert profiles(payload({**nobody, "userId": ""}, batched=True))[0]["userId"] == ""
    assert profiles(payload({**nobody, "userId": 77}))[0]["userId"] == "77"


def test_an_absent_user_id_keeps_its_place_for_a_later_value():
    """A custom property of that name stands first, as in the reference."""
    nobody = {key: value for key, value in event().items() if key != "userId"}
    given = payload(nobody, custom_properties_mode="v1", custom_traits={"a": 1, "userId": "u-9"})
    assert list(profiles(given)[0])[:4] == ["userId", "email", "first_name", "address"]


def test_numbers_are_written_as_javascript_writes_them():
    """`3`, not `3.0`."""
    text = sent(payload(custom_properties_mode="v1", custom_traits={"a": 3.0, "b": 1e-7, "c": 1e21}))["upsertProfiles"][
        "profiles"
    ]
    assert '"a":3,"b":1e-7,"c":1e+21' in text


# --- Schemas ---


def test_v2_lists_declared_types_whatever_the_values():
    """Facts 14 to 18: declared type, no value needed, blanks trimmed, the audience's own names left out."""
    items = [
        {"name": "size", "type": "NUMBER", "value": "41"},
        {"name": "member", "type": "BOOLEAN"},
        {"name": " shelf ", "type": "DATE", "value": "x"},
        {"name": "shelf", "type": "STRING", "value": "y"},
        {"name": "  ", "type": "STRING", "value": "y"},
        {"name": "city", "type": "NUMBER", "value": "Oslo"},
        {"name": "cart_rescue", "type": "BOOLEAN", "value": "true"},
        {"name": "aud_7Hx", "type": "BOOLEAN", "value": "true"},
    ]
    given = payload(custom_user_properties=items)
    assert custom_schema(given) == {
        "size": ("Size", "NUMBER"),
        "member": ("Member", "BOOLEAN"),
        "shelf": ("Shelf", "DATE"),
    }
    (profile,) = profiles(given)
    assert (profile["size"], profile["shelf"], profile["city"], "member" in profile) == ("41", "y", "Oslo", False)
    assert "cart_rescue" not in profile
    assert profile["audienceName"] == "cart_rescue"


def test_v2_takes_the_schema_of_the_first_payload_only():
    """Fact 16."""
    first = payload(custom_user_properties=[{"name": "a", "type": "DATE"}])
    second = payload(
        custom_user_properties=[{"name": "a", "type": "STRING", "value": "x"}, {"name": "b", "type": "STRING"}]
    )
    assert custom_schema(first, second) == {"a": ("A", "DATE")}
    assert [profile.get("a") for profile in profiles(first, second)] == [None, "x"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2026-05-31"], "DATE"), (["text"], "STRING"), ([5], "NUMBER"), ([0], "NUMBER"), ([True], "BOOLEAN"),
        ([False], "STRING"), ([None], "STRING"), ([False, True], "BOOLEAN"), ([None, 5], "NUMBER"),
        ([4, "four", 4], "STRING"), (["", 5], "NUMBER"), ([True, 1], "STRING"), ([{"a": 1}], "STRING"), ([[1]], "STRING"),
        ([""], None),
    ],
)  # fmt: skip
def test_v1_infers_the_type_from_all_payloads(values, kind):
    """Facts 12 and 13; what says nothing does not count, and two that disagree are text."""
    given = [payload(custom_properties_mode="v1", custom_traits={"x": value}) for value in values]
    assert custom_schema(*given) == ({} if kind is None else {"x": ("X", kind)})


def test_v1_leaves_no_trace_of_what_resolved_to_nothing():
    """Facts 9 and 12, with traits taken from the context of a Track call."""
    given = event(kind="track")
    given["context"]["traits"] = {"first_name": "Mei", "size": 41}
    fields = {
        "custom_properties_mode": "v1",
        "standard_traits": {"first_name": {"@path": "$.context.traits.first_name"}},
        "custom_traits": {"size": {"@path": "$.context.traits.size"}, "club": {"@path": "$.context.traits.club"}},
    }
    (profile,) = profiles(payload(given, **fields))
    assert (profile["first_name"], profile["size"], "club" in profile) == ("Mei", 41, False)
    assert custom_schema(payload(given, **fields)) == {"size": ("Size", "NUMBER")}


def test_v1_keeps_values_as_they_are_in_the_profile_and_skips_reserved_and_empty_names():
    """Empty texts and names travel in the profile and are not listed."""
    given = payload(
        custom_properties_mode="v1", custom_traits={"a": "", "": 1, "b": None, "city": "Oslo", "cart_rescue": True}
    )
    (profile,) = profiles(given)
    assert {key: profile[key] for key in ("a", "", "b", "city")} == {"a": "", "": 1, "b": None, "city": "Oslo"}
    assert custom_schema(given) == {"b": ("B", "STRING")}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("lifetime_value", "Lifetime Value"), ("NPS_score", "NPS Score"), ("store-name", "Store-Name"),
        ("__hidden__", "Hidden"), ("audience_rank", "External Audience Rank"), ("lastSeen", "LastSeen"),
        ("9lives", "9lives"), ("très_bien", "TrèS Bien"),
    ],
)  # fmt: skip
def test_labels(name, label):
    """Accented letters are boundaries, as in the reference."""
    assert label_of(name) == label


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-31T07:30:00Z", "5/31/2026", "05-31-2026", "2026-05-31 07:30", "2026-05-31", "2026-05-31  ", "2026-04-31",
        "2026-05-31T24:00:00", "5/31/2026 07:30 PM", "2026-05-31T07:30:00.123+02:00",
        "2026-05-31 07:30 UTC", "2026-05-31T07:30+0200", "1/1/2026 11:59:59 am GMT",
    ],
)  # fmt: skip
def test_looks_like_a_date(text):
    """A date, and nothing, blanks or a time after it."""
    assert looks_like_date(text)


@pytest.mark.parametrize(
    "text",
    [
        "31/5/2026", "2026-5-31", "20260531", "2026-05-31 soon", "2026-05-31T", "2026-13-01", "2026-05-32", "5/31/2026T07:30",
        "2026-05-31T25:00", "2026-05-31T24:01", "2026-05-31 07:60", "5/31-2026", "0/1/2026", "", "soon", "2026-05-31" + " " * 99,
    ],
)  # fmt: skip
def test_does_not_look_like_a_date(text):
    """Everything else is text."""
    assert not looks_like_date(text)


# --- Corrections ---

NASTY = 'a"b\\c\nd\u0001e\u2028f😀'


def test_escape_text_lets_every_text_through_unharmed():
    """D1: what StackAdapt decodes is what the mapping gave; without it a quotation mark breaks the list."""
    given = payload(custom_properties_mode="v1", custom_traits={NASTY: NASTY})
    assert profiles(given)[0][NASTY] == NASTY
    assert list(custom_schema(given)) == [NASTY]
    with pytest.raises((GraphQLSyntaxError, ValueError)):
        profiles(given, corrections=ON - {ESCAPE_TEXT})
    plain = payload(custom_traits={"a": {"b": [1, True, None, {}, []]}}, custom_properties_mode="v1")
    assert sent(plain, corrections=ON - {OBJECTS_AS_TEXT}) == sent(plain, corrections=frozenset())


def test_plain_data_is_escaped_the_same_either_way():
    """Fact 19."""
    for escapes in (True, False):
        assert quoted('{"a":"b"}', escapes=escapes) == '{\\"a\\":\\"b\\"}'
        assert quoted('{"a":[1,{},[],true,null]}', escapes=escapes) == '{\\"a\\":[1,{},[],true,null]}'


def test_half_a_surrogate_pair_breaks_nothing():
    """Such texts come out of JSON escapes; they stay escapes in the profile."""
    given = payload(custom_properties_mode="v1", custom_traits={"a": "x\ud83d"})
    assert json.loads(sent(given)["upsertProfiles"]["profiles"])[0]["a"] == "x\ud83d"
    assert delete_request("x\ud83d", SETTINGS, "1", ON).body


def test_escape_text_keeps_a_user_id_inside_its_quotes():
    """D1 in a deletion: an id cannot end its literal and add another."""
    nasty = 'u"], advertiserIds: [1], x: ["'
    fields = fields_of(document(delete_request(nasty, SETTINGS, "31337", ON)))
    assert fields["deleteProfilesWithExternalIds"]["externalIds"] == [nasty]
    assert f'"{nasty}"' in document(delete_request(nasty, SETTINGS, "31337", frozenset()))


@pytest.mark.parametrize(
    ("given", "on", "off", "off_in_deletion"),
    [
        ("31337", "31337", "31337", "31337"),
        (" 31337 ", "31337", " 31337 ", "31337"),
        ("007", "7", "007", "7"),
        ("12a", None, "12a", "12"),
        ("1}) {", None, "1}) {", "1"),
        ("12.5", None, "12.5", "12"),
        ("0x1f", None, "0x1f", "0"),
        ("a12", None, "a12", "NaN"),
        ("", None, "", "NaN"),
        ("-5", None, "-5", "-5"),
        ("٣", None, "٣", "NaN"),
        ("9" * 19, None, "9" * 19, "10000000000000000000"),
    ],
)
def test_check_advertiser_id_takes_digits_only(given, on, off, off_in_deletion):
    """D2: without it the text is pasted in, and a deletion sends the number it begins with."""
    assert advertiser_literal(given, ON) == on
    assert advertiser_literal(given, frozenset()) == off
    assert advertiser_literal(given, frozenset(), in_deletion=True) == off_in_deletion


def test_objects_as_text_declares_text_and_sends_compact_json():
    """D3: without it the type is one StackAdapt does not have."""
    given = payload(custom_properties_mode="v1", custom_traits={"o": {"a": [1, "x"]}})
    assert custom_schema(given) == {"o": ("O", "STRING")}
    assert profiles(given)[0]["o"] == '{"a":[1,"x"]}'
    assert custom_schema(given, corrections=ON - {OBJECTS_AS_TEXT}) == {"o": ("O", "OBJECT")}
    assert profiles(given, corrections=ON - {OBJECTS_AS_TEXT})[0]["o"] == {"a": [1, "x"]}


# --- What is refused before any request ---


def personas(**changes):
    return {"context": {"personas": {**event()["context"]["personas"], **changes}}}


@pytest.mark.parametrize(
    ("given", "fields", "batched", "problem"),
    [
        (event(traits={"cart_rescue": True}), {}, False, "missing the required field 'email'"),
        (event(traits={"cart_rescue": True, "email": None}), {}, False, "missing the required field 'email'"),
        (event(traits={"cart_rescue": True, "email": ""}), {}, False, "missing the required field 'email'"),
        (event(traits={"cart_rescue": True, "email": ""}), {}, True, "Email must be a valid email address"),
        (event(context={}), {}, False, "segment_computation_class.*segment_computation_id.*segment_computation_key"),
        (event(**personas(computation_class="trait")), {}, False, "Segment Computation Class must be one of"),
        (event(), {"marketing_status": None}, False, "missing the required field 'marketing_status'"),
        (event(), {"marketing_status": "opted-in"}, False, "Marketing Status must be one of"),
        (event(), {"standard_traits": {"birth_date": ""}}, True, "Birth Date must be a valid date"),
        (event(), {"standard_traits": {"birth_date": "2026-05-31T00:00:00Z"}}, True, "Birth Date must be a valid date"),
        (event(), {"custom_user_properties": [{"name": "a", "type": "number"}]}, False, "Type must be one of"),
        (event(), {"custom_user_properties": "a"}, False, "must be an object"),
        (event(), {"enable_batching": "yes"}, False, "Batch Profiles must be a boolean"),
    ],
)
def test_an_event_that_lacks_what_is_needed_is_refused(given, fields, batched, problem):
    """Every fault is named; nothing is sent."""
    with pytest.raises(PayloadError, match=problem):
        payload(given, batched=batched, **fields)


@pytest.mark.parametrize(
    ("traits", "key", "value"),
    [
        ({"address": {"street": "9 Quay St"}}, "address", None),
        ({"street": "9 Quay St"}, "address", "9 Quay St"),
        ({"birth_date": "1990-01-01"}, "birth_date", None),
        ({"birthday": "1990-01-01"}, "birth_date", "1990-01-01"),
        ({"city": None}, "city", None),
        ({"city": ""}, "city", ""),
    ],
)
def test_where_the_default_mapping_looks(traits, key, value):
    """Streets and birthdays by those names; null is absent, empty is present."""
    given = event(traits={"cart_rescue": True, "email": "mei@shop.example", **traits})
    given["context"]["traits"] = {"city": "Bergen"}
    assert profiles(payload(given))[0].get(key) == value
