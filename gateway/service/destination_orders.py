"""`admin.DestinationOrders` of one engine: the shared verbs of definitions, over what is in force there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar, cast

import msgspec

from gateway.admin.destinations import NOT_NAMED, CheckOrder, Json, Pair, PreviewOrder, SettingOrder, Shown, TestOrder
from gateway.config.files import Findings, RawFile, parse_file
from gateway.config.mapping_entries import slug_of
from gateway.core.definitions import Definition
from gateway.core.errors import OrderError, Problem
from gateway.core.rulebook import CompiledDestination, CompiledMapping, Rulebook
from gateway.delivery.worker import may_be_private
from gateway.destinations.base import Destination
from gateway.destinations.http_audience.definition import form_of
from gateway.destinations.http_audience.list_verbs import LIST_VERBS
from gateway.destinations.http_audience.perform import HttpAudience
from gateway.destinations.http_audience.rehearsing import Setting
from gateway.destinations.http_audience.reports import check_report
from gateway.destinations.http_client import PartnerHttp
from gateway.observe.logs import logger
from gateway.service.definition_verbs import (
    LIVE_SAMPLES_MAX,
    Subject,
    VerbError,
    import_report,
    imported_pair,
    imported_subject,
    live_report,
    preview_report,
    samples_report,
    setting_in_force,
    setting_of_file,
    subject_of,
)
from gateway.service.list_desk import ListDesk

RECORDS_MAX: Final = 1_000  # of one preview here; the command line takes more
SENT_IN: Final = "the request"  # the name of a file that came in a body

T = TypeVar("T")


class DestinationDesk:
    """What the admin port answers about destinations. Work on definitions is done beside the event loop."""

    def __init__(
        self,
        *,
        rulebook: Callable[[], Rulebook],
        registry: Mapping[str, Destination],
        http: PartnerHttp,
        lists: ListDesk,
        clock: Callable[[], int],
        problems: Callable[[], Sequence[Problem]] = tuple,
    ) -> None:
        """problems: of the files as they lie there, which may be newer than what is in force."""
        self._problems = problems
        self._rulebook = rulebook
        self._registry = registry
        self._http = http
        self._lists = lists
        self._clock = clock

    async def list_destinations(self) -> list[Shown]:
        """All there are, and which files configure them."""
        configured = self._rulebook().destinations
        return [
            {
                "slug": slug,
                "title": one.definition.title,
                "names": list(one.definition.names),
                "described_in": "a definition" if isinstance(one, HttpAudience) else "code",
                "description": one.definition.description,
                "api_version": one.definition.api_version,
                "checked_on": one.definition.checked_on,
                "docs_page": one.definition.docs_page,
                "configured_as": [file.key for file in configured if file.definition.slug == slug],
            }
            for slug, one in sorted(self._registry.items())
        ]

    async def show_fields(self, slug: str) -> list[Shown]:
        """The mapping form of one."""
        offered = self._offered(slug)
        return form_of(offered.file) if isinstance(offered, HttpAudience) else _form_of_code(offered.definition)

    async def check(self, slug: str, order: CheckOrder) -> Shown:
        """What is wrong with a definition, and what its requests read; of one in force, with its file as it lies there."""
        subject = await asyncio.to_thread(self._subject, slug, order)
        return check_report(
            subject.destination.file if not subject.errors and subject.destination else None, subject.problems
        )

    async def preview(self, slug: str, order: PreviewOrder) -> Shown:
        """What records would cause; nothing is sent."""
        return await asyncio.to_thread(self._previewed, slug, order)

    async def test(self, slug: str, order: TestOrder) -> Shown:
        """The definition's own samples; with live_sample, real requests with the settings in force."""
        report = await asyncio.to_thread(self._tested, slug, order)
        if order.live_sample is not None and report["passed"] is True:
            report["live"] = await self._live(slug, order, order.live_sample)
        return report

    async def import_pair(self, slug: str, order: Pair) -> Shown:
        """RudderStack's configuration as two files of ours, to be put into mappings/; of its secrets the names only."""
        config, connection = _value(order.config), _value(order.connection) if order.connection else None
        wanted = "" if slug == NOT_NAMED else slug
        return await asyncio.to_thread(lambda: import_report(imported_pair(config, connection, slug=wanted)))

    async def keep_list(self, name: str, verb: str) -> Shown:
        """find, create or delete the list of `<file>/<mapping>/<audience>`."""
        if verb not in LIST_VERBS:
            raise OrderError(404, "unknown_verb", f"There is no verb `{verb}`; there are {', '.join(LIST_VERBS)}.")
        shown = await self._lists.keep(name, verb)
        if shown.origin in ("created", "deleted"):
            logger().info("list.changed", destination=name.partition("/")[0], change=shown.origin)
        return cast("Shown", msgspec.to_builtins(shown))

    def _previewed(self, slug: str, order: PreviewOrder) -> Shown:
        subject = self._subject(slug, order)
        records = _value(order.records) if order.records else None
        if isinstance(records, list) and len(records) > RECORDS_MAX:
            raise _bad(f"A preview takes {RECORDS_MAX} records here; `gateway destination preview` takes more.")
        try:
            if order.records and not isinstance(records, list):
                raise _bad("`records` is a list of objects with `id`, `action` and `fields`.")
            return asyncio.run(preview_report(subject, records, self._setting(slug, order)))
        except VerbError as error:
            raise _bad(str(error)) from None

    def _tested(self, slug: str, order: TestOrder) -> Shown:
        if order.live_sample is not None:
            _check_live(order, order.live_sample)
        try:
            return asyncio.run(samples_report(self._subject(slug, order), self._setting(slug, order)))
        except VerbError as error:
            raise _bad(str(error)) from None

    async def _live(self, slug: str, order: TestOrder, most: int) -> list[Shown]:
        offered = self._offered(slug)
        assert isinstance(offered, HttpAudience), "its samples were tried"
        destination, mapping = self._in_force(_text(order.sync))
        setting = _tried(lambda: setting_in_force(destination, mapping, order.audience, with_secrets=True))
        http = self._http.lane(allow_private=may_be_private(destination))
        live = await live_report(offered, setting, most, http=http, now_us=self._clock())
        logger().info(
            "destination.live_sampled",
            destination=destination.key,
            records=len(live),
            delivered=sum(one["outcome"] == "delivered" for one in live),
        )
        return live

    # --- What an order is about ---

    def _offered(self, slug: str) -> Destination:
        offered = self._registry.get(slug)
        if offered is None:
            raise OrderError(404, "unknown_destination", f"There is no destination `{slug}`.")
        return offered

    def _subject(self, slug: str, order: CheckOrder) -> Subject:
        if order.file and order.rudderstack is not None:
            raise _bad("Give `file` or `rudderstack`, not both.")
        if order.rudderstack is not None:
            pair = order.rudderstack
            connection = _value(pair.connection) if pair.connection else None
            return _tried(lambda: imported_subject(_value(pair.config), connection, file=SENT_IN))
        if order.file:
            return subject_of(_findings(order.file))
        offered = self._offered(slug)
        if not isinstance(offered, HttpAudience):
            raise OrderError(409, "not_a_definition", f"`{slug}` is written in code; this is for definitions.")
        own = tuple(one for one in self._problems() if one.file == offered.file.file)
        return Subject(destination=offered, problems=own)

    def _setting(self, slug: str, order: SettingOrder) -> Setting | None:
        """Which list, static values and hashing; of a file in the body without anything that it only refers to."""
        if not order.sync:
            return None
        if _is_text(order.sync):
            destination, mapping = self._in_force(_text(order.sync))
            if not order.file and order.rudderstack is None:
                _check_configures(destination, slug)
            return _tried(lambda: setting_in_force(destination, mapping, order.audience))
        value = _value(order.sync)
        given = value.get("settings") if isinstance(value, dict) else None
        plain = {key: one for key, one in given.items() if not isinstance(one, dict)} if isinstance(given, dict) else {}
        return _tried(lambda: setting_of_file(value, order.mapping, order.audience, plain))

    def _in_force(self, name: str) -> tuple[CompiledDestination, CompiledMapping]:
        file, _, mapping = name.partition("#")
        stem = file.rpartition("/")[2].removesuffix(".json")
        destination = self._rulebook().destination(stem)
        mappings = destination.mappings if destination is not None else ()
        named = [one for one in mappings if not mapping or one.key == f"{stem}/{slug_of(mapping)}"]
        if destination is None or len(named) != 1:
            raise OrderError(
                404, "unknown_mapping", f"`{name}` names {len(named)} mappings in force; write FILE#MAPPING."
            )
        return destination, named[0]


