"""What single platforms of the catalogue have of their own, against their fakes: bodies, jobs, locks, ids, signatures."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from catalogue_entries import ENTRIES, keys, kinds, list_of, payloads
from http_audience_cases import Scripted, owed_of, performed, said

from gateway.core.outcomes import Refused
from gateway.destinations.http_audience.catalog import catalog
from gateway.destinations.http_audience.format_answers import saved_lists
from gateway.destinations.rehearsal import WireCase, wire_result
from gateway.sandbox.faults import Status

CANARY = "quetzalbird@canarymail.example.com"


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"code": 80003, "message": "There have been too many calls"}, "Unreachable"),
        (403, {"code": 17, "message": "User request limit reached"}, "Unreachable"),
        (500, {"code": 2, "is_transient": True}, "Unreachable"),
        (400, {"code": 2650, "error_subcode": 1870145}, "Unreachable"),
        (400, {"code": 190, "message": "Error validating access token"}, "Unauthorized"),
        (400, {"code": 294, "message": "Managing advertisements requires an access token"}, "Unauthorized"),
        (400, {"code": 300, "message": "No permission's code"}, "Refused"),
        (400, {"code": 100, "error_subcode": 1713230, "message": "Invalid parameter"}, "Refused"),
    ],
)
def test_meta_says_in_the_body_what_a_refusal_means(status: int, error: dict[str, Any], kind: str) -> None:
    """Throttling waits, a bad token holds the lane, an audience under restriction refuses the request, unhalved."""
    people = payloads("facebook-custom-audience", 0, 1)
    done = performed(
        catalog()["facebook-custom-audience"], owed_of(people, audience_settings={"external_id": "1"}),
        Scripted(said(status, {"error": error})), settings=ENTRIES["facebook-custom-audience"].login,
    )  # fmt: skip
    assert kinds(done) == {kind}
    assert not any(isinstance(one, Refused) and one.splittable for one in done.outcomes)


def test_meta_rows_keep_their_columns(meet: Any) -> None:
    """Absent values are empty texts, and the proof of the token goes with every call."""
    meeting, partner = meet("facebook-custom-audience")
    meeting.put([{"email": "bo@example.org", "first_name": "Bo"}, {"external_id": "C-77"}])
    (kept,) = [one for one in partner.log if one.names == ("add",)]
    rows = json.loads(kept.body)["payload"]["data"]
    digest = hashlib.sha256(b"bo@example.org").hexdigest()
    assert [len(row) for row in rows] == [14, 14]
    assert rows[0][:3] == ["", digest, ""]
    assert rows[1] == ["C-77", *[""] * 13]
    assert partner.members("23850000000001") == {digest, "C-77"}


def test_google_takes_effect_when_google_has_worked_on_it(meet: Any) -> None:
    """An answer is a promise: the list changes later, and the status of the request says so."""
    meeting, partner = meet("google-ads-customer-match", {"process_at_once": False})
    assert kinds(meeting.put(payloads("google-ads-customer-match", 0))) == {"Delivered"}
    assert partner.members("8181000111") == frozenset()
    partner.commands["process"]()
    assert partner.members("8181000111") == keys("google-ads-customer-match", 0)


def test_google_gets_an_address_whole_or_not_at_all(meet: Any) -> None:
    """Names are hashed as they are written, in lower case; country and postal code are plain."""
    meeting, partner = meet("google-ads-customer-match")
    meeting.put(
        [
            {
                "first_name": " María ",
                "last_name": "O'Reyes-Díaz",
                "country": "es",
                "postal_code": "20003",
                "email": "a@example.com",
            }
        ]
    )
    (kept,) = [one for one in partner.log if one.names == ("add",)]
    (member,) = json.loads(kept.body)["audienceMembers"]
    assert member["userData"]["userIdentifiers"][1]["address"] == {
        "givenName": hashlib.sha256("maría".encode()).hexdigest(),
        "familyName": hashlib.sha256("o'reyes-díaz".encode()).hexdigest(),
        "regionCode": "ES",
        "postalCode": "20003",
    }


def test_hubspot_takes_no_contact_twice_in_a_batch(meet: Any) -> None:
    """The batch is refused whole and may be halved; each by itself is taken."""
    meeting, partner = meet("hubspot-list")
    done = meeting.put([{"email": "bo@example.org"}, {"email": "Bo@Example.org"}])
    assert all(isinstance(one, Refused) and one.splittable for one in done.outcomes)
    assert kinds(meeting.put([{"email": "bo@example.org"}])) == {"Delivered"}
    assert partner.members("4711") == {"bo@example.org"}


@pytest.mark.parametrize("slug", ["hubspot-list", "salesforce-campaign"])
def test_another_version_of_an_interface_is_a_setting(slug: str, meet: Any) -> None:
    """All of its paths follow; a version that the platform does not know refuses, and nobody is lost in silence."""
    meeting, partner = meet(slug, {"version": "2027-03"}, api_version="2027-03")
    assert kinds(meeting.put(payloads(slug, 0, 1))) == kinds(meeting.put(payloads(slug, 1), "exit")) == {"Delivered"}
    assert list_of(partner, slug) == keys(slug, 0)
    meeting.settings.pop("api_version")
    assert kinds(meeting.put(payloads(slug, 2))) == {"Refused"}


def test_what_is_foretold_for_a_hubspot_list_has_the_shape_of_what_is_sent() -> None:
    """Record ids are a list there, too; Salesforce's are one text of an address."""
    leaving = [{"type": "identify", "userId": "1", "traits": {"email": "bo@example.org", "vip": False}}]
    settings = {"access_token": "x"}
    case = WireCase(
        destination="hubspot-list", events=leaving, settings=settings, audience_settings={"external_id": "1"}
    )
    told: Any = asyncio.run(wire_result(case))
    assert json.loads(told["requests"][1]["body"]) == ["ids-of-a-rehearsal"]


