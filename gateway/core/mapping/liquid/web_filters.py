"""The filters that encode and clean text for the web: HTML, addresses, base64, digests, slugs."""

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

from gateway.core.javascript import WHITE_SPACE, code_units, is_truthy, to_text, utf16_length
from gateway.core.mapping.liquid.errors import LiquidTrouble
from gateway.core.mapping.liquid.filtering import FilterFunction, argument
from gateway.core.mapping.liquid.scope import Scope
from gateway.core.mapping.liquid.values import text_of

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}
_UNESCAPES = {escaped: character for character, escaped in _ESCAPES.items()}
_ESCAPED = re.compile("[&<>\"']")
_UNESCAPED = re.compile("&(?:amp|lt|gt|#34|#39);")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PERCENT = re.compile("%([0-9A-Fa-f]{2})?")
_PERCENT_RUN = re.compile("(?:%[0-9A-Fa-f]{2})+")
_NOT_BASE64 = re.compile("[^A-Za-z0-9+/]")


def _charged(function: Callable[[str], str]) -> FilterFunction:
    """A filter that looks at nothing but the text, and pays for it."""

    def apply(value: object, _arguments: list[object], scope: Scope) -> object:
        text = text_of(value)
        scope.charge(utf16_length(text))
        return function(text)

    return apply


# --- HTML ---


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], text)


def _escape_once(text: str) -> str:
    return _escape(_UNESCAPED.sub(lambda match: _UNESCAPES[match[0]], text))


def _strip_html(text: str) -> str:
    """Without tags, scripts, styles and comments. An opener that nothing closes is tried as a tag, then left as it is."""
    blocks = {"<script": "</script>", "<style": "</style>", "<!--": "-->", "<": ">"}
    kept: list[str] = []
    at = 0
    while (opening := text.find("<", at)) >= 0:
        kept.append(text[at:opening])
        at = opening
        for opener, closer in list(blocks.items()):
            if not text.startswith(opener, opening):
                continue
            closing = text.find(closer, opening + len(opener))
            if closing >= 0:
                at = closing + len(closer)
                break
            del blocks[opener]  # Not closed here is not closed anywhere behind.
        if at == opening:
            break
    return "".join(kept) + text[at:]


# --- Addresses ---


def _percent_encoded(text: str, safe: str) -> str:
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise LiquidTrouble("URI malformed") from None


def _url_decode(text: str) -> str:
    if any(match[1] is None for match in _PERCENT.finditer(text)):
        raise LiquidTrouble("URI malformed")
    try:
        decoded = _PERCENT_RUN.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode(), text)
    except UnicodeDecodeError:
        raise LiquidTrouble("URI malformed") from None
    return decoded.replace("+", " ")


# --- Slugs ---

_PRETTY = frozenset("._~!$&'()+,;=@")
_ASCII = re.compile("[^A-Za-z0-9]+")
_BLANK_RUN = re.compile(f"[{WHITE_SPACE}]+")
_PLAIN_LETTERS = str.maketrans(
    {
        **dict.fromkeys("àáâãäå", "a"),
        **dict.fromkeys("èéêë", "e"),
        **dict.fromkeys("ìíîï", "i"),
        **dict.fromkeys("òóôõöø", "o"),
        **dict.fromkeys("ùúûü", "u"),
        **dict.fromkeys("ýÿ", "y"),
        "æ": "ae",
        "ç": "c",
        "ð": "d",
        "ñ": "n",
        "ß": "ss",
        "œ": "oe",
        "þ": "th",
        "ẞ": "SS",
        "Œ": "OE",
        "Þ": "TH",
    }
)


def _slugify(value: object, arguments: list[object], _scope: Scope) -> object:
    text, mode = text_of(value), to_text(argument(arguments, 0, "default"))
    if mode == "latin":
        text = text.translate(_PLAIN_LETTERS)
    if mode in ("default", "latin", "pretty"):
        kept = _PRETTY if mode == "pretty" else frozenset()
        text = _hyphenated([character if _is_slug(character, kept) else "" for character in text])
    elif mode in ("ascii", "raw"):
        text = (_ASCII if mode == "ascii" else _BLANK_RUN).sub("-", text)
    if mode in ("default", "latin", "pretty", "ascii", "raw"):
        text = text.removeprefix("-").removesuffix("-")
    return text if is_truthy(argument(arguments, 1, default=False)) else text.lower()


def _is_slug(character: str, kept: frozenset[str]) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LM" or category == "Nd" or character in kept


def _hyphenated(characters: list[str]) -> str:
    """The characters, every run of empty ones as one hyphen."""
    pieces: list[str] = []
    for index, character in enumerate(characters):
        if character:
            pieces.append(character)
        elif index == 0 or characters[index - 1]:
            pieces.append("-")
    return "".join(pieces)


# --- Bytes ---


def _utf8(text: str) -> bytes:
    """UTF-8 as Node writes it: a lone surrogate becomes U+FFFD."""
    return _SURROGATE.sub("\ufffd", text).encode()


def _base64_decode(text: str) -> str:
    """Lenient, as Node is: both alphabets, padding optional, the low byte of each unit, and what is no digit skipped."""
    low_bytes = code_units(text).encode("utf-16-le", "surrogatepass")[::2].decode("latin-1")
    digits = _NOT_BASE64.sub("", low_bytes.replace("-", "+").replace("_", "/").split("=")[0])
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    return base64.b64decode(digits + "=" * (-len(digits) % 4)).decode("utf-8", "replace")


def _hmac_sha256(value: object, arguments: list[object], scope: Scope) -> object:
    text, key = text_of(value), text_of(argument(arguments, 0))
    scope.charge(len(text) + len(key))
    return hmac.new(_utf8(key), _utf8(text), hashlib.sha256).hexdigest()


_UNRESERVED = "-_.!~*'()"

WEB_FILTERS: dict[str, FilterFunction] = {
    "escape": _charged(_escape),
    "xml_escape": _charged(_escape),
    "escape_once": _charged(_escape_once),
    "strip_html": _charged(_strip_html),
    "url_encode": _charged(lambda text: _percent_encoded(text, _UNRESERVED).replace("%20", "+")),
    "cgi_escape": _charged(lambda text: _percent_encoded(text, "-_.~").replace("%20", "+")),
    "uri_escape": _charged(lambda text: _percent_encoded(text, _UNRESERVED + ";,/?:@&=+$#[]")),
    "url_decode": _charged(_url_decode),
    "slugify": _slugify,
    "base64_encode": _charged(lambda text: base64.b64encode(_utf8(text)).decode()),
    "base64_decode": _charged(_base64_decode),
    "sha256": _charged(lambda text: hashlib.sha256(_utf8(text)).hexdigest()),
    "hmac_sha256": _hmac_sha256,
}
