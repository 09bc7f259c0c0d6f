"""The fake Meta and Google Ads: whole requests or counted rows, sessions, tokens, effects that come later."""

from typing import Any

import httpx
import pytest

from gateway.sandbox.list_partner import ListPartner

pytestmark = pytest.mark.anyio
ANA, BO = "a" * 64, "b" * 64
BEARER = {"authorization": "Bearer sandbox-token"}
META = "/meta/v26.0/23850000000001"
GOOGLE_LOGIN = {
    "client_id": "sandbox-client", "client_secret": "sandbox-secret", "refresh_token": "sandbox-refresh",
    "grant_type": "refresh_token",
}  # fmt: skip


def rows(*digests: str, **more: object) -> dict[str, object]:
    """A request about people by the hash of their e-mail."""
    return {"payload": {"schema": ["EMAIL"], "data": [[one] for one in digests]}, **more}


def part(session: int, sequence: int, *, last: bool) -> dict[str, object]:
    """A place in a replacement."""
    return {"session_id": session, "batch_seq": sequence, "last_batch_flag": last}


def ingest(*digests: str, **changes: Any) -> dict[str, Any]:
    """What Google wants of an upload."""
    account = {"accountType": "GOOGLE_ADS", "accountId": "1234567890"}
    people = [{"userData": {"userIdentifiers": [{"emailAddress": one}]}} for one in digests]
    body: dict[str, Any] = {
        "destinations": [{"operatingAccount": account, "loginAccount": account, "productDestinationId": "8181000111"}],
        "audienceMembers": people,
        "encoding": "HEX",
        "termsOfService": {"customerMatchTermsOfServiceStatus": "ACCEPTED"},
    }
    return {**body, **changes}


NEW = {"name": "x", "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY"}
FIRST = "audience_members.audience_members[0].user_data"


