"""Faults of identifiers that a platform never complains about: it takes every hash and simply finds nobody by it. Pure.

What is looked at are the values a mapping gives for the fields that a destination declares as identifiers, before anything
of ours hashes them. Nothing is changed or held back for it, and no warning ever holds a value.
"""

from __future__ import annotations

import binascii
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, Literal

import msgspec

from gateway.core.definitions import Field, IdentifierKind
from gateway.core.identifiers import Algorithm, Encoding, is_e164, is_zeroed_device_id, trim_lower
from gateway.core.javascript import WHITE_SPACE

HashFault = Literal[
    "hash_upper_case",
    "hash_wrong_algorithm",
    "hash_wrong_encoding",
    "hash_of_nothing",
    "hash_not_normalised",
    "hashed_twice",
    "hashed_and_plain",
]

VALUES_KEPT_MAX: Final = 10_000  # ours: distinct hashes and plain values of one field that are compared with each other
REHASHED_MAX: Final = 64  # ours: of these, so many are hashed once more to find themselves; the rest is only looked for
TEXT_CHARS_MAX: Final = 320  # ours: the longest address; nothing longer is an identifier or a hash
VALUES_MAX: Final = 100  # ours: of one list in one payload

FAULTS: Final[dict[HashFault, tuple[str, str]]] = {
    "hash_upper_case": (
        "Hashes in capital letters. Platforms compare hashes letter by letter, and theirs are in small ones.",
        "Write hashes in lower case where they are made.",
    ),
    "hash_wrong_algorithm": (
        (
            "Hashes that are not as long as the ones this platform takes: they were made by another algorithm. "
            "They match nobody, and may be hashed once more as if they were plain."
        ),
        "Send the plain value and let the gateway hash it, or hash with the algorithm that the field names.",
    ),
    "hash_wrong_encoding": (
        "Hashes in Base64 where the platform takes hexadecimal ones: they may be hashed once more as if they were plain.",
        "Send them in hexadecimal.",
    ),
    "hash_of_nothing": (
        (
            "Values that stand for nothing: a word such as null, zeros, or the hash of an empty text or of such a word. "
            "All these people look like one and the same to the platform."
        ),
        "Map the field only where it has a value, and hash after looking whether there is one.",
    ),
    "hash_not_normalised": (
        "Hashes of values as somebody typed them, with capitals, blanks or a line end. The plain ones came along, so that shows.",
        "Trim and lower-case addresses, write numbers as +12345678901, and hash then; or send the plain value.",
    ),
    "hashed_twice": (
        "Hashes of hashes: the value that was hashed came along, and it is a hash itself.",
        "Hash once. Where the sender hashes, switch hashing off for the mapping or the source before it.",
    ),
    "hashed_and_plain": (
        (
            "Plain values and hashes, or hashes of several kinds, in one list. "
            "A destination can tell them apart at best by their look."
        ),
        "Let all sources of the field send the same: best the plain value, which the gateway normalises and hashes.",
    ),
}
"""What each fault is, and how it is mended."""


class IdentifierField(msgspec.Struct, frozen=True, kw_only=True):
    """One field that tells who somebody is. key: dotted below an object. hash: what the platform takes; None: not hashed.

    kind external without a hash: any look is right, so only words for nothing count.
    encodings: the writings of a finished hash that pass as one.
    """

    key: str
    kind: IdentifierKind
    hash: Algorithm | None = None
    encodings: tuple[Encoding, ...] = ("hex",)


