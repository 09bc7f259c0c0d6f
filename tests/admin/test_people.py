"""One person over HTTP: found, masked unless asked for in clear, and deleted as a sender's deletion does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from ordering import KEY, NAME, Posting, orders
from rulebooks import SHOP
from sync_world import REFUSE, World

from gateway.admin.api import AdminApi
from gateway.admin.people import Erased, PersonPage
from gateway.admin.shown import shown_delivery
from gateway.core.events import Place
from gateway.service.kept_events import KeptEvents
from gateway.service.people_desk import PeopleDesk
from gateway.store.rows import NewDelivery
from gateway.syncs.people import PersonPages

pytestmark = pytest.mark.anyio

TOKEN = {"Authorization": "Bearer the-token"}
BRAND = msgspec.structs.replace(SHOP, name="brand", space="brand-b")


@asynccontextmanager
async def api_of(world: World) -> AsyncIterator[httpx.AsyncClient]:
    pages = PersonPages(
        state=world.state, syncs=world.syncs, rulebook=lambda: world.rules, clock=lambda: world.now_us,
        registry={"lister": Posting()}, reference_key=KEY, show_delivery=shown_delivery,
        events=KeptEvents(world.reader, lambda: world.rules),
    )  # fmt: skip
    desk = PeopleDesk(
        state=world.state, rulebook=lambda: world.rules, pages=pages, clock=lambda: world.now_us,
        wake=world.lanes_woken.append,
    )  # fmt: skip
    app = AdminApi(token="the-token", state=world.state, operations=None, people=desk).app()  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://admin.example.org", headers=TOKEN) as client:
        yield client


async def found(api: httpx.AsyncClient, member: str, **more: Any) -> dict[str, Any]:
    answer = await api.post("/api/members:find", json={"member": member, **more})
    assert answer.status_code == 200, answer.text
    msgspec.json.decode(answer.content, type=PersonPage)
    page: dict[str, Any] = answer.json()
    return page


async def erased(api: httpx.AsyncClient, member: str, **more: Any) -> Erased:
    answer = await api.post("/api/members:erase", json={"member": member, "confirm": True, **more})
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=Erased)


async def test_a_person_is_shown_with_what_their_syncs_make_of_them(world_of):
    """In, listed, refused, out: the same code and sentence as the sync's own page, and the event that says so."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run(lambda _operation, payload: REFUSE if payload["email"] == "bob@example.com" else accepted())
    async with api_of(world) as api:
        for user, code in (("ada", "listed"), ("bob", "quarantined")):
            page = await found(api, f"user_id:{user}")
            (audience,) = page["audiences"]
            (sync,) = audience["syncs"]
            own = await orders(world).explain(NAME, f"user_id:{user}")
            assert (audience["audience"], audience["membership"]) == ("vip", own["membership"])
            assert sync == {name: own[name] for name in sync}
            assert (sync["code"], page["state"], page["deliveries"]) == (code, "known", [])
        assert page["audiences"][0]["syncs"][0]["records"][0]["problem"]["code"] == "INVALID_RECORD"
        await world.leave("ada")
        (audience,) = (await found(api, "ada"))["audiences"]
        assert (audience["membership"]["state"], audience["syncs"][0]["code"]) == ("out", "to_remove")


def accepted() -> Any:
    from sync_world import ACCEPT

    return ACCEPT


async def test_nobody_is_shown_in_clear_unless_it_is_asked_for(world_of):
    """Neither the key that was asked for nor the addresses of the records."""
    world = world_of()
    await world.enter("ada.lovelace")
    await world.run()
    async with api_of(world) as api:
        masked, clear = await found(api, "ada.lovelace"), await found(api, "ada.lovelace", reveal=True)
    assert "lovelace" not in json.dumps(masked)
    assert clear["member"] == "user_id:ada.lovelace"
    assert clear["audiences"][0]["syncs"][0]["records"][0]["wanted"]["payload"]["email"] == "ada.lovelace@example.com"


