"""Requests to partners and their answers as plain values, so that building and reading them stays pure."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*")


def header_secret_problem(secret: str) -> str:
    """Why a secret cannot be sent in a header as it stands, without the secret; empty when it can.

    RFC 9110 lets a header carry bytes beyond ASCII for old times' sake; no token has any, and the HTTP client sends none.
    """
    end = _PRINTABLE.match(secret)
    at = end.end() if end is not None else 0
    if at == len(secret):
        return ""
    what = "a character beyond ASCII" if secret[at] > "\x7f" else "a line break or another control character"
    return f"holds {what} (the {at + 1}. of {len(secret)}), which no HTTP header can carry"


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection shows who we are, and whom it trusts, as PEM texts; empty ones leave it at what is usual.

    certificate: ours, with those between it and its authority. key: its private key, unless that stands in `certificate`.
    authorities: those to trust instead of the shipped ones.
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""

    def __repr__(self) -> str:
        """Without what is secret."""
        return f"Tls(certificate={bool(self.certificate)}, authorities={bool(self.authorities)})"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request. body: bytes, or a path of a spooled file that the client streams with its Content-Length.

    timeout_s: for the whole exchange. connect_s: of it, for name, connection and TLS; None leaves it to the client.
    idle_s: how long the partner may take nothing of the body, and after its end give no answer; None where the whole exchange
    is short enough to have one bound.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""
    body_file: str | None = None
    timeout_s: float = 10.0
    connect_s: float | None = None
    tls: Tls | None = None
    idle_s: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer. headers: names in lower case. body: at most ANSWER_BYTES_MAX bytes, more is cut off."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


class NoAnswerError(Exception):
    """The exchange gave no answer. reason: short, without data. sent: bytes of the request had gone out."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        self.reason = reason
        self.sent = sent
        super().__init__(reason)


ANSWER_BYTES_MAX = 5_000_000  # what definitions may ask for at most
