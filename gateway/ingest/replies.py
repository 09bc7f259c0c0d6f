"""Answers to senders, as ASGI wants them. Success is exactly 200; every error is JSON with `code` and `message`.

SDKs read those two members without a guard and retry for ever where one is missing, so no other shape ever leaves.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from gateway.core.errors import EventError, StoreError
from gateway.core.event_checks import Refusal
from gateway.ingest.bodies import BodyTimeoutError, OverloadedError
from gateway.ingest.rates import RateLimitedError
from gateway.ingest.source_table import ANY_ORIGIN

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]  # as ASGI gives it
Header = tuple[bytes, bytes]

REJECTED_SHOWN_MAX = 10_000  # entries of `rejected` in one answer; a batch has no more events
CLOSE: Header = (b"connection", b"close")
_JSON: Header = (b"content-type", b"application/json")
_VARY: Header = (b"vary", b"Origin")
_PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, Content-Encoding, X-Retry-Count"),
    (b"access-control-max-age", b"86400"),
)
_encode = msgspec.json.Encoder().encode
_process = os.urandom(4).hex()
_numbers = itertools.count(1)


class Reply(msgspec.Struct, frozen=True):
    """One answer. code: of an error, for metrics and logs; "" for success. request_id: of an error."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = ()
    code: str = ""
    request_id: str = ""


class Rejected(msgspec.Struct, omit_defaults=True):
    """One refused event in an answer."""

    index: int
    code: str
    message: str
    messageId: str = ""  # noqa: N815 (the sender's spelling)
    pointer: str = ""


OK = Reply(200, b'{"success":true}')


def partly(accepted: int, rejected: list[tuple[int, str, Refusal]]) -> Reply:
    """200 for a batch of which some events were refused."""
    return Reply(200, _encode({"success": True, "accepted": accepted, "rejected": _listed(rejected)}))


def external_id(value: str) -> Reply:
    """200 of the audience calls."""
    return Reply(200, _encode({"externalId": value}))


def refused(error: EventError, *, rejected: list[tuple[int, str, Refusal]] | None = None) -> Reply:
    """The answer to a request that its sender must mend, or send again later. rejected: of a batch without a good event."""
    extra: tuple[Header, ...] = ()
    match error:
        case RateLimitedError(retry_after_s=wait_s):
            extra = (_retry_after(wait_s),)
        case BodyTimeoutError():
            extra = (CLOSE,)
        case OverloadedError(is_drained=is_drained):
            extra = (_retry_after(OVERLOAD_RETRY_AFTER_S), *(() if is_drained else (CLOSE,)))
    return error_reply(error.status, error.code, error.message, pointer=error.pointer, headers=extra, rejected=rejected)


OVERLOAD_RETRY_AFTER_S = 2  # a group commit takes milliseconds; what is full now has room soon


def not_kept(error: StoreError) -> Reply:
    """503: nothing of the request counts as accepted."""
    return error_reply(
        503,
        "storage_unavailable",
        "The gateway cannot keep events right now.",
        headers=(_retry_after(error.retry_after_s),),
    )


def error_reply(
    status: int,
    code: str,
    message: str,
    *,
    pointer: str = "",
    headers: tuple[Header, ...] = (),
    rejected: list[tuple[int, str, Refusal]] | None = None,
) -> Reply:
    """An error with the members that SDKs read (`code`, `message`, `error`) and an id that the log has, too."""
    request_id = f"{_process}-{next(_numbers):x}"
    body: dict[str, object] = {
        "success": False,
        "code": code,
        "message": message,
        "error": message,
        "requestId": request_id,
    }
    if pointer:
        body["pointer"] = pointer
    if rejected is not None:
        body["accepted"] = 0
        body["rejected"] = _listed(rejected)
    return Reply(status, _encode(body), (*headers, (b"x-request-id", request_id.encode())), code, request_id)


def not_allowed(methods: str) -> Reply:
    """405, naming the methods that are."""
    return error_reply(405, "method_not_allowed", f"Use {methods}.", headers=((b"allow", methods.encode()),))


def _listed(rejected: list[tuple[int, str, Refusal]]) -> list[Rejected]:
    return [
        Rejected(index, problem.code, problem.message, message_id, problem.pointer)
        for index, message_id, problem in rejected[:REJECTED_SHOWN_MAX]
    ]


def _retry_after(seconds: int) -> Header:
    return b"retry-after", str(min(300, max(1, seconds))).encode()


def cors_headers(allowed: tuple[str, bool] | None) -> tuple[Header, ...]:
    """CORS headers for an answer to a browser. allowed: what `SourceTable.allowed_origin` gave."""
    if allowed is None:
        return ()
    origin, with_credentials = allowed
    headers: tuple[Header, ...] = ((b"access-control-allow-origin", origin.encode("latin-1", "replace")), _VARY)
    if with_credentials and origin != ANY_ORIGIN:
        headers += ((b"access-control-allow-credentials", b"true"),)
    return headers


def preflight(allowed: tuple[str, bool] | None) -> Reply:
    """204 to OPTIONS on a call route; without an allowed origin it allows nothing."""
    return Reply(204, b"", (*cors_headers(allowed), *_PREFLIGHT) if allowed else (_VARY,))


_OK_START: MutableMapping[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [_JSON, (b"content-length", str(len(OK.body)).encode())],
}
_OK_BODY: MutableMapping[str, Any] = {"type": "http.response.body", "body": OK.body}


async def send_reply(send: Send, reply: Reply, *, cors: tuple[Header, ...] = ()) -> None:
    """Send one answer."""
    if reply is OK and not cors:
        await send(_OK_START)
        await send(_OK_BODY)
        return
    headers = (
        [(b"content-length", str(len(reply.body)).encode()), *reply.headers, *cors]
        if reply.status != 204
        else [
            *reply.headers,
            *cors,
        ]
    )
    if reply.body:
        headers.append(_JSON)
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
