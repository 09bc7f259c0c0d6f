"""A partner's answer read as a definition says: one outcome for each record, saved values, what to remember. Pure.

Reasons name codes and rules; what the partner wrote is quoted only masked, with everything we sent taken out.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.core.answers import FINAL_SERVER_STATUSES, retry_after_s, status_text
from gateway.core.http_messages import ANSWER_BYTES_MAX, Answer
from gateway.core.javascript import is_number, number_text, parse_json
from gateway.core.masking import mask_text
from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unauthorized, Unreachable
from gateway.destinations.http_audience.shape import (
    AnswerError,
    Expression,
    Pointing,
    RecordErrors,
    RecordIds,
    Remember,
    RequestRule,
    ResponseRule,
)
from gateway.destinations.http_audience.wire import Item

ITEMS_MAX: Final = 1_000_000  # of a list in an answer; its four megabytes cannot hold more that mean anything
SAVED_CHARS_MAX: Final = 20_000

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What one answer means. outcomes: one for each record. stops: what it means for everything that was to follow."""

    outcomes: tuple[Outcome, ...]
    stops: Outcome | None = None
    remembered: tuple[dict[str, object], ...] = ()


class Reader:
    """Reads the answers to one request of a batch.

    partner: what reasons call it. identifiers: fields that name people. known: words no reason may repeat.
    """

    def __init__(
        self,
        request: RequestRule,
        items: Sequence[Item],
        *,
        partner: str,
        identifiers: Sequence[str],
        bytes_max: int,
        known: frozenset[str],
    ) -> None:
        self._rule = request.response
        self._items = items
        self._partner = partner
        self._identifiers = identifiers
        self._bytes_max = bytes_max
        self._known = known

    def read(self, answer: Answer, *, now_us: int) -> Read:
        """The outcome of every record."""
        rule, status = self._rule, answer.status
        if any(self._is_ok(status, item) for item in self._items):
            if not all(self._is_ok(status, item) for item in self._items):
                outcomes = [
                    Delivered(status=status) if self._is_ok(status, item) else self._refused(answer)
                    for item in self._items
                ]
                return Read(outcomes=tuple(outcomes))
            return self._success(answer)
        text = f"{self._partner} answered {status_text(status)}."
        is_late = self._means(rule.retry_when, answer)
        if not is_late and (status in rule.auth_statuses or self._means(rule.auth_when, answer)):
            held = Unauthorized(reason=f"auth_failed: {text}", status=status)
            return self._all(held, stops=held)
        if is_late or status in rule.retry_statuses or (status >= 500 and status not in FINAL_SERVER_STATUSES):
            code = "rate_limited" if status == 429 else "timeout" if status == 408 else "destination_unavailable"
            wait_s = retry_after_s(answer.headers, now_us)
            late: Outcome = Unreachable(reason=f"{code}: {text}", status=status)
            if wait_s is not None:
                late = Deferred(reason=f"{code}: {text}", status=status, wait_s=wait_s)
            return self._all(late, stops=late)
        return self._all(self._refused(answer))

    def _means(self, expression: Expression | None, answer: Answer) -> bool:
        """Whether a refusal's body says so; what an expression cannot work on says nothing."""
        if expression is None:
            return False
        with contextlib.suppress(AnswerError):
            return is_true(expression(envelope_of(answer, self._bytes_max)))
        return False

    def _refused(self, answer: Answer) -> Refused:
        splittable = answer.status in self._rule.split_statuses and len(self._items) > 1
        splittable = splittable and not self._means(self._rule.whole_when, answer)
        quoted = self._quote(answer)
        text = f"{self._partner} answered {status_text(answer.status)}" + (f": {quoted}" if quoted else ".")
        return Refused(reason=f"rejected_by_destination: {text}", status=answer.status, splittable=splittable)

    def _quote(self, answer: Answer) -> str:
        return mask_text(answer.body[:2048].decode("utf-8", "replace"), known=self._known)

    def _is_ok(self, status: int, item: Item) -> bool:
        ok = self._rule.ok_statuses
        return 200 <= status < 300 or status in ok.get(item.asked, ()) or status in ok.get(item.action.name, ())

    def _all(self, outcome: Outcome, *, stops: Outcome | None = None) -> Read:
        return Read(outcomes=(outcome,) * len(self._items), stops=stops)

    def _success(self, answer: Answer) -> Read:
        delivered = self._all(Delivered(status=answer.status))
        rule = self._rule
        if not rule.reads_body:
            return delivered
        if not 200 <= answer.status < 300:
            return delivered  # A status that counts as success says all; its body is an error page.
        envelope = envelope_of(answer, self._bytes_max)
        try:
            if rule.success_needs_json and answer.status != 204:
                _demand_json(envelope)
            if rule.success is not None and not is_true(rule.success(envelope)):
                quoted = self._quote(answer)
                reason = f"rejected_by_destination: {self._partner} answered {answer.status} without success: {quoted}"
                return self._all(Refused(reason=reason.removesuffix(": "), status=answer.status))
            if answer.status == 204:
                return delivered
            outcomes = self._of_records(envelope, answer.status)
            remembered = self._remembered(rule.remember, envelope) if rule.remember else ()
        except AnswerError as error:
            unsure = Unreachable(
                reason=f"response_unreadable: {self._partner} answered {answer.status}, and {error}.",
                status=answer.status,
            )
            return self._all(unsure)
        return Read(outcomes=tuple(outcomes), remembered=remembered)

    def _of_records(self, envelope: dict[str, object], status: int) -> list[Outcome]:
        outcomes: list[Outcome] = [Delivered(status=status)] * len(self._items)
        if self._rule.tells_records:
            _demand_json(envelope)
        if self._rule.record_ids is not None:
            taken = self._taken(self._rule.record_ids, envelope)
            refused = Refused(
                reason=f"rejected_by_destination: {self._partner} does not list it among those it took.", status=status
            )
            outcomes = [one if index in taken else refused for index, one in enumerate(outcomes)]
        if self._rule.record_errors is not None:
            self._blame(self._rule.record_errors, envelope, status, outcomes)
        return outcomes

    def _blame(self, rule: RecordErrors, envelope: dict[str, object], status: int, outcomes: list[Outcome]) -> None:
        """Put a refusal where the answer points. An error that points nowhere leaves everybody under suspicion: halve."""
        places = _Places(self._items, rule.pointing)
        lost = False
        told = _items(rule.items, envelope)
        if rule.pointing.in_order and len(told) < len(self._items):
            raise AnswerError("it has fewer results than the request has records")
        for number, error in enumerate(told):
            if rule.when is not None and not is_true(rule.when(error)):
                continue
            found = places.of(error, number)
            lost = lost or not found
            outcome = self._record_outcome(rule, error, status)
            for place in found:
                outcomes[place] = outcome
        if not lost:
            return
        suspected = Refused(
            reason=f"rejected_by_destination: {self._partner} answered {status} with an error that points at no record.",
            status=status,
            splittable=len(self._items) > 1,
        )
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, Delivered):
                outcomes[place] = suspected

    def _record_outcome(self, rule: RecordErrors, error: object, status: int) -> Outcome:
        code = self._told(rule.code, error)
        message = self._told(rule.message, error)
        said = ": ".join(part for part in (code, message) if part)
        reason = f"rejected_by_destination: {self._partner} refused the record" + (f" ({said})." if said else ".")
        if rule.retryable is not None and is_true(rule.retryable(error)):
            return Unreachable(reason=reason, status=status, sent=False)
        return Refused(reason=reason, status=status)

    def _told(self, expression: Expression | None, error: object) -> str:
        value = expression(error) if expression is not None else None
        text = _text_of(value)
        return mask_text(text, known=self._known) if text else ""

    def _taken(self, rule: RecordIds, envelope: dict[str, object]) -> set[int]:
        by_value = _by_value(self._items, (rule.field,) if rule.field else self._identifiers)
        taken: set[int] = set()
        for one in _items(rule.items, envelope):
            taken.update(by_value.get(_text_of(one), ()))
        return taken

    def _remembered(self, rule: Remember, envelope: dict[str, object]) -> tuple[dict[str, object], ...]:
        kept: list[dict[str, object]] = [{} for _ in self._items]
        places = _Places(self._items, rule.pointing)
        for number, one in enumerate(_items(rule.items, envelope)):
            values = {name: expression(one) for name, expression in rule.values.items()}
            for place in places.of(one, number):
                kept[place] = {
                    name: value
                    for name, value in values.items()
                    if isinstance(value, (str, int, float)) and value != ""
                }
        return tuple(kept)


