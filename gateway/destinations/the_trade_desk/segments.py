"""CRM data segments at The Trade Desk: listed, verified, adopted by name, created once; and what is remembered of them.

The Trade Desk allows several segments of one name, so creating is not idempotent: names are looked up before, and again
after a call to create that got no answer.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final, Literal
from weakref import WeakValueDictionary

import msgspec

from gateway.core.http_messages import Answer
from gateway.core.javascript import to_text, trim
from gateway.core.outcomes import Delivered, Outcome, Refused, Unreachable
from gateway.destinations.the_trade_desk.answers import Segment, api_outcome, read_created, read_page
from gateway.destinations.the_trade_desk.calls import Calls
from gateway.destinations.the_trade_desk.definition import REGIONS
from gateway.destinations.the_trade_desk.wire import api_base_url, create_request, delete_request, list_request

PAGES_MAX: Final = 1_000  # ours; a list that is longer than this is an error
SHOWN_IDS_MAX: Final = 10  # ours

_NO_NAME: Final = (
    "MISSING_REQUIRED_FIELD: the audience has no name; nothing was sent. Give `name` in the mapping's `audiences`."
)
_NO_REGION: Final = (
    "The audience has no usable `region` (US, EU or APAC, in capitals); nothing was sent. "
    "Give it in the mapping's `audiences`."
)
_NOT_A_LIST: Final = "INVALID_RESPONSE: The Trade Desk's answer lists no segments."
_TOO_LONG: Final = f"INVALID_RESPONSE: The Trade Desk's list of segments does not end within {PAGES_MAX} pages."
_NO_ID: Final = "INVALID_RESPONSE: The Trade Desk created the segment and named no usable CrmDataId."
_OTHER_SUCCESS: Final = (
    "INVALID_RESPONSE: The Trade Desk answered the creation of the segment with {status} instead of 200."
)

_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


How = Literal["verified", "remembered", "adopted", "created"]


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """An audience's segment, and how it was come by."""

    external_id: str
    how: How


async def verify(external_id: str, calls: Calls) -> Connected | Outcome:
    """Whether exactly one segment has this id; its name plays no part."""
    listed = await _listed(calls)
    if not isinstance(listed, list):
        return listed
    found = sum(segment.external_id == external_id for segment in listed)
    if found == 1:
        return Connected(external_id=external_id, how="verified")
    return Refused(
        reason=f"INVALID_REQUEST_DATA: the advertiser {_advertiser(calls)} has {found or 'no'} "
        f"segment{'s' if found else ''} with the id {external_id}; exactly one is needed."
    )


async def find(name: str, region: str, calls: Calls) -> Connected | Outcome | None:
    """The one segment of this name that is there; None without one."""
    if not trim(name):
        return Refused(reason=_NO_NAME)
    return await _adopted(name, region, calls) if region in REGIONS else Refused(reason=_NO_REGION)


async def delete(external_id: str, calls: Calls) -> Outcome:
    """Delete a segment and purge its data. One that is gone counts as deleted."""
    answer = await calls.send(delete_request(external_id, calls.settings), f"DELETE segment {external_id}")
    if not isinstance(answer, Answer):
        return answer
    return Delivered(status=200) if answer.status == 404 else api_outcome(answer, now_us=calls.now_us)


async def remembered(name: str, region: str, calls: Calls) -> str:
    """The id adopted or created before for this name and region; empty where there is none."""
    note = await calls.notes.get(_note_key(name, region, calls))
    return note.decode("utf-8", "replace") if note else ""


async def forget(name: str, region: str, calls: Calls) -> None:
    """The segment is gone: the next look-up begins anew."""
    await calls.notes.put(_note_key(name, region, calls), b"")


async def adopt_or_create(name: str, region: str, calls: Calls) -> Connected | Outcome:
    """The one segment of this name, or else a new one; remembered from then on. One at a time for each name."""
    if not trim(name):
        return Refused(reason=_NO_NAME)
    if region not in REGIONS:
        return Refused(reason=_NO_REGION)
    key = _note_key(name, region, calls)
    async with _locks.setdefault(key, asyncio.Lock()):
        known = await remembered(name, region, calls)
        if known:
            return Connected(external_id=known, how="remembered")
        connected = await _adopted(name, region, calls)
        if connected is None:
            connected = await _created(name, region, calls)
        if isinstance(connected, Connected):
            await calls.notes.put(key, connected.external_id.encode())
        return connected


async def _adopted(name: str, region: str, calls: Calls) -> Connected | Outcome | None:
    """The segment of that exact name; a refusal where it is unclear which, or it holds another region; None without one."""
    listed = await _listed(calls)
    if not isinstance(listed, list):
        return listed
    same = [segment for segment in listed if segment.name == name and segment.external_id]
    if not same:
        return None
    if len(same) > 1:
        ids = ", ".join(segment.external_id for segment in same[:SHOWN_IDS_MAX])
        return Refused(
            reason=f"INVALID_SETTINGS: {len(same)} segments have the audience's name ({ids}). "
            "Give the right one as `external_id` in the mapping's `audiences`."
        )
    if same[0].region != region:
        return Refused(
            reason=f"The segment {same[0].external_id} has the audience's name, but is not of the region {region}. "
            "Mend `region` in the mapping's `audiences`, or give another `name`."
        )
    return Connected(external_id=same[0].external_id, how="adopted")


async def _created(name: str, region: str, calls: Calls) -> Connected | Outcome:
    answer = await calls.send(create_request(name, region, calls.settings), "POST /crmdata/targeting/segment")
    outcome = api_outcome(answer, now_us=calls.now_us) if isinstance(answer, Answer) else answer
    if isinstance(outcome, Unreachable):
        # It may have worked all the same: only the list can tell, and another call would make another segment.
        found = await _adopted(name, region, calls)
        return outcome if found is None else found
    if not isinstance(outcome, Delivered):
        return outcome
    assert isinstance(answer, Answer), "what is delivered was answered"
    external_id = read_created(answer)
    if external_id is not None:
        return Connected(external_id=external_id, how="created")
    return Refused(reason=_NO_ID if answer.status == 200 else _OTHER_SUCCESS.format(status=answer.status))


async def _listed(calls: Calls) -> list[Segment] | Outcome:
    """Every segment of the advertiser, or why they are not known."""
    segments: list[Segment] = []
    seen = {""}
    token = ""
    for number in range(1, PAGES_MAX + 1):
        answer = await calls.send(list_request(calls.settings, token), f"GET segments, page {number}")
        if not isinstance(answer, Answer):
            return answer
        outcome = api_outcome(answer, now_us=calls.now_us)
        if not isinstance(outcome, Delivered):
            return outcome
        page = read_page(answer) if answer.status == 200 else None
        if page is None:
            return Refused(reason=_NOT_A_LIST)
        segments += page.segments
        token = page.paging_token
        if token in seen:
            return segments
        seen.add(token)
    return Refused(reason=_TOO_LONG)


def _advertiser(calls: Calls) -> str:
    return to_text(calls.settings.get("advertiser_id", ""))


def _note_key(name: str, region: str, calls: Calls) -> str:
    """Of bounded length, whatever the name."""
    parts = [api_base_url(calls.settings), _advertiser(calls), region, name.encode("utf-16-le", "surrogatepass")]
    return f"segment/{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()}"
