"""Who is let in: write keys in all their places, webhook secrets in all their schemes."""

import base64
import hashlib
import hmac
import json
from typing import Any

import fixtures_manifest as manifest
import pytest
from ingest_harness import NOON_US, Gateway, basic

from gateway.core.sources import Source, WebhookAuth
from gateway.ingest.source_table import SourceTable

GOOD: dict[str, Any] = {"type": "track", "event": "E", "userId": "usr_1"}
SERVER, BROWSER = manifest.SERVER_KEY, manifest.BROWSER_KEY
OAUTH = "Bearer an-oauth-token"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "keys", "expected"),
    [
        (basic(SERVER), {}, "server"),
        ("basic " + encoded(f"{SERVER}:"), {}, "server"),
        ("Basic " + encoded(SERVER), {}, "server"),
        ("Basic " + encoded(f"{SERVER}:password"), {}, "server"),
        ("Basic " + encoded(f"{SERVER}:").rstrip("="), {}, "server"),
        (None, {"writeKey": SERVER}, "server"),
        (None, {"secret": SERVER}, "server"),
        (basic(SERVER), {"writeKey": BROWSER}, "server"),
        (OAUTH, {"writeKey": SERVER}, "server"),
        (f"Bearer {SERVER}", {}, "server"),
        (f"Bearer {SERVER}", {"writeKey": BROWSER}, "browser"),
        ("Digest x", {"writeKey": SERVER}, "server"),
        (None, {"writeKey": SERVER, "secret": "wrong"}, "server"),
        (None, {"writeKey": None, "secret": SERVER}, "server"),
        (None, {}, "missing_credentials"),
        (None, {"writeKey": None}, "missing_credentials"),
        (None, {"writeKey": "wrong"}, "invalid_write_key"),
        (None, {"writeKey": 5}, "invalid_write_key"),
        (None, {"writeKey": ""}, "invalid_write_key"),
        (None, {"writeKey": "wrong", "secret": SERVER}, "invalid_write_key"),
        (basic("wrong"), {"writeKey": SERVER}, "invalid_write_key"),
        (basic(""), {"writeKey": SERVER}, "invalid_write_key"),
        (OAUTH, {}, "invalid_write_key"),
        (basic("wk_disabled"), {}, "source_disabled"),
        ("Basic %%%", {}, "malformed_authorization"),
        ("Basic " + base64.b64encode(b"\xff\xfe:").decode(), {}, "malformed_authorization"),
        ("Digest x", {}, "malformed_authorization"),
        ("Basic " + "A" * 20_000, {}, "malformed_authorization"),
    ],
)
def test_the_first_credential_present_decides(
    gateway: Gateway, authorization: str | None, keys: dict[str, Any], expected: str
) -> None:
    """On a single call and on a batch: the source it opens, or the code of the 401."""
    headers = {} if authorization is None else {"Authorization": authorization}
    for path, body in (("/v1/track", GOOD | keys), ("/v1/batch", {"batch": [GOOD]} | keys)):
        answer = gateway.post(path, body, headers)
        arrivals = gateway.take()
        assert [arrival.source for arrival in arrivals] == ([expected] if answer.status == 200 else [])
        assert answer.json.get("code", expected) == expected
        assert answer.status in {200, 401}


def test_the_first_event_of_a_batch_may_carry_the_key(gateway: Gateway) -> None:
    """As old clients do; clean or not, and only the first one's counts."""
    for odd in ({}, {"x": float("nan")}):
        assert gateway.post("/v1/batch", {"batch": [GOOD | {"writeKey": SERVER} | odd, GOOD]}).status == 200
    assert gateway.post("/v1/batch", {"batch": [GOOD, GOOD | {"writeKey": SERVER}]}).code == "missing_credentials"
    assert gateway.post("/v1/batch?writeKey=" + SERVER, {"batch": [GOOD]}).code == "missing_credentials"
    kept = b"".join(item.body for arrival in gateway.take() for item in arrival.items)
    assert SERVER.encode() not in kept


BODY = json.dumps(GOOD).encode()


def sha1(secret: str, body: bytes = BODY) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


def sha256(secret: str, body: bytes = BODY) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def standard(sent_s: int, *, key: bytes = b"secret of example hooks", body: bytes = BODY) -> dict[str, str]:
    signature = hmac.new(key, b"msg_1.%d.%s" % (sent_s, body), hashlib.sha256).digest()
    value = "v1,AAAA v2,zzz v1," + base64.b64encode(signature).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": str(sent_s), "webhook-signature": value}


