"""`gateway member` and `gateway erase`: what is known of a person, and their deletion everywhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import click
import msgspec
from rich.markup import escape

from gateway.admin.people import KEY_CHARACTERS_MAX, Erased, EraseOrder, FindOrder
from gateway.cli.api_client import NotAnsweredError
from gateway.cli.operating import engine
from gateway.cli.output import EXIT_FAILED, EXIT_INVALID, counted, fail, json_option, moment, out, print_json, table
from gateway.cli.shown_members import Shown, inner, number, rows
from gateway.cli.sync_pages import membership_words, print_record

NOT_FOUND = 404
REFUSED = 400

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., object])


def _who(command: C) -> C:
    """Whom a command is about. KEY stays out of URLs and logs."""
    command = click.option("--source", default="", help="The id is one of this source's people.")(command)
    command = click.option("--space", default="", help="The same by the space that sources share.")(command)
    return click.argument("key")(command)


@click.command()
@_who
@click.option("--reveal", is_flag=True, help="Show the person's identifiers in clear.")
@json_option
def member(key: str, source: str, space: str, *, reveal: bool, as_json: bool) -> None:
    """Show everything that is known of a person: audiences, what each sync makes of them, what is owed or was given up.

    KEY: `user_id:u-17`, `anonymous_id:…`, `email:…`; a bare one is a user id.

    Exit code 0: known. 1: nothing is known of such a person. 2: the source or space cannot be used, or several people are meant.
    """
    _check(key)
    shown = _ask("find", FindOrder(member=key, space=space, source=source, reveal=reveal), dict[str, object])
    if as_json:
        print_json(shown)
    else:
        print_person(shown)


@click.command()
@_who
@click.option("--dry-run", is_flag=True, help="Only tell what it would do.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@json_option
def erase(key: str, source: str, space: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete a person here and at every destination, as a deletion event of the sender does. Nobody brings them back.

    KEY: as of `gateway member`. Events that happened before are not applied afterwards; later ones start afresh.

    Exit code 0: done, or nothing was left to delete. 1: nothing is known of such a person. 2: not confirmed, or KEY is not clear.
    """
    _check(key)
    asked = EraseOrder(member=key, space=space, source=source, dry_run=True)
    would = _ask("erase", asked, Erased)
    if dry_run or would.outcome == "already_erased":
        _tell(would, as_json=as_json)
        return
    if not yes:
        if as_json or not sys.stdin.isatty():
            fail(f"{_sentence(would)} Say --yes to do it.", code=EXIT_INVALID)
        out.print(_sentence(would), markup=False, soft_wrap=True)
        if not click.confirm("Delete this person for good?"):
            fail("Nothing was deleted.", code=EXIT_INVALID)
    done = _ask("erase", msgspec.structs.replace(asked, dry_run=False, confirm=True), Erased)
    _tell(done, as_json=as_json)


def print_person(shown: Shown) -> None:
    """One person: audiences with what their syncs make of them, then what forwarding did and owes."""
    out.print(
        f"[bold]{escape(str(shown['member']))}[/bold]  space {escape(str(shown['space']))}  {shown['member_ref']}",
        soft_wrap=True,
    )
    deleted_us = number(shown, "deleted_us")
    if deleted_us:
        after = "nothing else is known of them" if shown["state"] == "deleted" else "what follows came later"
        out.print(f"The person was deleted at {moment(deleted_us)}; {after}.", markup=False)
    erasing = shown.get("erasing")
    if isinstance(erasing, list) and erasing:
        out.print(f"Erasures are still on their way in: {', '.join(map(str, erasing))}", soft_wrap=True, markup=False)
    audiences = rows(shown, "audiences")
    if not audiences and not deleted_us:
        out.print("in no audience, nor ever seen leaving one")
    for audience in audiences:
        _print_audience(audience)
    if number(shown, "audiences_left_out"):
        out.print(f"and {number(shown, 'audiences_left_out')} more audiences")
    for one in rows(shown, "forwarded"):
        out.print(f"on the list of {one['audience']} by forwarding: {one['mapping']}", soft_wrap=True, markup=False)
    table(
        "Owed or given up",
        ("id", "mapping", "operation", "state", "failures", "due", "last reason"),
        (
            (
                one["id"], one["mapping"], one["operation"], one["state"], one["failures"], moment(number(one, "due_us")),
                one["reason"],
            )
            for one in rows(shown, "deliveries")
        ),
    )  # fmt: skip


def _print_audience(audience: Shown) -> None:
    name = "" if audience["name"] == audience["audience"] else f" ({audience['name']})"
    words = membership_words(inner(audience, "membership"))
    out.print(f"\n[bold]{escape(str(audience['audience']))}[/bold]{escape(name)}  {escape(words)}", soft_wrap=True)
    for sync in rows(audience, "syncs"):
        out.print(f"{sync['sync']}  {sync['code']}: {sync['sentence']}", soft_wrap=True, markup=False)
        for record in rows(sync, "records"):
            print_record(record)


def _check(key: str) -> None:
    if not 0 < len(key) <= KEY_CHARACTERS_MAX:
        fail(f"A key has 1 to {KEY_CHARACTERS_MAX} characters.", code=EXIT_INVALID)


def _ask(verb: str, order: FindOrder | EraseOrder, wanted: type[T]) -> T:
    """Ask the engine; ends with its words where it refuses."""
    try:
        return engine().call("POST", f"/api/members:{verb}", wanted, order)
    except NotAnsweredError as error:
        fail(str(error), code=EXIT_INVALID if error.status == REFUSED else EXIT_FAILED)


def _tell(told: Erased, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        out.print(_sentence(told), markup=False, soft_wrap=True)


def _sentence(told: Erased) -> str:
    """What a deletion did, or would do."""
    if told.outcome == "already_erased":
        return f"{told.member} was deleted at {moment(told.before_us)}, and nothing is left to delete."
    before = f" They were deleted before, at {moment(told.before_us)}." if told.before_us else ""
    verb = "is deleted" if told.outcome == "erased" else "would be deleted"
    owed = f"{counted(told.deliveries, 'delivery', 'deliveries')} at once" if told.deliveries else ""
    lists = f"{counted(told.syncs, 'list')} by {'its' if told.syncs == 1 else 'their'} next run" if told.syncs else ""
    what = ", ".join(one for one in (owed, lists) if one)
    names = ", ".join(told.destinations)
    where = f"at {counted(len(told.destinations), 'destination')} ({names}): {what}" if names else "at no destination"
    return (
        f"{told.member} (space {told.space}) {verb}: out of {counted(told.audiences, 'audience')}, and {where}.{before}"
    )
