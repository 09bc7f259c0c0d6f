"""The fakes of list platforms: they enforce what is documented in the platforms' own words, keep the lists and show them."""

import base64
import ssl
from typing import Any

import httpx
import pytest

from gateway.sandbox.list_partner import KeptList, ListPartner
from gateway.sandbox.platforms import HubSpot
from gateway.sandbox.server import SandboxServer

pytestmark = pytest.mark.anyio
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # Loading the default one for each client takes longer than a test.
NAMES = ["braze", "google-ads", "hubspot", "mailchimp", "meta", "salesforce", "webhook"]
BEARER = {"authorization": "Bearer sandbox-token"}
CONTACTS, LISTS = "/hubspot/crm/objects/2026-03/contacts/batch", "/hubspot/crm/lists/2026-03"
SALES = "/salesforce/services/data/v67.0"
CHIMP = "/mailchimp/3.0/lists/a1b2c3d4e5/segments"
CHIMP_LOGIN = {"authorization": "Basic " + base64.b64encode(b"x:sandbox-key-us6").decode()}
SALES_LOGIN = {
    "client_id": "sandbox-client", "client_secret": "sandbox-secret", "grant_type": "client_credentials",
}  # fmt: skip


async def sales_login(caller: httpx.AsyncClient) -> dict[str, str]:
    """The header with a token."""
    answer = await caller.post("/salesforce/services/oauth2/token", data=SALES_LOGIN)
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


# --- All of them ---


@pytest.mark.parametrize("name", NAMES)
async def test_a_platform_shows_its_lists_and_its_faults(
    name: str, partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient
) -> None:
    """On a page, as JSON, and to whoever waits for a change; reset forgets all but what it began with."""
    partner = partners[name]
    begun = set(partner.lists)
    with partner.changes.change():
        partner.lists["<1>"] = KeptList("<VIP>")
        partner.lists["<1>"].put(["<ana>", "also ana"], {"x": 1})
    page = (await caller.get(f"/{name}")).text
    assert partner.title in page
    assert "&lt;ana&gt;" in page
    assert "<ana>" not in page
    assert partner.place in page
    state = (await caller.get(f"/sandbox/{name}/state")).json()
    assert state["lists"]["<1>"]["people"] == [{"key": "<ana>", "said": {"x": 1}}]
    assert (await caller.get(f"/sandbox/{name}/state?limit=0")).json()["lists"] == {}
    assert ("<VIP>", 1) in partner.list_sizes()
    for kind in ("latency", "refusal", "down"):
        assert kind in page
    assert (await caller.post(f"/sandbox/{name}/faults", json={"kind": "refusal"})).status_code == 201
    assert (await caller.post(f"/sandbox/{name}/faults", json={"kind": "refusal", "case": "?"})).status_code == 400
    refused = await caller.post(f"/{name}{partner.place}/anything")
    assert refused.status_code >= 400
    requests = (await caller.get(f"/sandbox/{name}/requests")).json()["requests"]
    assert (requests[0]["fault"], requests[0]["status"]) == ("refusal", refused.status_code)
    assert (await caller.post(f"/sandbox/{name}/expire-tokens")).status_code == 200
    assert (await caller.post(f"/sandbox/{name}/reset")).status_code == 200
    assert set(partner.lists) == begun
    assert partner.counts()["requests"] == 0


STRANGERS = {
    "braze": (401, "Invalid API key"), "google-ads": (401, "UNAUTHENTICATED"), "hubspot": (401, "INVALID_AUTHENTICATION"),
    "mailchimp": (401, "API Key Invalid"), "meta": (400, '"code":190'), "salesforce": (401, "INVALID_SESSION_ID"),
    "webhook": (401, "signature"),
}  # fmt: skip


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer other"}, {"authorization": "Basic eDpvdGhlcg=="}])
@pytest.mark.parametrize("name", NAMES)
async def test_a_platform_lets_nobody_in_without_a_login(
    name: str, headers: dict[str, str], partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient
) -> None:
    """Whatever is asked for, in the platform's own words."""
    answer = await caller.post(f"/{name}{partners[name].place}/anything", headers=headers)
    status, told = STRANGERS[name]
    assert (answer.status_code, told in answer.text) == (status, True)
    assert partners[name].counts()["refused"] == 1


