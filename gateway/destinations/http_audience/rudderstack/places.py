"""Places of a converted definition in the configuration it was made from, so that what is wrong is told where it can be mended."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

_ACTIONS: Final = {"add": "insert", "update": "update", "remove": "delete"}
_PARTS: Final = {"path": "endpoint", "body": "requestBody", "batch": "batchSize", "method": "method"}
_WHOLE: Final = {
    "base_url": "/destination/baseUrl",
    "headers": "/destination/headers",
    "fields": "/destination/actions",
}
_PORT_MIN: Final = 10  # RudderStack's own schema; so are the hosts it refuses


def their_place(pointer: str) -> str:
    """A JSON Pointer into the definition as one into the pair; what has no place there stays as it is."""
    steps = pointer.split("/")[1:]
    match steps:
        case ["auth", "name", *_]:
            return "/destination/apiKeyName"
        case ["auth", *_]:
            return "/destination/authenticationType"
        case ["actions", name, *rest] if name in _ACTIONS:
            part = _PARTS.get(rest[0], "") if rest else ""
            return f"/destination/actions/{_ACTIONS[name]}" + (f"/{part}" if part else "")
        case ["target", key, *_]:
            return f"/connection/{key}"
        case [first, *_] if first in _WHOLE:
            return _WHOLE[first]
        case _:
            return pointer


def base_url_problem(base_url: str) -> str:
    """Why RudderStack itself would not take a base address; empty when it would."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        return "`baseUrl` is no address."
    if parts.scheme not in {"http", "https"}:
        return "`baseUrl` begins with `https://` or `http://`."
    labels = (parts.hostname or "").lower().split(".")
    ending = labels[-1]
    if len(labels) < 2 or not all(labels) or len(ending) < 2 or not (ending.isascii() and ending.isalpha()):
        return "`baseUrl` needs the whole name of a public host, such as `api.example.com`; addresses in numbers are not taken."
    if labels[0].startswith("localhost") or ending == "localhost" or labels[1:] == ["ngrok", "io"]:
        return "`baseUrl` names a host that only one machine knows; name the partner's."
    if port is not None and port < _PORT_MIN:
        return f"The port of `baseUrl` must be from {_PORT_MIN} to 65535."
    return ""
