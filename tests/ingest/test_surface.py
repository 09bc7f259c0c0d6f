"""The routes themselves: paths, methods, CORS, limits, replies, and every code that a sender can be told."""

import json
from typing import Any

import fixtures_manifest as manifest
import pytest
from ingest_harness import Gateway, read_answer, request

from gateway.core.errors import StoreError

GOOD: dict[str, Any] = {"type": "track", "event": "E", "userId": "usr_1"}
SERVER = manifest.SERVER_KEY
HOOK = f"/webhook/{manifest.WEBHOOK_SOURCE}"
ORIGIN = {"Origin": "https://shop.example.com"}

ROUTES = [
    ("track", {"event": "E"}, "track"),
    ("t", {"event": "E"}, "track"),
    ("identify", {}, "identify"),
    ("i", {}, "identify"),
    ("page", {}, "page"),
    ("p", {}, "page"),
    ("screen", {}, "screen"),
    ("s", {}, "screen"),
    ("group", {"groupId": "g"}, "group"),
    ("g", {"groupId": "g"}, "group"),
    ("alias", {"previousId": "a"}, "alias"),
    ("a", {"previousId": "a"}, "alias"),
    ("batch", {"batch": [GOOD]}, "track"),
    ("b", {"batch": [GOOD]}, "track"),
    ("import", {"batch": [GOOD]}, "track"),
]


@pytest.mark.parametrize(("route", "members", "kind"), ROUTES)
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_call_route_answers_200_and_keeps_its_event(
    gateway: Gateway, route: str, members: dict[str, Any], kind: str, slash: str
) -> None:
    """With and without a trailing slash, and never by a redirect."""
    answer = gateway.post(f"/v1/{route}{slash}", {"userId": "usr_1"} | members, key=SERVER)
    assert (answer.status, answer.body) == (200, b'{"success":true}')
    (event,) = gateway.events(gateway.take())
    assert (event.type, event.body["type"], event.source) == (kind, kind, "server")


def test_self_metrics_of_a_browser_are_answered_and_dropped(gateway: Gateway) -> None:
    """Whatever they hold, and without a key."""
    assert gateway.post("/v1/m", b"anything at all").status == 200
    assert gateway.take() == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_webhook_takes_three_methods(gateway: Gateway, method: str) -> None:
    """Senders let their users choose."""
    assert gateway.post(HOOK, GOOD, method=method).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("POST", "/", 404, "unknown_path", None),
        ("POST", "/v1", 404, "unknown_path", None),
        ("POST", "/v1/nothing", 404, "unknown_path", None),
        ("POST", "/v1/track//", 404, "unknown_path", None),
        ("POST", "/webhook", 404, "unknown_path", None),
        ("POST", "/webhook/", 404, "unknown_source", None),
        ("POST", "/webhook/nobody", 404, "unknown_source", None),
        ("POST", f"{HOOK}/a/b", 404, "unknown_path", None),
        ("POST", "/webhook/signed/token", 404, "unknown_path", None),
        ("POST", f"{HOOK}/audiences", 404, "unknown_path", None),
        ("POST", f"{HOOK}/audiences/delete", 404, "unknown_path", None),
        ("GET", "/v1/track", 405, "method_not_allowed", "POST, OPTIONS"),
        ("DELETE", "/v1/batch", 405, "method_not_allowed", "POST, OPTIONS"),
        ("GET", HOOK, 405, "method_not_allowed", "POST, PUT, PATCH"),
        ("OPTIONS", HOOK, 405, "method_not_allowed", "POST, PUT, PATCH"),
        ("POST", "/healthz", 405, "method_not_allowed", "GET"),
        ("GET", "/healthz/", 404, "unknown_path", None),
    ],
)
def test_unknown_paths_and_wrong_methods_are_json_errors(
    gateway: Gateway, method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    """Never a redirect, never a framework's own body."""
    answer = gateway.post(path, b"{}", method=method)
    assert (answer.status, answer.code, answer.headers.get("allow")) == (status, code, allow)
    assert answer.json["message"] == answer.json["error"]


def test_health_readiness_and_metrics_are_served(gateway: Gateway) -> None:
    """Metrics only to who has the token."""
    assert gateway.post("/healthz", b"", method="GET").json == {"status": "alive"}
    assert gateway.post("/readyz", b"", method="GET").json == {"ready": True, "problems": []}
    assert gateway.post("/metrics", b"", method="GET").status == 401
    assert gateway.post("/metrics", b"", {"Authorization": "Bearer nope"}, method="GET").status == 401
    shown = gateway.post("/metrics", b"", {"Authorization": "Bearer tok-admin"}, method="GET")
    assert b"gateway_ingest_requests_total" in shown.body


# --- CORS ---


def test_a_browser_may_read_answers_and_errors_of_its_source(gateway: Gateway) -> None:
    """With the origin on the source's list; errors before the source is known go by all browser sources."""
    body = GOOD | {"writeKey": manifest.BROWSER_KEY}
    for answer in (
        gateway.post("/v1/t", body, ORIGIN),
        gateway.post("/v1/t", body | {"event": ""}, ORIGIN),
        gateway.post("/v1/t", b"{", ORIGIN),
        gateway.post("/v1/t", b"{}", ORIGIN, method="PUT"),
    ):
        assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    ("path", "headers", "key"),
    [
        ("/v1/t", {"Origin": "https://evil.example.net"}, manifest.BROWSER_KEY),
        ("/v1/t", {}, manifest.BROWSER_KEY),
        ("/v1/t", ORIGIN, SERVER),
        (HOOK, ORIGIN, None),
    ],
)
def test_others_get_no_cors_headers(gateway: Gateway, path: str, headers: dict[str, str], key: str | None) -> None:
    """Foreign origins, servers, and webhooks."""
    answer = gateway.post(path, GOOD, headers, key=key)
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_names_what_browsers_may_send(gateway: Gateway) -> None:
    """204 without a body, by the union of all browser sources."""
    answer = gateway.post("/v1/batch", b"", ORIGIN, method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    assert answer.headers["access-control-allow-methods"] == "POST, OPTIONS"
    allowed = "Authorization, Content-Type, Content-Encoding, X-Retry-Count"
    assert answer.headers["access-control-allow-headers"] == allowed
    assert answer.headers["access-control-max-age"] == "86400"
    foreign = gateway.post("/v1/batch", b"", {"Origin": "https://evil.example.net"}, method="OPTIONS")
    assert (foreign.status, "access-control-allow-origin" in foreign.headers) == (204, False)


# --- Limits of a source ---


def test_a_source_past_its_rate_is_told_when_to_come_back(gateway: Gateway) -> None:
    """One request every two seconds; the clock is the test's."""
    gateway.now_us += 3_600_000_000
    assert gateway.post("/v1/track", GOOD, key="wk_slow").status == 200
    answer = gateway.post("/v1/track", GOOD, key="wk_slow")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "rate_limited", "2")
    gateway.now_us += 2_000_000
    assert gateway.post("/v1/track", GOOD, key="wk_slow").status == 200


