"""The fake Taboola as people and tests see it: its state, its requests and its page as plain values."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from gateway.sandbox.showing import PAGE_BODY_BYTES_MAX, Json, described, readable, row

if TYPE_CHECKING:  # partner.py shows itself through this module.
    from gateway.sandbox.request_log import LoggedRequest
    from gateway.sandbox.taboola.audiences import Audience
    from gateway.sandbox.taboola.partner import Taboola

PAGE_ROWS_MAX = 100
PAGE_AUDIENCES_MAX = 50
PAGE_REQUESTS_MAX = 20
HIDDEN = "…"


def state(partner: Taboola, rows_max: int) -> Json:
    """Everything but the requests; lists hold at most `rows_max` rows beside their total."""
    return {
        "version": partner.changes.version,
        "counters": partner.counts(),
        "audiences": {
            str(number): _audience(audience, rows_max)
            for number, audience in islice(partner.audiences.items(), rows_max)
        },
    }


def request(logged: LoggedRequest) -> Json:
    """One request: as it came, decoded, and what became of it."""
    return described(logged, decoded=decoded(logged))


def headline(logged: LoggedRequest) -> str:
    """`ADD 2 people, audience 1001`, `create cart_rescue`, `token`."""
    call = next(iter(logged.names), "")
    body = decoded(logged)
    if call == "users" and body is not None:
        identities = body.get("identities")
        people = len(identities) if isinstance(identities, list) else 0
        return f"{body.get('operation')} {people} {'person' if people == 1 else 'people'}, audience {body.get('audience_id')}"
    if call == "create" and body is not None:
        return f"create {body.get('audience_name')}"
    return call or f"{logged.method} {logged.path}"


def decoded(logged: LoggedRequest) -> Json | None:
    """The body of an audience call as an object; None for other calls and what cannot be read."""
    if logged.body is None or not {"create", "users"} & set(logged.names):
        return None
    try:
        value = msgspec.json.decode(logged.body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def page(partner: Taboola) -> Json:
    """What `page.html` shows: all of it cut to a size a browser likes."""
    with partner.changes.reading():
        return {
            "endpoint": f"/{partner.name}/backstage",
            "counters": partner.counts(),
            "configuration": partner.configuration,
            "audiences_total": len(partner.audiences),
            "audiences": [
                _audience(audience, PAGE_ROWS_MAX)
                for audience in islice(partner.audiences.values(), PAGE_AUDIENCES_MAX)
            ],
            "requests": [row(logged, _readable(logged)) for logged in reversed(partner.log.latest(PAGE_REQUESTS_MAX))],
        }


def _audience(audience: Audience, rows_max: int) -> Json:
    members = sorted(audience.members)
    return {
        **audience.described(),
        "account": audience.account,
        "members_total": len(members),
        "members": [{"type": kind, "user_id": user_id} for kind, user_id in members[:rows_max]],
    }


def _readable(logged: LoggedRequest) -> str | None:
    """The body laid out for reading; a login's is hidden, a long one cut."""
    if not logged.body:
        return None
    if "token" in logged.names:
        return HIDDEN
    return readable(logged.body, decoded(logged) if len(logged.body) <= PAGE_BODY_BYTES_MAX else None)
