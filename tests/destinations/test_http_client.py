"""The way out, against real servers on 127.0.0.1 that answer byte by byte what a test scripts."""

import asyncio
import gzip
import logging
import random
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.core.http_messages import ANSWER_BYTES_MAX, NoAnswerError, Request
from gateway.destinations import http_client
from gateway.destinations.http_client import PartnerHttp

pytestmark = pytest.mark.anyio

CERTIFICATE = Path(__file__).with_name("localhost.pem")
EXPIRED = Path(__file__).with_name("expired.pem")
ELSEWHERE = Path(__file__).with_name("other.pem")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that hands each connection to `handler`; gives its address."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=context)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def client() -> AsyncIterator[PartnerHttp]:
    http = PartnerHttp(version="1.2.3")
    try:
        yield http
    finally:
        await http.aclose()


async def read_request(reader: asyncio.StreamReader) -> tuple[list[str], bytes]:
    """Head lines and body by Content-Length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    length = next((int(line.split(":")[1]) for line in head if line.lower().startswith("content-length:")), 0)
    return head, await reader.readexactly(length)


def answering(raw: bytes, seen: list[tuple[list[str], bytes]] | None = None) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if seen is not None:
                seen.append(request)
            writer.write(raw)
            await writer.drain()

    return handler


def ok(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def post(url: str, body: bytes = b"{}", **more: object) -> Request:
    return Request(method="POST", url=url, headers={"content-type": "application/json"}, body=body, **more)  # type: ignore[arg-type]


async def test_a_request_goes_out_as_built_and_its_answer_comes_back() -> None:
    """Path and query byte for byte, our User-Agent, exact length, no chunks, lower-case answer headers."""
    seen: list[tuple[list[str], bytes]] = []
    target = "/a%2Fb/../c?X-Sig=a%2Bb%2f&p=d+e&q='x'|~&empty="
    async with serving(answering(ok(b'{"a":1}', "X-Trace: T"), seen)) as url, client() as http:
        answer = await http.lane(allow_private=True).send(post(url + target, b'{"n":1}'))
    assert (answer.status, answer.headers["x-trace"], answer.body) == (200, "T", b'{"a":1}')
    head, body = seen[0]
    assert head[0] == f"POST {target} HTTP/1.1"
    headers = {line.split(": ")[0].lower(): line.split(": ")[1] for line in head[1:]}
    assert headers["user-agent"] == "audience-gateway/1.2.3"
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == "7"
    assert "transfer-encoding" not in headers
    assert body == b'{"n":1}'


async def test_no_content_type_is_made_up() -> None:
    """A presigned upload may be signed over exactly the headers we were given."""
    seen: list[tuple[list[str], bytes]] = []
    async with serving(answering(ok(b""), seen)) as url, client() as http:
        await http.lane(allow_private=True).send(Request(method="PUT", url=url, headers={}, body=b"x"))
    assert not [line for line in seen[0][0] if line.lower().startswith("content-type")]


async def test_statuses_and_redirects_are_answers() -> None:
    """Nothing is followed, nothing raised."""
    raw = ok(b"", "Location: http://127.0.0.1:1/elsewhere", "Set-Cookie: a=b", status="302 Found")
    seen: list[tuple[list[str], bytes]] = []
    async with serving(answering(raw, seen)) as url, client() as http:
        lane = http.lane(allow_private=True)
        assert [(await lane.send(post(url))).status for _ in range(2)] == [302, 302]
    assert not [line for line in seen[1][0] if line.lower().startswith("cookie")]


async def test_a_file_is_streamed_with_its_length(tmp_path: Path) -> None:
    """Larger than one chunk, not sent in chunks."""
    path = tmp_path / "list.csv"
    content = bytes(range(256)) * 4096
    path.write_bytes(content)
    seen: list[tuple[list[str], bytes]] = []
    async with serving(answering(ok(b"kept"), seen)) as url, client() as http:
        request = Request(method="PUT", url=url, headers={}, body_file=str(path))
        assert (await http.lane(allow_private=True).send(request)).body == b"kept"
    head, body = seen[0]
    assert f"content-length: {len(content)}" in [line.lower() for line in head]
    assert not [line for line in head if line.lower().startswith("transfer-encoding")]
    assert body == content


@pytest.mark.parametrize("size", [http_client.BODY_BYTES_AT_ONCE, http_client.BODY_BYTES_AT_ONCE + 1])
async def test_a_large_body_arrives_whole_with_its_length(size: int) -> None:
    """As one piece or as many: aiohttp warns of larger ones, and warnings are errors here."""
    content = random.Random(size).randbytes(size)
    seen: list[tuple[list[str], bytes]] = []
    async with serving(answering(ok(b"kept"), seen)) as url, client() as http:
        assert (await http.lane(allow_private=True).send(post(url, content))).body == b"kept"
    head, body = seen[0]
    assert [line for line in head if line.lower().startswith(("content-length", "transfer-encoding"))] == [
        f"content-length: {size}"
    ]
    assert body == content


@pytest.mark.parametrize(("connect_s", "timeout_s"), [(0.1, 30.0), (None, 0.2), (30.0, 0.2)])
async def test_a_connection_that_does_not_come_about_is_not_waited_for_all_the_time(
    connect_s: float | None, timeout_s: float
) -> None:
    """A server that never says a word of TLS: the request's own bound, and at most half of the whole time."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass

    async with serving(silent) as url, client() as http, asyncio.timeout(5):
        request = post(url.replace("http:", "https:"), connect_s=connect_s, timeout_s=timeout_s)
        with pytest.raises(NoAnswerError) as error:
            await http.lane(allow_private=True).send(request)
    assert (error.value.reason, error.value.sent) == ("no connection within the time allowed", False)


