"""The Trade Desk's and the storage host's answers, read into pages, ids, upload addresses and outcomes. Pure."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gateway.core.answers import json_object, outcome_of_status, status_text
from gateway.core.http_messages import Answer
from gateway.core.outcomes import Deferred, Delivered, Outcome, Refused, Unreachable
from gateway.destinations.the_trade_desk.wire import is_external_id, is_upload_url

PARTNER: Final = "The Trade Desk"
STORAGE: Final = "The upload host"
TOO_MANY_WAIT_S: Final = 30.0  # after a 429 that says nothing of when
TOKEN_CHARS_MAX: Final = 4_096  # ours
NAME_CHARS_MAX: Final = 1_000  # ours; longer names are compared cut
SEGMENTS_PER_PAGE_MAX: Final = 100_000  # ours
STORAGE_RETRIED: Final = frozenset({408, 429})

# What The Trade Desk may name as the faulty part of a request: parts of ours, so none of them is a person's.
PROPERTIES: Final = (
    "AdvertiserId", "SegmentName", "Region", "DataProviderId", "CrmDataId", "PiiType", "MergeMode", "RetentionEnabled",
    "PagingToken",
)  # fmt: skip

_REFERENCE = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_STORAGE_CODE = re.compile(rb"<Code>([A-Za-z]{1,60})</Code>")
_STORAGE_CODES: Final = frozenset(
    {
        "AccessDenied", "EntityTooLarge", "ExpiredToken", "InternalError", "InvalidRequest", "MethodNotAllowed",
        "MissingContentLength", "NotImplemented", "RequestTimeout", "RequestTimeTooSkewed", "ServiceUnavailable",
        "SignatureDoesNotMatch", "SlowDown",
    }
)  # fmt: skip


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One CRM data segment, as far as we look at it. Texts may be empty."""

    external_id: str
    name: str = ""
    region: str = ""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of segments. paging_token: of the next page; empty when this is the last."""

    segments: tuple[Segment, ...] = ()
    paging_token: str = ""


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """An address to upload to, good for one hour. reference_id: for questions to The Trade Desk; may be empty."""

    url: str
    reference_id: str = ""


def read_page(answer: Answer) -> Page | None:
    """The page of a 200; None where the body is none."""
    body = json_object(answer.body)
    listed = body.get("Segments")
    if not isinstance(listed, list):
        return None
    segments = [_segment(one) for one in listed[:SEGMENTS_PER_PAGE_MAX] if isinstance(one, dict)]
    token = body.get("PagingToken")
    is_token = isinstance(token, str) and len(token) <= TOKEN_CHARS_MAX and bool(segments)
    return Page(segments=tuple(segments), paging_token=str(token) if is_token else "")


def read_created(answer: Answer) -> str | None:
    """The new segment's id; None where the answer, 200 or not, names none."""
    external_id = json_object(answer.body).get("CrmDataId")
    if answer.status != 200 or not isinstance(external_id, str) or not is_external_id(external_id):
        return None
    return external_id


def read_drop(answer: Answer, settings: dict[str, object]) -> Drop | None:
    """The address to upload to; None where there is no usable one."""
    body = json_object(answer.body)
    url, reference = body.get("Url"), body.get("ReferenceId")
    if not isinstance(url, str) or not is_upload_url(url, settings):
        return None
    is_reference = isinstance(reference, str) and _REFERENCE.fullmatch(reference) is not None
    return Drop(url=url, reference_id=str(reference) if is_reference else "")


def api_outcome(answer: Answer, *, now_us: int) -> Outcome:
    """What a call to the API came to. Of a refusal only the names of our own properties are kept; nothing is splittable."""
    named = _properties(answer) if answer.status >= 400 else ""
    outcome = outcome_of_status(
        answer.status,
        answer.headers,
        now_us=now_us,
        partner=PARTNER,
        reason=f"{named}." if named else "",
    )
    if answer.status == 429 and isinstance(outcome, Unreachable):
        return Deferred(reason=outcome.reason, wait_s=TOO_MANY_WAIT_S)
    return msgspec.structs.replace(outcome, splittable=False) if isinstance(outcome, Refused) else outcome


def upload_outcome(answer: Answer) -> Outcome:
    """What an upload came to. 401 and 403 are about the address, never about the login."""
    status, code = answer.status, _storage_code(answer)
    reason = f"{STORAGE} answered {status_text(status)}" + (f" ({code})." if code else ".")
    if 200 <= status < 300:
        return Delivered(status=status)
    is_passing = status in STORAGE_RETRIED or (status >= 500 and status != 501)
    if is_passing or is_stale_address(answer) or (status == 400 and code == "RequestTimeout"):
        return Unreachable(reason=reason, status=status)
    return Refused(reason=reason, status=status)


def is_stale_address(answer: Answer) -> bool:
    """The address has run out or was altered on the way: a new one may help."""
    return answer.status == 403


def _segment(value: dict[str, object]) -> Segment:
    return Segment(
        external_id=_text(value.get("CrmDataId")),
        name=_text(value.get("SegmentName")),
        region=_text(value.get("Region")),
    )


def _text(value: object) -> str:
    return value[:NAME_CHARS_MAX] if isinstance(value, str) else ""


def _properties(answer: Answer) -> str:
    details = json_object(answer.body).get("ErrorDetails")
    named = {one.get("Property") for one in details if isinstance(one, dict)} if isinstance(details, list) else set()
    return ", ".join(name for name in PROPERTIES if name in named)


def _storage_code(answer: Answer) -> str:
    found = _STORAGE_CODE.search(answer.body[:4096])
    code = found[1].decode("ascii") if found else ""
    return code if code in _STORAGE_CODES else ""
