"""Hiding people in what operators read: masked texts of partners, masked payloads, shortened ids. Nothing is ever unmasked."""

from __future__ import annotations

import re
from typing import Final

TEXT_CHARS_MAX: Final = 200  # ours: an operator's line, not a page
DEPTH_MAX: Final = 6  # ours: deeper parts of a payload are only counted

_LONGEST_SCANNED = 2_000  # A partner's text is cut to this before any pattern meets it.
_WHITE = re.compile(r"\s+")
_HIDDEN: Final = (
    # Quoted texts are nearly always a value that was refused.
    re.compile(r"\"[^\"]*\"?|'[^'\n]{2,}'|`[^`]*`?|“[^”]*”?|«[^»]*»?"),
    re.compile(r"\S*@\S*"),  # e-mail addresses, whole or cut
    re.compile(r"\S*://\S*"),  # addresses carry ids in their paths
    re.compile(r"[+(]?[0-9][0-9 ()./:-]{5,}[0-9]|[0-9]{5,}"),  # telephone numbers, dates, ids, addresses of devices
    re.compile(r"(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{8,}"),  # mixed ids: user ids, UUIDs, hashes
    re.compile(r"[0-9A-Fa-f]{2,4}(?:::?[0-9A-Fa-f]{1,4}){2,}"),  # IPv6 and MAC addresses
    re.compile(r"[^\W\d_]*[^\x00-\x7f][^\s]*"),  # Words beyond ASCII are names more often than they are English.
)

_WORD = re.compile(r"\w+")

# Members whose value says something about the product and nothing about the person.
_PLAIN_KEYS: Final = frozenset(
    {
        "type", "event", "event_type", "action", "operation", "audienceid", "audiencename", "audience_key", "audience_id",
        "computation_class", "computation_id", "computation_key", "segment_computation_class", "segment_computation_id",
        "segment_computation_key", "space_id", "marketing_status", "enable_batching", "custom_properties_mode", "messageid",
        "timestamp", "receivedat", "sentat", "originaltimestamp", "version", "channel", "country", "country_code", "timezone",
        "batch_size", "advertiser_id", "external_audience_id",
    }
)  # fmt: skip


def mask_text(text: str, *, known: frozenset[str] = frozenset()) -> str:
    """One line of at most TEXT_CHARS_MAX characters without anything that may be a person's.

    Quoted parts, e-mail addresses, links, runs of digits, mixed ids and non-ASCII words become `…`, and so does every
    word of `known` (see words_of): a plain name looks like any other word, but we know what we sent.
    """
    line = _WHITE.sub(" ", text[:_LONGEST_SCANNED]).strip()
    for pattern in _HIDDEN:
        line = pattern.sub("…", line)
    if known:
        line = _WORD.sub(lambda match: "…" if match[0].casefold() in known else match[0], line)
    return line if len(line) <= TEXT_CHARS_MAX else line[: TEXT_CHARS_MAX - 1] + "…"


def words_of(value: object) -> frozenset[str]:
    """Every word in the texts of a payload (keys are the sender's vocabulary and do not count), for mask_text."""
    words: set[str] = set()
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, str):
            words.update(word.casefold() for word in _WORD.findall(current))
        elif isinstance(current, dict):
            pending.extend(current.values())
        elif isinstance(current, (list, tuple)):
            pending.extend(current)
        elif current is not None and not isinstance(current, bool):
            words.add(str(current))
    return frozenset(words)


def mask_value(value: object, *, key: str = "", depth: int = 0) -> object:
    """A payload or event as it may be shown: same keys and shape, people hidden.

    key: the member's name, which decides for `_PLAIN_KEYS`; everything else is masked by its look. Flags and null stay,
    since they carry membership; numbers lose all but their size.
    """
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, dict):
        if depth >= DEPTH_MAX:
            return f"({len(value)} members)"
        return {mask_key(name): mask_value(inner, key=name, depth=depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        if depth >= DEPTH_MAX:
            return f"({len(value)} items)"
        return [mask_value(item, key=key, depth=depth + 1) for item in value]
    if key.casefold() in _PLAIN_KEYS:
        return value if not isinstance(value, str) or "@" not in value else mask_identifier(value)
    if isinstance(value, str):
        return mask_identifier(value)
    return "***"


def mask_key(key: str) -> str:
    """A member's name. Names are the sender's vocabulary and stay, unless one looks like an address or a number."""
    return "***" if "@" in key or sum(character.isdigit() for character in key) >= 7 else key


def mask_identifier(text: str) -> str:
    """`mei@shop.example` → `m***@s***.example`; other texts keep one or two characters: `u-204` → `u***`.

    A canonical member such as `user_id:u-204` keeps its kind: `user_id:u***`. Empty stays empty.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in {"user_id", "anonymous_id", "email", "group_id", "external_id"}:
        return f"{kind}:{mask_identifier(rest)}"
    local, at, domain = text.rpartition("@")
    if at:
        host, dot, top = domain.rpartition(".")
        return f"{local[:1]}***@{host[:1]}***{dot}{top}" if dot else f"{local[:1]}***@***"
    if not text:
        return ""
    return f"{text[:1]}***" if len(text) < 12 else f"{text[:2]}***{len(text)}"
