"""StackAdapt's input and output: batches out as requests, the credentials test, the advertiser look-up."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import groupby
from typing import Final, Literal

import msgspec

from gateway.core.answers import status_text
from gateway.core.definitions import Choice, Definition
from gateway.core.http_messages import Answer, NoAnswerError, Request
from gateway.core.javascript import to_text
from gateway.core.masking import words_of
from gateway.core.outcomes import Delivered, Outcome, Refused, Unreachable
from gateway.destinations.attempt_lines import in_one_line
from gateway.destinations.base import Batch, Context, Owed, Performed
from gateway.destinations.stackadapt.answers import (
    AdvertiserPage,
    read_advertisers,
    read_deletion,
    read_upsert,
    success_answer,
)
from gateway.destinations.stackadapt.definition import DEFINITION, DELETE_NEEDS_ID, READ_ANSWERS
from gateway.destinations.stackadapt.wire import (
    advertiser_literal,
    advertiser_of,
    advertisers_request,
    delete_request,
    member_of,
    record_of,
    upsert_request,
)

ADVERTISER_PAGES_MAX: Final = 100  # ours: the look-up ends there whatever `hasNextPage` says
AUDIENCE_CHARS_MAX: Final = 80  # ours

IDENTIFIERS: Final = frozenset({"email", "userId", "audienceId"})  # StackAdapt finds profiles by the first two
ALL_CORRECTIONS: Final = frozenset(one.name for one in DEFINITION.corrections)

_BAD_ADVERTISER = "The advertiser id must be digits only: mend `advertiser_id` in the settings or in the mapping."
_MEND = "Check the token, or ask StackAdapt for a GraphQL token with write access."
_NO_USER_ID = "A deletion needs a user id; nothing was sent."


class AdvertiserList(msgspec.Struct, frozen=True, kw_only=True):
    """Advertisers the token may write to, sorted by label. message, code: what went wrong, when something did."""

    choices: tuple[Choice, ...] = ()
    message: str = ""
    code: str = ""


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One request's end: its outcome and one line each of what went out and what came back."""

    outcome: Outcome
    request: str = ""
    answer: str = ""
    requests: int = 0


class StackAdapt:
    """The destination. Deliveries go out in order; after one that must be repeated nothing overtakes it."""

    @property
    def definition(self) -> Definition:
        """Settings, the one action, its fields."""
        return DEFINITION

    def group(self, action: str, payload: dict[str, object], settings: dict[str, object]) -> Hashable:  # noqa: ARG002
        """A batch has one advertiser; audiences may be mixed."""
        return advertiser_of(payload, settings)

    def check_settings(self, settings: dict[str, object], corrections: frozenset[str]) -> list[str]:
        """The advertiser id goes into the document without quotes."""
        given = settings.get("advertiser_id")
        if given is None or advertiser_literal(to_text(given), corrections) is not None:
            return []
        return ["`advertiser_id` must be digits only: copy `advertiser=` from the address of StackAdapt's own pages."]

    def success_answer(self, request: Request) -> Answer:
        """For rehearsals."""
        return success_answer(request)

    def member(self, action: str, payload: dict[str, object], corrections: frozenset[str]) -> object:  # noqa: ARG002
        """What StackAdapt gets for one member: the profile, or None."""
        return member_of(payload, corrections)

    def rendered(
        self,
        action: str,  # noqa: ARG002
        payload: dict[str, object],
        *,
        hashing: Literal["on", "off", "auto"],  # noqa: ARG002 - nothing is hashed here
    ) -> tuple[dict[str, object], frozenset[str]]:
        """A sync's record: a change of these identifiers is another profile, a change of the rest an update of the same."""
        return record_of(payload, ALL_CORRECTIONS), IDENTIFIERS

    async def perform(self, batch: Batch, context: Context) -> Performed:
        """One request for each run of profiles of one advertiser, one for each deletion; usually one in all."""
        outcomes: list[Outcome] = []
        sent: list[_Sent] = []
        for key, run in groupby(batch.owed, key=lambda one: _run_key(one, batch.settings)):
            owed = tuple(run)
            held_up = next((one.outcome for one in sent if not isinstance(one.outcome, (Delivered, Refused))), None)
            if held_up is not None:
                outcomes.extend([_not_sent(held_up)] * len(owed))
                continue
            one = await (_delete(owed[0], batch, context) if key[0] else _upsert(owed, batch, context))
            sent.append(one)
            outcomes.extend([one.outcome] * len(owed))
        return Performed(
            outcomes=tuple(outcomes),
            request=in_one_line([one.request for one in sent if one.request]),
            answer=in_one_line([one.answer for one in sent if one.answer]),
            requests=sum(one.requests for one in sent),
        )

    async def test(self, settings: dict[str, object], context: Context) -> Sequence[str]:
        """Any writable advertiser will do, as in the reference; ours warns when the configured one is not among them."""
        missing = [key for key in ("apiKey", "advertiser_id") if not settings.get(key)]
        if missing:
            return [f"The setting `{key}` is missing; nothing was sent." for key in missing]
        found = await self.advertisers(settings, context)
        if found.message:
            return [f"StackAdapt did not accept the token ({found.message}). {_MEND}"]
        if not found.choices:
            return [f"The token may not write to any advertiser. {_MEND}"]
        configured = to_text(settings["advertiser_id"]).strip()
        if configured not in {choice.value for choice in found.choices}:
            return ["warning: the token may not write to the configured `advertiser_id`, only to others."]
        return []

    async def accounts(self, settings: dict[str, object], context: Context) -> tuple[str, Sequence[Choice]] | str:
        """The advertisers that the token may write to."""
        found = await self.advertisers(settings, context)
        return found.message or ("advertiser_id", found.choices)

    async def advertisers(self, settings: dict[str, object], context: Context) -> AdvertiserList:
        """The look-up behind the choice of an advertiser; follows the pages. Never raises for anything a partner does."""
        choices: dict[str, Choice] = {}
        after = ""
        for _page in range(ADVERTISER_PAGES_MAX):
            page = await _advertiser_page(settings, after, context)
            if not isinstance(page, AdvertiserPage):
                return page
            choices.update((choice.value, choice) for choice in page.writable)
            if not page.after or page.after == after:
                break
            after = page.after
        return AdvertiserList(choices=tuple(sorted(choices.values(), key=lambda choice: choice.label.casefold())))


