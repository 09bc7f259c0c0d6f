"""Every entry of the fixtures' manifest, posted byte for byte over a real socket."""

import gzip
import json
from typing import Any

import fixtures_manifest as manifest
import pytest
from fixtures_manifest import Fixture
from ingest_harness import Answer, Gateway

from gateway.core.arrivals import ITEM_REJECT, Arrival
from gateway.core.event_times import parse_us
from gateway.core.events import Event

SIGNED_SOURCE = {True: "extras", False: "signed"}


def post(gateway: Gateway, fixture: Fixture) -> Answer:
    source = SIGNED_SOURCE["extras_keys" in fixture.entry] if fixture.auth == "x_signature" else manifest.WEBHOOK_SOURCE
    key = manifest.SERVER_KEY if fixture.auth.startswith("basic") else None
    if b"wk_fixture_browser_01" in fixture.body:
        key = None
    return gateway.post(fixture.path(source), fixture.body, fixture.headers(), key=None if fixture.is_webhook else key)


@pytest.mark.parametrize("fixture", [each for each in manifest.ALL if "audiences" not in each.route], ids=repr)
def test_each_fixture_is_answered_and_kept_as_the_manifest_says(gateway: Gateway, fixture: Fixture) -> None:
    """Status, code, accepted and rejected events; what was accepted reads back with its type, warnings, times, content."""
    if check := fixture.entry.get("time_check"):
        gateway.now_us = parse_us(check["received_at"]) or 0
    answer = post(gateway, fixture)
    arrivals = gateway.take()
    assert (answer.status, kept(arrivals)) == (fixture.status, fixture.accepted)
    assert rejected(arrivals, fixture) == fixture.rejected
    check_reply(answer, fixture)
    check_events(gateway.events(arrivals), fixture)


def kept(arrivals: list[Arrival]) -> int:
    return sum(item.kind != ITEM_REJECT for arrival in arrivals for item in arrival.items)


def rejected(arrivals: list[Arrival], fixture: Fixture) -> list[tuple[int, str]]:
    found = [
        (index, item.code)
        for arrival in arrivals
        for index, item in enumerate(arrival.items)
        if item.kind == ITEM_REJECT
    ]
    return found if fixture.rejected else []


def check_reply(answer: Answer, fixture: Fixture) -> None:
    body = answer.json
    assert answer.headers["content-type"] == "application/json"
    if fixture.status == 200:
        assert body["success"] is True
        assert body.get("accepted", fixture.accepted) == fixture.accepted
    else:
        assert body["success"] is False
        assert body["code"] in fixture.codes
        assert body["message"] == body["error"]
        assert body["requestId"] == answer.headers["x-request-id"]
    assert [(each["index"], each["code"]) for each in body.get("rejected", [])] == fixture.rejected


def check_events(events: list[Event], fixture: Fixture) -> None:
    if fixture.events:
        assert [event.type for event in events] == [each["type"].lower() for each in fixture.events]
        for event, wanted in zip(events, fixture.events, strict=True):
            warnings = set(wanted.get("warnings", ())) - manifest.LEDGER_WARNINGS
            assert set(event.warnings) == warnings
    for event, moment in zip(events, fixture.entry.get("time_check", {}).get("timestamp", ()), strict=False):
        assert event.body["timestamp"] == moment
    for event, merged in zip(events, fixture.entry.get("merged", ()), strict=False):
        assert_holds(event.body, merged)
    if "effective" in fixture.entry:
        assert_holds(events[0].body, fixture.entry["effective"])


def assert_holds(value: Any, wanted: Any) -> None:
    """Every member of `wanted` is in `value`; numbers count as JavaScript's doubles."""
    if isinstance(wanted, dict):
        for name, each in wanted.items():
            assert_holds(value[name], each)
    elif isinstance(wanted, int | float) and not isinstance(wanted, bool):
        assert float(value) == float(wanted)
    else:
        assert value == wanted


@pytest.mark.parametrize("file", ["signed_batch.json", "signed_extensible_batch.json"])
def test_a_signature_over_the_whole_array_passes_without_a_warning(gateway: Gateway, file: str) -> None:
    """The form that an upstream change proposes: nothing is left unauthenticated then."""
    fixture = manifest.BY_FILE[file]
    headers = {"X-Signature": fixture.entry["x_signature_whole"]}
    answer = gateway.post("/webhook/signed-whole", fixture.body, headers)
    assert answer.status == 200
    assert all("partial_signature" not in event.warnings for event in gateway.events(gateway.take()))


