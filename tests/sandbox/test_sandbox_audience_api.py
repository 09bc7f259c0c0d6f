"""The fake audience API: logins, lists, errors for single records, limits, tags, keys that make a repeat harmless."""

import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.sandbox.audience_api import AudienceApi, AudienceApiConfiguration
from gateway.sandbox.server import SandboxServer

pytestmark = pytest.mark.anyio
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # Loading the default one for each client takes longer than a test.
ANA, BO, CY = ("a" * 64, "b" * 64, "c" * 64)
LOGIN = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-password"}
USERS = "/audience-api/v3/lists/9001/users"


@pytest.fixture
def configuration() -> AudienceApiConfiguration:
    return AudienceApiConfiguration()


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def api(configuration: AudienceApiConfiguration, clock: list[float]) -> AudienceApi:
    return AudienceApi(configuration, clock=lambda: clock[0])


@pytest.fixture
async def caller(api: AudienceApi, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        SandboxServer([api], port=0) as server,
        httpx.AsyncClient(
            base_url=server.url, headers={"authorization": "Bearer sandbox-token"}, timeout=10, verify=NO_TLS
        ) as opened,
    ):
        yield opened


async def test_people_are_added_removed_and_replaced(api: AudienceApi, caller: httpx.AsyncClient) -> None:
    """By hashed e-mail, else telephone number; a removal of somebody who is not there is fine."""
    answer = await caller.post(USERS, json={"users": [{"em": ANA, "value": 5}, {"ph": BO}]})
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "errors": []})
    assert api.members("9001") == {ANA, BO}
    answer = await caller.request("DELETE", USERS, json={"emails": [ANA, CY]})
    assert answer.status_code == 200
    assert api.members("9001") == {BO}
    await caller.put(USERS, json={"users": [{"em": CY}]})
    assert api.members("9001") == {CY}
    assert api.list_sizes() == [("Northwind buyers", 1)]
    told = ["add 2 people, list 9001", "remove 2 people, list 9001", "replace 1 person, list 9001"]
    assert [api.headline(one) for one in api.log] == told


async def test_bad_records_are_listed_and_the_others_taken(api: AudienceApi, caller: httpx.AsyncClient) -> None:
    """207 with place, reason and field."""
    answer = await caller.post(USERS, json={"users": [{"em": "plain"}, {"em": ANA}, {"value": 1}, 5]})
    assert answer.status_code == 207
    assert answer.json() == {
        "accepted": 1,
        "errors": [
            {"position": 0, "reason": "BAD_HASH", "detail": "em"},
            {"position": 2, "reason": "NO_IDENTIFIER", "detail": "em"},
            {"position": 3, "reason": "NO_IDENTIFIER", "detail": "em"},
        ],
    }
    assert api.members("9001") == {ANA}


async def test_it_can_refuse_the_whole_instead(api: AudienceApi, caller: httpx.AsyncClient) -> None:
    """400, and nobody is taken."""
    await caller.post("/sandbox/audience-api/config", json={"bad_records": "refused", "users_max": 3})
    answer = await caller.post(USERS, json={"users": [{"em": ANA}, {"em": "plain"}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_USERS")
    assert api.members("9001") == frozenset()
    assert (await caller.post(USERS, json={"users": [{"em": ANA}] * 4})).status_code == 413
    assert (await caller.post(USERS, content=b"x")).status_code == 400
    assert (await caller.post(USERS.replace("9001", "1"), json={"users": []})).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer sandbox-token"}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic c2FuZGJveDpzYW5kYm94LXBhc3N3b3Jk"}, 200),
        ({"authorization": "Basic c2FuZGJveDp4"}, 401),
        ({"authorization": "Basic ?"}, 401),
        ({"x-api-key": "sandbox-key", "authorization": ""}, 200),
        ({"authorization": ""}, 401),
    ],
)
async def test_three_kinds_of_login(caller: httpx.AsyncClient, headers: dict[str, str], status: int) -> None:
    """A bearer token, a user with password, a key in a header."""
    assert (await caller.post(USERS, json={"users": []}, headers=headers)).status_code == status


async def test_tokens_are_given_out_and_revoked(api: AudienceApi, caller: httpx.AsyncClient) -> None:
    """For the same user and password."""
    given = (await caller.post("/audience-api/oauth/token", data=LOGIN)).json()
    headers = {"authorization": f"Bearer {given['access_token']}"}
    assert (await caller.post(USERS, json={"users": []}, headers=headers)).status_code == 200
    await caller.post("/sandbox/audience-api/expire-tokens")
    assert (await caller.post(USERS, json={"users": []}, headers=headers)).status_code == 401
    wrong = await caller.post("/audience-api/oauth/token", data={**LOGIN, "client_secret": "x"})
    assert (wrong.status_code, wrong.json()) == (401, {"error": "invalid_client"})


