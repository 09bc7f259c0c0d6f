"""A whole list on its way to the partner: one request, or where the definition has a `session` as many as it takes.

Of a session no more than three batches are in memory, whatever the list's size. An upload that was interrupted goes on
behind the last request that was answered, as long as the partner keeps the session open.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused
from gateway.destinations.base import Owed, Snapshot
from gateway.destinations.http_audience.delivering import Courier, Sent
from gateway.destinations.http_audience.fields import Record, Rejection
from gateway.destinations.http_audience.shape import ActionRule, Hashing, SessionRule
from gateway.destinations.http_audience.wire import Facts, Group, Item, Made

ROWS_AT_ONCE: Final = 1_000  # of the snapshot, between two looks at whether a batch is full
AT_US: Final = "at_us"  # what a snapshot adds to a payload

NOBODY: Final = Rejection(code="empty_record", message="Nobody of the list can be sent.")

STOPPED: Final = Deferred(
    reason="The upload was stopped between two of its requests.", wait_s=1.0, status=0, concerns="delivery"
)

Prepare = Callable[[dict[str, object]], Record | Rejection]


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a list. sent: without records and bodies; counts: `lines` sent, `skipped` that cannot be sent, `bytes`."""

    outcome: Outcome
    rejection: Rejection | None = None
    sent: tuple[Sent, ...] = ()
    stops: Outcome | None = None
    counts: dict[str, int] = {}


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an upload came. delivery: whose; id: its session's; next: number of the request that is still to be answered.

    making: by which definition and switch the batches were made: made by another, the same number is other people.
    """

    delivery: int
    members: int
    making: str
    began_us: int
    id: int
    next: int


class Replacement:
    """One delivery of a whole list. prepare: a row's record, or why it cannot be sent; it is called in another thread.

    hashing: the switch that `prepare` obeys.
    """

    def __init__(
        self,
        courier: Courier,
        action: ActionRule,
        facts: Facts,
        snapshot: Snapshot,
        prepare: Prepare,
        *,
        hashing: Hashing,
    ) -> None:
        self._courier = courier
        self._action = action
        self._facts = facts
        self._snapshot = snapshot
        self._prepare = prepare
        self._making = f"{courier.file.digest} {hashing}"
        self._skipped = 0
        self._lines = 0
        self._bytes = 0
        self._sent: list[Sent] = []

    async def run(self, owed: Owed) -> Replaced:
        """Send all of it. Never raises for anything a partner does."""
        session = self._action.session
        reading = ThreadPoolExecutor(max_workers=1)  # The snapshot's rows are read by one thread from first to last.
        try:
            return await (self._at_once(reading) if session is None else self._in_session(reading, session, owed))
        finally:
            reading.shutdown(wait=False)

    # --- One request ---

    async def _at_once(self, reading: ThreadPoolExecutor) -> Replaced:
        """Two requests would each erase the other's people, so there is one or none."""
        most = self._action.records_max
        if self._snapshot.members > most:
            return self._rejected(
                "record_too_large",
                f"The list has {self._snapshot.members} members, and one request of `replace` takes {most}.",
            )
        group = Group(self._courier.file, self._action, self._facts, self._courier.access.settings)
        made = await asyncio.get_running_loop().run_in_executor(reading, lambda: list(self._cut(group)))
        if not made:
            return self._ended(Refused(reason=NOBODY.reason), rejection=NOBODY)
        if len(made) > 1:
            return self._rejected(
                "record_too_large",
                "The list does not fit one request; raise `batch.max_records` and `batch.max_bytes` of `replace`.",
            )
        outcome, stops = await self._send(made[0])
        return self._ended(outcome, stops=stops)

    # --- A session ---

    async def _in_session(self, reading: ThreadPoolExecutor, session: SessionRule, owed: Owed) -> Replaced:
        progress = await self._begun(session, owed)
        batches = self._numbered(progress.id, session.first)
        loop, notes = asyncio.get_running_loop(), self._courier.context.notes
        number = session.first
        try:
            while (made := await loop.run_in_executor(reading, next, batches, None)) is not None:
                if number >= progress.next:
                    if self._sent and not await self._courier.goes_on():
                        return self._ended(STOPPED, stops=STOPPED)
                    outcome, stops = await self._send(made)
                    if not isinstance(outcome, Delivered):
                        if isinstance(outcome, Refused):  # A session the partner does not want is not gone on with.
                            await notes.put(self._note, b"")
                        return self._ended(outcome, stops=stops)
                    progress = msgspec.structs.replace(progress, next=number + 1)
                    await notes.put(self._note, msgspec.json.encode(progress))
                number += 1
        finally:
            reading.submit(batches.close)
        await notes.put(self._note, b"")
        if number == session.first:
            return self._ended(Refused(reason=NOBODY.reason), rejection=NOBODY)
        return self._ended(Delivered())

    async def _begun(self, session: SessionRule, owed: Owed) -> Progress:
        """Where this delivery's own upload was interrupted, or a new session."""
        now_us, members = self._courier.context.now_us, self._snapshot.members
        kept = await self._courier.context.notes.get(self._note)
        if kept:
            try:
                found = msgspec.json.decode(kept, type=Progress)
            except msgspec.DecodeError:
                found = None
            if found is not None and (found.delivery, found.members, found.making) == (owed.id, members, self._making):
                age_s = (now_us - found.began_us) / 1_000_000
                if 0 <= age_s < session.life_s:
                    return found
        number = session_id(now_us, self._note)
        begun = Progress(
            delivery=owed.id, members=members, making=self._making, began_us=now_us, id=number, next=session.first
        )
        # Before the first request, so that one whose answer is lost does not leave a session open that nobody knows of.
        await self._courier.context.notes.put(self._note, msgspec.json.encode(begun))
        return begun

    @property
    def _note(self) -> str:
        """Under this note stands how far the upload of this list came."""
        place = msgspec.json.encode([self._courier.access.base_url, self._facts.connection, self._facts.audience])
        return f"session/{hashlib.blake2b(place, digest_size=12).hexdigest()}"

    def _numbered(self, number: int, first: int) -> Generator[Made]:
        """The batches, each with its place in the session; the last one is known only when there is none behind it."""
        session: dict[str, object] = {"id": number, "seq": first, "is_last": False, "size": self._snapshot.members}
        facts = msgspec.structs.replace(self._facts, session=session)
        group = Group(self._courier.file, self._action, facts, self._courier.access.settings)
        held: Made | None = None
        sequence = first
        for made in self._cut(group):
            if held is not None:
                yield held
            held = made
            sequence += 1
            session["seq"] = sequence
        if held is not None:
            session |= {"seq": sequence - 1, "is_last": True}
            yield group.render(held.items)

    # --- Both ---

    def _cut(self, group: Group) -> Iterator[Made]:
        """Batches with somebody in them, as large as both limits allow."""
        rows = self._items()
        is_over = False
        while not is_over or group.queue:
            while not is_over and len(group.queue) < self._action.records_max:
                before = len(group.queue)
                group.queue.extend(item for _, item in zip(range(ROWS_AT_ONCE), rows, strict=False))
                is_over = len(group.queue) == before
            if group.queue:
                made = group.next()
                self._skipped += len(made.rejected)
                if made.items:
                    yield made

    def _items(self) -> Iterator[Item]:
        """Everybody who can be sent, in the snapshot's order."""
        for place, (member, payload) in enumerate(self._snapshot.rows()):
            record = self._prepare({key: value for key, value in payload.items() if key != AT_US})
            if isinstance(record, Rejection):
                self._skipped += 1
                continue
            yield Item(place=place, id=member, asked="replace", action=self._action, record=record, facts=self._facts)

    async def _send(self, made: Made) -> tuple[Outcome, Outcome | None]:
        """What one request came to for the list; records that the partner refuses do not hold up the others."""
        sent = await self._courier.send(made)
        taken = sum(isinstance(one, Delivered) for one in sent.outcomes)
        self._lines += taken
        self._skipped += len(made.items) - taken if taken else 0
        self._bytes += sum(len(request.body) for request in sent.requests)
        bare = Made(action=made.action, items=(), scope={}, bodies=())
        requests = tuple(msgspec.structs.replace(request, body=b"") for request in sent.requests)
        self._sent.append(msgspec.structs.replace(sent, made=bare, requests=requests, outcomes=(), remembered=()))
        if taken:
            return Delivered(), sent.stops
        worst = next(one for one in sent.outcomes if not isinstance(one, Delivered))
        return _unsplit(worst), sent.stops

    def _rejected(self, code: str, message: str) -> Replaced:
        rejection = Rejection(code=code, message=message)
        return self._ended(Refused(reason=rejection.reason), rejection=rejection)

    def _ended(self, outcome: Outcome, *, rejection: Rejection | None = None, stops: Outcome | None = None) -> Replaced:
        counts = {"lines": self._lines, "skipped": self._skipped, "bytes": self._bytes}
        return Replaced(outcome=outcome, rejection=rejection, sent=tuple(self._sent), stops=stops, counts=counts)


def session_id(now_us: int, place: str) -> int:
    """A number no other session of the account has: the moment it began, its last digits those of the list. Below 2**53."""
    return now_us // 1_000 * 1_000 + int.from_bytes(hashlib.blake2b(place.encode(), digest_size=4).digest()) % 1_000


def _unsplit(outcome: Outcome) -> Outcome:
    return msgspec.structs.replace(outcome, splittable=False) if isinstance(outcome, Refused) else outcome
