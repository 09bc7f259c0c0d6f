"""What the format has for the catalogue: addresses asked for, further logins, what refusals mean, results in order, early ends."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from http_audience_cases import NOW_US, SMALL, Scripted, changed, loaded, owed_of, performed, problems_of, said

from gateway.core.outcomes import Refused
from gateway.destinations.http_audience.login import LoginError, webhook_signature
from gateway.destinations.http_audience.normalising import (
    normalise_country_upper,
    normalise_email_google,
    normalise_phone_digits,
    normalise_words,
)

PEOPLE: list[dict[str, Any]] = [{"email": "a@example.com"}, {"email": "b@example.com"}, {"email": "c@example.com"}]


def kinds(done: Any) -> list[str]:
    return [type(one).__name__ for one in done.outcomes]


# --- Addresses ---

ASKED = {"label": "Your address", "help": "Ask us.", "example": "https://a.example"}


def test_an_address_can_be_asked_for():
    """It is a required setting then, and what is given there is used."""
    destination = loaded(changed(SMALL, base_url=ASKED))
    (field,) = destination.definition.settings
    assert (field.key, field.label, field.required, field.description) == ("base_url", "Your address", True, "Ask us.")
    assert destination.check_settings({"base_url": "https://mine.example/v2"}, frozenset()) == []
    assert "base_url" in destination.check_settings({}, frozenset())[0]
    partner = Scripted(said(200))
    performed(destination, owed_of(PEOPLE), partner, settings={"base_url": "https://mine.example/v2/"})
    assert partner.requests[0].url == "https://mine.example/v2/people"


def test_nothing_is_sent_before_an_address_is_given():
    """The lane is held."""
    partner = Scripted(said(200))
    assert kinds(performed(loaded(changed(SMALL, base_url=ASKED)), owed_of(PEOPLE), partner)) == ["Unauthorized"] * 3
    assert partner.requests == []


@pytest.mark.parametrize("given", [{"lable": "A"}, {"label": ""}, {"label": "A", "help": 1}, 7, ["https://a.example"]])
def test_an_address_that_is_asked_for_wrongly_is_an_error(given: object):
    """Its place is told."""
    assert problems_of(changed(SMALL, base_url=given))


# --- Logins ---

REFRESH = {
    "type": "oauth2_refresh_token", "token_url": "https://login.small.example/token", "client_id": {"$secret": "ID"},
    "client_secret": {"$secret": "SECRET"}, "refresh_token": {"$secret": "REFRESH"},
}  # fmt: skip
KEYS = {"ID": "id", "SECRET": "s", "REFRESH": "r/1"}


def test_a_refresh_token_is_exchanged_for_one_token_and_again_when_it_is_refused():
    """RFC 6749 §6."""
    given = changed(SMALL, auth=REFRESH, limits={"allow_hosts": ["login.small.example"]})
    token = said(200, {"access_token": "t1", "expires_in": 3600})
    partner = Scripted(token, said(401), said(200, {"access_token": "t2", "expires_in": 3600}), said(200))
    assert kinds(performed(loaded(given, **KEYS), owed_of(PEOPLE), partner)) == ["Delivered"] * 3
    form = parse_qs(partner.requests[0].body.decode())
    assert form == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["r/1"],
        "client_id": ["id"],
        "client_secret": ["s"],
    }
    assert [one.headers.get("Authorization") for one in partner.requests] == [None, "Bearer t1", None, "Bearer t2"]


def test_the_token_address_can_be_replaced():
    """By a setting that is there only where the file's is a whole address."""
    given = changed(SMALL, auth=REFRESH, limits={"allow_hosts": ["login.small.example"]})
    destination = loaded(given, **KEYS)
    assert [one.key for one in destination.definition.settings][-2:] == ["base_url", "token_url"]
    assert destination.check_settings({"token_url": "ftp://x"}, frozenset())
    partner = Scripted(said(200, {"access_token": "t1"}), said(200))
    performed(destination, owed_of(PEOPLE), partner, settings={"token_url": "http://127.0.0.1:9/token"})
    assert partner.requests[0].url == "http://127.0.0.1:9/token"


