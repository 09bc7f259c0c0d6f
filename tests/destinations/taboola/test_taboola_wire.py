"""Taboola's wire: identifiers, add or remove, refusals, requests and their order, with the reference's values as data."""

import asyncio
import json

import pytest

from gateway.core.fql import compile_trigger
from gateway.core.identifiers import sha256_hex
from gateway.core.outcomes import Refused
from gateway.core.payloads import PayloadError, compile_check, defaults_of
from gateway.destinations.base import Owed
from gateway.destinations.rehearsal import MemberCase, WireCase, member_result, wire_result
from gateway.destinations.taboola.changes import (
    NO_ACCOUNT,
    NO_AUDIENCE,
    NO_DELETION,
    NO_IDENTIFIERS,
    NO_SETTINGS,
    NOT_AN_AUDIENCE,
    Change,
    account_id_warning,
    audience_literal,
    change_of,
    is_add,
)
from gateway.destinations.taboola.clusters import identifiers_of
from gateway.destinations.taboola.definition import DEFINITION
from gateway.destinations.taboola.wire import (
    base_url,
    calls_of,
    create_request,
    creation_settings,
    member_of,
    token_request,
    users_request,
)

ALL = frozenset(one.name for one in DEFINITION.corrections)
NONE: frozenset[str] = frozenset()
SETTINGS = {"client_id": "cid", "client_secret": "sec"}
IDFA = "6D92078A-8246-4BA4-AE5B-76104861E7DC"
MARIA = "60c61206e36204aa3ac3b26c9994204e05c1f48ad55414a653704cecae7c43be"
BACKSTAGE = "https://backstage.taboola.com/backstage"


def without(name):
    return ALL - {name}


# 7.1, 7.2, 7.3: the person ------------------------------------------------------------------------------------------

AS_GIVEN = [
    ("testing@testing.com", "584c4423c421df49955759498a71495aba49b8780eb9387dff333b6f0982c777"),
    ("maria@example.org", MARIA),
    ("Maria@Example.org", "9dc5e2e7052155b75fa1826be65830469a4ea97f3f022e7e5835d28a8cf5e5c8"),
    (" maria@example.org", "1e5a51c912788b19f49f9ccbe0953f9a22efd3f19f7b69173fbb1787ab5fdb1d"),
    ("ZOË@example.org", "0a57cc38e232c36d391842a078d923d120d080e93eda11176f792bffd28e2421"),
    ("A" * 64, "A" * 64),
    ("a1" * 32 + "\n", sha256_hex("a1" * 32 + "\n")),
    ("not an email", sha256_hex("not an email")),
    ("d41d8cd98f00b204e9800998ecf8427e", sha256_hex("d41d8cd98f00b204e9800998ecf8427e")),
    ("yhI0QL7dpdaHFq6DEyKlqKPn2vj7KX91BQeqhniYRvI=", sha256_hex("yhI0QL7dpdaHFq6DEyKlqKPn2vj7KX91BQeqhniYRvI=")),
]  # fmt: skip


@pytest.mark.parametrize(("email", "user_id"), AS_GIVEN)
def test_7_1_byte_parity_hashes_an_address_as_it_is(email, user_id):
    """Finished hashes stay, in either case; everything else is hashed, an address or not."""
    assert identifiers_of({"user_email": email}, without("lower_trim_email")) == (("EMAIL_ID", user_id),)


@pytest.mark.parametrize(
    ("email", "user_id"),
    [
        ("maria@example.org", MARIA),
        ("Maria@Example.org", MARIA),
        (" maria@example.org\ufeff", MARIA),
        ("ZOË@example.org", sha256_hex("zoë@example.org")),
        ("A" * 64, "A" * 64),
    ],
)
def test_lower_trim_email_makes_one_person_of_every_spelling(email, user_id):
    """A finished hash is not touched: a hash of small letters cannot be made of it."""
    assert identifiers_of({"user_email": email}, ALL) == (("EMAIL_ID", user_id),)


def test_an_address_of_blanks_is_nobody():
    """Its hash would be the same for everybody; byte parity sends it."""
    assert identifiers_of({"user_email": "  "}, ALL) == ()
    assert identifiers_of({"user_email": "  "}, NONE) == (("EMAIL_ID", sha256_hex("  ")),)
    assert identifiers_of({"user_email": ""}, NONE) == ()


