"""The format's tables as data: defaults of limits, what each refusal carries, what an import makes of each part of theirs."""

import asyncio

import pytest
from http_audience_cases import (
    NOW_US,
    SMALL,
    Scripted,
    adds,
    changed,
    findings_of,
    loaded,
    owed_of,
    performed,
    previewed,
    problems_of,
    said,
)
from test_http_audience_rudderstack import CONFIG, CONNECTION, field

from gateway.core.http_messages import NoAnswerError
from gateway.core.outcomes import Deferred, Delivered, Refused, Unauthorized, Unreachable
from gateway.destinations.base import Batch, Context
from gateway.destinations.http_audience.loading import load_definition
from gateway.destinations.http_audience.rudderstack.convert import convert
from gateway.destinations.rehearsal import FreshNotes

# --- limits ---

DEFAULTS = {
    "requests_per_second": 10, "concurrency": 4, "connect_timeout_s": 10, "read_timeout_s": 60,
    "max_response_bytes": 5_000_000, "allow_hosts": frozenset(), "allow_private": False, "tls": None,
    "idempotency_header": "", "debug_samples": 0,
}  # fmt: skip
RETRY = {
    "max_attempts": 5, "base_ms": 500, "factor": 2, "cap_ms": 60_000, "jitter": "full", "respect_retry_after": True,
    "max_wait_s": 900,
}  # fmt: skip
BREAKER = {"first": 200, "window": 1000, "share": 0.5}


def test_limits_have_these_defaults():
    """Whether they are left out one by one or all together; the request's time is both time-outs."""
    for value in (SMALL, changed(SMALL, limits={}), changed(SMALL, limits={"retry": {}, "breaker": {}})):
        limits = loaded(value).file.limits
        assert {name: getattr(limits, name) for name in DEFAULTS} == DEFAULTS
        assert {name: getattr(limits.retry, name) for name in RETRY} == RETRY
        assert {name: getattr(limits.breaker, name) for name in BREAKER} == BREAKER
    partner = Scripted(said(200))
    performed(loaded(SMALL), owed_of([{"email": "a"}]), partner)
    assert (partner.requests[0].timeout_s, partner.requests[0].connect_s) == (70, 10)


# --- a broken action disables only itself ---

DANGLING = [
    ({"actions__update": {"same_as": "remove"}}, "update"), ({"actions__update": {"same_as": "update"}}, "update"),
    ({}, "remove"), ({}, "replace"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "action"), DANGLING)
def test_an_action_that_leads_nowhere_refuses_its_own_records_only(change, action):
    """Those of the others go."""
    value = changed(SMALL, **change)
    _, problems = load_definition(findings_of(value), variables={})
    assert [one.severity for one in problems if one.pointer.endswith("same_as")] == ["warning"] * bool(change)
    records = [*adds({"email": "a"}), {"id": "x", "action": action, "fields": {"email": "b"}}]
    shown = previewed(value, records)
    assert [one["record_ids"] for one in shown["requests"]] == [["m-1"]]
    (rejected,) = shown["rejected"]
    assert (rejected["record_id"], rejected["code"], rejected["action"]) == ("x", "action_not_configured", action)


# --- what each refusal carries ---

