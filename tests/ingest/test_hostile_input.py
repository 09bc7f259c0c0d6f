"""What must not hurt: malformed and hostile bodies, each with the answer it gets, table by table."""

import gzip
import json
import zlib
from typing import Any

import fixtures_manifest as manifest
import pytest
from ingest_harness import Gateway

from gateway.core.arrivals import ITEM_EVENT

GOOD = {"type": "track", "event": "E", "userId": "usr_1"}
GOOD_TEXT = b'{"type":"track","event":"E","userId":"usr_1"}'
HOOK = f"/webhook/{manifest.WEBHOOK_SOURCE}"
BATCH = "/v1/batch"


def track(extra: bytes) -> bytes:
    """A good track event with more members."""
    return b'{"event":"E","userId":"usr_1",' + extra + b"}"


def nested(levels: int, bracket: bytes = b"[") -> bytes:
    return b"[" * levels + b"]" * levels if bracket == b"[" else b'{"a":' * levels + b"1" + b"}" * levels


REFUSED: list[tuple[str, str, bytes, int, str]] = [
    ("no bytes", "/v1/track", b"", 400, "empty_body"),
    ("blanks", "/v1/track", b" \r\n\t ", 400, "empty_body"),
    ("only a byte-order mark", "/v1/track", b"\xef\xbb\xbf", 400, "empty_body"),
    ("cut off", "/v1/track", GOOD_TEXT[:-5], 400, "invalid_json"),
    ("trailing comma", "/v1/track", b'{"event":"E","userId":"u",}', 400, "invalid_json"),
    ("single quotes", "/v1/track", b"{'event':'E'}", 400, "invalid_json"),
    ("comment", "/v1/track", b'{"event":"E"/* no */}', 400, "invalid_json"),
    ("two documents", "/v1/track", GOOD_TEXT * 2, 400, "invalid_json"),
    ("two documents on a webhook", HOOK, GOOD_TEXT * 2, 400, "invalid_json"),
    ("HTML", "/v1/track", b"<html></html>", 400, "invalid_json"),
    ("XML", HOOK, b"<?xml version='1.0'?><a/>", 400, "invalid_json"),
    ("form data", "/v1/track", b"event=E&userId=usr_1", 400, "invalid_json"),
    ("multipart", "/v1/track", b"--x\r\nContent-Disposition: form-data\r\n\r\n{}\r\n--x--", 400, "invalid_json"),
    ("garbage inside a skipped value", "/v1/track", track(b'"properties":{"a":01}'), 400, "invalid_json"),
    ("bad escape", "/v1/track", track(b'"x":"\\q"'), 400, "invalid_json"),
    ("control byte in a string", "/v1/track", track(b'"x":"a\x01b"'), 400, "invalid_json"),
    ("broken element of a batch", BATCH, b'{"batch":[%s,{"a":}]}' % GOOD_TEXT, 400, "invalid_json"),
    ("broken element of an array", HOOK, b'[%s,{"a":}]' % GOOD_TEXT, 400, "invalid_json"),
    ("garbage after an array", HOOK, b"[%s] x" % GOOD_TEXT, 400, "invalid_json"),
    ("broken beside NaN", BATCH, b'{"batch":[{"a":NaN},{"a" 1}]}', 400, "invalid_json"),
    ("a string", "/v1/track", b'"text"', 400, "expected_object"),
    ("a number", BATCH, b"5", 400, "expected_object"),
    ("a boolean", HOOK, b"true", 400, "expected_object"),
    ("null", HOOK, b"null", 400, "expected_object"),
    ("an array for one event", "/v1/track", b"[%s]" % GOOD_TEXT, 400, "expected_object"),
    ("an array for an envelope", BATCH, b"[%s]" % GOOD_TEXT, 400, "expected_object"),
    ("a broken array for one event", "/v1/track", b"[1,2", 400, "invalid_json"),
    ("arrays in an array", HOOK, b"[[%s]]" % GOOD_TEXT, 400, "no_valid_events"),
    ("scalars in an array", HOOK, b'[1,"a",null]', 400, "no_valid_events"),
    ("empty array", HOOK, b"[]", 400, "empty_batch"),
    ("empty batch", BATCH, b'{"batch":[]}', 400, "empty_batch"),
    ("empty batch on a webhook", HOOK, b'{"batch":[]}', 400, "empty_batch"),
    ("no batch", BATCH, b'{"events":[]}', 400, "missing_batch"),
    ("batch is an object", BATCH, b'{"batch":{}}', 400, "invalid_batch"),
    ("batch is text", BATCH, b'{"batch":"x"}', 400, "invalid_batch"),
    ("batch is null", BATCH, b'{"batch":null}', 400, "invalid_batch"),
    ("all bad", BATCH, b'{"batch":[1,{}]}', 400, "no_valid_events"),
    ("no type on a webhook", HOOK, b'{"userId":"u"}', 400, "missing_type"),
    ("unknown type", HOOK, b'{"type":"click","userId":"u"}', 400, "unknown_type"),
    ("type is a number", HOOK, b'{"type":7,"userId":"u"}', 400, "invalid_type"),
    ("no ids", "/v1/page", b"{}", 400, "no_user_anon_id"),
    ("blank ids", "/v1/page", b'{"userId":"","anonymousId":"  "}', 400, "no_user_anon_id"),
    ("id is an object", "/v1/page", b'{"userId":{}}', 400, "invalid_user_id"),
    ("id is a boolean", "/v1/page", b'{"userId":true}', 400, "invalid_user_id"),
    ("id is a fraction", "/v1/page", b'{"userId":1.5}', 400, "invalid_user_id"),
    ("anonymous id is a list", "/v1/page", b'{"userId":"u","anonymousId":[]}', 400, "invalid_anonymous_id"),
    ("no event name", "/v1/track", b'{"userId":"u"}', 400, "missing_event_name"),
    ("blank event name", "/v1/track", b'{"userId":"u","event":" "}', 400, "missing_event_name"),
    ("event name is a number", "/v1/track", b'{"userId":"u","event":5}', 400, "missing_event_name"),
    ("properties is a list", "/v1/track", track(b'"properties":[]'), 400, "invalid_properties"),
    ("properties is false", "/v1/track", track(b'"properties":false'), 400, "invalid_properties"),
    ("traits is text", "/v1/identify", b'{"userId":"u","traits":"x"}', 400, "invalid_traits"),
    ("context is a number", "/v1/track", track(b'"context":5'), 400, "invalid_context"),
    ("no group id", "/v1/group", b'{"userId":"u"}', 400, "missing_group_id"),
    ("no previous id", "/v1/alias", b'{"userId":"u"}', 400, "missing_previous_id"),
    ("129 levels", "/v1/track", track(b'"x":' + nested(128)), 400, "too_deep"),
    ("129 levels of objects", "/v1/track", track(b'"x":' + nested(128, b"{")), 400, "too_deep"),
    ("100,000 levels", "/v1/track", track(b'"x":' + nested(100_000)), 400, "too_deep"),
    ("100,000 open brackets", "/v1/track", b"[" * 100_000, 400, "too_deep"),
    ("100,000 open braces", BATCH, b'{"batch":' * 100_000, 400, "too_deep"),
    ("100,000 open brackets on a webhook", HOOK, b"[" * 100_000, 400, "too_deep"),
    ("deep envelope context", BATCH, b'{"batch":[%s],"context":%s}' % (GOOD_TEXT, nested(129, b"{")), 400, "too_deep"),
    ("Latin-1", "/v1/track", '{"event":"é"}'.encode("latin-1"), 400, "invalid_encoding"),
    ("Latin-1 inside a skipped value", "/v1/track", track(b'"properties":{"a":"\xe9"}'), 400, "invalid_encoding"),
    ("UTF-16", "/v1/track", '{"event":"E"}'.encode("utf-16"), 400, "invalid_encoding"),
    ("UTF-16 without a mark", "/v1/track", '{"event":"E"}'.encode("utf-16-le"), 400, "invalid_encoding"),
    ("UTF-32", "/v1/track", '{"event":"E"}'.encode("utf-32-be"), 400, "invalid_encoding"),
    ("NUL in an id", "/v1/track", b'{"event":"E","userId":"a\\u0000"}', 400, "invalid_characters"),
    ("NUL in an event name", "/v1/track", b'{"event":"E\\u0000","userId":"a"}', 400, "invalid_characters"),
    ("half a pair in an id", "/v1/track", b'{"event":"E","userId":"a\\ud800"}', 400, "invalid_characters"),
    (
        "NUL in an audience key",
        "/v1/track",
        track(b'"context":{"personas":{"computation_key":"a\\u0000"}}'),
        400,
        "invalid_characters",
    ),
    (
        "NUL in the key of a property",
        "/v1/track",
        track(b'"properties":{"audience_key":"a\\u0000"}'),
        400,
        "invalid_characters",
    ),
    (
        "mParticle on a call route",
        "/v1/track",
        b'{"events":[{"event_type":"custom_event"}]}',
        400,
        "unsupported_format",
    ),
    ("mParticle as a batch", BATCH, b'{"events":[{"event_type":"custom_event"}]}', 400, "unsupported_format"),
]