async def test_forwarded_deliveries_that_wait_are_shown_without_their_payload(world_of):
    """Those of a run are its sync's business."""
    world = world_of()
    await world.enter("ada")
    number = await world.state.read(lambda view: view.member_id("default", "user_id:ada"))
    row = NewDelivery("mailer", "mailer/all", 1, number, "enter", b'{"email":"ada@example.com"}', Place(1, 1, 0), 1, 2)
    await world.state.write(
        lambda tx: tx.add_deliveries([row, msgspec.structs.replace(row, run=7)], now_us=world.now_us)
    )
    async with api_of(world) as api:
        (owed,) = (await found(api, "ada"))["deliveries"]
    assert (owed["mapping"], owed["state"]) == ("mailer/all", "due")
    assert "payload" not in owed


@pytest.mark.parametrize(
    ("given", "status", "code", "says"),
    [
        ({"member": "canary-99"}, 404, "unknown_member", "`brand-b`, `default`"),
        ({"member": "email:canary@example.com"}, 404, "unknown_member", "user_id:u-17"),
        ({"member": "ada", "source": "shopp"}, 400, "unknown_source", "`brand`, `shop`"),
        ({"member": "ada", "space": "nowhere"}, 400, "unknown_space", "`brand-b`, `default`"),
        ({"member": "twin"}, 400, "ambiguous_member", "default, brand-b"),
        ({"member": ""}, 400, "invalid_request", "member"),
        ({"member": "x" * 3000}, 400, "invalid_request", "member"),
        ({"member": 7}, 400, "invalid_request", "member"),
        ({"who": "ada"}, 400, "invalid_request", "who"),
    ],
)
@pytest.mark.parametrize("verb", ["find", "erase"])
async def test_who_is_not_certainly_meant_is_refused_without_naming_them(world_of, verb, given, status, code, says):
    """With what there is instead; and nothing is deleted."""
    world = world_of()
    world.rules = msgspec.structs.replace(world.rules, sources={"shop": SHOP, "brand": BRAND})
    await world.enter("ada", "twin")
    await world.state.write(lambda tx: tx.intern_members([("brand-b", "user_id:twin")]))
    async with api_of(world) as api:
        more = {"confirm": True} if verb == "erase" else {}
        answer = await api.post(f"/api/members:{verb}", json={**given, **more})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert says in answer.json()["message"]
    assert "canary" not in answer.text
    assert await world.state.read(lambda view: view.member_id("default", "user_id:twin")) is not None


async def test_a_space_or_a_source_of_it_tells_who_is_meant(world_of):
    """Of two people with one id, the other one is left alone."""
    world = world_of()
    world.rules = msgspec.structs.replace(world.rules, sources={"shop": SHOP, "brand": BRAND})
    await world.enter("twin")
    await world.state.write(lambda tx: tx.intern_members([("brand-b", "user_id:twin")]))
    async with api_of(world) as api:
        assert (await found(api, "twin", source="brand"))["audiences"] == []
        assert len((await found(api, "twin", space="default"))["audiences"]) == 1
        assert (await erased(api, "twin", source="brand")).audiences == 0
        assert len((await found(api, "twin", space="default"))["audiences"]) == 1


async def test_a_person_is_erased_from_the_list_of_a_sync(world_of):
    """The rehearsal tells what the order does; the list loses them; what is left to know is that they were deleted."""
    world = world_of()
    await world.enter("ada", "bob")
    await world.run()
    async with api_of(world) as api:
        would = await erased(api, "ada", dry_run=True)
        done = await erased(api, "ada")
        assert would == msgspec.structs.replace(done, outcome="would_be_erased")
        assert (done.outcome, done.audiences, done.destinations, done.syncs) == ("erased", 1, ["lister"], 1)
        page = await found(api, "ada")
        assert (page["state"], page["audiences"], page["erasing"]) == ("deleted", [], [NAME])
        await world.work()
        assert list(world.platform.listed) == ["bob@example.com"]
        assert (await found(api, "ada"))["erasing"] == []
        again = await erased(api, "ada")
        assert (again.outcome, again.before_us) == ("already_erased", page["deleted_us"])


async def test_nobody_is_erased_without_saying_so(world_of):
    """An order without `confirm` changes nothing."""
    world = world_of()
    await world.enter("ada")
    async with api_of(world) as api:
        answer = await api.post("/api/members:erase", json={"member": "ada"})
        assert (answer.status_code, answer.json()["code"]) == (400, "not_confirmed")
        assert len((await found(api, "ada"))["audiences"]) == 1