@pytest.mark.parametrize(
    ("expression", "is_list"),
    [
        ("body.results[].id", True), ("body.a[*].b", True), ("body.a[?x].b", True), ("[a, b]", True), ("body.x | a[]", True),
        ("body.id", False), ("body.a[0].b", False), ("join(',', body.a[].b)", False), ("body.a[] | [0]", False), ("a =", False),
    ],
)  # fmt: skip
def test_a_saved_value_is_a_list_by_its_expression(expression: str, is_list: bool) -> None:
    """So that a rehearsal imagines the right kind."""
    assert bool(saved_lists({"save": {"ids": expression}})) is is_list


def test_nobody_becomes_a_hubspot_contact_by_leaving(meet: Any) -> None:
    """Who is none has nothing to leave, and no list is called for them."""
    meeting, partner = meet("hubspot-list")
    assert kinds(meeting.put([{"email": "nobody@example.com"}], "exit")) == {"Delivered"}
    assert partner.contacts == {}
    assert [one.names for one in partner.log] == [("read",)]


def test_salesforce_waits_for_rows_that_are_locked(meet: Any) -> None:
    """That person is tried again; who is a member already counts as added."""
    meeting, partner = meet("salesforce-campaign", {"locked": ["003RM000003oLr0001"]})
    done = meeting.put(payloads("salesforce-campaign", 0, 1))
    assert [type(one).__name__ for one in done.outcomes] == ["Delivered", "Unreachable"]
    partner.configure(b'{"locked": []}')
    assert kinds(meeting.put(payloads("salesforce-campaign", 0, 1))) == {"Delivered"}


def test_salesforce_removes_five_people_with_two_calls(meet: Any) -> None:
    """As many queries as one composite request takes."""
    meeting, partner = meet("salesforce-campaign")
    people: list[dict[str, object]] = [{"contact_id": f"003RM000003oLr{number:04}"} for number in range(7)]
    assert kinds(meeting.put(people)) == kinds(meeting.put(people, "exit")) == {"Delivered"}
    assert list_of(partner, "salesforce-campaign") == frozenset()
    assert [one.method for one in partner.log].count("DELETE") == 2


