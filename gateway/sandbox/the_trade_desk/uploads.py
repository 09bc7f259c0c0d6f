"""The fake's upload listener, answering as S3 does: the address byte for byte, its age, then the request's form."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from gateway.sandbox.answers import Answer
from gateway.sandbox.request_log import Violation
from gateway.sandbox.the_trade_desk.partner_faults import storage_refusal
from gateway.sandbox.the_trade_desk.segments import UPLOAD_LIFE_S

if TYPE_CHECKING:  # partner.py answers through this module.
    from gateway.sandbox.exchange import Exchange
    from gateway.sandbox.the_trade_desk.partner import TheTradeDesk


def uploaded(partner: TheTradeDesk, path: str, exchange: Exchange, body: bytes | None) -> Answer:
    """The answer; keeps the file where it is good. path: raw, as it stood in the request. body: None when too large to read."""
    drop = partner.store.drop_at(path, exchange.query)
    if drop is None:
        return storage_refusal(403, "SignatureDoesNotMatch")
    if partner.now_s - drop.made_at_s > UPLOAD_LIFE_S:
        return storage_refusal(403, "AccessDenied")
    if exchange.method != "PUT":
        return storage_refusal(405, "MethodNotAllowed")
    if "chunked" in (exchange.header("transfer-encoding") or ""):
        return storage_refusal(501, "NotImplemented")
    if exchange.header("content-length") is None:
        return storage_refusal(411, "MissingContentLength")
    if body is None or len(body) > partner.configuration.size_max:
        return storage_refusal(400, "EntityTooLarge")
    drop.body = body
    drop.status = "Processing"
    if partner.configuration.process_at_once:
        drop.process(partner.configuration.distinct_min)
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return Answer(status=200, headers=(("etag", f'"{etag}"'),))


def violations_of(exchange: Exchange) -> list[Violation]:
    """What the storage host lets pass although a careful client would not send it."""
    found = []
    if exchange.header("ttd-auth") is not None:
        found.append(Violation(rule="token_at_upload", message="The storage host was shown the API's token."))
    content_type = (exchange.header("content-type") or "").partition(";")[0].strip()
    if content_type != "text/plain":
        found.append(Violation(rule="content_type", message=f"The file came as {content_type or 'nothing'}."))
    return found
