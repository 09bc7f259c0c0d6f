"""How people write down a person: `user_id:u-17`, `email:mei@example.com`, or a bare user id."""

from __future__ import annotations

from typing import Final

KINDS: Final = frozenset({"user_id", "anonymous_id", "email", "group_id"})  # all others are types of external ids


def canonical_keys(written: str) -> tuple[str, ...]:
    """The canonical ids that a key may mean, the likeliest first.

    Without a kind it is a user id. An unknown kind is the type of an external id, or the value is a user id with a colon in it.
    """
    kind, colon, value = written.partition(":")
    if not colon:
        return ("user_id:" + written,)
    if kind == "email":
        return ("email:" + value.strip().lower(),)
    return (written,) if kind in KINDS else (written, "user_id:" + written)
