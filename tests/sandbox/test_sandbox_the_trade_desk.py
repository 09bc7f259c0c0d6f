"""The fake Trade Desk: its checks in order on both listeners, what an upload does, its faults, its pages."""

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.sandbox.faults import Down, Reset
from gateway.sandbox.server import SandboxServer
from gateway.sandbox.the_trade_desk import Drop, Refusal, StorageRefusal, TheTradeDesk, TheTradeDeskConfiguration

pytestmark = pytest.mark.anyio
API = "/the-trade-desk/v3/crmdata"
TOKEN = {"ttd-auth": "sandbox-token", "content-type": "application/json"}
DROP = {"PiiType": "EmailHashedUnifiedId2", "MergeMode": "Replace", "RetentionEnabled": True}
CREATE = {"AdvertiserId": "adv123", "SegmentName": "VIP", "Region": "EU", "DataProviderId": "twilio"}
TEXT = {"content-type": "text/plain"}
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def lines(count, first=0):
    hashes = [base64.b64encode(hashlib.sha256(str(n).encode()).digest()).decode() for n in range(first, first + count)]
    return "".join(f"{one}\n" for one in hashes).encode()


@pytest.fixture
def partner() -> TheTradeDesk:
    return TheTradeDesk(TheTradeDeskConfiguration(distinct_min=3))


@pytest.fixture
async def server(partner: TheTradeDesk, anyio_backend: str) -> AsyncIterator[SandboxServer]:
    async with SandboxServer([partner], port=0, upload_port=0) as running:
        yield running


@pytest.fixture
async def client(server: SandboxServer, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, headers=TOKEN, timeout=10, verify=NO_TLS) as opened:
        yield opened


@pytest.fixture
async def storage(anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, verify=NO_TLS, headers=TEXT) as opened:
        yield opened


@pytest.fixture
async def drop(client: httpx.AsyncClient, partner: TheTradeDesk) -> Drop:
    segment = partner.create("adv123", "VIP")
    await client.post(f"{API}/segment/adv123/{segment.external_id}", json=DROP)
    return partner.drops[0]


async def test_the_token_is_looked_at_first(client, partner):
    """Absent 401, wrong 403, both with a message; addresses nobody knows are 404."""
    for headers, status in (({"ttd-auth": ""}, 403), ({"ttd-auth": "wrong"}, 403)):
        answer = await client.get(f"{API}/segment/adv123", headers=headers)
        assert (answer.status_code, "Message" in answer.json()) == (status, True)
    del client.headers["ttd-auth"]
    assert (await client.get(f"{API}/segment/adv123")).status_code == 401
    client.headers["ttd-auth"] = "sandbox-token"
    assert (await client.get("/the-trade-desk/v3/nothing")).status_code == 404
    assert (await client.get(f"{API}/segment/nobody")).status_code == 404


async def test_segments_are_listed_in_pages_that_end_with_an_empty_one(client, partner):
    """Tokens hold `+`, `/`, `=`; an unencoded one is unknown, and so is an invented one; `null` is an empty page."""
    made = [partner.create("adv123", name).external_id for name in "abcde"]
    partner.create("harbour-books", "x")
    found, params, tokens = [], None, []
    while True:
        page = (await client.get(f"{API}/segment/adv123", params=params)).json()
        if not page["Segments"]:
            break
        found += [one["CrmDataId"] for one in page["Segments"]]
        tokens.append(page["PagingToken"])
        params = {"pagingToken": page["PagingToken"]}
    assert (found, page["PagingToken"], len(tokens)) == (made, None, 3)
    assert all(set("+/=") <= set(token) for token in tokens)
    for bad in (tokens[0].replace("+", " "), "x", "p+/eHg===="):
        assert (await client.get(f"{API}/segment/adv123", params={"pagingToken": bad})).status_code == 400
    for upstream in ("null", "undefined"):
        assert (await client.get(f"{API}/segment/adv123?pagingToken={upstream}")).json()["Segments"] == []


@pytest.mark.parametrize("path", ["segment", "targeting/segment", "conversion/segment"])
async def test_a_creation_makes_another_segment_each_time(client, partner, path):
    """Of one name, too."""
    answers = [(await client.post(f"{API}/{path}", json=CREATE)).json() for _ in range(2)]
    ids = [answer["CrmDataId"] for answer in answers]
    assert len(set(ids)) == 2
    assert all(len(one) == 7 for one in ids)
    assert all(isinstance(answer["FirstPartyDataId"], int) for answer in answers)
    assert [(one.name, one.region, one.data_provider) for one in partner.segments.values()] == [
        ("VIP", "EU", "twilio")
    ] * 2


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"AdvertiserId": "nobody"}, "AdvertiserId"), ({"SegmentName": ""}, "SegmentName"), ({"SegmentName": 5}, "SegmentName"),
        ({"Region": "eu"}, "Region"), ({"Region": None}, "Region"),
    ],
)  # fmt: skip
async def test_a_creation_is_checked(client, partner, changed, named):
    """The property at fault is named."""
    answer = await client.post(f"{API}/targeting/segment", json=CREATE | changed)
    assert (answer.status_code, answer.json()["ErrorDetails"][0]["Property"]) == (400, named)
    assert not partner.segments