@pytest.mark.parametrize(("case", "kind"), [("limit", "Unreachable"), ("access", "Unauthorized")])
def test_salesforce_tells_limits_from_missing_rights(case: str, kind: str, meet: Any) -> None:
    """Both are answered with 403."""
    meeting, partner = meet("salesforce-campaign")
    (refusal,) = [one for one in partner.fault_kinds if one.__struct_config__.tag == "refusal"]
    partner.faults.add(refusal(case=case, times=2, target="add"))
    assert kinds(meeting.put(payloads("salesforce-campaign", 0))) == {kind}


def test_braze_passes_over_people_it_does_not_know(meet: Any) -> None:
    """In silence, so they count as sent."""
    meeting, partner = meet("braze-user-attribute", {"strangers": ["C-1"]})
    assert kinds(meeting.put(payloads("braze-user-attribute", 0, 1))) == {"Delivered"}
    assert list_of(partner, "braze-user-attribute") == {"C-0"}


@pytest.mark.parametrize(("case", "kind"), [("blocked", "Unreachable"), ("disabled", "Unauthorized")])
def test_mailchimp_tells_a_flood_of_calls_from_missing_rights(case: str, kind: str, meet: Any) -> None:
    """Both are answered with 403; the one for a flood has a page for a body."""
    meeting, partner = meet("mailchimp-audience-tag")
    (refusal,) = [one for one in partner.fault_kinds if one.__struct_config__.tag == "refusal"]
    partner.faults.add(refusal(case=case))
    assert kinds(meeting.put(payloads("mailchimp-audience-tag", 0))) == {kind}


def test_hubspot_is_believed_by_what_it_says_of_the_list(meet: Any) -> None:
    """Contacts were made, and then a page came instead of an answer about the list: tried again, not counted."""
    meeting, partner = meet("hubspot-list")
    partner.faults.add(Status(status=200, body="html", target="add"))
    assert kinds(meeting.put(payloads("hubspot-list", 0))) == {"Unreachable"}
    assert partner.members("4711") == frozenset()
    assert kinds(meeting.put(payloads("hubspot-list", 0))) == {"Delivered"}
    assert partner.members("4711") == keys("hubspot-list", 0)


def test_webhooks_keep_their_id_on_another_try(meet: Any) -> None:
    """So that a receiver can leave out a repeat; the type says what happened."""
    meeting, partner = meet("signed-webhook")
    enter = [{"user_id": "C-77", "occurred_at": "2026-11-22T09:00:00Z"}]
    partner.faults.add(Status(status=503, carried_out=True))
    assert [kinds(meeting.put(enter)), kinds(meeting.put(enter)), kinds(meeting.put(enter, "exit"))] == [
        {"Unreachable"}, {"Delivered"}, {"Delivered"}
    ]  # fmt: skip
    ids = [dict(one.headers)["webhook-id"] for one in partner.log]
    assert ids[0] == ids[1] != ids[2]
    assert [json.loads(one.body)["type"] for one in partner.log] == [
        "audience.member.entered", "audience.member.entered", "audience.member.left"
    ]  # fmt: skip
    assert json.loads(next(iter(partner.log)).body)["timestamp"] == "2026-11-22T09:00:00Z"
    assert partner.counts()["added"] == 1


@pytest.mark.parametrize("secret", ["whsec_not base64", "whsec_abc", "ä"])
def test_a_signing_secret_that_is_none_holds_the_lane(secret: str, meet: Any) -> None:
    """Nothing is sent, and the secret is not told."""
    meeting, partner = meet("signed-webhook", signing_secret=secret)
    done = meeting.put([{"user_id": "1"}])
    assert (kinds(done), len(partner.log)) == ({"Unauthorized"}, 0)
    assert secret not in repr(done)


def test_a_message_of_the_partner_names_nobody(meet: Any) -> None:
    """HubSpot repeats the address in its error; the reason does not."""
    meeting, _ = meet("hubspot-list", {"refused_people": [CANARY]})
    done = meeting.put([{"email": CANARY}, {"email": "bo@example.org"}])
    assert [type(one).__name__ for one in done.outcomes] == ["Refused", "Delivered"]
    assert "quetzal" not in repr(done)
