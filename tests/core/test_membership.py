"""Segment's membership rules and the gateway's extensions, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.decisions import MembershipChange
from gateway.core.events import Event, Place
from gateway.core.membership import MembershipReader, Resolution, resolve, resolve_upstream
from gateway.core.rulebook import MembershipRules
from gateway.core.sources import Source, SourceMembership

AUDIENCE = {"computation_class": "audience", "computation_key": "vip"}
STEP = {"computation_class": "journey_step", "computation_key": "vip"}


def body(kind: str = "track", personas: object = AUDIENCE, **members: object) -> dict[str, object]:
    return {"type": kind, "context": {"personas": personas}, **members}


UPSTREAM: list[tuple[str, dict[str, object], bool | None]] = [
    ("track, true", body(properties={"vip": True}), True),
    ("track, false", body(properties={"vip": False}), False),
    ("identify, true", body("identify", traits={"vip": True}), True),
    ("identify, false", body("identify", traits={"vip": False}), False),
    ("identify with the value in properties", body("identify", properties={"vip": True}), None),
    ("track with the value in traits", body(traits={"vip": True}), None),
    ("the text true", body(properties={"vip": "true"}), None),
    ("the number 1", body(properties={"vip": 1}), None),
    ("null", body(properties={"vip": None}), None),
    ("the value under audience_key only", body(properties={"audience_key": "other", "other": True}), None),
    ("no personas", {"type": "track", "event": "Audience Entered", "properties": {"vip": True}}, None),
    ("group", body("group", traits={"vip": True}), None),
    ("class trait", body(personas={**AUDIENCE, "computation_class": "trait"}, properties={"vip": True}), None),
    ("class computed_trait",
        body(personas={**AUDIENCE, "computation_class": "computed_trait"}, properties={"vip": True}), None),
    ("class in capitals", body(personas={**AUDIENCE, "computation_class": "AUDIENCE"}, properties={"vip": True}), None),
    ("type in capitals", body("Track", properties={"vip": True}), None),
    ("the name says exited", body(event="Audience Exited", properties={"vip": True}), True),
    ("journey step, boolean", body(personas=STEP, properties={"vip": False}), False),
    ("journey step, no boolean", body(personas=STEP, properties={}), None),
    ("a key with dots",
        body(personas={**AUDIENCE, "computation_key": "a.b"}, properties={"a.b": True, "a": {"b": False}}), True),
    ("an inherited name", body(personas={**AUDIENCE, "computation_key": "constructor"}, properties={}), None),
    ("personas null", body(personas=None, properties={"vip": True}), None),
    ("context null", {"type": "track", "context": None, "properties": {"vip": True}}, None),
    ("properties null", body(properties=None), None),
    ("empty key", body(personas={**AUDIENCE, "computation_key": ""}, properties={"": True}), None),
    ("a key that is a number", body(personas={**AUDIENCE, "computation_key": 7}, properties={"7": True}), True),
]  # fmt: skip


@pytest.mark.parametrize(("event", "expected"), [row[1:] for row in UPSTREAM], ids=[row[0] for row in UPSTREAM])
def test_segments_rules_give(event: dict[str, object], expected: bool | None) -> None:
    """Each row of the table, without a sync mode and with the legacy switch off."""
    assert resolve_upstream(event) is expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("add", (True, None, None)),
        ("update", (None, True, None)),
        ("upsert", (True, True, None)),
        ("mirror", (True, True, False)),
        ("delete", (None, None, False)),
        ("unheard-of", (None, None, None)),
    ],
)
def test_a_sync_mode_reads_the_event_name(mode: str, expected: tuple[bool | None, ...]) -> None:
    """Reverse ETL: new, updated and deleted, exact and lower case, of track events only."""
    names = ("new", "updated", "deleted")
    assert tuple(resolve_upstream({"type": "track", "event": name}, mode) for name in names) == expected
    assert [resolve_upstream({"type": "identify", "event": name}, mode) for name in names] == [None] * 3
    assert resolve_upstream({"type": "track", "event": "New"}, mode) is None


def test_the_engage_rule_goes_before_the_sync_mode() -> None:
    """`deleted` in mirror mode with a true boolean is an entry."""
    assert resolve_upstream(body(event="deleted", properties={"vip": True}), "mirror") is True


@pytest.mark.parametrize(
    "event", [body(personas=STEP, properties={}), body("page", personas={"computation_class": "journey_step"})]
)
def test_the_legacy_switch_takes_a_step_without_a_boolean_for_an_entry(event: dict[str, object]) -> None:
    """Any type, with or without a key; off unless switched on."""
    assert resolve_upstream(event) is None
    assert resolve_upstream(event, legacy_journeys=True) is True


def test_the_legacy_switch_leaves_booleans_alone() -> None:
    """A step that says false is an exit with the switch on, too."""
    assert resolve_upstream(body(personas=STEP, properties={"vip": False}), legacy_journeys=True) is False


# --- extensions ---

SHOP = Source(name="shop", kind="webhook", audience="list")


def event(members: dict[str, object], *, source: Source = SHOP, user_id: str | None = "u-1") -> Event:
    whole = {**members, **({"userId": user_id} if user_id else {})}
    return Event(
        source=source.name, source_kind=source.kind, space=source.space, place=Place(1, 1, 0), type=str(members["type"]),
        message_id="m", body=whole, received_us=2, at_us=1, id_hash=1, digest=1,
    )  # fmt: skip


def fired(resolution: Resolution) -> tuple[bool, str] | None:
    return (resolution.changes[0].is_member, resolution.changes[0].rule) if resolution.changes else None


NO_CONTEXT = {"type": "track", "context": {}}
EXTENDED: list[tuple[str, dict[str, object], tuple[bool, str] | None]] = [
    ("text true", body(properties={"vip": " True "}), (True, "E1")),
    ("text false, identify", body("identify", traits={"vip": "FALSE"}), (False, "E1")),
    ("text yes", body(properties={"vip": "yes"}), None),
    ("value under audience_key", body(properties={"audience_key": "other", "other": True}), (True, "E2")),
    ("no computation_key",
        body(personas={"computation_class": "audience"}, properties={"audience_key": "k", "k": False}), (False, "E2")),
    ("value under both", body(properties={"audience_key": "other", "other": True, "vip": 1}), None),
    ("context.traits",
        {"type": "identify", "context": {"personas": AUDIENCE, "traits": {"vip": False}}}, (False, "E3")),
    ("context.traits of a track", {"type": "track", "context": {"personas": AUDIENCE, "traits": {"vip": False}}}, None),
    ("no personas, documented shape", {**NO_CONTEXT, "properties": {"audience_key": "k", "k": True}}, (True, "E4")),
    ("no personas, text", {**NO_CONTEXT, "properties": {"audience_key": "k", "k": "true"}}, None),
    ("name only", body(event="Audience Exited", properties={}), (False, "E5")),
    ("name only, no personas",
        {**NO_CONTEXT, "event": "Audience Entered", "properties": {"audience_key": "k"}}, (True, "E5")),
    ("name only, no key", {**NO_CONTEXT, "event": "Audience Entered", "properties": {}}, None),
    ("name only, inherited key",
        body(personas={**AUDIENCE, "computation_key": "__proto__"}, event="Audience Entered"), (True, "E5")),
    ("name in another case", body(event="audience entered", properties={}), None),
    ("Hightouch in", {**NO_CONTEXT, "event": "Segment Entered"}, (True, "E6")),
    ("Hightouch out", {**NO_CONTEXT, "event": "Segment Exited"}, (False, "E6")),
    ("Hightouch out, its typo", {**NO_CONTEXT, "event": "Segment Existed"}, (False, "E6")),
    ("record, insert", {"type": "record", "action": "insert", "fields": {"email": "a@example.com"}}, (True, "E7")),
    ("record, delete", {"type": "record", "action": "delete", "fields": {"email": "a@example.com"}}, (False, "E7")),
    ("record, other", {"type": "record", "action": "merge", "fields": {"email": "a@example.com"}}, None),
    ("group",
        {"type": "group", "groupId": "g", "context": {"personas": AUDIENCE}, "traits": {"vip": True}}, (True, "E8")),
    ("group, text",
        {"type": "group", "groupId": "g", "context": {"personas": AUDIENCE}, "traits": {"vip": "true"}}, None),
    ("class trait",
        body(personas={**AUDIENCE, "computation_class": "trait"}, event="Audience Entered", properties={"vip": "true"}), None),
    ("class of no kind", body(personas={**AUDIENCE, "computation_class": {}}, properties={"vip": "true"}), None),
    ("page", body("page", properties={"vip": True}), None),
]  # fmt: skip


@pytest.mark.parametrize(("members", "expected"), [row[1:] for row in EXTENDED], ids=[row[0] for row in EXTENDED])
def test_an_extension_gives(members: dict[str, object], expected: tuple[bool, str] | None) -> None:
    """Each extension with its rule's name, and nothing where none applies."""
    assert fired(resolve(event(members), SHOP, MembershipRules())) == expected


