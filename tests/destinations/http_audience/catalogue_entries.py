"""Every shipped definition with what it needs to meet its fake in the sandbox, and a way to let the two meet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.core.identifiers import sha256_hex
from gateway.destinations.base import Batch, Context, Owed, Performed, Snapshot
from gateway.destinations.http_audience.catalog import catalog
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rehearsal import FreshNotes, HeldSnapshot
from gateway.sandbox.platforms.webhook import SECRET

Payload = dict[str, object]


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One definition against its fake.

    address: of settings, below the sandbox's; login: the other settings; audience: the entry of a mapping's `audiences`.
    people: payloads, and by what the platform knows each. busy, trouble: how its own refusals end. wrong: settings that are
    not right. made: an entry for a list that is not there yet, where one can be made.
    """

    partner: str
    address: dict[str, str]
    login: dict[str, object]
    audience: dict[str, object]
    list_id: str
    people: list[tuple[Payload, str]]
    busy: str
    wrong: dict[str, object]
    made: dict[str, object] | None = None
    replaces: bool = False


def emails(hashed: bool) -> list[tuple[Payload, str]]:
    found = [f"person{number}@example.com" for number in range(6)]
    return [({"email": f" {one.title()} "}, sha256_hex(one) if hashed else one) for one in found]


META_LOGIN: dict[str, object] = {
    "access_token": "sandbox-token", "app_secret": "sandbox-secret", "ad_account_id": "4455667788",
}  # fmt: skip
META: dict[str, Any] = {
    "partner": "meta",
    "address": {"base_url": "/meta/v26.0"},
    "login": META_LOGIN,
    "audience": {"external_id": "23850000000001"},
    "list_id": "23850000000001",
    "people": emails(hashed=True),
    "busy": "throttled",
    "wrong": {"access_token": "other"},
    "made": {"create": True, "name": "Big spenders"},
}

ENTRIES: dict[str, Played] = {
    "facebook-custom-audience": Played(**META),
    "facebook-custom-audience-replace": Played(**META, replaces=True),
    "google-ads-customer-match": Played(
        partner="google-ads",
        address={"base_url": "/google-ads/v1", "token_url": "/google-ads/token"},
        login={
            "client_id": "sandbox-client",
            "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh",
            "customer_id": "1234567890",
            "login_customer_id": "1234567890",
            "terms_of_service": "ACCEPTED",
        },
        audience={"external_id": "8181000111"},
        list_id="8181000111",
        people=emails(hashed=True),
        busy="quota",
        wrong={"refresh_token": "other"},
        made={"create": True, "name": "Big spenders"},
    ),
    "hubspot-list": Played(
        partner="hubspot",
        address={"base_url": "/hubspot"},
        login={"access_token": "sandbox-token"},
        audience={"external_id": "4711"},
        list_id="4711",
        people=emails(hashed=False),
        busy="rate",
        wrong={"access_token": "other"},
        made={"create": True, "name": "Big spenders"},
    ),
    "salesforce-campaign": Played(
        partner="salesforce",
        address={"base_url": "/salesforce"},
        login={"client_id": "sandbox-client", "client_secret": "sandbox-secret"},
        audience={"external_id": "701RM000000k3TeYAI"},
        list_id="701RM000000k3TeYAI",
        people=[
            *[({"contact_id": f" 003RM000003oLr{number:04d} "}, f"003RM000003oLr{number:04d}") for number in range(4)],
            *[({"lead_id": f"00QRM000003oLr{number:04d}"}, f"00QRM000003oLr{number:04d}") for number in range(2)],
        ],
        busy="limit",
        wrong={"client_secret": "other"},
        made={"create": True, "name": "Big spenders"},
    ),
    "braze-user-attribute": Played(
        partner="braze",
        address={"base_url": "/braze"},
        login={"api_key": "sandbox-key"},
        audience={},
        list_id="big_spenders",
        people=[
            *[({"external_id": f"C-{number}", "email": f"c{number}@example.com"}, f"C-{number}") for number in range(4)],
            ({"email": " Bo@Example.org "}, "bo@example.org"),
            ({"phone": "+1 202 555 0111"}, "+12025550111"),
        ],
        busy="rate",
        wrong={"api_key": "other"},
    ),
    "mailchimp-audience-tag": Played(
        partner="mailchimp",
        address={"base_url": "/mailchimp/3.0"},
        login={"api_key": "sandbox-key-us6"},
        audience={"external_id": "49381", "list_id": "a1b2c3d4e5"},
        list_id="49381",
        people=emails(hashed=False),
        busy="rate",
        wrong={"api_key": "other"},
        made={"create": True, "name": "Big spenders", "list_id": "a1b2c3d4e5"},
    ),
    "signed-webhook": Played(
        partner="webhook",
        address={"base_url": "/webhook/hook"},
        login={"signing_secret": SECRET},
        audience={},
        list_id="big_spenders",
        people=[({"user_id": f"C-{number}", "email": f"c{number}@example.com"}, f"C-{number}") for number in range(6)],
        busy="busy",
        wrong={"signing_secret": "whsec_b3RoZXI="},
    ),
    "webhook-audience": Played(
        partner="webhook",
        address={"base_url": "/webhook"},
        login={"signing_secret": SECRET},
        audience={"external_id": "vip"},
        list_id="vip",
        people=[({"user_id": f"C-{number}", "anonymous_id": f"a-{number}"}, f"C-{number}") for number in range(6)],
        busy="busy",
        wrong={"signing_secret": "whsec_b3RoZXI="},
        made={"create": True, "name": "Big spenders"},
    ),
}  # fmt: skip