def test_a_batch_signed_in_part_is_refused_where_the_source_wants_all(gateway: Gateway) -> None:
    """The second element of this fixture was changed after signing."""
    fixture = manifest.BY_FILE["signed_batch_tampered.json"]
    answer = gateway.post("/webhook/signed-whole", fixture.body, fixture.headers())
    assert (answer.status, answer.code) == (401, "bad_signature")


def test_extras_without_their_names_in_the_source_are_a_bad_signature(gateway: Gateway) -> None:
    """The signature was made before the extras were merged in."""
    fixture = manifest.BY_FILE["signed_audiences_extras.json"]
    answer = gateway.post("/webhook/signed", fixture.body, fixture.headers())
    assert (answer.status, answer.code) == (401, "bad_signature")


def test_audience_calls_issue_one_id_and_know_it_again(gateway: Gateway) -> None:
    """Create twice, get the id, and get one that was never given out."""
    create, get = manifest.BY_FILE["create_audience_request.json"], manifest.BY_FILE["get_audience_request.json"]
    first, again = (gateway.post(create.path(), create.body) for _ in range(2))
    assert (first.status, first.json) == (200, again.json)
    issued = first.json["externalId"]
    request = json.loads(get.body) | {"externalId": issued}
    assert gateway.post(get.path(), request).json == {"externalId": issued}
    assert gateway.post(get.path(), get.body).code == "unknown_audience"
    assert [item.kind for arrival in gateway.take() for item in arrival.items] == [2, 2]


# --- Cases made on the fly ---


def small_events(count: int) -> list[dict[str, object]]:
    return [
        {"type": "track", "event": "E", "userId": f"usr_{number}", "messageId": f"m-{number}"}
        for number in range(count)
    ]


def padded_envelope(size: int) -> bytes:
    envelope = {"batch": small_events(1), "pad": ""}
    return json.dumps(envelope | {"pad": "x" * (size - len(json.dumps(envelope)))}).encode()


def chunked(body: bytes, size: int = 65536) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def made(name: str) -> tuple[bytes | dict[str, Any] | list[Any], dict[str, str]]:
    """Body and headers of one case of the manifest's `generated`."""
    match name:
        case "batch_10000_events":
            return {"batch": small_events(10_000)}, {}
        case "batch_10001_events":
            return {"batch": small_events(10_001)}, {}
        case "webhook_4000_events":
            return small_events(4_000), {}
        case "event_600_kib_in_batch":
            events = small_events(3)
            events[1]["pad"] = "x" * 600 * 1024
            return {"batch": events}, {}
    return padded_envelope(11 * 1024 * 1024), {}


@pytest.mark.parametrize(
    "name",
    ["batch_10000_events", "batch_10001_events", "webhook_4000_events", "event_600_kib_in_batch", "body_11_mib_plain"],
)
def test_generated_bodies_are_answered_as_the_manifest_says(gateway: Gateway, name: str) -> None:
    """The same expectations for bodies too large to keep as files."""
    wanted = manifest.GENERATED[name]
    body, headers = made(name)
    path = wanted["route"].replace("{source}", manifest.WEBHOOK_SOURCE)
    answer = gateway.post(path, body, headers, key=manifest.SERVER_KEY)
    assert (answer.status, kept(gateway.take())) == (wanted["status"], wanted["accepted"])
    assert answer.json.get("code") == wanted.get("code")
    found = [{"index": each["index"], "code": each["code"]} for each in answer.json.get("rejected", [])]
    assert found == wanted.get("rejected", [])


def test_a_chunked_body_without_a_length_is_bounded_too(gateway: Gateway) -> None:
    """`body_11_mib_chunked`: drained, answered, and the connection still works for the next request."""
    head = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with gateway.connect() as connection:
        from ingest_harness import read_answer, request

        connection.sendall(head + chunked(padded_envelope(11 * 1024 * 1024)))
        answer = read_answer(connection)
        assert (answer.status, answer.code) == (400, "payload_too_large")
        connection.sendall(request("/v1/batch", gzip.compress(b"{}"), key=manifest.SERVER_KEY))
        assert read_answer(connection).code == "missing_batch"
    (arrival,) = gateway.take()
    (item,) = arrival.items
    assert (item.code, len(item.body), arrival.source) == ("payload_too_large", 4096, "")
