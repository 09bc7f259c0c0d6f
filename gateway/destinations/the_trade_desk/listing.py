"""Writing the file of a drop: every person once, sorted by person key, in constant memory whatever the audience's size.

People are gathered until RUN_PEOPLE are in memory, written sorted as one run, and the runs are merged into the file. The
merge takes a block of each run up to the smallest of their last records and lets `list.sort` join them: several times
faster than `heapq.merge`, which compares in Python.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from gateway.core.identifiers import is_email
from gateway.destinations.the_trade_desk.lines import (
    AT_US_MAX,
    EMAIL,
    address_keys,
    are_addresses,
    emails_of,
    person_keys,
    timed_emails_of,
)

RUN_PEOPLE: Final = 100_000  # ours: some 50 MB at the most; larger runs are no faster
RUNS_MAX: Final = 256  # ours: more are merged into one first, so that open files stay few
BLOCK_BYTES: Final = 32 * 1024  # ours: read of each run at a time
CHUNK: Final = 10_000  # ours: values between two looks at how full memory is
KEY_BYTES: Final = 44  # a SHA-256 in Base64: every address's person key
TIME_BASE: Final = AT_US_MAX  # makes every time one of 19 digits
BLOCK_DIGITS: Final = 12
PLACES: Final = [f"{place:0{len(str(CHUNK))}d}" for place in range(CHUNK)]  # written once: numbers are slow to write
ORDER_BYTES: Final = 19 + BLOCK_DIGITS + len(PLACES[0])  # time, block and place of an address

Rows = Iterable[tuple[str, dict[str, object]]]
Look = Callable[[list[str]], object]


class ListFile(msgspec.Struct, frozen=True, kw_only=True):
    """What was written. distinct: people, so lines of the file. lines: values that gave one, repeats included.

    bytes: the file's size. skipped: values that are neither an address nor (where taken) a hash.
    """

    distinct: int
    lines: int
    bytes: int
    skipped: int


def write_list(rows: Rows, pii_type: str, path: str | Path, *, look: Look | None = None) -> ListFile:
    """Write the lines of all members to `path`: UTF-8, each line ended by one LF, nothing else; equal rows, equal bytes.

    rows: (canonical id, payload, in it perhaps `at_us`), read once. In the mode Email the spelling of the latest event is
    written, of equal times that of the later row. look: is shown every value, a block at a time.
    Runs lie beside the file while it is made.
    Raises OSError where the disk does, and whatever `rows` raises.
    """
    spells = pii_type == EMAIL
    runs = _Runs(Path(path), spells=spells)
    emails, timed = emails_of(rows), timed_emails_of(rows)
    lines = seen = 0
    while True:
        block = list(islice(timed, CHUNK)) if spells else []
        values = [value for value, _ in block] if spells else list(islice(emails, CHUNK))
        if look is not None:
            look(values)
        lines += runs.add_spelled(block) if spells else runs.add_hashed(values)
        seen += len(values)
        runs.spill_if_full()
        if len(values) < CHUNK:
            break
    distinct, size = runs.finish()
    return ListFile(distinct=distinct, lines=lines, bytes=size, skipped=seen - lines)


class _Runs:
    """People in memory, and the sorted runs on disk. A record is a person key, or `key order address`."""

    def __init__(self, path: Path, *, spells: bool) -> None:
        self._path = path
        self._spells = spells
        self._keys: set[str] = set()
        self._spelled: list[str] = []
        self._blocks = 0
        self._runs: list[Path] = []
        self._made = 0

    def add_hashed(self, values: Sequence[str]) -> int:
        """Take values; how many of them gave a line."""
        keys = person_keys(values)
        nobody = keys.count("")
        self._keys.update(keys)
        if nobody:
            self._keys.discard("")
        return len(keys) - nobody

    def add_spelled(self, values: Sequence[tuple[str, int]]) -> int:
        """The same for addresses written as they are, each with the time of its event (µs)."""
        is_good = are_addresses([value for value, _ in values])
        good = values if is_good else [one for one in values if is_email(one[0])]
        keys, block = address_keys([value for value, _ in good]), f"{self._blocks:0{BLOCK_DIGITS}d}"
        # Of one person's the latest sorts last, of equal times the one that came last. Merging keeps that one.
        self._spelled += [
            f"{key} {TIME_BASE + at_us}{block}{place} {value}"
            for key, (value, at_us), place in zip(keys, good, PLACES, strict=False)
        ]
        self._blocks += 1
        return len(good)

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
        records = self._spelled if self._spells else list(self._keys)
        records.sort()
        with run.open("xb") as file:
            for start in range(0, len(records), CHUNK):
                part = records[start : start + CHUNK]
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
    """The records of all runs in order, the last one of each key, a block at a time.

    key_bytes: how much of a record is its key; None: all of it.
    """
    blocks: list[tuple[BinaryIO, list[bytes]]] = [(run, []) for run in runs]
    held: list[bytes] = []  # The last record so far: the next may have its key.
    while True:
        blocks = [(run, block or run.readlines(BLOCK_BYTES)) for run, block in blocks]
        blocks = [(run, block) for run, block in blocks if block]
        if not blocks:
            yield held
            return
        bound = min([block[-1] for _, block in blocks])
        taken = held
        for place, (run, block) in enumerate(blocks):
            cut = bisect_right(block, bound)
            taken += block[:cut]
            blocks[place] = (run, block[cut:])
        taken.sort()
        # A dict keeps the place of a key's first record and the value of its last.
        whole = list(dict.fromkeys(taken) if key_bytes is None else {one[:key_bytes]: one for one in taken}.values())
        held = [whole.pop()]
        yield whole


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # Half a surrogate pair counts as U+FFFD, as wherever JavaScript writes UTF-8.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
