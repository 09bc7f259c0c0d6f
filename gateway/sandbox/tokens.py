"""Access tokens that a fake partner gave out: whose they are, and until when."""

import secrets
from collections.abc import Callable
from typing import Generic, TypeVar

TOKENS_MAX = 10_000

OwnerT = TypeVar("OwnerT")


class GivenTokens(Generic[OwnerT]):
    """Tokens by text, the latest TOKENS_MAX. clock: seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._given: dict[str, tuple[OwnerT, float]] = {}

    def give(self, owner: OwnerT, life_s: float) -> str:
        """A new token for `owner`."""
        while len(self._given) >= TOKENS_MAX:
            del self._given[next(iter(self._given))]
        token = secrets.token_urlsafe(24)
        self._given[token] = (owner, self._clock() + life_s)
        return token

    def owner(self, token: str) -> OwnerT | None:
        """Whose token this is; None for one that was never given, or is no longer good."""
        found = self._given.get(token)
        return found[0] if found is not None and found[1] > self._clock() else None

    def expire(self) -> None:
        """None of them is good any more."""
        self._given.clear()
