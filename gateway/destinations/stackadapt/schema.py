"""The profile mapping of one request: which keys its profiles have, how StackAdapt shows and types them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from gateway.core.javascript import in_key_order, is_number, trim

Payload = Mapping[str, object]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a mapping schema. type: a member of StackAdapt's ProfilePropertyData."""

    incoming_key: str
    destination_key: str
    label: str
    type: str
    is_pii: bool = False


def _standard(key: str, label: str, *, kind: str = "STRING", is_pii: bool) -> Entry:
    return Entry(incoming_key=key, destination_key=key, label=label, type=kind, is_pii=is_pii)


STANDARD_ENTRIES: Final = (
    _standard("email", "Email", is_pii=True),
    _standard("first_name", "First Name", is_pii=True),
    _standard("last_name", "Last Name", is_pii=True),
    _standard("phone", "Phone", is_pii=True),
    _standard("address", "Address", is_pii=True),
    _standard("city", "City", is_pii=False),
    _standard("state", "State", is_pii=False),
    _standard("country", "Country", is_pii=False),
    _standard("postal_code", "Postal Code", is_pii=False),
    _standard("timezone", "Timezone", is_pii=False),
    _standard("birth_date", "Birth Date", kind="DATE", is_pii=True),
)
"""Always all of them, always first and in this order, whatever the profiles hold."""

AUDIENCE_MAPPING: Final = (
    Entry(
        incoming_key="audienceId",
        destination_key="external_id",
        label="External Audience ID",
        type="STRING",
        is_pii=False,
    ),
    Entry(
        incoming_key="audienceName", destination_key="name", label="External Audience Name", type="STRING", is_pii=False
    ),
)

_STANDARD_KEYS: Final = frozenset(entry.incoming_key for entry in STANDARD_ENTRIES)
_NOT_STRING: Final = "OBJECT"  # what the reference calls objects and lists; StackAdapt's enum lacks it
_WORD_START = re.compile(r"(?<![A-Za-z0-9_])[a-z]")


def uses_declared_properties(first: Payload) -> bool:
    """Whether the request is of mode v2; the first payload decides for all."""
    return first.get("custom_properties_mode") == "v2"


def custom_entries(payloads: Sequence[Payload], *, objects_as_text: bool) -> tuple[Entry, ...]:
    """The entries that follow STANDARD_ENTRIES. payloads: at least one, in order of arrival."""
    first = payloads[0]
    types = declared_types(first) if uses_declared_properties(first) else inferred_types(payloads)
    return tuple(
        Entry(
            incoming_key=name,
            destination_key=name,
            label=label_of(name),
            type="STRING" if objects_as_text and kind == _NOT_STRING else kind,
        )
        for name, kind in types.items()
    )


def declared_types(first: Payload) -> dict[str, str]:
    """v2: name → declared type of the first payload's properties; values play no part."""
    reserved = reserved_names(first)
    types: dict[str, str] = {}
    for item in properties_of(first):
        name = trim(str(item.get("name", "")))
        if name and name not in reserved and name not in _STANDARD_KEYS:
            types.setdefault(name, str(item.get("type", "STRING")).upper())
    return types


def inferred_types(payloads: Sequence[Payload]) -> dict[str, str]:
    """v1: name → type inferred from the values of all payloads; two that disagree make it text."""
    types: dict[str, str] = {}
    unsettled = ""
    for payload in payloads:
        for name, value in legacy_properties(payload).items():
            if not name or value == "" or name in _STANDARD_KEYS:
                continue
            known = types.setdefault(name, unsettled)
            if value is None or value is False:
                continue
            kind = inferred_type(value)
            types[name] = "STRING" if known not in {unsettled, kind} else kind
    return {name: kind or "STRING" for name, kind in types.items()}


def inferred_type(value: object) -> str:
    """The type that one value suggests."""
    if isinstance(value, str):
        return "DATE" if looks_like_date(value) else "STRING"
    if value is True:
        return "BOOLEAN"
    return "NUMBER" if is_number(value) else _NOT_STRING


def reserved_names(payload: Payload) -> frozenset[str]:
    """Names that stand for the audience itself and therefore never become properties."""
    names = (payload.get("segment_computation_key"), payload.get("segment_computation_id"))
    return frozenset([name for name in names if isinstance(name, str)])


def properties_of(payload: Payload) -> Sequence[Mapping[str, object]]:
    """The declared properties of a payload, perhaps none."""
    items = payload.get("custom_user_properties")
    return items if isinstance(items, list) else ()


def legacy_properties(payload: Payload) -> dict[str, object]:
    """The legacy properties of a payload without its reserved names, in JavaScript's key order."""
    traits = payload.get("custom_traits")
    if not isinstance(traits, dict):
        return {}
    reserved = reserved_names(payload)
    return {name: value for name, value in in_key_order(traits).items() if name not in reserved}


def label_of(name: str) -> str:
    """`lifetime_value` → `Lifetime Value`; names that begin with `audience` are told apart from StackAdapt's own."""
    label = _WORD_START.sub(lambda match: match[0].upper(), trim(name.replace("_", " ")))
    return f"External {label}" if name.startswith("audience") else label


# --- What looks like a date ---

_DATE_CHARS_MAX = 64  # ours
_DAY = r"(?:(?P<iso>[0-9]{4}-(?P<m1>[0-9]{2})-(?P<d1>[0-9]{2}))|(?P<m2>[0-9]{1,2})([/-])(?P<d2>[0-9]{1,2})\5[0-9]{4})"
_CLOCK = r"(?P<h>[0-9]{2}):(?P<min>[0-9]{2})(?::(?P<s>[0-9]{2})(?:\.(?P<f>[0-9]{1,9}))?)?"
_DATE = re.compile(
    _DAY
    + rf"(?: *|(?P<separator>T| +){_CLOCK}(?P<half> *[AaPp][Mm])?(?: *(?:Z|UTC|GMT|[+-][0-9]{{2}}:?[0-9]{{2}}))? *)"
)


def looks_like_date(text: str) -> bool:
    """Whether a legacy property's text counts as a date: `2026-05-31`, `5/31/2026`, `05-31-2026`, each with a time or none.

    The length of the month is not looked at (31 April is a date), as in a JavaScript engine; odd tails are text.
    """
    match = _DATE.fullmatch(text) if len(text) <= _DATE_CHARS_MAX else None
    if match is None:
        return False
    month, day = int(match["m1"] or match["m2"]), int(match["d1"] or match["d2"])
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return False
    if match["h"] is None:
        return True
    if match["separator"] == "T" and (not match["iso"] or match["half"]):
        return False
    hour, minute, second, fraction = (int(match[part] or 0) for part in ("h", "min", "s", "f"))
    if match["half"] and not 1 <= hour <= 12:
        return False
    return minute <= 59 and second <= 59 and (hour <= 23 or (hour == 24 and not (minute or second or fraction)))
