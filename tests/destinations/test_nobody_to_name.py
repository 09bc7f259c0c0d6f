"""Events whose payload names nobody as the platform knows people: skipped or noted where they are decided, never dead letters."""

import msgspec
import pytest
from rulebooks import audience_body, destination, event, mapping, rulebook

from gateway.core.decisions import IntendedDelivery, IntendedRecord
from gateway.core.explaining import explain_event
from gateway.core.payloads import defaults_of
from gateway.core.routing import route
from gateway.core.sync_options import SyncOptions
from gateway.destinations.taboola.definition import DEFINITION as TABOOLA
from gateway.destinations.the_trade_desk.definition import DEFINITION as THE_TRADE_DESK

ZEROS = "00000000-0000-0000-0000-000000000000"
HEX = "ab" * 32


def rules(definition, *, corrections=True, sync=None, **fields):
    """One mapping of the definition's action with its defaults and these fields over them."""
    (action,) = definition.actions
    one = mapping(
        "file/one", definition=definition, trigger='type = "track"', fields={**defaults_of(action.fields), **fields},
        audiences={"*": {"external_id": "1001"}}, sync=sync,
    )  # fmt: skip
    on = frozenset(one.name for one in definition.corrections) if corrections else frozenset()
    return rulebook(msgspec.structs.replace(destination(one, definition=definition), corrections=on))


def of(email, **properties):
    """An entering event with these values."""
    body = audience_body(properties={"vip": True, **properties})
    body["context"]["traits"] = {} if email is None else {"email": email}
    return event(body)


@pytest.mark.parametrize(
    ("email", "properties", "with_corrections", "without"),
    [
        ("maria@example.org", {}, "sent", "sent"),
        ("not an email", {}, "sent", "sent"),
        (None, {"ios_id": "A-1"}, "sent", "sent"),
        (None, {}, "no_identifiers", "no_identifiers"),
        ("", {"android_id": ""}, "no_identifiers", "no_identifiers"),
        ("  ", {}, "no_identifiers", "sent"),
        (None, {"ios_id": ZEROS}, "no_identifiers", "sent"),
        ("maria@example.org", {"ios_id": ZEROS}, "sent", "sent"),
    ],
)
def test_taboola_skips_who_has_neither_address_nor_device(email, properties, with_corrections, without):
    """The reference leaves them out of the request; what counts as an identifier the corrections say."""
    for corrections, expected in ((True, with_corrections), (False, without)):
        decision = route(of(email, **properties), rules(TABOOLA, corrections=corrections))
        found = [one.code for one in decision.skipped] + ["sent" for _ in decision.deliveries]
        assert found == [expected]
        assert all(isinstance(one, IntendedDelivery) for one in decision.deliveries)


@pytest.mark.parametrize(
    ("email", "pii_type", "code"),
    [
        ("maria@example.org", "Email", ""),
        ("maria@example.org", "EmailHashedUnifiedId2", ""),
        (HEX, "EmailHashedUnifiedId2", ""),
        (HEX, "Email", "no_identifiers"),
        (" maria@example.org", "Email", "no_identifiers"),
        ("maria@localhost", "EmailHashedUnifiedId2", "no_identifiers"),
        ("", "EmailHashedUnifiedId2", "no_identifiers"),
        (None, "EmailHashedUnifiedId2", "no_identifiers"),
    ],
)
def test_the_trade_desk_notes_who_gives_no_line(email, pii_type, code):
    """The member is in, an older line stays, and whoever asks is told why this event adds none; without the value."""
    seen, known = of(email), rules(THE_TRADE_DESK, sync=SyncOptions(), pii_type=pii_type)
    (record,) = route(seen, known).records
    assert isinstance(record, IntendedRecord)
    assert (record.is_in, record.unmappable, record.payload is None) == (True, code, bool(code))
    explained = explain_event(seen, known)
    (told,) = explained.mappings
    assert told.code == code
    assert explained.sentence.startswith("Nothing is sent. Nearest was" if code else "Owed by")
    assert ("names nobody as the platform knows people" in told.sentence) is bool(code)
    assert not email or email not in told.sentence