@pytest.mark.parametrize(
    "changed",
    [{"PiiType": "Phone"}, {"MergeMode": "Merge"}, {"RetentionEnabled": "yes"}, {"TtlInMinutes": 0}, {"More": 1}],
)
async def test_a_drop_is_checked(client, partner, changed):
    """Unknown keys are refused, unknown segments not found, and each drop has an address of its own."""
    segment = partner.create("adv123", "VIP")
    address = f"{API}/segment/adv123/{segment.external_id}"
    assert (await client.post(address, json=DROP | changed)).status_code == 400
    assert (await client.post(f"{API}/segment/adv123/nosuch1", json=DROP)).status_code == 404
    assert (await client.post(f"{API}/segment/harbour-books/{segment.external_id}", json=DROP)).status_code == 404
    first, second = [(await client.post(address, json=DROP)).json() for _ in range(2)]
    assert first["Url"] != second["Url"]
    assert first["Url"].endswith("&")
    targeting = f"{API}/targeting/segment/adv123/{segment.external_id}"
    assert (
        await client.post(targeting, json={"PiiType": "Email", "MergeMode": "Add", "TtlInMinutes": 5})
    ).status_code == 200


async def test_an_upload_replaces_the_members(client, storage, partner, drop):
    """An ETag and no body; the state of the drop can be asked for; another advertiser cannot."""
    answer = await storage.put(drop.url, content=lines(4))
    assert (answer.status_code, answer.content, answer.headers["etag"][0]) == (200, b"", '"')
    assert len(drop.segment.members) == 4
    state = await client.get(f"{API}/segment/adv123/{drop.segment.external_id}/{drop.reference_id}")
    assert state.json() == {"ReferenceId": drop.reference_id, "Status": "Completed", "Accepted": 4, "Rejected": 0}
    assert (await client.get(f"{API}/segment/adv123/{drop.segment.external_id}/x")).status_code == 404
    assert partner.violations == ()
    assert partner.list_sizes() == [("VIP", 4)]
    assert (await client.delete(f"{API}/segment/adv123/{drop.segment.external_id}")).status_code == 200
    assert (await client.delete(f"{API}/segment/adv123/{drop.segment.external_id}")).status_code == 404


async def test_adding_unites(client, storage, partner, drop):
    """Nobody of ours sends it; the API knows it."""
    await storage.put(drop.url, content=lines(4))
    await client.post(f"{API}/segment/adv123/{drop.segment.external_id}", json=DROP | {"MergeMode": "Add"})
    await storage.put(partner.drops[1].url, content=lines(3, first=3))
    assert len(drop.segment.members) == 6


async def chunks():
    yield b"x"


async def test_the_storage_host_checks_in_its_order(storage, partner, drop):
    """Address, age, method, form, size; each with its code in XML."""
    partner.configure(b'{"size_max": 200}')

    async def refused(method, url, **more):
        answer = await storage.request(method, url, **more)
        assert answer.headers["content-type"] == "application/xml"
        return answer.status_code, answer.text.split("<Code>")[1].split("</Code>")[0]

    tidied = drop.url.removesuffix("&")
    assert await refused("GET", tidied) == (403, "SignatureDoesNotMatch")
    assert await refused("PUT", drop.url.replace("%2F", "/", 1), content=b"x") == (403, "SignatureDoesNotMatch")
    assert await refused("GET", drop.url) == (405, "MethodNotAllowed")
    assert await refused("PUT", drop.url, content=chunks()) == (501, "NotImplemented")
    assert await refused("PUT", drop.url, content=lines(5)) == (400, "EntityTooLarge")
    partner.advance(3600)
    assert (await storage.put(drop.url, content=lines(4))).status_code == 200
    partner.advance(1)
    assert await refused("GET", drop.url) == (403, "AccessDenied")


