"""`limits.tls`: a partner that asks for a client certificate, on a real TLS server; and every way such a file can be wrong."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from http_audience_cases import NOW_US, SMALL, changed, loaded, owed_of, previewed, problems_of

from gateway.config.folder import read_folder
from gateway.config.rulebooks import compile_rulebook
from gateway.config.secrets import SecretSource
from gateway.core.http_messages import NoAnswerError, Request, Tls
from gateway.core.outcomes import Delivered, Unauthorized, Unreachable
from gateway.destinations import http_client
from gateway.destinations.base import Batch, Context
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rehearsal import FreshNotes
from gateway.destinations.tls import tls_problem
from gateway.service.shelf import Shelf

HERE = Path(__file__).parents[1]
OURS, OTHER = HERE / "localhost.pem", HERE / "other.pem"
PEM, OTHER_PEM = OURS.read_text(), OTHER.read_text()
KEY = PEM[PEM.index("-----BEGIN PRIVATE KEY-----") :]
CERTIFICATE = PEM[PEM.index("-----BEGIN CERTIFICATE-----") : PEM.index("-----BEGIN PRIVATE KEY-----")]
OTHER_CERTIFICATE = OTHER_PEM[OTHER_PEM.index("-----BEGIN CERTIFICATE-----") : OTHER_PEM.index("-----BEGIN PRIV")]


@asynccontextmanager
async def partner(*, asks: bool = True) -> AsyncIterator[tuple[str, list[str]]]:
    """A TLS server that takes everything; asks: only from clients that show the certificate of `localhost.pem`.

    Gives its address, and a list of the paths it was asked for.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(OURS)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(OURS)
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(one.split(":")[1]) for one in head.splitlines() if one.lower().startswith("content-l")
                )
                await reader.readexactly(length)
                seen.append(head.split()[1])
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()
        await server.wait_closed()


def definition(url, **tls):
    return changed(SMALL, base_url=url, limits={"allow_private": True, **({"tls": tls} if tls else {})})


async def sent(destination, settings=None):
    """The outcome for one person."""
    http = PartnerHttp(version="0")
    context = Context(http=http.lane(allow_private=True), notes=FreshNotes(), now_us=NOW_US)
    owed = owed_of([{"email": "ana@example.com"}])
    batch = Batch(action="syncAudience", settings=settings or {}, owed=owed, corrections=frozenset())
    try:
        return (await destination.perform(batch, context)).outcomes[0]
    finally:
        await http.aclose()


SHOWN = [  # What the definition says of the certificate, the settings of the destination, the environment.
    ({"certificate": str(OURS)}, {}, {}),
    ({"certificate": {"$file": str(OURS)}, "key": {"$file": str(OURS)}}, {}, {}),
    ({"certificate": {"$env": "CERT"}, "key": {"$env": "KEY"}}, {}, {"CERT": CERTIFICATE, "KEY": KEY}),
    ({"certificate": {"$secret": "cert"}, "key": {"$secret": "key"}}, {"cert": CERTIFICATE, "key": KEY}, {}),
    ({"certificate": {"$secret": "CERT"}, "key": {"$secret": "KEY"}}, {"KEY": KEY}, {"CERT": CERTIFICATE}),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("tls", "settings", "variables"), SHOWN)
async def test_a_partner_that_asks_for_a_certificate_is_shown_it(tls, settings, variables):
    """From a file, the environment, or a setting; its key beside it or apart; its server trusted by our own authority."""
    async with partner() as (url, seen):
        destination = loaded(definition(url, authorities=str(OURS), **tls), **variables)
        assert destination.check_settings(settings, frozenset()) == []
        assert await sent(destination, settings) == Delivered()
        assert seen == ["/people"]


@pytest.mark.anyio
@pytest.mark.parametrize("certificate", [None, str(OTHER)])
async def test_without_the_right_certificate_nobody_gets_through(certificate):
    """The lane fails as with any partner that closes the connection, and nothing was read there. A refusal is guessed at."""
    tls = {"authorities": str(OURS)} | ({"certificate": certificate} if certificate else {})
    async with partner() as (url, seen):
        outcome = await sent(loaded(definition(url, **tls)))
        assert isinstance(outcome, Unreachable)
        assert ("the client certificate may have been refused" in outcome.reason) == (certificate is not None)
        assert seen == []


