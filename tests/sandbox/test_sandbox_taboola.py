"""The fake Taboola: its checks in order, its audiences, its tokens, its faults, its pages."""

import json
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from gateway.sandbox.faults import Down, Status
from gateway.sandbox.server import SandboxServer
from gateway.sandbox.taboola import Client, Refusal, Taboola, TaboolaConfiguration

pytestmark = pytest.mark.anyio
TOKEN = "/taboola/backstage/oauth/token"
API = "/taboola/backstage/api/1.0"
USERS = f"{API}/demo-advertiser/audience_onboarding"
CREATE = f"{USERS}/create"
LOGIN = {"client_id": "sandbox-client", "client_secret": "sandbox-secret", "grant_type": "client_credentials"}
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
HASH = "ab" * 32
EMAIL = {"user_id": HASH, "type": "EMAIL_ID", "is_hashed": True}
DEVICE = {"user_id": "AND-1", "type": "DEVICE_ID", "is_hashed": False}


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> Taboola:
    return Taboola(clock=clock)


@pytest.fixture
async def client(fake: Taboola, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        SandboxServer([fake], port=0) as server,
        httpx.AsyncClient(base_url=server.url, timeout=10, verify=False) as opened,
    ):
        yield opened


@pytest.fixture
async def logged_in(client: httpx.AsyncClient) -> httpx.AsyncClient:
    client.headers["authorization"] = f"Bearer {(await client.post(TOKEN, data=LOGIN)).json()['access_token']}"
    return client


def users(operation="ADD", audience=1001, *clusters, **more):
    return {
        "operation": operation, "audience_id": audience,
        "identities": [{"cluster": list(cluster)} for cluster in clusters or ([EMAIL],)], **more,
    }  # fmt: skip


# tokens -------------------------------------------------------------------------------------------------------------


async def test_a_token_is_new_each_time(client, fake):
    """With its life, which can be set or left out."""
    first, second = [(await client.post(TOKEN, data=LOGIN)).json() for _ in range(2)]
    assert first["access_token"] != second["access_token"]
    assert (first["token_type"], first["expires_in"], fake.tokens_issued) == ("bearer", 43_200, 2)
    fake.configure(b'{"token_life_s": null}')
    assert "expires_in" not in (await client.post(TOKEN, data=LOGIN)).json()


@pytest.mark.parametrize(
    ("request_of", "status", "content_type"),
    [
        (lambda: {"data": {**LOGIN, "client_secret": "no"}}, 400, "application/xml"),
        (lambda: {"data": {**LOGIN, "client_id": "no"}}, 400, "application/xml"),
        (lambda: {"data": {**LOGIN, "grant_type": "password"}}, 400, "application/json"),
        (lambda: {"json": LOGIN}, 400, "application/json"),
        (lambda: {"content": b"\xff\xfe", "headers": {"content-type": FORM}}, 400, "application/json"),
    ],
)  # fmt: skip
async def test_logins_are_checked(client, fake, request_of, status, content_type):
    """A wrong pair is told in XML, as the real one does."""
    answer = await client.post(TOKEN, **request_of())
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith(content_type)
    assert fake.tokens_issued == 0


async def test_a_slash_too_many_is_a_page(client):
    """403."""
    answer = await client.post(f"{TOKEN}/", data=LOGIN)
    assert (answer.status_code, "html" in answer.headers["content-type"]) == (403, True)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer nonsense", "Basic x"])
async def test_calls_need_a_token(client, authorization):
    """Missing, of another kind, unknown."""
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await client.post(USERS, json=users(), headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"http_status": 401, "message": "Unauthorized"})


async def test_a_token_ends_by_the_clock_or_by_command(logged_in, fake, clock):
    """Both ways 401."""
    fake.create("demo-advertiser", "vip")
    clock.now_s += 43_199
    assert (await logged_in.post(USERS, json=users())).status_code == 200
    clock.now_s += 1
    assert (await logged_in.post(USERS, json=users())).status_code == 401
    logged_in.headers["authorization"] = f"Bearer {(await logged_in.post(TOKEN, data=LOGIN)).json()['access_token']}"
    assert (await logged_in.post("/sandbox/taboola/expire-tokens")).status_code == 200
    assert (await logged_in.post(USERS, json=users())).status_code == 401