async def test_a_file_without_a_length_is_refused(drop):
    """No chunks either; written by hand, as no library sends such a request."""
    address = httpx.URL(drop.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    target = drop.url.split(address.netloc.decode(), 1)[1]
    writer.write(f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b"<Code>MissingContentLength</Code>" in answer


BAD_FILES = {
    "not UTF-8": b"\xff\n", "a mark": b"\xef\xbb\xbf" + lines(4), "carriage returns": lines(4).replace(b"\n", b"\r\n"),
    "no last line feed": lines(4)[:-1], "a blank line": lines(4) + b"\n", "a header": b"email\n" + lines(2), "empty": b"",
    "too few": lines(2) * 2,
}  # fmt: skip


@pytest.mark.parametrize("body", BAD_FILES.values(), ids=BAD_FILES.keys())
async def test_a_bad_file_is_taken_and_fails_later(storage, drop, body):
    """The storage host does not read it; the segment stays as it was."""
    assert (await storage.put(drop.url, content=body)).status_code == 200
    assert (drop.status, drop.segment.members) == ("Failed", frozenset())
    assert drop.problem


@pytest.mark.parametrize(("count", "status"), [(1_499, "Failed"), (1_500, "Completed")])
async def test_a_list_needs_fifteen_hundred_distinct_people(client, storage, partner, drop, count, status):
    """As it is shipped; a line that stands twice, and bad lines, count for nobody."""
    partner.configure(b'{"distinct_min": 1500}')
    assert TheTradeDeskConfiguration().distinct_min == 1_500
    assert (await storage.put(drop.url, content=lines(count) + lines(200) + b"bad\n" * 5)).status_code == 200
    assert (drop.status, drop.accepted, drop.rejected) == (status, count + 200, 5)
    assert len(drop.segment.members) == (count if status == "Completed" else 0)
    assert drop.problem == ("" if status == "Completed" else "1499 distinct ids, 1500 are needed")


async def test_bad_lines_are_counted(storage, client, partner, drop):
    """By the drop's kind of line."""
    await storage.put(drop.url, content=lines(3) + b"a=\nmaria@example.org\n")
    assert (drop.status, drop.accepted, drop.rejected) == ("Completed", 3, 2)
    await client.post(f"{API}/segment/adv123/{drop.segment.external_id}", json=DROP | {"PiiType": "Email"})
    await storage.put(partner.drops[1].url, content=b"a@b.c\nb@b.c\nc@b.c\n" + lines(1))
    assert (partner.drops[1].accepted, partner.drops[1].rejected) == (3, 1)


async def test_processing_waits_for_the_command(client, storage, partner, drop):
    """Where it is so configured; the control API has the verbs."""
    partner.configure(b'{"process_at_once": false}')
    await storage.put(drop.url, content=lines(4))
    assert drop.status == "Processing"
    assert (await client.post("/sandbox/the-trade-desk/process")).status_code == 200
    assert drop.status == "Completed"
    await client.post("/sandbox/the-trade-desk/expire-uploads")
    assert (await storage.put(drop.url, content=lines(4))).status_code == 403


async def test_what_a_careful_client_does_not_send_is_kept(client, storage, partner, drop):
    """The token at the upload host, another content type; the answers are the same."""
    answer = await storage.put(drop.url, content=lines(4), headers={"ttd-auth": "x", "content-type": "text/csv"})
    assert answer.status_code == 200
    await client.get(f"{API}/segment/adv123", headers={"content-type": "text/plain"})
    assert [one.rule for one in partner.violations] == ["token_at_upload", "content_type", "content_type"]


async def test_faults_speak_in_each_hosts_words(client, storage, partner, drop):
    """The API in JSON, the storage host in XML; by target."""
    partner.faults.add(Refusal(status=429, bare=True, retry_after=5, target="list"))
    partner.faults.add(StorageRefusal(status=503, target="upload"))
    answer = await client.get(f"{API}/segment/adv123")
    assert (answer.status_code, answer.headers["retry-after"], isinstance(answer.json(), str)) == (429, "5", True)
    answer = await storage.put(drop.url, content=lines(4))
    assert (answer.status_code, "<Code>SlowDown</Code>" in answer.text) == (503, True)
    partner.faults.add(Reset(target="create", carried_out=True))
    with pytest.raises(httpx.HTTPError):
        await client.post(f"{API}/targeting/segment", json=CREATE)
    assert len(partner.segments) == 2
    partner.faults.add(Down())
    with pytest.raises(httpx.HTTPError):
        await storage.put(drop.url, content=lines(4))


async def test_it_shows_itself(client, storage, partner, drop):
    """Page, state, requests; nothing of a request is run as HTML; a reset forgets all of it."""
    await storage.put(drop.url, content=lines(4) + b"<script>\n")
    page = await client.get("/the-trade-desk")
    assert page.status_code == 200
    assert "<script>\n" not in page.text.split("</script>")[0]
    assert drop.segment.external_id in page.text
    state = (await client.get("/sandbox/the-trade-desk/state")).json()
    assert (state["segments"][0]["members_total"], state["drops"][0]["status"]) == (4, "Completed")
    assert state["counters"]["drops_completed"] == 1
    assert [partner.headline(one) for one in partner.log][:2] == ["drop EmailHashedUnifiedId2", "upload 5 lines"]
    requests = (await client.get("/sandbox/the-trade-desk/requests")).json()["requests"]
    assert [one["call"] for one in requests[:2]] == ["drop", "upload"]
    assert (await client.get("/sandbox/the-trade-desk/config")).json()["page_size"] == 2
    await client.post("/sandbox/the-trade-desk/reset")
    assert (len(partner.segments), len(partner.drops), partner.counts()["requests"]) == (0, 0, 0)