class _Places:
    """Which records an item of an answer points at."""

    def __init__(self, items: Sequence[Item], pointing: Pointing) -> None:
        self._count = len(items)
        self._pointing = pointing
        self._by_value = _by_value(items, (pointing.match_field,)) if pointing.match_value is not None else {}

    def of(self, item: object, number: int) -> Sequence[int]:
        """number: the item's own place in its list."""
        pointing = self._pointing
        if pointing.in_order:
            return (number,) if number < self._count else ()
        if pointing.match_value is not None:
            return self._by_value.get(_text_of(pointing.match_value(item)), ())
        assert pointing.index is not None
        text = _text_of(pointing.index(item))
        digits = text.removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
            return ()
        place = int(text) - pointing.index_base
        return (place,) if 0 <= place < self._count else ()


def _by_value(items: Sequence[Item], fields: Sequence[str]) -> dict[str, list[int]]:
    """Places by what was sent for these fields."""
    found: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        for value in [item.record.get(field) for field in fields]:
            for one in value if isinstance(value, list) else (value,):
                text = _text_of(one)
                if text and place not in found.get(text, ()):
                    found.setdefault(text, []).append(place)
    return found


def _items(expression: Expression, envelope: dict[str, object]) -> list[object]:
    found = expression(envelope)
    if found is None:
        return []
    if not isinstance(found, list) or len(found) > ITEMS_MAX:
        raise AnswerError("what should be a list is none")
    return found


