"""Normalisers that single platforms ask for, beside those of `core.identifiers`: text in, text out, nothing where it is none."""

from __future__ import annotations

import unicodedata
from typing import Final

from gateway.core.identifiers import NAME_CHARS_MAX, digits_of, normalise_country, normalise_email, normalise_phone

_GOOGLE_MAIL: Final = ("gmail.com", "googlemail.com")


def normalise_email_google(text: str) -> str:
    """All white space out, lower case; at Google's own two domains without dots and without `+` and what follows.

    Source: Data Manager API, "Format user data". The domain stays as it was written.
    """
    address = normalise_email(text)
    local, at, domain = address.rpartition("@")
    if domain not in _GOOGLE_MAIL:
        return address
    return local.partition("+")[0].replace(".", "") + at + domain


def normalise_phone_digits(text: str) -> str:
    """The digits of a telephone number with its country's code, without plus and leading zeros (Meta's form).

    A number that is whole in E.164 is read as one; any other keeps its digits, since the country is not known here.
    """
    return normalise_phone(text).removeprefix("+") or digits_of(text).lstrip("0")


def normalise_words(text: str) -> str:
    """Trimmed, lower case, punctuation out, single blanks between words: names as Meta and Google hash them."""
    if len(text) > NAME_CHARS_MAX:
        return ""
    kept = [character for character in text.lower() if unicodedata.category(character)[0] != "P"]
    return " ".join("".join(kept).split())


def normalise_country_upper(text: str) -> str:
    """A two-letter country code in capitals, or nothing."""
    return normalise_country(text).upper()
