"""Numbers of inbox files, and a `Place` as the one integer that tables hold.

A writer w has the files w · 16384 + 1, + 2 …; with one ingest process they are simply 1, 2, 3. A place packs into
63 bits: 20 for the file, 24 for the frame, 19 for the item; `InboxWriter` rotates and splits before these run out. Packed
places sort as places do, so a table by place is written at its end only.
"""

from __future__ import annotations

import re
from pathlib import Path

from gateway.core.events import Place

FILES_PER_WRITER = 1 << 14
WRITERS_MAX = 64
NO_INBOX = 0  # files are numbered from 1: the place of what came by another way names none
INBOX_MAX = FILES_PER_WRITER * WRITERS_MAX - 1
FRAME_MAX = (1 << 24) - 1
ORDINAL_MAX = (1 << 19) - 1

_NAME = re.compile(r"inbox-(\d{1,2})-(\d{6})\.db")


def pack_place(place: Place) -> int:
    """One integer for a place. Raises ValueError when a part is out of range."""
    inbox, frame, ordinal = place.inbox, place.frame, place.ordinal
    if not (0 <= inbox <= INBOX_MAX and 0 <= frame <= FRAME_MAX and 0 <= ordinal <= ORDINAL_MAX):
        raise ValueError(f"no such place: {place}")
    return inbox << 43 | frame << 19 | ordinal


def unpack_place(packed: int) -> Place:
    """The place behind the integer."""
    return Place(packed >> 43, packed >> 19 & FRAME_MAX, packed & ORDINAL_MAX)


def writer_of(inbox: int) -> int:
    """Which ingest process wrote the file."""
    return inbox // FILES_PER_WRITER


def inbox_path(folder: Path, inbox: int) -> Path:
    """Where the file of this number lies."""
    return folder / f"inbox-{writer_of(inbox)}-{inbox % FILES_PER_WRITER:06d}.db"


def inbox_files(folder: Path) -> list[int]:
    """Numbers of all inbox files of the folder, ascending."""
    found = []
    for path in folder.iterdir():
        name = _NAME.fullmatch(path.name)
        if name and int(name[1]) < WRITERS_MAX and 0 < int(name[2]) < FILES_PER_WRITER:
            found.append(int(name[1]) * FILES_PER_WRITER + int(name[2]))
    return sorted(found)


def inbox_files_of(folder: Path, writer: int) -> list[int]:
    """Numbers of one writer's files, ascending."""
    return [inbox for inbox in inbox_files(folder) if writer_of(inbox) == writer]
