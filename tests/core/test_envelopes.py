"""The quick look and the careful one must agree, and slices must be exactly what the sender wrote."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import envelopes, items, json_slices, tolerant_json
from gateway.core.errors import EventError
from gateway.core.event_checks import KNOWN_TYPES, Asked, refusal
from gateway.core.signatures import auth_problems
from gateway.core.sources import Source, WebhookAuth

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=3)
IDS = st.sampled_from(["u", "", " ", "a\0", "\ud800", None, 5, 5.0, 5.5, True, [], 10**30])
PARTS = st.sampled_from(
    [None, {}, {"a": 1}, [], "x", 5, {"audience_key": "k\0"}, {"personas": {"computation_key": "\0"}}]
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*sorted(KNOWN_TYPES), "Track", "click", 5, None]),
        "userId": IDS,
        "anonymousId": IDS,
        "event": IDS,
        "groupId": IDS,
        "previousId": IDS,
        "messageId": IDS,
        "properties": PARTS,
        "traits": PARTS,
        "context": PARTS,
        "action": st.sampled_from(["track", "insert", 5]),
        "email": IDS,
        "writeKey": IDS,
        "x": VALUES,
    },
)


@given(EVENTS, st.sampled_from(["", "track", "identify", "group", "alias"]), st.booleans(), st.booleans())
def test_the_quick_look_accepts_nothing_that_the_careful_one_refuses(
    event: dict[str, Any], forced_type: str, is_webhook: bool, is_browser: bool
) -> None:
    """For any event: accepted or rejected by `check` exactly as the careful check says, and with that code."""
    asked = Asked(limits=envelopes.LIMITS, forced_type=forced_type, is_webhook=is_webhook, is_browser=is_browser)
    text = json.dumps(event).encode()
    opened = envelopes.Opened(pieces=[text], keys=[], shape="batch")
    checked = items.check(opened, asked)
    parsed = tolerant_json.parse(text)[0]
    assert isinstance(parsed, dict)
    problem = refusal(parsed, asked)
    assert [why for _, _, why in checked.rejected] == ([] if problem is None else [problem])
    kept = json.loads(checked.items[0].body)
    assert "writeKey" not in kept


@given(st.lists(OBJECTS, max_size=4), st.sampled_from([None, 1]))
def test_elements_and_members_are_found_where_they_lie(values: list[dict[str, Any]], indent: int | None) -> None:
    """Each slice parses to the value that was written there."""
    text = json.dumps(values, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    slices = json_slices.elements(text)
    assert [repr(json.loads(text[start:end])) for start, end in slices] == [repr(value) for value in values]
    for (start, end), value in zip(slices, values, strict=True):
        piece = text[start:end]
        found = {
            member.name: json.loads(piece[member.value_start : member.end]) for member in json_slices.members(piece)
        }
        assert repr(found) == repr(value)
        gone = frozenset(list(value)[:1])
        kept = json.loads(json_slices.without(piece, gone))
        assert repr(kept) == repr({name: each for name, each in value.items() if name not in gone})


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ a1', max_size=60).map(str.encode))
def test_the_scanner_never_fails_otherwise_than_by_value_error(text: bytes) -> None:
    """And never finds a slice outside the text."""
    for scan in (json_slices.elements, json_slices.members):
        try:
            found: list[Any] = scan(text)
        except ValueError:
            continue
        assert all(0 <= each[-1] <= len(text) for each in found)
    json_slices.depth(text, enough=2)


@given(st.binary(max_size=80) | st.text(alphabet='{}[]",:\\ tnNa1.e-', max_size=80).map(str.encode))
def test_no_body_does_more_than_be_refused(body: bytes) -> None:
    """Whatever comes, opening gives events or an EventError, never another exception."""
    routes: tuple[envelopes.Route, ...] = ("single", "batch", "webhook")
    for route in routes:
        with contextlib.suppress(EventError):
            items.check(envelopes.opened(body, route), Asked(limits=envelopes.LIMITS))


def test_a_slice_of_an_object_is_rejoined_as_javascript_writes_it() -> None:
    """What is left after cutting is `JSON.stringify` of the rest, wherever the cut members stood."""
    text = b'{"a":1,"b":{"a":2},"c":"}","a":3}'
    assert json_slices.without(text, frozenset("a")) == b'{"b":{"a":2},"c":"}"}'
    assert json_slices.without(text, frozenset("c")) == b'{"a":1,"b":{"a":2},"a":3}'
    assert json_slices.without(text, frozenset("x")) is text
    assert json_slices.without(b'{"a":1}', frozenset("a")) == b"{}"


@pytest.mark.parametrize(
    ("auth", "says"),
    [
        (WebhookAuth(path_token=("audiences",)), "path token"),
        (WebhookAuth(path_token=("a/b",)), "path token"),
        (WebhookAuth(standard_webhooks=("plain",)), "whsec_"),
        (WebhookAuth(standard_webhooks=("whsec_%",)), "whsec_"),
        (WebhookAuth(jitsu_signature=("-----BEGIN PUBLIC KEY-----",)), "Ed25519"),
        (WebhookAuth(jitsu_signature=("ed25519:abc",)), "Ed25519"),
    ],
)
def test_auth_that_cannot_work_is_said_when_sources_are_loaded(auth: WebhookAuth, says: str) -> None:
    """One sentence each; what can work gives none."""
    (problem,) = auth_problems(Source(name="a", auth=auth))
    assert says in problem
    good = WebhookAuth(path_token=("t",), standard_webhooks=("whsec_c2VjcmV0",), jitsu_signature=("secret",))
    assert auth_problems(Source(name="a", auth=good)) == []
    assert auth_problems(Source(name="a", extras_keys=("region",), auth=WebhookAuth(none=True)))