NOON_S = NOON_US // 1_000_000
SECRET = manifest.SHARED_SECRET

WEBHOOKS: list[tuple[str, dict[str, str], str | None]] = [
    ("signed", {"X-Signature": sha1(SECRET)}, None),
    ("signed", {"X-Signature": sha1(SECRET).upper()}, None),
    ("signed", {"X-Signature": " sha1=" + sha1(SECRET)}, None),
    ("signed", {"X-Signature": sha1("an older secret")}, None),
    ("signed", {}, "missing_signature"),
    ("signed", {"X-Signature": sha1("wrong")}, "bad_signature"),
    ("signed", {"X-Signature": sha1(SECRET, b"another body")}, "bad_signature"),
    ("signed", {"X-Signature": ""}, "bad_signature"),
    ("signed", {"X-Signature": "not hex"}, "bad_signature"),
    ("signed", {"X-Signature": sha1(SECRET)[:-1]}, "bad_signature"),
    ("tokened/tok-1", {}, None),
    ("tokened/tok-2/", {}, None),
    ("tokened/tok-3", {}, "invalid_write_key"),
    ("tokened", {}, "missing_credentials"),
    ("bearer", {"Authorization": "Bearer b-2"}, None),
    ("bearer", {"Authorization": "bearer b-1"}, None),
    ("bearer", {"Authorization": "Bearer b-3"}, "invalid_write_key"),
    ("bearer", {"Authorization": basic("b-1")}, "missing_credentials"),
    ("bearer", {}, "missing_credentials"),
    ("basic", {"Authorization": "Basic " + encoded("ann:pass:word")}, None),
    ("basic", {"Authorization": "Basic " + encoded("ann:pass")}, "invalid_write_key"),
    ("basic", {"Authorization": "Basic %"}, "malformed_authorization"),
    ("basic", {}, "missing_credentials"),
    ("header", {"x-shop": "two"}, None),
    ("header", {"X-Shop": "three"}, "invalid_write_key"),
    ("header", {}, "missing_credentials"),
    ("both/tok-1", {"Authorization": "Bearer b-1"}, None),
    ("both/tok-1", {}, "missing_credentials"),
    ("both", {"Authorization": "Bearer b-1"}, "missing_credentials"),
    ("standard", standard(NOON_S), None),
    ("standard", standard(NOON_S - 299), None),
    ("standard", standard(NOON_S - 301), "stale_signature"),
    ("standard", standard(NOON_S + 301), "stale_signature"),
    ("standard", standard(NOON_S, key=b"wrong"), "bad_signature"),
    ("standard", standard(NOON_S, body=b"other"), "bad_signature"),
    ("standard", standard(NOON_S) | {"webhook-timestamp": "soon"}, "bad_signature"),
    ("standard", {"webhook-id": "msg_1"}, "missing_signature"),
    ("jitsu", {"Jitsu-Signature": sha256("jitsu secret")}, None),
    ("jitsu", {"Jitsu-Signature": sha256("jitsu secret", b"17." + BODY), "Jitsu-Signature-Timestamp": "17"}, None),
    ("jitsu", {"Jitsu-Signature": sha256("jitsu secret"), "Jitsu-Signature-Timestamp": "17"}, "bad_signature"),
    ("jitsu", {"Jitsu-Signature": "zz"}, "bad_signature"),
    ("jitsu", {}, "missing_signature"),
    ("off", {}, "source_disabled"),
    ("unset", {}, "missing_credentials"),
]


@pytest.mark.parametrize(("path", "headers", "code"), WEBHOOKS)
def test_a_webhook_shows_what_its_source_asks_for(
    gateway: Gateway, path: str, headers: dict[str, str], code: str | None
) -> None:
    """Each scheme with right, rotated, wrong and missing secrets; the clock stands at noon."""
    gateway.now_us = NOON_US
    answer = gateway.post(f"/webhook/{path}", BODY, headers)
    assert (answer.status, answer.json.get("code")) == ((200, None) if code is None else (401, code))
    assert len(gateway.take()) == (code is None)


def test_one_element_signed_by_itself_leaves_nothing_unsigned(gateway: Gateway) -> None:
    """An array of one: its slice is all there is, so nothing is tagged, and the strict source takes it, too."""
    for body in (b"[%s]" % BODY, b'[{"json":%s}]' % BODY):
        answer = gateway.post("/webhook/signed-whole", body, {"X-Signature": sha1(SECRET)})
        assert answer.status == 200
        (event,) = gateway.events(gateway.take())
        assert event.warnings == ()


