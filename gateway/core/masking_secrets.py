"""Hiding configured secrets in requests that people look at, in whatever way they were written into them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

import msgspec

HIDDEN: Final = "<secret>"
SECRET_CHARS_MIN: Final = 4
"""A shorter secret is only hidden where it is a whole value: else its letters vanish from every word."""

_SCHEMES: Final = re.compile(r"(?i)(basic|bearer|digest|token) .*", re.DOTALL)
# Of JSON, also of a document quoted in it, or of a form; a member's name is none.
_END_OF_VALUE: Final = r'(?=\\?"(?!\s*:)|&|$)'
_LOGINS: Final = frozenset({"authorization", "proxy-authorization"})


def hide_secrets(text: str, secrets: Iterable[str], *, mark: str = HIDDEN) -> str:
    """A URL, a body or another text without secrets: as they are, percent-encoded, or escaped in JSON. mark: instead."""
    for form in _forms(secrets):
        if len(form) >= SECRET_CHARS_MIN:
            text = text.replace(form, mark)
        else:
            text = re.sub(rf'(?<=["=]){re.escape(form)}{_END_OF_VALUE}', mark, text)
    return text


def hide_in_headers(headers: Mapping[str, str], secrets: Iterable[str]) -> dict[str, str]:
    """Headers without secrets. Of a login only its scheme stays: what follows may be a secret in Base64."""
    known = list(secrets)
    shown = {}
    for name, value in headers.items():
        found = _SCHEMES.match(value) if name.lower() in _LOGINS and known else None
        shown[name] = f"{found[1]} {HIDDEN}" if found else HIDDEN if value in known else hide_secrets(value, known)
    return shown


def _forms(secrets: Iterable[str]) -> list[str]:
    """Every way in which they may stand there, the longest first, so that one that holds another goes as a whole."""
    forms = {
        form
        for secret in secrets
        if secret
        for form in (
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            msgspec.json.encode(secret).decode()[1:-1],
        )
    }
    return sorted(forms, key=len, reverse=True)
