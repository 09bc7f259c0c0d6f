"""The pages of all partners together: no link and no button leads nowhere, long lists say what they leave out."""

import re
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.sandbox.audience_api import AudienceApi
from gateway.sandbox.list_partner import KeptList, ListPartner
from gateway.sandbox.partner import Partner
from gateway.sandbox.server import SandboxServer, shipped_partners
from gateway.sandbox.stackadapt import StackAdapt
from gateway.sandbox.stackadapt.lists import Audience
from gateway.sandbox.taboola import Taboola
from gateway.sandbox.the_trade_desk import TheTradeDesk

pytestmark = pytest.mark.anyio
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # Loading the default one for each client takes longer than a test.
PEOPLE = 101  # one more than a page shows
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def shipped() -> dict[str, Partner]:
    return {partner.name: partner for partner in shipped_partners()}


@pytest.fixture
async def browser(shipped: dict[str, Partner], anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        SandboxServer(list(shipped.values()), port=0, upload_port=0) as server,
        httpx.AsyncClient(base_url=server.url, timeout=30, verify=NO_TLS) as opened,
    ):
        yield opened


def fill(partner: Partner) -> None:
    """A list with so many people, however the partner keeps them."""
    with partner.changes.change():
        match partner:
            case StackAdapt():
                crowd = partner.lists.audiences["crowd"] = Audience()
                crowd.members = {("12345", "segment_io", f"p{number}@example.org"): True for number in range(PEOPLE)}
            case Taboola():
                audience = partner.create("demo-advertiser", "crowd")
                audience.add([("DEVICE_ID", str(number)) for number in range(PEOPLE)])
            case TheTradeDesk():
                partner.create("adv123", "crowd").members = frozenset(str(number) for number in range(PEOPLE))
            case AudienceApi():
                partner.lists.all["9001"].users = {str(number): {"em": str(number)} for number in range(PEOPLE)}
            case ListPartner():
                kept = partner.lists["crowd"] = KeptList("crowd")
                for number in range(PEOPLE):
                    kept.put([str(number)], {})


async def test_no_link_of_any_page_is_dead(browser: httpx.AsyncClient, shipped: dict[str, Partner]) -> None:
    """From the first page on, by links alone, every partner's page and its JSON are found."""
    known, found = {"/"}, ["/"]
    while found:
        answer = await browser.get(found.pop())
        assert answer.status_code == 200, answer.url
        links = set(re.findall(r'href="([^"]*)"', answer.text)) if "html" in answer.headers["content-type"] else set()
        found += links - known
        known |= links
    assert {f"/{name}" for name in shipped} < known
    assert {f"/sandbox/{name}/{what}" for name in shipped for what in ("state", "requests")} < known


async def test_every_button_of_every_page_leads_back_to_it(
    browser: httpx.AsyncClient, shipped: dict[str, Partner]
) -> None:
    """Commands need nothing filled in; each of them has its button."""
    for name, partner in shipped.items():
        page = (await browser.get(f"/{name}")).text
        actions = set(re.findall(r'action="([^"]*)"', page)) - {f"/sandbox/{name}/faults"}
        for action in actions:
            answer = await browser.post(action, headers=FORM)
            assert (answer.status_code, answer.headers.get("location")) == (303, f"/{name}"), action
        assert {f"/sandbox/{name}/{verb}" for verb in partner.commands} <= actions


async def test_a_long_list_is_counted_whole_and_says_how_many_are_left_out(
    browser: httpx.AsyncClient, shipped: dict[str, Partner]
) -> None:
    """On the partner's page; the first page has the count, too."""
    for partner in shipped.values():
        fill(partner)
        page = (await browser.get(f"/{partner.name}")).text
        assert "… and 1 more" in page, partner.name
        assert re.search(rf"{PEOPLE} (people|ids|in)\b", page), partner.name
    assert (await browser.get("/")).text.count(f"{PEOPLE} people") == len(shipped)


async def test_the_first_page_shows_who_is_told_to_fail(browser: httpx.AsyncClient) -> None:
    """With the kinds, until the faults are cleared."""
    await browser.post("/sandbox/meta/faults", json={"kind": "slow_close"})
    await browser.post("/sandbox/meta/faults", json={"kind": "down", "times": None})
    assert "2 faults armed: slow_close, down" in (await browser.get("/")).text
    await browser.delete("/sandbox/meta/faults")
    assert "armed" not in (await browser.get("/")).text