@pytest.mark.parametrize(
    "device", ["AND-1", " x ", IDFA, IDFA.lower(), "ab" * 32, "0x0", "00000000-0000-0000-0000-000000000001"]
)
def test_7_2_a_device_id_goes_out_as_it_is(device):
    """Neither trimmed nor hashed, whatever it looks like."""
    assert identifiers_of({"device_id": device}, ALL) == (("DEVICE_ID", device),)


@pytest.mark.parametrize("device", ["00000000-0000-0000-0000-000000000000", "0" * 32, "0"])
def test_drop_zero_device_id(device):
    """The person's address is still sent; byte parity sends the zeros too."""
    payload = {"user_email": "maria@example.org", "device_id": device}
    assert identifiers_of(payload, ALL) == (("EMAIL_ID", MARIA),)
    assert identifiers_of(payload, without("drop_zero_device_id")) == (("EMAIL_ID", MARIA), ("DEVICE_ID", device))
    assert identifiers_of({"device_id": device}, ALL) == ()


def test_7_3_a_cluster_is_one_person_address_first():
    """As the member kind of conformance shows it."""
    cluster = {
        "cluster": [
            {"user_id": MARIA, "type": "EMAIL_ID", "is_hashed": True},
            {"user_id": IDFA, "type": "DEVICE_ID", "is_hashed": False},
        ]
    }
    payload = {"device_id": IDFA, "user_email": "maria@example.org"}
    assert member_of(payload, ALL) == cluster
    assert list(member_of(payload, ALL)["cluster"][0]) == ["user_id", "type", "is_hashed"]
    assert member_of({}, ALL) is None
    case = MemberCase(destination="actions-taboola-actions", action="syncAudience", payload=payload)
    assert member_result(case) == cluster
    off = MemberCase(destination="taboola", payload={"user_email": "Maria@Example.org"}, corrections="off")
    assert member_result(off)["cluster"][0]["user_id"] == AS_GIVEN[2][1]
    only = MemberCase(
        destination="taboola", payload={"user_email": "Maria@Example.org"}, corrections={"lower_trim_email": True}
    )
    assert member_result(only)["cluster"][0]["user_id"] == MARIA


@pytest.mark.parametrize(("destination", "action"), [("nowhere", ""), ("taboola", "nothing")])
def test_a_member_question_about_nothing_is_a_lookup_error(destination, action):
    """The conformance entry tells it."""
    with pytest.raises(LookupError):
        member_result(MemberCase(destination=destination, action=action, payload={}))


# 6: add or remove ---------------------------------------------------------------------------------------------------

TRUTH = [
    (True, True), (1, True), (-1, True), ("false", True), ("0", True), (" ", True), ([], True), ({}, True), (0.5, True),
    (False, False), (0, False), (0.0, False), (-0.0, False), ("", False), (None, False),
]  # fmt: skip


@pytest.mark.parametrize(("flag", "adds"), TRUTH)
def test_6_truth_is_javascripts(flag, adds):
    """Lists and objects are true even when empty, and so is the text "false"."""
    payload = {"segment_computation_key": "k", "traits_or_props": {"k": flag}}
    assert is_add(Owed(id=0, operation="send", payload=payload)) is adds


def test_6_the_key_is_no_path_and_its_absence_removes():
    """Nor does the event's name play a part, or what is mapped into `action`; a sync's plan needs no flag."""
    payload = {"segment_computation_key": "a.b", "traits_or_props": {"a": {"b": True}}, "action": "ADD"}
    assert is_add(Owed(id=0, operation="enter", payload=payload)) is False
    assert is_add(Owed(id=0, operation="enter", payload={**payload, "traits_or_props": {"a.b": 1}})) is True
    assert is_add(Owed(id=0, operation="enter", payload=payload, planned=True)) is True
    assert is_add(Owed(id=0, operation="exit", payload={"traits_or_props": 5}, planned=True)) is False
    assert is_add(Owed(id=0, operation="enter", payload={"traits_or_props": 5})) is False


# 4: the action, and what is refused ---------------------------------------------------------------------------------

ACTION = DEFINITION.action("Sync Audience")


