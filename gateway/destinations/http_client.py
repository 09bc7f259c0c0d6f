"""The only way out to partners, and the only module that imports httpx: bounds, time-outs, addresses, error reading.

Which pool, measured here (1.5 KB POST to a local server in another process, two cores, requests/s at 4, 32, 128
connections): httpx's own 1,570, 376, 68 (it looks at every connection at every request); `httpx-aiohttp` 3,720, 3,490,
2,650; aiohttp alone 11,560, 16,130, 9,020; this module, over `httpx-aiohttp`, 3,060, 2,840, 2,230. It sits behind
`httpx.AsyncBaseTransport`, so another kept transport changes `_Transport` and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import ipaddress
import logging
import os
import socket
import ssl
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import BinaryIO

import aiohttp
import aiohttp.abc
import aiohttp.resolver
import httpx
import httpx_aiohttp
import yarl

from gateway.core.http_messages import ANSWER_BYTES_MAX, Answer, NoAnswerError, Request, Tls
from gateway.destinations.tls import TlsError, client_context

CONNECT_S_MAX = 5.0  # Name, connection and TLS together, unless a request says otherwise.
IDLE_S_MAX = 15.0  # Below the 60 s (nginx) and 20 s (others) after which servers drop idle connections.
LANE_CONNECTIONS_MAX = 32
DNS_CACHE_S = 30
POOLS_MAX = 64  # kinds of connections: one for most, one for each client certificate
BODY_BYTES_AT_ONCE = 1024 * 1024  # aiohttp's own bound: it warns of larger ones, which hold up its loop.
UPLOAD_CHUNK_BYTES = 64 * 1024  # Within `Request.idle_s` the partner has to take one, so small enough for a slow line.
ANSWER_HEADERS_MAX = 200
CLOSED = "the connection was closed before the answer"

logging.getLogger("httpx").setLevel(logging.WARNING)  # It writes every URL at info, and a URL may carry a signature.

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052

_UNTRUSTED = "is of no authority that is trusted"
_FAULTS = {9: "is not valid yet", 10: "has expired", 62: "is for another host", 64: "is for another host"}
"""By OpenSSL's `X509_V_ERR_*`."""

# Requests that end in one of these never reached the partner: nothing has to be feared from sending them again.
_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)


