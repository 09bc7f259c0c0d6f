"""The audiences of the fake Taboola and who is in them until when; checks of requests are `checking.py`'s."""

from collections.abc import Callable, Collection, Iterable
from itertools import count

TTL_HOURS = 8760

Member = tuple[str, str]  # (type, user_id)


class Audience:
    """One first party audience. people: each member's moment (in seconds of the clock) of falling out."""

    def __init__(self, body: dict[str, object], *, number: int, account: str, clock: Callable[[], float]) -> None:
        ttl = body.get("ttl_in_hours", TTL_HOURS)
        assert isinstance(ttl, int), "the body is checked"
        self.number = number
        self.account = account
        self.name = str(body["audience_name"])
        self.ttl_in_hours = ttl
        self.exclude_from_campaigns = body.get("exclude_from_campaigns") is True
        self.integration_source = str(body.get("integration_source", ""))
        self.ready_at_s = 0.0
        self.people: dict[Member, float] = {}
        self._clock = clock

    @property
    def members(self) -> frozenset[Member]:
        """Who is in it now."""
        now_s = self._clock()
        return frozenset(member for member, until_s in self.people.items() if until_s > now_s)

    def has_room(self, members: Collection[Member], most: int) -> bool:
        """Whether `most` would not be exceeded with these; those that are in it already are not counted twice."""
        return len(self.people) + len(members) <= most or len(self.members.union(members)) <= most

    def add(self, members: Iterable[Member]) -> None:
        """Unite; every member's time begins anew."""
        until_s = self._clock() + self.ttl_in_hours * 3600
        self.people.update(dict.fromkeys(members, until_s))

    def remove(self, members: Iterable[Member]) -> None:
        """Subtract what is there; what is not is ignored."""
        for member in members:
            self.people.pop(member, None)

    def described(self) -> dict[str, object]:
        """The body of a creation's answer."""
        return {
            "audience_name": self.name,
            "ttl_in_hours": self.ttl_in_hours,
            "audience_id": self.number,
            "exclude_from_campaigns": self.exclude_from_campaigns,
            "integration_source": self.integration_source,
        }


class Audiences:
    """All audiences, by number and, within an account, by name."""

    def __init__(self, clock: Callable[[], float], *, first_number: int) -> None:
        self.by_number: dict[int, Audience] = {}
        self._clock = clock
        self._numbers = count(first_number)
        self._by_name: dict[tuple[str, str], Audience] = {}

    def create(self, account: str, name: str, body: dict[str, object]) -> Audience:
        """The audience of that name, unchanged where there is one. body: checked."""
        found = self._by_name.get((account, name))
        if found is not None:
            return found
        made = Audience(body, number=next(self._numbers), account=account, clock=self._clock)
        self.by_number[made.number] = self._by_name[account, name] = made
        return made

    def of_account(self, account: str, number: object) -> Audience | None:
        """The account's audience of this number."""
        found = self.by_number.get(number) if isinstance(number, int) and not isinstance(number, bool) else None
        return found if found is not None and found.account == account else None