# accounts -----------------------------------------------------------------------------------------------------------


async def test_accounts_are_listed_and_others_refused(logged_in):
    """Nobody may use an account of somebody else."""
    own = (await logged_in.get(f"{API}/users/current/account")).json()
    allowed = (await logged_in.get(f"{API}/users/current/allowed-accounts")).json()["results"]
    assert own["account_id"] == "demo-advertiser"
    assert [one["account_id"] for one in allowed] == ["demo-advertiser", "harbour-books"]
    answer = await logged_in.post(f"{API}/nobodys/audience_onboarding", json=users())
    assert (answer.status_code, answer.json()["message"]) == (400, "Bad request")
    assert (await logged_in.get(f"{API}/nothing")).status_code == 404
    assert (await logged_in.get("/taboola/elsewhere")).status_code == 404


# audiences ----------------------------------------------------------------------------------------------------------


async def test_creating_is_idempotent_by_name_within_an_account(logged_in, fake):
    """The one that is there stays as it is."""
    body = {"audience_name": "vip", "ttl_in_hours": 48, "exclude_from_campaigns": True, "integration_source": "acme"}
    first = (await logged_in.post(CREATE, json=body)).json()
    again = (await logged_in.post(CREATE, json={"audience_name": "vip", "ttl_in_hours": 1})).json()
    assert first == again == {**body, "audience_id": 1001}
    other = (
        await logged_in.post(f"{API}/harbour-books/audience_onboarding/create", json={"audience_name": "vip"})
    ).json()
    assert (other["audience_id"], other["ttl_in_hours"]) == (1002, 8760)
    assert fake.counts()["created"] == 2


BAD_CREATIONS = [
    ({}, "audience_name"),
    ({"audience_name": ""}, "audience_name"),
    ({"audience_name": 5}, "audience_name"),
    ({"audience_name": "a", "ttl_in_hours": 0}, "ttl_in_hours"),
    ({"audience_name": "a", "ttl_in_hours": 100_001}, "ttl_in_hours"),
    ({"audience_name": "a", "ttl_in_hours": "8"}, "ttl_in_hours"),
    ({"audience_name": "a", "ttl_in_hours": 1.5}, "ttl_in_hours"),
    ({"audience_name": "a", "exclude_from_campaigns": "true"}, "exclude_from_campaigns"),
    ({"audience_name": "a", "integration_source": 5}, "integration_source"),
    ({"audience_name": "a", "account_id": "b"}, "account_id"),
]


@pytest.mark.parametrize(("body", "field"), BAD_CREATIONS)
async def test_creations_are_checked(logged_in, fake, body, field):
    """400 with the field at fault."""
    answer = await logged_in.post(CREATE, json=body)
    assert (answer.status_code, answer.json()["offending_field"]) == (400, field)
    assert not fake.audiences


# people -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [USERS, f"{USERS}/"])
async def test_people_are_added_and_removed(logged_in, fake, path):
    """Success is an empty body without a content type; a slash at the end works too; what is not there is ignored."""
    fake.create("demo-advertiser", "vip")
    answer = await logged_in.post(path, json=users("ADD", 1001, [EMAIL, DEVICE], [EMAIL], integration_source="acme"))
    assert (answer.status_code, answer.content, "content-type" in answer.headers) == (200, b"", False)
    assert fake.audiences[1001].members == {("EMAIL_ID", HASH), ("DEVICE_ID", "AND-1")}
    answer = await logged_in.post(path, json=users("REMOVE", 1001, [DEVICE], [{**DEVICE, "user_id": "AND-2"}]))
    assert answer.status_code == 200
    assert fake.audiences[1001].members == {("EMAIL_ID", HASH)}