def event(email="maria@example.org", flag=True, *, properties=None, **personas):
    """As Engage sends it."""
    return {
        "type": "track",
        "event": "Audience Entered",
        "userId": "u123",
        "properties": {"audience_key": "big_spenders", "big_spenders": flag, **(properties or {})},
        "context": {
            "traits": {} if email is None else {"email": email},
            "personas": {
                "computation_class": "audience",
                "computation_key": "big_spenders",
                "computation_id": "aud_1",
                "external_audience_id": "1234",
                "audience_settings": {"account_id": "demo-advertiser"},
                **personas,
            },
        },
    }


def wire(*events, batch=True, corrections="on", mapping=None, settings=SETTINGS, **more):
    """(requests without the login, results)."""
    case = WireCase(
        destination="taboola", settings=settings, events=list(events), batch=batch, corrections=corrections,
        mapping=mapping, **more,
    )  # fmt: skip
    told = asyncio.run(wire_result(case))
    return [one for one in told["requests"] if not one["url"].endswith("/oauth/token")], told["results"]


def bodies(requests):
    return [json.loads(request["body"]) for request in requests]


def test_4_the_definition():
    """Field order, defaults and requirements of the one action."""
    assert compile_trigger(ACTION.trigger).matches({"type": "track"})
    assert not compile_trigger(ACTION.trigger).matches({"type": "identify"})
    assert list(defaults_of(ACTION.fields)) == [
        "external_audience_id", "segment_computation_key", "segment_computation_action", "user_email", "traits_or_props",
        "enable_batching", "device_id", "batch_size",
    ]  # fmt: skip
    assert ACTION.list_shaped
    assert DEFINITION.action("syncAudience") is ACTION


@pytest.mark.parametrize(
    ("traits", "context_traits", "properties", "expected"),
    [
        ({"email": "a@example.org"}, {"email": "b@example.org"}, None, ("a@example.org", None)),
        ({"email": None}, {"email": "b@example.org"}, None, ("b@example.org", None)),
        ({"email": ""}, {"email": "b@example.org"}, {"android_id": "A"}, (None, "A")),
        ({}, {"email": "b@example.org"}, {"ios_id": "I", "android_id": "A"}, ("b@example.org", "I")),
        ({}, {"email": "b@example.org"}, {"ios_id": "", "android_id": "A"}, ("b@example.org", None)),
        ({}, {"email": "b@example.org"}, {"ios_id": None, "android_id": 17}, ("b@example.org", "17")),
    ],
)
def test_4_an_empty_value_hides_a_good_one_and_null_does_not(traits, context_traits, properties, expected):
    """In address and device id alike; numbers become text."""
    body = event(properties=properties)
    body["traits"], body["context"]["traits"] = traits, context_traits
    requests, _ = wire(body, batch=False, corrections="off")
    ids = {one["type"]: one["user_id"] for one in bodies(requests)[0]["identities"][0]["cluster"]}
    email, device = expected
    assert ids.get("EMAIL_ID") == (sha256_hex(email) if email else None)
    assert ids.get("DEVICE_ID") == device


def test_4_missing_fields_are_named_all_at_once():
    """By the check before any call; another class is none either."""
    with pytest.raises(PayloadError) as told:
        compile_check(ACTION.fields).check({"external_audience_id": "1"}, batched=False)
    for field in ("segment_computation_key", "segment_computation_action", "traits_or_props"):
        assert field in str(told.value)
    requests, results = wire(event(computation_class="computed_trait"), event())
    assert (len(requests), [one["status"] for one in results]) == (1, [400, 200])


REFUSED = [
    ({"external_audience_id": None}, {}, NO_AUDIENCE),
    ({"external_audience_id": ""}, {}, NO_AUDIENCE),
    ({"external_audience_id": "abc"}, {}, NOT_AN_AUDIENCE),
    ({"external_audience_id": "12.50"}, {}, NOT_AN_AUDIENCE),
    ({"external_audience_id": "0"}, {}, NOT_AN_AUDIENCE),
    ({"external_audience_id": "-5"}, {}, NOT_AN_AUDIENCE),
    ({"external_audience_id": "1e3"}, {}, NOT_AN_AUDIENCE),
    ({"external_audience_id": "9" * 19}, {}, NOT_AN_AUDIENCE),
    ({"external_audience_id": "gwa_0011"}, {}, NO_AUDIENCE),
    ({"user_email": None}, {}, NO_IDENTIFIERS),
    ({"user_email": ""}, {"account_id": ""}, NO_IDENTIFIERS),
    ({}, None, NO_SETTINGS),
    ({}, {"ttl_in_hours": 5}, NO_ACCOUNT),
    ({}, {"account_id": ""}, NO_ACCOUNT),
    ({}, {"account_id": None}, NO_ACCOUNT),
    ({}, {"account_id": ".."}, NO_ACCOUNT),
]


