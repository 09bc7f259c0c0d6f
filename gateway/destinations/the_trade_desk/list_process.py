"""Writing a drop's file beside the gateway's own loop: in a process that ends with it, else in a thread.

`python -m gateway.destinations.the_trade_desk.list_process` reads one `Asked`, pickled by its parent, from standard input and
writes one `Written` as JSON to standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from gateway.core.hash_linter import FieldLinter, HashWarning, identifier_fields
from gateway.core.javascript import to_text
from gateway.destinations.base import PortableSnapshot, Snapshot
from gateway.destinations.the_trade_desk.definition import FIELDS
from gateway.destinations.the_trade_desk.listing import ListFile, write_list

FOLDER_PREFIX: Final = "gateway-list-"
EMAIL_FIELD: Final = identifier_fields(FIELDS)[0]

Row = tuple[str, dict[str, object]]


class ListError(Exception):
    """The file could not be made. The text names the kind of fault, never a person."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to write. pii_type: empty where the first member's payload says it."""

    snapshot: Snapshot
    pii_type: str
    path: str


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """The file, in which mode it is, and the external id that the first member's payload carries (empty without one).

    warnings: what the values look like.
    """

    file: ListFile
    pii_type: str = ""
    external_id: str = ""
    warnings: list[HashWarning] = []


async def write_snapshot(asked: Asked) -> Written:
    """Write the file. A snapshot that says it is portable is read by a process of its own; cancelling ends that process.

    Raises ListError when the process fails; from a thread whatever `rows` or the disk raises.
    """
    if not (isinstance(asked.snapshot, PortableSnapshot) and asked.snapshot.is_portable):
        return await asyncio.to_thread(written, asked)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # a traceback may hold a row
    )
    try:
        told, _ = await process.communicate(pickle.dumps((asked.snapshot, asked.pii_type, asked.path)))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ListError(f"the process that writes the list ended with code {process.returncode}")
    return msgspec.json.decode(told, type=Written)


@contextlib.contextmanager
def list_folder(snapshot: Snapshot) -> Iterator[Path]:
    """A folder for one run's files that only we can read; gone afterwards. Raises OSError where none can be made.

    It lies in the snapshot's own spool, which is emptied at the gateway's start, so that nothing outlives a kill for long.
    """
    parent = None
    if isinstance(snapshot, PortableSnapshot):
        parent = snapshot.spool
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX, dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def written(asked: Asked) -> Written:
    """Write the file, here and now. Raises whatever `rows` or the disk raises."""
    rows: Iterator[Row] = asked.snapshot.rows()
    pii_type, external_id = asked.pii_type, ""
    first = next(rows, None)
    if first is not None:
        payload = first[1]
        pii_type = pii_type or to_text(payload.get("pii_type") or "")
        external_id = to_text(payload.get("external_id") or "")
        rows = chain([first], rows)
    linter = FieldLinter(EMAIL_FIELD)
    file = write_list(rows, pii_type, asked.path, look=linter.take)
    return Written(file=file, pii_type=pii_type, external_id=external_id, warnings=linter.warnings())


def main() -> None:
    """The process."""
    snapshot, pii_type, path = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
    sys.stdout.buffer.write(msgspec.json.encode(written(Asked(snapshot=snapshot, pii_type=pii_type, path=path))))


if __name__ == "__main__":
    main()
