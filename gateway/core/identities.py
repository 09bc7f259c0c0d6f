"""Who an event is about: the canonical id that orders and separates people, and all identifiers an event carries.

Nothing is merged or hashed here, and no destination's own rules apply; values are what the sender wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from gateway.core.javascript import is_number, number_text

ZERO_ADVERTISING_ID = "00000000-0000-0000-0000-000000000000"  # what both mobile systems give for "not available"

# Member names of the advertising ids outside `context.device`: how ID-sync renames them, and the platforms' own.
_ADVERTISING = (
    ("ios", "idfa", ("ios_idfa", "idfa"), ("idfa",), "ios.idfa"),
    ("android", "gaid", ("android_idfa", "gaid"), ("gaid",), "android.idfa"),
)
_RECORD_USER_IDS = ("userId", "user_id")
_RECORD_ANONYMOUS_IDS = ("anonymousId", "anonymous_id")


def subject_of(body: dict[str, object]) -> str:
    """Canonical id of the event's person: `user_id:`, else `anonymous_id:`, `email:`, the first external id, else "".

    E-mail addresses are trimmed and lower-cased; an external id is written `<its type>:<id>`.
    """
    user_id = body.get("userId")
    if type(user_id) is str and user_id:
        return "user_id:" + user_id
    anonymous_id = body.get("anonymousId")
    if type(anonymous_id) is str and anonymous_id:
        return "anonymous_id:" + anonymous_id
    for email in _values(body, "email"):
        if address := email.strip().lower():
            return "email:" + address
    return next((f"{kind}:{value}" for kind, value in _external_ids(body)), "")


def account_of(body: dict[str, object]) -> str:
    """Canonical id of the account a group event is about: `group_id:…`, or ""."""
    group_id = _text(body.get("groupId"))
    return "group_id:" + group_id if group_id else ""


def deleted_people(body: dict[str, object]) -> tuple[str, ...]:
    """Canonical ids a deletion names: the user id, the anonymous id, or both."""
    named = (("user_id:", _text(body.get("userId"))), ("anonymous_id:", _text(body.get("anonymousId"))))
    return tuple(prefix + value for prefix, value in named if value)


def record_subject(*tables: object) -> str:
    """Canonical id of one warehouse row, whose identifiers lie flat in one or several objects; "" when it has none.

    The order is that of `subject_of`; what stands for the first external id is the first member that is text or a number.
    """
    rows = [table for table in tables if isinstance(table, dict)]
    for prefix, names in (
        ("user_id:", _RECORD_USER_IDS),
        ("anonymous_id:", _RECORD_ANONYMOUS_IDS),
        ("email:", ("email",)),
    ):
        for row in rows:
            for name in names:
                if value := _text(row.get(name)).strip():
                    return prefix + (value.lower() if prefix == "email:" else value)
    return next((f"{key}:{text}" for row in rows for key, value in row.items() if (text := _text(value))), "")


def identifiers_of(body: dict[str, object]) -> tuple[tuple[str, str], ...]:
    """Every (kind, value) by which a platform may know the event's person, in the order they are to be tried.

    kind: email, phone, user_id, anonymous_id, idfa, gaid, device_id, push_token or, for other external ids, their type.
    An advertising id counts only where its platform is said, and not where tracking is refused or the id is all zeros.
    """
    found: dict[tuple[str, str], None] = {}
    for kind in ("email", "phone"):
        found.update(dict.fromkeys((kind, value) for value in _values(body, kind)))
    for kind, name in (("user_id", "userId"), ("anonymous_id", "anonymousId")):
        if value := _text(body.get(name)):
            found[kind, value] = None
    found.update(dict.fromkeys(_mobile_ids(body)))
    named = {external for *_, external in _ADVERTISING} | {"email", "phone"}
    found.update(dict.fromkeys((kind, value) for kind, value in _external_ids(body) if kind not in named))
    return tuple(found)


def identifiers_hash(identifiers: Iterable[tuple[str, str]]) -> int:
    """Signed 64-bit hash of a set of identifiers; their order does not matter."""
    digest = blake2b(digest_size=8)
    for kind, value in sorted(identifiers):
        digest.update(f"{len(kind)}:{kind}{len(value)}:{value}".encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "big", signed=True)


def _values(body: dict[str, object], name: str) -> Iterator[str]:
    """All values of `email` or `phone`, in the order of the places where they may stand."""
    context = _table(body, "context")
    for table in (_table(context, "traits"), _table(body, "traits"), _table(body, "properties"), body):
        value = table.get(name)
        if value is not None and (text := _text(value)) and not text.isspace():
            yield text
    if "externalIds" in context:
        yield from (value for kind, value in _external_ids(body) if kind == name)


def _external_ids(body: dict[str, object]) -> Iterator[tuple[str, str]]:
    listed = _table(body, "context").get("externalIds")
    if not isinstance(listed, list):
        return
    for entry in listed:
        if isinstance(entry, dict):
            kind, value = _text(entry.get("type")), _text(entry.get("id"))
            if kind and value:
                yield kind, value


def _mobile_ids(body: dict[str, object]) -> Iterator[tuple[str, str]]:
    device = _table(_table(body, "context"), "device")
    platform = _text(device.get("type")).lower()
    may_track = device.get("adTrackingEnabled") is not False
    for system, kind, names, device_names, external in _ADVERTISING:
        candidates: list[object] = []
        if platform == system and may_track:
            candidates.append(device.get("advertisingId"))
        for table in (_table(body, "properties"), _table(body, "traits")):
            candidates += (table.get(name) for name in names)
        candidates += (device.get(name) for name in device_names)
        candidates += (value for name, value in _external_ids(body) if name == external)
        for candidate in candidates:
            if (text := _text(candidate)) and text != ZERO_ADVERTISING_ID:
                yield kind, text
    if platform:
        for kind, name in (("device_id", "id"), ("push_token", "token")):
            if text := _text(device.get(name)):
                yield f"{platform}.{kind}", text


def _table(body: dict[str, object], name: str) -> dict[str, object]:
    value = body.get(name)
    return value if isinstance(value, dict) else _EMPTY


def _text(value: object) -> str:
    """The text of an id: text as it is, a number in digits, anything else none."""
    if type(value) is str:
        return value
    return number_text(value) if is_number(value) else ""  # type: ignore[arg-type] # is_number has looked


_EMPTY: dict[str, object] = {}