@pytest.mark.parametrize(("payload", "settings", "reason"), REFUSED)
def test_4_what_cannot_be_sent_is_refused_alone(make_owed, payload, settings, reason):
    """Audience, then person, then account; final, and no other delivery of the batch is blamed."""
    given = make_owed()
    members = {key: value for key, value in {**given.payload, **payload}.items() if value is not None}
    audience_settings = {} if settings is None else settings or given.audience_settings
    one = make_owed(payload=members, audience_settings=audience_settings)
    assert change_of(0, one, ALL) == Refused(reason=reason)


def test_a_deletion_has_nothing_to_delete(make_owed):
    """People leave audiences by removals."""
    assert change_of(0, make_owed(operation="delete"), ALL) == Refused(reason=NO_DELETION)


@pytest.mark.parametrize(
    ("given", "checked", "unchecked"),
    [("1234", "1234", "1234"), (" 7 ", "7", "7"), ("007", "7", "7"), ("abc", None, "null"), ("12.50", None, "12.5"),
     ("", None, "0"), ("1e3", None, "1000"), ("0x10", None, "16"), ("Infinity", None, "null"),
     ("123456789012345678", "123456789012345678", "123456789012345680"), ("١٢", None, "null")],
)  # fmt: skip
def test_check_audience_id(given, checked, unchecked):
    """A whole number from 1 on, exactly; byte parity is JavaScript's `Number`, which rounds beyond 2^53."""
    assert audience_literal(given, ALL) == checked
    assert audience_literal(given, without("check_audience_id")) == unchecked


@pytest.mark.parametrize(
    ("account", "is_usual"),
    [("demo-advertiser", True), ("a1", True), ("My Account - Name", False), ("demo_advertiser", False), ("-a", False)],
)
def test_3_an_account_id_of_another_form_is_worth_a_warning(account, is_usual):
    """With the form that Segment's page derives."""
    assert (account_id_warning(account) == "") is is_usual
    assert is_usual or "Should it be" in account_id_warning(account)
    assert "`myaccountname`" in account_id_warning("My Account - Name")
    assert "Should" not in account_id_warning("___")


# 8, 9, 10: requests -------------------------------------------------------------------------------------------------


def test_8_2_the_token_call_is_a_form_in_this_order():
    """Form-encoded as browsers do; no authorization and no slash at the end."""
    request = token_request({"client_id": "c id/+&=~*", "client_secret": "é"})
    assert request.url == f"{BACKSTAGE}/oauth/token"
    assert request.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert request.body == b"client_id=c+id%2F%2B%26%3D%7E*&client_secret=%C3%A9&grant_type=client_credentials"
    assert base_url({"backstage_base_url": "http://127.0.0.1:8090/taboola/backstage/"}).endswith("/backstage")


def test_9_1_a_creation_leaves_out_what_is_not_set():
    """Name, then what is set, then the source."""
    name, asked = creation_settings({"account_id": "a b", "external_id": "9"}, {}, "big_spenders", "Big Spenders")
    request = create_request(name, asked, {}, "T")
    assert request.url == f"{BACKSTAGE}/api/1.0/a%20b/audience_onboarding/create"
    assert request.headers == {"Authorization": "Bearer T", "Content-Type": "application/json"}
    assert request.body == b'{"audience_name":"big_spenders","integration_source":"segment.com"}'
    name, asked = creation_settings(
        {"account_id": "a", "ttl_in_hours": "48", "exclude_from_campaigns": "true"},
        {"audience_identifier": "audience_name"}, "big_spenders", "Big Spenders",
    )  # fmt: skip
    request = create_request(name, asked, {"integration_source": "acme"}, "T")
    assert request.body == (
        b'{"audience_name":"Big Spenders","ttl_in_hours":48,"exclude_from_campaigns":true,"integration_source":"acme"}'
    )