class PartnerHttp:
    """One pool for all destinations; each lane takes its own view of it by `lane`.

    version: the gateway's, for `User-Agent`. ca_file: a PEM file of authorities to trust instead of the shipped ones.
    Environment variables (proxies, netrc, certificates) are not read, cookies are not kept, redirects not followed.
    """

    def __init__(self, *, version: str, ca_file: str | None = None) -> None:
        self._version = version
        self._ca_file = ca_file
        self._verify = _trusting_the_usual(ca_file)
        self._pools: OrderedDict[tuple[bool, Tls | None], _Pool] = OrderedDict()

    def lane(self, *, allow_private: bool, connections_max: int = LANE_CONNECTIONS_MAX) -> LaneHttp:
        """One configured destination's way out.

        allow_private: the operator wrote the address, so it may be private; otherwise only public ones are connected to.
        connections_max: requests at once; more wait here, where they cost no other lane anything.
        """
        return LaneHttp(self, allow_private=allow_private, connections_max=connections_max)

    @asynccontextmanager
    async def client(self, *, allow_private: bool, tls: Tls | None) -> AsyncIterator[httpx.AsyncClient]:
        """The connections of all requests that need the same of them. Raises TlsError."""
        pool = self._pools.get((allow_private, tls))
        if pool is None:
            pool = _Pool(self._made(allow_private=allow_private, tls=tls))
            self._pools[allow_private, tls] = pool
        self._pools.move_to_end((allow_private, tls))
        pool.in_flight += 1  # before anything is waited for: what is in use is not forgotten
        try:
            await self._forget_oldest()
            yield pool.client
        finally:
            pool.in_flight -= 1

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.client.aclose()

    def _made(self, *, allow_private: bool, tls: Tls | None) -> httpx.AsyncClient:
        verify = self._verify if tls is None else client_context(tls, usual=_trusting_the_usual, ca_file=self._ca_file)
        return httpx.AsyncClient(
            transport=_Transport(verify=verify, allow_private=allow_private),
            headers={"user-agent": f"audience-gateway/{self._version}", "accept-encoding": "gzip, deflate"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
        )

    async def _forget_oldest(self) -> None:
        """Close what a renewed certificate has left behind, never what is in use."""
        idle = [key for key, pool in self._pools.items() if pool.in_flight == 0 and key[1] is not None]
        forgotten = [self._pools.pop(key) for key in idle[: max(0, len(self._pools) - POOLS_MAX)]]
        for pool in forgotten:
            await pool.client.aclose()


def _trusting_the_usual(ca_file: str | None) -> ssl.SSLContext:
    """Trusts the authorities of a file, else the shipped ones; Python's own default would ask the environment."""
    return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context(trust_env=False)


class _Pool:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.in_flight = 0


class LaneHttp:
    """`base.HttpClient` for one lane."""

    def __init__(self, http: PartnerHttp, *, allow_private: bool, connections_max: int) -> None:
        self._http = http
        self._allow_private = allow_private
        self._slots = asyncio.Semaphore(connections_max)

    async def send(self, request: Request) -> Answer:
        """Exchange one request within `request.timeout_s`, from the first byte out to the last one in.

        The answer's body is decoded (gzip, deflate) and cut at ANSWER_BYTES_MAX.
        Raises NoAnswerError, never anything else but a cancellation.
        """
        async with self._slots:
            idle = asyncio.timeout(request.idle_s)
            try:
                async with (
                    asyncio.timeout(request.timeout_s),
                    idle,
                    self._http.client(allow_private=self._allow_private, tls=request.tls) as client,
                ):
                    return await self._exchange(client, request, idle)
            except TimeoutError:
                late = f"no answer within {request.timeout_s:g} s"
                if idle.expired():
                    late = f"the upload stood still for {request.idle_s:g} s"
                raise NoAnswerError(late, sent=True) from None
            except TlsError as error:
                raise NoAnswerError(str(error), sent=False) from None
            except (httpx.HTTPError, aiohttp.ClientError) as error:
                raise _no_answer(error, request.tls) from None
            except zlib.error:
                raise NoAnswerError("the answer's compression is broken", sent=True) from None
            except (OSError, ValueError, httpx.InvalidURL) as error:
                # The texts of these can hold the URL, a header or a path, so only the kind is told.
                raise NoAnswerError(f"the request could not be made ({type(error).__name__})", sent=False) from None

    async def _exchange(self, client: httpx.AsyncClient, request: Request, idle: asyncio.Timeout) -> Answer:
        # Half at most: when the whole time is over, the request had a connection, so the partner may have seen it.
        connect_s = min(request.connect_s or CONNECT_S_MAX, request.timeout_s / 2)
        prepared = client.build_request(
            request.method,
            request.url,
            headers=_headers(request),
            content=_chunks(request, idle) if _is_streamed(request) else request.body,
            timeout=httpx.Timeout(request.timeout_s, connect=connect_s, pool=connect_s),
        )
        prepared.url = _ExactUrl(request.url)
        response = await client.send(prepared, stream=True)
        try:
            return Answer(status=response.status_code, headers=_answer_headers(response), body=await _body(response))
        finally:
            await response.aclose()


class _ExactUrl(httpx.URL):
    """A URL that is written as it was given: a signature in it covers the bytes, and httpx would normalise some."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._given = url

    def __str__(self) -> str:
        return self._given


class _Session:
    """What the library transport asks of an aiohttp session, with what it leaves to aiohttp's defaults set right."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def request(self, *, url: str, **options: object) -> object:
        return self._session.request(url=yarl.URL(url, encoded=True), **options)  # type: ignore[arg-type] # passed through


class _Transport(httpx_aiohttp.AiohttpTransport):
    """The library transport over a session of ours: no cookies, no limit of its own, resolver that checks addresses."""

    def __init__(self, *, verify: ssl.SSLContext | bool, allow_private: bool) -> None:
        super().__init__(verify=verify, trust_env=False)
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self._allow_private and _is_private_literal(request.url.host):
            raise httpx.ConnectError("the address is not public")
        return await super().handle_async_request(request)

    def get_client(self) -> aiohttp.ClientSession:
        # Made at the first request: a session belongs to the loop that runs then.
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,  # Lanes bound themselves; a limit here would let one lane's hanging requests starve the others.
                ssl=self.ssl_context,
                keepalive_timeout=IDLE_S_MAX,
                ttl_dns_cache=DNS_CACHE_S,
                resolver=aiohttp.resolver.ThreadedResolver() if self._allow_private else _PublicOnly(),
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("content-type", "user-agent"),
                trust_env=False,
                middlewares=(_once,),
            )
        return _Session(self._session)  # type: ignore[return-value] # the one method of it that the transport calls

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


