"""Calls to Taboola with a token that is fetched when needed, kept in memory only, and renewed once after a 401."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from weakref import WeakKeyDictionary

import msgspec

from gateway.core.http_messages import Answer, NoAnswerError, Request
from gateway.core.javascript import to_text
from gateway.core.outcomes import Outcome, Unreachable
from gateway.destinations.base import Context, Notes
from gateway.destinations.taboola.answers import Token, read_token
from gateway.destinations.taboola.wire import base_url, token_request

RENEW_BEFORE_S = 300.0  # ours: a token with less left is not used for another batch

_UNAUTHORIZED = 401


class _Held(msgspec.Struct, frozen=True):
    login: bytes
    token: str
    until_us: int


class Tokens:
    """The token of one lane, for the login that was used last. Never written down, never shown."""

    def __init__(self) -> None:
        self._held: _Held | None = None
        self._one_at_a_time = asyncio.Lock()

    async def token(self, session: Session, *, instead_of: str = "") -> str | Outcome:
        """A token, or why there is none. instead_of: the one that was refused; another task may have replaced it already."""
        async with self._one_at_a_time:
            login = _login(session.settings)
            held = self._held
            if held is not None and held.login == login and held.token != instead_of and session.now_us < held.until_us:
                return held.token
            self._held = None
            fetched = await session.fetch_token()
            if not isinstance(fetched, Token):
                return fetched
            until_us = session.now_us + round((fetched.life_s - RENEW_BEFORE_S) * 1_000_000)
            self._held = _Held(login, fetched.text, until_us)
            return fetched.text


# A lane is known by its notes, which live as long as it does; a rehearsal brings its own and so never meets a real token.
_tokens: WeakKeyDictionary[Notes, Tokens] = WeakKeyDictionary()


class Session:
    """One batch's calls. requests: how many went out. blocked: the last call got no token or no answer, for this reason."""

    def __init__(self, settings: dict[str, object], context: Context) -> None:
        self.settings = settings
        self.now_us = context.now_us
        self.requests = 0
        self.blocked: Outcome | None = None
        self._http = context.http
        self._tokens = _tokens.setdefault(context.notes, Tokens())

    async def call(self, build: Callable[[str], Request]) -> Answer | Outcome:
        """The answer to a request made with a token, or the outcome where there is none. After a 401: once more, with a new one."""
        answer = await self._call(build)
        self.blocked = None if isinstance(answer, Answer) else answer
        return answer

    async def _call(self, build: Callable[[str], Request]) -> Answer | Outcome:
        token = await self._tokens.token(self)
        if not isinstance(token, str):
            return token
        answer = await self._send(build(token))
        if not isinstance(answer, Answer) or answer.status != _UNAUTHORIZED:
            return answer
        renewed = await self._tokens.token(self, instead_of=token)
        return await self._send(build(renewed)) if isinstance(renewed, str) else renewed

    async def fetch_token(self) -> Token | Outcome:
        """Ask for a token, whatever is kept."""
        answer = await self._send(token_request(self.settings))
        return read_token(answer, now_us=self.now_us) if isinstance(answer, Answer) else answer

    async def _send(self, request: Request) -> Answer | Outcome:
        self.requests += 1
        try:
            return await self._http.send(request)
        except NoAnswerError as error:
            return Unreachable(reason=f"Taboola gave no answer: {error.reason}", sent=error.sent)


def _login(settings: dict[str, object]) -> bytes:
    """Which credentials where, without holding them."""
    given = (base_url(settings), to_text(settings.get("client_id", "")), to_text(settings.get("client_secret", "")))
    parts = [text.encode("utf-8", "surrogatepass") for text in given]
    return hashlib.sha256(msgspec.json.encode(parts)).digest()