async def test_a_token_ends_with_its_life(caller: httpx.AsyncClient, api: AudienceApi, clock: list[float]) -> None:
    """By the clock, to the second; a login of another kind gets none."""
    await caller.post("/sandbox/audience-api/config", json={"token_life_s": 60})
    given = (await caller.post("/audience-api/oauth/token", data=LOGIN)).json()
    assert (given["expires_in"], given["token_type"]) == (60, "Bearer")
    headers = {"authorization": f"Bearer {given['access_token']}"}
    for now_s, status in ((59.0, 200), (60.0, 401)):
        clock[0] = now_s
        assert (await caller.post(USERS, json={"users": []}, headers=headers)).status_code == status
    wrong = await caller.post("/audience-api/oauth/token", data={**LOGIN, "grant_type": "password"})
    assert wrong.status_code == 401


async def test_requests_are_bounded_in_people_and_in_bytes(caller: httpx.AsyncClient, api: AudienceApi) -> None:
    """413 with its own code, and nobody is taken."""
    await caller.post("/sandbox/audience-api/config", json={"users_max": 2, "body_bytes_max": 300})
    for users, status, code in (
        ([{"em": ANA}, {"em": BO}, {}], 413, "TOO_MANY_USERS"),
        ([{"em": ANA, "name": "a" * 300}], 413, "TOO_LARGE"),
    ):
        answer = await caller.post(USERS, json={"users": users})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert api.members("9001") == frozenset()
    assert (await caller.post(USERS, json={"users": [{"em": ANA}, {"em": BO}]})).status_code == 200


async def test_lists_are_made_found_and_deleted(api: AudienceApi, caller: httpx.AsyncClient) -> None:
    """By name."""
    made = await caller.post("/audience-api/v3/lists", json={"name": "VIP"})
    assert made.status_code == 201
    list_id = made.json()["data"]["id"]
    found = await caller.get("/audience-api/v3/lists", params={"name": "VIP"})
    assert found.json() == {"data": [{"id": list_id, "name": "VIP"}]}
    assert (await caller.delete(f"/audience-api/v3/lists/{list_id}")).status_code == 200
    assert (await caller.delete(f"/audience-api/v3/lists/{list_id}")).status_code == 404
    assert (await caller.post("/audience-api/v3/lists", json={})).status_code == 400


async def test_tags_of_contacts_keep_their_slashes(api: AudienceApi, caller: httpx.AsyncClient) -> None:
    """An encoded slash is a part of the name."""
    path = "/audience-api/v3/contacts/C-77%2FA/tags/vip%20buyers%2F2026"
    assert (await caller.put(path, json={"tag": "VIP"})).status_code == 200
    assert api.lists.tags == {"vip buyers/2026": {"C-77/A": {"tag": "VIP"}}}
    assert (await caller.delete(path)).status_code == 200
    assert (await caller.delete(path)).status_code == 404


async def test_a_repeat_with_its_key_changes_nothing(api: AudienceApi, caller: httpx.AsyncClient) -> None:
    """The answer is the first one's, even if the list has changed since."""
    headers = {"idempotency-key": "k-1"}
    body = {"users": [{"em": ANA}]}
    await caller.post(USERS, json=body, headers=headers)
    await caller.request("DELETE", USERS, json={"emails": [ANA]})
    again = await caller.post(USERS, json=body, headers=headers)
    assert again.json() == {"accepted": 1, "errors": []}
    assert api.members("9001") == frozenset()


async def test_faults_and_pages_work_as_at_every_partner(api: AudienceApi, caller: httpx.AsyncClient) -> None:
    """A status for one target; the page shows the list; reset forgets all."""
    fault = {"kind": "status", "status": 429, "retry_after": 7, "target": "add"}
    assert (await caller.post("/sandbox/audience-api/faults", json=fault)).status_code == 201
    assert (await caller.request("DELETE", USERS, json={"emails": []})).status_code == 200
    busy = await caller.post(USERS, json={"users": []})
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "7")
    await caller.post(USERS, json={"users": [{"em": ANA}]})
    page = (await caller.get("/audience-api")).text
    assert ANA in page
    assert "Northwind buyers" in page
    state = (await caller.get("/sandbox/audience-api/state")).json()
    assert state["lists"]["9001"]["total"] == 1
    requests = (await caller.get("/sandbox/audience-api/requests")).json()["requests"]
    assert [one["status"] for one in requests] == [200, 429, 200]
    await caller.post("/sandbox/audience-api/reset")
    assert api.members("9001") == frozenset()
    assert (await caller.get("/audience-api/nowhere")).status_code == 404
