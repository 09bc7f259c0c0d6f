"""Envelope → inbox → answer: what was checked is made durable, and only then is the sender told so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar, cast

import msgspec
from prometheus_client import Counter

from gateway.core import audience_ids, tolerant_json
from gateway.core.arrivals import ITEM_AUDIENCE, ITEM_REJECT, Arrival, Item, encode_arrival
from gateway.core.envelopes import LIMITS, STRICT_LIMITS, Opened, Route, cleaned, open_quickly, open_with_care
from gateway.core.errors import EventError
from gateway.core.event_checks import Asked
from gateway.core.items import Checked, closer_look, quick_look
from gateway.core.sources import Source
from gateway.ingest.encodings import TooLargeError
from gateway.ingest.limits import IngestLimits
from gateway.ingest.replies import OK, Reply, external_id, partly, refused
from gateway.ingest.source_table import LOCAL
from gateway.ingest.tallies import Tallies
from gateway.observe import metrics
from gateway.store.api import InboxWriter

HEAD_BYTES_MAX = 4096  # of a body too large to keep
_KEY_MEMBER = re.compile(rb'"(?:writeKey|secret)"\s*:\s*"[^"]*"?')
P = ParamSpec("P")
T = TypeVar("T")


class Acceptor:
    """Keeps checked events of one process. key: GATEWAY_KEY, from which external audience ids are made."""

    def __init__(self, inbox: InboxWriter, *, key: bytes, limits: IngestLimits, tallies: Tallies) -> None:
        self._inbox = inbox
        self._key = key
        self._tallies = tallies
        self._quick_bytes = limits.quick_bytes
        self._careful_bytes = limits.careful_bytes
        self._counters: dict[tuple[str, str], Counter] = {}
        self._asked: dict[tuple[str, str, bool], tuple[Source, Asked]] = {}

    async def worked(self, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run slow work on a body of `size` bytes: here, or in a thread when it would hold up the others."""
        if size < self._careful_bytes:
            return work(*args, **kwargs)
        return await asyncio.to_thread(work, *args, **kwargs)

    async def open(self, text: bytes, route: Route, *, takes_mparticle: bool = False) -> Opened:
        """Take a body apart that `open_at_once` left. text: as `cleaned` gave it. Raises EventError."""
        if len(text) >= self._quick_bytes:
            found = await asyncio.to_thread(open_quickly, text, route)
            if found is not None:
                return found
        return await self.worked(len(text), open_with_care, text, route, takes_mparticle=takes_mparticle)

    def open_at_once(self, text: bytes, route: Route) -> Opened | None:
        """Take a body apart that is small and clean; None for others."""
        return open_quickly(text, route) if len(text) < self._quick_bytes else None

    async def keep(
        self,
        source: Source,
        opened: Opened,
        size: int,
        *,
        received_us: int,
        forced_type: str = "",
        is_webhook: bool = False,
        warnings: tuple[str, ...] = (),
    ) -> Reply:
        """Check the events of a request and keep them. size: bytes of its body.

        Raises EventError for a request without a good event (what was refused is kept, too), StoreError.
        """
        asked = self._asked_of(source, forced_type, is_webhook=is_webhook)
        if asked.limits.is_strict:
            _refuse_strictly(asked, opened, size)
        if size < self._quick_bytes:
            found = quick_look(opened, asked, warnings=warnings)
        else:
            found = await asyncio.to_thread(quick_look, opened, asked, warnings=warnings)
        if None not in found and not opened.ignored:
            await self._put(source, cast("list[Item]", found), opened, received_us, asked)
            self._tally(source.name, "accepted", len(found))
            return OK
        checked = await self.worked(size, closer_look, opened, asked, found, warnings=warnings)
        await self._put(source, checked.items, opened, received_us, asked)
        self._count(source, checked, opened)
        if not checked.rejected:
            return OK
        if checked.accepted:
            return partly(checked.accepted, checked.rejected)
        return _nothing_accepted(opened, checked)

    async def _put(self, source: Source, items: Sequence[Item], opened: Opened, received_us: int, asked: Asked) -> None:
        if items:
            arrival = Arrival(source.name, received_us, tuple(items), asked.forced_type, opened.shared, asked.kind)
            await self._inbox.put(encode_arrival(arrival), len(items))

    async def note_too_large(self, source: str, received_us: int, error: TooLargeError) -> None:
        """Keep what is known of a body that was too large: when, whose (perhaps ""), how much was seen, how it began."""
        head = _KEY_MEMBER.sub(b"", error.head[:HEAD_BYTES_MAX])
        message = f"The body is too large: {error.seen} bytes were read of it."
        item = Item(head, ITEM_REJECT, (), "payload_too_large", message)
        await self._inbox.put(encode_arrival(Arrival(source, received_us, (item,))), 1)

    async def create_audience(self, source: Source, body: bytes, received_us: int) -> Reply:
        """Give an audience its external id, the same for the same name and extras."""
        request = _audience_request(body)
        if not isinstance(request.get(audience_ids.NAME_MEMBER), str) or not request[audience_ids.NAME_MEMBER]:
            raise EventError(400, "expected_object", "The body needs `audienceName`, a non-empty string.")
        given = audience_ids.issue(self._key, source.name, request)
        kept = {**request, "externalId": given}
        kept.pop("writeKey", None)
        item = Item(msgspec.json.encode(kept), ITEM_AUDIENCE)
        await self._inbox.put(encode_arrival(Arrival(source.name, received_us, (item,))), 1)
        return external_id(given)

    def get_audience(self, source: Source, body: bytes) -> Reply:
        """Confirm an external id that was given out before."""
        given = _audience_request(body).get("externalId")
        if not isinstance(given, str) or not audience_ids.is_issued(self._key, source.name, given):
            raise EventError(404, "unknown_audience", "This external id was not given out for this source.")
        return external_id(given)

    def _asked_of(self, source: Source, forced_type: str, *, is_webhook: bool) -> Asked:
        """What the checks need to know, remembered for each source and route until the source changes."""
        key = (source.name, forced_type, is_webhook)
        known = self._asked.get(key)
        if known is not None and known[0] is source:
            return known[1]
        limits = STRICT_LIMITS if source.strict_limits else LIMITS
        asked = Asked(
            limits=limits,
            forced_type=forced_type,
            is_webhook=is_webhook,
            kind="webhook" if is_webhook and source is LOCAL else source.kind,
            is_browser=source.kind == "browser",
            events_max=limits.webhook_events_max if is_webhook else limits.events_max,
        )
        self._asked[key] = (source, asked)
        return asked

    def _count(self, source: Source, checked: Checked, opened: Opened) -> None:
        if checked.accepted:
            self._tally(source.name, "accepted", checked.accepted)
        if checked.rejected:
            self._tally(source.name, "rejected", len(checked.rejected))
        if opened.ignored:
            self._tally(source.name, "ignored", opened.ignored)

    def _tally(self, source: str, result: str, count: int) -> None:
        counter = self._counters.get((source, result))
        if counter is None:
            counter = self._counters[source, result] = metrics.INGEST_EVENTS.labels(source, result)
        self._tallies.add(counter, count)


def _refuse_strictly(asked: Asked, opened: Opened, size: int) -> None:
    """Hold a body against the source's own size limit, which is only known now."""
    limits = asked.limits
    bytes_max = limits.single_bytes_max if opened.shape == "single" else limits.batch_bytes_max
    if size > bytes_max:
        raise EventError(400, "payload_too_large", f"The body is larger than {bytes_max} bytes.")


def _nothing_accepted(opened: Opened, checked: Checked) -> Reply:
    if opened.shape == "single":
        _, _, problem = checked.rejected[0]
        return refused(EventError(400, problem.code, problem.message, pointer=problem.pointer))
    return refused(EventError(400, "no_valid_events", "No event of the batch is valid."), rejected=checked.rejected)


def _audience_request(body: bytes) -> dict[str, object]:
    try:
        value, _, is_clean = tolerant_json.read(cleaned(body))
    except tolerant_json.TooDeepError as error:
        raise EventError(400, "too_deep", "The body nests too deep.") from error
    except ValueError as error:
        raise EventError(400, "invalid_json", "Body is not valid JSON.") from error
    if not is_clean:
        value = tolerant_json.mend(value)[0]
    if not isinstance(value, dict):
        raise EventError(400, "expected_object", "Body must be a JSON object.")
    return value
