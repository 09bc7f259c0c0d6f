"""Which paths mean what, and what a request's head says; no answer is given here."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from gateway.core.signatures import RESERVED_PATH_TOKEN
from gateway.core.sources import Source
from gateway.ingest.bodies import Receive

Scope = MutableMapping[str, Any]  # as ASGI gives it

SINGLE = {"track": "t", "identify": "i", "page": "p", "screen": "s", "group": "g", "alias": "a"}
BATCH = "batch"
SELF_METRICS = "m"


class Call:
    """One request under way: what its head says, then whatever has been found out about it.

    held: bytes of its body, as read and as decompressed, that are in memory.
    """

    __slots__ = (
        "authorization",
        "encoding",
        "held",
        "kind",
        "length",
        "origin",
        "path",
        "receive",
        "received_us",
        "scope",
        "source",
    )

    def __init__(self, scope: Scope, receive: Receive, kind: str, path: str, received_us: int) -> None:
        self.scope = scope
        self.receive = receive
        self.kind = kind
        self.path = path
        self.received_us = received_us
        self.authorization: bytes | None = None
        self.encoding: bytes | None = None
        self.length: int | None = None
        self.origin: bytes | None = None
        self.source: Source | None = None
        self.held = 0
        for name, value in scope["headers"]:
            if name == b"content-length":
                self.length = int(value)
            elif name == b"authorization":
                self.authorization = value
            elif name == b"content-encoding":
                self.encoding = value if self.encoding is None else self.encoding + b"," + value
            elif name == b"origin":
                self.origin = value

    def headers(self) -> dict[str, str]:
        """All headers by lower-case name, as text; of a repeated one the first."""
        found: dict[str, str] = {}
        for name, value in self.scope["headers"]:
            found.setdefault(name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
        return found


def call_kinds() -> dict[str, str]:
    """Every call route, with and without a trailing slash, and what it carries."""
    kinds = {name: name for name in SINGLE} | {short: name for name, short in SINGLE.items()}
    kinds |= {BATCH: BATCH, "b": BATCH, "import": BATCH, SELF_METRICS: SELF_METRICS}
    return {f"/v1/{name}{slash}": kind for name, kind in kinds.items() for slash in ("", "/")}


def webhook_target(rest: list[str]) -> tuple[str | None, str | None]:
    """(token in the URL, "" for events or "create" or "get"); (None, None) for a path that means nothing."""
    match rest:
        case []:
            return None, ""
        case ["audiences", ("create" | "get") as verb]:
            return None, verb
        case [token] if token and token != RESERVED_PATH_TOKEN:
            return token, ""
        case [token, "audiences", ("create" | "get") as verb] if token:
            return token, verb
    return None, None