ACCEPTED: list[tuple[str, str, bytes, dict[str, Any], set[str]]] = [
    ("context null", "/v1/track", track(b'"context":null'), {}, set()),
    ("personas null", "/v1/track", track(b'"context":{"personas":null}'), {}, set()),
    ("personas text", "/v1/track", track(b'"context":{"personas":"x","device":"y","externalIds":{}}'), {}, set()),
    ("key an object", "/v1/track", track(b'"context":{"personas":{"computation_key":{}}}'), {}, set()),
    ("128 levels", "/v1/track", track(b'"x":' + nested(127)), {}, set()),
    ("brackets in a string", "/v1/track", track(b'"x":"' + b"[{" * 500 + b'"'), {}, set()),
    ("repeated members", "/v1/track", track(b'"userId":"usr_2"'), {"userId": "usr_2"}, set()),
    ("64-bit id", "/v1/page", b'{"userId":18446744073709551615}', {"userId": "18446744073709551615"}, set()),
    ("23-digit id", "/v1/page", b'{"userId":12345678901234567890123}', {"userId": "12345678901234567890123"}, set()),
    ("integral float id", "/v1/page", b'{"userId":42.0}', {"userId": "42"}, set()),
    ("23-digit number", "/v1/track", track(b'"n":12345678901234567890123'), {"n": 12345678901234567890123.0}, set()),
    ("5,000 digits", "/v1/track", track(b'"n":' + b"9" * 5000), {"n": None}, {"number_out_of_range"}),
    ("1e400", "/v1/track", track(b'"n":1e400'), {"n": None}, {"number_out_of_range"}),
    ("-1e400", "/v1/track", track(b'"n":-1e400'), {"n": None}, {"number_out_of_range"}),
    ("400 digits", "/v1/track", track(b'"n":' + b"9" * 400), {"n": None}, {"number_out_of_range"}),
    ("NaN", "/v1/track", track(b'"n":NaN,"m":[-Infinity]'), {"n": None, "m": [None]}, {"non_finite_number"}),
    ("NaN in text", "/v1/track", track(b'"n":"NaN"'), {"n": "NaN"}, set()),
    ("byte-order mark", "/v1/track", b"\xef\xbb\xbf" + GOOD_TEXT, {}, set()),
    ("NUL in a value", "/v1/track", track(b'"n":"a\\u0000b"'), {"n": "a\0b"}, set()),
    ("half a pair in a value", "/v1/track", track(b'"n":"a\\udc00b"'), {"n": "a\ufffdb"}, {"lone_surrogate"}),
    ("a whole pair", "/v1/track", track(b'"n":"\\ud83d\\ude00"'), {"n": "😀"}, set()),
    ("odd member names", "/v1/track", track(b'"__proto__":1,"":2,"constructor":3'), {"__proto__": 1, "": 2}, set()),
    ("10 kB member name", "/v1/track", track(b'"' + b"k" * 10_000 + b'":1'), {}, set()),
    ("100 kB id", "/v1/page", b'{"userId":"' + b"u" * 100_000 + b'"}', {"userId": "u" * 100_000}, set()),
    ("10 kB event name", "/v1/track", b'{"userId":"u","event":"' + b"e" * 10_000 + b'"}', {"event": "e" * 10_000}, set()),
    ("300 character message id", "/v1/track", track(b'"messageId":"' + b"m" * 300 + b'"'), {}, {"long_message_id"}),
    ("number as message id", "/v1/track", track(b'"messageId":42'), {"messageId": "42"}, set()),
    ("object as message id", "/v1/track", track(b'"messageId":{}'), {"messageId": "gw-1-1-0"}, set()),
    ("blank message id", "/v1/track", track(b'"messageId":" "'), {"messageId": "gw-1-1-0"}, set()),
    ("message_id of old mobile SDKs", "/v1/track", track(b'"message_id":"old"'), {"messageId": "old"}, set()),
    ("year 20000", "/v1/track", track(b'"timestamp":"20000-01-01"'), {}, {"bad_timestamp"}),
    ("negative time", "/v1/track", track(b'"timestamp":-5'), {}, {"bad_timestamp"}),
    ("far future", "/v1/track", track(b'"timestamp":"9999-01-01"'), {"timestamp": "9999-01-01T00:00:00.000Z"}, set()),
    ("wrong-case type", HOOK, b'{"type":"TRACK","event":"E","userId":"u"}', {"type": "track"}, set()),
    ("type contradicts", "/v1/track", track(b'"type":"identify"'), {"type": "track"}, {"type_mismatch"}),
    ("same type in other case", "/v1/track", track(b'"type":"Track"'), {"type": "track"}, set()),
    ("integrations is text", "/v1/track", track(b'"integrations":"all"'), {}, set()),
    ("group by its id alone", "/v1/group", b'{"groupId":7}', {"groupId": "7"}, set()),
    ("credential in the event", "/v1/track", track(b'"writeKey":"wk_fixture_server_01","secret":"s"'), {}, set()),
    ("escaped name of a credential", "/v1/track", track(b'"write\\u004bey":"wk_fixture_server_01"'), {}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "body", "status", "code"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_cannot_be_taken_is_refused_by_its_code(
    gateway: Gateway, name: str, path: str, body: bytes, status: int, code: str
) -> None:
    """One row, one answer; nothing of it is kept as an event."""
    answer = gateway.post(path, body, key=manifest.SERVER_KEY)
    assert (answer.status, answer.code) == (status, code)
    assert all(item.kind != ITEM_EVENT for arrival in gateway.take() for item in arrival.items)


@pytest.mark.parametrize(("name", "path", "body", "holds", "warnings"), ACCEPTED, ids=[row[0] for row in ACCEPTED])
def test_what_is_merely_odd_is_taken_and_read(
    gateway: Gateway, name: str, path: str, body: bytes, holds: dict[str, Any], warnings: set[str]
) -> None:
    """200, and the engine reads what is expected, with these warnings and no credential."""
    answer = gateway.post(path, body, key=manifest.SERVER_KEY)
    assert (answer.status, answer.json) == (200, {"success": True})
    (event,) = gateway.events(gateway.take())
    assert {member: event.body[member] for member in holds} == holds
    assert set(event.warnings) - {"duplicate_keys"} == warnings
    assert not {"writeKey", "secret"} & event.body.keys()


def test_bad_events_of_a_batch_leave_the_good_ones_alone(gateway: Gateway) -> None:
    """Null, text, a number, deep nesting and an oversized event stand among good ones."""
    parts = [GOOD_TEXT, b"null", b'"text"', b"5", track(b'"type":"track","x":' + nested(50_000)), GOOD_TEXT]
    parts.append(track(b'"type":"track","x":"' + b"x" * 600_000 + b'"'))
    answer = gateway.post(BATCH, b'{"batch":[' + b", ".join(parts) + b"]}", key=manifest.SERVER_KEY)
    assert answer.status == 200
    assert (answer.json["accepted"], [(each["index"], each["code"]) for each in answer.json["rejected"]]) == (
        2,
        [(1, "not_an_event"), (2, "not_an_event"), (3, "not_an_event"), (4, "too_deep"), (6, "event_too_large")],
    )
    (arrival,) = gateway.take()
    assert [item.body for item in arrival.items] == parts


def test_the_kept_bytes_are_the_senders_own(gateway: Gateway) -> None:
    """Spelling, blanks and odd tokens stay; the write key is cut out of each event."""
    first = b'{ "type":"track", "event":"E", "userId" : "u", "n": 1.50, "x":NaN }'
    second = b'{"writeKey":"wk_fixture_server_01","type":"track","event":"E","userId":"u","n":1E2}'
    gateway.post(BATCH, b'{"batch": [%s , %s]}' % (first, second), key=manifest.SERVER_KEY)
    (arrival,) = gateway.take()
    assert [item.body for item in arrival.items] == [first, b'{"type":"track","event":"E","userId":"u","n":1E2}']


def test_a_refused_single_event_is_kept_with_its_reason(gateway: Gateway) -> None:
    """An operator can find it later; its write key is gone."""
    body = b'{"userId":"u","writeKey":"wk_fixture_server_01"}'
    assert gateway.post("/v1/track", body).code == "missing_event_name"
    (arrival,) = gateway.take()
    (item,) = arrival.items
    assert (arrival.source, item.code, item.pointer, item.body) == (
        "server",
        "missing_event_name",
        "/event",
        b'{"userId":"u"}',
    )


def test_an_audience_list_counts_as_its_people(gateway: Gateway) -> None:
    """20,000 people in one event are over the limit of a batch; two lists of 6,000 are, together."""
    many = [{"email": f"p{number}@example.com"} for number in range(20_000)]

    def listed(count: int) -> dict[str, Any]:
        return {"type": "audiencelist", "userId": "job", "properties": {"listData": {"add": many[:count]}}}

    assert gateway.post(HOOK, listed(20_000)).code == "event_too_large"
    short = [{"e": 1}] * 20_000
    body = {"type": "audiencelist", "userId": "job", "properties": {"listData": {"add": short}}}
    assert gateway.post(HOOK, body).code == "batch_too_many_events"
    answer = gateway.post(HOOK, [listed(6_000), listed(6_000)])
    assert [each["code"] for each in answer.json["rejected"]] == ["batch_too_many_events"]


# --- Compression ---

PLAIN = json.dumps({"batch": [GOOD]}).encode()


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body", "status", "code"),
    [
        ("gzip", gzip.compress(PLAIN), 200, None),
        ("GZIP", gzip.compress(PLAIN), 200, None),
        ("x-gzip", gzip.compress(PLAIN), 200, None),
        ("identity", PLAIN, 200, None),
        ("deflate", zlib.compress(PLAIN), 200, None),
        ("deflate", raw_deflate(PLAIN), 200, None),
        ("", gzip.compress(PLAIN), 200, None),
        ("gzip", gzip.compress(PLAIN[:9]) + gzip.compress(PLAIN[9:]), 200, None),
        (
            "gzip",
            b"".join(gzip.compress(PLAIN[at : at + 1]) for at in range(len(PLAIN))) + gzip.compress(b"") * 5,
            200,
            None,
        ),
        ("gzip", gzip.compress(b"") * 1001, 400, "invalid_gzip"),
        ("gzip", gzip.compress(PLAIN)[:-4], 400, "invalid_gzip"),
        ("gzip", gzip.compress(PLAIN)[:-8] + b"\0" * 8, 400, "invalid_gzip"),
        ("gzip", gzip.compress(PLAIN) + b"x", 400, "invalid_gzip"),
        ("gzip", PLAIN, 400, "invalid_gzip"),
        ("gzip", b"", 400, "invalid_gzip"),
        ("deflate", zlib.compress(PLAIN) + b"x", 400, "invalid_gzip"),
        ("gzip", gzip.compress(b" " * 11 * 1024 * 1024 + PLAIN), 400, "payload_too_large"),
        ("deflate", zlib.compress(b" " * 11 * 1024 * 1024), 400, "payload_too_large"),
        ("br", PLAIN, 415, "unsupported_encoding"),
        ("zstd", PLAIN, 415, "unsupported_encoding"),
        ("gzip, gzip", gzip.compress(gzip.compress(PLAIN)), 415, "unsupported_encoding"),
    ],
)
def test_compressed_bodies_are_read_or_refused(
    gateway: Gateway, encoding: str, body: bytes, status: int, code: str | None
) -> None:
    """Every coding that SDKs use, and the ways a stream can be broken."""
    headers = {"Content-Encoding": encoding} if encoding else {}
    answer = gateway.post(BATCH, body, headers, key=manifest.SERVER_KEY)
    assert (answer.status, answer.json.get("code")) == (status, code)


def test_a_member_that_begins_where_a_step_ends_is_still_read(gateway: Gateway) -> None:
    """The two magic bytes of the second gzip member lie on both sides of the inflater's step."""
    from gateway.ingest.encodings import STEP_BYTES

    empty = gzip.compress(b"", 0)
    filler = gzip.compress(b" " * (STEP_BYTES - 1 - len(empty) - 5 * (STEP_BYTES // 65535 + 1)), 0)
    padding = STEP_BYTES - 1 - len(filler)
    first = gzip.compress(b" " * (STEP_BYTES - 1 - len(empty) - 5 * (STEP_BYTES // 65535 + 1) + padding), 0)
    assert len(first) == STEP_BYTES - 1
    answer = gateway.post(BATCH, first + gzip.compress(PLAIN), {"Content-Encoding": "gzip"}, key=manifest.SERVER_KEY)
    assert answer.status == 200