async def test_people_fall_out_after_the_ttl_counted_from_the_last_addition(logged_in, fake, clock):
    """By the clock."""
    fake.create("demo-advertiser", "vip", ttl_in_hours=2)
    await logged_in.post(USERS, json=users())
    clock.now_s += 3600
    await logged_in.post(USERS, json=users())
    clock.now_s += 7199
    assert fake.audiences[1001].members == {("EMAIL_ID", HASH)}
    clock.now_s += 1
    assert fake.audiences[1001].members == frozenset()


BAD_USERS = [
    ([], ""),
    (users("SET"), "operation"),
    (users(audience="1001"), "audience_id"),
    (users(audience=1001.5), "audience_id"),
    (users(audience=None), "audience_id"),
    (users(audience=True), "audience_id"),
    (users(audience=99), "audience_id"),
    (users(audience=1002), "audience_id"),
    ({**users(), "identities": []}, "identities"),
    (users(integration_source=1), "integration_source"),
    ({**users(), "identities": [{"cluster": []}]}, "cluster"),
    ({**users(), "identities": [{"cluster": [EMAIL], "x": 1}]}, "cluster"),
    (users("ADD", 1001, [{**EMAIL, "x": 1}]), "cluster"),
    (users("ADD", 1001, [{"user_id": HASH, "type": "EMAIL_ID"}]), "cluster"),
    (users("ADD", 1001, [{**DEVICE, "user_id": ""}]), "user_id"),
    (users("ADD", 1001, [{**DEVICE, "user_id": 5}]), "user_id"),
    (users("ADD", 1001, [{**EMAIL, "user_id": "maria@example.org"}]), "user_id"),
    (users("ADD", 1001, [{**EMAIL, "is_hashed": False}]), "is_hashed"),
    (users("ADD", 1001, [{**DEVICE, "is_hashed": True}]), "is_hashed"),
    (users("ADD", 1001, [{**DEVICE, "type": "TABOOLA_ID"}]), "type"),
    (users(extra=1), "extra"),
]


@pytest.mark.parametrize(("body", "field"), BAD_USERS)
async def test_people_are_checked(logged_in, fake, body, field):
    """400 with the field at fault, and nobody is added, not even those before the fault."""
    fake.create("demo-advertiser", "vip")
    fake.create("harbour-books", "vip")
    answer = await logged_in.post(USERS, json=body)
    assert (answer.status_code, answer.json().get("offending_field", "")) == (400, field)
    assert fake.audiences[1001].members == frozenset()
    assert "maria" not in answer.text


@pytest.mark.parametrize(
    ("content", "content_type"), [(b"{", JSON), (b"{}", "text/plain"), (b"\xff", JSON), (b"[" * 100_000, JSON)]
)
async def test_what_is_no_json_is_refused(logged_in, content, content_type):
    """400."""
    answer = await logged_in.post(USERS, content=content, headers={"content-type": content_type})
    assert answer.status_code == 400


async def test_a_new_audience_can_be_made_to_need_time(logged_in, fake, clock):
    """Until the clock says so, its number is invalid."""
    fake.create("demo-advertiser", "vip")
    fake.audience_not_ready(1001, until_s=clock() + 60)
    answer = await logged_in.post(USERS, json=users())
    assert (answer.status_code, answer.json()["offending_field"]) == (400, "audience_id")
    clock.now_s += 60
    assert (await logged_in.post(USERS, json=users())).status_code == 200


# faults, pages, control ---------------------------------------------------------------------------------------------


async def test_faults_meet_the_call_they_name(logged_in, fake):
    """Token, create, users; the partner's own refusal has its own words."""
    fake.create("demo-advertiser", "vip")
    fake.faults.add(Status(status=503, target="users", carried_out=True))
    fake.faults.add(Refusal(status=400, offending_field="audience_name", message_code="api.x", target="create"))
    assert (await logged_in.post(TOKEN, data=LOGIN)).status_code == 200
    assert (await logged_in.post(USERS, json=users())).status_code == 503
    assert fake.audiences[1001].members == {("EMAIL_ID", HASH)}
    refused = await logged_in.post(CREATE, json={"audience_name": "x"})
    assert refused.json() == {
        "http_status": 400, "message": "The sandbox was told to refuse this.", "offending_field": "audience_name",
        "message_code": "api.x",
    }  # fmt: skip
    fake.faults.add(Down())
    with pytest.raises(httpx.TransportError):
        await logged_in.post(USERS, json=users())
    assert (await logged_in.post(USERS, json=users())).status_code == 200


