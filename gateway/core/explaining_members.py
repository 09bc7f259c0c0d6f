"""Why somebody is on a sync's list or is not, and what to do about it: one code and one sentence, from what is stored.

The plan decides, as it would in the next run (`core/sync_plan.py`); here its verdict is put into words.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from gateway.core.sync_options import Mode
from gateway.core.sync_plan import NOT_CONSIDERED, Planned
from gateway.core.sync_records import RecordProblem, State

LedgerState = Literal["in", "out", "never_seen", "unknown_member", "deleted"]
"""Of a person in an audience. never_seen: known, but not in connection with this audience."""

ListedCode = Literal[
    "listed", "assumed", "not_in", "never_seen", "unknown_member", "erased", "erasing", "filtered_out", "not_matching",
    "no_record", "unmappable", "quarantined", "backoff", "given_up", "left_alone", "unsure", "awaiting_resolve",
    "shared_identifier", "retained", "tracked", "not_in_mode", "update_not_supported", "removals_held", "to_add", "to_update",
    "to_replace", "to_remove", "to_erase", "not_served",
]  # fmt: skip
WaitCode = Literal[
    "", "held_run", "run_open", "paused", "deleting", "deleted", "disabled", "not_connected", "lane", "by_hand", "not_yet_run",
    "next_run", "below_minimum",
]  # fmt: skip


class MemberFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the sentence is made of. Moments are Unix microseconds, 0 for none.

    ledger, since_us: membership of the audience. deleted_us: of a privacy request. is_served: the rulebook has the sync.
    has_record: the sync knows the member. listed: what the platform holds. planned: what the next run would do.
    filtered_out: the sync's filter says no to the latest event. not_matching: why that event gave the sync nothing, "" for
    unknown. owner: reference of who holds a shared entry. held_run, open_run: numbers, 0 for none. lane: why the destination's
    lane stands still. sync: name, for the commands. erasing: deleted people of the sync are still to be erased.
    """

    sync: str
    now_us: int
    ledger: LedgerState
    mode: Mode = "mirror"
    since_us: int = 0
    deleted_us: int = 0
    erasing: bool = False
    is_served: bool = True
    is_enabled: bool = True
    is_connected: bool = True
    status: str = "active"
    has_run: bool = True
    whole_lists: bool = False
    below_minimum: bool = False
    has_record: bool = False
    listed: State = "absent"
    planned: Planned = NOT_CONSIDERED
    problem: RecordProblem | None = None
    orphans: int = 0
    filtered_out: bool = False
    not_matching: str = ""
    owner: str = ""
    held_run: int = 0
    open_run: int = 0
    lane: str = ""
    next_us: int = 0


class MemberVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """code: why the person is or is not listed. waits_for: what the next change waits for. sentence: both, and the mend."""

    code: ListedCode
    waits_for: WaitCode
    sentence: str


_LISTED: Final[dict[State, str]] = {
    "absent": "Not on the list",
    "present": "On the list",
    "assumed": "Taken to be on the list, though the gateway did not put them there",
    "unsure": "Perhaps on the list: the last request had no answer",
}
_PLANNED: Final[dict[str, tuple[ListedCode, str]]] = {
    "add": ("to_add", "is to be added"),
    "update": ("to_update", "is to be updated: what is sent of them has changed"),
    "replace": ("to_replace", "is to be taken off under the old identifiers and added under the new ones"),
    "remove": ("to_remove", "is to be removed"),
    "erase": ("to_erase", "is to be erased, because the person was deleted"),
}


def explain_standing(facts: MemberFacts) -> MemberVerdict:
    """The verdict for one member of one sync. Every case has its own words; none says a value of the person."""
    for look in (_without_record, _waiting, _planned, _settled):
        verdict = look(facts)
        if verdict is not None:
            return verdict
    raise AssertionError("a settled member has a verdict")


