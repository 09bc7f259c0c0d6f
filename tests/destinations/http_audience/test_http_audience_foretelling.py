"""The upload of a whole list foretold: every request by size, digest and beginning, and nothing else kept of any body."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections.abc import Iterator
from typing import Any

from http_audience_cases import SMALL, Scripted, changed, loaded, said
from test_http_audience_sessions import LISTS, many, upload

from gateway.destinations.base import Batch, Owed
from gateway.destinations.foretelling import (
    HEAD_BYTES,
    LEARNED_ROWS_MAX,
    REQUESTS_KEPT_MAX,
    ForetoldUpload,
    foretell_upload,
)
from gateway.destinations.rehearsal import REHEARSED_US, FreshNotes

WHOLE: dict[str, Any] = changed(
    SMALL,
    actions={
        "replace": {
            "method": "PUT",
            "path": "/people",
            "batch": {"max_records": 100_000},
            "body": {"people": {"@each": {"in": "$.records", "do": {"e": {"@path": "$.record.email"}}}}},
        }
    },
)


def foretold(definition: Any, snapshot: Any, notes: Any = None) -> ForetoldUpload:
    owed = (Owed(id=1, operation="replace", payload={}, planned=True, audience_key="vip"),)
    batch = Batch(action="syncAudience", settings={}, corrections=frozenset(), owed=owed)
    return asyncio.run(foretell_upload(loaded(definition), batch, snapshot, notes or FreshNotes()))


def test_a_list_in_one_request_is_foretold_to_the_byte() -> None:
    """Method, address, length and digest are those of the request that goes out."""
    told = foretold(WHOLE, many(500))
    partner = Scripted(said(200))
    upload(WHOLE, partner, many(500))
    (planned,), (sent,) = told.requests, partner.requests
    assert (planned.method, planned.foreseen.url, planned.foreseen.note) == (sent.method, sent.url, "")
    assert (planned.size, planned.sha256) == (len(sent.body), hashlib.sha256(sent.body).hexdigest())
    assert planned.head == sent.body[:HEAD_BYTES]
    assert (told.count, told.size, told.performed.counts["lines"]) == (1, len(sent.body), 500)


def test_a_list_in_several_requests_is_foretold_but_for_its_number() -> None:
    """Which is new with each upload, and the plan says so; with the same clock the bytes are the same."""
    told = foretold(LISTS, many(35))
    partner = Scripted(said(200))
    upload(LISTS, partner, many(35), now_us=REHEARSED_US)
    assert [one.sha256 for one in told.requests] == [hashlib.sha256(one.body).hexdigest() for one in partner.requests]
    assert all("number is new" in one.foreseen.note for one in told.requests)


def test_notes_are_read_and_none_is_changed() -> None:
    """How far another upload came is not this one's, and a token would stand in a request."""
    notes = FreshNotes()
    asyncio.run(notes.put("token/x", b"secret"))
    before = dict(notes._values)
    foretold(LISTS, many(35), notes)
    assert notes._values == before


class Endless:
    """A list that is made while it is read."""

    members = 60_000

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        for number in range(self.members):
            yield f"user_id:{number}", {"email": f"person-{number}@example.com"}


def test_of_a_large_list_only_its_beginning_is_kept() -> None:
    """In bounded memory; whose data was not looked at is in no request that counts as learned."""
    tracemalloc.start()
    told = foretold(changed(LISTS, actions__replace__batch={"max_records": 1_000}), Endless())
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (told.count, len(told.requests), len(told.learned)) == (60, REQUESTS_KEPT_MAX, LEARNED_ROWS_MAX)
    assert [one.is_learned for one in told.requests][::19] == [True, False]
    assert all(len(one.head) == HEAD_BYTES for one in told.requests)
    assert peak < 40 * 1024 * 1024
