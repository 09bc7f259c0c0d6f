"""StackAdapt's answers, read into outcomes, writable advertisers, and the answer it gives when all is well. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.core.answers import outcome_of_status, reason_phrase
from gateway.core.definitions import Choice
from gateway.core.http_messages import Answer, Request
from gateway.core.masking import mask_text
from gateway.core.outcomes import Delivered, Outcome, Refused, Unreachable
from gateway.destinations.stackadapt.wire import DELETE_FIELD, UPSERT_FIELDS

MESSAGES_MAX: Final = 5  # ours: user errors told in one reason
CURSOR_CHARS_MAX: Final = 512  # ours

NOT_JSON: Final = object()


def read_upsert(answer: Answer, *, reads_body: bool, now_us: int, known: frozenset[str] = frozenset()) -> Outcome:
    """The outcome of every delivery of the request: the answer ties errors to root fields, never to profiles.

    reads_body: correction `read_answers`; without it every 2xx is a delivery. known: words that reasons must not repeat.
    """
    outcome = outcome_of_status(answer.status, answer.headers, now_us=now_us, partner="StackAdapt")
    if not isinstance(outcome, Delivered) or not reads_body:
        return outcome
    return _read_fields(answer, UPSERT_FIELDS, outcome, known)


def read_deletion(answer: Answer, *, now_us: int, known: frozenset[str] = frozenset()) -> Outcome:
    """The outcome of one deletion; its answer is always read, by the reference too."""
    outcome = outcome_of_status(answer.status, answer.headers, now_us=now_us, partner="StackAdapt")
    if not isinstance(outcome, Delivered):
        return msgspec.structs.replace(outcome, splittable=False) if isinstance(outcome, Refused) else outcome
    outcome = _read_fields(answer, (DELETE_FIELD,), outcome, known)
    if isinstance(outcome, Refused):
        return msgspec.structs.replace(outcome, reason=f"DELETE_FAILED: {outcome.reason}")
    return outcome


def _read_fields(answer: Answer, fields: Sequence[str], delivered: Delivered, known: frozenset[str]) -> Outcome:
    body = decode(answer.body)
    if body is NOT_JSON:
        return Unreachable(
            reason=f"StackAdapt answered {answer.status} with a body that is not JSON.", status=answer.status
        )
    faults = _faults(body, fields, known)
    if not faults:
        return delivered
    told = "; ".join(faults[:MESSAGES_MAX]) + (
        f"; and {len(faults) - MESSAGES_MAX} more" if len(faults) > MESSAGES_MAX else ""
    )
    return Refused(reason=f"StackAdapt answered {answer.status} and refused the request: {told}.", status=400)


def _faults(body: object, fields: Sequence[str], known: frozenset[str]) -> list[str]:
    """Everything an answer complains of, each as `<root field>: <masked text>`."""
    if not isinstance(body, dict):
        return ["the answer is no JSON object"]
    faults = [f"error: {_message(error, known)}" for error in _listed(body.get("errors"))]
    data = body.get("data")
    if not isinstance(data, dict):
        return faults or ["the answer has no data"]
    for field in fields:
        held = data.get(field)
        errors = held.get("userErrors") if isinstance(held, dict) else None
        if not isinstance(errors, list):
            faults.append(f"{field}: no result")
            continue
        faults.extend(f"{field}: {_message(error, known)}" for error in errors)
    return faults


def _listed(errors: object) -> list[object]:
    """`errors` as a list; anything that is there but no list is one error, `null` and an empty list are none."""
    if isinstance(errors, list):
        return errors
    return [] if errors is None else [errors]


def _message(error: object, known: frozenset[str]) -> str:
    message = error.get("message") if isinstance(error, dict) else None
    text = mask_text(message, known=known) if isinstance(message, str) else ""
    return text.rstrip(".") or "no message"


def decode(body: bytes) -> object:
    """The JSON value of a body, or NOT_JSON."""
    try:
        value: object = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return NOT_JSON
    return value


# --- What the token may do ---


class AdvertiserPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of writable advertisers. after: cursor of the next page, empty when this is the last."""

    writable: tuple[Choice, ...] = ()
    after: str = ""


def read_advertisers(answer: Answer) -> AdvertiserPage | str:
    """The page, or the reason why there is none: status and phrase run together, as the reference reports them."""
    if answer.status != 200:
        return f"{answer.status}{reason_phrase(answer.status)}"
    connection = _inside(decode(answer.body), "data", "tokenInfo", "scopesByAdvertiser")
    if not isinstance(connection, dict):
        return "the answer names no advertisers"
    nodes = connection.get("nodes")
    writable = [_advertiser(node) for node in nodes if _is_writable(node)] if isinstance(nodes, list) else []
    page = connection.get("pageInfo")
    has_next = isinstance(page, dict) and page.get("hasNextPage") is True
    cursor = page.get("endCursor") if has_next and isinstance(page, dict) else None
    return AdvertiserPage(
        writable=tuple(writable),
        after=cursor if isinstance(cursor, str) and len(cursor) <= CURSOR_CHARS_MAX else "",
    )


def _is_writable(node: object) -> bool:
    scopes = node.get("scopes") if isinstance(node, dict) else None
    return isinstance(scopes, list) and "WRITE" in scopes


def _advertiser(node: object) -> Choice:
    held = _inside(node, "advertiser")
    record = held if isinstance(held, dict) else {}
    identity = record.get("id")
    return Choice(value="" if identity is None else str(identity), label=str(record.get("name") or ""))


def _inside(value: object, *keys: str) -> object:
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


# --- Rehearsals ---


def success_answer(request: Request) -> Answer:
    """StackAdapt's answer to one of our requests when everything is in order."""
    document = request.body
    data: dict[str, object]
    if b"tokenInfo" in document and b"mutation" not in document:
        node = {"advertiser": {"id": "1", "name": "Rehearsal"}, "scopes": ["READ", "WRITE"]}
        data = {
            "tokenInfo": {
                "scopesByAdvertiser": {"nodes": [node], "pageInfo": {"hasNextPage": False, "endCursor": None}}
            }
        }
    else:
        is_deletion = document.startswith(b'{"query":"mutation { ' + DELETE_FIELD.encode())
        data = {field: {"userErrors": []} for field in ((DELETE_FIELD,) if is_deletion else UPSERT_FIELDS)}
    return Answer(status=200, headers={"content-type": "application/json"}, body=msgspec.json.encode({"data": data}))
