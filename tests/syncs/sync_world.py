"""One sync over a real state file: a hand-set clock, events, runs, and a platform that answers as the test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rulebooks import FIELDS, SHOP, audience_body
from rulebooks import destination as destination_of

from gateway.core.arrivals import Arrival, Item, encode_arrival
from gateway.core.definitions import Action, Definition, Field
from gateway.core.fql import compile_trigger
from gateway.core.mapping import compile_mapping
from gateway.core.outcomes import Delivered, Outcome, Refused, Unreachable
from gateway.core.payloads import compile_check
from gateway.core.rulebook import CompiledMapping, Rulebook
from gateway.core.run_counters import RunCounters
from gateway.core.sync_options import SINGLE_CHANGES, WHOLE_LISTS, Capabilities, SyncOptions, read_sync_options
from gateway.core.sync_records import fingerprint
from gateway.decisions.refreshing import Refresher
from gateway.decisions.worker import DecisionWorker
from gateway.delivery.runs import RunAttempt
from gateway.delivery.settling import decide
from gateway.store import open_inbox_reader, open_inbox_writer, open_state
from gateway.store.rows import DeliveryRow
from gateway.store.sync_rows import RecordRow, RunRow, SyncRow
from gateway.syncs.memory import read_counters
from gateway.syncs.scheduler import Syncs

S = 1_000_000
HOUR = 3_600 * S
DAY = 24 * HOUR
NOON_US = 1_795_003_200 * S  # 18 November 2026, 12:00 UTC

SINGLE = Definition(
    slug="lister",
    title="Lister",
    settings=(),
    actions=(
        Action(
            slug="list",
            title="List",
            fields=(
                *FIELDS,
                Field(key="ltv", label="Value", type="number", default={"@path": "$.context.traits.ltv"}),
            ),
            trigger='type = "track"',
            list_shaped=True,
        ),
    ),
)
WHOLE = Definition(
    slug="whole",
    title="Whole",
    settings=(),
    actions=(
        Action(
            slug="list",
            title="List",
            fields=(
                Field(
                    key="email",
                    label="Email",
                    type="string",
                    required=True,
                    default={"@path": "$.context.traits.email"},
                ),
            ),
            trigger='event = "Audience Entered"',
            sync_only=True,
        ),
    ),
)

WITH_UPDATES = msgspec.structs.replace(SINGLE_CHANGES, update=True)
ACCEPT: Outcome = Delivered()
REFUSE: Outcome = Refused(reason="INVALID_RECORD: no")
FAIL: Outcome = Unreachable(reason="503", status=503)
TIME_OUT: Outcome = Unreachable(reason="no answer", status=None)

Answer = Callable[[str, dict[str, Any]], Outcome]


def accept(_operation: str, _payload: dict[str, Any]) -> Outcome:
    """A good day."""
    return ACCEPT


class Platform:
    """The list at the other side: e-mail → value. `requests` are (operation, e-mail)."""

    def __init__(self) -> None:
        self.listed: dict[str, Any] = {}
        self.requests: list[tuple[str, str]] = []
        self.answer: Answer = accept
        self.uploads: list[list[str]] = []

    def handle(self, row: DeliveryRow, payload: dict[str, Any]) -> Outcome:
        email = str(payload.get("email"))
        self.requests.append((row.operation, email))
        outcome = self.answer(row.operation, payload)
        if isinstance(outcome, Delivered) or outcome == TIME_OUT_AFTER:
            self.take(row.operation, payload)
        return outcome

    def take(self, operation: str, payload: dict[str, Any]) -> None:
        if operation == "exit":
            self.listed.pop(str(payload.get("email")), None)
        else:
            self.listed[str(payload.get("email"))] = payload.get("ltv")


TIME_OUT_AFTER: Outcome = Unreachable(reason="no answer, but done", status=None)


def rendered(_destination: str, _mapping: str, payload: dict[str, object]) -> tuple[bytes, bytes, int] | str:
    """The e-mail is who it is; the value may change."""
    email = payload.get("email")
    if not email:
        return "no_identifiers"
    known = {name: payload[name] for name in ("email", "ltv") if name in payload}
    return bytes.fromhex(fingerprint(known))[:16], bytes.fromhex(fingerprint(email))[:16], 0


def rendered_line(_destination: str, _mapping: str, payload: dict[str, object]) -> tuple[bytes, bytes, int] | str:
    """A line a person key: addresses that differ in case only are one person."""
    entry = bytes.fromhex(fingerprint(str(payload["email"]).lower()))[:16]
    return entry, entry, int.from_bytes(entry[:8], "big", signed=True)


class World:
    """What a test holds in its hand."""

    worker_type = DecisionWorker

    def __init__(
        self,
        folder: Path,
        *,
        capabilities: Capabilities = WITH_UPDATES,
        is_whole: bool = False,
        **block: Any,
    ) -> None:
        self.folder = folder
        self.now_us = NOON_US
        self.platform = Platform()
        self.capabilities = capabilities
        self.is_whole = is_whole
        self.fields: dict[str, object] = {}
        self.rules = self._rulebook(block)
        self.inbox: Any
        self.reader: Any
        self.inbox, self.reader = self.open_inbox()
        self.lanes_woken: list[set[str]] = []
        self.entered: set[str] = set()
        self.uploaded = 0  # people on the last whole list
        self.state: Any = self.open_store()
        self._make_rooms()

    def open_inbox(self) -> tuple[Any, Any]:
        """Its writer and its reader."""
        return open_inbox_writer(self.folder), open_inbox_reader(self.folder)

    def open_store(self) -> Any:
        """The state file, with its writer."""
        return open_state(self.folder)

    def _make_rooms(self) -> None:
        self.refresher = Refresher(
            state=self.state, inbox=self.reader, rulebook=lambda: self.rules, clock=lambda: self.now_us,
            render=rendered_line if self.is_whole else rendered,
        )  # fmt: skip
        self.syncs = Syncs(
            state=self.state, folder=self.folder, rulebook=lambda: self.rules, clock=lambda: self.now_us,
            reference_key=b"k" * 32, wake_lanes=self.lanes_woken.append, refresh=self.refresher.page,
        )  # fmt: skip
        self.worker = self.worker_type(
            inbox=self.reader, state=self.state, rulebook=lambda: self.rules, wait=_no_wait, clock=lambda: self.now_us,
            render=rendered_line if self.is_whole else rendered,
        )  # fmt: skip

    def edit(self, **block: Any) -> None:
        """The mapping file is changed."""
        self.rules = self._rulebook(block)

    def _rulebook(self, block: dict[str, Any]) -> Rulebook:
        options, problems = read_sync_options(block, capabilities=self.capabilities)
        assert options is not None, problems
        definition = WHOLE if self.is_whole else SINGLE
        kept = self._mapping(definition, options)
        return Rulebook(
            version="1", sources={SHOP.name: SHOP},
            destinations=(destination_of(kept, key="lister", definition=definition),),
        )  # fmt: skip

    def _mapping(self, definition: Definition, options: SyncOptions) -> CompiledMapping:
        action = definition.actions[0]
        whole = {**{field.key: field.default for field in action.fields}, **self.fields}
        return CompiledMapping(
            key="lister/all", name="all", action=action, trigger=compile_trigger(action.trigger), trigger_text=action.trigger,
            transform=compile_mapping(whole), check=compile_check(action.fields), fields=whole, sync=options,
            capabilities=self.capabilities, version=f"{options.hashing} {whole}",
        )  # fmt: skip

    # events ------------------------------------------------------------------------------------------------------------
    async def send(self, *events: dict[str, object]) -> None:
        """Events arrive and are decided."""
        self.now_us += S
        items = tuple(Item(body=json.dumps(event).encode()) for event in events)
        await self.inbox.put(encode_arrival(Arrival(source="shop", received_us=self.now_us, items=items)), len(items))
        while await self.worker.step():
            pass

    async def enter(self, *users: str, **traits: Any) -> None:
        await self.send(*(_event(user, is_member=True, traits=traits) for user in users))

    async def leave(self, *users: str, **traits: Any) -> None:
        await self.send(*(_event(user, is_member=False, traits=traits) for user in users))

    async def delete(self, user: str) -> None:
        await self.send({"type": "delete", "userId": user})

    # runs --------------------------------------------------------------------------------------------------------------
    async def work(self, *, deliveries_max: int | None = None) -> int:
        """Let the syncs and the platform do all there is to do now; how many deliveries were answered."""
        total = 0
        while True:
            worked = await self.syncs.step()
            left = 500 if deliveries_max is None else deliveries_max - total
            answered = await self.deliver(left) if left > 0 else 0
            total += answered
            if not worked and not answered:
                return total

    async def deliver(self, limit: int = 500) -> int:
        """One claim, answered by the platform, settled as lanes do; retries wait no time here."""
        rows = await self.claim(limit)
        if not rows:
            return 0
        await self.settle(rows, [await self._answer(row) for row in rows])
        return len(rows)

    async def claim(self, limit: int = 500) -> list[DeliveryRow]:
        rows: list[DeliveryRow] = await self.state.write(
            lambda tx: tx.claim(
                "lister", now_us=self.now_us, lease_until_us=self.now_us + HOUR, events_max=limit, bytes_max=1 << 30
            )
        )
        return rows

    async def settle(self, rows: list[DeliveryRow], outcomes: list[Outcome]) -> None:
        decided = decide(rows, outcomes, now_us=self.now_us, jitter=0.0)
        settled = {one.id: one.settled for one in decided.settlements}
        attempts = [
            RunAttempt(
                row=row, outcome=outcome, is_final=settled[row.id] != "due", requests=1,
                counts={"distinct": self.uploaded} if _is_taken(row, outcome) else {},
            )
            for row, outcome in zip(rows, outcomes, strict=True)
            if row.id in settled
        ]  # fmt: skip

        def write(tx: Any) -> None:
            tx.settle(decided.settlements, None, now_us=self.now_us)
            self.syncs.settled(tx, attempts, now_us=self.now_us)

        await self.state.write(write)
        if decided.again:
            again = list(decided.again)
            await self.settle(again, [await self._answer(row) for row in again])

    async def _answer(self, row: DeliveryRow) -> Outcome:
        if row.operation == "replace":
            snapshot = await self.syncs.snapshot(row.run)
            assert snapshot is not None
            outcome = self.platform.answer("replace", {})
            if isinstance(outcome, Delivered):
                emails = [str(payload["email"]) for _, payload in snapshot.rows()]
                self.platform.uploads.append(emails)
                self.uploaded = len(emails)
            return outcome
        return self.platform.handle(row, json.loads(row.payload))

    async def run(self, answer: Answer | Outcome = accept, kind: str = "") -> RunRow:
        """A run by hand, to its end (or until it is held)."""
        self.platform.answer = answer if callable(answer) else lambda _operation, _payload: answer
        sync = await self.sync()
        row = RunRow(id=0, sync=sync.id, kind=kind, trigger="manual", queued_us=self.now_us, due_us=self.now_us)
        number = await self.state.write(lambda tx: tx.add_run(row))
        assert number
        await self.work()
        return await self.run_row(number)

    async def run_row(self, number: int) -> RunRow:
        found: RunRow | None = await self.state.read(lambda view: view.run(number))
        assert found is not None
        return found

    async def runs(self) -> list[RunRow]:
        found: list[RunRow] = await self.state.read(lambda view: view.runs())
        return list(reversed(found))

    async def sync(self) -> SyncRow:
        rows: list[SyncRow] = await self.state.read(lambda view: view.syncs())
        return rows[0]

    async def record(self, user: str) -> RecordRow | None:
        def look(view: Any) -> RecordRow | None:
            member = view.member_id("default", f"user_id:{user}")
            found = view.record(view.syncs()[0].id, member) if member else []
            return found[0] if found else None

        found: RecordRow | None = await self.state.read(look)
        return found

    async def restart(self) -> None:
        """The process dies and comes back."""
        await self.state.close()
        self.state = self.open_store()
        self._make_rooms()
        await self.syncs.recover()
        await self.state.write(lambda tx: tx.release_expired(now_us=2**62))

    async def close(self) -> None:
        await self.state.close()
        self.reader.close()
        await self.inbox.close()


def counters(run: RunRow) -> RunCounters:
    """A run's counters."""
    return read_counters(run.counters)


def whole_lists(minimum: int = 3) -> dict[str, Any]:
    """A World of a platform that takes whole lists."""
    return {"capabilities": msgspec.structs.replace(WHOLE_LISTS, min_distinct=minimum), "is_whole": True}


def _event(user: str, *, is_member: bool, traits: dict[str, Any]) -> dict[str, object]:
    body: Any = audience_body(user, is_member=is_member)
    body["context"]["traits"] = {"email": f"{user}@example.com", **traits}
    return body  # type: ignore[no-any-return]


def _is_taken(row: DeliveryRow, outcome: Outcome) -> bool:
    return row.operation == "replace" and isinstance(outcome, Delivered)


async def _no_wait(_timeout_s: float) -> None:
    return None