@pytest.mark.parametrize(
    ("members", "expected"), [row[1:] for row in EXTENDED if row[2]], ids=[row[0] for row in EXTENDED if row[2]]
)
def test_every_extension_can_be_switched_off(members: dict[str, object], expected: tuple[bool, str]) -> None:
    """By its own name for a source, and all of them by `strict`."""
    off = Source(
        name="shop", kind="webhook", audience="list", membership=SourceMembership(off=frozenset({expected[1]}))
    )
    strict = Source(name="shop", kind="webhook", audience="list", membership=SourceMembership(strict=True))
    assert fired(resolve(event(members), off, MembershipRules())) != expected
    assert fired(resolve(event(members), strict, MembershipRules())) is None


def test_a_change_names_audience_and_person() -> None:
    """Space id and computation id first; the key, the settings and the partner's id come along."""
    personas = {
        **AUDIENCE, "computation_id": "aud_1", "space_id": "spa_1", "external_audience_id": "x-9", "audience_settings": {"ttl": 3},
    }  # fmt: skip
    resolution = resolve(event(body(personas=personas, properties={"vip": True})), SHOP, MembershipRules())
    assert resolution == Resolution(
        changes=(
            MembershipChange(
                audience_space="spa_1", audience_key="vip", computation_id="aud_1", member="user_id:u-1", is_member=True,
                rule="6.1-1", settings={"ttl": 3}, external_audience_id="x-9",
            ),
        ),
        is_member=True,
    )  # fmt: skip


