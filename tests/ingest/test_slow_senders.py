"""Senders that stall, stop, or never end, over raw sockets; waits are a tenth of a second here, and nothing sleeps."""

import json
import socket
from collections.abc import Iterator

import pytest
from ingest_harness import Gateway, read_answer, request

from gateway.core.sources import Source
from gateway.ingest.limits import IngestLimits

GOOD = json.dumps({"event": "E", "userId": "usr_1"}).encode()
SHORT = IngestLimits(
    body_idle_s=0.1,
    body_total_s=0.3,
    large_body_total_s=0.6,
    drain_s=0.2,
    header_s=0.1,
    drain_bytes_max=300_000,
    body_bytes_max=100_000,
    small_body_bytes=50_000,
    held_bytes_max=150_000,
)
HEAD = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def hasty() -> Iterator[Gateway]:
    with Gateway([Source(name="server", write_keys=("k",))], SHORT) as gateway:
        yield gateway


def ends(connection: socket.socket) -> bool:
    """Whether the server closes; reads whatever still comes."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def assert_others_are_served(gateway: Gateway) -> None:
    assert gateway.post("/v1/track", GOOD, key="k").status == 200


@pytest.mark.parametrize("sent", [b"", GOOD[:5]])
def test_a_body_that_stops_coming_is_408_and_closed(hasty: Gateway, sent: bytes) -> None:
    """`short_body`: the declared length never arrives, and the connection is held open."""
    hasty.take()
    with hasty.connect() as connection:
        connection.sendall(HEAD % 1000 + sent)
        assert_others_are_served(hasty)
        answer = read_answer(connection)
        assert (answer.status, answer.code, answer.is_closed) == (408, "body_timeout", True)
        assert ends(connection)
    assert len(hasty.take()) == 1


def test_a_body_that_drips_is_408_by_its_total_time(hasty: Gateway) -> None:
    """`slow_body`: each byte comes in time, the whole does not."""
    with hasty.connect() as connection:
        connection.settimeout(0.03)
        connection.sendall(HEAD % 1000)
        answer = None
        for _ in range(200):
            connection.sendall(b" ")
            try:
                answer = read_answer(connection)
                break
            except TimeoutError:
                continue
        assert answer is not None
        assert (answer.status, answer.code) == (408, "body_timeout")


def test_a_head_that_drips_is_closed(hasty: Gateway) -> None:
    """Slow headers; others are served meanwhile."""
    with hasty.connect() as connection:
        connection.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nX-")
        assert_others_are_served(hasty)
        assert read_answer(connection).status == 408
        assert ends(connection)


def test_a_sender_that_leaves_mid_body_leaves_nothing(hasty: Gateway) -> None:
    """`disconnect_mid_body`: no answer, nothing kept, and the next sender is served."""
    hasty.take()
    with hasty.connect() as connection:
        connection.sendall(HEAD % 1000 + GOOD)
        connection.shutdown(socket.SHUT_WR)
        assert ends(connection)
    assert_others_are_served(hasty)
    assert len(hasty.take()) == 1


def test_a_body_without_end_is_drained_within_bounds_and_closed(hasty: Gateway) -> None:
    """Chunked for ever: after the drain's bytes the answer comes, with `connection: close`."""
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    with hasty.connect() as connection:
        connection.sendall(b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 25)
        answer = read_answer(connection)
        assert (answer.status, answer.code, answer.is_closed) == (400, "payload_too_large", True)


def test_a_large_body_that_stalls_while_it_is_drained_is_answered_all_the_same(hasty: Gateway) -> None:
    """Content-Length says too much; the sender stops; after the drain's time it hears why."""
    with hasty.connect() as connection:
        connection.sendall(HEAD % 5_000_000 + b"x" * 1000)
        answer = read_answer(connection)
        assert (answer.status, answer.code, answer.is_closed) == (400, "payload_too_large", True)


def test_more_bodies_than_may_be_held_are_503(hasty: Gateway) -> None:
    """Two senders hold most of the buffer; the third is told to come back."""
    with hasty.connect() as first, hasty.connect() as second:
        for connection in (first, second):
            connection.sendall(HEAD % 90_000 + b"x" * 80_000)
        answers = {read_answer(connection).status for connection in (first, second)}
    assert answers == {408, 503}
    assert_others_are_served(hasty)
    assert hasty.app._bodies.held_bytes == 0