def _check_configures(destination: CompiledDestination, slug: str) -> None:
    if destination.definition.slug != slug:
        raise _bad(f"{destination.key} configures `{destination.definition.slug}`, not `{slug}`.")


def _check_live(order: TestOrder, most: int) -> None:
    """Real requests carry the credentials of the file in force, so they go where its own definition says."""
    if order.file or order.rudderstack is not None:
        raise _bad("`live_sample` is for the definition in force, not for one in the body.")
    if not _is_text(order.sync):
        raise _bad("`live_sample` needs `sync`, as `FILE#MAPPING`: which list, and with which settings.")
    if most > LIVE_SAMPLES_MAX:
        raise _bad(f"`live_sample` is at most {LIVE_SAMPLES_MAX}.")


def _tried(work: Callable[[], T]) -> T:
    try:
        return work()
    except VerbError as error:
        raise _bad(str(error)) from None


def _bad(message: str) -> OrderError:
    return OrderError(400, "invalid_request", message)


def _is_text(raw: Json) -> bool:
    return not isinstance(raw, msgspec.UnsetType) and bytes(raw).lstrip()[:1] == b'"'


def _findings(raw: Json) -> Findings:
    """A file that came in a body, with places counted from its own beginning."""
    text = "" if isinstance(raw, msgspec.UnsetType) else bytes(raw).decode("utf-8", "replace")
    return parse_file(RawFile(name=SENT_IN, stem="sent", text=text))


def _value(raw: Json) -> object:
    findings = _findings(raw)
    if findings.document is None or findings.has_errors:
        raise _bad(findings.problems[0].what)
    value: object = findings.document.value
    return value


def _text(raw: Json) -> str:
    try:
        return msgspec.json.decode(b"" if isinstance(raw, msgspec.UnsetType) else raw, type=str)
    except msgspec.DecodeError:
        raise _bad("`sync` is a text, `FILE#MAPPING`, or a mapping file.") from None


def _form_of_code(definition: Definition) -> list[Shown]:
    """The fields of a destination's only or first action, in the words of a definition's form."""
    return [
        {
            "name": field.key,
            "label": field.label,
            "help": field.description,
            "required": field.required is True,
            "static": field.literal_only,
            "identifier": field.identifier is not None,
            "hash": field.hash or "none",
        }
        for field in definition.actions[0].fields
    ]