HASHED = changed(
    SMALL,
    fields__email={"required": True, "hash": "sha256"},
    fields__n={"validate": "number", "on_invalid": "reject"},
    actions__add={
        "method": "POST", "path": "/p", "query": {"n": "{{connection.region}}"}, "batch": {"max_records": 2, "max_bytes": 200},
        "body": {"u": {"@each": {"in": "$.records", "do": {
            "e": {"@path": "$.record.email"}, "n": {"@cast": {"to": "number", "value": {"@path": "$.record.note"}}}}}}},
    },
    target={"region": {"label": "Region"}},
)  # fmt: skip
EMPTY = changed(SMALL, fields={"email": {"normalize": "digits"}})
DIGEST = "ab" * 32
BEFORE_SENDING = [  # definition, values, setting; the code and what it carries besides the sentence
    (HASHED, {"note": "1"}, {}, "missing_required_field", {"fields": ["email"]}),
    (EMPTY, {"email": "none"}, {}, "empty_record", {}),
    (HASHED, {"email": DIGEST}, {}, "already_hashed", {"fields": ["email"]}),
    (HASHED, {"email": "private-value"}, {"hashing": "off"}, "not_hashed", {"fields": ["email"]}),
    (HASHED, {"email": "a", "n": "private-value"}, {}, "invalid_value", {"fields": ["n"], "rule": "number"}),
    (HASHED, {"email": {"private-value": 1}}, {}, "record_invalid", {"pointer": "/fields/email"}),
    (HASHED, {"email": "a", "note": "private-value"}, {}, "template_failed", {"pointer": "/actions/add/body/u/@each/do/n"}),
    (HASHED, {"email": "a"}, {}, "endpoint_unresolved", {"placeholder": "{{connection.region}}"}),
    (changed(HASHED, actions__add__batch={"max_bytes": 100}, target=None, actions__add__query=None, fields__email__hash="sha512"),
     {"email": "a", "note": "12"}, {}, "record_too_large", {"bytes": 151, "limit": 100}),
    (changed(SMALL, target={"region": {"required": True}}), {"email": "a"}, {}, "config_invalid", {"pointers": ["/target/region"]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "values", "setting", "code", "carried"), BEFORE_SENDING, ids=lambda one: str(one)[:30]
)
def test_a_refusal_before_sending_carries_its_code_and_what_belongs_to_it(value, values, setting, code, carried):
    """One object: the record, the code, the keys of the code, and one sentence that never holds the value."""
    shown = previewed(value, adds(values), **setting)
    assert shown["requests"] == []
    (rejected,) = shown["rejected"]
    message = rejected.pop("message")
    assert rejected == {"record_id": "m-1", "code": code, **carried}
    assert message
    assert "private-value" not in message
    assert DIGEST not in message


def test_a_record_that_is_none_is_refused_with_the_place():
    """Alone; the others go."""
    given = [None, {"id": 2}, {"id": 3, "action": "add"}, *adds({"email": "a"})]
    shown = previewed(SMALL, given)
    assert [(one["code"], one["pointer"]) for one in shown["rejected"]] == [
        ("record_invalid", "/type"), ("record_invalid", "/action"), ("record_invalid", "/fields"),
    ]  # fmt: skip
    assert len(shown["requests"]) == 1


AFTER_SENDING = [
    (said(429), Unreachable, "rate_limited"), (said(429, retry_after="7"), Deferred, "rate_limited"),
    (said(503), Unreachable, "destination_unavailable"),
    (NoAnswerError("refused", sent=False), Unreachable, "destination_unavailable"),
    (said(408), Unreachable, "timeout"), (NoAnswerError("late", sent=True), Unreachable, "timeout"),
    (said(401), Unauthorized, "auth_failed"), (said(404), Refused, "rejected_by_destination"),
    (said(302), Refused, "rejected_by_destination"), (said(200, "no object"), Unreachable, "response_unreadable"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "kind", "code"), AFTER_SENDING, ids=str)
def test_what_a_partner_says_has_a_code_and_says_whether_it_is_tried_again(answer, kind, code):
    """The reason begins with it."""
    value = changed(SMALL, response={"record_errors": {"items": "body.errors", "index": "i"}})
    (outcome,) = performed(loaded(value), owed_of([{"email": "a"}]), Scripted(answer)).outcomes
    assert isinstance(outcome, kind)
    assert outcome.reason.startswith(f"{code}: ")


# --- logins ---

SECRETS = {"A": "secret-a", "B": "secret-b"}
LITERALS = [
    {"type": "basic", "username": {"$secret": "A"}, "password": "secret"}, {"type": "bearer", "token": "secret"},
    {"type": "api_key", "name": "K", "in": "header", "value": "secret"}, {"type": "hmac", "header": "S", "secret": "secret"},
    {"type": "oauth2_client_credentials", "token_url": "/t", "client_id": {"$secret": "A"}, "client_secret": "secret"},
]  # fmt: skip


@pytest.mark.parametrize("auth", LITERALS, ids=lambda one: one["type"])
def test_a_secret_in_clear_is_a_load_error(auth):
    """Told without it."""
    problems = problems_of(changed(SMALL, auth=auth))
    assert problems
    assert all(pointer.startswith("/auth") for pointer, _ in problems)
    assert "secret`" not in str(problems).replace("client_secret`", "").replace("`secret`", "")


def test_a_missing_secret_makes_every_record_config_invalid():
    """And the lane is held, so that nothing dies of it."""
    destination = loaded(changed(SMALL, auth={"type": "bearer", "token": {"$secret": "GONE"}}))
    batch = Batch(action="syncAudience", settings={}, owed=owed_of([{"email": "a"}] * 2), corrections=frozenset())
    context = Context(http=Scripted(said(200)), notes=FreshNotes(), now_us=NOW_US)
    outcomes = asyncio.run(destination.perform(batch, context)).outcomes
    assert [type(one) for one in outcomes] == [Unauthorized] * 2
    assert all(one.reason.startswith("config_invalid: ") and "`GONE`" in one.reason for one in outcomes)


# --- life of a record through the statuses that count ---


def test_a_redirect_is_not_followed():
    """It refuses; its address is not gone to."""
    partner = Scripted(said(307, location="https://elsewhere.example"))
    (outcome,) = performed(loaded(SMALL), owed_of([{"email": "a"}]), partner).outcomes
    assert isinstance(outcome, Refused)
    assert len(partner.requests) == 1


def test_two_renders_of_a_batch_give_the_same_bytes():
    """Keys in the file's order, and the same key of the batch."""
    value = changed(
        SMALL,
        limits={"idempotency_header": "Idempotency-Key"},
        actions__add__body={"z": 1, "a": {"@path": "$.batch.id"}, "p": {"@path": "$.records"}},
    )
    partner = Scripted(said(503), said(200))
    outcomes = [performed(loaded(value), owed_of([{"email": "a"}]), partner).outcomes[0] for _ in range(2)]
    assert [type(one) for one in outcomes] == [Unreachable, Delivered]
    first, second = partner.requests
    assert (first.body, first.headers, first.url) == (second.body, second.headers, second.url)
    assert first.body.startswith(b'{"z":1,"a":')


# --- importing ---


def imported(**more):
    config = {**CONFIG, **more.pop("config", {})}
    made = convert(config, {**CONNECTION, **more})
    assert made.problems == ()
    return made


def with_body(template, **more):
    insert = {**CONFIG["actions"]["insert"], "requestBody": template, "fields": []}
    made = imported(config={"actions": {"insert": insert}}, **more)
    return made.definition["actions"]["add"]["body"]


IMPORT = [  # theirs → ours, for one part of the configuration
    ("base_url", lambda: imported().definition["base_url"], "https://api.northwind.example/v1/"),
    ("http", lambda: imported(config={"baseUrl": "http://a.example"}).definition["allow_http"], True),
    ("noAuth", lambda: imported(config={"authenticationType": "noAuth"}).definition["auth"], {"type": "none"}),
    ("basicAuth", lambda: imported(config={"authenticationType": "basicAuth", "basicAuthUserName": "u", "basicAuthPassword": "p"})
     .definition["auth"],
     {"type": "basic", "username": {"$secret": "NORTHWIND_USERNAME"}, "password": {"$secret": "NORTHWIND_PASSWORD"}}),
    ("bearerToken", lambda: imported().definition["auth"], {"type": "bearer", "token": {"$secret": "NORTHWIND_TOKEN"}}),
    ("apiKey", lambda: imported(config={"authenticationType": "apiKey", "apiKeyName": "X-K", "apiKeyValue": "v"})
     .definition["auth"],
     {"type": "api_key", "in": "header", "name": "X-K", "value": {"$secret": "NORTHWIND_API_KEY"}}),
    ("headers", lambda: imported(config={"headers": [
        {"key": "A", "value": "1"}, {"key": "", "value": "2"}, {"key": "a", "value": "3"}, {"key": "Content-Type", "value": "x/y"},
    ]}).definition["headers"], {"a": "3", "Content-Type": "x/y"}),
    ("actions", lambda: list(imported().definition["actions"]), ["add", "update", "remove"]),
    ("useInsertConfig", lambda: imported().definition["actions"]["update"], {"same_as": "add"}),
    ("endpoint", lambda: imported().definition["actions"]["add"]["path"], "/lists/{{connection.audience_id}}/users"),
    ("endpoint, other keys", lambda: imported(region="eu", config={"actions": {"insert": {
        **CONFIG["actions"]["insert"], "endpoint": "/{{connection.region}}/{{connection.audienceName}}"}}})
     .definition["actions"]["add"]["path"], "/{{connection.region}}/{{connection.audience_name}}"),
    ("batchSize", lambda: imported().definition["actions"]["remove"]["batch"], {"max_records": 500}),
    ("connection.x", lambda: with_body('{"a": $$.connection.audienceId}'), {"a": {"@path": "$.connection.audience_id"}}),
    ("objects for each", lambda: with_body('{"a": [$$.records.{"e": email}]}'),
     {"a": {"@each": {"in": "$.records", "do": {"e": {"@path": "$.record.email"}}}}}),
    ("rows for each", lambda: with_body('{"a": [$$.records.[email, phone]]}'),
     {"a": {"@each": {"in": "$.records", "do": [{"@path": "$.record.email"}, {"@path": "$.record.phone"}]}}}),
    ("other lists", lambda: with_body('{"a": [1, $$.connection.audienceId]}'),
     {"a": {"@compact": {"items": [1, {"@path": "$.connection.audience_id"}]}}}),
    ("lists without a path", lambda: with_body('{"a": [1, [2]]}'), {"a": [1, [2]]}),
    ("$number", lambda: with_body('{"a": [$$.records.{"n": $number(ltv)}]}'),
     {"a": {"@each": {"in": "$.records", "do": {"n": {"@cast": {
         "to": "number", "value": {"@path": "$.record.ltv"}, "leading_zeros": True}}}}}}),
    ("records", lambda: with_body('{"a": $$.records}'), {"a": {"@path": "$.records"}}),
    ("records.x", lambda: with_body('{"a": [$$.records.email]}'),
     {"a": {"@each": {"in": "$.records", "do": {"@path": "$.record.email"}}}}),
    ("isCustom", lambda: imported().definition["fields"]["src"]["static"], True),
    ("hashType", lambda: imported().definition["fields"]["email"]["hash"], "sha256"),
    ("fields of all actions", lambda: "actions" in imported().definition["fields"]["email"], False),
    ("fields of some actions", lambda: imported().definition["fields"]["phone"]["actions"], ["add", "update"]),
    ("audienceId, audienceName", lambda: imported().mapping["mappings"][0]["audiences"]["fill in"],
     {"external_id": "9 1", "name": "VIP"}),
    ("isHashRequired", lambda: [imported(isHashRequired=one).mapping["mappings"][0]["hashing"] for one in (True, False)],
     ["on", "off"]),
    ("customMappings", lambda: imported().mapping["mappings"][0]["fields"]["src"], "crm"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "ours", "wanted"), IMPORT, ids=[row[0] for row in IMPORT])
def test_an_import_makes_this_of_each_part(part, ours, wanted):
    """And what it makes loads."""
    assert ours() == wanted
    _, problems = load_definition(findings_of(imported().definition), variables={})
    assert not [one for one in problems if one.severity == "error"]


def test_an_import_whose_update_leans_on_an_absent_insert_refuses_updates_only():
    """As theirs does."""
    actions = {"update": {"useInsertConfig": True}, "delete": CONFIG["actions"]["delete"]}
    made = imported(config={"actions": actions})
    shown = previewed(made.definition, [
        {"id": 1, "action": "update", "fields": {"email": "a"}}, {"id": 2, "action": "remove", "fields": {"email": "a"}},
    ], entry={"external_id": "9"})  # fmt: skip
    assert [one["record_ids"] for one in shown["requests"]] == [[2]]
    assert [one["code"] for one in shown["rejected"]] == ["action_not_configured"]


def test_an_import_keeps_a_field_that_only_one_action_declares_to_it():
    """Undeclared ones that a template reads pass as they are."""
    remove = {**CONFIG["actions"]["delete"], "fields": [field("email", hash_type="SHA256"), field("reason")]}
    actions = {**CONFIG["actions"], "delete": remove}
    assert imported(config={"actions": actions}).definition["fields"]["reason"]["actions"] == ["remove"]