async def test_state_requests_page_and_reset(logged_in, fake):
    """What people and tests see; the login's form is hidden on the page."""
    await logged_in.post(CREATE, json={"audience_name": "<vip>"})
    await logged_in.post(USERS, json=users())
    state = (await logged_in.get("/sandbox/taboola/state")).json()
    assert state["audiences"]["1001"]["members"] == [{"type": "EMAIL_ID", "user_id": HASH}]
    assert (
        state["counters"] | {"requests": 3, "tokens": 1, "created": 1, "added": 1, "status_200": 3} == state["counters"]
    )
    requests = (await logged_in.get("/sandbox/taboola/requests")).json()["requests"]
    assert [one["call"] for one in requests] == ["token", "create", "users"]
    assert requests[2]["decoded"]["operation"] == "ADD"
    assert [fake.headline(one) for one in fake.log] == ["token", "create <vip>", "ADD 1 person, audience 1001"]
    assert fake.list_sizes() == [("<vip>", 1)]
    page = (await logged_in.get("/taboola")).text
    assert "&lt;vip&gt;" in page
    assert "client_secret=" not in page
    assert (await logged_in.post("/sandbox/taboola/reset")).status_code == 200
    assert (fake.audiences, len(fake.log), fake.tokens_issued) == ({}, 0, 0)


async def test_configuration_is_laid_over_and_checked(logged_in, fake):
    """Keys that are not named stay."""
    answer = await logged_in.post("/sandbox/taboola/config", json={"token_life_s": 60, "record": "counts"})
    assert answer.json()["clients"][0]["client_id"] == "sandbox-client"
    assert (await logged_in.post("/sandbox/taboola/config", json={"clients": [{"client_id": ""}]})).status_code == 400
    await logged_in.post(TOKEN, data=LOGIN)
    assert fake.log.latest(1)[0].body is None
    assert fake.shown_configuration().token_life_s == 60


async def test_a_full_audience_refuses(logged_in, fake):
    """Its bound is a setting."""
    fake.configure(b'{"members_max": 1}')
    fake.create("demo-advertiser", "vip")
    assert (await logged_in.post(USERS, json=users("ADD", 1001, [EMAIL, DEVICE]))).status_code == 400
    assert (await logged_in.post(USERS, json=users())).status_code == 200


async def test_who_is_in_a_full_audience_may_be_added_again(logged_in, fake, clock):
    """The bound is of people, not of requests; whose time is over makes room."""
    fake.configure(b'{"members_max": 1}')
    fake.create("demo-advertiser", "vip", ttl_in_hours=1)
    for _ in range(2):
        assert (await logged_in.post(USERS, json=users("ADD", 1001, [EMAIL], [EMAIL]))).status_code == 200
    assert (await logged_in.post(USERS, json=users("ADD", 1001, [DEVICE]))).status_code == 400
    clock.now_s += 3_600
    assert (await logged_in.post(USERS, json=users("ADD", 1001, [DEVICE]))).status_code == 200
    assert fake.audiences[1001].members == {("DEVICE_ID", "AND-1")}


def test_configurations_survive_json():
    """The control API reads and writes them."""
    client = Client(client_id="a", client_secret="b", accounts=("c",))
    configuration = TaboolaConfiguration(clients=(client,))
    assert msgspec.json.decode(msgspec.json.encode(configuration), type=TaboolaConfiguration) == configuration
    assert configuration.client("a", "b") == client
    assert configuration.client("a", "x") is None
    assert json.loads(msgspec.json.encode(configuration))["record"] == "full"
