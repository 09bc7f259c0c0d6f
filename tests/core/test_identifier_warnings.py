"""A lane remembers the latest of each kind of warning, for a week, and not more than fits."""

import msgspec

from gateway.core.hash_linter import HashWarning
from gateway.core.identifier_warnings import KEPT_MAX, KEPT_US, IdentifierWarning, read_warnings, with_warnings

T0 = 1_760_000_000_000_000
CAPITALS = HashWarning(field="email", code="hash_upper_case", count=3)


def test_batches_add_up_by_mapping_field_and_code():
    """With the time of the first and of the latest."""
    note = with_warnings(None, "ads/a", [CAPITALS], now_us=T0)
    note = with_warnings(note, "ads/b", [CAPITALS], now_us=T0 + 1)
    note = with_warnings(note, "ads/a", [CAPITALS], now_us=T0 + 2)
    assert read_warnings(note, now_us=T0 + 3) == [
        IdentifierWarning(mapping="ads/a", field="email", code="hash_upper_case", count=6, first_us=T0, last_us=T0 + 2),
        IdentifierWarning(mapping="ads/b", field="email", code="hash_upper_case", count=3, first_us=T0 + 1, last_us=T0 + 1),
    ]  # fmt: skip


def test_what_was_not_seen_for_a_week_is_forgotten():
    """And counts from nothing when it comes again."""
    note = with_warnings(None, "ads/a", [CAPITALS], now_us=T0)
    assert read_warnings(note, now_us=T0 + KEPT_US) == []
    again = read_warnings(with_warnings(note, "ads/a", [CAPITALS], now_us=T0 + KEPT_US), now_us=T0 + KEPT_US)
    assert [(one.count, one.first_us) for one in again] == [(3, T0 + KEPT_US)]


def test_a_note_is_bounded_and_a_broken_one_is_empty():
    """The latest stay."""
    note: bytes | None = None
    for number in range(KEPT_MAX + 5):
        note = with_warnings(note, f"ads/{number}", [CAPITALS], now_us=T0 + number)
    kept = read_warnings(note, now_us=T0 + KEPT_MAX)
    assert (len(kept), kept[0].mapping) == (KEPT_MAX, f"ads/{KEPT_MAX + 4}")
    assert len(note or b"") < 64 * 1024
    for broken in (b"", b"{", msgspec.json.encode([{"mapping": 1}])):
        assert read_warnings(broken, now_us=T0) == []