class HashWarning(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of one field. count: values that show it; of those found by comparing, at least so many."""

    field: str
    code: HashFault
    count: int

    @property
    def sentence(self) -> str:
        """What is wrong, for an operator."""
        return FAULTS[self.code][0]

    @property
    def mend(self) -> str:
        """What to do about it."""
        return FAULTS[self.code][1]


# Sizes of a digest in hexadecimal and in padded Base64. SHA-1 is nobody's, and still what some export.
_HEX_CHARS: Final = frozenset({32, 40, 64, 128})
_BASE64: Final = {24: "md5", 28: "sha1", 44: "sha256", 88: "sha512"}
_BY_BYTES: Final = {16: "md5", 20: "sha1", 32: "sha256", 64: "sha512"}
_PLAIN: Final = "plain"

_WORDS: Final = (
    "null",
    "undefined",
    "none",
    "nil",
    "nan",
    "n/a",
    "false",
    "[object object]",
    "(not set)",
)
_WORD_CHARS: Final = max(map(len, _WORDS))
_HASHED_WORDS: Final = tuple(
    {
        spelling
        for word in ("", " ", "\n", "-", "0", "NaN", "[object Object]", '""', *_WORDS)
        for spelling in (word, word.upper(), word.capitalize())
    }
)


_ALGORITHMS: Final = {"md5": hashlib.md5, "sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}


def _digest(algorithm: str, text: str) -> bytes:
    return _ALGORITHMS[algorithm](text.encode("utf-8", "replace"), usedforsecurity=False).digest()


def _base64_digest(text: str) -> bytes:
    """What a padded Base64 text spells, where it is as long as its length promises; nothing otherwise."""
    try:
        digest = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return b""
    return digest if _BY_BYTES.get(len(digest)) == _BASE64[len(text)] else b""


_NOTHING: Final = frozenset(
    {_digest(algorithm, word) for algorithm in _BY_BYTES.values() for word in _HASHED_WORDS}
    | set(map(bytes, _BY_BYTES))
)


class FieldLinter:
    """The values of one field, batch by batch; memory is bounded, whatever comes."""

    def __init__(self, field: IdentifierField) -> None:
        self._field = field
        # 32 hexadecimal digits are what is left of a device id without its dashes.
        sizes = _HEX_CHARS - {32} if field.kind == "mobile_id" else _HEX_CHARS
        judges_hashes = field.kind != "external" or field.hash is not None
        self._hex = sizes if judges_hashes else frozenset()
        self._base64 = frozenset(_BASE64) if judges_hashes else frozenset()
        self._forms: dict[str, int] = {}
        self._counts: dict[HashFault, int] = {}
        self._digests: dict[bytes, str] = {}
        self._plain: dict[str, None] = {}

    def take(self, values: Iterable[object]) -> None:
        """Look at values. What is no text is passed over; so is an empty one: the field has no value then."""
        hexes, base64s, from_hex = self._hex, self._base64, bytes.fromhex
        plain: list[str] = []
        hashes: list[str] = []
        digests: list[bytes] = []
        coded: list[str] = []
        decoded: list[bytes] = []
        for value in values:
            if type(value) is str:
                if "@" in value:  # No hash has one, and most identifiers do.
                    plain.append(value)
                    continue
                if len(value) in hexes:
                    try:
                        digest = from_hex(value)
                    except ValueError:
                        digest = b""
                    if len(digest) * 2 == len(value):  # `fromhex` passes over blanks.
                        hashes.append(value)
                        digests.append(digest)
                        continue
                elif len(value) in base64s and value[-1] == "=" and (digest := _base64_digest(value)):
                    coded.append(value)
                    decoded.append(digest)
                    continue
                if value:
                    self._take_unclear(value, plain)
            elif type(value) is list:
                self.take([one for one in value[:VALUES_MAX] if type(one) is str])
        if hashes:
            self._take_hashes(hashes, digests)
        if coded:
            self._take_hashes(coded, decoded, is_hex=False)
        if plain:
            self._forms[_PLAIN] = self._forms.get(_PLAIN, 0) + len(plain)
            room = VALUES_KEPT_MAX - len(self._plain)
            self._plain.update(dict.fromkeys([text for text in plain[:room] if len(text) <= TEXT_CHARS_MAX]))

    def warnings(self) -> list[HashWarning]:
        """Everything found so far, in the order of FAULTS."""
        counts = dict(self._counts)
        if len(self._forms) > 1:
            counts["hashed_and_plain"] = sum(self._forms.values()) - max(self._forms.values())
        if self._digests:
            counts["hashed_twice"] = self._doubles()
            counts["hash_not_normalised"] = self._as_typed() if self._plain else 0
        return [
            HashWarning(field=self._field.key, code=code, count=count)
            for code in FAULTS
            if (count := counts.get(code, 0))
        ]

    def _take_unclear(self, value: str, plain: list[str]) -> None:
        """One value that is neither an address nor a hash as it stands: blanks around something, a word, or plain."""
        text = value.strip(WHITE_SPACE)
        if len(text) > TEXT_CHARS_MAX:
            return
        if len(text) < len(value) and len(text) in self._hex | self._base64:
            self.take([text])
        elif self._is_nothing(text):
            self._count("hash_of_nothing", 1)
        else:
            plain.append(value)

    def _take_hashes(self, hashes: Sequence[str], digests: Sequence[bytes], *, is_hex: bool = True) -> None:
        """Finished hashes as they were written, and the same as bytes."""
        field = self._field
        if not _NOTHING.isdisjoint(digests):
            self._count("hash_of_nothing", sum(digest in _NOTHING for digest in digests))
        if is_hex:
            joined = "".join(hashes)
            if joined != joined.lower():
                self._count("hash_upper_case", sum(text != text.lower() for text in hashes))
        for size, count in Counter(map(len, digests)).items():
            algorithm = _BY_BYTES[size]
            self._forms[algorithm] = self._forms.get(algorithm, 0) + count
            if field.hash is None:
                continue
            if algorithm != field.hash:
                self._count("hash_wrong_algorithm", count)
            elif not is_hex and "base64" not in field.encodings:
                self._count("hash_wrong_encoding", count)
        self._digests.update(islice(zip(digests, hashes, strict=True), VALUES_KEPT_MAX - len(self._digests)))

    def _is_nothing(self, text: str) -> bool:
        if not text:
            return True
        if self._field.kind == "mobile_id" and is_zeroed_device_id(text):
            return True
        return len(text) <= _WORD_CHARS and text.lower() in _WORDS

    def _doubles(self) -> int:
        """Hashes that are the hash of another one, as it is usually written."""
        digests, algorithms = self._digests, self._algorithms()
        texts = islice(digests.values(), REHASHED_MAX)
        written = [text if text[-1] == "=" else text.lower() for text in texts]
        return sum(_digest(algorithm, text) in digests for text in written for algorithm in algorithms)

    def _as_typed(self) -> int:
        """Plain values whose hash is there too, made without normalising them."""
        digests, algorithms = self._digests, self._algorithms()
        return sum(
            any(_digest(algorithm, one) in digests for one in self._typed(text) for algorithm in algorithms)
            for text in islice(self._plain, REHASHED_MAX)
        )

    def _typed(self, text: str) -> list[str]:
        """What somebody may have hashed of a plain value that did not normalise it: as it is, or with the line it stood on."""
        kind = self._field.kind
        normal = trim_lower(text) if kind == "email" else text
        is_normal = text == normal and (kind != "phone" or is_e164(text))
        return [normal + "\n"] if is_normal else [text, normal + "\n"]

    def _algorithms(self) -> set[str]:
        return {_BY_BYTES[len(digest)] for digest in self._digests}

    def _count(self, code: HashFault, count: int) -> None:
        self._counts[code] = self._counts.get(code, 0) + count


def lint_identifiers(values: Iterable[object], field: IdentifierField) -> list[HashWarning]:
    """The faults of one field's values, taken together. For more than fits into memory, keep a `FieldLinter`."""
    linter = FieldLinter(field)
    linter.take(values)
    return linter.warnings()


def lint_payloads(payloads: Sequence[Mapping[str, object]], fields: Iterable[IdentifierField]) -> list[HashWarning]:
    """The faults of a batch, field by field in their order."""
    found: list[HashWarning] = []
    for field in fields:
        parent, dot, key = field.key.rpartition(".")
        if dot:
            inner = [payload.get(parent) for payload in payloads]
            values = [table.get(key) for table in inner if isinstance(table, dict)]
        else:
            values = [payload.get(key) for payload in payloads]
        found += lint_identifiers(values, field)
    return found


def identifier_fields(fields: Iterable[Field]) -> tuple[IdentifierField, ...]:
    """Of an action's fields those that name people, members of objects among them."""
    found: list[IdentifierField] = []
    for field in fields:
        for key, one in ((field.key, field), *((f"{field.key}.{inner.key}", inner) for inner in field.properties)):
            if one.identifier is not None:
                found.append(IdentifierField(key=key, kind=one.identifier, hash=one.hash, encodings=one.hash_encodings))
    return tuple(found)