STACKADAPT: Final = StackAdapt()


def _run_key(owed: Owed, settings: dict[str, object]) -> tuple[int, str]:
    """Neighbours with equal keys share a request; a deletion's key is its own."""
    return (owed.id + 1 if owed.operation == "delete" else 0), advertiser_of(owed.payload, settings)


async def _upsert(owed: tuple[Owed, ...], batch: Batch, context: Context) -> _Sent:
    advertiser = advertiser_literal(advertiser_of(owed[0].payload, batch.settings), batch.corrections)
    if advertiser is None:
        return _Sent(outcome=Refused(reason=_BAD_ADVERTISER))
    summary = f"POST /graphql {_counted(owed)}"
    try:
        answer = await context.http.send(upsert_request(owed, batch.settings, advertiser, batch.corrections))
    except NoAnswerError as error:
        return _no_answer(error, summary)
    reads_body = READ_ANSWERS in batch.corrections
    outcome = read_upsert(answer, reads_body=reads_body, now_us=context.now_us)
    if isinstance(outcome, Refused):  # Only now is it worth collecting the words that its reason must not repeat.
        known = words_of([one.payload for one in owed])
        outcome = read_upsert(answer, reads_body=reads_body, now_us=context.now_us, known=known)
    return _Sent(outcome=outcome, request=summary, answer=_answer_summary(answer, outcome), requests=1)


async def _delete(owed: Owed, batch: Batch, context: Context) -> _Sent:
    given = owed.payload.get("userId")
    if DELETE_NEEDS_ID in batch.corrections and (given is None or to_text(given).strip() == ""):
        return _Sent(outcome=Refused(reason=_NO_USER_ID))
    user_id = "undefined" if "userId" not in owed.payload else to_text(given)
    advertiser = advertiser_literal(advertiser_of(owed.payload, batch.settings), batch.corrections, in_deletion=True)
    if advertiser is None:
        return _Sent(outcome=Refused(reason=_BAD_ADVERTISER))
    summary = "POST /graphql 1 deletion"
    try:
        answer = await context.http.send(delete_request(user_id, batch.settings, advertiser, batch.corrections))
    except NoAnswerError as error:
        return _no_answer(error, summary)
    outcome = read_deletion(answer, now_us=context.now_us, known=words_of(owed.payload))
    return _Sent(outcome=outcome, request=summary, answer=_answer_summary(answer, outcome), requests=1)


async def _advertiser_page(
    settings: dict[str, object], after: str, context: Context
) -> AdvertiserPage | AdvertiserList:
    try:
        answer = await context.http.send(advertisers_request(settings, after))
    except NoAnswerError as error:
        return AdvertiserList(message=error.reason, code="")
    page = read_advertisers(answer)
    if isinstance(page, AdvertiserPage):
        return page
    return AdvertiserList(message=page, code=str(answer.status))


def _no_answer(error: NoAnswerError, summary: str) -> _Sent:
    outcome = Unreachable(reason=f"StackAdapt gave no answer: {error.reason}", sent=error.sent)
    return _Sent(outcome=outcome, request=summary, answer=f"no answer: {error.reason}", requests=1)


def _not_sent(held_up: Outcome) -> Outcome:
    """The same outcome for what stood behind it in the batch and therefore did not go out."""
    if isinstance(held_up, Unreachable):
        return Unreachable(reason="Not sent: a request before it in the batch got no answer.", sent=False)
    return held_up


def _counted(owed: tuple[Owed, ...]) -> str:
    """How many profiles, and which audience when it is one only. Audience keys are the operator's own names."""
    keys = {to_text(one.payload.get("segment_computation_key", "")) for one in owed}
    audiences = f"audience {next(iter(keys))[:AUDIENCE_CHARS_MAX]}" if len(keys) == 1 else f"{len(keys)} audiences"
    return f"{len(owed)} profile{'' if len(owed) == 1 else 's'} {audiences}"


def _answer_summary(answer: Answer, outcome: Outcome) -> str:
    if isinstance(outcome, Delivered):
        return f"{answer.status} ok"
    return f"{status_text(answer.status)}, {type(outcome).__name__.lower()}"