def test_surplus_bytes_are_never_taken_for_a_body(hasty: Gateway) -> None:
    """Content-Length smaller than what is sent: the surplus is no request, and the connection ends."""
    with hasty.connect() as connection:
        connection.sendall(HEAD % 10 + GOOD)
        assert read_answer(connection).code == "invalid_json"
        assert ends(connection)
    with hasty.connect() as connection:
        connection.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n")
        assert read_answer(connection).status == 400
        assert ends(connection)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 10\r\n",
        b"Content-Length: 10\r\nContent-Length: 11\r\n",
        b"Content-Length: ten\r\n",
        b"Content-Length: -1\r\n",
        b"".join(b"X-%d: a\r\n" % number for number in range(2_000)),
        b"X-Long: " + b"a" * 100_000 + b"\r\n",
        b"Authorization: Basic " + b"A" * 1_000_000 + b"\r\n",
        b"No colon at all\r\n",
    ],
)
def test_heads_that_cannot_be_trusted_are_refused_and_closed(hasty: Gateway, head: bytes) -> None:
    """Conflicting lengths, too many fields, too many bytes: 400 in the usual JSON."""
    with hasty.connect() as connection:
        try:
            connection.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
            answer = read_answer(connection)
        except (ConnectionResetError, BrokenPipeError):
            return  # The kernel threw the answer away with the unread rest; closed it is.
        assert answer.status == 400
        assert {"success", "code", "message", "error", "requestId"} <= answer.json.keys()
        assert ends(connection)


def test_a_url_without_end_is_refused(hasty: Gateway) -> None:
    """However it is cut into reads, it is not collected for ever."""
    with hasty.connect() as connection:
        try:
            connection.sendall(b"POST /v1/" + b"a" * 5_000_000)
            assert read_answer(connection).status == 400
        except (ConnectionResetError, BrokenPipeError):
            return  # The kernel threw the answer away with the unread rest; closed it is.
        assert ends(connection)


def test_trailers_without_end_are_refused(hasty: Gateway) -> None:
    """They come after the last chunk, where no body part tells that anything goes on."""
    with hasty.connect() as connection:
        try:
            connection.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
            connection.sendall(b"X-Trailer: " + b"a" * 5_000_000)
            assert read_answer(connection).status == 400
        except (ConnectionResetError, BrokenPipeError):
            return
        assert ends(connection)


@pytest.mark.parametrize("path", ["/v1/nothing", "/webhook/", "/"])
def test_a_large_body_to_an_unknown_path_is_read_before_the_answer(hasty: Gateway, path: str) -> None:
    """So that its sender sees the 404, and the connection serves the next request."""
    with hasty.connect() as connection:
        connection.sendall(request(path, b"x" * 250_000))
        assert read_answer(connection).status == 404
        connection.sendall(request("/v1/track", GOOD, key="k"))
        assert read_answer(connection).status == 200


def test_requests_follow_each_other_on_one_connection(hasty: Gateway) -> None:
    """Kept alive, after errors too, and when they are sent without waiting."""
    with hasty.connect() as connection:
        for body, status in ((GOOD, 200), (b"{", 400), (b"", 400), (GOOD, 200)):
            connection.sendall(request("/v1/track", body, key="k"))
            assert read_answer(connection).status == status


def test_a_client_that_waits_for_100_continue_gets_it(hasty: Gateway) -> None:
    """As curl does for larger bodies."""
    head, _, body = request("/v1/track", GOOD, {"Expect": "100-continue"}, key="k").partition(b"\r\n\r\n")
    with hasty.connect() as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert read_answer(connection).status == 200


def test_stopping_finishes_what_is_under_way_and_takes_nothing_new() -> None:
    """A request waits for its commit while the server stops: it gets its 200; on its open connection the next one is closed."""
    import asyncio

    gateway = Gateway([Source(name="server", write_keys=("k",))])
    with gateway:
        gate = gateway.inbox.gate = asyncio.Event()
        with gateway.connect() as connection:
            connection.sendall(request("/v1/track", GOOD, key="k"))
            assert gateway.inbox.entered.wait(5)
            stopping = asyncio.run_coroutine_threadsafe(gateway.server.stop(2.0), gateway.loop)
            while not gateway.app.is_closing:
                assert not stopping.done()
            gateway.loop.call_soon_threadsafe(gate.set)
            answer = read_answer(connection)
            assert answer.status == 200
            stopping.result(5)
            assert ends(connection)
        assert len(gateway.take()) == 1
        with pytest.raises(ConnectionRefusedError):
            gateway.connect()
    assert gateway.server._sockets == []


def test_a_request_that_comes_while_stopping_is_503() -> None:
    """It arrives on a connection that was already open."""
    with Gateway([Source(name="server", write_keys=("k",))]) as gateway:
        gateway.app.close()
        answer = gateway.post("/v1/track", GOOD, key="k")
        assert (answer.status, answer.code) == (503, "overloaded")
        assert gateway.post("/readyz", b"", method="GET").status == 503
