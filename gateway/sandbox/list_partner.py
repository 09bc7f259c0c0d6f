"""What the fakes of list APIs do alike: lists with people in them, a pace, refusals in the platform's words, one page.

A platform is a class in `platforms/`: its login, its routes, its checks. Facts about the real ones stand in the pages of
docs/destinations/catalogue.
"""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Generic, TypeVar, get_args

import msgspec

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.calls import Call
from gateway.sandbox.configuring import Configuration, Text
from gateway.sandbox.exchange import Exchange
from gateway.sandbox.faults import CommonFault, Fault
from gateway.sandbox.kept_partner import KeptPartner, Shown
from gateway.sandbox.request_log import LoggedRequest
from gateway.sandbox.showing import Json, decoded_json, described, readable, row
from gateway.sandbox.tokens import GivenTokens

PEOPLE_MAX = 1_000_000
LISTS_MAX = 10_000
CALLS_MAX = 1_000_000
PAGE_ROWS_MAX = 100
PAGE_REQUESTS_MAX = 20
HIDDEN = "…"

Wait = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class ListConfiguration(Configuration, frozen=True, kw_only=True):
    """Lists that exist from the start, and the pace.

    lists: id → name. refused_people: identifiers, as they are sent, that the platform takes for wrong.
    calls_max: in any calls_window_s seconds; more are refused as the platform refuses them. None: any number.
    """

    lists: dict[str, Text] = msgspec.field(default_factory=dict)
    refused_people: frozenset[str] = frozenset()
    calls_max: Annotated[int, msgspec.Meta(ge=0, le=CALLS_MAX)] | None = None
    calls_window_s: Wait = 60.0


ListConfigurationT = TypeVar("ListConfigurationT", bound=ListConfiguration)


class OwnRefusal(Fault, frozen=True, kw_only=True):
    """A refusal in the platform's own words; nothing is carried out. A platform's fault names its cases."""

    def lets_through(self) -> bool:
        """Never."""
        return False


def faults_with(own: type[Fault]) -> Sequence[type[Fault]]:
    """The common faults and one of a platform's own."""
    return (*get_args(CommonFault), own)


