"""From kept bytes to an `Event`: what is filled in, what counts as the same content, what a reading never changes."""

import json
from typing import Any

import pytest
from fixtures_manifest import BY_FILE

from gateway.core.arrivals import Arrival, Item
from gateway.core.errors import EventError
from gateway.core.event_times import iso_text, parse_us
from gateway.core.events import Event, Place
from gateway.core.reading import read_event
from gateway.core.sources import Source

NOON = parse_us("2026-11-20T12:00:00.000Z") or 0
SERVER = Source(name="server")
PLACE = Place(3, 14, 15)
PLAIN: dict[str, Any] = {"type": "track", "event": "E", "userId": "u", "messageId": "m"}


def read(event: Any, *, place: Place = PLACE, source: Source = SERVER, **arrival: Any) -> Event:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    item = Item(body)
    return read_event(Arrival(source.name, NOON, (item,), **arrival), item, place, source)


def test_type_time_and_arrival_are_filled_in_and_nothing_else() -> None:
    """The whole event, for the least a sender may send."""
    event = read({"userId": "u", "event": "E"}, forced_type="track")
    assert event == Event(
        source="server",
        source_kind="server",
        space="default",
        place=PLACE,
        type="track",
        message_id="gw-3-14-15",
        body={
            "userId": "u",
            "event": "E",
            "type": "track",
            "messageId": "gw-3-14-15",
            "timestamp": "2026-11-20T12:00:00.000Z",
            "receivedAt": "2026-11-20T12:00:00.000Z",
        },
        received_us=NOON,
        at_us=NOON,
        id_hash=event.id_hash,
        digest=event.digest,
    )


def test_a_corrected_time_keeps_the_raw_one_beside_it() -> None:
    """As `originalTimestamp`, spelled as it came."""
    event = read(PLAIN | {"timestamp": 1_795_176_000}, shared=b'{"sentAt":"2026-11-20T12:00:05Z"}')
    assert (event.body["timestamp"], event.body["originalTimestamp"]) == ("2026-11-20T11:59:55.000Z", 1_795_176_000)
    assert event.at_us == NOON - 5_000_000


def test_a_forwarded_event_is_not_corrected_twice() -> None:
    """It brings `receivedAt` and `timestamp`; only their form is made one."""
    times = {"timestamp": "2026-11-01T10:00:00+01:00", "receivedAt": "2026-11-01T09:00:01.000Z", "sentAt": "2020-01-01"}
    event = read(PLAIN | times)
    assert event.body["timestamp"] == "2026-11-01T09:00:00.000Z"
    assert event.body["receivedAt"] == times["receivedAt"]
    assert "originalTimestamp" not in event.body


def test_a_time_in_the_future_is_shown_but_does_not_order() -> None:
    """A forged clock must not outrank every later event."""
    event = read(PLAIN | {"timestamp": "2126-01-01T00:00:00.000Z", "receivedAt": "2126-01-01T00:00:00.000Z"})
    assert (event.body["timestamp"], event.at_us) == ("2126-01-01T00:00:00.000Z", NOON)


def test_what_the_envelope_shares_is_laid_under_each_event() -> None:
    """Recursively for objects; the event's own values win, its null counts as absent, arrays are not merged."""
    shared = b'{"context":{"app":{"name":"A","v":1},"tags":[1],"n":null},"integrations":{"X":true},"sentAt":null}'
    event = read(PLAIN | {"context": {"app": {"name": "B"}, "tags": [2], "extra": 1}}, shared=shared)
    assert event.body["context"] == {"app": {"name": "B", "v": 1}, "tags": [2], "extra": 1, "n": None}
    assert event.body["integrations"] == {"X": True}
    assert read(PLAIN | {"context": None}, shared=shared).body["context"] == {
        "app": {"name": "A", "v": 1},
        "tags": [1],
        "n": None,
    }


def test_events_of_one_envelope_share_no_objects() -> None:
    """Changing one must not change the next."""
    shared = b'{"context":{"app":{"name":"A"}}}'
    first, second = read(PLAIN, shared=shared), read(PLAIN, shared=shared)
    context: Any = first.body["context"]
    context["app"]["name"] = "changed"
    assert second.body["context"] == {"app": {"name": "A"}}
    assert read(PLAIN, shared=shared).body["context"] == {"app": {"name": "A"}}


