"""Tells which source sent a `/v1` request, from its Authorization header and the keys in its body."""

from __future__ import annotations

from gateway.core.errors import EventError
from gateway.core.signatures import basic_credentials
from gateway.core.sources import Source
from gateway.ingest.source_table import SourceTable

AUTHORIZATION_CHARACTERS_MAX = 8192


def source_of_call(table: SourceTable, authorization: bytes | None, body_keys: list[str]) -> Source:
    """The enabled source that the first credential present belongs to.

    Order: Basic header, keys in the body, Bearer header. A wrong one is not rescued by a later one. A Bearer token beside
    a body key is another system's OAuth token and is not looked at. Raises EventError 401.
    """
    if authorization is not None and (known := table.remembered(authorization)) is not None:
        return known
    key, is_basic = _deciding_key(authorization, body_keys)
    source = table.by_write_key(key)
    if source is None:
        raise EventError(401, "invalid_write_key", "No source has this write key.")
    if not source.enabled:
        raise EventError(401, "source_disabled", "The source of this write key is disabled.")
    if authorization is not None and is_basic:
        table.remember(authorization, source)
    return source


def source_of_header(table: SourceTable, authorization: bytes | None) -> Source | None:
    """The source that the header alone tells, for requests whose body could not be read."""
    try:
        return source_of_call(table, authorization, [])
    except EventError:
        return None


def _deciding_key(authorization: bytes | None, body_keys: list[str]) -> tuple[str, bool]:
    """The key that decides, and whether it came in a Basic header."""
    if authorization is None:
        if not body_keys:
            raise EventError(
                401,
                "missing_credentials",
                "Send the source's write key, as Basic user name or as `writeKey` in the body.",
            )
        return body_keys[0], False
    if len(authorization) > AUTHORIZATION_CHARACTERS_MAX:
        raise EventError(401, "malformed_authorization", "The Authorization header is too long.")
    header = authorization.decode("latin-1")
    scheme = header[:7].lower()
    if scheme.startswith("basic "):
        return basic_credentials(header)[0], True
    if body_keys:
        return body_keys[0], False
    if scheme == "bearer ":
        return header[7:].strip(), False
    raise EventError(401, "malformed_authorization", "The Authorization header is neither Basic nor Bearer.")
