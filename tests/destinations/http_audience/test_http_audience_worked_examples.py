"""The two worked examples of the format: the requests they give, byte for byte as JSON, and what partners' answers make of them."""

import asyncio
import json
from pathlib import Path

import pytest
from http_audience_cases import Scripted, changed, findings_of, loaded, owed_of, performed, previewed, said

from gateway.core.outcomes import Deferred, Delivered, Refused
from gateway.destinations.http_audience.loading import load_definition
from gateway.destinations.http_audience.reports import sample_report
from gateway.destinations.rehearsal import FreshNotes

NORTHWIND = json.loads((Path(__file__).parents[3] / "mappings/destinations/northwind-ads.json").read_text("utf-8"))
DIGESTS = {
    "ana": "9e86f388756b1353c6807003dcd2f749be519bbd6ab6d8a935d6b298d2758481",
    "ana phone": "cb24629d1dbeb6ee24e7c20610896274e8102e67aa6efc2f3a1be2893c38008b",
    "bo": "bcab8abd827bdcdde4241c4dbd6459b261bb853faa281af0bbbe50c9354b1e12",
    "cy": "dd077ed782ea39b223f2848d1d43e323ecf3ed2316bf1b8faae86e8191b4a120",
    "cy phone": "2d4b5e229a9241b60674d579c70d3937824af60a9ea1085fb97c7bfa134b1a57",
    "ed": "30eca34b85df1da08b6230f0b661d6789ab2c925fd203f971785da3214a21b87",
}
RECORDS = [
    {"id": "m-101", "action": "add", "fields": {"email": " Ana.Reyes@Example.com ", "phone": "+34 600 111 222", "ltv": "1840.5"}},
    {"id": "m-102", "action": "add", "fields": {"email": "bo@example.org", "ltv": "90"}},
    {"id": "m-103", "action": "update", "fields": {"email": "cy@example.net", "phone": "+46 70 555 01 02"}},
    {"id": "m-104", "action": "add", "fields": {"phone": "+1 202 555 0111"}},
    {"id": "m-105", "action": "add", "fields": {"email": "a" * 64}},
    {"id": "m-106", "action": "remove", "fields": {"email": "ed@example.com"}},
]  # fmt: skip
HARBOUR = {
    "kind": "http_audience",
    "slug": "harbour-crm-tags",
    "name": "Harbour CRM tag",
    "base_url": "https://eu.harbour-crm.example/api",
    "auth": {"type": "api_key", "in": "header", "name": "X-Harbour-Key", "value": {"$secret": "HARBOUR_KEY"}},
    "target": {
        "audience_id": {"label": "Tag key", "required": True},
        "audience_name": {"label": "Tag name", "required": True},
    },
    "fields": {
        "crm_id": {"label": "Contact id", "identifier": True, "required": True},
        "plan": {"label": "Plan", "actions": ["add", "update"]},
        "first_name": {"label": "First name", "actions": ["add", "update"]},
    },
    "actions": {
        "add": {
            "method": "PUT",
            "path": "/contacts/{{record.crm_id}}/tags/{{connection.audience_id}}",
            "batch": {"max_records": 1},
            "body": {
                "tag": {"@path": "$.connection.audience_name"},
                "note": {"@template": "plan {{record.plan}}"},
                "name": {"@path": "$.record.first_name"},
            },
        },
        "update": {"same_as": "add"},
        "remove": {
            "method": "DELETE",
            "path": "/contacts/{{record.crm_id}}/tags/{{connection.audience_id}}",
            "batch": {"max_records": 1},
        },
    },
    "response": {"ok_statuses": {"remove": [404, 410]}},
    "limits": {"requests_per_second": 10, "concurrency": 8, "idempotency_header": "Idempotency-Key"},
}
TAG = {"external_id": "vip buyers/2026", "name": "VIP"}
URL = "https://api.northwind-ads.example/v3/lists/9001/users"
HEADERS = {"Content-Type": "application/json", "X-Client": "audience-gateway", "Authorization": "Bearer ***"}


def test_check_1_batches_of_hashed_addresses():
    """Three requests, in order; two records refused before anything is sent."""
    first = {
        "list_id": 9001,
        "mode": "append",
        "hash": "sha256",
        "users": [
            {"em": DIGESTS["ana"], "ph": DIGESTS["ana phone"], "value": 1840.5, "src": "acme-crm"},
            {"em": DIGESTS["bo"], "value": 90, "src": "acme-crm"},
        ],
    }
    second = {**first, "users": [{"em": DIGESTS["cy"], "ph": DIGESTS["cy phone"], "src": "acme-crm"}]}
    shown = previewed(NORTHWIND, RECORDS, entry={"external_id": "9001"}, static={"origin": "acme-crm"})
    assert shown["requests"] == [
        {"action": "add", "method": "POST", "url": URL, "headers": HEADERS, "body": first, "record_ids": ["m-101", "m-102"]},
        {"action": "add", "method": "POST", "url": URL, "headers": HEADERS, "body": second, "record_ids": ["m-103"]},
        {"action": "remove", "method": "DELETE", "url": URL, "headers": HEADERS, "body": {"emails": [DIGESTS["ed"]]},
         "record_ids": ["m-106"]},
    ]  # fmt: skip
    assert [(one["record_id"], one["code"], one["fields"]) for one in shown["rejected"]] == [
        ("m-104", "missing_required_field", ["email"]),
        ("m-105", "already_hashed", ["email"]),
    ]


