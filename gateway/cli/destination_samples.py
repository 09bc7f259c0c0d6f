"""`gateway destination samples`: the bodies that a definition's `limits.debug_samples` had kept, as they were sent."""

from __future__ import annotations

import sys

import click
import msgspec
from rich.markup import escape

from gateway.cli.operating import ask
from gateway.cli.output import fail, json_option, out, print_json
from gateway.delivery.notes import note_key
from gateway.destinations.http_audience.delivering import SAMPLES_KEPT, sample_note
from gateway.store.api import StateView

NONE_KEPT = (
    "No body is kept: set `limits.debug_samples` in the definition to how many are to be, and wait for deliveries."
)


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One body that was sent. number: from 1. body: only where it was asked for, since it may hold personal data."""

    number: int
    bytes: int
    body: str | None = None


@click.command(name="samples")
@click.argument("name", metavar="FILE")
@click.option("--reveal", is_flag=True, help="Show the bodies; what a definition does not hash is in clear there.")
@json_option
def samples(name: str, *, reveal: bool, as_json: bool) -> None:
    """Show the bodies that were kept of the requests of mappings/FILE.json (`limits.debug_samples` of its definition).

    Exit code 0: shown. 1: none is kept.
    """
    stem = name.rpartition("/")[2].removesuffix(".json")
    kept = ask(lambda view: _kept(view, stem))
    if not kept:
        fail(NONE_KEPT)
    shown = [
        Sample(number=number, bytes=len(body), body=body.decode("utf-8", "replace") if reveal else None)
        for number, body in enumerate(kept, 1)
    ]
    if as_json:
        print_json(shown)
        return
    for one in shown:
        out.print(f"[bold]{one.number}[/bold]  {one.bytes} bytes")
        if one.body is not None:
            sys.stdout.write(f"{one.body}\n")
    if not reveal:
        out.print(f"They may hold personal data: {escape('--reveal')} shows them.")


def _kept(view: StateView, lane: str) -> list[bytes]:
    count = int(view.note(note_key(lane, SAMPLES_KEPT)) or b"0")
    found = [view.note(note_key(lane, sample_note(number))) for number in range(count)]
    return [one for one in found if one is not None]
