"""A request of a JSON API taken apart: the pieces of its path, its parameters, its body as a value."""

import base64
import binascii
from urllib.parse import parse_qs, unquote

import msgspec

from gateway.sandbox.exchange import Exchange


class Call:
    """One request. parts: of the path below the mount, each decoded after it was split, so that `%2F` is part of a name."""

    def __init__(self, exchange: Exchange, body: bytes) -> None:
        self.method = exchange.method
        self.path = exchange.path
        self.parts = [unquote(part) for part in exchange.raw_path.strip("/").split("/")]
        self.query = {key: values[0] for key, values in parse_qs(exchange.query).items()}
        self.body = body
        self._exchange = exchange

    def header(self, name: str) -> str:
        """The header of this name (lower case), or nothing."""
        return self._exchange.header(name) or ""

    def json(self) -> object:
        """The body's value; None where it holds none."""
        try:
            value: object = msgspec.json.decode(self.body)
        except (ValueError, RecursionError):
            return None
        return value

    def members(self) -> dict[str, object]:
        """The body's members; none where it is no object."""
        value = self.json()
        return value if isinstance(value, dict) else {}

    def form(self) -> dict[str, str]:
        """The body of a form, the first value of each name."""
        return {key: values[0] for key, values in parse_qs(self.body.decode("utf-8", "replace")).items()}

    @property
    def bearer(self) -> str:
        """The token of an `Authorization: Bearer` header, or nothing."""
        scheme, _, text = self.header("authorization").partition(" ")
        return text if scheme.lower() == "bearer" else ""

    @property
    def basic(self) -> str:
        """`user:password` of an `Authorization: Basic` header, or nothing."""
        scheme, _, text = self.header("authorization").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            return base64.b64decode(text, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return ""
