"""Changes to requests for Taboola's Backstage API, as Segment's connector writes them. Pure; answers are `answers.py`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, quote_plus

import msgspec

from gateway.core.definitions import Field
from gateway.core.http_messages import Answer, Request
from gateway.core.javascript import json_string, json_text, to_text
from gateway.core.payloads import PayloadError, compile_check
from gateway.destinations.taboola.answers import success_answer as _success_answer
from gateway.destinations.taboola.changes import Change, Operation
from gateway.destinations.taboola.clusters import Identifier, Record, cluster_text
from gateway.destinations.taboola.clusters import member_of as member_of  # noqa: PLC0414 - part of what the wire offers
from gateway.destinations.taboola.definition import (
    BASE_URL,
    CREATION_SETTINGS,
    INTEGRATION_SOURCE,
    LAST_OPERATION_WINS,
)

TIMEOUT_S: Final = 10.0  # the reference's limit for the whole exchange
LARGE_TIMEOUT_S: Final = 60.0  # ours
LARGE_IDENTITIES: Final = 10_000  # above so many

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - an address; without a slash at its end, or Taboola answers 403
CREATE_PATH: Final = "/audience_onboarding/create"
USERS_PATH: Final = "/audience_onboarding"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request to be: one operation on one audience. positions: the deliveries that share its outcome."""

    account: str
    audience: str
    operation: Operation
    people: tuple[tuple[Identifier, ...], ...]
    positions: tuple[int, ...]


# --- Which requests ---


def calls_of(changes: Sequence[Change], corrections: frozenset[str]) -> list[Call]:
    """The requests of a batch: operations in the order in which they are first met, within each the audiences likewise.

    changes: in order, every one with its audience known. People stand in the order of their changes.
    """
    kept = _last_ones(changes) if LAST_OPERATION_WINS in corrections else [_Kept(change) for change in changes]
    groups: dict[Operation, dict[tuple[str, str, str], list[_Kept]]] = {}
    for one in kept:
        audiences = groups.setdefault(one.change.operation, {})
        change = one.change
        audiences.setdefault((change.account, change.audience, change.audience_text), []).append(one)
    return [
        Call(
            account=account,
            audience=audience,
            operation=operation,
            people=tuple(one.identifiers for one in people),
            positions=tuple(position for one in people for position in one.positions),
        )
        for operation, audiences in groups.items()
        for (account, audience, _text), people in audiences.items()
    ]


class _Kept:
    """A change that is sent: what is left of its identifiers, and the positions it answers for."""

    __slots__ = ("change", "identifiers", "positions")

    def __init__(self, change: Change) -> None:
        self.change = change
        self.identifiers = change.identifiers
        self.positions = [change.position]


def _last_ones(changes: Sequence[Change]) -> list[_Kept]:
    """What is left when each person's last change of an audience counts, whichever request comes first.

    The same identifiers again replace the earlier ones. Where people overlap in part (an address alone, later the address
    with a device), each identifier goes where its last change wants it. What is not sent shares the outcome of what is.
    """
    by_audience: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        by_audience.setdefault((change.account, change.audience), []).append(change)
    kept: list[_Kept] = []
    for same in by_audience.values():
        last = {change.identifiers: change for change in same}
        latest = sorted(last.values(), key=lambda change: change.position)
        decided = {identifier: change for change in latest for identifier in change.identifiers}
        sent: dict[int, _Kept] = {}
        for change in latest:
            left = tuple(one for one in change.identifiers if decided[one].operation == change.operation)
            if left:
                one = sent[change.position] = _Kept(change)
                one.identifiers, one.positions = left, []
        for change in same:
            latest_same = last[change.identifiers]
            winner = sent.get(latest_same.position) or sent[decided[latest_same.identifiers[0]].position]
            winner.positions.append(change.position)
        kept.extend(sent.values())
    kept.sort(key=lambda one: one.change.position)
    return kept


# --- Requests ---


