"""Every shipped definition against a fake of its platform: people enter and leave, lists are made, refusals hit the right one."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from catalogue_partners import (
    WEBHOOK_SECRET,
    Braze,
    Google,
    HubSpot,
    Mailchimp,
    Meta,
    Platform,
    Receiver,
    Salesforce,
    kinds,
    run,
)

from gateway.core.outcomes import Refused

META = {"access_token": "meta-token", "app_secret": "meta-secret", "ad_account_id": "4455667788"}
GOOGLE = {
    "client_id": "client", "client_secret": "secret", "refresh_token": "refresh", "customer_id": "1234567890",
    "login_customer_id": "9998887777", "terms_of_service": "ACCEPTED", "token_url": "/token",
}  # fmt: skip
SALESFORCE = {"client_id": "client", "client_secret": "secret"}

CANARY = "quetzalbird@blocked.example.com"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_meta_takes_rows_in_and_out_and_proves_the_token():
    """The schema's columns keep their places, absent values are empty texts."""
    meta = Meta()
    people: list[dict[str, object]] = [
        {"email": " Ana.Reyes@Example.com ", "phone": "+34 600 111 222"},
        {"external_id": "C-77"},
    ]
    entry: dict[str, object] = {"external_id": "23850000000001"}
    added, removed = run(
        "facebook-custom-audience", meta, META, entry, ("enter", people), ("exit", people[:1]), prefix="/v26.0"
    )
    assert (kinds(added), kinds(removed)) == (["Delivered"] * 2, ["Delivered"])
    assert meta.lists["23850000000001"] == {("C-77", *[""] * 13)}
    assert [call.name for call in meta.calls] == [
        "POST /v26.0/23850000000001/users",
        "DELETE /v26.0/23850000000001/users",
    ]


def test_meta_makes_an_audience_at_first_need_and_once():
    """The id is noted: the second batch goes to it without another call."""
    meta = Meta()
    entry: dict[str, object] = {"create": True, "name": "Big spenders"}
    enter = ("enter", [{"email": "bo@example.org"}])
    for done in run("facebook-custom-audience", meta, META, entry, enter, enter, prefix="/v26.0"):
        assert kinds(done) == ["Delivered"]
    assert [call.path for call in meta.calls].count("/v26.0/act_4455667788/customaudiences") == 1
    assert len(meta.lists["23850000000002"]) == 1


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"code": 80003, "message": "There have been too many calls"}, "Unreachable"),
        (403, {"code": 17, "message": "User request limit reached"}, "Unreachable"),
        (500, {"code": 2, "is_transient": True}, "Unreachable"),
        (400, {"code": 190, "message": "Error validating access token"}, "Unauthorized"),
        (400, {"code": 100, "error_subcode": 1713230, "message": "Invalid parameter"}, "Refused"),
    ],
)
def test_meta_says_in_the_body_what_a_refusal_means(status: int, error: dict[str, Any], kind: str):
    """Throttling waits, a bad token holds the lane, an audience under restriction refuses the request, unhalved."""
    meta = Meta()
    meta.refuse = [(status, {"error": error})]
    (done,) = run(
        "facebook-custom-audience", meta, META, {"external_id": "23850000000001"},
        ("enter", [{"email": "bo@example.org"}, {"email": "cy@example.net"}]), prefix="/v26.0",
    )  # fmt: skip
    assert kinds(done) == [kind] * 2
    assert not any(isinstance(one, Refused) and one.splittable for one in done.outcomes)


def test_a_meta_request_of_nothing_but_invalid_entries_is_refused():
    """A number of some invalid ones names nobody, so the request counts; all of them is a refusal."""
    outcomes = []
    for invalid in (1, 2):
        meta = Meta()
        meta.refuse = [(200, {"audience_id": "1", "num_received": 2, "num_invalid_entries": invalid})]
        (done,) = run(
            "facebook-custom-audience", meta, META, {"external_id": "23850000000001"},
            ("enter", [{"email": "bo@example.org"}, {"email": "cy@example.net"}]), prefix="/v26.0",
        )  # fmt: skip
        outcomes.append(kinds(done))
    assert outcomes == [["Delivered"] * 2, ["Refused"] * 2]


