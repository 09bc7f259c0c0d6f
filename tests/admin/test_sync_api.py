"""Syncs and runs over HTTP: answers are of the types that the document tells, pages meet, versions are heeded."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, get_args, get_origin
from urllib.parse import quote

import httpx
import msgspec
import pytest
from ordering import NAME, orders
from sync_world import REFUSE, World

from gateway.admin import answers, order_answers
from gateway.admin.api import AdminApi, all_routes
from gateway.admin.openapi import document

pytestmark = pytest.mark.anyio

TOKEN = {"Authorization": "Bearer the-token"}
SYNC = f"/api/syncs/{NAME}"


@asynccontextmanager
async def api_of(world: World) -> AsyncIterator[httpx.AsyncClient]:
    app = AdminApi(token="the-token", state=world.state, operations=None, orders=orders(world)).app()  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://admin.example.org", headers=TOKEN) as client:
        yield client


async def lived(world: World) -> World:
    """A refused and an added member, then a run that is held."""
    users = [f"u{number}" for number in range(200)]
    await world.enter("ada.lovelace", *users)
    await world.run(lambda _operation, payload: REFUSE if payload["email"] == "u199@example.com" else world_accepts())
    await world.leave(*users[:150])
    await world.run()
    return world


def world_accepts() -> Any:
    from sync_world import ACCEPT

    return ACCEPT


ANSWERED = [
    ("/api/syncs", answers.SyncList),
    (SYNC, answers.SyncPage),
    (f"{SYNC}/runs", answers.RunList),
    (f"{SYNC}/runs?limit=1", answers.RunList),
    (f"{SYNC}/log?limit=7", answers.FlatPage),
    (f"{SYNC}/log?since=2026-11-18T12:00:00Z&until=2026-11-19", answers.FlatPage),
    (f"{SYNC}/problems?limit=1", answers.ProblemPage),
    (f"{SYNC}/members/{quote('user_id:u7', safe='')}", answers.MemberPage),
    (f"{SYNC}/members/{quote('user_id:ada.lovelace', safe='')}?reveal=true", answers.MemberPage),
    ("/api/runs", answers.RunList),
    ("/api/runs?sync=" + quote(NAME, safe=""), answers.RunList),
    ("/api/runs/1", answers.RunPage),
    ("/api/runs/2", answers.RunPage),
    ("/api/runs/1/progress", answers.RunProgress),
    ("/api/runs/1/log", answers.LogPage),
    ("/api/runs/1/since/1", order_answers.RunsDiffer),
    ("/api/snapshots", answers.SnapshotList),
    ("/api/audiences", answers.AudienceList),
    ("/api/audiences/1/members?limit=20", answers.AudienceMembers),
]


async def test_every_answer_is_of_its_type_and_shows_nobody(world_of):
    """Unknown members would be refused, so the document tells all there is; `reveal` shows the person who was asked for."""
    world = await lived(world_of(guards={}))
    async with api_of(world) as api:
        for path, wanted in ANSWERED:
            answer = await api.get(path)
            assert answer.status_code == 200, (path, answer.text)
            msgspec.convert(answer.json(), wanted)
            assert ("lovelace" in answer.text) is ("reveal" in path), path


async def test_cursors_lead_from_page_to_page(world_of):
    """Every list, to its end, nothing twice."""
    world = await lived(world_of(guards={}))
    async with api_of(world) as api:
        for path, name, cursor, unique, limit in (
            (f"{SYNC}/log", "lines", "after", "seq", 90),
            ("/api/runs/1/log", "lines", "after", "seq", 90),
            ("/api/runs", "runs", "before", "id", 1),
            ("/api/audiences/1/members", "members", "after", "member_ref", 20),
            ("/api/syncs", "syncs", "after", "id", 1),
            ("/api/audiences", "audiences", "after", "id", 1),
            (f"{SYNC}/problems", "problems", "after", "member_ref", 1),
            ("/api/snapshots", "snapshots", "before", "run", 1),
        ):
            whole = (await api.get(path, params={"limit": 1000})).json()[name]
            found: list[Any] = []
            place: Any = ""
            while place is not None:
                page = (await api.get(path, params={"limit": limit, **({cursor: place} if place else {})})).json()
                found += page[name]
                place = page["next"]
            assert found == whole, path
            assert len({one[unique] for one in found}) == len(found) > 0, path


async def test_an_order_is_for_the_version_that_was_seen(world_of):
    """ETag of a GET, If-Match of a POST, 412 with what to do; without If-Match it is carried out."""
    world = await lived(world_of(guards={}))
    async with api_of(world) as api:
        seen = (await api.get(SYNC)).headers["etag"]
        assert (await api.post(f"{SYNC}:pause", headers={"If-Match": seen})).status_code == 200
        refused = await api.post(f"{SYNC}:resume", headers={"If-Match": seen})
        assert (refused.status_code, refused.json()["code"]) == (412, "changed_meanwhile")
        assert "Get it again" in refused.json()["message"]
        assert (await api.post(f"{SYNC}:resume")).status_code == 200
        seen = (await api.get("/api/runs/2")).headers["etag"]
        assert (
            await api.post("/api/runs/2:approve", headers={"If-Match": seen}, json={"by": "ada"})
        ).status_code == 200
        assert (await api.post("/api/runs/2:cancel", headers={"If-Match": seen})).status_code == 412


async def test_a_run_may_be_waited_for(world_of):
    """202 with where it stands; 200 with the ended run's page; `trigger` is the same."""
    world = world_of()
    await world.enter("ada")
    async with api_of(world) as api:
        answer = await api.post(f"{SYNC}:trigger", json={"wait": 0.01})
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        msgspec.convert(answer.json(), answers.RunPage)
        await world.work()
        number = answer.json()["id"]
        assert (await api.get(f"/api/runs/{number}")).json()["status"] == "succeeded"
        answer = await api.post(f"{SYNC}:run", json={"kind": "resend"})
        assert (answer.status_code, answer.json()["kind"]) == (200, "resend")


