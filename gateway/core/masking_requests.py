"""Requests as an operator may see them: the platform's own words stay, people are hidden, hashes are cut short.

What may stay is decided by what went in. The payloads of a request are known, so a text that shares a word with one of them is
hidden, and so is everything with a digit or an `@` in it, wherever it came from. Nothing is ever unmasked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from gateway.core.masking import mask_identifier

DIGEST_SHOWN: Final = 8  # characters of a hash: enough to compare two by eye, too few to look anybody up
BODY_BYTES_MAX: Final = 64 * 1024  # of one body; the rest is only counted
DEPTH_MAX: Final = 20
QUOTED_DEPTH: Final = 8  # levels of a document quoted inside another

_DIGEST = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{128}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32})(?![0-9A-Za-z])"
)
_WHOLE_DIGEST = re.compile(f"{_DIGEST.pattern}\\Z")
_QUOTED = re.compile(r'\\"(?:[^"\\]|\\\\.|\\[^"\\])*\\"|"(?:[^"\\]|\\.)*"', re.DOTALL)
_TOKEN = re.compile(r"[^\s,;:=&|<>(){}\[\]!$*\"\\/]+")
_NAMES = re.compile(r"(?:sha-?(?:1|256|512)|md5|utf-?8|v\d{1,2})\Z", re.IGNORECASE)  # of algorithms and versions
_LETTERS = re.compile(r"[^\W\d_]+")
_LETTERS_KEPT_MIN = 2  # one letter is no name


class RequestMask:
    """Masks the requests that some payloads became. plain: texts that are the operator's own (ids of lists, static values)."""

    def __init__(self, payloads: Iterable[object], plain: Iterable[object] = ()) -> None:
        self._words: set[str] = set()
        self._wholes: set[str] = set()
        for payload in payloads:
            self._learn(payload)
        self._plain = {str(leaf) for value in plain for leaf in _leaves(value) if leaf not in ("", None)}

    def body(self, body: bytes) -> str:
        """A body as text: JSON with its shape, lines of JSON, or anything else token by token."""
        cut = body[:BODY_BYTES_MAX]
        text = cut.decode("utf-8", "replace")
        if len(body) <= BODY_BYTES_MAX:
            try:
                return _encode(self.value(msgspec.json.decode(body)))
            except msgspec.DecodeError:
                pass
        masked = "\n".join(self._line(line) for line in text.split("\n"))
        return masked if len(body) <= BODY_BYTES_MAX else f"{masked}\n… {len(body) - BODY_BYTES_MAX} more bytes"

    def value(self, value: object, *, depth: int = 0) -> object:
        """A decoded value: same keys and shape."""
        if depth > DEPTH_MAX:
            return "…"
        if isinstance(value, dict):
            return {self._key(name): self.value(inner, depth=depth + 1) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.value(item, depth=depth + 1) for item in value]
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, str):
            return self._text(value, depth)
        return value if str(value) in self._plain else "***"

    def path(self, url: str) -> str:
        """A URL without its query, and without people in its path."""
        base, _mark, _query = url.partition("?")
        scheme, separator, rest = base.partition("://")
        host, *segments = rest.split("/")
        return f"{scheme}{separator}" + "/".join([host, *(self._segment(one) for one in segments)])

    # inside ------------------------------------------------------------------------------------------------------------
    def _learn(self, payload: object) -> None:
        for leaf in _leaves(payload):
            text = _folded(str(leaf))
            words = _LETTERS.findall(text)
            self._words.update(word for word in words if len(word) >= _LETTERS_KEPT_MIN)
            self._wholes.add("".join(words))
            self._wholes.add("".join(character for character in text if character.isalnum()))
        self._wholes.discard("")

    def _text(self, text: str, depth: int) -> str:
        if text in self._plain or not text:
            return text
        if _WHOLE_DIGEST.match(text):
            return f"{text[:DIGEST_SHOWN]}…"
        if text[:1] in "{[":
            try:
                return _encode(self.value(msgspec.json.decode(text), depth=depth + 1))
            except msgspec.DecodeError:
                pass
        if any(character in text for character in "{}()\n"):
            return self._line(text)
        return text if self._is_ours(text) else mask_identifier(text)

    def _line(self, text: str) -> str:
        """A line of something else: what is quoted by itself, the rest token by token."""
        try:
            decoded = msgspec.json.decode(text)
        except msgspec.DecodeError:
            pass
        else:
            if isinstance(decoded, dict | list):
                return _encode(self.value(decoded))
        parts, end = [], 0
        for match in _QUOTED.finditer(text):
            parts += [self._tokens(text[end : match.start()]), self._quoted(match.group())]
            end = match.end()
        return "".join([*parts, self._tokens(text[end:])])

    def _quoted(self, quoted: str) -> str:
        mark = '\\"' if quoted.startswith("\\") else '"'
        inner = quoted[len(mark) : -len(mark)]
        plain = inner.replace('\\"', '"').replace("\\\\", "\\")
        masked = self._text(plain, DEPTH_MAX - QUOTED_DEPTH)
        return f"{mark}{inner if masked == plain else masked.replace(chr(34), chr(92) + chr(34))}{mark}"

    def _tokens(self, text: str) -> str:
        return _TOKEN.sub(lambda match: self._token(match.group()), text)

    def _token(self, token: str) -> str:
        plain = unquote(token.replace("+", " "))
        if token in self._plain or plain in self._plain or self._is_ours(plain):
            return token
        return f"{plain[:DIGEST_SHOWN]}…" if _WHOLE_DIGEST.match(plain) else mask_identifier(plain)

    def _key(self, name: str) -> str:
        return name if len(name) <= 60 and "@" not in name and not _DIGEST.search(name) else "***"

    def _segment(self, segment: str) -> str:
        plain = unquote(segment)
        if plain in self._plain or not plain:
            return segment
        folded = "".join(character for character in _folded(plain) if character.isalnum())
        if "@" in plain or folded in self._wholes:
            return quote(mask_identifier(plain), safe="*@.")
        return _DIGEST.sub(lambda match: f"{match.group()[:DIGEST_SHOWN]}…", segment)

    def _is_ours(self, text: str) -> bool:
        """Product vocabulary: plain letters that no payload brought along."""
        if _NAMES.match(text) and text.casefold() not in self._wholes:
            return True
        if not text.isascii() or "@" in text or any(character.isdigit() for character in text):
            return False
        words = _LETTERS.findall(text.casefold())
        if any(word in self._words for word in words):
            return False
        whole = "".join(words)
        return len(whole) < _LETTERS_KEPT_MIN or all(whole not in known for known in self._wholes)


def _leaves(value: object) -> Iterable[object]:
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            pending.extend(current.values())
        elif isinstance(current, list | tuple):
            pending.extend(current)
        elif current is not None and not isinstance(current, bool):
            yield current


def _folded(text: str) -> str:
    """Lower case without accents, as platforms ask names to be normalised."""
    spread = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in spread if not unicodedata.combining(character))


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()