@pytest.mark.parametrize("name", NAMES)
async def test_a_platform_can_be_told_other_things(
    name: str, partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient
) -> None:
    """New lists are added; what it does not know is an error; a clock and a pace decide how often it may be called."""
    assert (await caller.post(f"/sandbox/{name}/config", json={"lists": {"77": "More"}})).status_code == 200
    assert partners[name].lists["77"].name == "More"
    assert (await caller.post(f"/sandbox/{name}/config", json={"moon": 1})).status_code == 400
    shown = (await caller.get(f"/sandbox/{name}/config")).json()
    assert shown["lists"] == {"77": "More"}


async def test_a_pace_is_a_window_of_time() -> None:
    """So many calls in so many seconds; the next is taken when the first is old enough."""
    now_s = 100.0
    partner = HubSpot(clock=lambda: now_s)
    partner.configure(b'{"calls_max": 2, "calls_window_s": 10}')
    async with (
        SandboxServer([partner], port=0) as server,
        httpx.AsyncClient(base_url=server.url, headers=BEARER, verify=NO_TLS) as caller,
    ):
        said = [(await caller.post(f"{CONTACTS}/read", json={})).status_code for _ in range(3)]
        assert said == [400, 400, 429]
        now_s = 110.0
        assert (await caller.post(f"{CONTACTS}/read", json={})).status_code == 400


def test_a_person_is_known_by_any_of_their_identifiers() -> None:
    """And leaves by any; a repeat overwrites."""
    kept = KeptList("VIP")
    kept.put(["ana", "a@example.com"], 1)
    kept.put(["a@example.com", "+34"], 2)
    kept.put(["bo"], 3)
    assert kept.people == {"ana": 2, "bo": 3}
    assert kept.drop(["+34"])
    assert not kept.drop(["ana"])
    assert kept.people == {"bo": 3}


# --- HubSpot, Salesforce, Braze, Mailchimp ---


def contacts(*emails: str) -> dict[str, object]:
    """Contacts to make."""
    return {
        "inputs": [{"idProperty": "email", "id": one, "objectWriteTraceId": str(at)} for at, one in enumerate(emails)]
    }