@pytest.mark.anyio
async def test_the_partner_is_verified_whatever_is_shown():
    """A certificate of ours makes theirs no better."""
    async with partner() as (url, seen):
        outcome = await sent(loaded(definition(url, certificate=str(OURS))))
        assert isinstance(outcome, Unreachable)
        assert "TLS handshake failed" in outcome.reason
        assert (outcome.sent, seen) == (False, [])


@pytest.mark.anyio
async def test_the_environment_has_no_say_in_whom_to_trust(monkeypatch):
    """With a certificate of ours as without: the shipped authorities, or those that are named."""
    monkeypatch.setenv("SSL_CERT_FILE", str(OURS))
    async with partner(asks=False) as (url, seen):
        for tls in ({}, {"certificate": str(OURS)}):
            outcome = await sent(loaded(definition(url, **tls)))
            assert isinstance(outcome, Unreachable)
            assert "TLS handshake failed" in outcome.reason
        assert seen == []


@pytest.mark.anyio
async def test_other_hosts_do_not_see_the_certificate():
    """A storage host that an answer names is connected to as by everybody, and so not by way of our own authority."""
    async with partner(asks=False) as (other, _), partner() as (url, _):
        foreign = other.replace("localhost", "127.0.0.1")
        steps = [
            {"method": "POST", "path": "/people", "body": {"n": 1}},
            {"method": "PUT", "path": f"{foreign}/upload", "body": {"n": 1}},
        ]
        value = definition(url, certificate=str(OURS), authorities=str(OURS))
        value["limits"]["allow_hosts"] = [foreign.removeprefix("https://")]
        value["actions"]["add"] = {"steps": steps}
        outcome = await sent(loaded(value))
    assert isinstance(outcome, Unreachable)
    assert "TLS handshake failed" in outcome.reason


def test_a_renewed_file_counts_from_the_next_batch_on(tmp_path):
    """Certificates end; nobody restarts the gateway for a new one."""
    path = tmp_path / "client.pem"
    path.write_text(OTHER_PEM)

    async def twice():
        async with partner() as (url, _):
            destination = loaded(definition(url, certificate=str(path), authorities=str(OURS)))
            first = await sent(destination)
            path.write_text(PEM)
            return first, await sent(destination)

    first, second = asyncio.run(twice())
    assert isinstance(first, Unreachable)
    assert second == Delivered()


BROKEN = [  # Where the text is, and what is said of it.
    ({"certificate": "/nowhere/client.pem"}, "`limits.tls.certificate`: the file /nowhere/client.pem cannot be read"),
    ({"certificate": {"$env": "NO_CERT"}}, "`NO_CERT`, which `limits.tls.certificate` names, is no environment variable"),
    ({"certificate": {"$secret": "CERT"}}, "is neither a setting nor an environment variable"),
    ({"certificate": {"$env": "JUNK"}}, "The client certificate is no PEM certificate"),
    ({"certificate": {"$env": "BARE"}}, "There is no private key"),
    ({"certificate": {"$env": "BARE"}, "key": {"$env": "OTHER"}}, "do not belong together"),
    ({"certificate": {"$env": "BARE"}, "key": {"$env": "LOCKED"}}, "is encrypted; give it without a passphrase"),
    ({"certificate": {"$env": "BARE"}, "key": {"$env": "TORN"}}, "cannot be read"),
    ({"authorities": {"$env": "JUNK"}}, "The authorities hold no PEM certificate"),
    ({"authorities": {"$env": "TORN_CERT"}}, "The authorities hold a certificate that cannot be read"),
]  # fmt: skip
TEXTS = {
    "JUNK": "junk", "BARE": CERTIFICATE, "OTHER": OTHER_PEM[OTHER_PEM.index("-----BEGIN PRIV") :],
    "LOCKED": KEY.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "TORN": KEY.replace("M", "!"),
    "TORN_CERT": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
}  # fmt: skip


@pytest.mark.parametrize(("tls", "words"), BROKEN)
def test_a_certificate_that_cannot_be_used_holds_the_lane_with_a_sentence(tls, words):
    """The sentence holds nothing of it; no request is made."""
    destination = loaded(definition("https://localhost:9", **tls), **TEXTS)
    (problem,) = destination.check_settings({}, frozenset())
    assert words in problem
    assert not any(line in problem for line in PEM.splitlines() if len(line) > 20)
    outcome = asyncio.run(sent(destination))
    assert isinstance(outcome, Unauthorized)
    assert words in outcome.reason


