"""The fake StackAdapt's checks, one by one and in their order, over a real socket."""

import re

import httpx
import msgspec
import pytest
from sandbox_documents import CLEAN, GRAPHQL, mapping_field, mutation, profile, profiles_field, upsert

pytestmark = pytest.mark.anyio
QUERY = {"query": "{ tokenInfo { name } }"}
NESTED = "{ tokenInfo " * 5000


async def test_a_faultless_delivery_gets_clean_payloads(post, partner):
    """Three root fields, three empty lists of user errors, no violation."""
    answer = await post(upsert(profile()))
    assert (answer.status_code, answer.json()) == (200, {"data": CLEAN})
    assert answer.headers["content-type"].startswith("application/json")
    assert partner.violations == ()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", GRAPHQL),
        ("PUT", GRAPHQL),
        ("POST", "/stackadapt/"),
        ("POST", "/stackadapt/rest/v1"),
        ("POST", f"{GRAPHQL}/"),
        ("GET", "/stackadapt/graphql.html"),
    ],
)
async def test_every_other_path_and_method_is_a_404_page(client, method, path):
    """Check 1 comes before the token's: no credentials are needed to be told that nothing is there."""
    answer = await client.request(method, path, headers={"authorization": ""})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer  x", "Bearer wrong", "Basic sandbox-token", "sandbox-token"]
)
async def test_a_bad_token_is_a_401_with_a_trace_id(client, authorization):
    """Check 2 comes before the body's: what is in it does not matter."""
    answer = await client.post(GRAPHQL, content=b"not json", headers={"authorization": authorization})
    (error,) = answer.json()["errors"]
    assert answer.status_code == 401
    assert error["message"]
    assert re.fullmatch(r"[0-9a-f]{32}", error["extensions"]["traceId"])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"query": "{ tokenInfo { name } }"}', "text/plain"),
        (b'{"query": "{ tokenInfo { name } }"}', ""),
        (b"", "application/json"),
        (b"{", "application/json"),
        (b'"text"', "application/json"),
        (b"[]", "application/json"),
        (b"{}", "application/json"),
        (b'{"query": null}', "application/json"),
        (b'{"query": 7}', "application/json"),
        (b'{"query": "{ tokenInfo { name } }", "variables": []}', "application/json"),
        (b'{"query": "\xff"}', "application/json"),
        (b"[" * 100_000, "application/json"),
    ],
)
async def test_a_body_that_is_no_json_object_with_a_query_is_a_400(client, body, content_type):
    """Check 4."""
    answer = await client.post(GRAPHQL, content=body, headers={"content-type": content_type})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "application/graphql+json"]
)
async def test_json_media_types_are_taken(client, content_type):
    """Check 4 reads the media type, not its parameters."""
    answer = await client.post(GRAPHQL, content=msgspec.json.encode(QUERY), headers={"content-type": content_type})
    assert answer.json() == {"data": {"tokenInfo": {"name": "Sandbox token"}}}


async def test_an_unknown_body_key_is_named_in_a_400_without_trace_id(client):
    """Check 5."""
    answer = await client.post(GRAPHQL, json=QUERY | {"extensions": {}})
    (error,) = answer.json()["errors"]
    assert answer.status_code == 400
    assert "extensions" in error["message"]
    assert "extensions" not in error


async def test_a_body_above_the_limit_is_refused(client):
    """Eight mebibytes are read, one byte more is not."""
    answer = await client.post(
        GRAPHQL, content=b" " * (8 * 1024 * 1024 + 1), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "document", ["mutation {", "{ tokenInfo { name } ", 'mutation { f(a: "x\n") }', "", NESTED, "{ a(b: 1e) }"]
)
async def test_a_document_that_does_not_parse_has_errors_with_locations_and_no_data(post, partner, document, status):
    """Check 6, with the switch for its status."""
    partner.configure(msgspec.json.encode({"unparsable_status": status}))
    answer = await post(document)
    (error,) = answer.json()["errors"]
    assert answer.status_code == status
    assert "data" not in answer.json()
    assert error["message"]
    assert error["locations"]


