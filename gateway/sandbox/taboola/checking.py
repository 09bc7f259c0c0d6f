"""The fake Taboola's checks of what is sent to its audience calls: what it refuses, and which member it names for it."""

import re

from gateway.sandbox.taboola.audiences import Member

NAME_CHARACTERS_MAX = 250
TTL_HOURS_MAX = 100_000
CLUSTER_ENTRIES_MAX = 100

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_CREATE_KEYS = {"audience_name", "ttl_in_hours", "exclude_from_campaigns", "integration_source"}
_USERS_KEYS = {"operation", "audience_id", "identities", "integration_source"}
_ENTRY_KEYS = {"user_id", "type", "is_hashed"}


class InvalidError(Exception):
    """A body that is refused. offending_field: the member Backstage names. Its text never repeats a person's value."""

    def __init__(self, message: str, offending_field: str) -> None:
        super().__init__(message)
        self.offending_field = offending_field


def checked_creation(body: object) -> dict[str, object]:
    """The body of a creation. Raises InvalidError."""
    found = _object(body, _CREATE_KEYS)
    name = found.get("audience_name")
    if not isinstance(name, str) or not name.strip() or len(name) > NAME_CHARACTERS_MAX:
        raise InvalidError("The audience needs a name", "audience_name")
    ttl = found.get("ttl_in_hours", 1)
    if not isinstance(ttl, int) or isinstance(ttl, bool) or not 1 <= ttl <= TTL_HOURS_MAX:
        raise InvalidError("The TTL is a whole number of hours", "ttl_in_hours")
    if not isinstance(found.get("exclude_from_campaigns", False), bool):
        raise InvalidError("This is true or false", "exclude_from_campaigns")
    if not isinstance(found.get("integration_source", ""), str):
        raise InvalidError("This is a text", "integration_source")
    return found


def checked_users(body: object) -> tuple[str, object, list[Member]]:
    """(operation, audience id as given, everybody named) of a users call. Raises InvalidError."""
    found = _object(body, _USERS_KEYS)
    operation = found.get("operation")
    if operation not in ("ADD", "REMOVE"):
        raise InvalidError("The operation is ADD or REMOVE", "operation")
    if not isinstance(found.get("integration_source", ""), str):
        raise InvalidError("This is a text", "integration_source")
    number = found.get("audience_id")
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidError("The audience id is a whole number", "audience_id")
    identities = found.get("identities")
    if not isinstance(identities, list) or not identities:
        raise InvalidError("There are no identities", "identities")
    return operation, number, [member for identity in identities for member in _cluster(identity)]


def _cluster(identity: object) -> list[Member]:
    entries = identity.get("cluster") if isinstance(identity, dict) and set(identity) == {"cluster"} else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= CLUSTER_ENTRIES_MAX:
        raise InvalidError("An identity is a cluster of at least one id", "cluster")
    return [_entry(entry) for entry in entries]


def _entry(entry: object) -> Member:
    if not isinstance(entry, dict) or set(entry) != _ENTRY_KEYS:
        raise InvalidError("An id has user_id, type and is_hashed, and nothing more", "cluster")
    user_id, kind, is_hashed = entry["user_id"], entry["type"], entry["is_hashed"]
    if not isinstance(user_id, str) or not user_id:
        raise InvalidError("The id is missing", "user_id")
    if kind not in ("EMAIL_ID", "DEVICE_ID"):
        raise InvalidError("The type is EMAIL_ID or DEVICE_ID", "type")
    if is_hashed is not (kind == "EMAIL_ID"):
        raise InvalidError("E-mail ids are hashed, device ids are not", "is_hashed")
    if kind == "EMAIL_ID" and not _SHA256.fullmatch(user_id):
        raise InvalidError("An e-mail id is a SHA-256 in hexadecimal", "user_id")
    return kind, user_id


def _object(body: object, known: set[str]) -> dict[str, object]:
    if not isinstance(body, dict):
        raise InvalidError("The body is no JSON object", "")
    unknown = sorted(set(body) - known)
    if unknown:
        raise InvalidError("There is a member too many", unknown[0])
    return body