REFUSED = [
    ("GET", f"{SYNC}/log?since=yesterday", None, 400, "invalid_request"),
    ("GET", f"{SYNC}/log?format=xml", None, 400, "invalid_request"),
    ("GET", f"{SYNC}/log?after=1", None, 400, "invalid_request"),
    ("GET", f"{SYNC}/log?after={'9' * 40}.1", None, 400, "invalid_request"),
    ("GET", f"{SYNC}/members/u-17", None, 400, "invalid_member"),
    ("GET", f"{SYNC}/members/user_id:x?reveal=maybe", None, 400, "invalid_request"),
    ("GET", "/api/syncs/no/such/sync", None, 404, "unknown_sync"),
    ("GET", "/api/syncs/no/such/sync/log?format=csv", None, 404, "unknown_sync"),
    ("GET", "/api/syncs?limit=0", None, 400, "invalid_request"),
    ("GET", "/api/runs?sync=none", None, 404, "unknown_sync"),
    ("GET", "/api/snapshots?sync=none", None, 404, "unknown_sync"),
    ("GET", "/api/runs/99", None, 404, "unknown_run"),
    ("GET", "/api/runs/99/progress", None, 404, "unknown_run"),
    ("GET", "/api/runs/1/log?status=canceled", None, 400, "invalid_request"),
    ("GET", "/api/runs/1/log?status=canceled&format=csv", None, 400, "invalid_request"),
    ("GET", "/api/runs/99/log?format=ndjson", None, 404, "unknown_run"),
    ("GET", f"/api/runs/{'9' * 30}", None, 404, "unknown_run"),
    ("GET", "/api/runs/1/since/77", None, 404, "no_snapshot"),
    ("GET", "/api/audiences/77/members", None, 404, "unknown_audience"),
    ("GET", "/api/nothing", None, 404, "unknown_path"),
    ("PUT", SYNC, None, 405, "wrong_method"),
    ("POST", f"{SYNC}:dance", None, 405, "wrong_method"),
    ("POST", f"{SYNC}:run", b'{"kind": "clear"}', 400, "invalid_request"),
    ("POST", f"{SYNC}:run", b'{"wait": 3600}', 400, "invalid_request"),
    ("POST", f"{SYNC}:run", b'{"loud": true}', 400, "invalid_request"),
    ("POST", f"{SYNC}:run", b" " * 70_000, 413, "payload_too_large"),
    ("POST", f"{SYNC}:reset", b"{}", 400, "invalid_request"),
    ("POST", f"{SYNC}/problems:resolve", b"{}", 400, "invalid_request"),
    ("POST", "/api/runs/77:approve", None, 404, "unknown_run"),
    ("POST", "/api/runs/77:restore-state", None, 404, "unknown_run"),
]