async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a body with rests between its pieces, longer together than the patience the tests have."""
    await reader.readuntil(b"\r\n\r\n")
    for _ in range(UPLOAD_BYTES // SIP_BYTES):
        await reader.readexactly(SIP_BYTES)
        await asyncio.sleep(0.02)
    writer.write(ok(b"kept"))
    await writer.drain()


UPLOAD_BYTES, SIP_BYTES = 16 * 1024 * 1024, 512 * 1024


@pytest.mark.parametrize("spooled", [True, False])
async def test_an_upload_may_take_long_while_it_moves_and_not_stand_still(tmp_path: Path, spooled: bool) -> None:
    """The time begins anew with every piece taken; a host that takes nothing is given up soon."""
    content = b"x" * UPLOAD_BYTES
    path = tmp_path / "list"
    path.write_bytes(content)

    def upload(url: str, idle_s: float) -> Request:
        body = {"body_file": str(path)} if spooled else {"body": content}
        return Request(method="PUT", url=url, headers={}, timeout_s=30.0, idle_s=idle_s, **body)

    async with serving(slowly) as url, client() as http:
        assert (await http.lane(allow_private=True).send(upload(url, 0.4))).body == b"kept"

    given_up = asyncio.Event()

    async def takes_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await given_up.wait()

    async with serving(takes_nothing) as url, client() as http:
        with pytest.raises(NoAnswerError, match=r"stood still for 0\.2 s") as error:
            await http.lane(allow_private=True).send(upload(url, 0.2))
        given_up.set()
    assert error.value.sent


async def refuses_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers before it has read the body, as storage hosts do to a signature that is not right."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    await writer.drain()
    await reader.read()


async def test_an_answer_that_comes_before_the_end_of_the_upload_counts(tmp_path: Path) -> None:
    """It says more than the closed connection behind it."""
    path = tmp_path / "list"
    path.write_bytes(b"x" * UPLOAD_BYTES)
    async with serving(refuses_early) as url, client() as http:
        request = Request(method="PUT", url=url, headers={}, body_file=str(path), timeout_s=10.0, idle_s=5.0)
        answer = await http.lane(allow_private=True).send(request)
    assert (answer.status, answer.body) == (403, b"no")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("spooled", [True, False])
async def test_a_request_goes_out_once(tmp_path: Path, method: str, spooled: bool) -> None:
    """After a reset nothing repeats it in secret, on a connection that was used before neither."""
    path = tmp_path / "list"
    path.write_bytes(b"x" * 1000)
    seen: list[bytes] = []

    async def answers_then_resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append((await read_request(reader))[1])
            if len(seen) != 1:
                writer.transport.abort()
                return
            writer.write(ok(b"kept"))
            await writer.drain()

    async with serving(answers_then_resets) as url, client() as http:
        lane = http.lane(allow_private=True)
        body = {"body_file": str(path)} if spooled else {"body": b"x" * 1000}
        request = Request(method=method, url=url, headers={}, **body)
        assert (await lane.send(request)).body == b"kept"
        with pytest.raises(NoAnswerError, match="closed before the answer"):
            await lane.send(request)
    assert len(seen) == 2


async def test_a_missing_file_is_told_without_its_path(tmp_path: Path) -> None:
    """And counts as never sent."""
    async with client() as http:
        request = Request(method="PUT", url="http://127.0.0.1:9/", headers={}, body_file=str(tmp_path / "jane.csv"))
        with pytest.raises(NoAnswerError) as error:
            await http.lane(allow_private=True).send(request)
    assert not error.value.sent
    assert "jane" not in error.value.reason


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(gzip.compress(b"x" * 1000), "gzip"), (zlib.compress(b"x" * 1000), "deflate"), (b"x" * 1000, "identity")],
)
async def test_compressed_answers_are_read(body: bytes, encoding: str) -> None:
    """The two encodings we ask for, and none."""
    async with serving(answering(ok(body, f"Content-Encoding: {encoding}"))) as url, client() as http:
        assert (await http.lane(allow_private=True).send(post(url))).body == b"x" * 1000


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(gzip.compress(bytes(64 << 20)), "gzip"), (bytes(ANSWER_BYTES_MAX + 100_000), "identity")],
)
async def test_an_endless_answer_is_cut_off(body: bytes, encoding: str) -> None:
    """A gzip bomb and a plain flood end at the bound."""
    async with serving(answering(ok(body, f"Content-Encoding: {encoding}"))) as url, client() as http:
        assert (await http.lane(allow_private=True).send(post(url))).body == bytes(ANSWER_BYTES_MAX)


async def test_nested_compression_is_not_unwrapped() -> None:
    """Two layers multiply; no partner uses them, so they stay as they are."""
    body = gzip.compress(gzip.compress(bytes(1000)))
    async with serving(answering(ok(body, "Content-Encoding: gzip, gzip"))) as url, client() as http:
        assert (await http.lane(allow_private=True).send(post(url))).body == body


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.transport.abort()


async def half_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"SSH-2.0-server\r\n\r\n")
    await writer.drain()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte every 20 ms: each read is in time, the whole never is."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (hang, "no answer within"),
        (drip, "no answer within"),
        (close_at_once, "the connection was closed before the answer"),
        (reset, "the connection was closed before the answer"),
        (half_an_answer, "the answer was cut off"),
        (no_http, "no usable answer"),
        (answering(ok(b"not gzip", "Content-Encoding: gzip")), "the answer's compression is broken"),
    ],
)
async def test_what_fails_after_sending_says_so(handler: Handler, reason: str) -> None:
    """The partner may have acted: `sent` is true."""
    async with serving(handler) as url, client() as http:
        with pytest.raises(NoAnswerError) as error:
            await http.lane(allow_private=True).send(post(url + "/?secret=1", timeout_s=0.3))
    assert error.value.reason.startswith(reason)
    assert error.value.sent
    assert "secret" not in error.value.reason


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{closed}/",
        "http://nobody.invalid/",
        "ftp://127.0.0.1/x",
        "http:///x",
        "http://[::g/",
        "no url",
    ],
)
async def test_what_fails_before_sending_says_so(url: str) -> None:
    """Refused, unknown names, addresses that are none."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    async with client() as http:
        with pytest.raises(NoAnswerError) as error:
            await http.lane(allow_private=True).send(post(url.replace("{closed}", str(closed))))
    assert not error.value.sent