def test_a_bearer_token_is_proved_with_a_second_secret_where_there_is_one():
    """Meta's appsecret_proof."""
    auth = {
        "type": "bearer",
        "token": {"$secret": "T"},
        "proof": {"name": "appsecret_proof", "secret": {"$secret": "A"}},
    }
    proof = hmac.new(b"app", b"tok", hashlib.sha256).hexdigest()
    for variables, query in (({"T": "tok", "A": "app"}, f"?appsecret_proof={proof}"), ({"T": "tok"}, "")):
        partner = Scripted(said(200))
        performed(loaded(changed(SMALL, auth=auth), **variables), owed_of(PEOPLE), partner)
        assert partner.requests[0].url == f"https://api.small.example/v1/people{query}"


@pytest.mark.parametrize(
    "auth",
    [
        {"type": "bearer", "token": {"$secret": "T"}, "proof": {"name": "p", "secret": "clear"}},
        {"type": "bearer", "token": {"$secret": "T"}, "proof": {"secret": {"$secret": "A"}}},
        {"type": "bearer", "token": {"$secret": "T"}, "proof": "p"},
        {"type": "basic", "username": "", "password": {"$secret": "P"}},
        {"type": "basic", "username": "u", "password": "clear"},
        {"type": "standard_webhooks", "secret": "whsec_AAAA"},
        {"type": "standard_webhooks"},
        {**REFRESH, "refresh_token": "clear"},
        {**REFRESH, "token_url": "https://elsewhere.example/token"},
    ],
)
def test_a_login_that_is_not_whole_or_tells_a_secret_is_an_error(auth: object):
    """A secret in clear is one, whatever the login."""
    assert problems_of(changed(SMALL, auth=auth))


def test_a_user_name_that_everybody_has_may_stand_in_clear():
    """The password may not."""
    auth = {"type": "basic", "username": "any", "password": {"$secret": "P"}}
    partner = Scripted(said(200))
    performed(loaded(changed(SMALL, auth=auth), P="key"), owed_of(PEOPLE), partner)
    assert partner.requests[0].headers["Authorization"] == "Basic YW55OmtleQ=="


def test_the_signature_is_that_of_the_reference_libraries():
    """The example that Standard Webhooks' libraries are tested with."""
    signed = webhook_signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    with pytest.raises(LoginError, match="whsec_"):
        webhook_signature("whsec_%%%", "id", 0, b"")