def test_a_partial_answer_refuses_the_record_it_names():
    """207 with one error: the record at that place is refused with the partner's code, the other is accepted."""
    destination = loaded(NORTHWIND, NORTHWIND_TOKEN="t")
    answer = said(207, {"accepted": 1, "errors": [{"position": 1, "reason": "BAD_HASH", "detail": "em"}]})
    done = performed(destination, owed_of([one["fields"] for one in RECORDS[:2]], external_id="9001"), Scripted(answer))
    assert isinstance(done.outcomes[0], Delivered)
    assert isinstance(done.outcomes[1], Refused)
    assert "BAD_HASH" in done.outcomes[1].reason


def test_a_busy_partner_is_asked_again_with_the_same_bytes():
    """503 with `Retry-After: 7` puts the batch off by 7 s; the next try sends the same request."""
    destination = loaded(NORTHWIND, NORTHWIND_TOKEN="t")
    partner = Scripted(said(503, retry_after="7"), said(200, {"errors": []}))
    owed = owed_of([RECORDS[2]["fields"]], "update", external_id="9001")
    (first,) = performed(destination, owed, partner).outcomes
    assert isinstance(first, Deferred)
    assert first.wait_s == 7
    (second,) = performed(destination, owed, partner).outcomes
    assert isinstance(second, Delivered)
    assert partner.requests[0] == partner.requests[1]


def test_check_1_one_request_for_each_record():
    """Values in the path are encoded, absent ones left out of the body, a body-less request has no content type."""
    records = [
        {"id": "m-201", "action": "add", "fields": {"crm_id": "C-77/A", "plan": "gold", "first_name": "Zoë"}},
        {"id": "m-202", "action": "update", "fields": {"crm_id": "C-78", "plan": "silver"}},
        {"id": "m-203", "action": "remove", "fields": {"crm_id": "C-79"}},
        {"id": "m-204", "action": "add", "fields": {"plan": "gold"}},
    ]
    shown = previewed(HARBOUR, records, entry=TAG)
    base = "https://eu.harbour-crm.example/api/contacts"
    assert [(one["method"], one["url"], one["body"]) for one in shown["requests"]] == [
        ("PUT", f"{base}/C-77%2FA/tags/vip%20buyers%2F2026", {"tag": "VIP", "note": "plan gold", "name": "Zoë"}),
        ("PUT", f"{base}/C-78/tags/vip%20buyers%2F2026", {"tag": "VIP", "note": "plan silver"}),
        ("DELETE", f"{base}/C-79/tags/vip%20buyers%2F2026", None),
    ]
    keys = [one["headers"]["Idempotency-Key"] for one in shown["requests"]]
    assert len(set(keys)) == 3
    assert all("Content-Type" in one["headers"] for one in shown["requests"][:2])
    assert "Content-Type" not in shown["requests"][2]["headers"]
    assert {one["headers"]["X-Harbour-Key"] for one in shown["requests"]} == {"***"}
    assert [(one["record_id"], one["code"], one["fields"]) for one in shown["rejected"]] == [
        ("m-204", "missing_required_field", ["crm_id"])
    ]


@pytest.mark.parametrize(
    ("operation", "status", "kind"),
    [("exit", 404, Delivered), ("exit", 410, Delivered), ("enter", 404, Refused), ("update", 409, Refused)],
)
def test_a_status_counts_as_success_for_its_action_only(operation, status, kind):
    """404 on a removal is a removal; a conflict on an update is refused."""
    destination = loaded(HARBOUR, HARBOUR_KEY="k")
    owed = owed_of([{"crm_id": "C-79"}], operation, audience_settings=TAG)
    (outcome,) = performed(destination, owed, Scripted(said(status, {}))).outcomes
    assert isinstance(outcome, kind)


def test_the_key_of_a_batch_is_the_same_on_every_try():
    """And another for another record."""
    destination = loaded(HARBOUR, HARBOUR_KEY="k")
    partner = Scripted(said(500))
    owed = owed_of([{"crm_id": "C-1"}], audience_settings=TAG)
    for one in (owed, owed, owed_of([{"crm_id": "C-2"}], audience_settings=TAG)):
        performed(destination, one, partner, notes=FreshNotes())
    keys = [request.headers["Idempotency-Key"] for request in partner.requests]
    assert keys[0] == keys[1] != keys[2]


def test_the_shipped_example_passes_its_own_samples():
    """What `gateway destination test` runs."""
    report = asyncio.run(sample_report(loaded(NORTHWIND).file))
    assert report["passed"], report
    assert [one["got"] for one in report["samples"]] == [
        "sent", "sent", "sent", "missing_required_field", "template_failed",
    ]  # fmt: skip
    broken = changed(NORTHWIND, samples=[{"id": "x", "action": "add", "fields": {}}])
    assert asyncio.run(sample_report(loaded(broken).file))["passed"] is False


def test_the_shipped_example_has_no_warnings():
    """It is what people copy."""
    _, problems = load_definition(findings_of(NORTHWIND), variables={})
    assert problems == []
