"""The fake's CRM data segments and drops: what is in them, and what an uploaded file makes of them."""

from __future__ import annotations

import base64
import secrets
import string
import uuid
from typing import Literal
from urllib.parse import quote

import msgspec

SEGMENTS_MAX = 10_000
DROPS_MAX = 1_000
UPLOAD_LIFE_S = 3600.0
ID_CHARS = 7

Status = Literal["Processing", "Completed", "Failed"]
_ALPHABET = string.ascii_lowercase + string.digits


class Segment:
    """One segment and the lines that are in it."""

    def __init__(self, *, external_id: str, advertiser: str, name: str, region: str, first_party_id: int) -> None:
        self.external_id = external_id
        self.advertiser = advertiser
        self.name = name
        self.region = region
        self.first_party_id = first_party_id
        self.data_provider: str | None = None
        self.members: frozenset[str] = frozenset()

    def described(self) -> dict[str, object]:
        """As the list of segments shows it."""
        return {
            "CrmDataId": self.external_id,
            "SegmentName": self.name,
            "Region": self.region,
            "FirstPartyDataId": self.first_party_id,
        }


class Drop:
    """One upload that was asked for. path, query: of its address, byte for byte. body: the file, once it is there."""

    def __init__(self, *, segment: Segment, given: DropInput, base: str, made_at_s: float) -> None:
        self.reference_id = str(uuid.uuid4())
        self.segment = segment
        self.pii_type = given.PiiType
        self.merge_mode = given.MergeMode
        self.made_at_s = made_at_s
        self.body: bytes | None = None
        self.status: Status = "Processing"
        self.accepted = 0
        self.rejected = 0
        self.problem = ""
        place = f"data/advertiser/{quote(segment.advertiser, safe='')}/drop/{self.reference_id}/pii"
        token = quote(base64.b64encode(secrets.token_bytes(30) + b"\xfb\xff\xfe\xfb").decode() + "+/=", safe="")
        self.query = (
            f"X-Amz-Security-Token={token}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260101T000000Z"
            f"&X-Amz-SignedHeaders=host&X-Amz-Expires={UPLOAD_LIFE_S:.0f}&X-Amz-Credential=sandbox%2Fs3"
            f"&X-Amz-Signature={secrets.token_hex(16)}&"
        )
        self.url = f"{base}/{place}?{self.query}"
        self.path = "/" + self.url.split("://", 1)[1].split("/", 1)[1].split("?", 1)[0]

    def process(self, distinct_min: int) -> None:
        """Check the file and let it take effect."""
        assert self.body is not None, "only uploaded drops are processed"
        good, self.rejected, self.problem = checked_lines(self.body, self.pii_type)
        distinct = frozenset(good)
        self.accepted = len(good)
        if self.problem or len(distinct) < distinct_min:
            self.status = "Failed"
            self.problem = self.problem or f"{len(distinct)} distinct ids, {distinct_min} are needed"
            return
        self.status = "Completed"
        self.segment.members = distinct if self.merge_mode == "Replace" else self.segment.members | distinct


class CreateInput(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a creation."""

    AdvertiserId: str
    SegmentName: str
    Region: Literal["US", "EU", "APAC"]
    DataProviderId: str | None = None


class DropInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a drop."""

    PiiType: Literal["Email", "EmailHashedUnifiedId2"]
    MergeMode: Literal["Replace", "Add"]
    RetentionEnabled: bool | None = None
    TtlInMinutes: int | None = None


class Segments:
    """All segments by id, all drops in order."""

    def __init__(self) -> None:
        self.by_id: dict[str, Segment] = {}
        self.drops: list[Drop] = []

    def create(self, advertiser: str, name: str, region: str) -> Segment | None:
        """A new segment, whether there is one of that name or not; None when there are SEGMENTS_MAX."""
        if len(self.by_id) >= SEGMENTS_MAX:
            return None
        external_id = "".join(secrets.choice(_ALPHABET) for _ in range(ID_CHARS))
        segment = Segment(
            external_id=external_id,
            advertiser=advertiser,
            name=name,
            region=region,
            first_party_id=358_268_865 + len(self.by_id),
        )
        self.by_id[external_id] = segment
        return segment

    def of_advertiser(self, advertiser: str) -> list[Segment]:
        """In the order of creation."""
        return [segment for segment in self.by_id.values() if segment.advertiser == advertiser]

    def find(self, advertiser: str, external_id: str) -> Segment | None:
        """The advertiser's segment of this id."""
        segment = self.by_id.get(external_id)
        return segment if segment is not None and segment.advertiser == advertiser else None

    def ask(self, segment: Segment, given: DropInput, *, base: str, now_s: float) -> Drop:
        """A new address to upload to; the oldest drops are forgotten beyond DROPS_MAX."""
        drop = Drop(segment=segment, given=given, base=base, made_at_s=now_s)
        self.drops.append(drop)
        del self.drops[:-DROPS_MAX]
        return drop

    def drop_of(self, reference_id: str) -> Drop | None:
        """The drop with this reference id."""
        return next((drop for drop in self.drops if drop.reference_id == reference_id), None)

    def drop_at(self, path: str, query: str) -> Drop | None:
        """The drop whose address this is, byte for byte."""
        return next((drop for drop in self.drops if (drop.path, drop.query) == (path, query)), None)


def checked_lines(body: bytes, pii_type: str) -> tuple[list[str], int, str]:
    """(good lines, how many bad ones, what is wrong with the file as a whole or nothing)."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return [], 0, "the file is not UTF-8"
    if text.startswith("\ufeff"):
        return [], 0, "the file begins with a byte order mark"
    if "\r" in text:
        return [], 0, "the file has carriage returns"
    if text and not text.endswith("\n"):
        return [], 0, "the last line does not end"
    lines = text.split("\n")[:-1]
    if "" in lines:
        return [], 0, "the file has a blank line"
    good = [line for line in lines if _is_good(line, pii_type)]
    return good, len(lines) - len(good), ""


def _is_good(line: str, pii_type: str) -> bool:
    if pii_type == "Email":
        return "@" in line
    try:
        return len(base64.b64decode(line, validate=True)) == 32
    except ValueError:
        return False