UNFIT = [
    ("{ nothing }", ["query", "nothing"]),
    ("{ tokenInfo }", ["query", "tokenInfo"]),
    ("mutation { upsertProfiles { userErrors { message } } }", ["mutation", "upsertProfiles"]),
    (
        mutation(profiles_field([]).replace("advertiserId", "advertiser")),
        ["mutation", "upsertProfiles", "input", "advertiser"],
    ),
    (
        mutation(mapping_field(entries=[("a", "a", "A", "OBJECT", False)])),
        ["mutation", "upsertProfileMapping", "input", "mappingSchemaV2", "type"],
    ),
    (mutation(mapping_field(opted_in='"true"')), ["mutation", "upsertProfileMapping", "input", "isOptedIn"]),
    (
        mutation(profiles_field([], advertiser=1.5)),
        ["mutation", "upsertProfiles", "input", "advertiserId"],
    ),
    (mutation(profiles_field([], select="userErrors { code }")), ["mutation", "upsertProfiles", "userErrors", "code"]),
    ("subscription { tokenInfo { name } }", ["subscription"]),
]


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("document", "path"), UNFIT)
async def test_a_document_that_does_not_fit_the_schema_has_errors_with_locations_and_path(
    post, partner, document, path, status
):
    """Check 7, with the switch for its status; nothing takes effect."""
    partner.configure(msgspec.json.encode({"unfit_status": status}))
    answer = await post(document)
    errors = answer.json()["errors"]
    assert answer.status_code == status
    assert errors[0]["message"]
    assert errors[0]["locations"]
    assert [error["path"] for error in errors if error["path"][: len(path)] == path]
    assert partner.lists.profile_mappings == {}


async def test_a_shape_that_fitted_does_not_excuse_another(post):
    """Remembering what fits must not let anything else through."""
    fits = upsert(profile())
    for document in (fits, fits.replace("isOptedIn: true", 'isOptedIn: "true"'), fits, fits.replace("message", "text")):
        assert ("errors" in (await post(document)).json()) == (document != fits)


async def test_a_missing_operation_is_answered_like_a_document_that_does_not_fit(client):
    """The library finds it only when executing."""
    answer = await client.post(GRAPHQL, json={"query": "query A { tokenInfo { name } }", "operationName": "B"})
    assert answer.status_code == 200
    assert "data" not in answer.json()
    assert "B" in answer.json()["errors"][0]["message"]


async def test_variables_and_operation_names_work(client):
    """The schema's endpoint takes them, although no client of ours should send them."""
    query = "query A($n: Int) { tokenInfo { scopesByAdvertiser(first: $n) { nodes { advertiser { id } } } } }"
    answer = await client.post(GRAPHQL, json={"query": query, "operationName": "A", "variables": {"n": 1}})
    assert answer.json()["data"]["tokenInfo"]["scopesByAdvertiser"]["nodes"] == [{"advertiser": {"id": "12345"}}]


async def test_an_id_is_an_integer_literal_or_a_string(post, partner):
    """Both forms of the advertiser's id mean the same advertiser."""
    for advertiser in ("31337", '"31337"'):
        answer = await post(upsert(profile(), advertiser=advertiser))
        assert answer.json() == {"data": CLEAN}
    assert partner.members("aud_7Hx", advertiser_id="31337") == {"mei@shop.example"}


async def test_a_request_without_a_body_does_not_disturb_the_next_on_its_connection(client):
    """Refusals leave the connection usable."""
    async with httpx.AsyncClient(base_url=client.base_url, limits=httpx.Limits(max_connections=1)) as single:
        assert (await single.post(GRAPHQL)).status_code == 401
        assert (await single.get(GRAPHQL)).status_code == 404
