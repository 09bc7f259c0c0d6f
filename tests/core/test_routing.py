"""`route`: what one event causes, compared whole."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulebooks import APP, EVENTS, LISTS, SHOP, WEB, audience_body, destination, event, lister, mapping, rulebook

from gateway.core.decisions import Decision, IntendedDelivery, MembershipChange, Skipped
from gateway.core.mapping import MappingError
from gateway.core.routing import SKIPPED_BECAUSE, Router, route

CHANGE = MembershipChange(
    audience_space="spa",
    audience_key="vip",
    computation_id="aud_vip",
    member="user_id:u-1",
    is_member=True,
    rule="6.1-1",
)
DELIVERY = IntendedDelivery(
    destination="mailer",
    mapping="mailer/all",
    operation="enter",
    member="user_id:u-1",
    payload={"email": "u-1@example.com", "name": "Audience Entered"},
    change=0,
)


def changed(value: Any, **members: object) -> Any:
    return msgspec.structs.replace(value, **members)


def only_skip(decision: Decision) -> Skipped:
    assert decision.deliveries == ()
    (skip,) = decision.skipped
    return skip


def test_an_entry_is_a_change_and_a_delivery_for_each_mapping_that_matches() -> None:
    """One destination takes it, another one's trigger does not match."""
    other = destination(mapping("other/pages", trigger='type = "page"'), key="other")
    assert route(event(audience_body()), rulebook(destination(), other)) == Decision(
        person="user_id:u-1",
        changes=(CHANGE,),
        deliveries=(DELIVERY,),
        skipped=(Skipped(destination="other", mapping="other/pages", code="not_matching"),),
    )


def test_an_exit_is_owed_as_an_exit() -> None:
    """The operation follows the change, not the payload."""
    decision = route(event(audience_body(is_member=False)), rulebook())
    assert decision.changes == (changed(CHANGE, is_member=False),)
    assert decision.deliveries == (
        changed(DELIVERY, operation="exit", payload={"email": "u-1@example.com", "name": "Audience Exited"}),
    )


def test_an_event_without_membership_is_sent_on_as_it_is() -> None:
    """Segment's way: a mapping without `audiences` serves every event that matches."""
    body = {"type": "track", "event": "Bought", "userId": "u-1", "context": {"traits": {"email": "u-1@example.com"}}}
    assert route(event(body), rulebook()) == Decision(
        person="user_id:u-1",
        deliveries=(
            changed(DELIVERY, operation="send", change=None, payload={"email": "u-1@example.com", "name": "Bought"}),
        ),
    )


@pytest.mark.parametrize(
    ("audiences", "key", "expected"),
    [
        ({"aud_vip": {"region": "eu"}, "*": {}}, "vip", {"region": "eu"}),
        ({"vip": {"region": "us"}, "*": {}}, "vip", {"region": "us"}),
        ({"*": {}}, "vip", None),
        ({"vip": {}}, "other", "audience_not_served"),
    ],
)
def test_audiences_choose_what_a_mapping_serves(
    audiences: dict[str, dict[str, object]], key: str, expected: object
) -> None:
    """By id, key or `*`, with the entry's settings; the others are skipped."""
    decision = route(event(audience_body(key=key)), rulebook(destination(mapping(audiences=audiences))))
    if isinstance(expected, str):
        assert only_skip(decision).code == expected
    else:
        assert decision.deliveries[0].audience_settings == expected


def test_a_mapping_for_audiences_leaves_other_events() -> None:
    """`audiences` is about audiences only."""
    skip = only_skip(
        route(event({"type": "track", "event": "Bought"}), rulebook(destination(mapping(audiences={"*": {}}))))
    )
    assert skip.code == "not_an_audience_event"


def test_the_entrys_settings_lie_over_the_events() -> None:
    """And the list id the event names comes along, to be tried last."""
    body = audience_body()
    body["context"]["personas"] |= {"audience_settings": {"a": 1, "b": 1}, "external_audience_id": "x-9"}  # type: ignore[index]
    (delivery,) = route(event(body), rulebook(destination(mapping(audiences={"vip": {"b": 2}})))).deliveries
    assert delivery.audience_settings == {"a": 1, "b": 2, "event_external_id": "x-9"}


def test_an_event_cannot_choose_the_list_by_its_audience_settings() -> None:
    """Only the entry says which list it is, and whether one is made; else whatever was made before would be passed by."""
    body = audience_body()
    body["context"]["personas"]["audience_settings"] = {"external_id": "stranger", "create": True, "region": "eu"}  # type: ignore[index]
    (delivery,) = route(event(body), rulebook(destination(mapping(audiences={"vip": {}})))).deliveries
    assert delivery.audience_settings is not None
    assert delivery.audience_settings == {"region": "eu"}


TRACK = 'type = "track"'