def users_request(call: Call, settings: Record, token: str) -> Request:
    """Add or remove people."""
    people = ",".join([cluster_text(identifiers) for identifiers in call.people])
    body = (
        f'{{"operation":"{call.operation}","audience_id":{call.audience},"identities":[{people}],'
        f'"integration_source":{json_string(_integration_source(settings))}}}'
    )
    return Request(
        method="POST",
        url=f"{base_url(settings)}/api/1.0/{_segment(call.account)}{USERS_PATH}",
        headers=_headers(token),
        body=body.encode("utf-8", "replace"),
        timeout_s=LARGE_TIMEOUT_S if len(call.people) > LARGE_IDENTITIES else TIMEOUT_S,
    )


def create_request(name: str, asked: Record, settings: Record, token: str) -> Request:
    """Create the audience of that name, or find it. asked: as `creation_settings` gave them."""
    body: dict[str, object] = {"audience_name": name}
    body.update((key, asked[key]) for key in ("ttl_in_hours", "exclude_from_campaigns") if key in asked)
    body["integration_source"] = _integration_source(settings)
    return Request(
        method="POST",
        url=f"{base_url(settings)}/api/1.0/{_segment(to_text(asked['account_id']))}{CREATE_PATH}",
        headers=_headers(token),
        body=str(json_text(body)).encode("utf-8", "replace"),
        timeout_s=TIMEOUT_S,
    )


def accounts_request(settings: Record, token: str) -> Request:
    """Which accounts the credentials may use."""
    return Request(
        method="GET",
        url=f"{base_url(settings)}/api/1.0/users/current/allowed-accounts",
        headers=_headers(token),
        timeout_s=TIMEOUT_S,
    )


def token_request(settings: Record) -> Request:
    """Ask for an access token."""
    form = (
        f"client_id={_form_text(settings.get('client_id'))}&client_secret={_form_text(settings.get('client_secret'))}"
        "&grant_type=client_credentials"
    )
    return Request(
        method="POST",
        url=base_url(settings) + TOKEN_PATH,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=form.encode(),
        timeout_s=TIMEOUT_S,
    )


# --- Creating an audience ---


def creation_settings(given: Record, settings: Record, key: str, name: str) -> tuple[str, dict[str, object]]:
    """(name, checked settings) of an audience to be created. key, name: the audience's.

    Raises PayloadError for settings that do not fit, no name, or no account, in this order.
    """
    fields: dict[str, Field] = {field.key: field for field in CREATION_SETTINGS}
    asked = {field: given[field] for field in fields if given.get(field) is not None}
    checked = compile_check(tuple(fields.values())).check_settings(asked)
    chosen = name if settings.get("audience_identifier") == "audience_name" else key
    if not chosen:
        raise PayloadError(["MISSING_REQUIRED_FIELD: the audience has no name; nothing was sent."])
    if not checked.get("account_id"):
        raise PayloadError(["MISSING_REQUIRED_FIELD: the audience settings have no `account_id`; nothing was sent."])
    return chosen, dict(checked)


def base_url(settings: Record) -> str:
    """Where Backstage is, without a slash at the end."""
    return to_text(settings.get("backstage_base_url") or BASE_URL).rstrip("/")


def success_answer(request: Request) -> Answer:
    """Taboola's answer to one of our requests when everything is in order."""
    if request.url.endswith(TOKEN_PATH):
        return _success_answer("token", request.body)
    return _success_answer("create" if request.url.endswith(CREATE_PATH) else "users", request.body)


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def _integration_source(settings: Mapping[str, object]) -> str:
    return to_text(settings.get("integration_source") or INTEGRATION_SOURCE)


def _segment(text: str) -> str:
    """One segment of a path, whatever is in it."""
    return quote(text.encode("utf-8", "replace"), safe="")


def _form_text(value: object) -> str:
    """A value in a form as browsers write it: `+` for a blank, `*` stays, `~` does not."""
    text = "" if value is None else to_text(value)
    return quote_plus(text.encode("utf-8", "replace"), safe="*").replace("~", "%7E")
