"""Members per second into the file of a whole-list upload, beside the bare loop over the same rows in the same run.

    python benchmarks/full_list.py [--members 2000000] [--pii-type EmailHashedUnifiedId2] [--rounds 1]

The bare loop normalises, hashes, writes Base64 lines, and does nothing else: no checks, no order, repeats and all. Ours finds
out what a value is, writes every person once, sorted by person key, in constant memory. Each runs in a process of its own,
whose peak memory is told; rounds alternate and the best of each counts.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from gateway.core.identifiers import normalise_email_uid2, sha256_base64
from gateway.destinations.the_trade_desk.definition import PII_TYPES
from gateway.destinations.the_trade_desk.lines import HASHED
from gateway.destinations.the_trade_desk.list_process import Asked, written


class Members:
    """Made up as they are read: every tenth at Gmail with dots and a tag, every hundredth there twice."""

    def __init__(self, members: int, pii_type: str) -> None:
        self.members = members
        self.pii_type = pii_type

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        for number in range(self.members):
            who = number - 1 if number % 100 == 99 else number
            email = f"Per.son{who}+vip@gmail.com" if who % 10 == 0 else f"Person.{who}@example.com"
            yield f"user_id:{number}", {"email": email, "pii_type": self.pii_type}


def bare(members: Members, path: Path) -> None:
    """What any script would do, and no more."""
    with path.open("wb") as file:
        for _member, payload in members.rows():
            file.write(sha256_base64(normalise_email_uid2(str(payload["email"]))).encode() + b"\n")


def ours(members: Members, path: Path) -> None:
    """As the process that writes a list does it, the look at its values included."""
    written(Asked(snapshot=members, pii_type=members.pii_type, path=str(path)))


WAYS = {"bare": bare, "ours": ours}


def measured(way: str, members: Members, told: Connection) -> None:
    """Seconds, and this process's peak in MB."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        WAYS[way](members, Path(folder) / "list")
        seconds = time.perf_counter() - started
    told.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def run(way: str, members: Members) -> tuple[float, float]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=measured, args=(way, members, there))
    process.start()
    there.close()
    seconds, peak_mb = here.recv()
    process.join()
    return seconds, peak_mb


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=2_000_000)
    parser.add_argument("--pii-type", choices=PII_TYPES, default=HASHED)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    members = Members(given.members, given.pii_type)
    best: dict[str, tuple[float, float]] = {}
    for _round in range(given.rounds):
        for way in WAYS:
            seconds, peak_mb = run(way, members)
            best[way] = min(best.get(way, (float("inf"), 0.0)), (seconds, peak_mb))
    for way in WAYS:
        seconds, peak_mb = best[way]
        print(f"{way:6} {given.members / seconds:12,.0f} members/s  {seconds:6.2f} s  peak {peak_mb:6.1f} MB")
    print(
        f"ratio {best['bare'][0] / best['ours'][0]:.2f} of the bare loop (at least 0.5 is wanted, and a peak below 150 MB)"
    )


if __name__ == "__main__":
    main()
