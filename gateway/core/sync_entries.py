"""Members that share an entry: two accounts with one e-mail are one line of a list, owned by one of them.

The entry is added when the first of them is in and goes when none is. Whoever holds it and still renders to it keeps it;
else it is the first member by key who does. An entry passes from one member to the next without a request. A member who
is in, was listed, and can no longer be rendered goes on holding its entry beside the owner, and owns it when nobody else
wants it. Nobody else holds an entry beside its owner for longer than a run, so that no removal belies another's record.

Only identities with two or more members matter. The store finds them (of a page, or of all) with one grouped query over the
frozen rows, `SharedEntries` is built of *all* claims on each of them, and memory follows the number of shared identities.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from gateway.core.sync_records import ABSENT, Entry, Record, State, Unmappable

Membership = Literal["in", "out", "erased"]
"""in: the ledger says so, the filter passes, and a matching event gave a payload. erased: a privacy request stands."""


class Member(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One member as frozen at a run's start.

    key: canonical id, orders members. rendered: what today's mapping makes of the latest payload; of the exit event for an
    unknown exit; None for everybody else who is out. unknown_exit: an exit of somebody never seen in, not yet settled.
    """

    key: str
    membership: Membership
    rendered: Entry | Unmappable | None = None
    record: Record = ABSENT
    unknown_exit: bool = False


Standing = Literal["wants", "keeps", "erased", "holds"]
_order: dict[Standing, int] = {"wants": 0, "keeps": 1, "erased": 2, "holds": 3}


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One member and one identity that it renders to, or that its record holds (held), or both.

    standing: the member renders to it; or holds it while it is in and cannot be rendered; or holds it and is erased; or only
    holds it. The first of these there are is where the owner comes from.
    state: of the held entry: the record's, for an orphan unsure.
    """

    identity: str
    member: str
    standing: Standing = "holds"
    held: Entry | None = None
    state: State = "absent"


class Passing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An entry that another member leaves to this one, with what is believed of it."""

    entry: Entry
    state: State
    is_of_erased: bool = False


class Sharing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How others bear on one member.

    is_owned_by_other: somebody else owns the identity it renders to. taken: identities of its record, or of its unknown exit,
    that somebody else owns. passing: entries that others hold and that it owns from now on.
    """

    is_owned_by_other: bool = False
    taken: frozenset[str] = frozenset()
    passing: tuple[Passing, ...] = ()


ALONE = Sharing()


def claims_of(member: Member) -> list[Claim]:
    """What one member contributes to `SharedEntries`."""
    wanted = member.rendered.identity if member.membership == "in" and isinstance(member.rendered, Entry) else None
    held_as: Standing = "holds"
    if member.membership == "erased":
        held_as = "erased"
    elif member.membership == "in" and wanted is None:
        held_as = "keeps"
    claims = [
        Claim(
            identity=entry.identity,
            member=member.key,
            standing="wants" if entry.identity == wanted else held_as,
            held=entry,
            state=member.record.state if entry is member.record.sent else "unsure",
        )
        for entry in member.record.entries
    ]
    if wanted is not None and all(claim.identity != wanted for claim in claims):
        claims.append(Claim(identity=wanted, member=member.key, standing="wants"))
    return claims


class SharedEntries:
    """Who owns each of some identities."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        """claims: all of each identity among them, in any order; identities of one member may be left out."""
        self._claims: dict[str, list[Claim]] = {}
        for claim in claims:
            self._claims.setdefault(claim.identity, []).append(claim)
        self._owners = {identity: _owner(found) for identity, found in self._claims.items()}

    def sharing(self, member: Member) -> Sharing:
        """How the others bear on `member`, for `plan_member`."""
        rendered = member.rendered.identity if isinstance(member.rendered, Entry) else ""
        mine = {rendered, *(entry.identity for entry in member.record.entries)}
        if member.membership == "in" and not rendered:
            return ALONE
        taken = frozenset(one for one in mine if self._owners.get(one) not in (None, member.key))
        passing = self._passing(rendered, member.key) if self._owners.get(rendered) == member.key else ()
        if not taken and not passing:
            return ALONE
        return Sharing(is_owned_by_other=rendered in taken, taken=taken, passing=passing)

    def circle(self, keys: Collection[str]) -> set[str]:
        """These members and all they share an identity with, directly or through others (as far as the claims tell)."""
        found, waiting = set(keys), list(keys)
        identities: dict[str, list[str]] = {}
        for identity, claims in self._claims.items():
            for claim in claims:
                identities.setdefault(claim.member, []).append(identity)
        while waiting:
            met = {claim.member for one in identities.get(waiting.pop(), ()) for claim in self._claims[one]} - found
            found |= met
            waiting.extend(met)
        return found

    def _passing(self, identity: str, to: str) -> tuple[Passing, ...]:
        found = (claim for claim in self._claims[identity] if claim.member != to and claim.held is not None)
        holder = min(found, key=lambda claim: (claim.standing != "erased", claim.member), default=None)
        if holder is None or holder.held is None:
            return ()
        return (Passing(entry=holder.held, state=holder.state, is_of_erased=holder.standing == "erased"),)


def _owner(claims: list[Claim]) -> str:
    """Where nobody is in, the owner is the one who has it removed."""
    return min(claims, key=_rank).member


def _rank(claim: Claim) -> tuple[int, bool, str]:
    return _order[claim.standing], claim.held is None, claim.member