@pytest.mark.parametrize(
    ("given", "settings", "key", "name", "part"),
    [
        ({"account_id": "a"}, {}, "", "n", "no name"),
        ({"account_id": "a"}, {"audience_identifier": "audience_name"}, "k", "", "no name"),
        ({}, {}, "k", "n", "account_id"),
        ({"account_id": ""}, {}, "k", "n", "account_id"),
        ({}, {}, "", "", "no name"),
        ({"ttl_in_hours": "soon"}, {}, "", "", "TTL in Hours"),
    ],
)
def test_9_1_a_creation_is_checked_before_any_call(given, settings, key, name, part):
    """Settings, then the name, then the account."""
    with pytest.raises(PayloadError, match=part):
        creation_settings(given, settings, key, name)


def changes(*found):
    """`ADD maria a` becomes a change; people are device ids, `maria+phone` has two."""
    made = []
    for position, text in enumerate(found):
        operation, people, audience, *account = text.split()
        identifiers = tuple(("DEVICE_ID", one) for one in people.split("+"))
        made.append(
            Change(
                position=position, operation=operation, identifiers=identifiers, account=(account or ["acc"])[0],
                audience=audience,
            )
        )  # fmt: skip
    return made


def told(calls):
    """The inverse, one line a request."""
    return [
        (
            call.operation,
            call.audience,
            ["+".join(one for _, one in person) for person in call.people],
            list(call.positions),
        )
        for call in calls
    ]


def test_10_the_users_call_is_these_bytes():
    """Keys in this order, the audience a number, no blanks."""
    (call,) = calls_of(
        [
            Change(
                position=0,
                operation="ADD",
                identifiers=(("EMAIL_ID", MARIA),),
                account="demo-advertiser",
                audience="1234",
            ),
            Change(
                position=1,
                operation="ADD",
                identifiers=(("DEVICE_ID", 'A"\n'),),
                account="demo-advertiser",
                audience="1234",
            ),
        ],
        ALL,
    )
    request = users_request(call, SETTINGS, "A1")
    assert request.method == "POST"
    assert request.url == f"{BACKSTAGE}/api/1.0/demo-advertiser/audience_onboarding"
    assert request.headers == {"Authorization": "Bearer A1", "Content-Type": "application/json"}
    assert request.body.decode() == (
        '{"operation":"ADD","audience_id":1234,"identities":['
        f'{{"cluster":[{{"user_id":"{MARIA}","type":"EMAIL_ID","is_hashed":true}}]}},'
        '{"cluster":[{"user_id":"A\\"\\n","type":"DEVICE_ID","is_hashed":false}]}],'
        '"integration_source":"segment.com"}'
    )
    assert request.timeout_s == 10.0


def test_13_a_call_with_many_people_may_take_longer():
    """Above 10,000."""
    many = [f"ADD p{number} 1" for number in range(10_001)]
    (call,) = calls_of(changes(*many), ALL)
    assert users_request(call, {}, "T").timeout_s == 60.0
    (call,) = calls_of(changes(*many[:-1]), ALL)
    assert users_request(call, {}, "T").timeout_s == 10.0


# 11: batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corrections", [ALL, NONE])
def test_11_requests_are_grouped_by_operation_then_audience(corrections):
    """In the order in which they are first met, operations outermost; accounts apart."""
    calls = calls_of(changes("ADD p a", "REMOVE q b", "ADD r b", "REMOVE s a", "ADD t a"), corrections)
    assert told(calls) == [
        ("ADD", "a", ["p", "t"], [0, 4]),
        ("ADD", "b", ["r"], [2]),
        ("REMOVE", "b", ["q"], [1]),
        ("REMOVE", "a", ["s"], [3]),
    ]
    assert len(calls_of(changes("ADD p a x", "ADD q a y"), corrections)) == 2
    assert calls_of([], corrections) == []


def test_11_byte_parity_sends_duplicates_and_races():
    """Both operations of one person go out."""
    calls = calls_of(changes("ADD p a", "REMOVE p a", "ADD p a"), NONE)
    assert told(calls) == [("ADD", "a", ["p", "p"], [0, 2]), ("REMOVE", "a", ["p"], [1])]


@pytest.mark.parametrize(
    ("given", "parity", "corrected"),
    [
        (["7", "007", 7], [("7", 2), ("7", 1)], [("7", 3)]),
        (["abc", "", "abc"], [("null", 2), ("0", 1)], []),
        (["abc", "x1"], [("null", 1), ("null", 1)], []),
        (["12.50", 12.5], [("12.5", 1), ("12.5", 1)], []),
    ],
)
def test_11_byte_parity_groups_by_the_text_of_the_id(given, parity, corrected):
    """One request for each writing of an id, as the reference; checked ids are numbers, and one number is one audience."""
    events = [event(f"p{number}@example.org", external_audience_id=one) for number, one in enumerate(given)]
    for corrections, expected in (("off", parity), ("on", corrected)):
        requests, _ = wire(*events, corrections=corrections)
        found = [(json.dumps(one["audience_id"]), len(one["identities"])) for one in bodies(requests)]
        assert found == expected