def test_signatures_count_before_anything_is_parsed(gateway: Gateway) -> None:
    """A body that is no JSON gets 401 from a stranger, and 400 from whoever signed it."""
    assert gateway.post("/webhook/signed", b"{", {"X-Signature": sha1(SECRET)}).code == "bad_signature"
    assert gateway.post("/webhook/signed", b"{", {"X-Signature": sha1(SECRET, b"{")}).code == "invalid_json"
    assert gateway.post("/webhook/signed", b"", {"X-Signature": sha1(SECRET, b"")}).code == "empty_body"


def test_audience_calls_are_let_in_by_the_token_alone(gateway: Gateway) -> None:
    """Segment does not sign them."""
    body = {"audienceName": "vip", "region": "eu"}
    assert gateway.post("/webhook/tokened/tok-1/audiences/create", body).status == 200
    assert gateway.post("/webhook/both/tok-1/audiences/create/", body).status == 200
    assert gateway.post("/webhook/tokened/nope/audiences/create", body).code == "invalid_write_key"
    assert gateway.post("/webhook/tokened/audiences/create", body).code == "missing_credentials"
    assert gateway.post("/webhook/signed/audiences/create", body).code == "missing_credentials"


def test_an_external_id_depends_on_source_name_and_extras(gateway: Gateway) -> None:
    """Same request, same id, whatever the order of its members; anything else, another."""

    def issued(path: str, body: Any) -> str:
        return gateway.post(f"/webhook/{path}/audiences/create", body).json["externalId"]

    first = issued("tokened/tok-1", {"audienceName": "vip", "a": 1, "b": 2})
    assert issued("tokened/tok-2", {"b": 2, "a": 1, "audienceName": "vip"}) == first
    others = {
        issued("tokened/tok-1", {"audienceName": "vip", "a": 1}),
        issued("tokened/tok-1", {"audienceName": "VIP", "a": 1, "b": 2}),
        issued("both/tok-1", {"audienceName": "vip", "a": 1, "b": 2}),
    }
    assert len(others | {first}) == 4
    get = "/webhook/tokened/tok-1/audiences/get"
    assert gateway.post(get, {"externalId": first}).json == {"externalId": first}
    for wrong in (first[:-1] + "x", first + "0", "gwa_", "", None, {"a": 1}, "\ud800"):
        assert gateway.post(get, {"externalId": wrong}).code == "unknown_audience"
    assert gateway.post("/webhook/both/tok-1/audiences/get", {"externalId": first}).code == "unknown_audience"
    for body, code in (
        (b"[]", "expected_object"),
        (b"{", "invalid_json"),
        (b"", "empty_body"),
        (b"{}", "expected_object"),
    ):
        assert gateway.post("/webhook/tokened/tok-1/audiences/create", body).code == code


def test_without_configured_sources_every_key_and_name_is_local() -> None:
    """A first try needs no configuration; a key must still be there."""
    with Gateway(()) as gateway:
        assert gateway.post("/v1/track", GOOD, key="anything").status == 200
        assert gateway.post("/webhook/any-name", GOOD).status == 200
        assert gateway.post("/webhook/any-name/token/audiences/create", {"audienceName": "a"}).status == 200
        assert gateway.post("/v1/track", GOOD).code == "missing_credentials"
        assert {arrival.source for arrival in gateway.take()} == {"local"}


def test_a_new_table_of_sources_holds_from_the_next_request() -> None:
    """As when sources.json changes under a running gateway."""
    with Gateway([Source(name="a", write_keys=("k1",))]) as gateway:
        assert gateway.post("/v1/track", GOOD, key="k1").status == 200
        gateway.table = SourceTable(
            [Source(name="a", write_keys=("k2",)), Source(name="b", auth=WebhookAuth(none=True))]
        )
        assert gateway.post("/v1/track", GOOD, key="k1").code == "invalid_write_key"
        assert gateway.post("/v1/track", GOOD, key="k2").status == 200
        assert gateway.post("/webhook/b", GOOD).status == 200


def test_write_keys_are_looked_up_by_a_hash_under_a_random_key() -> None:
    """So that the time of a look-up tells nothing about a key; two tables of the same key share no hash."""
    table = SourceTable([Source(name="a", write_keys=("wk_secret_key",))])
    other = SourceTable([Source(name="a", write_keys=("wk_secret_key",))])
    assert not table._by_key.keys() & other._by_key.keys()
    assert table.by_write_key("wk_secret_key") is not None
