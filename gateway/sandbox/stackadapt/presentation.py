"""The fake StackAdapt as people and tests see it: its state, its requests and its page as plain values."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
from graphql import value_from_ast_untyped

from gateway.sandbox.showing import PAGE_BODY_BYTES_MAX, Json, described, readable, row
from gateway.sandbox.stackadapt.document import root_fields
from gateway.sandbox.stackadapt.mutations import read_profiles
from gateway.sandbox.stackadapt.request_body import read_body

if TYPE_CHECKING:  # partner.py shows itself through this module.
    from gateway.sandbox.request_log import LoggedRequest
    from gateway.sandbox.stackadapt.lists import Audience, Profile, ProfileKey
    from gateway.sandbox.stackadapt.partner import StackAdapt

PAGE_ROWS_MAX = 100
PAGE_AUDIENCES_MAX = 50
PAGE_REQUESTS_MAX = 20


def state(partner: StackAdapt, rows_max: int) -> Json:
    """Everything but the requests; lists hold at most `rows_max` rows beside their total."""
    lists = partner.lists
    return {
        "version": partner.changes.version,
        "counters": partner.counts(),
        "pending_documents": partner.pending_documents,
        "profile_mappings": [
            msgspec.to_builtins(mapping) for mapping in islice(lists.profile_mappings.values(), rows_max)
        ],
        "audience_mappings": [
            msgspec.to_builtins(mapping) for mapping in islice(lists.audience_mappings.values(), rows_max)
        ],
        "profiles_total": len(lists.profiles),
        "profiles": [_profile(key, profile) for key, profile in islice(lists.profiles.items(), rows_max)],
        "audiences": {
            audience_id: _audience(audience, rows_max)
            for audience_id, audience in islice(lists.audiences.items(), rows_max)
        },
        "violations": [msgspec.to_builtins(violation) for violation in partner.violations[:rows_max]],
    }


def request(logged: LoggedRequest) -> Json:
    """One request: as it came, decoded, and what became of it."""
    return described(logged, fields=fields(logged.body))


def headline(logged: LoggedRequest) -> str:
    """`upsertProfiles: 2 enter cart_rescue, 1 exit vip`, or the names of the root fields where no profile came."""
    counts: Counter[str] = Counter()
    names: list[str] = []
    for field in fields(logged.body):
        names.append(str(field["name"]))
        arguments = field["arguments"]
        given = arguments.get("input") if isinstance(arguments, dict) else None
        profiles = given.get("profiles") if isinstance(given, dict) else None
        for profile in profiles if isinstance(profiles, list) else []:
            if isinstance(profile, dict):
                counts[f"{profile.get('action')} {profile.get('audienceName')}"] += 1
    if counts:
        return "upsertProfiles: " + ", ".join(f"{count} {what}" for what, count in counts.items())
    return ", ".join(names) or logged.problem or logged.fault or f"{logged.method} {logged.path}"


def fields(body: bytes | None) -> list[Json]:
    """The root fields of a logged body with their input; JSON text in `profiles` is decoded. Empty when unreadable."""
    reading = read_body("application/json", body or b"", unparsable_status=200)
    found: list[Json] = []
    for field in root_fields(reading.document) if reading.document else ():
        given = {
            argument.name.value: value_from_ast_untyped(argument.value, reading.variables)
            for argument in field.arguments or ()
        }
        whole = given.get("input")
        if isinstance(whole, dict) and isinstance(whole.get("profiles"), str):
            decoded, _ = read_profiles(whole["profiles"])
            given["input"] = whole if decoded is None else whole | {"profiles": list(decoded)}
        found.append({"name": field.name.value, "arguments": given})
    return found


def page(partner: StackAdapt) -> Json:
    """What `page.html` shows: all of it cut to a size a browser likes."""
    lists = partner.lists
    with partner.changes.reading():
        return {
            "endpoint": f"/{partner.name}/graphql",
            "counters": partner.counts(),
            "pending_documents": partner.pending_documents,
            "configuration": partner.configuration,
            "audiences_total": len(lists.audiences),
            "audiences": [
                {"id": audience_id, **_audience(audience, PAGE_ROWS_MAX)}
                for audience_id, audience in islice(lists.audiences.items(), PAGE_AUDIENCES_MAX)
            ],
            "profile_mappings": list(islice(lists.profile_mappings.values(), PAGE_AUDIENCES_MAX)),
            "requests": [
                row(logged, _readable(logged.body)) for logged in reversed(partner.log.latest(PAGE_REQUESTS_MAX))
            ],
        }


def _profile(key: ProfileKey, profile: Profile) -> Json:
    advertiser_id, provider, email = key
    return {
        "advertiser_id": advertiser_id,
        "provider": provider,
        "email": email,
        "external_id": profile.external_id,
        "is_opted_in": profile.is_opted_in,
        "values": profile.values,
    }


def _audience(audience: Audience, rows_max: int) -> Json:
    inside = [key for key, is_in in audience.members.items() if is_in]
    outside = [key for key, is_in in audience.members.items() if not is_in]
    return {
        "name": audience.name,
        "in_total": len(inside),
        "out_total": len(outside),
        "in": [_member(key) for key in inside[:rows_max]],
        "out": [_member(key) for key in outside[:rows_max]],
    }


def _member(key: ProfileKey) -> Json:
    return {"advertiser_id": key[0], "email": key[2]}


def _readable(body: bytes | None) -> str | None:
    """The body laid out for reading: root fields as JSON where it has any, else as it came; cut where it is long."""
    return readable(body, fields(body) if body and len(body) <= PAGE_BODY_BYTES_MAX else None)
