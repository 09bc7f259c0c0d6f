"""What ingest puts into the inbox and the engine takes out: one `Arrival` a request, many of them a frame.

A frame's body is a msgpack array of arrivals. Each arrival is encoded by itself, before its group is formed, so that
joining a group is a concatenation (`frame_body`) and nothing is encoded twice.
"""

from __future__ import annotations

import msgspec
from isal import isal_zlib

FRAME_BYTES_MAX = 256 * 1024 * 1024  # unpacked; a group is bounded far below it by the inbox writer
PACKED_FROM_BYTES = 2048

_ZLIB = b"\x78"  # how a packed body begins; one that is not begins as a msgpack array

ITEM_EVENT = 0  # an accepted event: `body` is its own JSON text, credentials cut out
ITEM_REJECT = 1  # refused, kept with its `code`
ITEM_AUDIENCE = 2  # an audience-create call that was answered with an external id


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One event (or reject) of a request, in the order of the request.

    body: the bytes as received (its slice of the request), without write key or secret.
    warnings: tags the envelope check gave, such as type_mismatch.
    code, message, pointer: why it was rejected; empty for events.
    """

    body: bytes
    kind: int = ITEM_EVENT
    warnings: tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    pointer: str = ""


class Arrival(msgspec.Struct, frozen=True, array_like=True):
    """One authenticated request.

    source: name of the source. received_us: Unix time in microseconds when the request's headers arrived.
    forced_type: the event type of a single-event route, else "".
    shared: JSON object text with the envelope's `context`, `integrations`, `sentAt`, `timestamp`; b"" when it had none.
    source_kind: what the source was when it was accepted, so that a later edit of the file trusts nothing in hindsight.
    """

    source: str
    received_us: int
    items: tuple[Item, ...]
    forced_type: str = ""
    shared: bytes = b""
    source_kind: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Arrival])


def encode_arrival(arrival: Arrival) -> bytes:
    """Encode one arrival, ready to be joined with others into a frame."""
    return _encoder.encode(arrival)


def frame_body(encoded: list[bytes]) -> bytes:
    """Join encoded arrivals into a frame's body: a msgpack array header, then the arrivals as they are.

    Larger ones are packed: events are mostly the same words, and a tenth of the bytes is a tenth of the writing and syncing.
    """
    plain = b"\xdd" + len(encoded).to_bytes(4, "big") + b"".join(encoded)
    return plain if len(plain) < PACKED_FROM_BYTES else isal_zlib.compress(plain, 1)


def read_frame(body: bytes) -> list[Arrival]:
    """Decode a frame's body. Raises msgspec.DecodeError (or ValidationError) when the bytes are not a frame."""
    if body[:1] == _ZLIB:
        unpacking = isal_zlib.decompressobj()
        try:
            body = unpacking.decompress(body, FRAME_BYTES_MAX)
        except isal_zlib.error as error:  # type: ignore[misc] # its stub says nothing of what it derives from
            raise msgspec.DecodeError("The frame cannot be unpacked.") from error
        if not unpacking.eof:
            raise msgspec.DecodeError("The frame is cut short, or larger than a frame can be.")
    return _decoder.decode(body)
