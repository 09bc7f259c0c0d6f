"""How people are named to platforms: identifiers normalised, checked and hashed. Which of them are sent is each platform's.

Every normaliser takes text and gives text, or nothing (`""`) where the text is no such identifier; none of them raises.
White space is JavaScript's, so that what Segment's code trims is what ours trims. Nothing here may reach a log.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from functools import lru_cache
from typing import Final, Literal

from gateway.core.javascript import WHITE_SPACE, trim

Algorithm = Literal["md5", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]

HEX_CHARS: Final[dict[Algorithm, int]] = {"md5": 32, "sha256": 64, "sha512": 128}
BASE64_CHARS: Final[dict[Algorithm, int]] = {"md5": 24, "sha256": 44, "sha512": 88}  # with padding
EMAIL_CHARS_MAX: Final = 320  # RFC 3696: 64 before the at sign, 255 behind it
PHONE_CHARS_MAX: Final = 64  # ours; E.164 has 16 and people add blanks, brackets and words
PHONES_REMEMBERED: Final = 4096  # ours: parsing costs some 50 µs and repeats come close together
NAME_CHARS_MAX: Final = 256  # ours

_HEX = re.compile(r"[0-9a-fA-F]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WHITE = re.compile(f"[{re.escape(WHITE_SPACE)}]+")
_NOT_DIGITS = re.compile(r"[^0-9]+")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_ZEROED = re.compile(r"[0{}-]*0[0{}-]*")
_COUNTRY = re.compile(r"[a-z]{2}")
_US_POSTAL = re.compile(r"([0-9]{5})-?[0-9]{4}")
_EMAIL = re.compile(rf"[^{re.escape(WHITE_SPACE)}]+@[^{re.escape(WHITE_SPACE)}]+\.[^{re.escape(WHITE_SPACE)}]+")

GMAIL: Final = "@gmail.com"


# --- Hashing ---


def hashed(text: str, algorithm: Algorithm = "sha256", encoding: Encoding = "hex") -> str:
    """The digest of the text in UTF-8, exactly as it is: lower-case hex, or standard Base64 of the raw digest with padding.

    Half a surrogate pair counts as U+FFFD, as wherever JavaScript writes UTF-8.
    """
    return written(hashlib.new(algorithm, _utf8(text), usedforsecurity=False).digest(), encoding)


def sha256_hex(text: str) -> str:
    """`hashed` in its commonest form."""
    return hashlib.sha256(_utf8(text)).hexdigest()


def sha256_base64(text: str) -> str:
    """`hashed` as The Trade Desk and UID2 write it: 44 characters."""
    return base64.b64encode(hashlib.sha256(_utf8(text)).digest()).decode("ascii")


def written(digest: bytes, encoding: Encoding) -> str:
    """A raw digest as text."""
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode("ascii")


def is_hex_digest(text: str, algorithm: Algorithm = "sha256") -> bool:
    """The whole text is hexadecimal, in either case, of exactly the algorithm's length. A newline behind it is too much."""
    return len(text) == HEX_CHARS[algorithm] and _HEX.fullmatch(text) is not None


def is_base64_digest(text: str, algorithm: Algorithm = "sha256") -> bool:
    """The whole text is standard Base64, padded, of exactly the algorithm's length."""
    return len(text) == BASE64_CHARS[algorithm] and raw_digest(text, algorithm) is not None


def looks_hashed(text: str, algorithm: Algorithm = "sha256", encoding: Encoding = "hex") -> bool:
    """Hexadecimal of the algorithm counts always, Base64 where that is what is sent. Trim first if blanks should not count."""
    return is_hex_digest(text, algorithm) or (encoding == "base64" and is_base64_digest(text, algorithm))


