"""kill -9 of either process, at random moments under load: nothing accepted is lost, only what was in flight is repeated."""

import http.client
import json
import random
import threading

from walks_running import Walk, audience_event

from gateway.sandbox.stackadapt import StackAdapt

KILLS = 52
PEOPLE = 40
REQUESTS_IN_FLIGHT = 4  # of one lane


class Sender(threading.Thread):
    """Flips people in and out, one event a request, and repeats a request until it is answered 200, as an SDK does."""

    def __init__(self, walk: Walk, seed: int) -> None:
        super().__init__(daemon=True)
        self.walk = walk
        self.chance = random.Random(seed)
        self.done = threading.Event()
        self.accepted: dict[str, bool] = {}
        self.sent = 0
        self.unforeseen: list[str] = []

    def run(self) -> None:
        while not self.done.is_set():
            user = f"user-{self.chance.randrange(PEOPLE)}"
            wanted = not self.accepted.get(user, False)
            self.sent += 1
            self._deliver(
                audience_event(user, is_member=wanted, message_id=f"m-{self.sent}", postal_code=str(self.sent))
            )
            self.accepted[user] = wanted

    def _deliver(self, event: dict[str, object]) -> None:
        while True:
            try:
                status, answer = self.walk.post(event, "/v1/identify")
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                self.done.wait(0.01)  # the process is being killed or started
                continue
            if status == 200:
                return
            if status != 503:
                self.unforeseen.append(f"{status} {answer}")
                return


class Watcher:
    """Collects every profile that the partner took, beyond the length of its request log."""

    def __init__(self, partner: StackAdapt) -> None:
        self.partner = partner
        self.looked_at: set[int] = set()
        self.taken: list[tuple[int, str, int]] = []

    def look(self) -> None:
        with self.partner.changes.reading():
            fresh = [
                request for request in self.partner.log if request.is_done and request.number not in self.looked_at
            ]
        for request in sorted(fresh, key=lambda one: one.number):
            self.looked_at.add(request.number)
            for field in self.partner.describe(request)["fields"]:
                for profile in (field["arguments"].get("input") or {}).get("profiles") or []:
                    self.taken.append((request.number, profile["userId"], int(profile["postal_code"])))


def test_nothing_accepted_is_lost_by_kills_at_random_moments(walk: Walk, partner: StackAdapt) -> None:
    """Both processes are killed again and again under load; in the end the partner's list is what was accepted last."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 (what a failure needs to be run again)
    chance = random.Random(seed)
    watcher = Watcher(partner)
    walk.start_ingest()
    walk.start_engine()
    sender = Sender(walk, seed)
    sender.start()
    kills = {"ingest": 0, "engine": 0}
    try:
        while sum(kills.values()) < KILLS:
            is_running = chance.random() < 0.5  # else it may be killed while it starts
            for role in (walk.ingest, walk.engine):
                if is_running and role is not None:
                    role.wait_for("ingest.started" if role is walk.ingest else "engine.started")
            sender.done.wait(chance.uniform(0.0, 0.4))  # the random moment
            chosen = chance.choice([("ingest",), ("engine",), ("ingest", "engine"), ("ingest", "engine")])
            for name in chosen:
                role = walk.ingest if name == "ingest" else walk.engine
                assert role is not None
                role.kill()
                kills[name] += 1
            watcher.look()
            for name in chosen:
                _ = walk.spawn_ingest() if name == "ingest" else walk.spawn_engine()
    finally:
        sender.done.set()
        sender.join(60)
    assert sender.unforeseen == []
    assert sender.sent > KILLS, "the load stood still"

    expected = {f"{user}@example.com" for user, is_member in sender.accepted.items() if is_member}

    def has_everything() -> bool:
        watcher.look()
        return len(watcher.taken) - len(_repeats(watcher.taken)) >= sender.sent

    partner.changes.wait_for_blocking(has_everything, 60)
    repeats = _repeats(watcher.taken)
    print(f"{sender.sent} events, {len(watcher.looked_at)} requests, {len(repeats)} repeats, kills {kills}")  # noqa: T201 (figures of the walk)
    assert len(watcher.taken) - len(repeats) == sender.sent
    assert partner.members("aud_cart_rescue") == expected
    assert partner.violations == ()
    assert len(set(repeats)) <= kills["engine"] * REQUESTS_IN_FLIGHT, "more was repeated than was in flight"
    assert _firsts_by_person(watcher.taken) == {
        user: sorted(numbers) for user, numbers in _firsts_by_person(watcher.taken).items()
    }


def _repeats(taken: list[tuple[int, str, int]]) -> list[int]:
    """Request numbers of what an earlier request had carried, one for each event."""
    met: set[int] = set()
    found = []
    for request, _, event in taken:
        if event in met:
            found.append(request)
        met.add(event)
    return found


def _firsts_by_person(taken: list[tuple[int, str, int]]) -> dict[str, list[int]]:
    """The events of each person in the order in which the partner met them first."""
    found: dict[str, list[int]] = {}
    for _, user, event in taken:
        numbers = found.setdefault(user, [])
        if event not in numbers:
            numbers.append(event)
    return found