def test_strict_limits_are_segments_documented_ones(gateway: Gateway) -> None:
    """32 KiB for an event and a single body, 500 KiB and 2,500 events for a batch, 4,000 for a webhook, 100 for an id."""

    def padded(size: int) -> dict[str, Any]:
        return GOOD | {"pad": "x" * size}

    assert gateway.post("/v1/track", padded(32_000), key="wk_strict").status == 200
    assert gateway.post("/v1/track", padded(33_000), key="wk_strict").code == "payload_too_large"
    some = gateway.post("/v1/batch", {"batch": [padded(33_000), GOOD]}, key="wk_strict")
    assert [each["code"] for each in some.json["rejected"]] == ["event_too_large"]
    assert gateway.post("/v1/batch", {"batch": [padded(30_000)] * 18}, key="wk_strict").code == "payload_too_large"
    assert gateway.post("/v1/batch", {"batch": [GOOD] * 2_501}, key="wk_strict").code == "batch_too_many_events"
    assert gateway.post("/webhook/strict", [GOOD] * 4_000).status == 200
    assert gateway.post("/webhook/strict", [GOOD] * 4_001).code == "batch_too_many_events"
    long = GOOD | {"messageId": "m" * 101}
    assert gateway.post("/v1/track", long, key="wk_strict").code == "long_message_id"
    assert gateway.post("/v1/track", GOOD | {"messageId": "m" * 100}, key="wk_strict").status == 200


def test_browsers_may_not_delete_people(gateway: Gateway) -> None:
    """Their write key is public."""
    body = {"batch": [{"type": "delete", "userId": "usr_1"}]}
    answer = gateway.post("/v1/batch", body, key=manifest.BROWSER_KEY)
    assert [each["code"] for each in answer.json["rejected"]] == ["delete_not_allowed"]
    assert gateway.post("/v1/batch", body, key=SERVER).status == 200
    assert gateway.post(HOOK, {"type": "delete"}).code == "no_user_anon_id"


# --- mParticle ---