@pytest.mark.parametrize(("enabled", "severity"), [(True, "error"), (False, "warning")])
def test_a_missing_certificate_is_told_when_the_files_are_loaded(tmp_path, enabled, severity):
    """An error where the destination is enabled, so that what is in force stays in force."""
    (tmp_path / "destinations").mkdir()
    value = definition("https://api.small.example", certificate=str(tmp_path / "absent.pem"))
    (tmp_path / "destinations" / "small.json").write_text(json.dumps(value))
    mapping = {"destination": "small", "enabled": enabled, "mappings": [{"name": "All"}]}
    (tmp_path / "s.json").write_text(json.dumps(mapping))
    shelf = Shelf({})
    loading = compile_rulebook(read_folder(tmp_path), shelf.definitions, SecretSource(variables={}), shelf)
    (problem,) = [one for one in loading.problems if "absent.pem" in one.what]
    assert (problem.severity, problem.pointer, loading.value is None) == (severity, "/settings", enabled)


REFUSED = [
    ({"verify": False}, "/limits/tls/verify"),
    ({"key": "/a.pem"}, "/limits/tls/key"),
    ({"certificate": PEM}, "/limits/tls/certificate"),
    ({"certificate": 5}, "/limits/tls/certificate"),
    ({"certificate": ""}, "/limits/tls/certificate"),
    ({"certificate": {"$file": ""}}, "/limits/tls/certificate"),
    ({"certificate": {"$env": "no name"}}, "/limits/tls/certificate"),
    ({"certificate": {"$path": "/a.pem"}}, "/limits/tls/certificate"),
    ({"certificate": "/a.pem", "password": "x"}, "/limits/tls/password"),
]


@pytest.mark.parametrize(("tls", "pointer"), REFUSED)
def test_a_tls_block_that_is_wrong_is_refused_at_load(tls, pointer):
    """Verification cannot be switched off, and no PEM text stands in a definition."""
    assert pointer in [at for at, _ in problems_of(definition("https://api.small.example", **tls))]


def test_a_preview_needs_no_certificate():
    """It connects to nobody."""
    value = definition("https://api.small.example", certificate={"$secret": "CERT"})
    shown = previewed(value, [{"id": 1, "action": "add", "fields": {"email": "ana@example.com"}}])
    assert (len(shown["requests"]), shown["rejected"]) == (1, [])


@pytest.mark.anyio
async def test_certificates_that_were_renewed_often_leave_no_connections_behind(monkeypatch):
    """The oldest are closed, the plain ones and those in use are not."""
    monkeypatch.setattr(http_client, "POOLS_MAX", 3)
    http = PartnerHttp(version="0")
    lane = http.lane(allow_private=True)
    for number in range(6):
        tls = Tls(authorities=f"{'#' * number}\n{CERTIFICATE}")
        with pytest.raises(NoAnswerError):
            await lane.send(Request(method="GET", url="https://127.0.0.1:1/", headers={}, tls=tls))
    assert len(http._pools) == 3
    await http.aclose()


@pytest.mark.anyio
async def test_connections_are_not_forgotten_between_their_making_and_their_use(monkeypatch):
    """Several certificates for the first time at the same moment, and room for none of them."""
    monkeypatch.setattr(http_client, "POOLS_MAX", 0)
    http = PartnerHttp(version="0")
    async with partner(asks=False) as (url, _):
        requests = [
            Request(
                method="POST", url=url, headers={}, body=b"{}", tls=Tls(authorities=f"{'#' * number}\n{CERTIFICATE}")
            )
            for number in range(4)
        ]
        lane = http.lane(allow_private=True)
        answers = await asyncio.gather(*(lane.send(request) for request in (*requests, *requests)))
        assert {answer.status for answer in answers} == {200}
    await http.aclose()


def test_nothing_of_a_key_is_in_the_text_of_a_request():
    """Should one ever be printed."""
    assert "BEGIN" not in repr(
        Request(method="GET", url="https://a.example", headers={}, tls=Tls(certificate=PEM, key=KEY))
    )
    assert tls_problem(Tls(certificate=PEM)) == ""
