"""One run's whole list on its way: the file, the segment, the upload address, the upload. Members are counted before any call."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from gateway.core.audience_ids import PREFIX as OWN_ID_PREFIX
from gateway.core.http_messages import Answer
from gateway.core.javascript import to_text
from gateway.core.outcomes import Delivered, Outcome, Refused, Unreachable
from gateway.destinations.base import Batch, Context, Owed, Performed, Snapshot
from gateway.destinations.the_trade_desk import segments
from gateway.destinations.the_trade_desk.answers import Drop, api_outcome, is_stale_address, read_drop, upload_outcome
from gateway.destinations.the_trade_desk.calls import Calls
from gateway.destinations.the_trade_desk.definition import PII_TYPES, REGIONS
from gateway.destinations.the_trade_desk.list_process import Asked, ListError, Written, list_folder, write_snapshot
from gateway.destinations.the_trade_desk.segments import Connected
from gateway.destinations.the_trade_desk.wire import (
    DISTINCT_MIN,
    UPLOAD_BYTES_MAX,
    api_base_url,
    drop_request,
    is_external_id,
    upload_request,
)

BODY_BYTES_MAX: Final = 8 * 1024 * 1024  # larger files are streamed from disk
ADDRESSES_MAX: Final = 2  # upload addresses asked for within one attempt
LINES_MAX: Final = 6  # ours: requests told in one summary, the last ones
BELOW_MINIMUM: Final = "below_minimum"

_NO_AUDIENCE: Final = (
    "PAYLOAD_VALIDATION_FAILED: the audience has no external id; nothing was sent. "
    'Give `external_id`, or `"create": true`, in the mapping\'s `audiences`.'
)
_BAD_PII_TYPE: Final = f"PAYLOAD_VALIDATION_FAILED: pii_type must be {' or '.join(PII_TYPES)}; nothing was sent."
_BAD_REGION: Final = "The audience's `region` must be US, EU or APAC, in capitals; nothing was sent."
_TOO_LARGE: Final = "The list is larger than the 5 GiB that one upload may have; nothing was sent."
_NO_URL: Final = "The Trade Desk's answer holds no usable upload address."
_GONE: Final = "The Trade Desk does not know the segment {id}: create it anew, or give another `external_id`."

BAD_ID: Final = "The external audience id is no `CrmDataId`; nothing was sent. Give the id that The Trade Desk shows."


def below_minimum_text(distinct: int, external_id: str = "") -> str:
    """What the operator reads of a run that sent nothing because too few people are left."""
    segment = external_id or "{CrmDataId}"
    return (
        f"{BELOW_MINIMUM}: PAYLOAD_VALIDATION_FAILED: {distinct} of {DISTINCT_MIN} distinct people, so nothing was sent. "
        "The Trade Desk still holds the last list uploaded: people who have left since then stay targeted until it expires, "
        "180 days after its upload. To end that, delete the segment by hand: "
        f"DELETE /crmdata/segment/{{advertiser}}/{segment}."
    )


class ListRun:
    """One list on its way: file, segment, upload address, upload."""

    def __init__(self, batch: Batch, owed: Owed, context: Context) -> None:
        self._owed = owed
        self._corrections = batch.corrections
        self._calls = Calls(batch.settings, context)
        self._written: Written | None = None
        self._skipped = ""
        self._reference_id = ""
        self._name = _text(owed.audience_settings.get("name")) or owed.audience_key
        self._region = _text(owed.audience_settings.get("region"))
        self._creates = owed.audience_settings.get("create") is True

    async def performed(
        self, snapshot: Snapshot, locks: WeakValueDictionary[tuple[str, str, str], asyncio.Lock]
    ) -> Outcome:
        """Write the list, look at it, connect the segment, upload. locks: one for each segment, shared by all runs."""
        problem = self._problem()
        if problem:
            return Refused(reason=problem)
        with ExitStack() as stack:
            pii_type = to_text(self._owed.payload.get("pii_type") or "")
            try:
                path = stack.enter_context(list_folder(snapshot)) / "list"
                self._written = await write_snapshot(Asked(snapshot=snapshot, pii_type=pii_type, path=str(path)))
            except (ListError, OSError) as error:
                return Unreachable(reason=f"The list could not be written ({type(error).__name__}).", sent=False)
            known = await self._external_id()
            refused = self._refused(self._written, known)
            if refused is not None:
                return refused
            connected = await self._connected(known)
            if not isinstance(connected, str):
                return connected
            settings = self._calls.settings
            key = (api_base_url(settings), to_text(settings.get("advertiser_id", "")), connected)
            async with locks.setdefault(key, asyncio.Lock()):
                return await self._drop(connected, self._written, path)

    def told(self, outcome: Outcome) -> Performed:
        """What is kept of the attempt."""
        told = self._calls.told[-LINES_MAX:]
        if self._reference_id:
            told.append(f"reference {self._reference_id}")
        counts = msgspec.structs.asdict(self._written.file) if self._written is not None else {}
        return Performed(
            outcomes=(outcome,),
            request="; ".join(self._calls.asked[-LINES_MAX:]),
            answer="; ".join(told),
            requests=self._calls.requests,
            skipped=self._skipped,
            counts=counts,
            warnings=tuple(self._written.warnings) if self._written is not None else (),
        )

    def _problem(self) -> str:
        """What can be said before any member is read."""
        pii_type = self._owed.payload.get("pii_type")
        if pii_type is not None and pii_type not in PII_TYPES:
            return _BAD_PII_TYPE
        return _BAD_REGION if self._region and self._region not in REGIONS else ""

    def _event_id(self) -> str:
        """The id that events give, in whatever way; never one that the gateway gave out itself."""
        written = self._written.external_id if self._written is not None else ""
        given = (
            _text(self._owed.audience_settings.get("event_external_id")),
            to_text(self._owed.payload.get("external_id") or ""),
            written,
        )
        return next((one for one in given if one and not one.startswith(OWN_ID_PREFIX)), "")

    async def _external_id(self) -> str:
        """The operator's id, else what was adopted or created, else the event's; empty where none is known."""
        given = self._owed.external_id
        if given and not given.startswith(OWN_ID_PREFIX):
            return given
        made = await segments.remembered(self._name, self._region, self._calls) if self._creates else ""
        return made or self._event_id()

    def _refused(self, written: Written, known: str) -> Refused | None:
        """Why this list is not sent: nothing goes out before these are looked at."""
        if not known and not self._creates:
            return Refused(reason=_NO_AUDIENCE)
        if known and not is_external_id(known):
            return Refused(reason=BAD_ID)
        if written.file.distinct < DISTINCT_MIN:
            self._skipped = BELOW_MINIMUM
            return Refused(reason=below_minimum_text(written.file.distinct, known))
        if written.pii_type not in PII_TYPES:
            return Refused(reason=_BAD_PII_TYPE)
        return Refused(reason=_TOO_LARGE) if written.file.bytes > UPLOAD_BYTES_MAX else None

    async def _connected(self, known: str) -> str | Outcome:
        if known:
            return known
        connected = await segments.adopt_or_create(self._name, self._region, self._calls)
        return connected.external_id if isinstance(connected, Connected) else connected

    async def _drop(self, external_id: str, written: Written, path: Path) -> Outcome:
        """Ask for an address and upload at once; a stale address is asked for anew, once."""
        outcome: Outcome = Refused(reason=_NO_URL)
        for _ in range(ADDRESSES_MAX):
            drop = await self._address(external_id, written.pii_type)
            if not isinstance(drop, Drop):
                return drop
            self._reference_id = drop.reference_id
            answer = await self._upload(drop, written, path)
            if not isinstance(answer, Answer):
                return answer
            outcome = upload_outcome(answer)
            if not is_stale_address(answer):
                break
        return outcome

    async def _address(self, external_id: str, pii_type: str) -> Drop | Outcome:
        calls = self._calls
        request = drop_request(external_id, pii_type, calls.settings)
        answer = await calls.send(request, f"POST drop {pii_type} segment {external_id}")
        if not isinstance(answer, Answer):
            return answer
        outcome = api_outcome(answer, now_us=calls.now_us)
        if isinstance(outcome, Delivered):
            return read_drop(answer, calls.settings) or Refused(reason=_NO_URL, status=answer.status)
        if answer.status == 404:
            return await self._unknown(external_id)
        return outcome

    async def _unknown(self, external_id: str) -> Outcome:
        """A drop was answered 404: the list of segments tells whether this one is gone."""
        verified = await segments.verify(external_id, self._calls)
        if isinstance(verified, Connected):
            return Unreachable(reason=f"The Trade Desk lists the segment {external_id} and answered 404.", status=404)
        if not isinstance(verified, Refused):
            return verified
        if self._creates:
            await segments.forget(self._name, self._region, self._calls)
        return Refused(reason=_GONE.format(id=external_id), status=404)

    async def _upload(self, drop: Drop, written: Written, path: Path) -> Answer | Outcome:
        size = written.file.bytes
        body = await asyncio.to_thread(path.read_bytes) if size <= BODY_BYTES_MAX else b""
        request = upload_request(
            drop.url, self._calls.settings, self._corrections, body=body, file=None if body else str(path)
        )
        people, skipped = written.file.distinct, written.file.skipped
        summary = f"PUT {people} people, {size} bytes" + (f", {skipped} values left out" if skipped else "")
        return await self._calls.send(request, summary, to="The upload host")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