class ManyPeople:
    """A snapshot of people who are made while they are read. read: how many have been."""

    def __init__(self, members: int) -> None:
        self.members = members
        self.read = 0

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        """One after the other, as the store gives them."""
        for number in range(self.members):
            self.read += 1
            yield f"user_id:{number}", {"email": f"person{number}@example.com", "at_us": number}


class Meeting:
    """One configured destination and the notes it keeps, against a sandbox at `url`."""

    def __init__(self, slug: str, url: str, **settings: object) -> None:
        self.slug = slug
        self.played = ENTRIES[slug]
        self.destination = catalog()[slug]
        self.settings = {
            **self.played.login, **{key: url + path for key, path in self.played.address.items()}, **settings,
        }  # fmt: skip
        self.notes = FreshNotes()
        self.member = 0

    def put(self, people: list[Payload], operation: str = "enter", **entry: object) -> Performed:
        """People entering, or whoever the operation says; for platforms of whole lists the whole list."""
        if self.played.replaces:
            return self.replace(HeldSnapshot(people=tuple((str(at), one) for at, one in enumerate(people))), **entry)
        owed = tuple(
            Owed(
                id=number,
                operation=operation,
                payload=payload,
                member=f"user_id:{number}",
                audience_key="big_spenders",
                audience_settings=entry or self.played.audience,
            )
            for number, payload in enumerate(people)
        )
        return self.perform(owed)

    def replace(self, snapshot: Snapshot, delivery: int = 1, **entry: object) -> Performed:
        """A whole list, by one delivery."""
        owed = Owed(
            id=delivery, operation="replace", payload={}, planned=True, audience_key="big_spenders",
            audience_settings=entry or self.played.audience,
        )  # fmt: skip
        return self.perform((owed,), snapshot)

    def perform(self, owed: tuple[Owed, ...], snapshot: Snapshot | None = None) -> Performed:
        """One batch, over a connection of its own."""

        async def meet() -> Performed:
            http = PartnerHttp(version="0")
            try:
                now_us = time.time_ns() // 1_000
                context = Context(
                    http=http.lane(allow_private=True), notes=self.notes, now_us=now_us, snapshot=snapshot
                )
                batch = Batch(action="syncAudience", settings=self.settings, corrections=frozenset(), owed=owed)
                return await self.destination.perform(batch, context)
            finally:
                await http.aclose()

        return asyncio.run(meet())


def kinds(done: Performed) -> set[str]:
    """How the deliveries ended, by name."""
    return {type(outcome).__name__ for outcome in done.outcomes}


def payloads(slug: str, *numbers: int) -> list[Any]:
    """Some of the people."""
    return [ENTRIES[slug].people[number][0] for number in numbers]


def keys(slug: str, *numbers: int) -> frozenset[str]:
    """By what the platform knows them."""
    return frozenset(ENTRIES[slug].people[number][1] for number in numbers)


def list_of(partner: Any, slug: str) -> Any:
    """Who is on the platform's list."""
    return partner.members(ENTRIES[slug].list_id)


def hold(slug: str, meeting: Any, partner: Any, *numbers: int) -> None:
    """Have the list be these people, who are the first ones or fewer than were there."""
    before = [at for at, (_, key) in enumerate(ENTRIES[slug].people) if key in list_of(partner, slug)]
    if meeting.played.replaces:
        assert kinds(meeting.put(payloads(slug, *numbers))) == {"Delivered"}
        return
    if new := [at for at in numbers if at not in before]:
        assert kinds(meeting.put(payloads(slug, *new))) == {"Delivered"}
    if gone := [at for at in before if at not in numbers]:
        assert kinds(meeting.put(payloads(slug, *gone), "exit")) == {"Delivered"}
