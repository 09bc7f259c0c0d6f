"""Why somebody is on a list or is not: every case has its code and words that say what to do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.core.explaining_members import MemberFacts, explain_standing
from gateway.core.sync_plan import Planned
from gateway.core.sync_records import Entry, RecordProblem

NOW = 1_795_003_200_000_000
HOUR = 3_600 * 1_000_000
ENTRY = Entry(identity="aa", fingerprint="bb")
IN: dict[str, Any] = {"ledger": "in", "since_us": NOW - HOUR, "has_record": True}
ADD = Planned(bucket="planned", op="add", put=ENTRY)
REFUSED = RecordProblem(kind="rejected", op="add", code="BAD_EMAIL", first_us=NOW - HOUR, next_try_us=NOW + HOUR)
FAILED = RecordProblem(
    kind="failed", op="add", code="http_503", attempts=12, first_us=NOW - HOUR, next_try_us=NOW + HOUR
)


def skipped(reason: str) -> Planned:
    return Planned(bucket="skipped", reason=reason)


def planned(op: Any) -> Planned:
    return Planned(bucket="planned", op=op, put=ENTRY, takes=(ENTRY,))


CASES = [
    # not known to the sync
    ({"ledger": "unknown_member"}, "unknown_member", "", "Check the id"),
    ({"ledger": "never_seen"}, "never_seen", "", "no event ever said"),
    ({"ledger": "out", "since_us": NOW - HOUR}, "not_in", "", "left the audience at 2026-11-18 11:00:00"),
    ({"ledger": "deleted", "deleted_us": NOW}, "erased", "", "deleted at 2026-11-18 12:00:00"),
    ({"ledger": "deleted", "deleted_us": NOW, "erasing": True}, "erasing", "", "still on their way"),
    ({"ledger": "in", "is_served": False}, "not_served", "", "put the audience's entry back"),
    ({"ledger": "in", "filtered_out": True}, "filtered_out", "", "the sync's `filter` says no"),
    ({"ledger": "in", "not_matching": "The trigger says no."}, "not_matching", "", "The trigger says no."),
    ({"ledger": "in", "has_run": False, "next_us": NOW + HOUR}, "no_record", "not_yet_run", "first run"),
    ({"ledger": "in"}, "no_record", "", "no longer kept"),
    # left out by what became of it before
    ({**IN, "planned": skipped("quarantined"), "problem": REFUSED}, "quarantined", "",
     "the platform refused the record (BAD_EMAIL). It is not tried again until 2026-11-18 13:00:00 or until"),
    ({**IN, "planned": skipped("backoff"), "problem": FAILED}, "backoff", "",
     "not before 2026-11-18 13:00:00; `gateway sync retry s`"),
    ({**IN, "planned": skipped("given_up"), "problem": FAILED}, "given_up", "", "given up after 12 tries"),
    ({**IN, "planned": skipped("left_alone"), "problem": FAILED}, "left_alone", "", "`retry.failed` is false"),
    ({**IN, "planned": skipped("awaiting_resolve"), "listed": "unsure"}, "awaiting_resolve", "", "gateway sync resolve s"),
    ({**IN, "planned": skipped("removals_held"), "listed": "present", "held_run": 7}, "removals_held", "held_run",
     "gateway run approve 7"),
    # something is to be sent
    ({**IN, "planned": Planned(bucket="rejected", reason="no_identifiers")}, "unmappable", "", "(no_identifiers)"),
    ({**IN, "planned": Planned(bucket="rejected", reason="no_identifiers"), "listed": "present"}, "unmappable", "",
     "They stay listed"),
    ({**IN, "planned": ADD, "next_us": NOW + HOUR}, "to_add", "next_run", "comes at 2026-11-18 13:00:00"),
    ({**IN, "planned": ADD, "has_run": False, "next_us": NOW}, "to_add", "not_yet_run", "first run is due now"),
    ({**IN, "planned": ADD}, "to_add", "by_hand", "Runs are started by hand: `gateway sync run s`"),
    ({**IN, "planned": ADD, "problem": FAILED}, "to_add", "by_hand", "The last try failed (http_503)"),
    ({**IN, "planned": ADD, "held_run": 7}, "to_add", "held_run", "Run 7 is held. Look at it (`gateway run show 7`)"),
    ({**IN, "planned": ADD, "open_run": 8}, "to_add", "run_open", "gateway run show 8"),
    ({**IN, "planned": ADD, "status": "paused"}, "to_add", "paused", "gateway sync resume s"),
    ({**IN, "planned": ADD, "status": "deleted"}, "to_add", "deleted", "gateway sync undelete s"),
    ({**IN, "planned": ADD, "status": "deleting"}, "to_add", "deleting", "being cleared"),
    ({**IN, "planned": ADD, "is_enabled": False}, "to_add", "disabled", "switched off"),
    ({**IN, "planned": ADD, "is_connected": False}, "to_add", "not_connected", "`external_id`, or `create`"),
    ({**IN, "planned": ADD, "lane": "its lane is paused: `gateway resume us`."}, "to_add", "lane", "gateway resume us"),
    ({**IN, "planned": ADD, "listed": "unsure"}, "unsure", "by_hand", "which settles it"),
    ({**IN, "planned": planned("update"), "listed": "present"}, "to_update", "by_hand", "has changed"),
    ({**IN, "planned": planned("replace"), "listed": "present"}, "to_replace", "by_hand", "old identifiers"),
    ({**IN, "ledger": "out", "planned": planned("remove"), "listed": "present"}, "to_remove", "by_hand", "to be removed"),
    ({**IN, "ledger": "out", "planned": planned("erase"), "listed": "present"}, "to_erase", "by_hand", "was deleted"),
    ({**IN, "planned": ADD, "whole_lists": True, "next_us": NOW + HOUR}, "to_add", "next_run", "every upload holds the person"),
    ({**IN, "planned": planned("update"), "listed": "present", "whole_lists": True, "below_minimum": True}, "listed",
     "below_minimum", "smaller than the platform takes"),
    # nothing is to be sent
    ({**IN, "planned": skipped("shared_identifier"), "owner": "0a1b"}, "shared_identifier", "", "another member (0a1b)"),
    ({**IN, "planned": skipped("tracked"), "mode": "subtractive"}, "tracked", "by_hand", "nothing is sent when somebody enters"),
    ({**IN, "ledger": "out", "planned": skipped("not_in_mode"), "listed": "present", "mode": "additive"}, "retained", "",
     "additive sync never removes"),
    ({**IN, "planned": skipped("not_in_mode"), "listed": "assumed", "mode": "subtractive"}, "not_in_mode", "", "only removes"),
    ({**IN, "planned": skipped("update_not_supported"), "listed": "present"}, "update_not_supported", "", "--resend"),
    ({**IN, "listed": "assumed"}, "assumed", "", "did not put them there"),
    ({**IN, "listed": "present"}, "listed", "", "nothing is to be sent"),
    ({**IN, "listed": "present", "orphans": 2}, "listed", "", "2 earlier entries"),
    ({**IN, "listed": "unsure"}, "unsure", "", "no answer"),
    ({**IN, "ledger": "out", "listed": "absent"}, "not_in", "", "left the audience"),
    ({**IN, "listed": "absent", "next_us": NOW + HOUR}, "no_record", "next_run", "the next run looks at the member"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "code", "waits_for", "words"), CASES, ids=[f"{row[1]}-{row[2]}-{at}" for at, row in enumerate(CASES)]
)
def test_every_case_says_why_and_what_to_do(given: dict[str, Any], code: str, waits_for: str, words: str) -> None:
    """One code, what the next change waits for, and one sentence with its own words."""
    verdict = explain_standing(msgspec.structs.replace(MemberFacts(sync="s", now_us=NOW, ledger="in"), **given))
    assert (verdict.code, verdict.waits_for) == (code, waits_for)
    assert words in verdict.sentence
    assert verdict.sentence.endswith((".", "`")), verdict.sentence


def test_every_code_and_every_wait_is_met_by_a_case() -> None:
    """The table above leaves none out."""
    from typing import get_args

    from gateway.core.explaining_members import ListedCode, WaitCode

    assert {row[1] for row in CASES} == set(get_args(ListedCode))
    assert {row[2] for row in CASES} == set(get_args(WaitCode))
