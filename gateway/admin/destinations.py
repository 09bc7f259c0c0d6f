"""Destinations in the admin API: what there is, the verbs of definitions, and the life of a list at its partner.

A verb stands behind a colon at the end of the path, as with syncs. Bodies are JSON and bounded; credentials come back as `***`.
"""

from __future__ import annotations

from typing import Annotated, Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.reading import answer, order_of
from gateway.admin.routing import route
from gateway.core.errors import OrderError

Shown = dict[str, object]

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
NAME_MAX: Final = 500
NOT_NAMED: Final = "-"  # in the place of a slug that nothing depends on

Name = Annotated[str, msgspec.Meta(max_length=NAME_MAX)]
Json = msgspec.Raw | msgspec.UnsetType
"""A part of a body as it was written, so that what is wrong with it is told with its line and column."""

# What is handed in ---------------------------------------------------------------------------------------------------


class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """RudderStack's destination and connection configuration, as exported."""

    config: msgspec.Raw
    connection: Json = msgspec.UNSET


class CheckOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """file: a definition; without it, and without rudderstack, the one that the path names, as it is in force."""

    file: Json = msgspec.UNSET
    rudderstack: Pair | None = None


class SettingOrder(CheckOrder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """sync: `FILE#MAPPING` of the mappings in force, or a mapping file (mapping: the name in it).

    audience: an entry of its `audiences`, where there are several.
    """

    sync: Json = msgspec.UNSET
    mapping: Name = ""
    audience: Name = ""


class PreviewOrder(SettingOrder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """records: `[{"id", "action", "fields"}]`, RudderStack's for a pair; without them, the definition's samples."""

    records: Json = msgspec.UNSET


class TestOrder(SettingOrder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """live_sample: how many samples to send to the real list and remove again, with the `sync` in force."""

    live_sample: Annotated[int, msgspec.Meta(ge=1)] | None = None


class ListOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """confirm: said before a list is deleted, since nobody brings its people back."""

    confirm: bool = False


# What is answered ----------------------------------------------------------------------------------------------------


class DestinationLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A destination. described_in: "code" or "a definition". configured_as: mapping files, without their ending."""

    slug: str
    title: str
    names: list[str]
    described_in: str
    description: str
    api_version: str
    checked_on: str
    docs_page: str
    configured_as: list[str]


class DestinationList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All there are, by slug."""

    destinations: list[DestinationLine]


class FormField(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the mapping form. hash: "none" where it is sent as it is."""

    name: str
    label: str
    help: str
    required: bool
    static: bool
    identifier: bool
    hash: str


class FormFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mapping form."""

    fields: list[FormField]


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is wrong, or odd. code: config_invalid or config_warning. line, column: from 1, 0 where unknown."""

    pointer: str
    code: str
    message: str
    line: int = 0
    column: int = 0


class CheckReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wrong with a definition. record_fields: by action, those its requests read. target_keys: the same of the list."""

    valid: bool
    errors: list[Finding]
    warnings: list[Finding]
    record_fields: dict[str, list[str]]
    target_keys: list[str]


class RequestShown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request that would be sent. record_ids: in the order of the batch."""

    action: str
    method: str
    url: str
    headers: dict[str, str]
    body: object
    record_ids: list[object]


class RejectedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that would not be sent. Each code carries members of its own besides."""

    record_id: object
    code: str
    message: str


class PreviewReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What records would cause. Credentials are `***`."""

    requests: list[RequestShown]
    rejected: list[RejectedRecord]


class SampleResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sample. expected, got: "sent", or the code of a refusal."""

    id: str
    passed: bool
    expected: str
    got: str
    message: str


class LiveResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sample at the real list."""

    record_id: object
    action: str
    outcome: str
    reason: str


class SamplesReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The definition's samples. live: only where it was asked for, and the samples passed."""

    passed: bool
    samples: list[SampleResult]
    requests: list[RequestShown]
    live: list[LiveResult] = []


class ImportReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two files for mappings/, or why there are none. secrets: the names that have to be set, each with `***`."""

    valid: bool
    errors: list[Finding]
    warnings: list[Finding]
    definition: dict[str, object] | None
    mapping: dict[str, object] | None
    secrets: dict[str, str]


class ListFound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list. origin: mapping, kept, event, partner: where the id is from; created, deleted: by this order; "": none."""

    audience_id: str
    origin: str


# The routes ----------------------------------------------------------------------------------------------------------


class DestinationOrders(Protocol):
    """What can be asked of destinations, as the service hands it over. Raises OrderError with a status and a sentence."""

    async def list_destinations(self) -> list[Shown]:
        """All there are, and which files configure them."""

    async def show_fields(self, slug: str) -> list[Shown]:
        """The mapping form of one."""

    async def check(self, slug: str, order: CheckOrder) -> Shown:
        """What is wrong with a definition, and what its requests read."""

    async def preview(self, slug: str, order: PreviewOrder) -> Shown:
        """What records would cause; nothing is sent."""

    async def test(self, slug: str, order: TestOrder) -> Shown:
        """The definition's own samples; with live_sample, real requests."""

    async def import_pair(self, slug: str, order: Pair) -> Shown:
        """RudderStack's configuration as two files of ours."""

    async def keep_list(self, name: str, verb: str) -> Shown:
        """find, create or delete the list of `<file>/<mapping>/<audience>`."""


_DESTINATION: Final = "/api/destinations/{slug:str}"
_LIST: Final = "/api/lists/{name:path}"
UNKNOWN: Final = (404, "There is no such destination, or no such mapping.")
IN_CODE: Final = (409, "The destination is written in code; this is for definitions.")
NO_LIST: Final = (404, "There is no such mapping, or it serves no such audience.")
NOT_NOW: Final = (409, "The definition or its credentials do not allow it.")
NOT_THERE: Final = (502, "The partner refuses, or gives no answer that can be used.")


class DestinationRoutes:
    """The handlers; the API adds the token and turns errors into answers."""

    def __init__(self, orders: DestinationOrders) -> None:
        self._orders = orders

    @route(
        "GET", "/api/destinations", "Every destination there is, and the files that configure it.", tag="destinations",
        answer=DestinationList,
    )  # fmt: skip
    async def list_(self, _: Request) -> Response:
        """All of them."""
        return answer({"destinations": await self._orders.list_destinations()})

    @route(
        "GET", f"{_DESTINATION}/fields", "The mapping form of a destination.", tag="destinations", answer=FormFields,
        others=(UNKNOWN,),
    )  # fmt: skip
    async def fields(self, request: Request) -> Response:
        """Its fields, in order."""
        return answer({"fields": await self._orders.show_fields(_slug(request))})

    @route(
        "POST", f"{_DESTINATION}:check", "What is wrong with a definition, and what its requests read.", tag="destinations",
        body=CheckOrder, answer=CheckReport, others=(UNKNOWN, IN_CODE),
    )  # fmt: skip
    async def check(self, request: Request) -> Response:
        """No request is made."""
        return answer(await self._orders.check(_slug(request), await order_of(request, CheckOrder, BODY_BYTES_MAX)))

    @route(
        "POST", f"{_DESTINATION}:preview", "The requests that records would cause; nothing is sent.", tag="destinations",
        body=PreviewOrder, answer=PreviewReport, others=(UNKNOWN, IN_CODE),
    )  # fmt: skip
    async def preview(self, request: Request) -> Response:
        """In the order in which they would be sent."""
        return answer(await self._orders.preview(_slug(request), await order_of(request, PreviewOrder, BODY_BYTES_MAX)))

    @route(
        "POST", f"{_DESTINATION}:test", "A definition's own samples; sent for real only with `live_sample`.",
        tag="destinations", body=TestOrder, answer=SamplesReport, others=(UNKNOWN, IN_CODE),
    )  # fmt: skip
    async def test(self, request: Request) -> Response:
        """Each must be sent, or refused with the code it names."""
        return answer(await self._orders.test(_slug(request), await order_of(request, TestOrder, BODY_BYTES_MAX)))

    @route(
        "POST", f"{_DESTINATION}:import", "RudderStack's configuration as a definition and a mapping file; nothing is written.",
        tag="destinations", body=Pair, answer=ImportReport,
    )  # fmt: skip
    async def import_(self, request: Request) -> Response:
        """slug: what the destination is called; `-` makes it from the host."""
        return answer(await self._orders.import_pair(_slug(request), await order_of(request, Pair, BODY_BYTES_MAX)))

    @route(
        "POST", f"{_LIST}:find", "The list of `file/mapping/audience`; the partner is asked where nobody knows it.",
        tag="destinations", body=ListOrder, answer=ListFound, others=(NO_LIST, NOT_NOW, NOT_THERE),
    )  # fmt: skip
    async def find_list(self, request: Request) -> Response:
        """Its id, and where it is known from."""
        return await self._keep(request, "find")

    @route(
        "POST", f"{_LIST}:create", "Make the list of `file/mapping/audience`, unless there is one.", tag="destinations",
        body=ListOrder, answer=ListFound, others=(NO_LIST, NOT_NOW, NOT_THERE),
    )  # fmt: skip
    async def create_list(self, request: Request) -> Response:
        """Its id."""
        return await self._keep(request, "create")

    @route(
        "POST", f"{_LIST}:delete", "Delete the list of `file/mapping/audience` at the partner; needs `confirm`.",
        tag="destinations", body=ListOrder, answer=ListFound, others=(NO_LIST, NOT_NOW, NOT_THERE),
    )  # fmt: skip
    async def delete_list(self, request: Request) -> Response:
        """For good."""
        return await self._keep(request, "delete")

    async def _keep(self, request: Request, verb: str) -> Response:
        given = await order_of(request, ListOrder, BODY_BYTES_MAX)
        if verb == "delete" and not given.confirm:
            raise OrderError(400, "not_confirmed", "Say `confirm`: the partner forgets the list and everybody on it.")
        return answer(await self._orders.keep_list(str(request.path_params["name"]), verb))


def _slug(request: Request) -> str:
    return str(request.path_params["slug"])
