"""The fake's API listener: which call a request is, what is checked in which order, what is answered."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

import msgspec

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.request_log import Violation
from gateway.sandbox.the_trade_desk.partner_faults import refusal
from gateway.sandbox.the_trade_desk.segments import CreateInput, DropInput

if TYPE_CHECKING:  # partner.py answers through this module.
    from gateway.sandbox.exchange import Exchange
    from gateway.sandbox.the_trade_desk.partner import TheTradeDesk

BODY_BYTES_MAX = 1024 * 1024
SEGMENT_TYPES = ("targeting", "conversion")

_CRM = "/v3/crmdata/"


class Call(msgspec.Struct, frozen=True):
    """What a request asks for: list, create, drop, status, delete, or nothing known; and of which segment."""

    name: str = ""
    advertiser: str = ""
    segment: str = ""
    reference: str = ""


def call_of(method: str, path: str) -> Call:
    """Read method and path."""
    if not path.startswith(_CRM):
        return Call()
    parts = [unquote(part) for part in path.removeprefix(_CRM).split("/")]
    if parts[0] in SEGMENT_TYPES:
        parts = parts[1:]
    match method, parts:
        case "GET", ["segment", advertiser]:
            return Call("list", advertiser)
        case "POST", ["segment"]:
            return Call("create")
        case "POST", ["segment", advertiser, segment]:
            return Call("drop", advertiser, segment)
        case "GET", ["segment", advertiser, segment, reference]:
            return Call("status", advertiser, segment, reference)
        case "DELETE", ["segment", advertiser, segment]:
            return Call("delete", advertiser, segment)
    return Call()


def answered(partner: TheTradeDesk, call: Call, exchange: Exchange, body: bytes | None) -> Answer:
    """The API's answer; changes the segments where the call does."""
    token = exchange.header("ttd-auth")
    if token is None:
        return refusal(401, "The header TTD-Auth is missing.")
    if token != partner.configuration.token:
        return refusal(403, "The token is not valid.")
    match call.name:
        case "list":
            return _page(partner, call.advertiser, exchange.query)
        case "create":
            return _created(partner, body)
        case "drop":
            return _drop(partner, call, body)
        case "status":
            return _status(partner, call)
        case "delete":
            return _deleted(partner, call)
    return refusal(404, "There is nothing at this address.")


def violations_of(call: Call, exchange: Exchange) -> list[Violation]:
    """What the API lets pass although a careful client would not send it."""
    content_type = (exchange.header("content-type") or "").partition(";")[0].strip()
    if call.name and content_type != "application/json":
        return [Violation(rule="content_type", message=f"{call.name} came as {content_type or 'nothing'}.")]
    return []


def _page(partner: TheTradeDesk, advertiser: str, query: str) -> Answer:
    if advertiser not in partner.configuration.advertisers:
        return refusal(404, "The advertiser is not known.")
    tokens = parse_qs(query, keep_blank_values=True).get("pagingToken")
    start = 0
    if tokens is not None:
        if tokens[-1] in ("null", "undefined"):  # the reference sends them
            return json_answer(200, {"Segments": [], "PagingToken": None})
        found = _start_of(tokens[-1])
        if found is None:
            return refusal(400, "The paging token is not known.", "PagingToken")
        start = found
    all_of_them = partner.store.of_advertiser(advertiser)
    shown = all_of_them[start : start + partner.configuration.page_size]
    token = _paging_token(start + len(shown)) if shown else None
    return json_answer(200, {"Segments": [segment.described() for segment in shown], "PagingToken": token})


def _paging_token(start: int) -> str:
    """Opaque, and with every character that an unencoded token would break on."""
    return f"p+/{base64.b64encode(str(start).encode()).decode()}=="


def _start_of(token: str) -> int | None:
    try:
        start = int(base64.b64decode(token.removeprefix("p+/").removesuffix("=="), validate=True))
    except ValueError:
        return None
    return start if token == _paging_token(start) else None


def _created(partner: TheTradeDesk, body: bytes | None) -> Answer:
    try:
        given = msgspec.json.decode(body or b"", type=CreateInput)
    except (ValueError, RecursionError) as error:
        return refusal(400, "The body is not valid.", _property_of(str(error)))
    if given.AdvertiserId not in partner.configuration.advertisers:
        return refusal(400, "The advertiser is not known.", "AdvertiserId")
    if not given.SegmentName:
        return refusal(400, "The name is empty.", "SegmentName")
    segment = partner.store.create(given.AdvertiserId, given.SegmentName, given.Region)
    if segment is None:
        return refusal(400, "There are too many segments.")
    segment.data_provider = given.DataProviderId
    return json_answer(200, {"CrmDataId": segment.external_id, "FirstPartyDataId": segment.first_party_id})


def _drop(partner: TheTradeDesk, call: Call, body: bytes | None) -> Answer:
    segment = partner.store.find(call.advertiser, call.segment)
    if segment is None:
        return refusal(404, "The segment is not known.")
    try:
        given = msgspec.json.decode(body or b"", type=DropInput)
    except (ValueError, RecursionError) as error:
        return refusal(400, "The body is not valid.", _property_of(str(error)))
    if given.TtlInMinutes is not None and given.TtlInMinutes < 1:
        return refusal(400, "The time to live is not positive.", "TtlInMinutes")
    drop = partner.store.ask(segment, given, base=partner.upload_base, now_s=partner.now_s)
    return json_answer(200, {"ReferenceId": drop.reference_id, "Url": drop.url})


def _status(partner: TheTradeDesk, call: Call) -> Answer:
    drop = partner.store.drop_of(call.reference)
    if drop is None or drop.segment is not partner.store.find(call.advertiser, call.segment):
        return refusal(404, "The drop is not known.")
    told = {"Status": drop.status, "Accepted": drop.accepted, "Rejected": drop.rejected}
    return json_answer(200, {"ReferenceId": drop.reference_id, **told})


def _deleted(partner: TheTradeDesk, call: Call) -> Answer:
    if partner.store.find(call.advertiser, call.segment) is None:
        return refusal(404, "The segment is not known.")
    del partner.store.by_id[call.segment]
    return json_answer(200, {})


def _property_of(message: str) -> str:
    """The property that msgspec's message names."""
    for name in (*CreateInput.__struct_fields__, *DropInput.__struct_fields__):
        if f"`{name}`" in message or f"$.{name}" in message:
            return name
    return ""