def _without_record(facts: MemberFacts) -> MemberVerdict | None:
    """People of whom the sync keeps nothing."""
    if facts.ledger == "deleted":
        when = _at(facts.deleted_us)
        if facts.erasing:
            return _said(
                "erasing",
                f"The person was deleted at {when}; erasures of this sync are still on their way to the list.",
            )
        return _said(
            "erased", f"Not on the list: the person was deleted at {when}, and nothing of them is left to erase."
        )
    if facts.ledger == "unknown_member":
        return _said(
            "unknown_member",
            "Not on the list: no event of this person was ever taken in. Check the id (`user_id:…`, `anonymous_id:…`, "
            "`email:…`), and `gateway tail` for events that were refused.",
        )
    if not facts.is_served:
        return _said(
            "not_served",
            f"{_LISTED[facts.listed]}. No mapping serves this sync any more, so nothing is sent: put the audience's entry "
            "back into its file.",
        )
    if facts.has_record:
        return None
    if facts.ledger == "never_seen":
        return _said(
            "never_seen",
            "Not on the list: no event ever said that this person entered the audience. `gateway tail` shows what comes in.",
        )
    if facts.ledger == "out":
        return _said("not_in", f"Not on the list: the person left the audience at {_at(facts.since_us)}.")
    since = f"the person is in the audience since {_at(facts.since_us)}"
    if facts.filtered_out:
        return _said(
            "filtered_out",
            f"Not on the list: {since}, but the sync's `filter` says no to their latest event. An event that meets it, or "
            "another filter, lets them in.",
        )
    if facts.not_matching:
        return _said(
            "not_matching",
            f"Not on the list: {since}, but their latest event gave this sync nothing. {facts.not_matching}",
        )
    if not facts.has_run:
        text, wait = _wait(facts)
        return _said("no_record", f"Not on the list yet: {since}; the first run takes them in. {text}", wait)
    return _said(
        "no_record",
        f"Not on the list: {since}, but their event came before the mapping and is no longer kept. Their next event lets "
        "them in; `gateway replay` helps while the events are kept.",
    )


def _waiting(facts: MemberFacts) -> MemberVerdict | None:
    """People whose operation is left out because of what became of it before."""
    problem, listed = facts.problem, _LISTED[facts.listed]
    code = f" ({problem.code})" if problem is not None and problem.code else ""
    retry = f"`gateway sync retry {facts.sync}` tries it with the next run"
    tries = f"{problem.attempts} tries since {_at(problem.first_us)}" if problem is not None else "several tries"
    match facts.planned.reason if facts.planned.bucket == "skipped" else "":
        case "quarantined":
            until = f" until {_at(problem.next_try_us)} or" if problem is not None and problem.next_try_us else ""
            return _said(
                "quarantined",
                f"{listed}: the platform refused the record{code}. It is not tried again{until} until the person's data, the "
                f"mapping or the destination changes: mend what is refused, or {retry}.",
            )
        case "backoff":
            until = _at(problem.next_try_us) if problem is not None else "tomorrow"
            return _said("backoff", f"{listed}: {tries} failed{code}. The next try is not before {until}; {retry}.")
        case "given_up":
            return _said(
                "given_up",
                f"{listed}: given up after {tries}{code}. A change of the person's data starts anew; {retry}.",
            )
        case "left_alone":
            return _said(
                "left_alone",
                f"{listed}: the last try failed{code}, and the sync does not retry (`retry.failed` is false). {retry}.",
            )
        case "awaiting_resolve":
            return _said(
                "awaiting_resolve",
                f"{listed}, and the platform may not be asked twice. Look there, then `gateway sync resolve {facts.sync} "
                "--listed` or `--not-listed`.",
            )
        case "removals_held":
            return _said(
                "removals_held",
                f"{listed}, and to be removed; run {facts.held_run} is held, so nobody is. {_approve(facts.held_run)}",
                "held_run",
            )
        case _:
            return None


def _planned(facts: MemberFacts) -> MemberVerdict | None:
    """People of whom the next run sends something, or cannot."""
    planned = facts.planned
    text, wait = _wait(facts)
    if planned.bucket == "rejected":
        kept = "" if facts.listed == "absent" else " They stay listed as they were last sent."
        return _said(
            "unmappable",
            f"{_LISTED[facts.listed]}: the mapping makes no record of their latest event ({planned.reason}).{kept} Mend the "
            "mapping's fields, or have the missing trait sent; `gateway explain` shows the event field by field.",
        )
    if planned.bucket != "planned" or planned.op is None:
        return None
    if facts.whole_lists:
        code: ListedCode = "to_add" if facts.listed == "absent" else "listed"
        return _said(code, f"{_LISTED[facts.listed]}; every upload holds the person while they are in. {text}", wait)
    code, what = _PLANNED[planned.op]
    again = ""
    if facts.problem is not None and facts.problem.kind == "failed":
        of = f" ({facts.problem.code})" if facts.problem.code else ""
        again = f" The last try failed{of}; it is tried again."
    if facts.listed == "unsure":
        return _said("unsure", f"{_LISTED['unsure']}. The member {what}, which settles it. {text}", wait)
    return _said(code, f"{_LISTED[facts.listed]}; the member {what}.{again} {text}", wait)


