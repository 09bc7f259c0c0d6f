"""What events make of the list between two runs: the contract's table, decided and recorded by the gateway's real parts."""

import json
from collections.abc import AsyncIterator

import msgspec
import pytest
from engine_harness import NOON_US, Engine

from gateway.config.folder import read_folder
from gateway.config.rulebooks import compile_rulebook
from gateway.config.secrets import SecretSource
from gateway.destinations import REGISTRY
from gateway.service.engine_role import rendering
from gateway.service.shelf import Shelf

pytestmark = pytest.mark.anyio

ANN, ANNE, BOB = "ann@example.org", "anne@example.net", "bob@example.com"
SHOUTED = "ANN@Example.org"


@pytest.fixture
async def engine(tmp_path, anyio_backend) -> AsyncIterator[Engine]:
    """One mapping of the default trigger, in the mode whose lines are the addresses."""
    folder = tmp_path / "mappings"
    folder.mkdir()
    file = {
        "destination": "the-trade-desk-crm",
        "settings": {"auth_token": {"$env": "TOKEN"}, "advertiser_id": "adv123"},
        "mappings": [
            {"name": "Sync", "fields": {"pii_type": "Email"}, "audiences": {"vip": {"region": "EU", "external_id": "cc9b84o"}}}
        ],
    }  # fmt: skip
    (folder / "ttd.json").write_text(json.dumps(file))
    known = {name: one.definition for one in REGISTRY.values() for name in (one.definition.slug, *one.definition.names)}
    loaded = compile_rulebook(read_folder(folder), lambda _text: (known, []), SecretSource(variables={"TOKEN": "T0"}))
    assert loaded.value is not None, [str(problem) for problem in loaded.problems]
    (tmp_path / "data").mkdir()
    made = Engine(tmp_path / "data", loaded.value)
    made.worker = made.new_worker(render=rendering(lambda: made.rules, Shelf({})))
    yield made
    await made.close()


class Said:
    """One event of the audience. name: Entered or Exited; flag: None leaves the boolean out; at_s: after noon."""

    def __init__(self, name, email, *, flag=True, user="u-1", at_s=None, kind="track"):
        self.name, self.email, self.flag, self.user, self.at_s, self.kind = name, email, flag, user, at_s, kind

    def body(self, number):
        flags = {} if self.flag is None else {"vip": self.flag}
        moment = (
            {}
            if self.at_s is None
            else {"timestamp": f"2026-11-18T{self.at_s // 3600:02}:{self.at_s // 60 % 60:02}:00Z"}
        )
        bag = "properties" if self.kind == "track" else "traits"
        return {
            "type": self.kind,
            **({"event": f"Audience {self.name}"} if self.kind == "track" else {}),
            "userId": self.user,
            "messageId": f"m-{number}",
            bag: flags,
            "context": {
                "traits": {"email": self.email} if self.email else {},
                "personas": {"computation_class": "audience", "computation_key": "vip", "space_id": "spa"},
            },
            **moment,
        }


def entered(email=ANN, **more):
    return Said("Entered", email, **more)


def exited(email=ANN, **more):
    return Said("Exited", email, flag=False, **more)


HOUR = 3600
ROWS = [
    ("entering, matched, with an address", [entered()], [ANN]),
    ("the same again refreshes the line", [entered(), entered(SHOUTED)], [SHOUTED]),
    ("two addresses of one member", [entered(), entered(ANNE)], [ANN, ANNE]),
    ("one address of two members", [entered(), entered(user="u-2")], [ANN, ANN]),
    ("an address that is none", [entered("ann at example")], []),
    ("a hash, in this mode", [entered("ab" * 32)], []),
    ("no address", [entered("")], []),
    ("none, after a good one", [entered(), entered("")], [ANN]),
    ("entering, not matched", [Said("Noticed", ANN)], []),
    ("entering, not matched, an older row stays", [entered(), Said("Noticed", ANNE)], [ANN]),
    ("an identify call does not match either", [entered(flag=True, kind="identify")], []),
    ("leaving, which the trigger never matches", [entered(), exited()], []),
    ("leaving by the flag, whatever the name", [entered(), entered(flag=False)], []),
    ("leaving by the name, without a flag", [entered(), Said("Exited", ANN, flag=None)], []),
    ("leaving by an identify call", [entered(), Said("", "", flag=False, kind="identify")], []),
    ("leaving without an address takes all lines", [entered(), entered(ANNE), exited("")], []),
    ("leaving with one address takes all lines, too", [entered(), entered(ANNE), exited(ANNE)], []),
    ("leaving of another member leaves this one's", [entered(), exited(user="u-2")], [ANN]),
    ("entering by the name, without a flag", [entered(flag=None)], [ANN]),
    ("neither can be told", [Said("Noticed", ANN, flag=None)], []),
    ("nor after entering", [entered(), Said("Noticed", BOB, flag=None)], [ANN]),
    ("an exit that arrives late", [exited(at_s=9 * HOUR), entered(at_s=8 * HOUR)], []),
    ("an entry that arrives late", [entered(at_s=9 * HOUR), exited(at_s=8 * HOUR)], [ANN]),
    ("equal times: the later arrival", [entered(at_s=9 * HOUR), exited(at_s=9 * HOUR)], []),
    ("equal times, the other way", [exited(at_s=9 * HOUR), entered(at_s=9 * HOUR)], [ANN]),
]  # fmt: skip


@pytest.mark.parametrize(("events", "lines"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_the_table(engine, events, lines):
    """Nothing is owed because of an event: the next run's list is all that changes."""
    for number, event in enumerate(events):
        engine.now_us = NOON_US + number * 1_000_000
        await engine.keep(event.body(number), at_us=number * 1_000_000)
        await engine.decide()
    assert await engine.deliveries() == []

    def look(view):
        return [
            msgspec.json.decode(row.payload)["email"]
            for sync in view.syncs()
            for row in view.records(sync.id)
            if row.standing == 1 and row.entry
        ]

    assert sorted(await engine.state.read(look)) == sorted(lines)
