"""The faults every fake partner can be told to show, and the queue they wait in; `exchange.py` acts them out.

The first eight kinds are the classic ones of network fault injection; `status` is a partner's own refusal.
"""

import random
from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec

from gateway.sandbox.answers import Answer, html_answer, json_answer
from gateway.sandbox.changes import Changes

FAULTS_MAX = 100
FAULT_WAIT_S_MAX = 120.0

Seconds = Annotated[float, msgspec.Meta(ge=0, le=FAULT_WAIT_S_MAX)]
Times = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
HeaderText = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[ -~]*$")]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all faults share: how often, and for which requests.

    times: so many requests; None until the faults are cleared.
    target: only requests that name this (a GraphQL root field, an endpoint); None for any request.
    """

    times: Times | None = 1
    target: Annotated[str, msgspec.Meta(max_length=200)] | None = None

    @property
    def kind(self) -> str:
        """The word that names this kind in the control API."""
        return str(self.__struct_config__.tag)

    def lets_through(self) -> bool:
        """Whether the request is carried out although its answer suffers."""
        return True

    def own_answer(self) -> Answer | None:
        """The answer the fault puts in place of the partner's, if it has one."""
        return None


class Latency(Fault, tag="latency", frozen=True, kw_only=True):
    """The answer comes `delay_s` late, give or take `jitter_s`."""

    delay_s: Seconds = 1.0
    jitter_s: Seconds = 0.0

    def drawn_delay_s(self, chance: random.Random) -> float:
        """One request's delay, never below zero."""
        return max(0.0, self.delay_s + chance.uniform(-self.jitter_s, self.jitter_s))


class Bandwidth(Fault, tag="bandwidth", frozen=True, kw_only=True):
    """The answer's body trickles at `bytes_per_s`."""

    bytes_per_s: Annotated[int, msgspec.Meta(ge=1)] = 1024


class SlowClose(Fault, tag="slow_close", frozen=True, kw_only=True):
    """The whole body is there, but its end, and the close after it, come `delay_s` later."""

    delay_s: Seconds = 1.0


class Timeout(Fault, tag="timeout", frozen=True, kw_only=True):
    """No answer at all: the connection stays open until the client leaves, the faults are cleared or `hold_s` is over.

    carried_out: the request took effect all the same, and nobody told the client.
    """

    hold_s: Seconds = FAULT_WAIT_S_MAX
    carried_out: bool = False

    def lets_through(self) -> bool:
        """Only when told to."""
        return self.carried_out


class Reset(Fault, tag="reset", frozen=True, kw_only=True):
    """The TCP connection is reset (RST), before the answer or in its middle (which needs a carried out request)."""

    when: Literal["before", "during"] = "before"
    carried_out: bool = False

    def lets_through(self) -> bool:
        """In the middle of an answer there is an answer, so the request was carried out."""
        return self.carried_out or self.when == "during"


class Slices(Fault, tag="slices", frozen=True, kw_only=True):
    """The body arrives in slices of `slice_bytes`, each its own write, `delay_s` apart."""

    slice_bytes: Annotated[int, msgspec.Meta(ge=1)] = 16
    delay_s: Seconds = 0.005


class Truncate(Fault, tag="truncate", frozen=True, kw_only=True):
    """The connection is closed, properly, after `keep_bytes` of the body; None keeps half."""

    keep_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Down(Fault, tag="down", frozen=True, kw_only=True):
    """Nobody is there: the connection is dropped before a word of the request is looked at; targets do not apply."""

    def lets_through(self) -> bool:
        """Never."""
        return False


class Status(Fault, tag="status", frozen=True, kw_only=True):
    """The partner answers `status` with a JSON, HTML or empty body, with `Retry-After` if given."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 503
    body: Literal["json", "html", "empty"] = "json"
    retry_after: int | HeaderText | None = None
    carried_out: bool = False

    def lets_through(self) -> bool:
        """Only when told to."""
        return self.carried_out

    def own_answer(self) -> Answer:
        """The refusal itself; a status that allows no body gets none."""
        headers = () if self.retry_after is None else (("retry-after", str(self.retry_after)),)
        text = "The sandbox was told to answer this."
        if self.body == "empty" or self.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            return Answer(status=self.status, headers=headers)
        if self.body == "html":
            return html_answer(self.status, str(self.status), text, headers=headers)
        return json_answer(self.status, {"errors": [{"message": text}]}, headers=headers)


CommonFault = Latency | Bandwidth | SlowClose | Timeout | Reset | Slices | Truncate | Down | Status


class Armed(msgspec.Struct, frozen=True, kw_only=True):
    """A fault in the queue: its number, itself, and for how many more requests (None: until cleared)."""

    number: int
    left: int | None
    fault: Fault


class FaultQueue:
    """The faults one partner was told to show, oldest first; one request meets at most one of them."""

    def __init__(self, changes: Changes, *, seed: int = 0) -> None:
        self._changes = changes
        self._armed: list[Armed] = []
        self._numbers = 0
        self.clearings = 0  # how often the faults were cleared
        self.shown = 0
        self.chance = random.Random(seed)  # noqa: S311 - jitter, not a secret

    @property
    def armed(self) -> tuple[Armed, ...]:
        """What is still to come, oldest first."""
        return tuple(self._armed)

    def add(self, fault: Fault) -> Armed:
        """Arm a fault. Raises ValueError when FAULTS_MAX are armed already."""
        if len(self._armed) >= FAULTS_MAX:
            raise ValueError(f"{FAULTS_MAX} faults are armed already; clear them first.")
        with self._changes.change():
            self._numbers += 1
            armed = Armed(number=self._numbers, left=fault.times, fault=fault)
            self._armed.append(armed)
        return armed

    def clear(self) -> None:
        """Forget all faults and let every request go that one of them holds."""
        with self._changes.change():
            self._armed.clear()
            self.clearings += 1

    def take_down(self) -> Down | None:
        """The first `down`, counted as shown."""
        for armed in self._armed:
            if isinstance(armed.fault, Down):
                self._count(armed)
                return armed.fault
        return None

    def take(self, targets: Collection[str]) -> Fault | None:
        """The first fault but `down` that fits a request naming `targets`, counted as shown."""
        for armed in self._armed:
            if not isinstance(armed.fault, Down) and armed.fault.target in (None, *targets):
                self._count(armed)
                return armed.fault
        return None

    async def pause(self, wait_s: float, *, since: int | None = None) -> bool:
        """Wait `wait_s`, or less when the faults are cleared meanwhile: True then.

        since: `clearings` when the holding began, for one that pauses several times; None: now.
        """
        begun = self.clearings if since is None else since
        try:
            await self._changes.wait_for(lambda: self.clearings != begun, wait_s)
        except TimeoutError:
            return False
        return True

    def _count(self, armed: Armed) -> None:
        with self._changes.change():
            self.shown += 1
            place = self._armed.index(armed)
            if armed.left is None:
                return
            if armed.left == 1:
                del self._armed[place]
            else:
                self._armed[place] = msgspec.structs.replace(armed, left=armed.left - 1)