def envelope_of(answer: Answer, bytes_max: int = ANSWER_BYTES_MAX) -> dict[str, object]:
    """What expressions see: `status`, `headers`, and `body` as JSON, or as text where it is none or was cut off."""
    body: object = answer.body.decode("utf-8-sig", "replace")  # Some write a byte order mark before their JSON.
    if len(answer.body) < min(bytes_max + 1, ANSWER_BYTES_MAX):
        with contextlib.suppress(ValueError, RecursionError):
            body = parse_json(str(body))
            if _SURROGATE.search(answer.body):
                body = _in_characters(body)
    return {"status": answer.status, "headers": dict(answer.headers), "body": body}


def _demand_json(envelope: dict[str, object]) -> None:
    """A page of a proxy, a text cut off: whoever wrote it, it says nothing of the records. Raises AnswerError."""
    if not isinstance(envelope["body"], (dict, list)):
        raise AnswerError("the body is not JSON")


def _in_characters(value: object) -> object:
    """The same with U+FFFD for half a surrogate pair, which JSON can escape and nothing can store or send on."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_in_characters(item) for item in value]
    if isinstance(value, dict):
        return {str(_in_characters(key)): _in_characters(item) for key, item in value.items()}
    return value


def saved_values(rule: RequestRule, answer: Answer, bytes_max: int = ANSWER_BYTES_MAX) -> dict[str, object]:
    """What `save` takes from an answer; an expression that finds nothing there is tried on the body alone.

    Raises AnswerError when something is not there: the next step could not be made.
    """
    if not rule.save:
        return {}
    envelope = envelope_of(answer, bytes_max)
    saved: dict[str, object] = {}
    for name, expression in rule.save.items():
        value = expression(envelope)
        if value is None:
            value = expression(envelope["body"])
        if value is None or value == "" or len(str(value)) > SAVED_CHARS_MAX:
            raise AnswerError(f"`save.{name}` finds nothing in it")
        saved[name] = value
    return saved


def is_success(rule: ResponseRule, answer: Answer) -> bool:
    """Whether a request that carries no records went well. Raises AnswerError."""
    if not 200 <= answer.status < 300:
        return False
    return rule.success is None or is_true(rule.success(envelope_of(answer)))


def is_true(value: object) -> bool:
    """JMESPath's truth: null, false, and what is empty are not."""
    return value is not None and value is not False and value not in ("", [], {})


def _text_of(value: object) -> str:
    """What values are compared by; nothing for lists, objects and null."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not is_number(value):
        return ""
    return number_text(value)  # type: ignore[arg-type] # it is a number
