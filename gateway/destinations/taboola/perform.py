"""Taboola's input and output: a batch out as requests for its audiences, one after the other; the credentials test."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, Literal
from weakref import WeakValueDictionary

import msgspec

from gateway.core.answers import status_text
from gateway.core.definitions import Choice, Definition
from gateway.core.http_messages import Answer, Request
from gateway.core.javascript import to_text, trim
from gateway.core.masking import words_of
from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.destinations.attempt_lines import in_one_line
from gateway.destinations.base import AudienceFound, AudienceWanted, Batch, Context, Performed
from gateway.destinations.taboola import audiences
from gateway.destinations.taboola.answers import Created, Token, blames_audience, read_accounts, read_users
from gateway.destinations.taboola.changes import Change, account_id_warning, change_of
from gateway.destinations.taboola.clusters import member_of
from gateway.destinations.taboola.definition import DEFINITION
from gateway.destinations.taboola.session import Session
from gateway.destinations.taboola.wire import Call, accounts_request, base_url, calls_of, success_answer, users_request

_NO_DELETION: Final = "Taboola's API deletes no audiences: take this one out in its own pages."
_DIFFERS: Final = (
    "The audience was there before, with another {keys}, which Taboola keeps; change it in Taboola's own pages."
)
_NOT_SENT: Final = "Not sent: a request before it in the batch got no token or no answer."

_Locks = WeakValueDictionary[tuple[str, str, str], asyncio.Lock]  # (address, account, audience): gone when nobody waits


class Taboola:
    """The destination. Requests of a batch go out in order; batches of one audience never at the same time."""

    def __init__(self) -> None:
        self._locks: _Locks = WeakValueDictionary()

    @property
    def definition(self) -> Definition:
        """Settings, the one action, its fields."""
        return DEFINITION

    def group(self, action: str, payload: dict[str, object], settings: dict[str, object]) -> Hashable:  # noqa: ARG002
        """Usually one audience; what the payload cannot tell, `perform` keeps apart."""
        return to_text(payload.get("external_audience_id", "")), to_text(payload.get("segment_computation_key", ""))

    def check_settings(self, settings: dict[str, object], corrections: frozenset[str]) -> list[str]:  # noqa: ARG002
        """Blank credentials, an address that is none."""
        problems = [
            f"`{key}` is blank: copy it from Taboola's API keys page."
            for key in ("client_id", "client_secret")
            if key in settings and not trim(to_text(settings[key] or ""))
        ]
        if not base_url(settings).startswith(("https://", "http://")):
            problems.append("`backstage_base_url` must begin with https:// (or http:// on a private network).")
        return problems

    def audience_warnings(self, entry: dict[str, object]) -> Sequence[str]:
        """An account id that does not look like one."""
        given = entry.get("account_id")
        warning = account_id_warning(given) if isinstance(given, str) and given else ""
        return (warning,) if warning else ()

    def success_answer(self, request: Request) -> Answer:
        """For rehearsals."""
        return success_answer(request)

    def member(self, action: str, payload: dict[str, object], corrections: frozenset[str]) -> object:  # noqa: ARG002
        """What Taboola gets for one member: the cluster, or None."""
        return member_of(payload, corrections)

    async def perform(self, batch: Batch, context: Context) -> Performed:
        """One request for each operation on each audience, after a call for a token or an audience where one is needed."""
        return await _Performance(batch, context, self._locks).run()

    async def keep_audience(
        self, verb: Literal["find", "create", "delete"], wanted: AudienceWanted, context: Context
    ) -> AudienceFound | Outcome:
        """The id that is known is the audience's: Taboola has no call that would look it up. Creating finds it by name."""
        if verb == "delete":
            return Refused(reason=_NO_DELETION)
        given = to_text(wanted.entry.get("external_id") or "")
        if given:
            return AudienceFound(external_id=given, origin="mapping")
        session = Session(wanted.settings, context)
        kept = await audiences.remembered(wanted.entry, wanted.key, session, context)
        if isinstance(kept, Refused):
            return kept
        if kept or wanted.event_id:
            return AudienceFound(external_id=kept or wanted.event_id, origin="kept" if kept else "event")
        if verb == "find":
            return AudienceFound()
        created = await audiences.create(wanted.entry, wanted.key, session, context)
        if not isinstance(created, Created):
            return created
        warnings = (_DIFFERS.format(keys=_keys(created)),) if created.differs else ()
        return AudienceFound(external_id=created.external_id, origin="created", warnings=warnings)

    async def accounts(self, settings: dict[str, object], context: Context) -> tuple[str, Sequence[Choice]] | str:
        """The alphabetic ids of the accounts that these credentials may use."""
        answer = await Session(settings, context).call(partial(accounts_request, settings))
        if not isinstance(answer, Answer):
            return getattr(answer, "reason", "Taboola gave no answer.")
        return "account_id", read_accounts(answer)

    async def test(self, settings: dict[str, object], context: Context) -> Sequence[str]:
        """Ask for a token, as the reference does not."""
        missing = [key for key in ("client_id", "client_secret") if not settings.get(key)]
        if missing:
            return [f"The setting `{key}` is missing; nothing was sent." for key in missing]
        fetched = await Session(settings, context).fetch_token()
        return [] if isinstance(fetched, Token) else [getattr(fetched, "reason", "Taboola gave no access token.")]