REFUSED: list[tuple[str, str, object, int, str]] = [
    ("POST", f"{CONTACTS}/upsert", contacts(), 400, "VALIDATION_ERROR"),
    ("POST", f"{CONTACTS}/upsert", contacts(*[f"{at}@example.com" for at in range(101)]), 400, "VALIDATION_ERROR"),
    ("POST", f"{CONTACTS}/upsert", contacts("a@example.com", "a@example.com"), 400, "Duplicate IDs found"),
    ("POST", f"{CONTACTS}/upsert", {"inputs": [{"id": "a@example.com"}]}, 400, "VALIDATION_ERROR"),
    ("POST", f"{CONTACTS}/read", {**contacts("a@example.com"), "idProperty": "vid"}, 400, "VALIDATION_ERROR"),
    ("POST", f"{CONTACTS}/upsert".replace("2026-03", "v3"), contacts("a@example.com"), 404, "OBJECT_NOT_FOUND"),
    ("PUT", f"{LISTS}/4711/memberships/add".replace("2026-03", "2025-09"), ["101"], 404, "OBJECT_NOT_FOUND"),
    ("PUT", f"{LISTS}/4711/memberships/add", [101], 400, "VALIDATION_ERROR"),
    ("PUT", f"{LISTS}/1/memberships/add", ["101"], 404, "OBJECT_NOT_FOUND"),
    ("PUT", f"{LISTS}/4711/memberships/add", {"ids": []}, 400, "VALIDATION_ERROR"),
    ("PUT", f"{LISTS}/4711/memberships/add", [], 400, "VALIDATION_ERROR"),
    (
        "POST",
        LISTS,
        {"name": "Sandbox list", "objectTypeId": "0-1", "processingType": "MANUAL"},
        400,
        "VALIDATION_ERROR",
    ),
    ("POST", LISTS, {"name": "x", "objectTypeId": "0-1"}, 400, "VALIDATION_ERROR"),
    ("POST", LISTS, {"name": "x"}, 400, "VALIDATION_ERROR"),
    ("POST", LISTS, {"name": "x", "processingType": "MANUAL"}, 400, "VALIDATION_ERROR"),
    ("POST", LISTS, {"name": "", "objectTypeId": "0-1", "processingType": "MANUAL"}, 400, "VALIDATION_ERROR"),
    ("POST", LISTS, {"name": 5, "objectTypeId": "0-1", "processingType": "MANUAL"}, 400, "VALIDATION_ERROR"),
    ("GET", f"{LISTS}/object-type-id/0-1/name/x", None, 404, "OBJECT_NOT_FOUND"),
    ("DELETE", f"{LISTS}/1", None, 404, "OBJECT_NOT_FOUND"),
    ("POST", f"{SALES}/composite/sobjects", {"records": [{}] * 201}, 400, "EXCEEDED_ID_LIMIT"),
    ("POST", f"{SALES}/composite/sobjects", {"records": [{}]}, 200, "REQUIRED_FIELD_MISSING"),
    ("POST", f"{SALES}/composite/sobjects", {"records": [{"ContactId": 5}]}, 200, "REQUIRED_FIELD_MISSING"),
    ("POST", f"{SALES}/composite", {"compositeRequest": [{}] * 26}, 400, "EXCEEDED_ID_LIMIT"),
    ("POST", f"{SALES}/composite", {"compositeRequest": [{}] * 6}, 400, "PROCESSING_HALTED"),
    ("POST", f"{SALES}/composite", {"compositeRequest": [{"method": "GET", "url": "/x"}]}, 200, "MALFORMED_QUERY"),
    ("DELETE", f"{SALES}/composite/sobjects?ids={','.join(['00v1'] * 201)}", None, 400, "EXCEEDED_ID_LIMIT"),
    ("DELETE", f"{SALES}/composite/sobjects?ids=00v1", None, 200, "ENTITY_IS_DELETED"),
    ("POST", f"{SALES}/sobjects/Campaign", {}, 400, "REQUIRED_FIELD_MISSING"),
    ("POST", f"{SALES}/sobjects/Campaign", {"Name": 5}, 400, "REQUIRED_FIELD_MISSING"),
    ("POST", f"{SALES}/sobjects/Campaign", {"Name": ""}, 400, "REQUIRED_FIELD_MISSING"),
    ("DELETE", f"{SALES}/sobjects/Campaign/1", None, 404, "NOT_FOUND"),
    ("POST", "/salesforce/services/data/v1.0/composite", {}, 404, "NOT_FOUND"),
    ("POST", "/braze/users/track", {"attributes": [{"external_id": "1"}] * 76}, 400, "at most 75"),
    ("POST", "/braze/users/track", {"attributes": [{"audiences": {}}]}, 400, "is required"),
    (
        "POST",
        "/braze/users/track",
        {"attributes": [{"external_id": "1", "email": "a@example.com"}]},
        400,
        "is required",
    ),
    ("POST", "/braze/users/track", {"attributes": [{"external_id": "x" * 998}]}, 400, "'external_id' is not valid"),
    ("POST", "/braze/users/nowhere", {}, 404, "nothing"),
    ("POST", f"{CHIMP}/49381", {"members_to_add": ["x"] * 501}, 400, "at most 500 items"),
    ("POST", f"{CHIMP}/49381", {}, 400, "Invalid Resource"),
    ("POST", f"{CHIMP}/49381", {"members_to_remove": ["x"] * 501}, 400, "at most 500 items"),
    ("POST", f"{CHIMP}/49381".replace("3.0", "2.0"), {"members_to_add": ["x"]}, 404, "Resource Not Found"),
    ("POST", f"{CHIMP}/49381".replace("a1b2c3d4e5", "other"), {"members_to_add": ["x"]}, 404, "Resource Not Found"),
    ("POST", f"{CHIMP}/1", {"members_to_add": ["x"]}, 404, "Resource Not Found"),
    ("POST", CHIMP, {"name": "x"}, 400, "Invalid Resource"),
    ("POST", CHIMP, {"name": "", "static_segment": []}, 400, "Invalid Resource"),
    ("POST", CHIMP, {"name": 5, "static_segment": []}, 400, "Invalid Resource"),
    ("DELETE", f"{CHIMP}/1", None, 404, "Resource Not Found"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "told"), REFUSED)
async def test_rules_are_enforced_in_the_platforms_own_words(
    method: str, path: str, body: object, status: int, told: str, caller: httpx.AsyncClient
) -> None:
    """Sizes, required members, unknown lists, doubled people."""
    headers = {
        "hubspot": BEARER,
        "braze": {"authorization": "Bearer sandbox-key"},
        "mailchimp": CHIMP_LOGIN,
    }.get(path.split("/")[1]) or await sales_login(caller)
    answer = await caller.request(method, path, json=body, headers=headers)
    assert answer.status_code == status
    assert told in answer.text