LAST = [
    (["ADD p a", "REMOVE p a"], [("REMOVE", "a", ["p"], [0, 1])]),
    (["REMOVE p a", "ADD q a", "ADD p a"], [("ADD", "a", ["q", "p"], [1, 0, 2])]),
    (["ADD p a", "ADD p a"], [("ADD", "a", ["p"], [0, 1])]),
    (["ADD p a", "REMOVE p b"], [("ADD", "a", ["p"], [0]), ("REMOVE", "b", ["p"], [1])]),
    (["ADD p a x", "REMOVE p a y"], [("ADD", "a", ["p"], [0]), ("REMOVE", "a", ["p"], [1])]),
    # People that overlap in part: each identifier goes where its last change wants it.
    (["ADD x a", "REMOVE e+d a", "ADD e a"], [("ADD", "a", ["x", "e"], [0, 2]), ("REMOVE", "a", ["d"], [1])]),
    (["REMOVE e a", "ADD e+d a"], [("ADD", "a", ["e+d"], [0, 1])]),
    (["ADD e a", "ADD e+d a"], [("ADD", "a", ["e", "e+d"], [0, 1])]),
    (["ADD e+d a", "REMOVE e a", "REMOVE d a"], [("REMOVE", "a", ["e", "d"], [0, 1, 2])]),
    (["ADD e a", "REMOVE e+d a", "ADD e a"], [("REMOVE", "a", ["d"], [1]), ("ADD", "a", ["e"], [0, 2])]),
]


@pytest.mark.parametrize(("given", "expected"), LAST)
def test_last_operation_wins(given, expected):
    """One person, one audience, one operation; whatever is not sent shares the outcome of what is."""
    assert told(calls_of(changes(*given), ALL)) == expected


