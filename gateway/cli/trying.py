"""`gateway try` and `gateway explain`: why an event would be sent, or was not, clause by clause and field by field."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import msgspec
from rich.markup import escape
from rich.table import Table

from gateway.cli.cases import TRYING_SOURCE, event_of
from gateway.cli.checking import folder_option
from gateway.cli.event_lines import line_of, look_up
from gateway.cli.kept_events import kept_event
from gateway.cli.operating import ask
from gateway.cli.output import (
    EXIT_FAILED,
    EXIT_GOOD,
    EXIT_INVALID,
    fail,
    json_option,
    moment,
    out,
    print_json,
    print_problems,
)
from gateway.cli.project import load_rulebook
from gateway.cli.settings import environment
from gateway.config.mapping_entries import slug_of
from gateway.core import fql
from gateway.core.errors import EventError
from gateway.core.events import Event, Place
from gateway.core.explaining import EventExplained, MappingExplained, explain_event, hide
from gateway.core.http_messages import Request
from gateway.core.javascript import UNDEFINED
from gateway.core.mapping import FieldTrace
from gateway.core.masking_secrets import hide_in_headers, hide_secrets
from gateway.core.reading import id_hash
from gateway.core.routing import Router
from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook
from gateway.core.sources import Source
from gateway.destinations.base import Batch, Owed
from gateway.destinations.rehearsal import rehearse
from gateway.service.shelf import Shelf
from gateway.store import open_inbox_reader
from gateway.store.rows import TraceRow

PLACE_MAX = (2**20 - 1, 2**24 - 1, 2**19 - 2)  # file, frame and item, as the store numbers them

reveal_option = click.option("--reveal", is_flag=True, help="Show personal values in clear.")


def _encodable(value: object) -> object:
    """Values that only JavaScript knows become null."""
    return None if value is UNDEFINED else str(value)


def _json_of(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_encodable))


@click.command("try")
@click.argument("mapping")
@click.argument("event")
@folder_option
@json_option
def try_(mapping: str, event: str, folder: Path | None, *, as_json: bool) -> None:
    """Run one event through one mapping and print trigger, payload and the very request; nothing is sent or kept.

    MAPPING: its name, or `file/mapping`. EVENT: a file, a fixture's name, or `-` for standard input.

    Exit code 0: it would be sent. 1: it would not. 2: mapping or event cannot be used.
    """
    shelf = Shelf(os.environ)
    rulebook = _rulebook(folder or environment().mappings, shelf)
    destination, chosen = _mapping(rulebook, mapping)
    tried = _event(_event_bytes(event))
    explained = explain_event(tried, rulebook, mask=None, mapping=chosen.key)
    requests = _requests(tried, rulebook, destination, chosen, shelf)
    shown = [_shown(request, destination) for request in requests]
    if as_json:
        print_json({"explained": _json_of(explained), "requests": shown})
    else:
        _print_event(explained)
        for request in shown:
            _print_request(request)
    raise click.exceptions.Exit(EXIT_GOOD if requests else EXIT_FAILED)


@click.command()
@click.argument("message_id", required=False, default="")
@click.option("--place", default="", help="By place instead, as `gateway tail` prints it: FILE.FRAME.NUMBER.")
@click.option("--source", default="local", show_default=True, help="The source the event came by.")
@folder_option
@reveal_option
@json_option
def explain(message_id: str, place: str, source: str, folder: Path | None, *, reveal: bool, as_json: bool) -> None:
    """Explain an event that arrived: what became of it then, and how the mappings see it now.

    MESSAGE_ID: the sender's `messageId`.
    """
    rows = _traces(message_id, place, source)
    rulebook = _rulebook(folder or environment().mappings)
    found = []
    for row in rows:
        event = _kept_event(row, rulebook)
        explained = explain_event(event, rulebook, mask=None if reveal else hide) if event is not None else None
        found.append((row, explained))
    if as_json:
        print_json([{"trace": _trace_fields(row), "explained": _json_of(one)} for row, one in found])
        return
    for row, explained in found:
        _print_trace(row)
        if explained is None:
            out.print("  Its bytes are no longer kept, or it was no event: only the lines above are known.")
        else:
            _print_event(explained)


def _rulebook(folder: Path, shelf: Shelf | None = None) -> Rulebook:
    loaded = load_rulebook(folder, strict_secrets=False, shelf=shelf)
    if loaded.value is None:
        print_problems(loaded.errors)
        raise click.exceptions.Exit(EXIT_INVALID)
    return loaded.value


def _mapping(rulebook: Rulebook, wanted: str) -> tuple[CompiledDestination, CompiledMapping]:
    every = [(destination, mapping) for destination in rulebook.destinations for mapping in destination.mappings]
    exact = [pair for pair in every if pair[1].key == wanted]
    found = exact or [pair for pair in every if slug_of(wanted) in (slug_of(pair[1].name), slug_of(pair[1].key))]
    if len(found) != 1:
        names = ", ".join(f"`{mapping.key}`" for _, mapping in (found or every))
        count = "Several mappings are" if found else "No mapping is"
        fail(f"{count} called `{wanted}`; there are {names}.", code=EXIT_INVALID)
    return found[0]


def _event_bytes(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    path = next((one for one in (Path(name), Path("fixtures") / name) if one.is_file()), None)
    if path is None:
        fail(f"There is no file {name}, nor one of that name in fixtures/.", code=EXIT_INVALID)
    return path.read_bytes()


def _event(body: bytes) -> Event:
    try:
        return event_of(body)
    except EventError as error:
        fail(f"This is no event: {error.message}", code=EXIT_INVALID)


def _requests(
    event: Event, rulebook: Rulebook, destination: CompiledDestination, mapping: CompiledMapping, shelf: Shelf
) -> tuple[Request, ...]:
    """What would go out for the event, if the partner answered success to everything."""
    code = shelf.get(destination.definition.slug)
    owed = [one for one in Router(rulebook).route(event).deliveries if one.mapping == mapping.key]
    if code is None or not owed:
        return ()
    batch = Batch(
        action=mapping.action.slug,
        settings=destination.settings,
        corrections=destination.corrections,
        owed=tuple(
            Owed(
                id=number,
                operation=one.operation,
                payload=one.payload,
                audience_settings=one.audience_settings or {},
                member=one.member,
            )
            for number, one in enumerate(owed)
        ),
    )
    return asyncio.run(rehearse(code, [batch])).requests


def _shown(request: Request, destination: CompiledDestination) -> dict[str, object]:
    """The request without secrets; a JSON body as JSON."""
    secrets = destination.secrets
    text = hide_secrets(request.body.decode("utf-8", "replace"), secrets)
    try:
        body: object = msgspec.json.decode(text)
    except msgspec.DecodeError:
        body = text
    headers = hide_in_headers(request.headers, secrets)
    return {"method": request.method, "url": hide_secrets(request.url, secrets), "headers": headers, "body": body}


def _traces(message_id: str, place: str, source: str) -> list[TraceRow]:
    if bool(message_id) == bool(place):
        fail("Give a message id, or --place.", code=EXIT_INVALID)
    if message_id:
        rows = ask(lambda view: view.trace(id_hash(source, message_id)))
    else:
        wanted = _parsed_place(place)
        behind = Place(inbox=wanted.inbox, frame=wanted.frame, ordinal=wanted.ordinal + 1)
        rows = [row for row in ask(lambda view: view.traces(before=behind, limit=1)) if row.place == wanted]
    if not rows:
        fail("No such event is known, or it is no longer kept. `gateway tail` shows what came, and by which source.")
    return rows


def _parsed_place(text: str) -> Place:
    parts = text.split(".")
    sizes = [
        int(part) for part in parts if part.isascii() and part.isdecimal() and len(part) <= len(str(max(PLACE_MAX)))
    ]
    if len(parts) != len(PLACE_MAX) or len(sizes) != len(PLACE_MAX) or any(map(int.__gt__, sizes, PLACE_MAX)):
        fail(f"`{text}` is no place; `gateway tail` prints them, such as 1.42.0.", code=EXIT_INVALID)
    return Place(inbox=sizes[0], frame=sizes[1], ordinal=sizes[2])


def _place(row: TraceRow) -> str:
    return f"{row.place.inbox}.{row.place.frame}.{row.place.ordinal}"


def _kept_event(row: TraceRow, rulebook: Rulebook) -> Event | None:
    reader = open_inbox_reader(environment().data)
    try:
        return kept_event(
            reader, row, lambda name: rulebook.sources.get(name) or Source(name=name, kind=TRYING_SOURCE.kind)
        )
    finally:
        reader.close()


def _trace_fields(row: TraceRow) -> dict[str, object]:
    summary = msgspec.json.decode(row.summary or b"{}")
    return {
        "place": _place(row),
        "outcome": row.outcome,
        "received_us": row.received_us,
        "deliveries": row.deliveries,
        "summary": summary,
    }


def _print_trace(row: TraceRow) -> None:
    arrived = f"[bold]arrived {moment(row.received_us)}[/bold] by {escape(row.source)}, place {_place(row)}"
    out.print(f"{arrived}: {row.outcome}, {row.deliveries} owed")
    (told,) = ask(lambda view: look_up(view, [row]))
    if said := line_of(told, None):
        out.print(f"  {escape(said)}", soft_wrap=True)


def _print_event(explained: EventExplained) -> None:
    out.print(f"[bold]{escape(explained.type)}[/bold] event, {escape(explained.sentence)}", soft_wrap=True)
    for warning in explained.warnings:
        out.print(f"  [yellow]warning[/yellow]  {escape(warning)}")
    for one in explained.membership:
        out.print(f"  {escape(one.sentence)}", soft_wrap=True)
    for mapping in explained.mappings:
        _print_mapping(mapping)


def _print_mapping(mapping: MappingExplained) -> None:
    mark = "[green]sent[/green]" if mapping.operation and not mapping.code else "[red]not sent[/red]"
    out.print(f"\n[bold]{escape(mapping.mapping)}[/bold]  {mark}  {escape(mapping.sentence)}", soft_wrap=True)
    if mapping.trigger.top is not None:
        shown = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("trigger", "event has", "operator", "wanted", "result", ""):
            shown.add_column(column, overflow="fold")
        _add_rows(shown, mapping.trigger.top, 0)
        out.print(shown)
    if mapping.fields is not None:
        shown = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("field", "value", "from", "why"):
            shown.add_column(column, overflow="fold")
        for part in mapping.fields.parts:
            _add_field(shown, part, 0)
        out.print(shown)
    if mapping.payload is not None:
        out.print("payload", style="dim")
        out.print_json(msgspec.json.encode(mapping.payload, enc_hook=_encodable).decode())


def _add_rows(shown: Table, group: fql.GroupResult, depth: int) -> None:
    indent = "  " * depth
    shown.add_row(
        f"{indent}{escape(group.operator)} of", "", "", "", _mark(group.result), "decided" if group.decided else ""
    )
    for row in group.rows:
        if isinstance(row, fql.GroupResult):
            _add_rows(shown, row, depth + 1)
            continue
        left = "(missing)" if row.is_missing else _text(row.left)
        right = _text(row.right) if row.has_right else ""
        decided = "decided" if row.decided else ""
        shown.add_row(f"{indent}  {escape(row.field)}", left, escape(row.operator), right, _mark(row.result), decided)


def _add_field(shown: Table, part: FieldTrace, depth: int) -> None:
    paths = ", ".join(one.path for one in part.paths)
    come = " ".join(word for word in (part.directive or "", paths) if word)
    value = "[dim]absent[/dim]" if part.is_absent else _text(part.value)
    shown.add_row(f"{'  ' * depth}{escape(part.name)}", value, escape(come), escape(part.error or part.reason))
    if part.directive is None:
        for inner in part.parts:
            _add_field(shown, inner, depth + 1)


def _mark(result: bool | None) -> str:
    return "[red]fails[/red]" if result is None else "[green]true[/green]" if result else "[red]false[/red]"


def _text(value: object) -> str:
    text = msgspec.json.encode(value, enc_hook=_encodable).decode()
    return escape(text if len(text) <= 60 else f"{text[:57]}…")


def _print_request(request: dict[str, object]) -> None:
    out.print(f"\n[bold]{request['method']}[/bold] {escape(str(request['url']))}", soft_wrap=True)
    headers = request["headers"]
    for name, value in headers.items() if isinstance(headers, dict) else ():
        out.print(f"{escape(str(name))}: {escape(str(value))}", soft_wrap=True)
    body = request["body"]
    if isinstance(body, str):
        out.print(escape(body), soft_wrap=True)
    elif isinstance(body, dict) and set(body) == {"query"}:
        out.print("{query:", style="dim")
        out.print(escape(str(body["query"])), soft_wrap=True)
        out.print("}", style="dim")
    else:
        out.print_json(msgspec.json.encode(body).decode())
