"""What the tests of The Trade Desk share: people, snapshots, runs."""

import tempfile
import time
from pathlib import Path

from gateway.destinations.base import Batch, Context, Owed
from gateway.destinations.rehearsal import FreshNotes, HeldSnapshot
from gateway.destinations.the_trade_desk.lines import HASHED
from gateway.destinations.the_trade_desk.perform import THE_TRADE_DESK

ON = frozenset({"no_token_at_upload"})
SETTINGS = {"auth_token": "T0", "advertiser_id": "adv123"}
NOW_US = 1_795_338_000_000_000


def people(count, *, first=0, pii_type=HASHED):
    """So many members with an address each."""
    return [
        (f"user_id:{n}", {"email": f"person{n}@example.org", "pii_type": pii_type}) for n in range(first, first + count)
    ]


def snapshot(rows):
    return HeldSnapshot(people=tuple(rows))


def run_of(*, pii_type=HASHED, external_id="", event_id="", **audience_settings):
    """The one delivery of a run."""
    payload = {"pii_type": pii_type} | ({"external_id": event_id} if event_id else {})
    return Owed(
        id=1,
        operation="replace",
        payload=payload,
        planned=True,
        audience_key="vip",
        audience_settings=audience_settings,
        external_id=external_id,
    )


async def performed(http, settings, owed, rows, *, notes=None, corrections=ON):
    batch = Batch(action="syncAudience", settings=settings, owed=(owed,), corrections=corrections)
    context = Context(http=http, notes=notes or FreshNotes(), now_us=NOW_US, snapshot=snapshot(rows))
    return await THE_TRADE_DESK.perform(batch, context)


class Scripted:
    """A client that gives prepared answers in order, the last one for ever; an exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    async def send(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class PortableSnapshot:
    """A snapshot that may be read in another process. slow_s: rests before the first row; broken: fails with a person's text."""

    is_portable = True

    def __init__(self, rows, *, slow_s=0, broken=False):
        self.people = rows
        self.spool = Path(tempfile.gettempdir())
        self.members = len(rows)
        self.slow_s = slow_s
        self.broken = broken

    def rows(self):
        time.sleep(self.slow_s)
        if self.broken:
            raise ValueError("quetzalbird@canarymail.example")
        return iter(self.people)