@pytest.mark.parametrize(
    ("members", "type_", "holds"),
    [
        ({"type": "TRACK"}, "track", {}),
        ({"type": None, "action": "Track"}, "track", {"type": "track"}),
        ({"type": "record", "action": "insert"}, "record", {"action": "insert"}),
        (
            {"type": "alias", "User ID": 5, "Previous ID": "p", "userId": None},
            "alias",
            {"userId": "5", "previousId": "p"},
        ),
        ({"type": "group", "groupId": 9007199254740993}, "group", {"groupId": "9007199254740993"}),
        ({"userId": 1e3}, "track", {"userId": "1000"}),
        ({"anonymousId": 7}, "track", {"anonymousId": "7"}),
        ({"messageId": 1.5}, "track", {"messageId": "1.5"}),
        ({"messageId": 12345678901234567890123}, "track", {"messageId": "12345678901234567890123"}),
        ({"traits": {}, "context": {"traits": {"a": 1}}}, "track", {"traits": {}}),
        ({"properties": None}, "track", {"properties": None}),
    ],
)
def test_types_and_ids_are_made_plain(members: dict[str, Any], type_: str, holds: dict[str, Any]) -> None:
    """Ids keep every digit; the rest of the event stays as it came."""
    event = read(PLAIN | members)
    assert event.type == type_ == event.body["type"]
    assert {name: event.body[name] for name in holds} == holds


# --- Duplicates ---

SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"sentAt": "a"}, {"sentAt": "b"}),
    ({"receivedAt": "a"}, {}),
    ({"_metadata": {"n": 1}}, {"_metadata": {}}),
    ({"integrations": {"All": True}}, {"integrations": {"All": False}}),
    ({"context": {"library": {"v": 1}}}, {"context": {"library": {"v": 2}}}),
    ({"originalTimestamp": "2026-01-01", "timestamp": "a"}, {"originalTimestamp": "2026-01-01", "timestamp": "b"}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
]
DIFFERENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"timestamp": "2026-01-01"}, {"timestamp": "2026-01-02"}),
    ({"properties": {"vip": True}}, {"properties": {"vip": False}}),
    ({"context": {"ip": "192.0.2.1"}}, {"context": {"ip": "192.0.2.2"}}),
    ({"event": "E"}, {"event": "F"}),
    ({"properties": {"n": 1}}, {"properties": {"n": "1"}}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_changes_when_an_event_is_sent_again_is_not_its_content(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Same digest, same id hash."""
    first, second = read(PLAIN | one), read(PLAIN | other, place=Place(9, 9, 9))
    assert (first.digest, first.id_hash) == (second.digest, second.id_hash)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_everything_else_is(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Same id, other digest: both are processed."""
    first, second = read(PLAIN | one), read(PLAIN | other)
    assert first.digest != second.digest
    assert first.id_hash == second.id_hash


def test_hashes_fit_a_signed_64_bit_column_and_know_their_source() -> None:
    """The same message id from two sources is two messages."""
    events = [
        read(PLAIN | {"messageId": f"m-{number}"}, source=Source(name=name)) for name in "ab" for number in range(99)
    ]
    hashes = {event.id_hash for event in events}
    assert len(hashes) == 198
    assert all(-(2**63) <= number < 2**63 for number in hashes)
    assert min(hashes) < 0 < max(hashes)


def test_reading_again_gives_the_same() -> None:
    """Replay and explain read the same bytes later; an assigned message id comes from the place."""
    body = BY_FILE["no_message_id.json"].body
    assert read(body) == read(body)
    assert read(body).message_id != read(body, place=Place(3, 14, 16)).message_id


def test_bytes_that_are_no_event_are_named() -> None:
    """What can only be a damaged frame, or another program's, is an error and never a crash."""
    for body, code in ((b"{", "invalid_json"), (b"[]", "not_an_event"), (b'{"userId":"u"}', "missing_type")):
        with pytest.raises(EventError) as caught:
            read(body)
        assert caught.value.code == code
    assert iso_text(NOON).endswith("Z")
