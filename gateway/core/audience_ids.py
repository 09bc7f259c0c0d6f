"""External ids for audiences that a CDP asks us to create: made from the request, so that nothing has to be remembered.

The same source, name and extras always give the same id. A check part, keyed like the id, tells ids we gave out from others.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

PREFIX = "gwa_"
ID_BYTES = 16
CHECK_BYTES = 8
KEY_BYTES_MAX = 64  # BLAKE2b takes no longer key; longer ones are hashed first
NAME_MEMBER = "audienceName"
_NOT_EXTRAS = frozenset({NAME_MEMBER, "writeKey", "secret"})

_encode = msgspec.json.Encoder(order="deterministic").encode


def issue(key: bytes, source: str, request: dict[str, object]) -> str:
    """The external id for a create call. request: its decoded body, with `audienceName` and any extras."""
    extras = {name: value for name, value in request.items() if name not in _NOT_EXTRAS}
    content = _encode([source, request.get(NAME_MEMBER), extras])
    return _with_check(key, source, _keyed(key, b"audience\0" + content, ID_BYTES))


def is_issued(key: bytes, source: str, external_id: str) -> bool:
    """Whether `issue` gave this id to this source at some time."""
    body = external_id.removeprefix(PREFIX)[: ID_BYTES * 2]
    wanted = _with_check(key, source, body)
    return hmac.compare_digest(
        external_id.encode("utf-8", "surrogateescape"), wanted.encode("utf-8", "surrogateescape")
    )


def _with_check(key: bytes, source: str, body: str) -> str:
    content = f"check\0{source}\0{body}".encode("utf-8", "surrogateescape")
    return f"{PREFIX}{body}{_keyed(key, content, CHECK_BYTES)}"


def _keyed(key: bytes, content: bytes, size: int) -> str:
    if len(key) > KEY_BYTES_MAX:
        key = hashlib.blake2b(key).digest()
    return hashlib.blake2b(content, key=key, digest_size=size).hexdigest()
