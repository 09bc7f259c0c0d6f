"""One lane's loop: claim, batch, send, settle, wait; it owns its tasks and shares nothing that can block another lane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count

import msgspec

from gateway.core.errors import StoreError
from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook
from gateway.delivery.batches import Halving, rounds_of
from gateway.delivery.bounds import LaneLimits, RatedHttp, Throttle
from gateway.delivery.faults import where
from gateway.delivery.gate import UNAUTHORIZED, Gate
from gateway.delivery.runs import NoRuns, Runs
from gateway.delivery.send import Sender, settings_digest
from gateway.delivery.settling import WHOLE_LIST
from gateway.destinations.base import Destination
from gateway.destinations.http_client import PartnerHttp
from gateway.observe import logs
from gateway.store.api import StateStore, StateTx, StateView
from gateway.store.rows import DeliveryRow, LaneRow

LEASE_S = (
    1200  # Longer than CLAIM_S_MAX, the longest attempt and its settling together, so that none ends under a request.
)
LIST_LEASE_S = 7800  # The same for a lane of whole lists.
CLAIM_S_MAX = 240  # A claim starts no request after this; what is left of it goes back.
CLAIM_EVENTS_MIN = 100  # Small batches are claimed several at a time: a claim costs a commit.
IDLE_S_MIN = 1.0
IDLE_S_MAX = 5.0  # Something is due but blocked: by an earlier delivery of its member, or for want of its mapping.
TROUBLE_WAIT_S = 5.0
FAULT_WAIT_S = 30
LOOK_S_MAX = 60.0  # A lane looks at least this often, should the system's clock jump or a wake-up get lost.

_US_PER_S = 1_000_000
# A destination whose address the operator wrote may be on a private network; one built in may not.
ADDRESS_SETTINGS = frozenset({"api_base_url", "api_url", "base_url", "backstage_base_url", "token_url"})

log = logs.logger()


def may_be_private(destination: CompiledDestination) -> bool:
    """Whether the operator wrote this destination's address, so that it may lie on a private network; or a file's author."""
    if destination.definition.may_be_private:
        return True
    own = {field.key: field.default for field in destination.definition.settings}
    return any(destination.settings.get(key) not in (None, "", own.get(key)) for key in ADDRESS_SETTINGS)


def missing_mappings(view: StateView, destination: CompiledDestination) -> list[str]:
    """Mappings of the destination's due deliveries that its file has no more, or has switched off."""
    served = {mapping.key for mapping in destination.mappings if mapping.enabled}
    return sorted(set(view.mappings_due(destination.key)) - served)


