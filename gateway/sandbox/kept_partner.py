"""What every fake partner that keeps what it took does alike: configuration, counters, reset, and serving with faults.

A partner derives from `KeptPartner`, lays its own state out in `_begin`, and says in `_decide` what it answers.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar, get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.sandbox.answers import Answer
from gateway.sandbox.changes import Changes
from gateway.sandbox.configuring import Configuration
from gateway.sandbox.exchange import Exchange
from gateway.sandbox.faults import CommonFault, Fault, FaultQueue
from gateway.sandbox.request_log import LoggedRequest, RequestLog, Violation
from gateway.sandbox.showing import described

VIOLATIONS_MAX = 1_000
REFUSAL_CHARACTERS_MAX = 500
HTTP_REFUSED = 400  # this status and those above
STATUS_UNSEEN = ("timeout", "reset", "truncate")  # faults after which no client can be sure of a status


ConfigurationT = TypeVar("ConfigurationT", bound=Configuration)

Shown = tuple[Answer | None, Fault | None]
"""What the partner says and the fault to show with it; without a fault there is an answer."""

Decide = Callable[[Exchange, LoggedRequest, bytes | None], Shown]
"""Called with the state held for a change; the body is None when it was too large."""


class KeptPartner(Generic[ConfigurationT]):
    """A partner's configuration, version, faults, request log and counters.

    commands: its own verbs of the control API. A subclass sets what its `_begin` needs before it calls this constructor.
    State may be read from any thread, held still with `changes.reading()`.
    """

    fault_kinds: Sequence[type[Fault]] = get_args(CommonFault)
    fault_targets: Sequence[str] = ()
    body_bytes_max: int = 64 * 1024 * 1024

    def __init__(self, configuration: ConfigurationT, commands: Mapping[str, Callable[[], None]]) -> None:
        self._first_configuration = configuration
        self.configuration: ConfigurationT = configuration
        self.changes = Changes()
        self.faults = FaultQueue(self.changes)
        self.log = RequestLog(self.changes)
        self.commands = commands
        self._begin()

    @property
    def app(self) -> ASGIApp:
        """Everything below the mount."""
        return self._serve

    @property
    def upload_app(self) -> ASGIApp | None:
        """There are no uploads."""
        return None

    async def wait_for(self, predicate: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Return once `predicate` holds; asked again at every change. Raises TimeoutError."""
        await self.changes.wait_for(predicate, timeout_s)

    def describe(self, logged: LoggedRequest) -> object:
        """One request: as it came, and what became of it."""
        return described(logged)

    def headline(self, logged: LoggedRequest) -> str:
        """`add: /path`, or method and path."""
        return logged.problem or f"{' '.join(logged.names) or logged.method}: {logged.path}"

    def shown_configuration(self) -> object:
        """The configuration in force."""
        return self.configuration

    def configure(self, changed: bytes) -> None:
        """Lay keys over the configuration; what is kept stays. Raises msgspec.DecodeError, ValidationError."""
        configuration = self.configuration.changed_by(changed)
        with self.changes.change():
            self.configuration = configuration
            self._configured()

    def reset(self) -> None:
        """Forget everything but the version and the configuration given at the start."""
        self.faults.clear()
        with self.changes.change():
            self._forget()

    def _begin(self) -> None:
        """Lay out empty state, at the start and after a reset. A subclass adds its own after this."""
        self.configuration = self._first_configuration
        self.faults.shown = 0
        self._counter: Counter[str] = Counter()

    def _forget(self) -> None:
        """Give up what is kept. A subclass with work under way stops that first."""
        self.log.clear()
        self._begin()

    def _configured(self) -> None:
        """Take up a changed configuration, with the state held; for subclasses that keep parts of it elsewhere."""

    def _counted(self, *keys: str, **more: int) -> dict[str, int]:
        """The counters named, those given, the faults shown and every status, in this order."""
        own = {key: self._counter[key] for key in keys}
        statuses = {key: count for key, count in sorted(self._counter.items()) if key.startswith("status_")}
        return own | more | {"faults": self.faults.shown} | statuses

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._exchange(Exchange(scope, receive, send), self._decide, bytes_max=self.body_bytes_max)

    def _decide(self, exchange: Exchange, logged: LoggedRequest, body: bytes | None) -> Shown:
        """What is answered, for partners with one app; see `Decide`."""
        raise NotImplementedError

    async def _exchange(self, exchange: Exchange, decide: Decide, *, bytes_max: int) -> None:
        """Take one request and send what `decide` makes of it, logged and counted whatever happens on the way."""
        is_full = self.configuration.record == "full"
        self._counter["requests"] += 1
        logged = self.log.arrived(
            method=exchange.method, path=exchange.path, headers=exchange.headers if is_full else ()
        )
        status: int | None = None
        try:
            if (down := self.faults.take_down()) is not None:
                logged.fault = down.kind
                await exchange.send_with(down, None, self.faults)
                return
            body = await exchange.read(bytes_max)
            logged.body_bytes = len(body or b"")
            if is_full and body is not None:
                self.log.keep_body(logged, body)
            with self.changes.change():
                answer, fault = decide(exchange, logged, body)
            status = answer.status if answer else None
            if fault is None:
                assert answer is not None
                await exchange.send(answer)
            else:
                await exchange.send_with(fault, answer, self.faults)
                status = status if fault.kind not in STATUS_UNSEEN else None
        finally:
            self._counter[f"status_{status or 'none'}"] += 1
            self.log.done(logged, status=status)

    def _with_fault(self, logged: LoggedRequest, answer_with: Callable[[Fault | None], Answer]) -> Shown:
        """The answer and the fault that fits the request's names; nothing is done where the fault lets nothing through."""
        fault = self.faults.take(logged.names)
        answer = None
        if fault is None or fault.lets_through():
            answer = answer_with(fault)
        if fault is not None:
            logged.fault = fault.kind
            answer = fault.own_answer() or answer
        return answer, fault

    def _refusal_noted(self, logged: LoggedRequest, answer: Answer) -> Answer:
        """The same answer; a refusal is counted, and its text is the request's problem."""
        if answer.status >= HTTP_REFUSED:
            self._counter["refused"] += 1
            logged.problem = answer.body.decode("utf-8", "replace")[:REFUSAL_CHARACTERS_MAX]
        return answer


class WatchfulPartner(KeptPartner[ConfigurationT]):
    """A partner that also keeps what it let pass although the contract forbids it."""

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The contract violations met, oldest first, the latest VIOLATIONS_MAX of them."""
        return tuple(self._violations)

    def _begin(self) -> None:
        super()._begin()
        self._violations: deque[Violation] = deque(maxlen=VIOLATIONS_MAX)

    def _note(self, logged: LoggedRequest, found: list[Violation]) -> None:
        """Keep what one request violated, with the request and for the partner."""
        logged.violations = tuple(found)
        self._violations.extend(found)
        self._counter["violations"] += len(found)