def test_a_source_of_mparticles_format_gets_one_track_for_each_custom_event(gateway: Gateway) -> None:
    """Ids and attributes land in Segment's places, 64-bit integers with every digit; other event types are only counted."""
    body = json.loads(manifest.BY_FILE["bad/mparticle_batch.json"].body)
    body["events"] += [
        {"event_type": "screen_view", "data": {}},
        {"event_type": "custom_event", "data": {"event_name": "B"}},
    ]
    del body["user_identities"]["customer_id"]
    assert gateway.post("/webhook/mparticle", body).status == 200
    first, second = gateway.events(gateway.take())
    assert (first.body["event"], first.body["userId"]) == ("Purchase", "8223372036854775807")
    assert first.body["properties"] == {"sku": "A1"}
    assert first.body["timestamp"] == "2026-11-20T11:59:00.000Z"
    assert first.body["context"] == {
        "traits": {"plan": "gold", "email": "mp@example.com"},
        "device": {"type": "ios", "advertisingId": "613ac01d-5366-49b8-9cff-9fc9a3b8a900"},
    }
    assert (second.body["event"], second.message_id == first.message_id) == ("B", False)


# --- Codes ---

REQUEST_CODES = {
    "empty_body", "invalid_json", "invalid_encoding", "invalid_gzip", "unsupported_encoding", "expected_object",
    "missing_batch", "invalid_batch", "empty_batch", "batch_too_many_events", "no_valid_events", "payload_too_large",
    "too_deep", "body_timeout", "unsupported_format", "missing_credentials", "malformed_authorization", "invalid_write_key",
    "source_disabled", "missing_signature", "bad_signature", "stale_signature", "unknown_path", "unknown_source",
    "unknown_audience", "method_not_allowed", "rate_limited", "overloaded", "storage_unavailable", "internal_error",
}  # fmt: skip
EVENT_CODES = {
    "not_an_event", "missing_type", "invalid_type", "unknown_type", "no_user_anon_id", "invalid_user_id",
    "invalid_anonymous_id", "missing_event_name", "missing_group_id", "missing_previous_id", "invalid_properties",
    "invalid_traits", "invalid_context", "invalid_characters", "event_too_large", "too_deep", "delete_not_allowed",
    "batch_too_many_events",
}  # fmt: skip


def test_a_store_that_cannot_keep_is_503_with_a_time_to_wait(gateway: Gateway) -> None:
    """Nothing of the request counts as accepted; when the store is well again, so is the answer."""
    gateway.inbox.failing = StoreError("disk full", retry_after_s=7)
    for answer in (
        gateway.post("/v1/track", GOOD, key=SERVER),
        gateway.post("/v1/track", {"userId": "u"}, key=SERVER),
        gateway.post(f"{HOOK}/audiences/create", {"audienceName": "a"}),
    ):
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "storage_unavailable", "7")
        assert "disk" not in answer.body.decode()
    gateway.inbox.failing = None
    assert gateway.post("/v1/track", GOOD, key=SERVER).status == 200


def test_a_full_inbox_buffer_is_503_before_anything_is_parsed(gateway: Gateway) -> None:
    """The body is drained, so that the sender sees the answer, and the connection lives on."""
    gateway.inbox.waiting_bytes = 10**9
    try:
        with gateway.connect() as connection:
            connection.sendall(request("/v1/batch", b"{" * 3_000_000, key=SERVER))
            answer = read_answer(connection)
            assert (answer.status, answer.code, answer.is_closed) == (503, "overloaded", False)
            assert int(answer.headers["retry-after"]) >= 1
            gateway.inbox.waiting_bytes = 0
            connection.sendall(request("/v1/track", GOOD, key=SERVER))
            assert read_answer(connection).status == 200
        assert gateway.post("/readyz", b"", method="GET").status == 200
    finally:
        gateway.inbox.waiting_bytes = 0


def test_an_unforeseen_fault_is_an_honest_500(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    """With the body SDKs can read, an id that the log line has, too, and nothing of the event in either."""
    gateway.inbox.failing = ValueError("usr_secret_person")  # type: ignore[assignment]
    answer = gateway.post("/v1/track", GOOD, key=SERVER)
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "usr_secret_person" not in answer.body.decode()


def test_every_request_code_is_produced_by_some_test_of_this_folder() -> None:
    """Each stands in an assertion somewhere in this folder, besides the list above."""
    from pathlib import Path

    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    sources += json.dumps(manifest.MANIFEST)
    assert [code for code in REQUEST_CODES | EVENT_CODES if sources.count(f'"{code}"') < 2] == []
