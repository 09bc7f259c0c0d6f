"""How long and how much ingest waits for and holds, in one place; tests pass shorter ones."""

from __future__ import annotations

import msgspec

MEBIBYTE = 1024 * 1024


class IngestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one ingest process. Times in seconds, sizes in bytes.

    body_bytes_max: of one body, on the wire and after decompression, each. drain_*: how much of a body that is too
    large is still read, so that its sender sees the answer rather than a reset.
    body_idle_s: longest wait for the next byte; body_total_s: for the whole of a body under small_body_bytes;
    large_body_total_s: of any body. header_s: for a request's head; header_bytes_max: of a head, or of anything else
    between two parts of a body, that comes in more than one read.
    held_bytes_max: of all bodies being read or not yet answered; waiting_bytes_max: handed to the inbox, not yet committed.
    connections_max: open at once; more are closed as they come.
    quick_bytes, careful_bytes: from this size on a body is looked at in a thread, quickly or with care, so that it never
    holds up the others; below, a thread would cost more than it saves.
    """

    body_bytes_max: int = 10 * MEBIBYTE
    drain_bytes_max: int = 64 * MEBIBYTE
    drain_s: float = 10.0
    body_idle_s: float = 10.0
    body_total_s: float = 30.0
    large_body_total_s: float = 300.0
    small_body_bytes: int = MEBIBYTE
    header_s: float = 10.0
    header_bytes_max: int = 64 * 1024
    keep_alive_s: int = 75
    held_bytes_max: int = 256 * MEBIBYTE
    waiting_bytes_max: int = 64 * MEBIBYTE
    connections_max: int = 10_000
    quick_bytes: int = MEBIBYTE
    careful_bytes: int = 32 * 1024
