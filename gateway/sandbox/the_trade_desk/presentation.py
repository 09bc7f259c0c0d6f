"""The fake Trade Desk as people and tests see it: its state, its requests and its page as plain values."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from gateway.sandbox.showing import Json, readable, row

if TYPE_CHECKING:  # partner.py shows itself through this module.
    from gateway.sandbox.request_log import LoggedRequest
    from gateway.sandbox.the_trade_desk.partner import TheTradeDesk
    from gateway.sandbox.the_trade_desk.segments import Drop, Segment

PAGE_ROWS_MAX = 100
PAGE_SEGMENTS_MAX = 50
PAGE_REQUESTS_MAX = 20
PAGE_BODY_CHARACTERS_MAX = 3_000


def state(partner: TheTradeDesk, rows_max: int) -> Json:
    """Everything but the requests; lists hold at most `rows_max` rows beside their total."""
    return {
        "version": partner.changes.version,
        "counters": partner.counts(),
        "segments": [_segment(one, rows_max) for one in islice(partner.segments.values(), rows_max)],
        "drops": [_drop(one) for one in partner.drops[-rows_max:]] if rows_max else [],
        "violations": [msgspec.to_builtins(violation) for violation in partner.violations[:rows_max]],
    }


def headline(logged: LoggedRequest) -> str:
    """`create VIP`, `drop EmailHashedUnifiedId2`, `upload 1560 lines`, `list`."""
    call = next(iter(logged.names), "")
    if call == "upload":
        lines = (logged.body or b"").count(b"\n")
        return f"upload {lines} lines" if logged.body is not None else f"upload {logged.body_bytes} bytes"
    wanted = {"create": "SegmentName", "drop": "PiiType"}.get(call, "")
    said = _member(logged.body, wanted) if wanted else ""
    return f"{call} {said}".strip() or f"{logged.method} {logged.path}"


def page(partner: TheTradeDesk) -> Json:
    """What `page.html` shows: all of it cut to a size a browser likes."""
    with partner.changes.reading():
        return {
            "endpoint": f"/{partner.name}/v3",
            "uploads": partner.upload_base,
            "counters": partner.counts(),
            "configuration": partner.configuration,
            "segments_total": len(partner.segments),
            "segments": [
                _segment(segment, PAGE_ROWS_MAX) for segment in islice(partner.segments.values(), PAGE_SEGMENTS_MAX)
            ],
            "drops": [_drop(drop) for drop in reversed(partner.drops[-PAGE_SEGMENTS_MAX:])],
            "requests": [
                row(logged, readable(logged.body, characters_max=PAGE_BODY_CHARACTERS_MAX))
                for logged in reversed(partner.log.latest(PAGE_REQUESTS_MAX))
            ],
        }


def _member(body: bytes | None, name: str) -> str:
    try:
        value = msgspec.json.decode(body or b"{}")
    except (ValueError, RecursionError):
        return ""
    return str(value.get(name, "")) if isinstance(value, dict) else ""


def _segment(segment: Segment, rows_max: int) -> Json:
    return {
        **segment.described(),
        "advertiser": segment.advertiser,
        "members_total": len(segment.members),
        "members": sorted(segment.members)[:rows_max],
    }


def _drop(drop: Drop) -> Json:
    return {
        "reference_id": drop.reference_id,
        "segment": drop.segment.external_id,
        "pii_type": drop.pii_type,
        "status": drop.status,
        "is_uploaded": drop.body is not None,
        "accepted": drop.accepted,
        "rejected": drop.rejected,
        "problem": drop.problem,
    }
