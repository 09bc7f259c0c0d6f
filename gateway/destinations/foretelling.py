"""What the upload of a whole list would be, without sending it: every request as it would go, its body digested and let go.

A list may be larger than memory, so of each body only its size, its digest, its lines and its beginning are kept.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from gateway.core.http_messages import Answer, Request
from gateway.destinations.base import (
    Batch,
    Context,
    Destination,
    Foreseen,
    ForeseesUploads,
    Notes,
    Performed,
    PortableSnapshot,
    Snapshot,
)
from gateway.destinations.rehearsal import REHEARSED_US, KnownNotes

HEAD_BYTES: Final = 4_000  # of a body, kept from its beginning
REQUESTS_KEPT_MAX: Final = 20  # the first ones; the others are counted
LEARNED_ROWS_MAX: Final = 5_000  # payloads kept, so that whoever shows a body knows whose words are in it
BLOCK_BYTES: Final = 1 << 20

Payload = dict[str, object]


class ForetoldRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request. size: of the body, in bytes. sha256: of it, in hex. lines: its line feeds. head: its first HEAD_BYTES.

    is_learned: everybody in it is among the payloads that were learned.
    """

    method: str
    foreseen: Foreseen
    size: int
    sha256: str
    lines: int
    head: bytes
    is_learned: bool


class ForetoldUpload(msgspec.Struct, frozen=True, kw_only=True):
    """All of them. count, size: requests and bytes of all bodies, kept or not. learned: payloads of the first members."""

    performed: Performed
    requests: tuple[ForetoldRequest, ...]
    count: int
    size: int
    learned: tuple[Payload, ...]


async def foretell_upload(destination: Destination, batch: Batch, snapshot: Snapshot, notes: Notes) -> ForetoldUpload:
    """Let the destination perform one delivery of a whole list; its partner answers success to everything."""
    lines_alone = isinstance(destination, ForeseesUploads) and destination.uploads_lines
    watched = _Watched(snapshot)
    http = _SummingHttp(destination, lambda: watched.rows_read <= LEARNED_ROWS_MAX)
    # A file of lines shows whose they are by itself, and is best written by a process of its own.
    read = snapshot if lines_alone and isinstance(snapshot, PortableSnapshot) else watched
    context = Context(http=http, notes=KnownNotes(notes), now_us=REHEARSED_US, snapshot=read)
    performed = await destination.perform(batch, context)
    return ForetoldUpload(
        performed=performed, requests=tuple(http.kept), count=http.count, size=http.size, learned=tuple(watched.learned)
    )


class _Watched:
    """A snapshot of which it is known how much was read."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.rows_read = 0
        self.learned: list[Payload] = []

    @property
    def members(self) -> int:
        return self._snapshot.members

    def rows(self) -> Iterator[tuple[str, Payload]]:
        for row in self._snapshot.rows():
            self.rows_read += 1
            if len(self.learned) < LEARNED_ROWS_MAX:
                self.learned.append(row[1])
            yield row


class _SummingHttp:
    """An HttpClient that sums requests up and lets the destination answer for its partner."""

    def __init__(self, destination: Destination, is_learned: Callable[[], bool]) -> None:
        self._destination = destination
        self._is_learned = is_learned
        self.kept: list[ForetoldRequest] = []
        self.count = self.size = 0

    async def send(self, request: Request) -> Answer:
        summed = await asyncio.to_thread(_summed, request)
        self.count += 1
        self.size += summed.size
        if len(self.kept) < REQUESTS_KEPT_MAX:
            offered = self._destination
            foreseen = offered.foreseen(request) if isinstance(offered, ForeseesUploads) else Foreseen(url=request.url)
            self.kept.append(
                ForetoldRequest(
                    method=request.method, foreseen=foreseen, size=summed.size, sha256=summed.digest.hexdigest(),
                    lines=summed.lines, head=summed.head, is_learned=self._is_learned(),
                )
            )  # fmt: skip
        return self._destination.success_answer(request)


class _Sum:
    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.size = self.lines = 0
        self.head = b""

    def take(self, block: bytes) -> None:
        self.digest.update(block)
        self.size += len(block)
        self.lines += block.count(b"\n")
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + block)[:HEAD_BYTES]


def _summed(request: Request) -> _Sum:
    summed = _Sum()
    if request.body_file is None:
        summed.take(request.body)
        return summed
    with Path(request.body_file).open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            summed.take(block)
    return summed