@pytest.mark.parametrize(
    ("trigger", "fields", "code", "detail"),
    [
        (TRACK + " and ()", {}, "trigger_failed", None),
        (TRACK, {"name": "x"}, "payload_invalid", "The root value is missing the required field 'email'."),
        (
            TRACK,
            {"email": {"@path": "$.properties"}},
            "payload_invalid",
            "Email must be a string but it was an object.",
        ),
    ],
)
def test_what_goes_wrong_is_said(trigger: str, fields: dict[str, object], code: str, detail: str | None) -> None:
    """A stable word, and the messages that help to mend it."""
    skip = only_skip(route(event(audience_body()), rulebook(destination(mapping(trigger=trigger, fields=fields)))))
    assert skip.code == code
    assert skip.detail
    assert detail is None or skip.detail == detail


class Failing:
    """A transform that meets an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def apply(self, _body: object) -> object:
        raise self.error


def test_a_field_that_cannot_be_computed_is_said() -> None:
    """In the mapping's own words."""
    failing = changed(mapping(), transform=Failing(MappingError("the mapping makes too much of this event")))
    assert only_skip(route(event(audience_body()), rulebook(destination(failing)))) == Skipped(
        destination="mailer",
        mapping="mailer/all",
        code="mapping_failed",
        detail="the mapping makes too much of this event",
    )


def test_one_mappings_fault_costs_the_others_nothing() -> None:
    """A fault nobody foresaw is that mapping's, by its name and without its text."""
    broken = changed(mapping("mailer/broken"), transform=Failing(ZeroDivisionError("u-1@example.com")))
    decision = route(event(audience_body()), rulebook(destination(broken, mapping())))
    assert decision.deliveries == (DELIVERY,)
    assert decision.skipped == (
        Skipped(destination="mailer", mapping="mailer/broken", code="mapping_failed", detail="ZeroDivisionError"),
    )


@pytest.mark.parametrize(
    ("integrations", "is_sent"),
    [
        ({"All": False}, False),
        ({"All": False, "Mailer": True}, True),
        ({"All": False, "mailer": {"key": 1}}, True),
        ({"Mailer": False}, False),
        ({"All": True, "Mailer": False}, False),
        ({"Other": False}, True),
        ({}, True),
        (None, True),
        ("none", True),
    ],
)
def test_integrations_are_honoured_on_v1_sources(integrations: object, is_sent: bool) -> None:
    """`All` is the default of whoever is not named; a webhook's sender has decided already."""
    body = audience_body(integrations=integrations)
    assert bool(route(event(body, APP), rulebook()).deliveries) is is_sent
    assert route(event(body, SHOP), rulebook()).deliveries
    ignoring = rulebook(destination(mapping(honour_integrations=False)))
    honouring = rulebook(destination(mapping(honour_integrations=True)))
    assert route(event(body, APP), ignoring).deliveries
    assert bool(route(event(body, SHOP), honouring).deliveries) is is_sent


def test_a_browser_may_send_events_but_no_membership() -> None:
    """What says something of an audience is neither recorded nor forwarded."""
    decision = route(event(audience_body(), WEB), rulebook())
    assert (decision.changes, decision.warnings) == ((), ("membership_not_trusted",))
    assert only_skip(decision).code == "membership_not_trusted"
    plain = {"type": "track", "event": "Bought", "context": {"traits": {"email": "a@example.com"}}}
    assert route(event(plain, WEB), rulebook()).deliveries[0].operation == "send"


def test_a_browser_cannot_pose_as_a_warehouse() -> None:
    """An event named `new` is membership too, where the mapping has a sync mode."""
    body = {"type": "track", "event": "new", "userId": "u-1", "context": {"traits": {"email": "a@example.com"}}}
    rules = rulebook(destination(mapping(sync_mode="mirror")))
    assert only_skip(route(event(body, WEB), rules)).code == "membership_not_trusted"
    (delivery,) = route(event(body, SHOP), rules).deliveries
    assert (delivery.operation, delivery.change) == ("enter", None)


@pytest.mark.parametrize("off", [destination(enabled=False), destination(mapping(enabled=False))])
def test_what_is_switched_off_sends_nothing(off: Any) -> None:
    """Destination or mapping; the ledger goes on."""
    decision = route(event(audience_body()), rulebook(off))
    assert decision.changes == (CHANGE,)
    assert only_skip(decision).code == "disabled"


def test_accounts_are_forwarded_where_a_mapping_says_so() -> None:
    """Platforms that match people have no use for them."""
    body = audience_body(type="group", groupId="g-1", traits={"vip": True})
    every = 'type = "group"'
    assert only_skip(route(event(body), rulebook(destination(mapping(trigger=every))))).code == "account_membership"
    (delivery,) = route(event(body), rulebook(destination(mapping(trigger=every, forward_accounts=True)))).deliveries
    assert (delivery.member, delivery.operation) == ("group_id:g-1", "enter")


