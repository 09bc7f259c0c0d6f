"""Undoes Content-Encoding step by step, stopping at the limit; senders that lost the header are recognised."""

from __future__ import annotations

import zlib

from gateway.core.errors import EventError

GZIP_MAGIC = b"\x1f\x8b"
GZIP_MEMBERS_MAX = 1000  # members of one body; real senders write one
STEP_BYTES = 64 * 1024  # of compressed text at a time, which bounds what a member's end copies

_GZIP_WINDOW, _ZLIB_WINDOW, _RAW_WINDOW = 31, 15, -15


class TooLargeError(Exception):
    """The body passes its limit. seen: bytes until then. head: the first of them. is_drained: none of it is left unread."""

    is_drained = True

    def __init__(self, seen: int, head: bytes) -> None:
        self.seen = seen
        self.head = head
        super().__init__("body too large")


def encoding_of(header: bytes | None) -> str:
    """One of "", "gzip", "deflate". Raises EventError 415 for anything else, lists of codings included."""
    name = b"" if header is None else header.strip().lower()
    if name in {b"", b"identity"}:
        return ""
    if name in {b"gzip", b"x-gzip"}:
        return "gzip"
    if name == b"deflate":
        return "deflate"
    raise EventError(415, "unsupported_encoding", "Content-Encoding must be gzip, deflate or identity, and only one.")


def decoded(body: bytes, encoding: str, *, bytes_max: int) -> bytes:
    """The plain body. Raises EventError 400 `invalid_gzip`, or TooLargeError once it passes bytes_max."""
    if encoding == "gzip" or (not encoding and body.startswith(GZIP_MAGIC)):
        return _inflated(body, _GZIP_WINDOW, bytes_max)
    if encoding == "deflate":
        has_zlib_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _inflated(body, _ZLIB_WINDOW if has_zlib_header else _RAW_WINDOW, bytes_max)
    return body


def _inflated(body: bytes, window: int, bytes_max: int) -> bytes:
    """Decompress one stream, or several gzip members after each other."""
    members = 1
    inflater = zlib.decompressobj(window)
    plain = bytearray()
    for start in range(0, len(body), STEP_BYTES):
        rest = body[start : start + STEP_BYTES]
        while rest:
            if inflater.eof:
                members += 1
                if window != _GZIP_WINDOW or members > GZIP_MEMBERS_MAX or not _may_begin_member(body, start, rest):
                    raise _invalid("there are bytes after its end")
                inflater = zlib.decompressobj(window)
            try:
                plain += inflater.decompress(rest, bytes_max + 1 - len(plain))
            except zlib.error as error:
                raise _invalid("it is damaged or not compressed") from error
            if len(plain) > bytes_max:
                raise TooLargeError(len(plain), bytes(plain[:STEP_BYTES]))
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    if not inflater.eof:
        raise _invalid("it is cut short")
    return bytes(plain)


def _may_begin_member(body: bytes, start: int, rest: bytes) -> bool:
    """Whether what follows a member is the next one's magic, even where a step cuts the two bytes apart."""
    at = start + min(STEP_BYTES, len(body) - start) - len(rest)
    return body[at : at + 2] == GZIP_MAGIC


def _invalid(why: str) -> EventError:
    return EventError(400, "invalid_gzip", f"Body cannot be decompressed: {why}.")