def someone(*identifiers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One member with these identifiers."""
    return {"audienceMembers": [{"userData": {"userIdentifiers": list(identifiers)}, **more}]}


async def google_login(caller: httpx.AsyncClient) -> dict[str, str]:
    """The header with a token."""
    answer = await caller.post("/google-ads/token", data=GOOGLE_LOGIN)
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


# --- Meta ---


async def test_meta_counts_bad_rows_and_takes_the_others(
    partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient
) -> None:
    """It never says which. No digest, an empty cell, one in capitals, one too short, a row of another length."""
    bad = rows(ANA, "plain", "", "C" * 64, "c" * 63)
    bad["payload"]["data"].append([BO, BO])  # type: ignore[index] # it is an object
    answer = await caller.post(f"{META}/users", json=bad, headers=BEARER)
    assert (answer.status_code, answer.json()["num_received"], answer.json()["num_invalid_entries"]) == (200, 6, 5)
    assert partners["meta"].members("23850000000001") == {ANA}
    await caller.request("DELETE", f"{META}/users", json=rows(ANA), headers=BEARER)
    assert partners["meta"].members("23850000000001") == frozenset()


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/meta/v1.0/23850000000001/users", rows(ANA), 2635),
        ("POST", "/meta/v26.0/1/users", rows(ANA), 100),
        ("POST", f"{META}/users?appsecret_proof=x", rows(ANA), 100),
        ("POST", f"{META}/users", {"payload": {"schema": ["EMAIL", "SHOE"], "data": []}}, 100),
        ("POST", f"{META}/users", {"payload": {"schema": ["EMAIL", 5], "data": [[ANA, "x"]]}}, 100),
        ("POST", f"{META}/users", {"payload": {"schema": [], "data": [[ANA]]}}, 100),
        ("POST", f"{META}/users", {"payload": {"schema": ["EMAIL"]}}, 100),
        ("POST", f"{META}/users", rows(*[ANA] * 10_001), 100),
        ("POST", f"{META}/usersreplace", rows(ANA), 100),
        ("POST", f"{META}/usersreplace", rows(ANA, session=part(0, 1, last=True)), 100),
        ("POST", f"{META}/usersreplace", rows(ANA, session=part(5, 2, last=True)), 2650),
        ("POST", f"{META}/usersreplace", rows(ANA, session={"session_id": 5, "last_batch_flag": True}), 100),
        ("POST", f"{META}/usersreplace", rows(ANA, session={"session_id": 5, "batch_seq": 1}), 100),
        ("POST", "/meta/v26.0/act_1/customaudiences", NEW, 100),
        ("POST", "/meta/v26.0/act_4455667788/customaudiences", {**NEW, "name": ""}, 100),
        ("POST", "/meta/v26.0/act_4455667788/customaudiences", {**NEW, "name": 5}, 100),
        ("POST", "/meta/v26.0/act_4455667788/customaudiences", {**NEW, "subtype": "LOOKALIKE"}, 100),
        ("POST", "/meta/v26.0/act_4455667788/customaudiences", {**NEW, "customer_file_source": None}, 100),
        ("DELETE", "/meta/v26.0/1", None, 100),
    ],
)
async def test_meta_refuses_with_its_codes(
    method: str, path: str, body: object, code: int, caller: httpx.AsyncClient
) -> None:
    """A 400 with the code in the body."""
    answer = await caller.request(method, path, json=body, headers=BEARER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_meta_replaces_a_list_with_the_last_request_of_a_session(
    partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient
) -> None:
    """Until then the list is as it was, and nobody else may change it; after 90 minutes the session is forgotten."""
    now_s = 0.0
    meta = partners["meta"]
    meta._clock = lambda: now_s
    path = f"{META}/usersreplace"
    await caller.post(f"{META}/users", json=rows("c" * 64), headers=BEARER)
    first = rows(ANA, session=part(7, 1, last=False))
    assert (await caller.post(path, json=first, headers=BEARER)).json()["session_id"] == "7"
    assert meta.members("23850000000001") == {"c" * 64}
    for other in (
        await caller.post(f"{META}/users", json=rows(BO), headers=BEARER),
        await caller.post(path, json=rows(BO, session=part(8, 1, last=True)), headers=BEARER),
    ):
        assert (other.status_code, other.json()["error"]["error_subcode"]) == (400, 1870145)
    gap = await caller.post(path, json=rows(BO, session=part(7, 3, last=True)), headers=BEARER)
    assert gap.json()["error"]["error_subcode"] == 1870147
    await caller.post(path, json=first, headers=BEARER)
    await caller.post(path, json=rows(BO, session=part(7, 2, last=True)), headers=BEARER)
    assert meta.members("23850000000001") == {ANA, BO}
    await caller.post(path, json=rows(ANA, session=part(9, 1, last=False)), headers=BEARER)
    now_s = 5_401.0
    assert (await caller.post(f"{META}/users", json=rows("d" * 64), headers=BEARER)).status_code == 200
    assert meta.members("23850000000001") == {ANA, BO, "d" * 64}


# --- Google ---


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"encoding": "LATIN"}, "encoding"),
        ({"termsOfService": {}}, "terms_of_service"),
        ({"audienceMembers": []}, "request"),
        ({"audienceMembers": [{}] * 10_001}, "request"),
        (someone({"emailAddress": "plain"}), FIRST),
        (someone({"phoneNumber": "+12025550111"}), FIRST),
        (someone({"emailAddress": ANA[:63]}), FIRST),
        (someone(*[{"emailAddress": ANA}] * 11), FIRST),
        (someone({"address": {"givenName": ANA}}), FIRST),
        (someone({"emailAddress": ANA, "phoneNumber": ANA}), FIRST),
        (someone({"emailAddress": ANA}, consent={"adUserData": "YES"}), f"{FIRST}.consent"),
        ({"destinations": []}, "destinations[0].operatingAccount"),
        (
            {"destinations": [{**ingest()["destinations"][0], "productDestinationId": "1"}]},
            "destinations[0].product_destination_id",
        ),
    ],
)  # fmt: skip
async def test_google_says_which_field_is_wrong_and_takes_nobody(
    change: dict[str, Any], field: str, partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient
) -> None:
    """A 400 with field violations."""
    login = await google_login(caller)
    answer = await caller.post("/google-ads/v1/audienceMembers:ingest", json=ingest(BO, **change), headers=login)
    (violation,) = answer.json()["error"]["details"][0]["fieldViolations"]
    assert (answer.status_code, violation["field"]) == (400, field)
    assert partners["google-ads"].members("8181000111") == frozenset()


@pytest.mark.parametrize(
    ("change", "status"),
    [({"grant_type": "password"}, 400), ({"client_secret": "x"}, 401), ({"refresh_token": "x"}, 400), ({}, 200)],
)
async def test_google_gives_tokens_for_a_refresh_token(
    change: dict[str, str], status: int, caller: httpx.AsyncClient
) -> None:
    """And for nothing else."""
    assert (await caller.post("/google-ads/token", data={**GOOGLE_LOGIN, **change})).status_code == status


async def test_google_tells_how_far_it_is(partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient) -> None:
    """A request id, its status, and the effect when it is worked on."""
    partners["google-ads"].configure(b'{"process_at_once": false}')
    login = await google_login(caller)
    given = (await caller.post("/google-ads/v1/audienceMembers:ingest", json=ingest(ANA), headers=login)).json()
    where = f"/google-ads/v1/requestStatus:retrieve?requestId={given['requestId']}"
    status = (await caller.get(where, headers=login)).json()["requestStatusPerDestination"][0]["requestStatus"]
    assert (status, partners["google-ads"].members("8181000111")) == ("PROCESSING", frozenset())
    await caller.post("/sandbox/google-ads/process")
    status = (await caller.get(where, headers=login)).json()["requestStatusPerDestination"][0]["requestStatus"]
    assert (status, partners["google-ads"].members("8181000111")) == ("SUCCESS", {ANA})
    assert (await caller.get(f"{where}x", headers=login)).status_code == 404


async def test_google_makes_and_deletes_lists(partners: dict[str, ListPartner[Any]], caller: httpx.AsyncClient) -> None:
    """Under the account, with the header that names the login; no name twice, whole days."""
    login = await google_login(caller)
    headers = {**login, "login-account": "accountTypes/GOOGLE_ADS/accounts/1234567890"}
    path = "/google-ads/v1/accountTypes/GOOGLE_ADS/accounts/1234567890/userLists"
    body = {
        "displayName": "VIP",
        "membershipDuration": "86400s",
        "ingestedUserListInfo": {"uploadKeyTypes": ["CONTACT_ID"]},
    }
    assert (await caller.post(path, json=body, headers=login)).status_code == 403
    other = path.replace("1234567890", "1")
    assert (await caller.post(other, json=body, headers=headers)).status_code == 403
    for wrong in (
        {"displayName": ""},
        *({"membershipDuration": lasts} for lasts in ("100s", "1 day", f"{541 * 86_400}s")),
        {"ingestedUserListInfo": {}},
    ):
        assert (await caller.post(path, json={**body, **wrong}, headers=headers)).status_code == 400
    made = (await caller.post(path, json=body, headers=headers)).json()["id"]
    assert (await caller.post(path, json=body, headers=headers)).status_code == 400
    assert partners["google-ads"].lists[made].name == "VIP"
    assert (await caller.delete(f"{path}/{made}", headers=headers)).status_code == 200
    assert (await caller.delete(f"{path}/{made}", headers=headers)).status_code == 404
    assert (await caller.get("/google-ads/v1/nowhere", headers=login)).status_code == 404
    ingesting = "/google-ads/v2/audienceMembers:ingest"
    assert (await caller.post(ingesting, json=ingest(ANA), headers=login)).status_code == 404
    assert (await caller.post(ingesting.replace("v2", "v1"), json=ingest(ANA))).status_code == 401
