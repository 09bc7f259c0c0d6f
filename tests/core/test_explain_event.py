"""`explain_event`: the sentence an operator gets, and what stands behind it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulebooks import APP, SHOP, TRIGGER, WEB, audience_body, destination, event, lister, mapping, rulebook

from gateway.core.explaining import PEOPLE_EXPLAINED_MAX, explain_event
from gateway.core.javascript import Undefined
from gateway.core.routing import SKIPPED_BECAUSE, route


def text_of(value: object) -> str:
    def other(unknown: object) -> object:
        return "undefined" if isinstance(unknown, Undefined) else str(unknown)

    return msgspec.json.encode(value, enc_hook=other).decode()


def test_what_is_owed_is_shown_with_its_way() -> None:
    """Trigger, fields, raw and checked payload, membership, and who owes it."""
    explained = explain_event(event(audience_body()), rulebook(), mask=None)
    assert explained.sentence == "Owed by mailer/all."
    (entered,) = explained.membership
    assert (entered.audience, entered.member, entered.rule) == ("aud_vip", "user_id:u-1", "6.1-1")
    assert entered.sentence == "By rule 6.1-1 the person entered the audience `vip`."
    (owed,) = explained.mappings
    assert (owed.operation, owed.code, owed.trigger.matched) == ("enter", "", True)
    assert owed.payload == owed.raw == {"email": "u-1@example.com", "name": "Audience Entered"}
    assert owed.fields is not None
    assert [part.name for part in owed.fields.parts] == ["email", "name"]
    assert owed.fields.parts[0].paths[0].value == "u-1@example.com"


def test_a_mask_hides_people_everywhere() -> None:
    """By default: names and shapes stay, values do not."""
    body = audience_body("canary-4711", properties={"vip": True, "name": "Canary Finch"})
    rules = rulebook(destination(mapping(trigger='properties.name = "x" or type = "track"')), lister())
    shown = text_of(explain_event(event(body), rules))
    assert "canary-4711" not in shown
    assert "Finch" not in shown
    assert "aud_vip" in shown


@pytest.mark.parametrize(
    ("body", "source", "fields", "code"),
    [
        (audience_body(type="page"), SHOP, None, "not_matching"),
        (audience_body(), WEB, None, "membership_not_trusted"),
        (audience_body(integrations={"Mailer": False}), APP, None, "integrations_off"),
        (audience_body(), SHOP, {"name": "x"}, "payload_invalid"),
    ],
)
def test_what_is_not_sent_is_explained(body: dict[str, object], source: object, fields: object, code: str) -> None:
    """The code of the Decision, and a sentence that says what to change."""
    rules = rulebook(destination(mapping(fields=fields)))  # type: ignore[arg-type]
    seen = event(body, source)  # type: ignore[arg-type]
    explained = explain_event(seen, rules)
    assert [skip.code for skip in route(seen, rules).skipped] == [code]
    assert explained.mappings[0].code == code
    assert SKIPPED_BECAUSE[code] in explained.sentence


def test_the_nearest_reason_closes() -> None:
    """A payload that lacks a field is nearer to being sent than a trigger that does not match."""
    rules = rulebook(
        destination(
            mapping("mailer/a", trigger='type = "page"'),
            mapping("mailer/b", fields={}),
            mapping("mailer/c", enabled=False),
        )
    )
    explained = explain_event(event(audience_body()), rules)
    assert explained.sentence.startswith("Nothing is sent. Nearest was `mailer/b`: ")
    assert "'email'" in explained.sentence


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"context": {}}, "no `context.personas`"),
        ({"context": {"personas": {"computation_class": "trait"}}}, "computation_class"),
        ({"properties": {}, "event": "Renamed"}, "no true or false under its key in `properties`"),
        ({"userId": None, "context": {"personas": {"computation_class": "audience", "computation_key": "vip"}}}, "names no person"),
    ],
)  # fmt: skip
def test_an_event_that_changes_nobody_says_why(members: dict[str, object], said: str) -> None:
    """What is missing, by the member's name."""
    body = {**audience_body(), **members}
    body["properties"] = members.get("properties", {"vip": True})
    assert said in explain_event(event(body), rulebook()).membership[0].sentence


def test_a_deletion_is_explained_by_destination() -> None:
    """Without triggers."""
    explained = explain_event(event({"type": "delete", "userId": "u-1"}), rulebook(destination(), lister()), mask=None)
    assert [(one.mapping, one.operation, one.code) for one in explained.mappings] == [
        ("mailer/all", "delete", ""),
        ("lister/all", "", "nothing_to_delete"),
    ]


def test_of_a_long_list_some_people_are_explained() -> None:
    """And the others counted."""
    rows = [{"email": f"p{n}@example.com"} for n in range(PEOPLE_EXPLAINED_MAX + 3)]
    body = {"type": "audiencelist", "properties": {"listData": {"add": rows}}}
    explained = explain_event(event(body), rulebook())
    assert (len(explained.mappings), explained.people_left_out) == (PEOPLE_EXPLAINED_MAX, 3)


def test_one_mapping_can_be_meant() -> None:
    """By its own name or its destination's."""
    rules = rulebook(destination(), lister())
    assert [one.mapping for one in explain_event(event(audience_body()), rules, mapping="lister").mappings] == [
        "lister/all"
    ]
    assert explain_event(event(audience_body()), rules, mapping="none").sentence == "No mapping is meant."


NAMES = st.sampled_from(["personas", "traits", "vip", "computation_key"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["track", "group", "record", "audiencelist", "delete"]),
    st.dictionaries(st.sampled_from(["context", "properties", "traits", "event"]), VALUES),
)
def test_every_event_has_an_explanation(kind: str, members: dict[str, object]) -> None:
    """And it agrees with the Decision."""
    rules = rulebook(destination(mapping(trigger=TRIGGER + ' or type = "group"')), lister())
    seen = event({**members, "type": kind})
    explained = explain_event(seen, rules)
    decision = route(seen, rules)
    assert {one.mapping for one in explained.mappings if one.operation} == {one.mapping for one in decision.deliveries}