def _settled(facts: MemberFacts) -> MemberVerdict:
    """People of whom nothing is to be sent."""
    listed = _LISTED[facts.listed]
    match facts.planned.reason if facts.planned.bucket == "skipped" else "":
        case "shared_identifier":
            return _said(
                "shared_identifier",
                f"{listed} by themselves: another member ({facts.owner or 'unknown'}) has the same identifiers and owns the "
                "entry. It stays until none of them is in.",
            )
        case "tracked":
            text, wait = _wait(facts)
            return _said(
                "tracked",
                f"{listed}; nothing is sent when somebody enters here: the record is remembered, so that it can be removed "
                f"when they leave. {text}",
                wait,
            )
        case "not_in_mode" if facts.mode == "additive":
            return _said(
                "retained",
                "On the list although the person left the audience: an additive sync never removes. Mode `mirror` would.",
            )
        case "not_in_mode":
            return _said(
                "not_in_mode",
                f"{listed}; their data has changed, but a subtractive sync only removes, so nothing is sent.",
            )
        case "update_not_supported":
            return _said(
                "update_not_supported",
                f"{listed}, as sent before: their data has changed, and this platform takes no updates. "
                f"`gateway sync run {facts.sync} --resend` adds them anew.",
            )
        case _:
            pass
    if facts.listed == "absent":
        if facts.ledger == "in":
            return _said("no_record", f"{listed}; the next run looks at the member. {_wait(facts)[0]}", _wait(facts)[1])
        return _said("not_in", f"{listed}: the person left the audience at {_at(facts.since_us)}.")
    more = f" {facts.orphans} earlier entries of theirs are still listed, too." if facts.orphans else ""
    if facts.listed == "assumed":
        return _said("assumed", f"{listed}. The first change of theirs settles it.{more}")
    if facts.listed == "unsure":
        return _said("unsure", f"{listed}.{more}")
    return _said("listed", f"On the list, as it should be: nothing is to be sent.{more}")


def _wait(facts: MemberFacts) -> tuple[str, WaitCode]:
    """What the next change waits for, nearest first, and what to do."""
    if facts.held_run:
        return f"Run {facts.held_run} is held. {_approve(facts.held_run)}", "held_run"
    if facts.status == "paused":
        return f"The sync is paused: `gateway sync resume {facts.sync}`.", "paused"
    if facts.status == "deleted":
        return f"The sync is deleted: `gateway sync undelete {facts.sync}`.", "deleted"
    if facts.status == "deleting":
        return "The sync is being cleared, to be deleted.", "deleting"
    if not facts.is_enabled:
        return "The mapping or its file is switched off (`enabled`).", "disabled"
    if not facts.is_connected:
        return (
            "The platform's list is not known: give its `external_id`, or `create`, in the mapping's `audiences`.",
            "not_connected",
        )
    if facts.lane:
        return f"The destination sends nothing now: {facts.lane}", "lane"
    if facts.open_run:
        return f"Run {facts.open_run} is under way; `gateway run show {facts.open_run}` tells how it goes.", "run_open"
    if facts.below_minimum:
        return "The last list was smaller than the platform takes, so none was sent.", "below_minimum"
    first = "" if facts.has_run else "first "
    if facts.next_us:
        due = "is due now" if facts.next_us <= facts.now_us else f"comes at {_at(facts.next_us)}"
        hurry = f"; `gateway sync run {facts.sync}` does not wait for it"
        return f"The {first or 'next '}run {due}{hurry}.", "next_run" if facts.has_run else "not_yet_run"
    return f"Runs are started by hand: `gateway sync run {facts.sync}`.", "by_hand" if facts.has_run else "not_yet_run"


def _approve(run: int) -> str:
    return f"Look at it (`gateway run show {run}`), then `gateway run approve {run}` or `reject`."


def _said(code: ListedCode, sentence: str, waits_for: WaitCode = "") -> MemberVerdict:
    return MemberVerdict(code=code, waits_for=waits_for, sentence=sentence.strip())


def _at(us: int) -> str:
    """A moment as people read it, UTC, to the second."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S") if us else "an unknown time"