async def test_hubspot_lists_hold_contacts(partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient) -> None:
    """Some of a batch may be wrong; unknown ids are missing; an active list is HubSpot's own."""
    answer = await caller.post(f"{CONTACTS}/upsert", json=contacts("a@example.com", "no address"), headers=BEARER)
    assert (answer.status_code, answer.json()["errors"][0]["context"]) == (207, {"objectWriteTraceId": ["1"]})
    ids = [one["id"] for one in answer.json()["results"]]
    added = await caller.put(f"{LISTS}/4711/memberships/add", json=[*ids, "9"], headers=BEARER)
    assert (added.json()["recordsIdsAdded"], added.json()["recordIdsMissing"]) == (ids, ["9"])
    read = {"idProperty": "email", "inputs": [{"id": "a@example.com"}, {"id": "b@example.com"}]}
    assert (await caller.post(f"{CONTACTS}/read", json=read, headers=BEARER)).json()["numErrors"] == 1
    assert partners["hubspot"].members("4711") == {"a@example.com"}
    active = {"name": "Active", "objectTypeId": "0-1", "processingType": "DYNAMIC"}
    made = (await caller.post(LISTS, json=active, headers=BEARER)).json()["list"]["listId"]
    assert (await caller.put(f"{LISTS}/{made}/memberships/add", json=ids, headers=BEARER)).status_code == 400
    assert (await caller.delete(f"{LISTS}/{made}", headers=BEARER)).status_code == 204


@pytest.mark.parametrize("change", [{"grant_type": "password"}, {"client_secret": "x"}])
async def test_salesforce_refuses_other_logins(change: dict[str, str], caller: httpx.AsyncClient) -> None:
    """With OAuth's own words."""
    answer = await caller.post("/salesforce/services/oauth2/token", data={**SALES_LOGIN, **change})
    assert (answer.status_code, "error" in answer.json()) == (400, True)


async def test_salesforce_reads_nothing_but_json(caller: httpx.AsyncClient) -> None:
    """Whatever the text is."""
    headers = {**await sales_login(caller), "content-type": "text/plain"}
    answer = await caller.post(f"{SALES}/composite/sobjects", content=b'{"records": [{}]}', headers=headers)
    assert (answer.status_code, "UNSUPPORTED_MEDIA_TYPE" in answer.text) == (415, True)


async def test_salesforce_answers_in_order(partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient) -> None:
    """One result a record: made, made before, unknown; campaigns come and go."""
    login = await sales_login(caller)
    made = (await caller.post(f"{SALES}/sobjects/Campaign", json={"Name": "VIP"}, headers=login)).json()["id"]
    person = {"CampaignId": made, "ContactId": "003RM000003oLrHYAU"}
    records = [person, person, {**person, "ContactId": "x"}, {**person, "CampaignId": "x"}]
    answer = await caller.post(f"{SALES}/composite/sobjects", json={"records": records}, headers=login)
    codes = [one["errors"][0]["statusCode"] if one["errors"] else "" for one in answer.json()]
    assert codes == ["", "DUPLICATE_VALUE", "INVALID_CROSS_REFERENCE_KEY", "INVALID_CROSS_REFERENCE_KEY"]
    assert partners["salesforce"].members(made) == {"003RM000003oLrHYAU"}
    assert (await caller.delete(f"{SALES}/sobjects/Campaign/{made}", headers=login)).status_code == 204


async def test_mailchimp_takes_ten_calls_at_a_time(
    partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient
) -> None:
    """More are refused while those are being answered."""
    mailchimp = partners["mailchimp"]
    for number in range(10):
        mailchimp.log.arrived(method="POST", path=f"/{number}", headers=())
    busy = await caller.post(f"{CHIMP}/49381", json={"members_to_add": ["a@example.com"]}, headers=CHIMP_LOGIN)
    assert (busy.status_code, busy.json()["title"]) == (429, "Too Many Requests")
    mailchimp.log.clear()
    assert (await caller.post(CHIMP, json={"name": "x", "static_segment": []}, headers=CHIMP_LOGIN)).status_code == 200
