"""`gateway destination login`: whether a partner takes the credentials of a configured destination, and what they are good for."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from importlib.metadata import version

import click
import msgspec
from rich.markup import escape

from gateway.cli.output import EXIT_INVALID, fail, json_option, out, print_json, print_problems
from gateway.cli.project import load_rulebook
from gateway.cli.settings import environment
from gateway.core.definitions import Choice
from gateway.core.rulebook import CompiledDestination
from gateway.delivery.worker import may_be_private
from gateway.destinations.base import Context, Destination, OffersAccounts
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rehearsal import FreshNotes
from gateway.service.shelf import Shelf

WARNING = "warning:"


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. accounts: what the credentials may use; setting: the key that takes one of them."""

    destination: str
    is_good: bool
    problems: Sequence[str] = ()
    warnings: Sequence[str] = ()
    setting: str = ""
    accounts: Sequence[Choice] = ()


@click.command(name="login")
@click.argument("name", metavar="FILE")
@json_option
def login(name: str, *, as_json: bool) -> None:
    """Ask the partner whether it takes the credentials of mappings/FILE.json; nothing else is sent.

    Shows the accounts they may use where the partner tells. Exit code 0: they work, or nothing can be tried (a warning says so).
    1: they do not, or nobody answered. 2: the file cannot be used.
    """
    stem = name.rpartition("/")[2].removesuffix(".json")
    shelf = Shelf(os.environ)
    loaded = load_rulebook(environment().mappings, strict_secrets=True, shelf=shelf, only=stem)
    if loaded.value is None:
        print_problems(loaded.errors)
        raise click.exceptions.Exit(EXIT_INVALID)
    found = next((one for one in loaded.value.destinations if one.key == stem), None)
    if found is None:
        fail(f"There is no mapping file {environment().mappings / stem}.json.", code=EXIT_INVALID)
    told = asyncio.run(_tried(found, shelf[found.definition.slug]))
    if as_json:
        print_json(told)
    else:
        _show(told)
    if not told.is_good:
        raise click.exceptions.Exit(1)


async def _tried(destination: CompiledDestination, offered: Destination) -> Login:
    http = PartnerHttp(version=version("audience-gateway"))
    lane = http.lane(allow_private=may_be_private(destination))
    context = Context(http=lane, notes=FreshNotes(), now_us=time.time_ns() // 1000)
    try:
        said = await offered.test(destination.settings, context)
        problems = [one for one in said if not one.startswith(WARNING)]
        setting, accounts = "", tuple[Choice, ...]()
        if not problems and isinstance(offered, OffersAccounts):
            asked = await offered.accounts(destination.settings, context)
            if not isinstance(asked, str):
                setting, accounts = asked[0], tuple(asked[1])
    finally:
        await http.aclose()
    warnings = [one.removeprefix(WARNING).strip() for one in said if one.startswith(WARNING)]
    return Login(
        destination=destination.key,
        is_good=not problems,
        problems=problems,
        warnings=warnings,
        setting=setting,
        accounts=accounts,
    )


def _show(told: Login) -> None:
    for problem in told.problems:
        out.print(f"[red]{escape(told.destination)}[/red]  {escape(problem)}", soft_wrap=True)
    for warning in told.warnings:
        out.print(f"[yellow]warning[/yellow]  {escape(warning)}", soft_wrap=True)
    if told.is_good:
        said = "nothing is wrong as far as can be seen from here" if told.warnings else "the credentials work"
        out.print(f"[green]{escape(told.destination)}[/green]  {said}")
    for account in told.accounts:
        out.print(f"  {escape(told.setting)}  {escape(account.value)}  {escape(account.label)}", soft_wrap=True)