class _PublicOnly(aiohttp.resolver.ThreadedResolver):
    """Resolves names; those that lead to a private, loopback or link-local address do not exist."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        found = await super().resolve(host, port, family)
        if any(not _is_public(entry["host"]) for entry in found):
            raise OSError("the address is not public")
        return found


def _is_private_literal(host: str) -> bool:
    try:
        return not _is_public(host)
    except ValueError:
        return False  # A name: the resolver's business.


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    checked = _within(address) if isinstance(address, ipaddress.IPv6Address) else address
    return checked.is_global and not checked.is_multicast


def _within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one leads to, where it does: mapped, by 6to4, or through NAT64."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keeps aiohttp from repeating a GET, PUT or DELETE by itself after a reset: attempts are made, and counted, above."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:  # no connection, which is not repeated
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError from error


def _is_streamed(request: Request) -> bool:
    return request.body_file is not None or request.idle_s is not None or len(request.body) > BODY_BYTES_AT_ONCE


def _headers(request: Request) -> dict[str, str]:
    if not _is_streamed(request):
        return request.headers
    # A known length keeps the upload from being sent in chunks, which storage hosts refuse.
    path = request.body_file
    size = len(request.body) if path is None else os.path.getsize(path)  # noqa: PTH202 - a plain stat
    return {**request.headers, "content-length": str(size)}


async def _chunks(request: Request, idle: asyncio.Timeout) -> AsyncIterator[bytes]:
    """The body in pieces; each time one is asked for, the one before was taken, and `idle` begins anew."""
    with _opened(request) as file:
        while chunk := await asyncio.to_thread(file.read, UPLOAD_CHUNK_BYTES):
            yield chunk
            if request.idle_s is not None:
                with contextlib.suppress(RuntimeError):  # It is over, one way or the other.
                    idle.reschedule(asyncio.get_running_loop().time() + request.idle_s)


def _opened(request: Request) -> BinaryIO:
    return open(request.body_file, "rb") if request.body_file is not None else io.BytesIO(request.body)  # noqa: PTH123


def _answer_headers(response: httpx.Response) -> dict[str, str]:
    return dict(list(response.headers.items())[:ANSWER_HEADERS_MAX])


async def _body(response: httpx.Response) -> bytes:
    """Read up to ANSWER_BYTES_MAX decoded bytes; httpx's own decoders know no bound, so these few lines do it."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    # 32 + 15 window bits: gzip or zlib, told by the first bytes.
    decoder = zlib.decompressobj(32 + zlib.MAX_WBITS) if encoding in {"gzip", "x-gzip", "deflate"} else None
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += decoder.decompress(chunk, ANSWER_BYTES_MAX + 1 - len(body)) if decoder is not None else chunk
        if len(body) > ANSWER_BYTES_MAX:
            del body[ANSWER_BYTES_MAX:]
            break
    return bytes(body)


def _no_answer(error: httpx.HTTPError | aiohttp.ClientError, tls: Tls | None) -> NoAnswerError:
    """Read what happened from aiohttp's own error: the transport's translation calls a dropped connection a time-out."""
    cause = error.__cause__ or error
    sent = not isinstance(
        cause, (*_NEVER_SENT, httpx.ConnectError, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
    )
    reason = _reason(cause)
    if reason == CLOSED and tls is not None and tls.certificate:
        # With TLS 1.3 our handshake is over before the partner has looked at the certificate, so a refusal comes like this.
        reason += "; the client certificate may have been refused"
    return NoAnswerError(reason, sent=sent)


def _reason(cause: BaseException) -> str:
    match cause:
        case aiohttp.ClientConnectorDNSError():
            return "the host name could not be resolved to an allowed address"
        case aiohttp.ClientConnectorCertificateError():
            code = getattr(cause.certificate_error, "verify_code", 0)
            return f"the TLS handshake failed: the partner's certificate {_FAULTS.get(code, _UNTRUSTED)}"
        case aiohttp.ClientConnectorSSLError():
            return "the TLS handshake failed"
        case aiohttp.ConnectionTimeoutError():
            return "no connection within the time allowed"
        case aiohttp.ClientConnectorError():
            return f"no connection ({_errno_name(cause.os_error)})"
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return "no answer within the time allowed"
        case aiohttp.ClientConnectionError():
            return CLOSED
        case aiohttp.ClientPayloadError():
            return "the answer was cut off"
        case httpx.ConnectError():
            return "the address is not public"
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError() | httpx.UnsupportedProtocol():
            return "the address is not a usable URL"
        case _:
            return f"no usable answer ({type(cause).__name__})"


def _errno_name(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else type(error).__name__
