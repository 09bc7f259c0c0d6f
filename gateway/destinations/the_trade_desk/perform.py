"""The Trade Desk's input and output: one run's whole list out as one drop; segments connected; the login test.

Single changes are not sent: this platform takes whole lists only, so entering and leaving reach it with the next run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import Final, Literal
from weakref import WeakValueDictionary

from gateway.core.answers import status_text
from gateway.core.definitions import Definition
from gateway.core.http_messages import Answer, Request
from gateway.core.javascript import to_text, trim
from gateway.core.outcomes import Delivered, Outcome, Refused
from gateway.destinations.base import AudienceFound, AudienceWanted, Batch, Context, Foreseen, Performed
from gateway.destinations.the_trade_desk import segments
from gateway.destinations.the_trade_desk.answers import read_page
from gateway.destinations.the_trade_desk.calls import Calls
from gateway.destinations.the_trade_desk.definition import DEFINITION
from gateway.destinations.the_trade_desk.lines import email_of, member_line, person_key
from gateway.destinations.the_trade_desk.list_run import BAD_ID, ListRun
from gateway.destinations.the_trade_desk.segments import Connected, How
from gateway.destinations.the_trade_desk.wire import (
    api_base_url,
    foreseen,
    is_external_id,
    list_request,
    success_answer,
)

_NOT_A_LIST: Final = (
    "The Trade Desk takes whole lists only, and this is a single change: nothing was sent. A run sends it."
)
_NOTHING_TO_DELETE: Final = "No segment of this audience is known, so there is none to delete."
_ORIGINS: Final[dict[How, Literal["partner", "created", "kept"]]] = {
    "verified": "partner", "adopted": "partner", "created": "created", "remembered": "kept",
}  # fmt: skip
_NO_SNAPSHOT: Final = "The run has no snapshot; nothing was sent."


class TheTradeDesk:
    """The destination. Runs of one segment never overlap."""

    def __init__(self) -> None:
        self._segment_locks: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()

    @property
    def definition(self) -> Definition:
        """Settings, the one action, its fields."""
        return DEFINITION

    def group(self, action: str, payload: dict[str, object], settings: dict[str, object]) -> Hashable:  # noqa: ARG002
        """One segment."""
        return to_text(payload.get("external_id") or "")

    def check_settings(self, settings: dict[str, object], corrections: frozenset[str]) -> list[str]:  # noqa: ARG002
        """Blank or unprintable credentials, an address that is none, an hour that is none."""
        problems = [
            f"`{key}` must be printable text without blanks: copy it from The Trade Desk."
            for key in ("auth_token", "advertiser_id")
            if settings.get(key) is not None and not _is_word(to_text(settings[key]))
        ]
        if not api_base_url(settings).startswith(("https://", "http://")):
            problems.append("`api_base_url` must begin with https:// (or http:// on a private network).")
        hour = settings.get("sync_hour_utc")
        if hour is not None and (not isinstance(hour, int) or isinstance(hour, bool) or not 0 <= hour <= 23):
            problems.append("`sync_hour_utc` must be a whole number from 0 to 23.")
        return problems

    def success_answer(self, request: Request) -> Answer:
        """For rehearsals."""
        return success_answer(request)

    @property
    def uploads_lines(self) -> bool:
        """People stand in the uploaded file alone."""
        return True

    def foreseen(self, request: Request) -> Foreseen:
        """For plans."""
        return foreseen(request)

    def member(self, action: str, payload: dict[str, object], corrections: frozenset[str]) -> object:  # noqa: ARG002
        """What The Trade Desk gets for one member: the line of the file, or None."""
        return member_line(payload, corrections)

    def person(self, payload: dict[str, object]) -> str:
        """Who a payload means: members, repeats and the minimum are counted by this."""
        return person_key(email_of(payload))

    async def perform(self, batch: Batch, context: Context) -> Performed:
        """Upload the snapshot as the list of the one delivery of a run (operation `replace`); refuse anything else.

        The delivery's payload says `pii_type` and may say `external_id`; where it does not, the first member's does.
        Fewer than 1,500 distinct people: no call at all, and `skipped` is `below_minimum`.
        """
        if len(batch.owed) != 1 or batch.owed[0].operation != "replace":
            return Performed(outcomes=(Refused(reason=_NOT_A_LIST),) * len(batch.owed), requests=0)
        if context.snapshot is None:
            return Performed(outcomes=(Refused(reason=_NO_SNAPSHOT),), requests=0)
        run = ListRun(batch, batch.owed[0], context)
        outcome = await run.performed(context.snapshot, self._segment_locks)
        return run.told(outcome)

    async def keep_audience(
        self, verb: Literal["find", "create", "delete"], wanted: AudienceWanted, context: Context
    ) -> AudienceFound | Outcome:
        """Find, adopt, create or delete a segment by hand. An id that file or event gives is verified."""
        calls = Calls(wanted.settings, context)
        given = _text(wanted.entry.get("external_id"))
        name, region = _text(wanted.entry.get("name")) or wanted.key, _text(wanted.entry.get("region"))
        kept = "" if given else await segments.remembered(name, region, calls)
        known = given or kept or wanted.event_id
        if known and not is_external_id(known):
            return Refused(reason=BAD_ID)
        if verb == "delete":
            return await _deleted(known, name, region, calls)
        if kept:
            return AudienceFound(external_id=kept, origin="kept")
        if known:
            verified = await segments.verify(known, calls)
            origin: Literal["mapping", "event"] = "mapping" if given else "event"
            return AudienceFound(external_id=known, origin=origin) if isinstance(verified, Connected) else verified
        if verb == "find":
            found = await segments.find(name, region, calls)
        else:
            found = await segments.adopt_or_create(name, region, calls)
        if not isinstance(found, Connected):
            return AudienceFound() if found is None else found
        return AudienceFound(external_id=found.external_id, origin=_ORIGINS[found.how])

    async def test(self, settings: dict[str, object], context: Context) -> Sequence[str]:
        """Ask for the advertiser's segments. The reference looks at the status only; ours wants a list, too."""
        missing = [key for key in ("auth_token", "advertiser_id") if not settings.get(key)]
        if missing:
            return [f"The setting `{key}` is missing; nothing was sent." for key in missing]
        answer = await Calls(settings, context).send(list_request(settings), "GET segments")
        if not isinstance(answer, Answer):
            return [f"{answer.reason}."]
        if answer.status != 200:
            return [f"The credentials are not valid: The Trade Desk answered {status_text(answer.status)}."]
        if read_page(answer) is None:
            return ["What answers at `api_base_url` is not The Trade Desk: its answer lists no segments."]
        return []


THE_TRADE_DESK: Final = TheTradeDesk()


async def _deleted(known: str, name: str, region: str, calls: Calls) -> AudienceFound | Outcome:
    if not known:
        return Refused(reason=_NOTHING_TO_DELETE)
    outcome = await segments.delete(known, calls)
    if not isinstance(outcome, Delivered):
        return outcome
    await segments.forget(name, region, calls)
    return AudienceFound(external_id=known, origin="deleted")


def _is_word(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and trim(text) == text


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