def test_google_members_come_and_go_with_a_refreshed_token():
    """One token call for all batches; gmail's dots and tags are out of what is hashed."""
    google = Google()
    people: list[dict[str, object]] = [
        {"email": "Cloudy.SanFrancisco+shopping@gmail.com"},
        {"phone": "+1 800 555 0100"},
    ]
    added, removed = run(
        "google-ads-customer-match", google, GOOGLE, {"external_id": "8181000111"},
        ("enter", people), ("exit", people[1:]), prefix="/v1",
    )  # fmt: skip
    assert (kinds(added), kinds(removed)) == (["Delivered"] * 2, ["Delivered"])
    assert google.people["8181000111"] == {json.dumps({"emailAddress": digest("cloudysanfrancisco@gmail.com")})}
    assert [call.path for call in google.calls].count("/token") == 1


def test_google_faults_of_members_are_halved_and_those_of_the_request_are_not():
    """The violations of the answer name members, or something else."""
    google = Google()
    people: list[dict[str, object]] = [{"email": "bad@example.com"}, {"email": "bo@example.org"}]
    (named,) = run(
        "google-ads-customer-match", google, GOOGLE, {"external_id": "8181000111"}, ("enter", people), prefix="/v1"
    )
    (whole,) = run("google-ads-customer-match", google, GOOGLE, {"external_id": "404"}, ("enter", people), prefix="/v1")
    assert [one.splittable for one in named.outcomes if isinstance(one, Refused)] == [True, True]
    assert [one.splittable for one in whole.outcomes if isinstance(one, Refused)] == [False, False]


def test_google_makes_a_user_list():
    """With the header that names the login account."""
    google = Google()
    (done,) = run(
        "google-ads-customer-match", google, GOOGLE, {"create": True, "name": "Big spenders"},
        ("enter", [{"email": "bo@example.org"}]), prefix="/v1",
    )  # fmt: skip
    assert kinds(done) == ["Delivered"]
    assert len(google.people["8181000222"]) == 1


def test_hubspot_goes_by_email_to_record_ids_to_the_list():
    """Contacts are made when they enter; who is none has nothing to leave."""
    hubspot = HubSpot()
    settings: dict[str, object] = {"access_token": "hub-token"}
    added, gone, unknown = run(
        "hubspot-list", hubspot, settings, {"external_id": "4711"},
        ("enter", [{"email": "Ana.Reyes@Example.com", "first_name": "Ana"}, {"email": "bo@example.org"}]),
        ("exit", [{"email": "ana.reyes@example.com"}, {"email": "nobody@example.com"}]),
        ("exit", [{"email": "nobody@example.com"}]),
    )  # fmt: skip
    assert (kinds(added), kinds(gone), kinds(unknown)) == (["Delivered"] * 2, ["Delivered"] * 2, ["Delivered"])
    assert hubspot.lists["4711"] == {hubspot.contacts["bo@example.org"]}
    assert hubspot.calls[-1].path.endswith("batch/read")  # No list call without anybody to remove.


def test_a_contact_that_hubspot_refuses_is_the_only_one_refused():
    """The write trace id of the error points at the record; the message is masked."""
    hubspot = HubSpot()
    (done,) = run(
        "hubspot-list", hubspot, {"access_token": "hub-token"}, {"external_id": "4711"},
        ("enter", [{"email": "bo@example.org"}, {"email": CANARY}, {"email": "cy@example.net"}]),
    )  # fmt: skip
    assert kinds(done) == ["Delivered", "Refused", "Delivered"]
    assert len(hubspot.lists["4711"]) == 2
    assert "quetzal" not in repr(done)


def test_hubspot_lists_are_found_by_name_before_they_are_made():
    """The first run makes it, another one finds it."""
    hubspot = HubSpot()
    for _ in range(2):
        run(
            "hubspot-list", hubspot, {"access_token": "hub-token"}, {"create": True, "name": "vip"},
            ("enter", [{"email": "bo@example.org"}]),
        )  # fmt: skip
    assert [call.name for call in hubspot.calls].count("POST /crm/lists/2026-03") == 1
    assert len(hubspot.lists["4712"]) == 1