def test_a_signed_call_has_an_id_of_its_batch_and_the_time_of_its_try():
    """The id has no dot, and the same people get the same one."""
    auth = {"type": "standard_webhooks", "secret": {"$secret": "S"}}
    destination = loaded(changed(SMALL, auth=auth), S="whsec_AAAA")
    ids = []
    for _ in range(2):
        partner = Scripted(said(200))
        performed(destination, owed_of(PEOPLE), partner)
        headers = partner.requests[0].headers
        ids.append(headers["webhook-id"])
        assert abs(int(headers["webhook-timestamp"]) - NOW_US // 1_000_000) < 60
        assert headers["webhook-signature"].startswith("v1,")
    assert ids[0] == ids[1]
    assert "." not in ids[0]


# --- What refusals mean ---


@pytest.mark.parametrize(
    ("response", "status", "kind"),
    [
        ({"retry_when": "body.transient"}, 400, "Unreachable"),
        ({"retry_when": "body.transient"}, 403, "Unreachable"),
        ({"auth_when": "body.code == `190`"}, 400, "Unauthorized"),
        ({"auth_when": "body.code == `190`", "retry_when": "body.transient"}, 400, "Unreachable"),
        ({"retry_when": "body.nothing"}, 400, "Refused"),
        ({"retry_when": "length(body.code)"}, 400, "Refused"),  # It cannot work on a number: it says nothing.
    ],
)
def test_the_body_says_what_a_refusal_means(response: object, status: int, kind: str):
    """`retry_when` comes before `auth_when`, and both before the statuses."""
    partner = Scripted(said(status, {"transient": True, "code": 190}))
    done = performed(loaded(changed(SMALL, response=response)), owed_of(PEOPLE), partner)
    assert kinds(done) == [kind] * 3


@pytest.mark.parametrize(("fault", "splittable"), [("request", False), ("people[1]", True)])
def test_a_fault_of_the_whole_request_is_not_halved(fault: str, *, splittable: bool):
    """`whole_when`."""
    partner = Scripted(said(400, {"field": fault}))
    given = changed(SMALL, response={"whole_when": "!starts_with(body.field, 'people')"})
    done = performed(loaded(given), owed_of(PEOPLE), partner)
    assert [one.splittable for one in done.outcomes if isinstance(one, Refused)] == [splittable] * 3


@pytest.mark.parametrize("key", ["retry_when", "auth_when", "whole_when"])
def test_such_an_expression_is_checked_when_the_file_loads(key: str):
    """Like every other."""
    assert problems_of(changed(SMALL, response={key: "body.["}))[0][0] == f"/response/{key}"


# --- Results in order ---


def test_results_that_stand_in_order_point_at_their_records():
    """`when` tells errors from the others; results beyond the records point nowhere, so the rest is suspected."""
    rule = {"items": "body", "in_order": True, "when": "ok == `false`", "code": "code"}
    destination = loaded(changed(SMALL, response={"record_errors": rule}))
    results = [{"ok": True}, {"ok": False, "code": "BAD"}, {"ok": True}]
    done = performed(destination, owed_of(PEOPLE), Scripted(said(200, results)))
    assert kinds(done) == ["Delivered", "Refused", "Delivered"]
    assert "BAD" in done.outcomes[1].reason
    done = performed(destination, owed_of(PEOPLE), Scripted(said(200, [*results, {"ok": False}])))
    assert [one.splittable for one in done.outcomes if isinstance(one, Refused)] == [True, False, True]


@pytest.mark.parametrize("more", [{"in_order": True, "index": "i"}, {"in_order": False}, {"in_order": "yes"}])
def test_one_way_of_pointing_is_enough(more: dict[str, object]):
    """And none is too few."""
    assert problems_of(changed(SMALL, response={"record_errors": {"items": "body", **more}}))


# --- Steps ---

STEPS = {
    "batch": {"max_records": 10},
    "steps": [
        {"method": "POST", "path": "/find", "body": {"who": {"@each": {"in": "$.records", "do": {"@path": "$.record.email"}}}},
         "save": {"ids": "body.ids"}, "stop_when": "length(body.ids) == `0`"},
        {"method": "PUT", "path": "/list", "body": {"@path": "$.steps.ids"}},
    ],
}  # fmt: skip


@pytest.mark.parametrize(("ids", "calls"), [([], ["/v1/find"]), (["1", "2"], ["/v1/find", "/v1/list"])])
def test_steps_end_early_where_nothing_is_left_to_do(ids: list[str], calls: list[str]):
    """What went well so far counts; a body may be nothing but what an earlier step gave."""
    partner = Scripted(said(200, {"ids": ids}))
    done = performed(loaded(changed(SMALL, actions__add=STEPS)), owed_of(PEOPLE), partner)
    assert kinds(done) == ["Delivered"] * 3
    assert [one.url.removeprefix("https://api.small.example") for one in partner.requests] == calls
    if ids:
        assert json.loads(partner.requests[1].body) == ids


def test_an_answer_that_cannot_be_asked_whether_to_stop_leaves_it_open():
    """The step may have had its effect."""
    done = performed(loaded(changed(SMALL, actions__add=STEPS)), owed_of(PEOPLE), Scripted(said(200, {"ids": 7})))
    assert kinds(done) == ["Unreachable"] * 3


# --- Fields ---


@pytest.mark.parametrize(
    ("normaliser", "given", "wanted"),
    [
        (normalise_email_google, "A.B+c@gmail.com", "ab@gmail.com"),
        (normalise_email_google, "a.b+c@sub.gmail.com", "a.b+c@sub.gmail.com"),
        (normalise_email_google, "gmail.com", "gmail.com"),
        (normalise_email_google, " a b @ gmail.com", "ab@gmail.com"),
        (normalise_phone_digits, "+44 (0)20 7946 0018", "442079460018"),
        (normalise_phone_digits, "call me", ""),
        (normalise_phone_digits, "0000", ""),
        (normalise_words, "  Jean-Luc \t d'Ör ", "jeanluc dör"),
        (normalise_words, "李 小龙", "李 小龙"),
        (normalise_words, "...", ""),
        (normalise_words, "x" * 300, ""),
        (normalise_country_upper, " es ", "ES"),
        (normalise_country_upper, "Spain", ""),
    ],
)
def test_the_normalisers_of_single_platforms(normaliser: Any, given: str, wanted: str):
    """Text in, text out, nothing where it is none; what is normal stays."""
    assert normaliser(given) == wanted
    assert normaliser(wanted) == wanted


def test_a_field_can_be_held_to_a_pattern():
    """What does not fit is left out; only texts fit."""
    destination = loaded(
        changed(SMALL, fields__note={"label": "N", "validate": {"pattern": "^00[3Q][A-Za-z0-9]{12,15}$"}})
    )
    for given, kept in (("003RM000003oLrHYAU", True), ("003RM000003oLrHYAU\n", False), ("x", False), (7, False)):
        assert ("note" in destination.prepared("enter", {"email": "a@example.com", "note": given})) == kept


@pytest.mark.parametrize("pattern", ["(a+)+$", "(?=a)", "[", 7, "x" * 300, "a*b*c*d*"])
def test_a_pattern_that_could_grow_slow_is_an_error(pattern: object):
    """The same check as that of targets."""
    assert problems_of(changed(SMALL, fields__note={"label": "N", "validate": {"pattern": pattern}}))


@pytest.mark.parametrize("key", ["notes", "sources"])
def test_lines_for_the_page_are_texts(key: str):
    """Nothing else."""
    assert problems_of(changed(SMALL, **{key: ["a", 7]}))
    assert problems_of(changed(SMALL, **{key: ["a"]})) == []


def test_a_list_whose_id_must_fit_a_pattern_can_be_made():
    """The pattern is for the id there will be."""
    create = {"method": "POST", "path": "/lists", "body": {"n": {"@path": "$.audience.name"}}}
    given = changed(
        SMALL,
        target={
            "audience_id": {"label": "Id", "required": True, "pattern": "^701[0-9]+$"},
            "region": {"label": "Region", "required": True},
        },
        actions__add__path="/{{connection.audience_id}}",
        audience={"create": {**create, "save": {"audience_id": "body.id"}}},
    )
    entry = {"create": True, "name": "VIP", "region": "eu"}
    partner = Scripted(said(200, {"id": "70112"}))
    assert kinds(performed(loaded(given), owed_of(PEOPLE, audience_settings=entry), partner)) == ["Delivered"] * 3
    assert partner.requests[1].url.endswith("/70112")
    # An id that does not fit is refused when it comes, a target that is missing before anything is made.
    unfit = Scripted(said(200, {"id": "x"}))
    assert kinds(performed(loaded(given), owed_of(PEOPLE, audience_settings=entry), unfit)) == ["Refused"] * 3
    silent = Scripted(said(200))
    partly = owed_of(PEOPLE, audience_settings={"create": True})
    assert kinds(performed(loaded(given), partly, silent)) == ["Refused"] * 3
    assert silent.requests == []
