"""A definition that names the sync, the run and the batch, sent by a lane: for a run's deliveries, and for forwarded ones."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from gateway.config.files import RawFile, parse_file
from gateway.core.events import Place
from gateway.core.sync_options import SyncOptions
from gateway.destinations.http_audience.loading import load_definition
from gateway.store.rows import NewDelivery
from gateway.store.sync_rows import RunRow

pytestmark = pytest.mark.anyio
RigOf = Callable[..., AbstractAsyncContextManager[Any]]
S = 1_000_000
OK = (200, {}, b'{"ok":true}')


def path(text: str) -> dict[str, str]:
    return {"@path": text}


NAMING = {
    "kind": "http_audience",
    "slug": "naming",
    "name": "Naming",
    "base_url": "https://api.naming.example",
    "headers": {"Authorization": "Bearer {{connection.mode}}"},
    "fields": {"email": {"label": "Email", "identifier": True}},
    "actions": {
        "add": {
            "method": "POST",
            "path": "/",
            "batch": {"max_records": 10},
            "body": {
                "sync": path("$.connection.sync_id"),
                "name": path("$.connection.sync_name"),
                "mode": path("$.connection.mode"),
                "run": path("$.run.id"),
                "at": path("$.run.started_at"),
                "batch": path("$.batch.id"),
                "audience": path("$.audience.key"),
                "people": {"@each": {"in": "$.records", "do": path("$.record.email")}},
            },
        }
    },
}


async def owing(rig: Any, mapping_of: Any, *, runs: bool) -> list[int]:
    """A lane of that definition, with two audiences of two people each; the runs' numbers."""
    destination, problems = load_definition(
        parse_file(RawFile(name="naming.json", stem="naming", text=json.dumps(NAMING))), variables={}
    )
    assert destination is not None, problems
    rig.more["naming"] = destination
    mapping = mapping_of("a/m", sync=SyncOptions(mode="additive") if runs else None)
    rig.set_lane("a", definition=destination.definition, mappings=[mapping], base_url=rig.partner.url.removesuffix("/"))
    now_us = rig.clock()

    def record(tx: Any) -> list[int]:
        found = tx.intern_audiences([("default", "aud_1", "vips"), ("default", "aud_2", "lapsed")], now_us=now_us)
        numbers = []
        for audience in (found["default", "aud_1"].id, found["default", "aud_2"].id):
            run = 0
            if runs:
                sync = tx.intern_syncs([("a/m", audience)], now_us=now_us)["a/m", audience]
                run = tx.add_run(
                    RunRow(id=0, sync=sync, kind="diff", trigger="manual", status="sending", started_us=now_us)
                )
            numbers.append(run)
            tx.add_deliveries(
                [
                    NewDelivery(
                        "a", "a/m", audience, 10 * audience + n, "enter", b'{"email":"p%d@example.com"}' % n, Place(1, 1, 0),
                        now_us, now_us, run=run,
                    )
                    for n in (1, 2)
                ],
                now_us=now_us,
            )  # fmt: skip
        return numbers

    return await rig.state.write(record)


def told(body: Any) -> tuple[Any, ...]:
    return tuple(body.get(name) for name in ("audience", "sync", "name", "mode", "run", "at"))


async def test_a_runs_requests_name_their_sync_run_and_batch(rig_of: RigOf, mapping_of: Any) -> None:
    """Texts all of them; the audiences of one mapping are different syncs, and never share a request."""
    async with rig_of() as rig:
        first, second = await owing(rig, mapping_of, runs=True)
        rig.start()
        await rig.empty()
        at = "2025-10-09T08:53:20.000Z"
        assert sorted(map(told, rig.partner.requests)) == [
            ("lapsed", "a/m/lapsed", "a/m", "additive", str(second), at),
            ("vips", "a/m/vips", "a/m", "additive", str(first), at),
        ]
        assert rig.partner.tokens == ["Bearer additive"] * 2


async def test_a_retried_request_is_the_same_to_the_byte(rig_of: RigOf, mapping_of: Any) -> None:
    """Its batch id too, by which the partner may know the repetition, whatever came due meanwhile."""
    async with rig_of() as rig:
        await owing(rig, mapping_of, runs=True)
        rig.partner.answer = lambda _records: (503, {}, b"")
        rig.start()
        await rig.settled(2)
        rig.partner.answer = lambda _records: OK
        rig.advance(60)
        await rig.empty()
        requests = [json.dumps(one) for one in rig.partner.requests]
        assert sorted(requests[:2]) == sorted(requests[2:])
        assert len({one["batch"] for one in rig.partner.requests}) == 2


async def test_a_forwarded_request_names_its_mapping_in_the_place_of_a_sync(rig_of: RigOf, mapping_of: Any) -> None:
    """There is no run; mode says `forward`."""
    async with rig_of() as rig:
        await owing(rig, mapping_of, runs=False)
        rig.start()
        await rig.empty()
        assert sorted(map(told, rig.partner.requests)) == [
            ("lapsed", "a/m", "a/m", "forward", None, None),
            ("vips", "a/m", "a/m", "forward", None, None),
        ]


async def test_a_run_that_is_gone_leaves_its_number(rig_of: RigOf, mapping_of: Any) -> None:
    """What was owed by it still goes out."""
    async with rig_of() as rig:
        await owing(rig, mapping_of, runs=True)
        await rig.state.write(lambda tx: tx._run("DELETE FROM run"))
        rig.start()
        await rig.empty()
        assert {told(one)[1:4] for one in rig.partner.requests} == {("a/m", "a/m", "additive")}