def test_an_audience_list_gives_each_person_a_payload() -> None:
    """The mapping sees one row at a time, in place of the properties."""
    body = {
        "type": "audiencelist",
        "properties": {"listData": {"add": [{"email": "a@example.com"}], "remove": [{"email": "b@example.com"}]}},
    }
    fields: dict[str, object] = {"email": {"@path": "$.properties.email"}}
    decision = route(event(body), rulebook(destination(mapping(trigger='type = "audiencelist"', fields=fields))))
    assert [(one.operation, one.member, one.payload, one.change) for one in decision.deliveries] == [
        ("enter", "email:a@example.com", {"email": "a@example.com"}, 0),
        ("exit", "email:b@example.com", {"email": "b@example.com"}, 1),
    ]


def test_empty_texts_survive_in_a_batch_only() -> None:
    """As in Segment, where a single event loses them and a batch does not."""
    fields: dict[str, object] = {"email": "a@example.com", "name": ""}
    for batching, payload in ((True, {"email": "a@example.com", "name": ""}), (False, {"email": "a@example.com"})):
        (delivery,) = route(
            event(audience_body()), rulebook(destination(mapping(fields=fields, batching=batching)))
        ).deliveries
        assert delivery.payload == payload


def test_a_list_shaped_delivery_carries_its_identifiers_hash() -> None:
    """So that a later one of the same identifiers can take its place."""
    rules = rulebook(lister())
    first, again = (route(event(audience_body(is_member=is_in)), rules).deliveries[0] for is_in in (True, False))
    other = route(event(audience_body("u-2")), rules).deliveries[0]
    assert first.identifiers is not None
    assert first.identifiers == again.identifiers != other.identifiers


def test_an_action_that_needs_a_list_id_asks_for_it() -> None:
    """Unless the mapping or the event names one, or the mapping lets it be created."""
    action = changed(LISTS.actions[0], needs_audience_id=True)
    named = audience_body()
    named["context"]["personas"]["external_audience_id"] = "x"  # type: ignore[index]
    own = audience_body()
    own["context"]["personas"]["external_audience_id"] = "gwa_" + "0" * 48  # type: ignore[index]
    plain = audience_body()
    cases: list[tuple[dict[str, object], dict[str, object], bool]] = [
        ({}, plain, True),
        ({"external_id": "9"}, plain, False),
        ({}, named, False),
        ({}, own, True),
        ({"create": True}, plain, False),
    ]
    for entry, body, needed in cases:
        chosen = destination(mapping(action=action, audiences={"*": entry}))
        assert route(event(body), rulebook(chosen)).deliveries[0].needs_audience_id is needed


def test_a_whole_list_action_sends_nothing_by_itself() -> None:
    """Its sync does."""
    action = changed(LISTS.actions[0], sync_only=True)
    assert (
        only_skip(route(event(audience_body()), rulebook(destination(mapping(action=action))))).code == "kept_by_sync"
    )


def test_a_deletion_goes_to_whoever_keeps_profiles() -> None:
    """Once a destination, whatever the triggers say; both ids are forgotten."""
    body = {"type": "delete", "userId": "u-1", "anonymousId": "a-1", "messageId": "m"}
    rules = rulebook(
        destination(mapping("mailer/one", trigger='type = "page"'), mapping("mailer/two")),
        lister(),
        destination(key="off", enabled=False),
    )
    assert route(event(body), rules) == Decision(
        person="user_id:u-1",
        deliveries=(
            IntendedDelivery(
                destination="mailer", mapping="mailer/one", operation="delete", member="user_id:u-1",
                payload={"userId": "u-1", "anonymousId": "a-1"},
            ),
        ),
        skipped=(
            Skipped(destination="lister", mapping="lister/all", code="nothing_to_delete"),
            Skipped(destination="off", mapping="mailer/all", code="disabled"),
        ),
        deletions=("user_id:u-1", "anonymous_id:a-1"),
    )  # fmt: skip


def test_a_source_that_left_the_configuration_is_still_read() -> None:
    """Its events were accepted; they are decided."""
    assert route(event(audience_body()), rulebook(sources=())).changes == (CHANGE,)


PLAUSIBLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["personas", "traits", "email", "All", "Mailer", "vip", "computation_key"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
ROUTER = Router(
    rulebook(
        destination(
            mapping(),
            mapping("mailer/all-of-it", fields={"email": {"@path": "$.userId"}, "name": {"@path": "$.properties"}}),
            mapping("mailer/any", trigger='properties.vip = "x" or traits.email contains "y" or context.traits.vip > 3'),
        ),
        lister(),
    )
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["track", "identify", "group", "page", "alias", "screen", "record", "audiencelist", "delete"]),
    st.dictionaries(
        st.sampled_from(["context", "properties", "traits", "event", "integrations", "userId", "fields"]), PLAUSIBLE
    ),
    st.sampled_from([SHOP, WEB, APP]),
)
def test_no_payload_makes_route_raise(kind: str, members: dict[str, object], source: Any) -> None:
    """And the same event gives the same Decision."""
    seen = event({**members, "type": kind}, source)
    decision = ROUTER.route(seen)
    assert ROUTER.route(seen).skipped == decision.skipped
    assert {skip.code for skip in decision.skipped} <= SKIPPED_BECAUSE.keys()
    assert EVENTS.actions