async def test_a_header_that_breaks_the_line_is_not_sent() -> None:
    """A token with a line break in it cannot smuggle a header, and is not quoted in the error."""
    seen: list[tuple[list[str], bytes]] = []
    async with serving(answering(ok(b""), seen)) as url, client() as http:
        request = Request(method="POST", url=url, headers={"authorization": "tok\r\nx-evil: 1"}, body=b"")
        with pytest.raises(NoAnswerError) as error:
            await http.lane(allow_private=True).send(request)
    assert (error.value.sent, seen) == (False, [])
    assert "tok" not in error.value.reason


async def test_a_tls_failure_is_told_as_such() -> None:
    """A server that speaks no TLS."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(16)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(plain) as url, client() as http:
        with pytest.raises(NoAnswerError) as error:
            await http.lane(allow_private=True).send(post(url.replace("http:", "https:")))
    assert (error.value.reason, error.value.sent) == ("the TLS handshake failed", False)


@pytest.mark.parametrize(("ca_file", "is_trusted"), [(None, False), (str(CERTIFICATE), True)])
async def test_certificates_are_verified(ca_file: str | None, is_trusted: bool) -> None:
    """A self-signed one only where the operator named it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    http = PartnerHttp(version="0", ca_file=ca_file)
    async with serving(answering(ok(b"safe")), context) as url:
        sending = http.lane(allow_private=True).send(post(url.replace("http:", "https:")))
        if is_trusted:
            assert (await sending).body == b"safe"
        else:
            with pytest.raises(NoAnswerError) as error:
                await sending
            reason = "the TLS handshake failed: the partner's certificate is of no authority that is trusted"
            assert (error.value.reason, error.value.sent) == (reason, False)
        await http.aclose()


