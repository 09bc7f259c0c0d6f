"""Sending the batches of one `perform`: steps in order, tokens refreshed, jobs waited for; what holds one up stops the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.core.answers import status_text
from gateway.core.http_messages import Answer, NoAnswerError, Request
from gateway.core.masking import words_of
from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.destinations.base import Context
from gateway.destinations.http_audience.answers import Read, Reader, envelope_of, is_true, saved_values
from gateway.destinations.http_audience.bodies import body_bytes
from gateway.destinations.http_audience.fields import Rejection
from gateway.destinations.http_audience.login import LoginError
from gateway.destinations.http_audience.shape import AnswerError, DefinitionFile, Job, RequestRule
from gateway.destinations.http_audience.tokens import TokenRefusedError, Tokens
from gateway.destinations.http_audience.wire import Access, Item, Made, build_request, shown_path

REHEARSED: Final = Answer(status=200, body=b"{}")
"""The answer of a partner that is only imagined: it counts as success in every way. Known by identity, so none can send it."""

SAMPLE_BYTES_MAX: Final = 60_000  # of a body kept for debugging
SAMPLES_KEPT: Final = "debug/count"
"""Under this note stands how many bodies are kept."""


def sample_note(number: int) -> str:
    """Under this note stands one of them, from 0."""
    return f"debug/{number}"


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one batch. requests: as they went out. stops: why nothing behind it may go."""

    made: Made
    outcomes: tuple[Outcome, ...]
    requests: tuple[Request, ...] = ()
    stops: Outcome | None = None
    remembered: tuple[dict[str, object], ...] = ()
    told: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()
    rejection: Rejection | None = None


class Courier:
    """Carries batches of one configured destination to its partner."""

    def __init__(self, file: DefinitionFile, access: Access, context: Context, secret_words: frozenset[str]) -> None:
        self.file = file
        self.access = access
        self.context = context
        self._secret_words = secret_words
        self._began_s = time.monotonic()
        self.tokens = Tokens(file, access, context)
        self._identifiers = [key for key, rule in file.fields.items() if rule.identifier]

    @property
    def spent_s(self) -> float:
        """How long this `perform` has taken so far."""
        return time.monotonic() - self._began_s

    async def goes_on(self) -> bool:
        """Whether one more request may go out; to be asked between two."""
        asked = self.context.goes_on
        return asked is None or await asked()

    async def ready(self) -> Access:
        """The access for a request that goes out now. Raises TokenRefusedError."""
        sent_at_s = self.context.now_us / 1_000_000 + self.spent_s
        return msgspec.structs.replace(self.access, token=await self.tokens.get(), sent_at_s=int(sent_at_s))

    async def send(self, made: Made) -> Sent:
        """All requests of one batch, in order. Never raises for anything a partner does."""
        trip = _Trip(self, made)
        try:
            return await trip.run()
        except LoginError as error:
            return trip.ended(self._held(f"config_invalid: {error}."), stops=True)
        except TokenRefusedError as error:
            return trip.ended(error.outcome, stops=True)
        except AnswerError as error:
            return trip.ended(
                Unreachable(reason=f"response_unreadable: {self.file.name} answered, and {error}.", status=200)
            )

    def _held(self, reason: str) -> Unauthorized:
        return Unauthorized(reason=reason, status=401)

    def reader(self, request: RequestRule, items: Sequence[Item]) -> Reader:
        """A reader that repeats nothing of what these records hold, nor of the secrets."""
        return Reader(
            request,
            items,
            partner=self.file.name,
            identifiers=self._identifiers,
            bytes_max=self.file.limits.max_response_bytes,
            known=words_of([item.record for item in items]) | self._secret_words,
        )

    async def keep_sample(self, body: bytes) -> None:
        """For `debug_samples`: a batch's first body, as sent, until so many batches are kept."""
        most = self.file.limits.debug_samples
        if not most:
            return
        kept = int(await self.context.notes.get(SAMPLES_KEPT) or b"0")
        if kept < most:
            await self.context.notes.put(sample_note(kept), body[:SAMPLE_BYTES_MAX])
            await self.context.notes.put(SAMPLES_KEPT, str(kept + 1).encode())


