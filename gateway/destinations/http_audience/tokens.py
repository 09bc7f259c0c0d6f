"""OAuth tokens of one configured destination: fetched once, kept in its notes, dropped when the partner refuses them.

Batches that go out at the same time share the call: the first asks, the others wait for what it got.
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from gateway.core.answers import retry_after_s, status_text
from gateway.core.http_messages import NoAnswerError
from gateway.core.outcomes import Deferred, Outcome, Unauthorized, Unreachable
from gateway.destinations.base import Context
from gateway.destinations.http_audience.login import Token, credentials_digest, read_token, token_request
from gateway.destinations.http_audience.shape import OAUTH_LOGINS, DefinitionFile
from gateway.destinations.http_audience.wire import Access

_LOCKS: Final[WeakValueDictionary[tuple[int, str], asyncio.Lock]] = WeakValueDictionary()
"""By event loop and note: who holds one is asking the partner."""


class TokenRefusedError(Exception):
    """There is no token. outcome: what that means for what was to be sent."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__("no token")


class Tokens:
    """Gives the token to use now; nothing for logins without one."""

    def __init__(self, file: DefinitionFile, access: Access, context: Context) -> None:
        self._login = file.login
        self._name = file.name
        self._access = access
        self._context = context
        self._is_used = file.login.type in OAUTH_LOGINS
        self._given = ""
        self._note = ""
        if self._is_used and access.secrets:
            self._note = f"token/{credentials_digest(file.login, access.secrets, access.base_url)}"

    async def get(self) -> str:
        """A token that has not expired. Raises TokenRefusedError."""
        if not self._is_used:
            return ""
        kept = await self._kept()
        if kept is None:
            async with self._lock():
                kept = await self._kept()  # Another batch may have been faster.
                if kept is None:
                    kept = await self._fetched()
                    await self._context.notes.put(self._note, msgspec.json.encode(kept))
        self._given = kept.text
        return kept.text

    async def drop(self) -> bool:
        """Forget the token that was just refused; whether another could be asked for.

        What another batch has fetched since stays. Before any `get`, whatever is kept is forgotten.
        """
        if not self._is_used:
            return False
        async with self._lock():
            kept = await self._kept()
            if kept is None or self._given in ("", kept.text):
                await self._context.notes.put(self._note, b"")
        return True

    async def _kept(self) -> Token | None:
        """The one that was kept, while it may be used."""
        noted = await self._context.notes.get(self._note)
        token = _decoded(noted) if noted else None
        return token if token is not None and token.until_us > self._context.now_us else None

    def _lock(self) -> asyncio.Lock:
        return _LOCKS.setdefault((id(asyncio.get_running_loop()), self._note), asyncio.Lock())

    async def _fetched(self) -> Token:
        try:
            answer = await self._context.http.send(
                token_request(self._login, self._access.secrets, self._access.base_url, self._access.token_url)
            )
        except NoAnswerError as error:
            reason = f"destination_unavailable: {self._name} gave no token: {error.reason}"
            raise TokenRefusedError(Unreachable(reason=reason, sent=False)) from None
        text = f"{self._name} answered the request for a token with {status_text(answer.status)}."
        if answer.status == 429 or answer.status >= 500:
            wait_s = retry_after_s(answer.headers, self._context.now_us)
            if wait_s is not None:
                raise TokenRefusedError(Deferred(reason=f"rate_limited: {text}", status=answer.status, wait_s=wait_s))
            raise TokenRefusedError(
                Unreachable(reason=f"destination_unavailable: {text}", status=answer.status, sent=False)
            )
        if not 200 <= answer.status < 300:
            raise TokenRefusedError(Unauthorized(reason=f"auth_failed: {text}", status=answer.status))
        token = read_token(answer, now_us=self._context.now_us)
        if token is None:
            reason = f"response_unreadable: {self._name} answered the request for a token without one."
            raise TokenRefusedError(Unreachable(reason=reason, status=answer.status, sent=False))
        return token


def _decoded(kept: bytes) -> Token | None:
    try:
        return msgspec.json.decode(kept, type=Token)
    except msgspec.DecodeError:
        return None