def test_salesforce_members_are_made_and_deleted_by_contact_or_lead():
    """Results stand in the order of the records; a member already there counts, a row that is locked comes again."""
    salesforce = Salesforce()
    contact, lead, locked, unknown = (
        "003RM000003oLrHYAU",
        "00QRM000003oLraYAE",
        "003RM000003oLrLOCK",
        "003XX000003oLrHYAU",
    )
    salesforce.locked = {locked}
    entry: dict[str, object] = {"external_id": Salesforce.CAMPAIGN}
    added, again, gone, nobody = run(
        "salesforce-campaign", salesforce, SALESFORCE, entry,
        ("enter", [{"contact_id": contact}, {"contact_id": unknown}, {"lead_id": lead}, {"contact_id": locked}]),
        ("enter", [{"contact_id": contact}]),
        ("exit", [{"contact_id": contact}, {"contact_id": unknown}]),
        ("exit", [{"contact_id": contact}]),
    )  # fmt: skip
    assert kinds(added) == ["Delivered", "Refused", "Delivered", "Unreachable"]
    assert (kinds(again), kinds(gone), kinds(nobody)) == (["Delivered"], ["Delivered"] * 2, ["Delivered"])
    assert list(salesforce.members) == [(Salesforce.CAMPAIGN, lead)]
    assert "003XX" not in repr(added)


def test_salesforce_removes_five_people_with_two_calls():
    """As many queries as one composite request takes."""
    salesforce = Salesforce()
    people: list[dict[str, object]] = [{"contact_id": f"003RM000003oLr{number:04}"} for number in range(7)]
    added, removed = run(
        "salesforce-campaign", salesforce, SALESFORCE, {"external_id": Salesforce.CAMPAIGN},
        ("enter", people), ("exit", people),
    )  # fmt: skip
    assert kinds(added) == kinds(removed) == ["Delivered"] * 7
    assert salesforce.members == {}
    assert [call.method for call in salesforce.calls].count("DELETE") == 2


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "REQUEST_LIMIT_EXCEEDED", "Unreachable"),
        (403, "INSUFFICIENT_ACCESS", "Unauthorized"),
        (400, "JSON_PARSER_ERROR", "Refused"),
    ],
)
def test_salesforce_tells_limits_from_missing_rights(status: int, code: str, kind: str):
    """Both are answered with 403."""
    salesforce = Salesforce()
    salesforce.refuse = [(200, {"access_token": "sf-token"}), *[(status, [{"errorCode": code, "message": "no"}])]]
    salesforce.refuse += [(200, {"access_token": "sf-token"}), (status, [{"errorCode": code, "message": "no"}])]
    (done,) = run(
        "salesforce-campaign", salesforce, SALESFORCE, {"external_id": Salesforce.CAMPAIGN},
        ("enter", [{"contact_id": "003RM000003oLrHYAU"}]),
    )  # fmt: skip
    assert kinds(done) == [kind]


def test_salesforce_makes_a_campaign():
    """And its members go there."""
    salesforce = Salesforce()
    (done,) = run(
        "salesforce-campaign", salesforce, SALESFORCE, {"create": True, "name": "Big spenders"},
        ("enter", [{"contact_id": "003RM000003oLrHYAU"}]),
    )  # fmt: skip
    assert kinds(done) == ["Delivered"]
    assert list(salesforce.members) == [("701RM000000k3TzYAI", "003RM000003oLrHYAU")]


def test_braze_profiles_get_and_lose_the_audience_in_their_array():
    """The audience's key where it has no name; an object that is refused costs only itself."""
    braze = Braze()
    added, removed = run(
        "braze-user-attribute", braze, {"api_key": "braze-key"}, {},
        ("enter", [{"external_id": "C-77", "email": "ana@example.com"}, {"external_id": "x" * 50}, {"email": "Bo@Example.org"}]),
        ("exit", [{"external_id": "C-77"}]),
    )  # fmt: skip
    assert (kinds(added), kinds(removed)) == (["Delivered", "Refused", "Delivered"], ["Delivered"])
    assert braze.audiences == {"C-77": set(), "bo@example.org": {"big_spenders"}}
    assert "x" * 50 not in repr(added)


def test_mailchimp_tags_are_changed_in_one_call_and_strangers_are_refused():
    """Addresses the answer lists are refused, the others count."""
    mailchimp = Mailchimp()
    entry: dict[str, object] = {"external_id": "49381", "list_id": "a1b2c3d4e5"}
    added, removed = run(
        "mailchimp-audience-tag", mailchimp, {"api_key": "chimp-key-us6"}, entry,
        ("enter", [{"email": " Ana.Reyes@Example.com"}, {"email": CANARY}, {"email": "bo@example.org"}]),
        ("exit", [{"email": "bo@example.org"}]), prefix="/3.0",
    )  # fmt: skip
    assert (kinds(added), kinds(removed)) == (["Delivered", "Refused", "Delivered"], ["Delivered"])
    assert mailchimp.segments["49381"] == {"ana.reyes@example.com"}
    assert "quetzal" not in repr(added)


