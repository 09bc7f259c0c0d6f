"""Requests to partners and their answers as plain values, so that building and reading them stays pure."""

from __future__ import annotations

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request. body: bytes, or a path of a spooled file that the client streams with its Content-Length."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""
    body_file: str | None = None
    timeout_s: float = 10.0


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


ANSWER_BYTES_MAX = 4 * 1024 * 1024