class _Trip:
    """One batch on its way."""

    def __init__(self, courier: Courier, made: Made) -> None:
        self._courier = courier
        self._made = made
        self._scope = dict(made.scope)
        self._steps: dict[str, object] = {}
        self._scope["steps"] = self._steps
        self._requests: list[Request] = []
        self._told: list[str] = []
        self._answered: list[str] = []
        self._kept: list[dict[str, object]] = []
        self._is_sampled = False
        self._outcomes: tuple[Outcome, ...] | None = None
        self._has_acted = False

    def ended(self, outcome: Outcome, *, stops: bool = False, rejection: Rejection | None = None) -> Sent:
        self._come_to((outcome,) * len(self._made.items))
        return self._sent(stops=outcome if stops else None, rejection=rejection)

    def _come_to(self, outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
        """What the batch has come to with one step more: over several steps a record keeps its first failure."""
        now = tuple(self._in_doubt(one) for one in outcomes)
        if self._outcomes is not None:
            pairs = zip(self._outcomes, now, strict=True)
            now = tuple(two if _is_taken(one) else one for one, two in pairs)
        self._outcomes = now
        return now

    def _in_doubt(self, outcome: Outcome) -> Outcome:
        """The same, unless a step before it has had its effect: then nobody knows what the failure of this one leaves behind.

        Where a change may not be repeated, none of the answers that lead to another try may come through as they are.
        """
        if not self._has_acted:
            return outcome
        may_repeat = self._courier.file.capabilities.idempotent
        match outcome:
            case Unreachable():
                return msgspec.structs.replace(outcome, sent=True, status=None)
            case Deferred(reason=reason) | Unauthorized(reason=reason) if not may_repeat:
                return Unreachable(reason=reason, sent=True)
            case Refused() if not may_repeat:
                return msgspec.structs.replace(outcome, splittable=False)
            case _:
                return outcome

    def _sent(self, *, stops: Outcome | None = None, rejection: Rejection | None = None) -> Sent:
        assert self._outcomes is not None, "an action has requests"
        return Sent(
            made=self._made,
            outcomes=self._outcomes,
            requests=tuple(self._requests),
            stops=stops,
            remembered=tuple(self._kept),
            told=tuple(self._told),
            answered=tuple(self._answered),
            rejection=rejection,
        )

    async def run(self) -> Sent:
        for request, prepared in zip(self._made.action.requests, self._made.bodies, strict=True):
            body: bytes | Rejection | None = prepared
            if request.needs_steps:
                body = self._late_body(request)
            if isinstance(body, Rejection):
                return self.ended(Refused(reason=body.reason), rejection=body)
            answer = await self._exchange(request, body)
            if isinstance(answer, Rejection):
                return self.ended(Refused(reason=answer.reason), rejection=answer)
            if isinstance(answer, NoAnswerError):
                return self._no_answer(answer)
            read = await self._read(request, answer)
            outcomes = self._come_to(read.outcomes)
            if read.remembered:
                self._kept = list(read.remembered)
            if read.stops is not None or not any(_is_taken(one) for one in outcomes):
                return self._sent(stops=read.stops)
            self._has_acted = self._has_acted or request.method != "GET"
            if answer is not REHEARSED and self._ends(request, answer):
                break
            self._steps.update(_imagined(request) if answer is REHEARSED else self._saved(request, answer))
        return self._sent()

    def _saved(self, request: RequestRule, answer: Answer) -> dict[str, object]:
        return saved_values(request, answer, self._courier.file.limits.max_response_bytes)

    def _ends(self, request: RequestRule, answer: Answer) -> bool:
        if request.stop_when is None:
            return False
        return is_true(request.stop_when(envelope_of(answer, self._courier.file.limits.max_response_bytes)))

    def _late_body(self, request: RequestRule) -> bytes | Rejection | None:
        """A body that needs what an earlier step's answer gave."""
        body, failed, whole = body_bytes(request, self._scope, len(self._made.items))
        return whole or next(iter(failed.values()), None) or body

    def _no_answer(self, error: NoAnswerError) -> Sent:
        code = "timeout" if error.sent else "destination_unavailable"
        reason = f"{code}: {self._courier.file.name} gave no answer: {error.reason}"
        outcome = Unreachable(reason=reason, sent=error.sent)
        self._answered.append(f"no answer: {error.reason}")
        return self.ended(outcome, stops=True)

    async def _exchange(self, request: RequestRule, body: bytes | None) -> Answer | Rejection | NoAnswerError:
        """Send one request; a refused login is tried once more with a fresh token."""
        courier = self._courier
        for is_last in (False, True):
            built = build_request(courier.file, request, self._scope, body, await courier.ready())
            if isinstance(built, Rejection):
                return built
            self._requests.append(built)
            self._told.append(f"{shown_path(request)} {_counted(len(self._made.items))}")
            if body and not self._is_sampled:
                self._is_sampled = True
                await courier.keep_sample(body)
            try:
                answer = await courier.context.http.send(built)
            except NoAnswerError as error:
                return error
            self._answered.append(f"{answer.status}")
            if is_last or answer.status not in request.response.auth_statuses or request.is_foreign:
                return answer
            if not await courier.tokens.drop():
                return answer
        raise AssertionError("the second exchange returns")

    async def _read(self, request: RequestRule, answer: Answer) -> Read:
        if answer is REHEARSED:
            return Read(outcomes=(Delivered(),) * len(self._made.items))
        reader = self._courier.reader(request, self._made.items)
        read = reader.read(answer, now_us=self._courier.context.now_us)
        job = request.response.job
        if job is None or not 200 <= answer.status < 300 or not any(_is_taken(one) for one in read.outcomes):
            return read
        return await self._job_result(request, job, answer, reader)

    async def _job_result(self, request: RequestRule, job: Job, answer: Answer, reader: Reader) -> Read:
        """Ask for the job until it is done; the last answer is read as if it had been the first."""
        courier, count = self._courier, len(self._made.items)
        given = job.job(envelope_of(answer))
        if not isinstance(given, (str, int)) or isinstance(given, bool) or given == "":
            raise AnswerError("the job's id is not in it")
        scope = {**self._scope, "job": given}
        # Below the base address, with the login, wherever the request itself went.
        poll = msgspec.structs.replace(
            request, method="GET", address=job.path, query=(), body=None, is_foreign=False, is_given=False
        )
        left_s, said = job.timeout_s, ""
        is_refreshed = False
        while left_s > 0:
            pause_s = min(job.every_s, left_s)
            await asyncio.sleep(pause_s)
            left_s -= pause_s
            try:
                built = build_request(courier.file, poll, scope, None, await courier.ready())
                if isinstance(built, Rejection):
                    raise AnswerError(built.message.removesuffix("."))
                polled = await courier.context.http.send(built)
            except (NoAnswerError, TokenRefusedError):  # The batch is taken already: no reason to send it again.
                continue
            if polled.status in request.response.retry_statuses:
                continue
            if polled.status in request.response.auth_statuses and not is_refreshed and await courier.tokens.drop():
                is_refreshed = True  # A token may end while a job runs.
                continue
            envelope = envelope_of(polled)
            if job.failed is not None and is_true(job.failed(envelope)):
                refused = Refused(
                    reason=f"rejected_by_destination: {courier.file.name} says that the job failed.",
                    status=polled.status,
                )
                return Read(outcomes=(refused,) * count)
            if is_true(job.until(envelope)):
                return reader.read(polled, now_us=courier.context.now_us)
            if polled.status >= 400:
                said = f"answered {status_text(polled.status)} when asked what became of it"
                break
        said = said or f"did not finish it within {job.timeout_s:g} s"
        late = Unreachable(
            reason=f"timeout: {courier.file.name} took the batch, but {said}.",
            status=answer.status,
        )
        return Read(outcomes=(late,) * count)


def _is_taken(outcome: Outcome) -> bool:
    return isinstance(outcome, Delivered)


def _imagined(request: RequestRule) -> dict[str, object]:
    texts = {name: f"{name}-of-a-rehearsal" for name in request.save}
    return {name: [text] if name in request.saves_lists else text for name, text in texts.items()}


def _counted(records: int) -> str:
    return f"{records} record{'' if records == 1 else 's'}"