async def test_what_cannot_be_used_is_refused_with_a_code_and_a_sentence(world_of):
    """Never a 500, never a page of HTML; and where the path is one of the document's, it tells of the status."""
    world = world_of()
    await world.enter("ada")
    await world.run()
    documented = [
        (re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(path))), item)
        for path, item in document(all_routes())["paths"].items()
    ]
    async with api_of(world) as api:
        for method, path, body, status, code in REFUSED:
            answer = await api.request(method, path, content=body)
            told = answer.json()
            assert (answer.status_code, told["code"], told["success"]) == (status, code, False), (path, told)
            assert told["message"], path
            meant = [item.get(method.lower()) for form, item in documented if form.fullmatch(path.partition("?")[0])]
            operations = [one for one in meant if one is not None]
            assert not operations or any(str(status) in one["responses"] for one in operations), path


WORDS = [
    *(
        (told.method, told.path, one.name, get_args(one.kind), "query")
        for told in all_routes() for one in told.query if get_origin(one.kind) is Literal
    ),
    *(
        (told.method, told.path, field.encode_name, field.type.values, "body")
        for told in all_routes() if told.body is not None and told.path.startswith("/api/syncs")
        for field in msgspec.inspect.type_info(told.body).fields if isinstance(field.type, msgspec.inspect.LiteralType)
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "name", "words", "where"), WORDS)
async def test_a_word_that_is_none_of_those_there_are_is_answered_with_them(world_of, method, path, name, words, where):
    """Of every query and every order whose description lists words; what was given stands nowhere in the answer."""
    path = re.sub(r"\{run:int\}", "1", path).replace("{name:path}", NAME).replace("{name}", NAME)
    async with api_of(world_of()) as api:
        for wrong in ("ada@example.com", "'", 5) if where == "body" else ("ada@example.com",):
            given = {"params": {name: wrong}} if where == "query" else {"content": json.dumps({name: wrong})}
            answer = await api.request(method, path, **given)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), (path, answer.text)
            optional = ", or left out" if "" in words else ""
            assert answer.json()["message"] == f"`{name}` must be one of {', '.join(filter(None, words))}{optional}."


async def test_problems_are_retried_and_resolved_where_they_are_listed(world_of):
    """`/problems:retry` and `/problems:resolve`."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run(REFUSE)
    async with api_of(world) as api:
        assert (await api.post(f"{SYNC}/problems:retry")).json() == {"changed": 2}
        assert (await api.post(f"{SYNC}/problems:resolve", json={"listed": True})).json() == {"changed": 0}
        shown = (await api.post("/api/runs/1:cancel")).json()
        assert shown["code"] == "finished"


async def test_a_log_is_a_file_where_that_is_asked_for(world_of):
    """With the media type of its format."""
    world = await lived(world_of(guards={}))
    async with api_of(world) as api:
        whole = await api.get("/api/runs/1/log?format=ndjson")
        assert whole.headers["content-type"] == "application/x-ndjson"
        assert len([json.loads(line) for line in whole.text.splitlines()]) == 201
        refused = await api.get("/api/runs/1/log?format=ndjson&status=rejected")
        assert [json.loads(line)["status"] for line in refused.text.splitlines()] == ["rejected"]
        table = await api.get(f"{SYNC}/log?format=csv")
        assert table.headers["content-type"].startswith("text/csv")
        assert len(table.text.splitlines()) == 202