@pytest.mark.parametrize("seed", range(200))
def test_last_operation_wins_for_each_identifier_in_whatever_order_requests_arrive(seed):
    """Applied forwards or backwards the requests give what the events gave one by one; every delivery has one outcome."""
    number = seed
    given = []
    for _ in range(2 + seed % 9):
        number = (number * 1_103_515_245 + 12_345) % 2**31
        people = ["e", "d", "e+d", "f", "f+d", "e+g"][number // 64 % 6]
        given.append(f"{['ADD', 'REMOVE'][number // 4096 % 2]} {people} {'ab'[number // 8192 % 2]}")
    made = changes(*given)
    wanted = {}
    for change in made:
        wanted.update({(change.audience, one): change.operation for one in change.identifiers})
    calls = calls_of(made, ALL)
    for order in (calls, calls[::-1]):
        got = {}
        for call in order:
            got.update({(call.audience, one): call.operation for person in call.people for one in person})
        assert got == wanted
    assert sorted(position for call in calls for position in call.positions) == list(range(len(made)))


# 15, 16: what upstream's tests pin down, the worked example -----------------------------------------------------------


def test_15_one_event_without_the_key_removes_address_then_device():
    """The event's own settings are enough."""
    body = event("testing@testing.com", properties={"ios_id": IDFA})
    del body["properties"]["big_spenders"]
    requests, results = wire(body, batch=False, corrections="off")
    assert bodies(requests) == [
        {
            "operation": "REMOVE",
            "audience_id": 1234,
            "identities": [
                {
                    "cluster": [
                        {"user_id": AS_GIVEN[0][1], "type": "EMAIL_ID", "is_hashed": True},
                        {"user_id": IDFA, "type": "DEVICE_ID", "is_hashed": False},
                    ]
                }
            ],
            "integration_source": "segment.com",
        }
    ]
    assert results == [{"status": 200}]


def test_15_names_of_events_do_not_matter():
    """Entered and Exited, neither with the key: one removal of two."""
    first, second = event("a@example.org", None), event("b@example.org", None)
    second["event"] = "Audience Exited"
    requests, results = wire(first, second)
    assert [(one["operation"], len(one["identities"])) for one in bodies(requests)] == [("REMOVE", 2)]
    assert results == [{"status": 200}] * 2


def test_5_an_identify_call_names_nobodys_device():
    """It carries flag and address in its traits; what stands in `context.device` is never read."""
    body = event()
    del body["properties"]
    body["type"], body["traits"] = "identify", {"big_spenders": True, "email": "maria@example.org"}
    body["context"]["traits"] = {}
    body["context"]["device"] = {"advertisingId": IDFA, "id": IDFA}
    requests, _ = wire(body, batch=False)
    (person,) = bodies(requests)[0]["identities"]
    assert (bodies(requests)[0]["operation"], [one["type"] for one in person["cluster"]]) == ("ADD", ["EMAIL_ID"])


def test_10_an_audience_number_beyond_2_to_the_53_is_exact():
    """JavaScript would round it."""
    requests, _ = wire(event(external_audience_id="9007199254740993"))
    assert '"audience_id":9007199254740993,' in requests[0]["body"]


def test_a_planned_change_needs_no_flag():
    """A sync's update adds as its enter does."""
    payload = {"segment_computation_key": "k", "traits_or_props": {"k": False}}
    for operation, adds in (("enter", True), ("update", True), ("exit", False)):
        assert is_add(Owed(id=0, operation=operation, payload=payload, planned=True)) is adds


def test_15_refusals_of_single_events():
    """No identifiers, no settings."""
    assert wire(event(None), batch=False) == ([], [{"status": 400, "error": NO_IDENTIFIERS}])
    assert wire(event(audience_settings=None), batch=False) == ([], [{"status": 400, "error": NO_SETTINGS}])


@pytest.mark.parametrize("given", [1234, "1234"])
def test_15_a_number_as_external_id_works_in_event_and_mapping(given):
    """An unknown key in the mapping is ignored; what is mapped comes before what the event says."""
    requests, _ = wire(event(external_audience_id=given), batch=False)
    assert bodies(requests)[0]["audience_id"] == 1234
    mapping = {**defaults_of(ACTION.fields), "external_audience_id": given, "segment_audience_id": "x"}
    requests, _ = wire(event(external_audience_id="99"), mapping=mapping, batch=False)
    assert bodies(requests)[0]["audience_id"] == 1234


def test_15_audience_settings_of_the_configuration_come_first():
    """Over the event's own."""
    requests, _ = wire(event(), audience_settings={"account_id": "harbour-books", "external_id": "77"})
    assert requests[0]["url"].endswith("/api/1.0/harbour-books/audience_onboarding")
    assert bodies(requests)[0]["audience_id"] == 77


def test_16_the_worked_example():
    """Byte by byte, corrections off: one request to add two, one to remove one."""
    requests, results = wire(
        event("maria@example.org"), event("Maria@Example.org", properties={"android_id": "AND-1"}),
        event("testing@testing.com", False), corrections="off",
    )  # fmt: skip
    assert [one["body"] for one in requests] == [
        (
            '{"operation":"ADD","audience_id":1234,"identities":[{"cluster":[{"user_id":'
            '"60c61206e36204aa3ac3b26c9994204e05c1f48ad55414a653704cecae7c43be","type":"EMAIL_ID","is_hashed":true}]},'
            '{"cluster":[{"user_id":"9dc5e2e7052155b75fa1826be65830469a4ea97f3f022e7e5835d28a8cf5e5c8","type":"EMAIL_ID",'
            '"is_hashed":true},{"user_id":"AND-1","type":"DEVICE_ID","is_hashed":false}]}],"integration_source":"segment.com"}'
        ),
        (
            '{"operation":"REMOVE","audience_id":1234,"identities":[{"cluster":[{"user_id":'
            '"584c4423c421df49955759498a71495aba49b8780eb9387dff333b6f0982c777","type":"EMAIL_ID","is_hashed":true}]}],'
            '"integration_source":"segment.com"}'
        ),
    ]
    assert {one["url"] for one in requests} == {f"{BACKSTAGE}/api/1.0/demo-advertiser/audience_onboarding"}
    assert results == [{"status": 200}] * 3


def test_11_a_thousand_and_one_events_are_not_split_here():
    """The size of batches is the lane's business."""
    requests, _ = wire(*[event(f"p{number}@example.org") for number in range(1001)])
    assert [len(one["identities"]) for one in bodies(requests)] == [1001]