def test_mailchimp_makes_a_tag():
    """Its id is a number."""
    mailchimp = Mailchimp()
    (done,) = run(
        "mailchimp-audience-tag", mailchimp, {"api_key": "chimp-key-us6"},
        {"create": True, "name": "VIP", "list_id": "a1b2c3d4e5"}, ("enter", [{"email": "ed@example.com"}]), prefix="/3.0",
    )  # fmt: skip
    assert kinds(done) == ["Delivered"]
    assert mailchimp.segments["49382"] == {"ed@example.com"}


def test_webhooks_are_signed_and_keep_their_id_on_another_try():
    """The receiver verifies every call with the raw body; the type says what happened."""
    receiver = Receiver()
    receiver.refuse = [(503, None)]
    enter = ("enter", [{"user_id": "C-77", "occurred_at": "2026-11-22T09:00:00Z"}])
    first, second, left = run(
        "signed-webhook", receiver, {"signing_secret": WEBHOOK_SECRET}, {}, enter, enter, ("exit", [{"user_id": "C-77"}]),
        prefix="/hook",
    )  # fmt: skip
    assert [kinds(one) for one in (first, second, left)] == [["Unreachable"], ["Delivered"], ["Delivered"]]
    assert [call.body["type"] for call in receiver.calls] == ["audience.member.entered"] * 2 + ["audience.member.left"]
    ids = [call.headers["webhook-id"] for call in receiver.calls]
    assert ids[0] == ids[1] != ids[2]
    assert receiver.calls[0].body["timestamp"] == "2026-11-22T09:00:00Z"


@pytest.mark.parametrize("secret", ["whsec_not base64", "whsec_abc", "ä"])
def test_a_signing_secret_that_is_none_holds_the_lane(secret: str):
    """Nothing is sent, and the secret is not told."""
    receiver = Receiver()
    (done,) = run(
        "signed-webhook", receiver, {"signing_secret": secret}, {}, ("enter", [{"user_id": "1"}]), prefix="/hook"
    )
    assert (kinds(done), receiver.calls) == (["Unauthorized"], [])
    assert secret not in repr(done)


def test_a_webhook_audience_is_found_or_made_and_kept():
    """Members are refused by the index they were sent with; every call is signed, those without a body too."""
    receiver = Receiver()
    settings: dict[str, object] = {"signing_secret": WEBHOOK_SECRET}
    added, removed = run(
        "webhook-audience", receiver, settings, {"create": True, "name": "VIP buyers"},
        ("enter", [{"user_id": "C-77"}, {"user_id": "bad-quetzal"}, {"anonymous_id": "a-1"}]),
        ("exit", [{"user_id": "C-77"}]),
    )  # fmt: skip
    assert (kinds(added), kinds(removed)) == (["Delivered", "Refused", "Delivered"], ["Delivered"])
    assert receiver.lists == {"vip": {"a-1"}}
    assert [call.name for call in receiver.calls[:2]] == ["GET /audiences", "POST /audiences"]
    assert receiver.calls[0].query == {"name": "VIP buyers"}
    assert "quetzal" not in repr(added)


@pytest.mark.parametrize(
    ("slug", "settings", "entry", "platform"),
    [
        ("facebook-custom-audience", {**META, "access_token": "wrong"}, {"external_id": "23850000000001"}, Meta),
        ("google-ads-customer-match", {**GOOGLE, "refresh_token": "refresh"}, {"external_id": "8181000111"}, None),
        ("hubspot-list", {"access_token": "wrong"}, {"external_id": "4711"}, HubSpot),
        ("braze-user-attribute", {"api_key": "wrong"}, {}, Braze),
        ("mailchimp-audience-tag", {"api_key": "wrong"}, {"external_id": "49381", "list_id": "a1b2c3d4e5"}, Mailchimp),
    ],
)
def test_wrong_credentials_hold_the_lane(
    slug: str, settings: dict[str, object], entry: dict[str, object], platform: type[Platform] | None
):
    """Nobody is refused for them."""
    partner: Platform = platform() if platform is not None else Google()
    if platform is None:
        partner.refuse = [(401, {"error": "invalid_grant"})]
    (done,) = run(slug, partner, settings, entry, ("enter", [{"email": "bo@example.org"}]))
    assert kinds(done) == ["Unauthorized"]