TABOOLA: Final = Taboola()


class _Performance:
    """One batch on its way: an outcome for each delivery, and one line each of what went out and came back."""

    def __init__(self, batch: Batch, context: Context, locks: _Locks) -> None:
        self._batch = batch
        self._locks = locks
        self._context = context
        self._session = Session(batch.settings, context)
        self._outcomes: list[Outcome | None] = [None] * len(batch.owed)
        self._asked: list[str] = []
        self._told: list[str] = []
        self._held_up: Outcome | None = None

    async def run(self) -> Performed:
        """Send everything that can be sent."""
        calls = calls_of(await self._changes(), self._batch.corrections)
        base = base_url(self._batch.settings)
        async with AsyncExitStack() as held:
            # Always in the same order, so that two batches never wait for each other.
            for account, audience in sorted({(call.account, call.audience) for call in calls}):
                await held.enter_async_context(self._locks.setdefault((base, account, audience), asyncio.Lock()))
            for call in calls:
                self._settle(call.positions, await self._send(call))
        assert all(outcome is not None for outcome in self._outcomes), "every delivery is refused, or part of a call"
        return Performed(
            outcomes=tuple([outcome for outcome in self._outcomes if outcome is not None]),
            request=in_one_line(self._asked),
            answer=in_one_line(self._told),
            requests=self._session.requests,
        )

    async def _changes(self) -> list[Change]:
        """What can be sent, every change with its audience's id; the others have their outcome."""
        ready: list[Change] = []
        made: dict[tuple[str, str, str, str], str | Outcome] = {}
        for position, owed in enumerate(self._batch.owed):
            change = change_of(position, owed, self._batch.corrections)
            if isinstance(change, Refused):
                self._settle((position,), change)
                continue
            if change.creates:
                wanted = (change.account, change.key, to_text(change.settings.get("name", "")), change.event_audience)
                if wanted not in made:
                    made[wanted] = await self._audience(change)
                found = made[wanted]
                if not isinstance(found, str):
                    self._settle((position,), found)
                    continue
                change = msgspec.structs.replace(change, audience=found)
            ready.append(change)
        return ready

    async def _audience(self, change: Change) -> str | Outcome:
        """The audience made for the change before, else the event's, else one made now."""
        # Two batches that need the same audience make it once.
        key = (base_url(self._batch.settings), change.account, f"create {change.key}")
        async with self._locks.setdefault(key, asyncio.Lock()):
            return await self._remembered_or_made(change)

    async def _remembered_or_made(self, change: Change) -> str | Outcome:
        known = await audiences.remembered(change.settings, change.key, self._session, self._context)
        if known is not None:
            return known
        if change.event_audience:
            return change.event_audience
        if self._held_up is not None:
            return _not_sent(self._held_up)
        created = await audiences.create(change.settings, change.key, self._session, self._context)
        self._asked.append("POST /audience_onboarding/create")
        if isinstance(created, Created):
            warning = f" (it existed with another {_keys(created)})" if created.differs else ""
            self._told.append(f"audience {created.external_id}{warning}")
            return created.external_id
        self._told.append(_summary(created))
        self._hold_up(created)
        return created

    async def _send(self, call: Call) -> Outcome:
        if self._held_up is not None:
            return _not_sent(self._held_up)
        count = len(call.people)
        self._asked.append(f"{call.operation} {count} {'person' if count == 1 else 'people'} audience {call.audience}")
        answer = await self._session.call(partial(users_request, call, self._batch.settings))
        outcome = await self._read(call, answer) if isinstance(answer, Answer) else answer
        self._told.append(_summary(outcome))
        self._hold_up(outcome)
        return outcome

    async def _read(self, call: Call, answer: Answer) -> Outcome:
        if 200 <= answer.status < 300:
            return read_users(answer, now_us=self._context.now_us, known=frozenset())
        is_new = blames_audience(answer) and await audiences.is_new(
            call.account, call.audience, self._session, self._context
        )
        known = words_of([self._batch.owed[position].payload for position in call.positions])
        return read_users(answer, now_us=self._context.now_us, known=known, is_new=is_new)

    def _hold_up(self, outcome: Outcome) -> None:
        """Whether the rest of the batch need not be tried: nobody answers, nobody is let in, or not so fast."""
        is_told_to_wait = isinstance(outcome, Deferred) and outcome.concerns == "lane"
        if self._session.blocked is not None or isinstance(outcome, Unauthorized) or is_told_to_wait:
            self._held_up = outcome

    def _settle(self, positions: Sequence[int], outcome: Outcome) -> None:
        for position in positions:
            self._outcomes[position] = outcome


def _keys(created: Created) -> str:
    return " and ".join(created.differs)


def _not_sent(held_up: Outcome) -> Outcome:
    """The same outcome for what stood behind it in the batch and therefore did not go out."""
    return Unreachable(reason=_NOT_SENT, sent=False) if isinstance(held_up, Unreachable) else held_up


def _summary(outcome: Outcome) -> str:
    if isinstance(outcome, Delivered):
        return f"{outcome.status} ok"
    if outcome.status is None:
        return "no answer"
    return f"{status_text(outcome.status)}, {type(outcome).__name__.lower()}"