def test_without_a_space_id_the_source_is_the_space() -> None:
    """Two sources that reuse a key do not share an audience."""
    (change,) = resolve(event(body(properties={"vip": True})), SHOP, MembershipRules()).changes
    assert (change.audience_space, change.audience_key, change.computation_id) == ("shop", "vip", "")


def test_an_account_is_no_person() -> None:
    """A group event changes the account, whoever sent it."""
    members = {"type": "group", "groupId": "g-1", "context": {"personas": AUDIENCE}, "traits": {"vip": True}}
    (change,) = resolve(event(members), SHOP, MembershipRules()).changes
    assert (change.member, change.is_account) == ("group_id:g-1", True)


@pytest.mark.parametrize(
    ("name", "value", "warned"),
    [("Audience Exited", True, True), ("Audience Entered", True, False), ("Renamed", False, False)],
)
def test_the_boolean_outranks_the_name_and_says_so(name: str, value: bool, warned: bool) -> None:
    """A contradiction is a warning, not a change of mind."""
    resolution = resolve(event(body(event=name, properties={"vip": value})), SHOP, MembershipRules())
    assert resolution.is_member is value
    assert resolution.warnings == (("membership_name_mismatch",) if warned else ())


def test_a_browser_source_changes_nothing_unless_it_is_trusted() -> None:
    """Its key is public, so anybody could put anybody into an audience."""
    browser = Source(name="web", kind="browser")
    seen = event(body(properties={"vip": True}), source=browser)
    refused = Resolution(warnings=("membership_not_trusted",), is_member=True, is_trusted=False)
    assert resolve(seen, browser, MembershipRules()) == refused
    trusted = Source(name="web", kind="browser", trust_membership=True)
    assert fired(resolve(seen, trusted, MembershipRules())) == (True, "6.1-1")


def test_an_audience_list_is_as_many_people_as_it_has_rows() -> None:
    """Each with its own view of the event; the job's own userId is nobody's."""
    listed = {
        "type": "audiencelist",
        "properties": {
            "listData": {"add": [{"email": " A@example.com "}, 7, {"userId": "u-2"}], "remove": [{"madid": "m-1"}]}
        },
    }
    resolution = resolve(event(listed, user_id="job-7"), SHOP, MembershipRules())
    assert [(change.member, change.is_member) for change in resolution.changes] == [
        ("email:a@example.com", True),
        ("user_id:u-2", True),
        ("madid:m-1", False),
    ]
    assert resolution.views[0] == {"type": "audiencelist", "properties": {"email": " A@example.com "}}
    assert resolution.views[1]["userId"] == "u-2"


def test_an_event_that_names_nobody_changes_nothing() -> None:
    """It still says what it says, so that a mapping can forward it."""
    resolution = resolve(event(body(properties={"vip": True}), user_id=None), SHOP, MembershipRules())
    assert resolution == Resolution(is_member=True)


NAMES = [
    "vip", "personas", "traits", "audience_key", "listData", "add", "email", "computation_class", "computation_key",
]  # fmt: skip
TEXTS = st.text(max_size=5) | st.sampled_from(["vip", "true", "audience"])
MEMBERS = ["context", "properties", "traits", "event", "groupId", "fields", "identifiers", "action"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["track", "identify", "group", "record", "audiencelist", "page", "alias"]),
    st.dictionaries(st.sampled_from(MEMBERS), json_values),
)  # fmt: skip
def test_no_event_makes_the_reading_fail(kind: str, members: dict[str, object]) -> None:
    """Whatever stands where, there is an answer."""
    reader = MembershipReader(SHOP, MembershipRules())
    resolution = reader.read(event({**members, "type": kind}))
    assert len(resolution.views) in (0, len(resolution.changes))
