"""Writing the file of a drop: every person once, sorted by person key, in constant memory whatever the audience's size.

People are gathered until RUN_PEOPLE are in memory, written sorted as one run, and the runs are merged into the file. The
merge takes a block of each run up to the smallest of their last records and lets `list.sort` join them: several times
faster than `heapq.merge`, which compares in Python.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from gateway.core.identifiers import is_email
from gateway.destinations.the_trade_desk.definition import EMAIL
from gateway.destinations.the_trade_desk.lines import address_key, emails_of, person_key, timed_emails_of

RUN_PEOPLE: Final = 100_000  # ours: some 50 MB at the most; larger runs are no faster
RUNS_MAX: Final = 256  # ours: more are merged into one first, so that open files stay few
BLOCK_BYTES: Final = 32 * 1024  # ours: read of each run at a time
CHUNK: Final = 10_000  # ours: values between two looks at how full memory is
KEY_BYTES: Final = 44  # a SHA-256 in Base64: every address's person key
ORDER_BYTES: Final = 19 + 6  # time and run of an address, so that the latest spelling sorts last

Rows = Iterable[tuple[str, dict[str, object]]]


class ListFile(msgspec.Struct, frozen=True, kw_only=True):
    """What was written. distinct: people, so lines of the file. lines: values that gave one, repeats included.

    bytes: the file's size. skipped: values that are neither an address nor (where taken) a hash.
    """

    distinct: int
    lines: int
    bytes: int
    skipped: int


def write_list(rows: Rows, pii_type: str, path: str | Path) -> ListFile:
    """Write the lines of all members to `path`: UTF-8, each line ended by one LF, nothing else; equal rows, equal bytes.

    rows: (canonical id, payload or record as `lines.with_payload` makes it), read once. In the mode Email the spelling of
    the latest event is written, of equal times that of the later row. Runs lie beside the file while it is made.
    Raises OSError where the disk does, and whatever `rows` raises.
    """
    runs = _Runs(Path(path), spells=pii_type == EMAIL)
    emails, timed = emails_of(rows), timed_emails_of(rows)
    lines = seen = 0
    while True:
        if pii_type == EMAIL:
            taken, good = runs.add_spelled(islice(timed, CHUNK))
        else:
            taken, good = runs.add_hashed(islice(emails, CHUNK))
        lines, seen = lines + good, seen + taken
        runs.spill_if_full()
        if taken < CHUNK:
            break
    distinct, size = runs.finish()
    return ListFile(distinct=distinct, lines=lines, bytes=size, skipped=seen - lines)


class _Runs:
    """People in memory, and the sorted runs on disk. A record is a person key, or `key order address`."""

    def __init__(self, path: Path, *, spells: bool) -> None:
        self._path = path
        self._spells = spells
        self._keys: set[str] = set()
        self._spelled: dict[str, tuple[int, str]] = {}
        self._runs: list[Path] = []
        self._made = 0

    def add_hashed(self, values: Iterator[str]) -> tuple[int, int]:
        """Take values; how many there were, and how many of them gave a line."""
        keys = [person_key(value) for value in values]
        nobody = keys.count("")
        self._keys.update(keys)
        if nobody:
            self._keys.discard("")
        return len(keys), len(keys) - nobody

    def add_spelled(self, values: Iterator[tuple[str, int]]) -> tuple[int, int]:
        """The same for addresses written as they are: of one person's, the latest stays."""
        people, taken, good = self._spelled, 0, 0
        for value, at_us in values:
            taken += 1
            if is_email(value):
                good += 1
                key = address_key(value)
                known = people.get(key)
                if known is None or at_us >= known[0]:
                    people[key] = (at_us, value)
        return taken, good

    def spill_if_full(self) -> None:
        """Write a run when memory holds enough people."""
        if len(self._keys) + len(self._spelled) >= RUN_PEOPLE:
            self._spill()

    def finish(self) -> tuple[int, int]:
        """Merge everything into the file: (people, bytes)."""
        self._spill()
        return self._merge(self._path, is_last=True)

    def _spill(self) -> None:
        if len(self._runs) >= RUNS_MAX:
            merged = self._new_run()
            self._merge(merged, is_last=False)
            self._runs = [merged]
        run = self._new_run()
        if self._spells:  # Of equal times the later run's stays.
            order = f"{self._made:06d}"
            spelled = [f"{key} {at_us:019d}{order} {value}" for key, (at_us, value) in self._spelled.items()]
            records = iter(sorted(spelled))
        else:
            records = iter(sorted(self._keys))
        with run.open("xb") as file:
            while part := list(islice(records, CHUNK)):
                part.append("")  # so that the last line ends, too
                file.write(_utf8("\n".join(part)))
        self._runs.append(run)
        self._keys.clear()
        self._spelled.clear()

    def _new_run(self) -> Path:
        self._made += 1
        return self._path.with_name(f"{self._path.name}.{self._made}")

    def _merge(self, target: Path, *, is_last: bool) -> tuple[int, int]:
        people = size = 0
        key_bytes = KEY_BYTES if self._spells else None
        with ExitStack() as opened:
            file = opened.enter_context(target.open("xb"))
            runs = [opened.enter_context(run.open("rb")) for run in self._runs]
            for block in _merged(runs, key_bytes):
                people += len(block)
                if self._spells and is_last:
                    start = KEY_BYTES + ORDER_BYTES + 2  # and the blanks between
                    size += file.write(b"".join([record[start:] for record in block]))
                else:
                    size += file.write(b"".join(block))
        for run in self._runs:
            run.unlink()
        return people, size


def _merged(runs: Sequence[BinaryIO], key_bytes: int | None) -> Iterator[list[bytes]]:
    """The records of all runs in order, the last one of each key, a block at a time. Within a run keys are distinct.

    key_bytes: how much of a record is its key; None: all of it.
    """
    blocks: list[tuple[BinaryIO, list[bytes]]] = [(run, []) for run in runs]
    while True:
        blocks = [(run, block or run.readlines(BLOCK_BYTES)) for run, block in blocks]
        blocks = [(run, block) for run, block in blocks if block]
        if not blocks:
            return
        bound = min([block[-1] for _, block in blocks])
        if key_bytes is not None:
            bound = bound[:key_bytes] + b"\xff"  # so that all records of this key are below it
        taken: list[bytes] = []
        for place, (run, block) in enumerate(blocks):
            cut = bisect_right(block, bound)
            taken += block[:cut]
            blocks[place] = (run, block[cut:])
        taken.sort()
        # A dict keeps the place of a key's first record and the value of its last.
        yield list(dict.fromkeys(taken) if key_bytes is None else {one[:key_bytes]: one for one in taken}.values())


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # Half a surrogate pair counts as U+FFFD, as wherever JavaScript writes UTF-8.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
