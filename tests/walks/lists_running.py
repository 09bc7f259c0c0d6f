"""One gateway that keeps the same audience at StackAdapt, at Taboola and at an HTTP audience, all of them the sandbox's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from walks_running import Walk, until

from gateway.sandbox.audience_api import AudienceApi
from gateway.sandbox.request_log import RequestLog
from gateway.sandbox.stackadapt import StackAdapt
from gateway.sandbox.stackadapt.lists import UpsertProfiles
from gateway.sandbox.taboola import Taboola

NORTHWIND = Path(__file__).parents[2] / "mappings/destinations/northwind-ads.json"
AUDIENCE = "aud_vip"
LISTS = ("stackadapt", "taboola", "northwind")
PEOPLE = ("ann", "ann.new", "bob", "cyd", "dan", "stranger")
EMAIL_PATH = {"@path": "$.context.traits.email"}


def address(name: str) -> str:
    return f"{name}@example.com"


def digest(name: str) -> str:
    return hashlib.sha256(address(name).encode()).hexdigest()


class Partners:
    """The three fake partners and what their lists hold, by the names of people."""

    def __init__(self, filled_with: tuple[str, ...] = ()) -> None:
        self.stackadapt, self.taboola, self.northwind = StackAdapt(), Taboola(), AudienceApi()
        self.audience = self.taboola.create("demo-advertiser", "vip")
        self.stackadapt.lists.apply(
            UpsertProfiles(
                advertiser_id="12345", provider="segment_io",
                profiles=tuple({"email": address(one), "audienceId": AUDIENCE, "action": "enter"} for one in filled_with),
            )
        )  # fmt: skip
        self.audience.add(("EMAIL_ID", digest(one)) for one in filled_with)
        lists = self.northwind.lists
        lists.add(lists.all["9001"], [{"em": digest(one)} for one in filled_with])

    @property
    def logs(self) -> dict[str, RequestLog]:
        """What each partner heard."""
        return {"stackadapt": self.stackadapt.log, "taboola": self.taboola.log, "northwind": self.northwind.log}

    def lists(self) -> dict[str, set[str]]:
        """Who is on each list now; a line that is nobody's stands as it is."""
        names = {text: one for one in PEOPLE for text in (address(one), digest(one))}
        with self.stackadapt.changes.reading():
            adapted = self.stackadapt.members(AUDIENCE)
        found = (adapted, {user for _kind, user in self.audience.members}, self.northwind.members("9001"))
        return {name: {names.get(line, line) for line in lines} for name, lines in zip(LISTS, found, strict=True)}


class ListWalk:
    """A gateway that keeps the same audience at all three."""

    def __init__(self, walk: Walk, partners: Partners) -> None:
        self.walk, self.partners = walk, partners
        self._sent = 0

    def events(self, *events: dict[str, object]) -> None:
        """Send and wait until the last one is decided."""
        assert self.walk.post({"batch": list(events)})[0] == 200
        self._sent += 1
        until(lambda: self.walk.admin("GET", "/api/status")[1]["backlog_frames"] == 0)

    def member(self, user: str, *, is_member: bool = True, as_: str = "") -> dict[str, object]:
        """What Engage sends of a person."""
        return {
            "type": "track",
            "event": "Audience Entered" if is_member else "Audience Exited",
            "userId": user,
            "messageId": f"m-{self._sent}-{user}-{is_member}",
            "properties": {"audience_key": "vip", "vip": is_member},
            "context": {
                "traits": {"email": address(as_ or user)},
                "personas": {"computation_class": "audience", "computation_key": "vip", "computation_id": AUDIENCE},
            },
        }

    def run(self, *, ends_as: tuple[str, ...] = ("succeeded",)) -> None:
        """One run of each list, until it has ended or is held."""
        for name in LISTS:
            status, run = self.walk.admin("POST", f"/api/syncs/{name}/sync/vip:run", {})
            assert status == 200, run
            until(lambda run=run: self._status(run["id"]) not in ("queued", "planning", "sending"))
            assert self._status(run["id"]) in ends_as, self.walk.admin("GET", f"/api/runs/{run['id']}")

    def _status(self, run: object) -> object:
        return self.walk.admin("GET", f"/api/runs/{run}")[1]["status"]


def write_lists(walk: Walk, url: str, sync: dict[str, object], partners: Partners) -> None:
    """The mapping files: one sync each, called `<LISTS>/sync/vip`."""
    definition = json.loads(NORTHWIND.read_text())
    definition["limits"] |= {"requests_per_second": 1_000, "allow_private": True}
    (walk.folder / "mappings" / "destinations").mkdir(exist_ok=True)
    (walk.folder / "mappings" / "destinations" / "northwind-ads.json").write_text(json.dumps(definition))
    token = {"$env": "STACKADAPT_TOKEN"}
    ids = {"account_id": "demo-advertiser", "external_id": str(partners.audience.number)}
    walk.write("stackadapt.json", {
        "destination": "stackadapt-audience",
        "settings": {"apiKey": token, "advertiser_id": "12345", "api_url": f"{url}/stackadapt/graphql"},
        "mappings": [{"name": "Sync", "fields": {"marketing_status": "Opted-in", "email": EMAIL_PATH},
                      "audiences": {"vip": {}}, "sync": sync}],
    })  # fmt: skip
    walk.write("taboola.json", {
        "destination": "taboola",
        "settings": {"client_id": {"$env": "TABOOLA_CLIENT"}, "client_secret": {"$env": "TABOOLA_SECRET"},
                     "backstage_base_url": f"{url}/taboola/backstage"},
        "mappings": [{"name": "Sync", "action": "syncAudience", "audiences": {"vip": ids}, "sync": sync}],
    })  # fmt: skip
    walk.write("northwind.json", {
        "destination": "northwind-ads",
        "settings": {"NORTHWIND_TOKEN": token, "base_url": f"{url}/audience-api/v3"},
        "mappings": [{"name": "Sync", "fields": {"email": EMAIL_PATH, "origin": "gateway"},
                      "audiences": {"vip": {"external_id": "9001", "name": "Northwind buyers"}}, "sync": sync}],
    })  # fmt: skip