class LaneWorker:
    """One configured destination's lane. Made by `Lanes`, which also keeps its place in the rulebook."""

    def __init__(
        self,
        row: LaneRow,
        held_settings: bytes = b"",
        *,
        state: StateStore,
        rulebook: Callable[[], Rulebook],
        registry: Mapping[str, Destination],
        http: PartnerHttp,
        clock: Callable[[], int],
        chance: Callable[[], float],
        limits: Callable[[str], LaneLimits],
        allow_private: Callable[[CompiledDestination], bool] = may_be_private,
        runs: Runs | None = None,
    ) -> None:
        """limits: what holds for a lane now; asked at every turn."""
        self.key = row.lane
        self.gate = Gate(row, held_settings)
        self.in_flight = 0
        self._runs = NoRuns() if runs is None else runs
        self.sender = Sender(row.lane, state=state, gate=self.gate, clock=clock, chance=chance, runs=self._runs)
        self._state = state
        self._rulebook = rulebook
        self._registry = registry
        self._clock = clock
        self._limits = limits
        self._throttle = Throttle(limits(row.lane))
        self._ways = {private: RatedHttp(http.lane(allow_private=private), self._throttle) for private in (False, True)}
        self._allow_private = allow_private
        self._wake = asyncio.Event()
        self._missing: list[str] = []
        self._idle_s = IDLE_S_MIN
        self._turns = count()
        self._stopping = False

    def wake(self) -> None:
        """Look again now: work came, a person acted, or the rulebook changed."""
        self._idle_s = IDLE_S_MIN
        self._wake.set()

    def take_bounds(self) -> None:
        """Press the partner as hard as the rulebook in force says."""
        if self._rulebook().destination(self.key) is not None and self._throttle.change(self._limits(self.key)):
            log.info("lane.bounds_changed", destination=self.key, **msgspec.structs.asdict(self._throttle.limits))

    def stop(self) -> None:
        """Claim and start nothing more; `run` returns once what is in flight has ended."""
        self._stopping = True
        self._wake.set()

    def pause(self) -> None:
        """See `Lanes.pause`."""
        self.gate.pause()

    def resume(self) -> None:
        """See `Lanes.resume`."""
        self.gate.resume()

    def probe(self) -> None:
        """See `Lanes.probe`."""
        self.gate.probe_asked = True

    async def run(self) -> None:
        """Work until `stop`."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                self._wake.clear()
                wait_s = await self._guarded_turn(group)
                if wait_s == 0 or self._stopping:
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S_MAX if wait_s is None else min(wait_s, LOOK_S_MAX)):
                        await self._wake.wait()

    async def save_standing(self) -> None:
        """Write pause, hold and breaker where they changed."""
        row = self.gate.take_changed_row()
        if row is None:
            return
        try:
            await self._state.write(lambda tx: tx.save_lane(row))
        except StoreError:
            self.gate.save_again()
            raise

    async def _guarded_turn(self, group: asyncio.TaskGroup) -> float | None:
        try:
            return await self._turn(group)
        except StoreError as error:
            log.warning("lane.store_failed", destination=self.key, error=str(error))
            return float(error.retry_after_s)
        except Exception as error:  # noqa: BLE001 - one lane's fault must not end the others
            self._log_fault(error)
            return TROUBLE_WAIT_S

    async def _turn(self, group: asyncio.TaskGroup) -> float | None:
        """Claim once, if that is allowed now. Seconds until the next turn is worth it; None: when woken."""
        destination = self._rulebook().destination(self.key)
        if destination is None or not destination.enabled:
            return None
        self.take_bounds()
        if self.gate.hold == UNAUTHORIZED and self.gate.settings_are(settings_digest(destination)):
            log.info("lane.freed", destination=self.key, cause="settings changed")
        now_us = self._clock()
        allowed = self.gate.look(now_us)
        await self.save_standing()
        if allowed.kind == "shut":
            return None if allowed.until_us is None else _seconds(allowed.until_us - now_us)
        probe = allowed.kind == "probe"
        if self.in_flight >= (1 if probe else self._throttle.limits.batches_at_once):
            return None
        classes = list(_batch_classes(destination, probe=probe))
        turn = next(self._turns)
        sends_lists = any(one.capabilities.takes_whole_lists for one in destination.mappings)
        lease_s = LIST_LEASE_S if sends_lists else LEASE_S
        rows, due_us = await self._state.write(lambda tx: self._claim(tx, classes, turn, now_us, lease_s))
        self.gate.probe_asked = False
        if not rows:
            return await self._idle(destination, due_us, now_us)
        self._idle_s = IDLE_S_MIN
        self.in_flight += 1
        group.create_task(self._carry(rows, probe=probe), name=f"lane {self.key}")
        return 0

    def _claim(
        self, tx: StateTx, classes: Sequence[tuple[int, int, list[str]]], turn: int, now_us: int, lease_s: int
    ) -> tuple[list[DeliveryRow], int | None]:
        """The next batch, mappings of equal bounds asked together, the classes in turn."""
        for offset in range(len(classes)):
            events_max, bytes_max, keys = classes[(turn + offset) % len(classes)]
            rows = tx.claim(
                self.key,
                now_us=now_us,
                lease_until_us=now_us + lease_s * _US_PER_S,
                events_max=events_max,
                bytes_max=bytes_max,
                mappings=keys,
            )
            if rows:
                return rows, None
        return [], tx.next_due_us(self.key)

    async def _idle(self, destination: CompiledDestination, due_us: int | None, now_us: int) -> float | None:
        """Nothing to claim: how long to wait; says once when something is due that no mapping serves any more."""
        if due_us is None:
            self._missing = []
            return None
        if due_us > now_us:
            return _seconds(due_us - now_us)
        missing = await self._state.read(lambda view: missing_mappings(view, destination))
        if missing and missing != self._missing:
            log.warning("lane.mapping_missing", destination=self.key, mappings=missing)
        self._missing = missing
        wait_s, self._idle_s = self._idle_s, min(self._idle_s * 2, IDLE_S_MAX)
        return wait_s

    async def _carry(self, rows: list[DeliveryRow], *, probe: bool) -> None:
        """Send one claim, whatever it takes; what is left unsent goes back."""
        claim = _Claim(rows, probe=probe, until_us=self._clock() + CLAIM_S_MAX * _US_PER_S)
        try:
            for batches in self._rounds(rows):
                async with asyncio.TaskGroup() as group:
                    for batch in batches:
                        group.create_task(self._guarded_batch(batch, claim))
        except Exception as error:  # noqa: BLE001 - the same
            self._fault(error, claim)
        try:
            if claim.left:
                await self._state.write(lambda tx: tx.release(sorted(claim.left)))
        except StoreError as error:  # The lease gives them back.
            log.warning("lane.store_failed", destination=self.key, error=str(error))
        finally:
            self.in_flight -= 1
            self.wake()

    async def _guarded_batch(self, batch: list[DeliveryRow], claim: _Claim) -> None:
        try:
            await self._send_batch(batch, claim)
        except Exception as error:  # noqa: BLE001 - the batches beside it have requests on their way
            self._fault(error, claim)

    def _fault(self, error: Exception, claim: _Claim) -> None:
        """End the claim and wait a while: what failed would fail again at once, in a tight loop."""
        self._log_fault(error)
        claim.is_over = True
        now_us = self._clock()
        self.gate.told_to_wait(now_us, until_us=now_us + FAULT_WAIT_S * _US_PER_S)

    def _log_fault(self, error: BaseException) -> None:
        log.error("lane.failed", destination=self.key, error=type(error).__name__, where=where(error))

    def _rounds(self, rows: Sequence[DeliveryRow]) -> list[list[list[DeliveryRow]]]:
        found = self._rulebook().mapping(rows[0].mapping)
        if found is None:
            return []
        destination, mapping = found
        offered = self._registry[destination.definition.slug]
        return rounds_of(rows, _group_of(offered, destination, mapping), events_max=_batch_events_max(mapping))

    async def _send_batch(self, batch: list[DeliveryRow], claim: _Claim) -> None:
        """Send one batch; one that is refused whole goes again in halves, until the fault is alone."""
        halving, untold = Halving(batch), 0
        while part := halving.next_part(claim.waiting):
            async with self._throttle.slots:
                found = self._rulebook().mapping(part[0].mapping)
                if found is None or not await self._goes_on(claim, part[0]):
                    claim.is_over = True
                    return
                destination, mapping = found
                sent = await self.sender.send(
                    part,
                    destination,
                    mapping,
                    self._registry[destination.definition.slug],
                    self._ways[self._allow_private(destination)],
                    probe=claim.probe,
                    may_split=halving.may_split,
                    goes_on=partial(self._goes_on, claim, part[0], is_begun=True),
                )
            if sent is None:
                claim.is_over = True
                claim.leave_to_runs(part)
                return
            # A run hears of requests with its deliveries, so those that settled none are told with the next.
            untold += sent.requests
            if sent.run_attempts:
                sent, untold = sent.telling(untold), 0
            # Settled outside the slot: the next request does not wait for this one's commit.
            try:
                await self.sender.settle(sent)
            except StoreError:
                claim.leave_to_runs(part)
                raise
            settlements = sent.decided.settlements
            claim.left.difference_update(settlement.id for settlement in settlements)
            claim.waiting |= sent.decided.waiting
            culprits = sum(settlement.settled in ("dead", "closed") for settlement in settlements)
            halving.answered(sent.decided.again, culprits=culprits)

    async def _goes_on(self, claim: _Claim, row: DeliveryRow, *, is_begun: bool = False) -> bool:
        """Whether the claim may start one more request for the likes of a delivery.

        Its run may have been stopped meanwhile, by a person or because so many were refused: it takes the rest back.
        is_begun: some of what is asked about went out already; of a whole list the rest follows, however long it takes.
        """
        found = self._rulebook().mapping(row.mapping)
        is_late = self._clock() >= claim.until_us and not (is_begun and row.operation == WHOLE_LIST)
        if found is None or not self._may_go(claim, *found, is_late=is_late):
            return False
        try:
            return not row.run or await self._runs.goes_on(row.run)
        except StoreError:  # what the requests before have come to is still to be told
            return True

    def _may_go(
        self, claim: _Claim, destination: CompiledDestination, mapping: CompiledMapping, *, is_late: bool
    ) -> bool:
        """Whether the claim may start one more request. Once not means never: else a later change could go first."""
        is_wanted = destination.enabled and mapping.enabled and not self._stopping
        # A probe's own pass was given when it was claimed.
        is_open = claim.probe or self.gate.look(self._clock()).kind == "open"
        claim.is_over = claim.is_over or is_late or not is_wanted or not is_open
        return not claim.is_over


class _Claim:
    """What is still to be told of one claim.

    left: not settled yet. waiting: members whose earlier delivery waits. is_over: it starts nothing more.
    """

    def __init__(self, rows: Sequence[DeliveryRow], *, probe: bool, until_us: int) -> None:
        self.left = {row.id for row in rows}
        self.waiting: frozenset[int] = frozenset()
        self.is_over = False
        self.probe = probe
        self.until_us = until_us

    def leave_to_runs(self, rows: Sequence[DeliveryRow]) -> None:
        """Keep what runs planned claimed: it went out, and nobody knows what became of it.

        Once the syncs start again, or its lease is over, its run says whether it may be asked for twice.
        """
        self.left.difference_update(row.id for row in rows if row.run)


def _batch_classes(destination: CompiledDestination, *, probe: bool) -> Iterator[tuple[int, int, list[str]]]:
    """Enabled mappings by the bounds of their claims: (deliveries, bytes, mapping keys)."""
    classes: dict[tuple[int, int], list[str]] = {}
    for mapping in destination.mappings:
        if mapping.enabled:
            events_max = 1 if probe else max(_batch_events_max(mapping), CLAIM_EVENTS_MIN)
            bounds = (events_max, mapping.batch_bytes_max)
            classes.setdefault(bounds, []).append(mapping.key)
    for (events_max, bytes_max), keys in classes.items():
        yield events_max, bytes_max, keys


def _batch_events_max(mapping: CompiledMapping) -> int:
    return mapping.batch_events_max if mapping.batching else 1


def _group_of(
    offered: Destination, destination: CompiledDestination, mapping: CompiledMapping
) -> Callable[[DeliveryRow], Hashable]:
    decode = msgspec.json.Decoder(dict[str, object]).decode

    def group(row: DeliveryRow) -> Hashable:
        try:
            own = offered.group(mapping.action.slug, decode(row.payload), destination.settings)
        except Exception:  # noqa: BLE001 - alone, it is refused or fails where attempts are recorded
            return row.id
        # Those that failed together go together: the same batch has the same id, by which a partner knows a repetition.
        return own, row.run, row.due_us if row.failures else 0

    return group


def _seconds(us: int) -> float:
    return max(us / _US_PER_S, 0.001)