def raw_digest(text: str, algorithm: Algorithm = "sha256") -> bytes | None:
    """The digest that a hexadecimal or a padded Base64 text spells; None for any other text."""
    if is_hex_digest(text, algorithm):
        return bytes.fromhex(text)
    if len(text) != BASE64_CHARS[algorithm] or not _BASE64.fullmatch(text):
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return digest if len(digest) * 2 == HEX_CHARS[algorithm] else None


def reencoded(text: str, algorithm: Algorithm = "sha256", encoding: Encoding = "hex") -> str:
    """A finished digest in the wanted writing, never hashed again; nothing where the text is no digest."""
    digest = raw_digest(text, algorithm)
    return "" if digest is None else written(digest, encoding)


# --- E-mail ---


def trim_lower(text: str) -> str:
    """White space off both ends, lower case."""
    return trim(text).lower()


def normalise_email(text: str) -> str:
    """All white space out, lower case."""
    return _WHITE.sub("", text).lower()


def normalise_email_uid2(text: str) -> str:
    """Trimmed, lower case; at gmail.com the local part up to the first `+`, without dots. No other domain is special.

    UID2's normalisation as The Trade Desk's connector writes it: the local part ends at the *first* at sign.
    """
    address = trim_lower(text)
    if not address.endswith(GMAIL):
        return address
    local = address.partition("@")[0].partition("+")[0]
    return local.replace(".", "") + GMAIL


def is_email(text: str) -> bool:
    """Something, an at sign, something, a dot, something, no white space anywhere; at most EMAIL_CHARS_MAX characters.

    The connectors' own pattern: it is not RFC 5322 and lets more than one at sign pass.
    """
    return len(text) <= EMAIL_CHARS_MAX and _EMAIL.fullmatch(text) is not None


# --- Mobile advertising ids ---


def is_zeroed_device_id(text: str) -> bool:
    """Nothing but zeros between dashes and braces: what phones report for people who have opted out. It names everybody."""
    return _ZEROED.fullmatch(trim(text)) is not None


def is_advertising_id(text: str) -> bool:
    """A UUID with dashes in either case (Apple writes them in capitals, Google in small letters) that is not zeroed."""
    return _UUID.fullmatch(text) is not None and not is_zeroed_device_id(text)


# --- Telephone ---


def normalise_phone(text: str, country: str = "") -> str:
    """A telephone number in E.164 (`+12345678901`), or nothing where it is none.

    country: ISO 3166 two-letter code for numbers written without `+`; without it those give nothing.
    A number counts when its length is possible in its country: whether it is in use is not ours to say.
    """
    return _phone(text, country.upper()) if len(text) <= PHONE_CHARS_MAX else ""


def is_e164(text: str) -> bool:
    """A plus and 7 to 15 digits, the first not zero."""
    return _E164.fullmatch(text) is not None


@lru_cache(maxsize=PHONES_REMEMBERED)
def _phone(text: str, country: str) -> str:
    import phonenumbers  # noqa: PLC0415 - takes longer to load than the rest of the gateway, and most never need it

    try:
        number = phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_possible_number(number):
        return ""
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


# --- The rest ---


def digits_of(text: str) -> str:
    """The digits 0 to 9, everything else out."""
    return _NOT_DIGITS.sub("", text)


def normalise_name(text: str) -> str:
    """Lower case, letters of any script (and the marks on them) only: blanks, dots, hyphens, apostrophes and digits out."""
    if len(text) > NAME_CHARS_MAX:
        return ""
    return "".join([character for character in text.lower() if unicodedata.category(character)[0] in "LM"])


def normalise_country(text: str) -> str:
    """A two-letter country code in lower case, or nothing: names of countries are not guessed at."""
    code = trim_lower(text)
    return code if _COUNTRY.fullmatch(code) else ""


def normalise_postal_code(text: str) -> str:
    """Lower case without white space and dashes; of nine American digits the first five."""
    code = _WHITE.sub("", text).lower()
    nine = _US_POSTAL.fullmatch(code)
    return nine[1] if nine else code.replace("-", "")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode()
