"""`gateway destination find-list|create-list|delete-list`: the life of a list at its partner, on an explicit command."""

from __future__ import annotations

import asyncio
import os
import time
from importlib.metadata import version
from urllib.parse import quote

import click
from rich.markup import escape

from gateway.admin.destinations import ListOrder
from gateway.cli.api_client import NotAnsweredError, running_engine
from gateway.cli.operating import NOT_USABLE
from gateway.cli.output import EXIT_FAILED, EXIT_INVALID, fail, json_option, out, print_json, print_problems
from gateway.cli.project import load_rulebook
from gateway.cli.settings import environment
from gateway.core.errors import OrderError, StoreError
from gateway.core.rulebook import Rulebook
from gateway.destinations.http_audience.list_verbs import ListShown, ListVerb
from gateway.destinations.http_client import PartnerHttp
from gateway.service.list_desk import ListDesk
from gateway.service.shelf import Shelf
from gateway.store import open_state

LIST_S_MAX = 180.0  # a token, a look-up and a creation, each within its own bounds

_name = click.argument("name", metavar="FILE#MAPPING/AUDIENCE")


@click.command(name="find-list")
@_name
@json_option
def find_list(name: str, *, as_json: bool) -> None:
    """Show the id of an audience's list, and where it is known from. The partner is asked only when nobody knows it.

    Exit code 0: it has a list. 1: none is known, or the partner does not say. 2: there is no such mapping or audience.
    """
    shown = _kept(name, "find")
    if as_json:
        print_json(shown)
    elif shown.audience_id:
        out.print(f"{escape(shown.audience_id)}  known from: {shown.origin}")
    if not shown.audience_id:
        fail("No list of this audience is known; `create-list` makes one.")


@click.command(name="create-list")
@_name
@json_option
def create_list(name: str, *, as_json: bool) -> None:
    """Make the list of an audience at the partner, unless it has one. Exit code 0: it has one now."""
    shown = _kept(name, "create")
    if as_json:
        print_json(shown)
        return
    if shown.origin == "created":
        out.print(f"{escape(shown.audience_id)} is made")
    else:
        out.print(f"{escape(shown.audience_id)} is there already, known from: {shown.origin}")
    for warning in shown.warnings:
        out.print(f"[yellow]warning[/yellow]  {escape(warning)}", soft_wrap=True)
    if shown.origin != "mapping":
        out.print(
            'Deliveries go there with `"create": true` in the entry of `audiences`, or with the id written there:'
        )
        out.print(f'  "external_id": "{escape(shown.audience_id)}"')


@click.command(name="delete-list")
@_name
@click.option("--yes", is_flag=True, help="Really delete it: the partner forgets the list and everybody on it.")
@json_option
def delete_list(name: str, *, yes: bool, as_json: bool) -> None:
    """Delete the list of an audience at the partner. One that is gone already counts as deleted."""
    if not yes:
        fail(
            f"This deletes the list of {name} at the partner, for good. Say --yes; switch its mapping off first, "
            "or the next delivery asks for the list again.",
            code=EXIT_INVALID,
        )
    shown = _kept(name, "delete")
    if as_json:
        print_json(shown)
    else:
        out.print(f"{escape(shown.audience_id or 'the list')} is deleted")


def _kept(name: str, verb: ListVerb) -> ListShown:
    """Carry out a verb through the engine that runs, else here, on the same data folder."""
    called = _list_name(name)
    client = running_engine(environment())
    try:
        if client is None:
            return asyncio.run(_kept_here(called, verb))
        order = ListOrder(confirm=verb == "delete")
        path = f"/api/lists/{quote(called, safe='/')}:{verb}"
        return client.call("POST", path, ListShown, order, timeout_s=LIST_S_MAX)
    except (OrderError, NotAnsweredError) as error:
        fail(str(error), code=EXIT_INVALID if error.status in NOT_USABLE else EXIT_FAILED)
    except StoreError as error:
        fail(str(error))


def _list_name(name: str) -> str:
    """`mappings/nw.json#VIP buyers/vip` as the engine calls it; a sync's name passes as it is."""
    file, sign, rest = name.partition("#")
    return f"{file.rpartition('/')[2].removesuffix('.json')}/{rest}" if sign else name


async def _kept_here(name: str, verb: ListVerb) -> ListShown:
    settings = environment()
    rulebook, shelf = _loaded(name.partition("/")[0])
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = open_state(settings.data)
    http = PartnerHttp(version=version("audience-gateway"))
    try:
        desk = ListDesk(
            state=state,
            rulebook=lambda: rulebook,
            registry=shelf,
            http=http,
            clock=lambda: time.time_ns() // 1000,
        )
        return await desk.keep(name, verb)
    finally:
        await http.aclose()
        await state.close()


def _loaded(file: str) -> tuple[Rulebook, Shelf]:
    shelf = Shelf(os.environ)
    loaded = load_rulebook(environment().mappings, strict_secrets=True, shelf=shelf, only=file)
    if loaded.value is None:
        print_problems(loaded.errors)
        raise click.exceptions.Exit(EXIT_INVALID)
    return loaded.value, shelf
