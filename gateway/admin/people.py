"""Routes about one person. Who is meant comes in the body, never in the URL, which proxies log."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.operations import Text
from gateway.admin.reading import answer, order_of
from gateway.admin.routing import route
from gateway.admin.shown import Delivery

KEY_CHARACTERS_MAX: Final = 2_000  # of an id with its kind
UNKNOWN_PERSON: Final = ((404, "Nobody is known by this key."),)

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_CHARACTERS_MAX)]


class FindOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """member: canonical id, `user_id:u-17`, `email:…`, or a bare user id. reveal: personal values in clear.

    space, or source (which has one): whose id it is, where several know it.
    """

    member: Key
    space: Text = ""
    source: Text = ""
    reveal: bool = False


class EraseOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As of `FindOrder`. dry_run: only say what it would do. confirm: has to be said otherwise, as nobody brings them back."""

    member: Key
    space: Text = ""
    source: Text = ""
    dry_run: bool = False
    confirm: bool = False


class PersonSync(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person and one sync, in the words of a sync's own page of a member."""

    sync: str
    code: str
    waits_for: str
    sentence: str
    records: list[dict[str, object]]
    planned: dict[str, object]


class PersonAudience(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One audience. membership: `state` (in, out, never_seen), `since_us` and the `event` that says so."""

    id: int
    audience: str
    name: str
    space: str
    membership: dict[str, object]
    syncs: list[PersonSync]


class Forwarded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list that forwarding put the person on and did not take them off."""

    mapping: str
    audience: str


class PersonPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is known of one person. member: masked unless it was asked for with `reveal`.

    state: "deleted" where a deletion is all that is known. deleted_us: of the latest deletion. deliveries: forwarded ones that
    are owed or dead. erasing: syncs with erasures on their way, of whomever. audiences_left_out: beyond those shown.
    """

    member: str
    member_ref: str
    space: str
    state: Literal["known", "deleted"]
    deleted_us: int
    audiences: list[PersonAudience]
    audiences_left_out: int
    forwarded: list[Forwarded]
    deliveries: list[Delivery]
    erasing: list[str]


class Erased(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a deletion does, or would do. before_us: when the person was deleted before, 0 for never.

    outcome: "would_be_erased" of a dry run; "already_erased" where nothing is left to delete. audiences: that they are or were
    in. destinations: that get something to delete; deliveries: owed for that at once; syncs: that remove them with a run, soon.
    """

    member: str
    space: str
    outcome: Literal["erased", "would_be_erased", "already_erased"]
    before_us: int
    audiences: int
    destinations: list[str]
    deliveries: int
    syncs: int


class PeopleOrders(Protocol):
    """What can be asked and ordered about one person. Raises OrderError where nobody, or nobody for certain, is meant."""

    async def find(self, order: FindOrder) -> dict[str, object]:
        """Everything that is known."""

    async def erase(self, order: EraseOrder) -> Erased:
        """Delete the person everywhere."""


class PeopleRoutes:
    """The handlers."""

    def __init__(self, people: PeopleOrders) -> None:
        self._people = people

    @route(
        "POST", "/api/members:find", "Everything that is known of one person.", tag="members", answer=PersonPage,
        body=FindOrder, others=UNKNOWN_PERSON,
    )  # fmt: skip
    async def find(self, request: Request) -> Response:
        """One person's page."""
        return answer(await self._people.find(await order_of(request, FindOrder)))

    @route(
        "POST", "/api/members:erase", "Delete one person here and at every destination, as a sender's deletion does.",
        tag="members", answer=Erased, body=EraseOrder, others=UNKNOWN_PERSON,
    )  # fmt: skip
    async def erase(self, request: Request) -> Response:
        """A privacy request."""
        return answer(await self._people.erase(await order_of(request, EraseOrder)))
