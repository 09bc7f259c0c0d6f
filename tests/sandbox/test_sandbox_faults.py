"""Every fault on a real socket: what the client sees, how often, for whom, and whether the request took effect."""

import asyncio
import random
import time

import httpx
import msgspec
import pytest
from sandbox_documents import CLEAN, GRAPHQL, mapping_field, mutation, profile, upsert

from gateway.sandbox.faults import (
    FAULTS_MAX,
    Bandwidth,
    Down,
    Latency,
    Reset,
    Slices,
    SlowClose,
    Status,
    Timeout,
    Truncate,
)
from gateway.sandbox.stackadapt import Errors, UserErrors

pytestmark = pytest.mark.anyio
DOCUMENT = upsert(profile())
IN = {"mei@shop.example"}


async def raw_exchange(server):
    """The delivery by hand: the chunks as they arrive with their moment, and how the connection ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = msgspec.json.encode({"query": DOCUMENT})
    head = (
        f"POST {GRAPHQL} HTTP/1.1\r\nhost: sandbox\r\nauthorization: Bearer sandbox-token\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    chunks, ending = [], "closed"
    try:
        while chunk := await asyncio.wait_for(reader.read(65536), 10):
            chunks.append((time.monotonic(), chunk))
    except ConnectionResetError:
        ending = "reset"
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return chunks, ending


async def test_latency_delays_the_answer_and_the_request_took_effect(post, partner):
    """The answer itself is whole."""
    partner.faults.add(Latency(delay_s=0.08))
    started = time.monotonic()
    answer = await post(DOCUMENT)
    assert time.monotonic() - started >= 0.08
    assert answer.json() == {"data": CLEAN}


def test_jitter_spreads_the_delay_around_its_middle():
    """Within the bounds, never negative, not always the same."""
    fault, chance = Latency(delay_s=1.0, jitter_s=0.5), random.Random(1)
    drawn = [fault.drawn_delay_s(chance) for _ in range(100)]
    assert 0.5 <= min(drawn) < 0.7
    assert 1.3 < max(drawn) <= 1.5
    assert min(Latency(delay_s=0.1, jitter_s=5).drawn_delay_s(chance) for _ in range(50)) == 0.0


async def test_latency_beyond_the_clients_timeout_is_the_clients_timeout(client, partner):
    """The client gives up, the change is made all the same: the doubtful outcome that retries are made for."""
    partner.faults.add(Latency(delay_s=60))
    with pytest.raises(httpx.ReadTimeout):
        await client.post(GRAPHQL, json={"query": DOCUMENT}, timeout=0.1)
    assert partner.members("aud_7Hx") == IN


async def test_bandwidth_lets_the_body_trickle(server, partner):
    """About 150 bytes at 1,500 a second take a tenth of a second and more than one write."""
    partner.faults.add(Bandwidth(bytes_per_s=1500))
    chunks, _ = await raw_exchange_until_whole(server)
    assert len(chunks) > 1
    assert chunks[-1][0] - chunks[0][0] >= 0.04


async def raw_exchange_until_whole(server):
    """As above, for answers after which the connection stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = msgspec.json.encode({"query": DOCUMENT})
    writer.write(
        f"POST {GRAPHQL} HTTP/1.1\r\nhost: sandbox\r\nauthorization: Bearer sandbox-token\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    chunks, got = [(time.monotonic(), b"")], 0
    while got < length:
        chunk = await asyncio.wait_for(reader.read(65536), 10)
        got += len(chunk)
        chunks.append((time.monotonic(), chunk))
    writer.close()
    await writer.wait_closed()
    return chunks, b"".join(chunk for _, chunk in chunks)


async def test_slices_arrive_one_by_one_and_make_the_whole(server, partner):
    """A client that takes the first read for the answer is found out."""
    partner.faults.add(Slices(slice_bytes=40, delay_s=0.01))
    chunks, whole = await raw_exchange_until_whole(server)
    assert len(chunks) > 3
    assert msgspec.json.decode(whole) == {"data": CLEAN}


async def test_slow_close_has_the_body_there_long_before_its_end(server, partner):
    """The close comes late, and the end of the message with it."""
    partner.faults.add(SlowClose(delay_s=0.08))
    chunks, ending = await raw_exchange(server)
    whole = b"".join(chunk for _, chunk in chunks)
    there = next(at for at, chunk in chunks if b"upsertExternalAudienceMapping" in chunk)
    assert b"connection: close" in whole
    assert ending == "closed"
    assert chunks[-1][0] - there >= 0.07


@pytest.mark.parametrize("carried_out", [False, True])
async def test_a_timeout_never_answers(client, partner, carried_out):
    """Whether the request took effect is the tester's choice."""
    partner.faults.add(Timeout(carried_out=carried_out))
    with pytest.raises(httpx.ReadTimeout):
        await client.post(GRAPHQL, json={"query": DOCUMENT}, timeout=0.1)
    assert partner.members("aud_7Hx") == (IN if carried_out else set())
    await partner.wait_for(lambda: next(iter(partner.log)).is_done)
    assert next(iter(partner.log)).status is None


async def test_a_timeout_ends_when_its_hold_is_over(server, partner):
    """Then the connection is dropped without a word."""
    partner.faults.add(Timeout(hold_s=0.02))
    assert await raw_exchange(server) == ([], "reset")


async def test_clearing_the_faults_lets_a_held_request_go(server, partner):
    """It is seen in the log while it hangs."""
    partner.faults.add(Timeout())
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(raw_exchange(server))
        await partner.wait_for(lambda: partner.faults.shown == 1)
        partner.faults.clear()
    assert held.result() == ([], "reset")


async def test_a_reset_before_the_answer_is_a_real_reset(server, client, partner):
    """No byte arrives, and the client's library calls it a read error."""
    partner.faults.add(Reset(times=2))
    assert await raw_exchange(server) == ([], "reset")
    with pytest.raises(httpx.ReadError):
        await client.post(GRAPHQL, json={"query": DOCUMENT})
    assert partner.members("aud_7Hx") == frozenset()


async def test_a_reset_before_the_answer_may_come_after_the_deed(server, partner):
    """The client cannot know."""
    partner.faults.add(Reset(carried_out=True))
    assert await raw_exchange(server) == ([], "reset")
    assert partner.members("aud_7Hx") == IN


async def test_a_reset_during_the_answer_cuts_it_off(server, client, partner):
    """Status and half a body came through; the request had been carried out."""
    partner.faults.add(Reset(when="during", times=2))
    chunks, ending = await raw_exchange(server)
    got = b"".join(chunk for _, chunk in chunks)
    assert ending == "reset"
    assert got == b"" or got.startswith(b"HTTP/1.1 200 OK")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await client.post(GRAPHQL, json={"query": DOCUMENT})
    assert partner.members("aud_7Hx") == IN


@pytest.mark.parametrize(("keep_bytes", "kept"), [(7, b'{"data"'), (0, b""), (None, None)])
async def test_a_truncated_answer_is_closed_properly_and_too_short(server, partner, keep_bytes, kept):
    """Content-Length promises more than comes before the FIN."""
    partner.faults.add(Truncate(keep_bytes=keep_bytes))
    chunks, ending = await raw_exchange(server)
    head, _, body = b"".join(chunk for _, chunk in chunks).partition(b"\r\n\r\n")
    promised = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert ending == "closed"
    assert body == kept if kept is not None else len(body) == promised // 2
    assert len(body) < promised


async def test_a_truncation_longer_than_the_answer_leaves_it_whole(post, partner):
    """There is nothing to cut."""
    partner.faults.add(Truncate(keep_bytes=10_000))
    assert (await post(DOCUMENT)).json() == {"data": CLEAN}


async def test_down_drops_everyone_even_without_a_token_until_cleared(server, client, partner):
    """Nobody is there to check a path or a token; afterwards all is well."""
    partner.faults.add(Down(times=None))
    for _ in range(3):
        assert await raw_exchange(server) == ([], "reset")
    with pytest.raises(httpx.TransportError):
        await client.get("/stackadapt/nothing", headers={"authorization": ""})
    partner.faults.clear()
    assert (await client.post(GRAPHQL, json={"query": DOCUMENT})).json() == {"data": CLEAN}
    assert partner.counts()["status_none"] == 4


@pytest.mark.parametrize("status", [200, 204, 304, 400, 403, 408, 422, 423, 429, 500, 501, 503, 599])
@pytest.mark.parametrize(("body", "starts"), [("json", b'{"errors"'), ("html", b"<!doctype html>"), ("empty", b"")])
async def test_any_status_with_any_body(post, partner, status, body, starts):
    """Nothing is carried out, and a status that allows no body has none."""
    partner.faults.add(Status(status=status, body=body))
    answer = await post(DOCUMENT)
    assert answer.status_code == status
    assert answer.content.startswith(b"" if status in (204, 304) else starts)
    assert partner.lists.profiles == {}
    assert (await post(DOCUMENT)).json() == {"data": CLEAN}


@pytest.mark.parametrize("retry_after", [7, "7", "Sun, 22 Nov 2026 08:00:00 GMT"])
async def test_retry_after_is_sent_as_given(post, partner, retry_after):
    """Seconds or a date."""
    partner.faults.add(Status(status=429, retry_after=retry_after))
    assert (await post(DOCUMENT)).headers["retry-after"] == str(retry_after)
    partner.faults.add(Status(status=429))
    assert "retry-after" not in (await post(DOCUMENT)).headers


async def test_a_status_may_come_after_the_deed(post, partner):
    """A 500 that lies."""
    partner.faults.add(Status(status=500, carried_out=True))
    assert (await post(DOCUMENT)).status_code == 500
    assert partner.members("aud_7Hx") == IN


async def test_top_level_errors_come_with_a_200_and_no_data(post, partner):
    """The refusal that only a reader of bodies notices."""
    partner.faults.add(Errors(message="Maintenance"))
    answer = await post(DOCUMENT)
    assert (answer.status_code, answer.json()) == (200, {"data": None, "errors": [{"message": "Maintenance"}]})
    assert partner.lists.profiles == {}


async def test_user_errors_refuse_one_field_and_the_others_take_effect(post, partner):
    """The profiles are refused, the mapping before them is stored."""
    partner.faults.add(UserErrors(target="upsertProfiles", message="Locked", path=("input", "profiles")))
    answer = await post(DOCUMENT)
    assert answer.json() == {"data": CLEAN | {"upsertProfiles": {"userErrors": [{"message": "Locked"}]}}}
    assert (partner.lists.profiles, len(partner.lists.profile_mappings)) == ({}, 1)
    assert partner.violations == ()


@pytest.mark.parametrize(("times", "expected"), [(1, [503, 200, 200]), (2, [503, 503, 200]), (None, [503, 503, 503])])
async def test_a_fault_is_shown_as_often_as_told(post, partner, times, expected):
    """Once, n times, or until cleared."""
    partner.faults.add(Status(times=times))
    assert [(await post(DOCUMENT)).status_code for _ in range(3)] == expected
    partner.faults.clear()
    assert (await post(DOCUMENT)).status_code == 200
    assert partner.counts()["faults"] == expected.count(503)


async def test_a_targeted_fault_waits_for_its_root_field(post, partner):
    """Other documents pass."""
    partner.faults.add(Status(status=500, target="upsertProfiles"))
    assert (await post("{ tokenInfo { name } }")).status_code == 200
    assert (await post(mutation(mapping_field()))).status_code == 200
    assert (await post("mutation { upsertProfiles(")).status_code == 200
    assert (await post(DOCUMENT)).status_code == 500


async def test_faults_are_shown_in_the_order_they_were_armed(post, partner):
    """One request meets one fault."""
    for status in (500, 429, 502):
        partner.faults.add(Status(status=status))
    assert [(await post(DOCUMENT)).status_code for _ in range(4)] == [500, 429, 502, 200]


async def test_a_fault_comes_after_the_token_check_and_before_the_bodys(client, partner):
    """The order of the checks holds for injected faults too."""
    partner.faults.add(Status(status=500))
    assert (await client.post(GRAPHQL, headers={"authorization": ""})).status_code == 401
    assert (await client.get(GRAPHQL)).status_code == 404
    assert (await client.post(GRAPHQL, content=b"not json")).status_code == 500


async def test_the_queue_of_faults_is_bounded(partner):
    """One more than FAULTS_MAX is an error to who arms it."""
    for _ in range(FAULTS_MAX):
        partner.faults.add(Status())
    with pytest.raises(ValueError, match="clear them"):
        partner.faults.add(Status())
