"""Finds a source by write key or by name. Built once from the configured sources, swapped whole when they change."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from gateway.core.sources import Source, WebhookAuth

LOCAL = Source(name="local", auth=WebhookAuth(none=True))  # every key and name, while no source is configured

ANY_ORIGIN = "*"
HEADERS_REMEMBERED_MAX = 4096  # Authorization headers whose source need not be worked out again


class SourceTable:
    """The sources of one moment. Write keys are looked up by a hash under a random key, so that timing tells nothing."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._salt = os.urandom(32)
        self._by_name = {source.name: source for source in sources}
        self._by_key = {self._hash(key): source for source in self._by_name.values() for key in source.write_keys}
        self._by_header: dict[bytes, Source] = {}
        browsers = [source for source in self._by_name.values() if source.kind == "browser"]
        self._browser_origins = frozenset(origin for source in browsers for origin in source.origins)

    @property
    def is_open(self) -> bool:
        """No source is configured: everything is source `local`."""
        return not self._by_name

    def by_write_key(self, key: str) -> Source | None:
        """The source a write key belongs to, disabled ones included."""
        if not self._by_name:
            return LOCAL if key else None
        return self._by_key.get(self._hash(key))

    def remembered(self, authorization: bytes) -> Source | None:
        """The source that this very header opened before."""
        return self._by_header.get(hashlib.blake2b(authorization, key=self._salt, digest_size=16).digest())

    def remember(self, authorization: bytes, source: Source) -> None:
        """Keep which source a header opens, by its hash; of a Basic header only, since nothing else can outvote it."""
        if len(self._by_header) < HEADERS_REMEMBERED_MAX:
            hashed = hashlib.blake2b(authorization, key=self._salt, digest_size=16).digest()
            self._by_header[hashed] = source

    def by_name(self, name: str) -> Source | None:
        """The source a webhook URL names, disabled ones included."""
        return self._by_name.get(name) if self._by_name else LOCAL

    def allowed_origin(self, origin: str, source: Source | None) -> tuple[str, bool] | None:
        """(value of Access-Control-Allow-Origin, whether credentials may come along), or None where CORS does not apply.

        source: None while it is not known; then any browser source may allow it.
        """
        if source is None:
            allowed = self._browser_origins
        elif source.kind == "browser":
            allowed = frozenset(source.origins)
        else:
            return None
        if origin in allowed:
            return origin, True
        return (ANY_ORIGIN, False) if ANY_ORIGIN in allowed else None

    def _hash(self, key: str) -> bytes:
        return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), key=self._salt, digest_size=16).digest()
