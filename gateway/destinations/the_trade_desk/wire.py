"""The Trade Desk's requests as Segment's connector writes them: segments, the drop, the upload. Pure; see `answers.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from gateway.core.http_messages import Answer, Request
from gateway.core.javascript import json_text, to_text
from gateway.destinations.base import Foreseen
from gateway.destinations.the_trade_desk.definition import API_BASE_URL, DATA_PROVIDER_ID, NO_TOKEN_AT_UPLOAD

API_TIMEOUT_S: Final = 10.0  # the reference's limit for each call
UPLOAD_IDLE_S_MAX: Final = 60.0  # ours: an upload that stands still so long has failed
UPLOAD_S_MAX: Final = 3000.0  # ours: one that moves may take so long; its address is good for 3600 s
UPLOAD_BYTES_MAX: Final = 5 * 1024**3  # the largest single upload that S3 takes
URL_CHARS_MAX: Final = 16_384  # ours
ID_CHARS_MAX: Final = 200  # ours; real ids have some 7 characters
DISTINCT_MIN: Final = 1500  # fewer distinct people in a drop are rejected after the upload

_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{ID_CHARS_MAX}}}")
_URL = re.compile(rf"https?://[!-~]{{1,{URL_CHARS_MAX}}}")

Record = Mapping[str, object]


def list_request(settings: Record, paging_token: str = "") -> Request:
    """One page of the advertiser's segments. paging_token: of the page before, empty for the first."""
    query = f"?pagingToken={quote(paging_token, safe='')}" if paging_token else ""
    return _api_request("GET", f"/crmdata/segment/{_advertiser(settings)}{query}", settings)


def create_request(name: str, region: str, settings: Record) -> Request:
    """A new segment; sent twice it makes two of one name."""
    body = {"AdvertiserId": to_text(settings.get("advertiser_id", "")), "SegmentName": name, "Region": region}
    provider = settings.get("data_provider_id", DATA_PROVIDER_ID)
    if provider is not None:
        body["DataProviderId"] = to_text(provider)
    return _api_request("POST", "/crmdata/targeting/segment", settings, body)


def drop_request(external_id: str, pii_type: str, settings: Record) -> Request:
    """Ask for an address to upload a whole list to, which then replaces the segment's content."""
    body: dict[str, object] = {"PiiType": pii_type, "MergeMode": "Replace", "RetentionEnabled": True}
    return _api_request(
        "POST", f"/crmdata/segment/{_advertiser(settings)}/{quote(external_id, safe='')}", settings, body
    )


def delete_request(external_id: str, settings: Record) -> Request:
    """Delete a segment and all that is in it."""
    return _api_request("DELETE", f"/crmdata/segment/{_advertiser(settings)}/{quote(external_id, safe='')}", settings)


def upload_request(
    url: str, settings: Record, corrections: frozenset[str], *, body: bytes = b"", file: str | None = None
) -> Request:
    """The list to the storage host. url: as it came, byte for byte. body: of a list that is not spooled to `file`."""
    headers = {"Content-Type": "text/plain"}
    if NO_TOKEN_AT_UPLOAD not in corrections:
        headers["TTD-Auth"] = to_text(settings.get("auth_token", ""))
    return Request(
        method="PUT",
        url=url,
        headers=headers,
        body=body,
        body_file=file,
        timeout_s=UPLOAD_S_MAX,
        idle_s=UPLOAD_IDLE_S_MAX,
    )


def api_base_url(settings: Record) -> str:
    """Where the API is, without a slash at the end."""
    return to_text(settings.get("api_base_url") or API_BASE_URL).rstrip("/")


def is_external_id(text: str) -> bool:
    """What a `CrmDataId` can look like: it becomes a step of an address."""
    return _ID.fullmatch(text) is not None


def is_upload_url(url: str, settings: Record) -> bool:
    """A whole address without blanks; without encryption only where the API is reached so, too."""
    if len(url) > URL_CHARS_MAX or _URL.fullmatch(url) is None:
        return False
    return url.startswith("https://") or api_base_url(settings).startswith("http://")


def _api_request(method: str, path: str, settings: Record, body: Record | None = None) -> Request:
    return Request(
        method=method,
        url=api_base_url(settings) + path,
        headers={"TTD-Auth": to_text(settings.get("auth_token", "")), "Content-Type": "application/json"},
        body=b"" if body is None else str(json_text(dict(body))).encode(),
        timeout_s=API_TIMEOUT_S,
    )


def _advertiser(settings: Record) -> str:
    return quote(to_text(settings.get("advertiser_id", "")), safe="")


# --- Rehearsals ---

_REFERENCE_ID: Final = "aabbcc01-c9c7-4000-9191-000000000001"
_UPLOAD_URL: Final = (
    f"https://thetradedesk-crm-data.s3.us-east-1.amazonaws.com/data/drop/{_REFERENCE_ID}/pii"
    "?X-Amz-Security-Token=rehearsal%2Ftoken&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260101T000000Z"
    "&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Credential=rehearsal&X-Amz-Signature=rehearsal&"
)


_REHEARSED_ID: Final = "rehears"
_ADDRESS_NOTE: Final = "The Trade Desk names the address in its answer to the request before; it is good for one hour."
_ID_NOTE: Final = "The segment's CrmDataId is known once it was found by its name, or created."
_FIND_NOTE: Final = "Asked page by page; where the segment is named, that one is taken and none is created."


def foreseen(request: Request) -> Foreseen:
    """What is known of one of our requests before The Trade Desk has answered those in front of it."""
    if request.method == "PUT":
        return Foreseen(url="{Url}", note=_ADDRESS_NOTE, is_lines=True)
    if request.method == "GET":
        return Foreseen(url=request.url, note=_FIND_NOTE)
    base, separator, last = request.url.rpartition("/")
    if last == _REHEARSED_ID:
        return Foreseen(url=f"{base}{separator}{{CrmDataId}}", note=_ID_NOTE)
    return Foreseen(url=request.url)


def success_answer(request: Request) -> Answer:
    """What is answered to one of our requests when everything is in order."""
    if request.method == "PUT":
        return Answer(status=200, headers={"etag": '"rehearsal"'})
    if request.method == "GET":
        body: dict[str, object] = {"Segments": [], "PagingToken": None}
    elif request.url.endswith("/crmdata/targeting/segment"):
        body = {"CrmDataId": _REHEARSED_ID, "FirstPartyDataId": 1}
    else:
        body = {"ReferenceId": _REFERENCE_ID, "Url": _UPLOAD_URL}
    return Answer(status=200, headers={"content-type": "application/json"}, body=msgspec.json.encode(body))