class RefusedError(Exception):
    """The platform does not do what a request asks; answer: what it says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(str(answer.status))


def refused(status: int, body: object, *, headers: tuple[tuple[str, str], ...] = ()) -> RefusedError:
    """The error whose answer is this JSON."""
    return RefusedError(json_answer(status, body, headers=headers))


class KeptList:
    """One list: its name, what else is known of it, and its people, each known by any of their identifiers."""

    def __init__(self, name: str, **facts: object) -> None:
        self.name = name
        self.facts = facts
        self.people: dict[str, object] = {}  # the identifier somebody came with first → what was said of them
        self._known_by: dict[str, str] = {}
        self._identifiers: dict[str, set[str]] = {}

    def put(self, identifiers: Sequence[str], row_: object) -> None:
        """Put somebody on the list, or lay what is said of them now over what was; past PEOPLE_MAX nothing happens."""
        key = next((self._known_by[one] for one in identifiers if one in self._known_by), identifiers[0])
        if key in self.people or len(self.people) < PEOPLE_MAX:
            self.people[key] = row_
            self._known_by.update(dict.fromkeys(identifiers, key))
            self._identifiers.setdefault(key, set()).update(identifiers)

    def drop(self, identifiers: Sequence[str]) -> bool:
        """Take whoever has one of these identifiers off the list; whether somebody had."""
        gone = {self._known_by[one] for one in identifiers if one in self._known_by}
        for key in gone:
            del self.people[key]
            for one in self._identifiers.pop(key):
                self._known_by.pop(one, None)
        return bool(gone)


class ListPartner(KeptPartner[ListConfigurationT], ABC, Generic[ListConfigurationT]):
    """A platform that keeps lists. clock: seconds; tokens and the pace go by it.

    place: what stands behind the partner's own path in an address. A subclass answers in `_answer`, refuses by raising
    RefusedError, and names what a request is for in `_target`.
    """

    name: str
    title: str
    place = ""
    template = "templates/lists.html"

    def __init__(self, configuration: ListConfigurationT, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        super().__init__(configuration, {"expire-tokens": self.expire_tokens})

    def members(self, list_id: str) -> frozenset[str]:
        """Whom the list holds now, each by the identifier they came with first."""
        found = self.lists.get(list_id)
        return frozenset(found.people) if found is not None else frozenset()

    def expire_tokens(self) -> None:
        """No token that was given out is good any more."""
        with self.changes.change():
            self._tokens.expire()

    def counts(self) -> dict[str, int]:
        """Every counter: requests, tokens, added, removed, refused, faults, statuses (`status_200` …)."""
        return self._counted("requests", "tokens", "added", "removed", "refused")

    def state(self, rows_max: int) -> Json:
        """Lists with their people, counters."""
        return {
            "version": self.changes.version,
            "counters": self.counts(),
            "lists": {list_id: _shown(one, rows_max) for list_id, one in islice(self.lists.items(), rows_max)},
        }

    def describe(self, logged: LoggedRequest) -> Json:
        """One request with its decoded body."""
        return described(logged, decoded=decoded_json(logged.body))

    def list_sizes(self) -> list[tuple[str, int]]:
        """Every list by name, with its size."""
        with self.changes.reading():
            return sorted((one.name, len(one.people)) for one in self.lists.values())

    def page(self) -> Mapping[str, object]:
        """What `lists.html` needs."""
        with self.changes.reading():
            return {
                "endpoint": f"/{self.name}{self.place}",
                "login": self._login_told(),
                "counters": self.counts(),
                "lists_total": len(self.lists),
                "lists": [
                    {"id": list_id, **_shown(one, PAGE_ROWS_MAX)}
                    for list_id, one in islice(self.lists.items(), PAGE_ROWS_MAX)
                ],
                "requests": [row(one, _readable(one)) for one in reversed(self.log.latest(PAGE_REQUESTS_MAX))],
            }

    def _begin(self) -> None:
        super()._begin()
        self.lists: dict[str, KeptList] = {}
        self._tokens = GivenTokens[str](self._clock)
        self._calls: deque[float] = deque()
        self._configured()

    def _configured(self) -> None:
        for list_id, name in self.configuration.lists.items():
            self.lists.setdefault(list_id, self._new_list(name))

    def _new_list(self, name: str) -> KeptList:
        """An empty list as the platform makes one."""
        return KeptList(name)

    def _add_list(self, list_id: str, made: KeptList) -> None:
        if len(self.lists) >= LISTS_MAX:
            raise refused(400, {"message": f"There are {LISTS_MAX} lists already."})
        self.lists[list_id] = made

    def _free_id(self, first: int) -> str:
        """The smallest number from `first` on that no list has."""
        return next(str(number) for number in range(first, first + LISTS_MAX + 1) if str(number) not in self.lists)

    def _give_token(self, owner: str, life_s: float) -> str:
        self._counter["tokens"] += 1
        return self._tokens.give(owner, life_s)

    def _count(self, verb: str, people: int) -> None:
        """verb: `added` or `removed`."""
        self._counter[verb] += people

    def _decide(self, exchange: Exchange, logged: LoggedRequest, body: bytes | None) -> Shown:
        call = Call(exchange, body or b"")
        target = self._target(call)
        logged.names = (target,) if target else ()
        return self._with_fault(logged, lambda _: self._refusal_noted(logged, self._answered(call, body)))

    def _answered(self, call: Call, body: bytes | None) -> Answer:
        try:
            if body is None:
                raise refused(413, {"message": "The body is too large."})
            if self._target(call) != "token":
                self._keep_pace()
            return self._answer(call)
        except RefusedError as error:
            return error.answer

    def _keep_pace(self) -> None:
        """Raises RefusedError for a call too many."""
        allowed, window_s = self.configuration.calls_max, self.configuration.calls_window_s
        if allowed is None:
            return
        now_s = self._clock()
        while self._calls and self._calls[0] <= now_s - window_s:
            self._calls.popleft()
        if len(self._calls) >= allowed:
            raise RefusedError(self._too_fast(max(0.0, self._calls[0] + window_s - now_s) if self._calls else window_s))
        self._calls.append(now_s)

    @abstractmethod
    def _target(self, call: Call) -> str:
        """What a request is for: one of `fault_targets`, or nothing."""

    @abstractmethod
    def _answer(self, call: Call) -> Answer:
        """What the platform answers. Raises RefusedError."""

    @abstractmethod
    def _too_fast(self, wait_s: float) -> Answer:
        """What the platform says to a call too many."""

    @abstractmethod
    def _login_told(self) -> str:
        """For people: with what to log in."""


def words(value: object) -> list[str]:
    """The texts of a list; none where it is no list, or where something else stands in it."""
    return [one for one in value if isinstance(one, str)] if is_texts(value) and isinstance(value, list) else []


def is_texts(value: object) -> bool:
    """Whether this is a list of nothing but texts."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def objects(value: object) -> list[dict[str, object]]:
    """The objects of a list, an empty one for whatever else stands in it."""
    return [one if isinstance(one, dict) else {} for one in value] if isinstance(value, list) else []


def member(value: object, *names: str) -> object:
    """What stands at the end of these names; None where a step is missing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def given(*values: object) -> list[str]:
    """Those of the values that are texts with something in them."""
    return [one for one in values if isinstance(one, str) and one]


def _shown(one: KeptList, rows_max: int) -> Json:
    people: Iterable[tuple[str, object]] = islice(one.people.items(), rows_max)
    return {
        "name": one.name,
        **one.facts,
        "total": len(one.people),
        "people": [{"key": key, "said": said} for key, said in people],
    }


def _readable(logged: LoggedRequest) -> str | None:
    """A body laid out for reading; a login's is hidden."""
    return HIDDEN if "token" in logged.names and logged.body else readable(logged.body, decoded_json(logged.body))
