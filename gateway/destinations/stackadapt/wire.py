"""Payloads to one GraphQL document for StackAdapt, as Segment's connector writes it. Pure; answers are `answers.py`'s.

The document has no variables: every value stands in it as a literal.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from json.encoder import JSONEncoder
from typing import Final

from gateway.core.http_messages import Request
from gateway.core.javascript import (
    UNDEFINED,
    in_key_order,
    is_truthy,
    json_string,
    json_text,
    number_text,
    text_number,
    to_text,
    trim,
)
from gateway.destinations.base import Owed
from gateway.destinations.stackadapt.definition import API_URL, CHECK_ADVERTISER_ID, ESCAPE_TEXT, OBJECTS_AS_TEXT
from gateway.destinations.stackadapt.schema import (
    AUDIENCE_MAPPING,
    STANDARD_ENTRIES,
    Entry,
    custom_entries,
    legacy_properties,
    properties_of,
    reserved_names,
    uses_declared_properties,
)

PROVIDER: Final = "segment_io"
TIMEOUT_S: Final = 10.0  # the reference's limit for the whole exchange
USER_AGENT: Final = "audience-gateway"
ADVERTISER_DIGITS_MAX: Final = 18  # ours: ids fit a signed 64-bit integer

UPSERT_FIELDS: Final = ("upsertProfileMapping", "upsertProfiles", "upsertExternalAudienceMapping")
DELETE_FIELD: Final = "deleteProfilesWithExternalIds"

_DIGITS = re.compile(rf"[0-9]{{1,{ADVERTISER_DIGITS_MAX}}}")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_encode_texts = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

Record = Mapping[str, object]


# --- Requests ---


def upsert_request(owed: Sequence[Owed], settings: Record, advertiser: str, corrections: frozenset[str]) -> Request:
    """One request for any number of deliveries (at least one), of one advertiser. advertiser: as `advertiser_literal` gave it."""
    payloads = [one.payload for one in owed]
    objects_as_text = OBJECTS_AS_TEXT in corrections
    declared = uses_declared_properties(payloads[0])
    profiles = [profile_of(one, declared=declared, objects_as_text=objects_as_text) for one in owed]
    text = quoted(profiles_text(profiles), escapes=ESCAPE_TEXT in corrections)
    custom = [_entry_literal(entry) for entry in custom_entries(payloads, objects_as_text=objects_as_text)]
    mapping = f"[{', '.join([_STANDARD_LITERAL, *custom])}]"
    is_opted_in = "true" if payloads[0].get("marketing_status") == "Opted-in" else "false"
    return graphql_request(
        "mutation {"
        f" upsertProfileMapping(input: {{advertiserId: {advertiser}, mappingSchemaV2: {mapping},"
        f' isOptedIn: {is_opted_in}, mappableType: "{PROVIDER}"}}) {{ userErrors {{ message }} }}'
        f' upsertProfiles(input: {{advertiserId: {advertiser}, externalProvider: "{PROVIDER}",'
        f' syncId: "{sha256_hex(text)}", profiles: "{text}"}}) {{ userErrors {{ message }} }}'
        f" upsertExternalAudienceMapping(input: {{advertiserId: {advertiser},"
        f' mappingSchema: [{_AUDIENCE_LITERAL}], mappableType: "{PROVIDER}"}}) {{ userErrors {{ message }} }}'
        " }",
        settings,
    )


def delete_request(user_id: str, settings: Record, advertiser: str, corrections: frozenset[str]) -> Request:
    """One request that deletes one profile by the id it was sent with."""
    literal = json_string(_SURROGATE.sub("\ufffd", user_id)) if ESCAPE_TEXT in corrections else f'"{user_id}"'
    return graphql_request(
        f"mutation {{ {DELETE_FIELD}(input: {{externalIds: [{literal}],"
        f' externalProvider: "{PROVIDER}", syncId: "{sha256_hex(user_id)}", advertiserIds: [{advertiser}]}})'
        " { userErrors { message path } } }",
        settings,
    )


def advertisers_request(settings: Record, after: str = "") -> Request:
    """What the token may do for which advertiser. after: the cursor of the page before, empty for the first page."""
    page = f"(after: {json_string(after)})" if after else ""
    return graphql_request(
        f"query {{ tokenInfo {{ scopesByAdvertiser{page} {{ nodes {{ advertiser {{ id name }} scopes }}"
        " pageInfo { hasNextPage endCursor } } } }",
        settings,
    )


def graphql_request(document: str, settings: Record) -> Request:
    """A body with the one key `query`: the service refuses every other."""
    return Request(
        method="POST",
        url=str(settings.get("api_url") or API_URL),
        headers={
            "Authorization": f"Bearer {to_text(settings.get('apiKey', ''))}",
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
        },
        body=f'{{"query":{json_string(document)}}}'.encode(),
        timeout_s=TIMEOUT_S,
    )


# --- The advertiser ---


def advertiser_of(payload: Record, settings: Record) -> str:
    """The advertiser a delivery is filed under, as given: the mapping's own, else the destination's."""
    return to_text(payload.get("advertiser_id") or settings.get("advertiser_id", ""))


def advertiser_literal(given: str, corrections: frozenset[str], *, in_deletion: bool = False) -> str | None:
    """The id as it is written into the document; None when it is no id and the check is on.

    With the check off it goes in as it is, in a deletion as JavaScript's `parseInt` of it: the whole number it begins with
    (of `12a` another advertiser's), else `NaN`.
    """
    if CHECK_ADVERTISER_ID not in corrections:
        if not in_deletion:
            return given
        beginning = _WHOLE_NUMBER.match(trim(given))
        return number_text(text_number(beginning[0])) if beginning else "NaN"
    digits = trim(given)
    if not _DIGITS.fullmatch(digits):
        return None
    return digits.lstrip("0") or "0"  # GraphQL knows no integers with leading zeros.


# --- Profiles ---


def profile_of(owed: Owed, *, declared: bool, objects_as_text: bool) -> dict[str, object]:
    """One profile. A later value overwrites an earlier one and keeps its place; audience and action always win."""
    payload = owed.payload
    # What is absent is undefined, not missing: it is not written, yet it keeps its place for a later value.
    profile = {"userId": payload.get("user_id", UNDEFINED), "email": payload.get("email", UNDEFINED)}
    traits = payload.get("standard_traits")
    if isinstance(traits, dict):
        profile.update(traits)
    if declared:
        _add_declared(profile, payload)
    else:
        for name, value in legacy_properties(payload).items():
            is_container = isinstance(value, (dict, list))
            profile[name] = json_text(value) if is_container and objects_as_text else value
    profile["audienceId"] = payload.get("segment_computation_id", UNDEFINED)
    profile["audienceName"] = payload.get("segment_computation_key", UNDEFINED)
    profile["action"] = "enter" if is_enter(owed) else "exit"
    return profile


def record_of(payload: Record, corrections: frozenset[str]) -> dict[str, object]:
    """What StackAdapt holds of a member who is in: the profile, and the consent it is filed under."""
    declared = uses_declared_properties(payload)
    owed = Owed(id=0, operation="enter", planned=True, payload=dict(payload))
    profile = profile_of(owed, declared=declared, objects_as_text=OBJECTS_AS_TEXT in corrections)
    del profile["action"]
    known = {name: value for name, value in profile.items() if value is not UNDEFINED}
    return {**known, "isOptedIn": payload.get("marketing_status") == "Opted-in"}


def member_of(payload: Record, corrections: frozenset[str]) -> dict[str, object] | None:
    """The profile of one member as StackAdapt gets it, as a value; None for one without an address, which is no profile."""
    if not payload.get("email"):
        return None
    declared = uses_declared_properties(payload)
    owed = Owed(id=0, operation="send", payload=dict(payload))
    profile = profile_of(owed, declared=declared, objects_as_text=OBJECTS_AS_TEXT in corrections)
    return {name: value for name, value in profile.items() if value is not UNDEFINED}


def _add_declared(profile: dict[str, object], payload: Record) -> None:
    reserved = reserved_names(payload)
    for item in properties_of(payload):
        name = trim(to_text(item.get("name", "")))
        if name and name not in reserved:
            # Without a value the name vanishes from the profile, an earlier value of it included.
            profile[name] = item.get("value", UNDEFINED)


def is_enter(owed: Owed) -> bool:
    """A sync's plan decides; a forwarded event's own flag otherwise, by JavaScript's truth: the text "false" is enter."""
    if owed.planned:
        return owed.operation in ("enter", "update")
    flags = owed.payload.get("traits_or_props")
    key = owed.payload.get("segment_computation_key")
    return isinstance(flags, dict) and isinstance(key, str) and is_truthy(flags.get(key))


def profiles_text(profiles: Sequence[dict[str, object]]) -> str:
    """The JSON text of the list, without blanks, as JavaScript writes it."""
    return "[" + ",".join([_profile_text(profile) for profile in profiles]) + "]"


def _profile_text(profile: dict[str, object]) -> str:
    # Nearly all profiles are texts only, which the C encoder writes the same way many times faster.
    if profile.get("userId") is UNDEFINED:
        profile = {name: value for name, value in profile.items() if value is not UNDEFINED}
    if in_key_order(profile) is profile and all(type(value) is str for value in profile.values()):
        text = _encode_texts(profile)
        if text.isascii() or not _SURROGATE.search(text):
            return text
    return str(json_text(profile))


# --- Literals ---


def quoted(text: str, *, escapes: bool) -> str:
    """JSON text as the inside of a GraphQL string. JSON has turned control characters into escapes already."""
    return (text.replace("\\", "\\\\") if escapes else text).replace('"', '\\"')


def _entry_literal(entry: Entry) -> str:
    """One line of a schema as a GraphQL object; `type` is an enum literal, so it has no quotes."""
    return (
        f"{{incomingKey: {_text_literal(entry.incoming_key)}, destinationKey: {_text_literal(entry.destination_key)},"
        f" label: {_text_literal(entry.label)}, type: {entry.type}, isPii: {'true' if entry.is_pii else 'false'}}}"
    )


def _text_literal(text: str) -> str:
    """A text between quotes: JSON's escapes are GraphQL's. Half a surrogate pair is no character in either."""
    return json_string(_SURROGATE.sub("\ufffd", text))


_STANDARD_LITERAL: Final = ", ".join(_entry_literal(entry) for entry in STANDARD_ENTRIES)
_AUDIENCE_LITERAL: Final = ", ".join(_entry_literal(entry) for entry in AUDIENCE_MAPPING)


def sha256_hex(text: str) -> str:
    """Lower-case hex SHA-256 of the text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
