"""The `tokenInfo` query: scopes by advertiser, page by page."""

import msgspec
import pytest

from gateway.sandbox.stackadapt import AccessToken, Advertiser, StackAdaptConfiguration

pytestmark = pytest.mark.anyio

CREDENTIALS_TEST = "query { tokenInfo { scopesByAdvertiser { nodes { advertiser { name } scopes } } } }"
MANY = StackAdaptConfiguration(
    advertisers=tuple(Advertiser(id=str(n), name=f"Shop {n}") for n in range(1, 6)),
    tokens=(AccessToken(token="sandbox-token", scopes={str(n): ("READ",) for n in range(1, 6)}),),
)


def connection(answer):
    return answer.json()["data"]["tokenInfo"]["scopesByAdvertiser"]


async def test_the_default_token_writes_to_two_advertisers_and_reads_a_third(post):
    """What the credentials test and the advertiser look-up see after a start."""
    assert connection(await post(CREDENTIALS_TEST))["nodes"] == [
        {"advertiser": {"name": "Sandbox Advertiser"}, "scopes": ["READ", "WRITE"]},
        {"advertiser": {"name": "Harbour Books"}, "scopes": ["READ", "WRITE"]},
        {"advertiser": {"name": "Read-only Advertiser"}, "scopes": ["READ"]},
    ]


async def test_a_token_sees_only_its_own_advertisers(post, partner):
    """A token without any gets an empty connection."""
    partner.configure(msgspec.json.encode({"tokens": [{"token": "sandbox-token", "name": "Empty", "scopes": {}}]}))
    answer = await post(
        "{ tokenInfo { name expiresAt scopesByAdvertiser { totalCount nodes { scopes } pageInfo { endCursor } } } }"
    )
    assert answer.json()["data"]["tokenInfo"] == {
        "name": "Empty",
        "expiresAt": None,
        "scopesByAdvertiser": {"totalCount": 0, "nodes": [], "pageInfo": {"endCursor": None}},
    }


@pytest.mark.parametrize("configuration", [MANY])
async def test_pages_follow_each_other_to_the_end(post):
    """Two, two and one, by `first` and `after`."""
    pages, after = [], "null"
    while after is not None:
        query = (
            f"{{ tokenInfo {{ scopesByAdvertiser(first: 2, after: {after}) "
            "{ nodes { advertiser { id } } edges { cursor } totalCount pageInfo { hasNextPage hasPreviousPage endCursor } } } }"
        )
        page = connection(await post(query))
        pages.append([node["advertiser"]["id"] for node in page["nodes"]])
        assert page["totalCount"] == 5
        assert page["edges"][-1]["cursor"] == page["pageInfo"]["endCursor"]
        assert page["pageInfo"]["hasPreviousPage"] == (len(pages) > 1)
        after = msgspec.json.encode(page["pageInfo"]["endCursor"]).decode() if page["pageInfo"]["hasNextPage"] else None
    assert pages == [["1", "2"], ["3", "4"], ["5"]]


@pytest.mark.parametrize("configuration", [MANY])
@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ("first: 0", []),
        ("first: 99", ["1", "2", "3", "4", "5"]),
        ("last: 2", ["4", "5"]),
        ('last: 2, before: "advertiser:4"', ["2", "3"]),
        ('after: "advertiser:3"', ["4", "5"]),
        ('after: "advertiser:4", before: "advertiser:2"', []),
        ("first: 3, last: 1", ["3"]),
    ],
)
async def test_a_window_of_the_connection(post, arguments, ids):
    """Forwards, backwards and both."""
    page = connection(
        await post(f"{{ tokenInfo {{ scopesByAdvertiser({arguments}) {{ nodes {{ advertiser {{ id }} }} }} }} }}")
    )
    assert [node["advertiser"]["id"] for node in page["nodes"]] == ids


@pytest.mark.parametrize("arguments", ["first: -1", "last: -1", 'after: "?"', "first: 3000000000"])
async def test_a_window_that_makes_no_sense_is_an_error_without_data(post, arguments):
    """Errors of a non-null field leave nothing."""
    answer = await post(f"{{ tokenInfo {{ scopesByAdvertiser({arguments}) {{ totalCount }} }} }}")
    assert answer.status_code == 200
    assert "data" not in answer.json()
    assert answer.json()["errors"][0]["message"]