@pytest.mark.parametrize(("pem", "words"), [(EXPIRED, "has expired"), (ELSEWHERE, "is for another host")])
async def test_what_is_wrong_with_a_partners_certificate_is_told(pem: Path, words: str) -> None:
    """Whoever has to mend it cannot guess."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    http = PartnerHttp(version="0", ca_file=str(pem))
    async with serving(answering(ok(b"")), context) as url:
        with pytest.raises(NoAnswerError) as error:
            await http.lane(allow_private=True).send(post(url.replace("http:", "https:")))
    await http.aclose()
    assert (error.value.reason, error.value.sent) == (
        f"the TLS handshake failed: the partner's certificate {words}",
        False,
    )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "somebody@127.0.0.1",
        "a@b@127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
    ],
)
async def test_private_addresses_are_refused_unless_the_operator_wrote_them(host: str) -> None:
    """By literal, by name and by the short forms that only a resolver understands."""
    async with client() as http:
        with pytest.raises(NoAnswerError) as error:
            await http.lane(allow_private=False).send(post(f"http://{host}:9/", timeout_s=2))
    assert not error.value.sent
    assert error.value.reason in {
        "the address is not public",
        "the host name could not be resolved to an allowed address",
        "the address is not a usable URL",
    }


async def test_a_hanging_lane_takes_no_connection_from_another() -> None:
    """One lane fills its own connections with requests that are never answered; the other's go through."""
    async with serving(hang) as slow, serving(answering(ok(b"ok"))) as fast, client() as http:
        stuck_lane, lane = http.lane(allow_private=True, connections_max=8), http.lane(allow_private=True)
        stuck = [asyncio.ensure_future(stuck_lane.send(post(slow, timeout_s=30))) for _ in range(200)]
        answers = await asyncio.gather(*(lane.send(post(fast)) for _ in range(50)))
        assert [answer.body for answer in answers] == [b"ok"] * 50
        assert not any(one.done() for one in stuck)
        for one in stuck:
            one.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_nothing_is_logged_about_a_request(caplog: pytest.LogCaptureFixture) -> None:
    """httpx writes URLs at info level; ours may carry signatures."""
    caplog.set_level(logging.INFO)
    async with serving(answering(ok(b"ok"))) as url, client() as http:
        await http.lane(allow_private=True).send(post(url + "/?sig=abc"))
    assert "sig=abc" not in caplog.text
