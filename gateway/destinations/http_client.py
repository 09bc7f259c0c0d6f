"""The only way out to partners, and the only module that imports httpx: bounds, time-outs, addresses, error reading.

Which pool, measured here (1.5 KB POST to a local server in another process, two cores, requests/s at 4, 32, 128
connections): httpx's own 1,570, 376, 68 (it looks at every connection at every request); `httpx-aiohttp` 3,720, 3,490,
2,650; aiohttp alone 11,560, 16,130, 9,020; this module, over `httpx-aiohttp`, 3,060, 2,840, 2,230. It sits behind
`httpx.AsyncBaseTransport`, so another kept transport changes `_Transport` and nothing else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import ssl
import zlib
from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import aiohttp.abc
import aiohttp.resolver
import httpx
import httpx_aiohttp
import yarl

from gateway.core.http_messages import ANSWER_BYTES_MAX, Answer, NoAnswerError, Request

CONNECT_S_MAX = 5.0  # Name, connection and TLS together.
IDLE_S_MAX = 15.0  # Below the 60 s (nginx) and 20 s (others) after which servers drop idle connections.
LANE_CONNECTIONS_MAX = 32
DNS_CACHE_S = 30
UPLOAD_CHUNK_BYTES = 256 * 1024
ANSWER_HEADERS_MAX = 200

logging.getLogger("httpx").setLevel(logging.WARNING)  # It writes every URL at info, and a URL may carry a signature.

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
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._clients = {
            private: httpx.AsyncClient(
                transport=_Transport(verify=verify, allow_private=private),
                headers={"user-agent": f"audience-gateway/{version}", "accept-encoding": "gzip, deflate"},
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                follow_redirects=False,
                trust_env=False,
            )
            for private in (False, True)
        }

    def lane(self, *, allow_private: bool, connections_max: int = LANE_CONNECTIONS_MAX) -> LaneHttp:
        """One configured destination's way out.

        allow_private: the operator wrote the address, so it may be private; otherwise only public ones are connected to.
        connections_max: requests at once; more wait here, where they cost no other lane anything.
        """
        return LaneHttp(self._clients[allow_private], connections_max)

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()


class LaneHttp:
    """`base.HttpClient` for one lane."""

    def __init__(self, client: httpx.AsyncClient, connections_max: int) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(connections_max)

    async def send(self, request: Request) -> Answer:
        """Exchange one request within `request.timeout_s`, from the first byte out to the last one in.

        The answer's body is decoded (gzip, deflate) and cut at ANSWER_BYTES_MAX.
        Raises NoAnswerError, never anything else but a cancellation.
        """
        async with self._slots:
            try:
                async with asyncio.timeout(request.timeout_s):
                    return await self._exchange(request)
            except TimeoutError:
                raise NoAnswerError(f"no answer within {request.timeout_s:g} s", sent=True) from None
            except (httpx.HTTPError, aiohttp.ClientError) as error:
                raise _no_answer(error) from None
            except zlib.error:
                raise NoAnswerError("the answer's compression is broken", sent=True) from None
            except (OSError, ValueError, httpx.InvalidURL) as error:
                # The texts of these can hold the URL, a header or a path, so only the kind is told.
                raise NoAnswerError(f"the request could not be made ({type(error).__name__})", sent=False) from None

    async def _exchange(self, request: Request) -> Answer:
        # Half at most: when the whole time is over, the request had a connection, so the partner may have seen it.
        connect_s = min(CONNECT_S_MAX, request.timeout_s / 2)
        prepared = self._client.build_request(
            request.method,
            request.url,
            headers=_headers(request),
            content=_file_chunks(request.body_file) if request.body_file is not None else request.body,
            timeout=httpx.Timeout(request.timeout_s, connect=connect_s, pool=connect_s),
        )
        prepared.url = _ExactUrl(request.url)
        response = await self._client.send(prepared, stream=True)
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
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    checked = mapped or address
    return checked.is_global and not checked.is_multicast


def _headers(request: Request) -> dict[str, str]:
    if request.body_file is None:
        return request.headers
    # A known length keeps the upload from being sent in chunks, which storage hosts refuse.
    return {**request.headers, "content-length": str(os.path.getsize(request.body_file))}  # noqa: PTH202 - a plain stat


async def _file_chunks(path: str) -> AsyncIterator[bytes]:
    with open(path, "rb") as file:  # noqa: PTH123, ASYNC230 - opened once; the reads below leave the loop free
        while chunk := await asyncio.to_thread(file.read, UPLOAD_CHUNK_BYTES):
            yield chunk


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


def _no_answer(error: httpx.HTTPError | aiohttp.ClientError) -> NoAnswerError:
    """Read what happened from aiohttp's own error: the transport's translation calls a dropped connection a time-out."""
    cause = error.__cause__ or error
    sent = not isinstance(
        cause, (*_NEVER_SENT, httpx.ConnectError, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
    )
    return NoAnswerError(_reason(cause), sent=sent)


def _reason(cause: BaseException) -> str:
    match cause:
        case aiohttp.ClientConnectorDNSError():
            return "the host name could not be resolved to an allowed address"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "the TLS handshake failed"
        case aiohttp.ConnectionTimeoutError():
            return "no connection within the time allowed"
        case aiohttp.ClientConnectorError():
            return f"no connection ({_errno_name(cause.os_error)})"
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return "no answer within the time allowed"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | aiohttp.ClientConnectionResetError():
            return "the connection was closed before the answer"
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
