"""Warnings: where Segment's reading of a trigger, which is ours too, will surely surprise whoever wrote it.

They change nothing: the trigger runs as Segment runs it. A trigger that the app writes has none, save where the app's own
text means something else than its form (a call inside a group).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import msgspec

from gateway.core.fql.clause_warnings import Note, call_notes, comparison_notes, misread_note
from gateway.core.fql.lexer import Token, column_of
from gateway.core.fql.parser import Level, Reading, Step
from gateway.core.fql.satisfiable import impossible_clauses
from gateway.core.fql.tree import MEMBERS, ROOTS, Tree, member_of
from gateway.core.javascript import code_units, is_truthy, to_text

# Ends the warning about a text that is no trigger at all.
NEVER_MATCHES = " No event ever matches."

_CLAUSES = ("comparison", "call", "group")
_JOINERS = ("and", "or")

# Members of an event that triggers cannot look at, however much one would like to.
_OUT_OF_REACH = frozenset(
    ("anonymousId", "groupId", "previousId", "messageId", "timestamp", "receivedAt", "sentAt", "originalTimestamp")
)
_MEANT = {
    "user": "userId",
    "user_id": "userId",
    "property": "properties",
    "props": "properties",
    "email": "traits.email",
}


class TriggerWarning(msgspec.Struct, frozen=True, kw_only=True):
    """One surprise. column: where, in characters of the text from 1; always 1 for a trigger that is a tree.

    message: what Segment makes of it. mend: what to write instead.
    """

    column: int
    message: str
    mend: str


def warnings_of_text(text: str, reading: Reading) -> tuple[TriggerWarning, ...]:
    """All warnings about a text, in its order."""
    notes: list[Note] = []
    if reading.level is not None:
        notes += _level_notes(reading.level, code_units(text))
        notes += _impossible_notes(reading.tree, reading.level)
    if (failure := reading.failure) is not None and not notes:
        notes.append(Note(failure.at, failure.what, failure.mend))
    if failure is not None:
        notes[0] = Note(notes[0].at, notes[0].what + NEVER_MATCHES, notes[0].mend)
    # One place, one warning: the first is the most particular. (A clause that is misread is also never true, say.)
    first_at = {note.at: note for note in reversed(notes)}
    return tuple(
        TriggerWarning(column=column_of(text, note.at), message=note.what, mend=note.mend)
        for _, note in sorted(first_at.items())
    )


def warnings_of_tree(tree: Tree) -> tuple[TriggerWarning, ...]:
    """All warnings about a condition tree."""
    if is_truthy(tree.get("error")):
        return (
            TriggerWarning(
                column=1, message="The tree is an error: its text was no trigger.", mend="Give a condition."
            ),
        )
    found = [*_shape_notes(tree), *(Note(0, one.what, one.mend) for one in impossible_clauses(tree))]
    return tuple(TriggerWarning(column=1, message=note.what, mend=note.mend) for note in found)


def _shape_notes(group: Tree) -> Iterator[Note]:
    """What is not a group or clause in a tree, and so is false, or fails."""
    operator, children = group.get("operator"), group.get("children")
    if operator not in _JOINERS:
        yield Note(0, f"A group joined by `{to_text(operator)}` is never true.", 'Set `operator` to "and" or "or".')
        return
    if not isinstance(children, list):
        yield Note(
            0, "A group without a list of `children` fails on every event that gets that far.", "Give it `children`."
        )
        return
    for child in children:
        if child is None:
            yield Note(0, "A null among `children` fails on every event that gets that far.", "Take it away.")
        elif isinstance(child, dict) and child.get("type") == "group":
            yield from _shape_notes(child)
        elif member_of(child) is None:
            kinds = ", ".join(f"`{one}`" for one in (*MEMBERS, "group"))
            yield Note(0, "A child of no known `type` is never true.", f"The types are {kinds}.")


def _impossible_notes(tree: Tree, level: Level) -> Iterator[Note]:
    """What can never be true: at the operator of a single clause, at the last of several that exclude each other."""
    step_of = {id(node): step for step in _steps(level) for node in step.nodes}
    for impossible in impossible_clauses(tree):
        step = step_of[id(impossible.clauses[-1])]
        is_operators_fault = step.kind == "comparison" and len(impossible.clauses) == 1
        yield Note(step.tokens[1 if is_operators_fault else 0].start, impossible.what, impossible.mend)


def _steps(level: Level) -> Iterator[Step]:
    """All steps, those inside a group before the group's own."""
    for step in level.steps:
        if step.inner is not None:
            yield from _steps(step.inner)
        yield step


def _level_notes(level: Level, units: str) -> Iterator[Note]:
    """What will surprise on one level of parentheses, and inside its clauses."""
    cut_at = next((place for place in range(len(level.steps)) if _is_cut_short(level.steps, place)), None)
    if cut_at is not None:
        yield _cut_note(level, level.steps[cut_at])
    else:
        yield from _mixed_joiner_notes(level)
    yield from _joint_notes(level)
    yield from _skipped_notes(level, units, after_cut=cut_at is not None)
    for step in level.steps:
        if step.kind == "comparison":
            yield from comparison_notes(step, units)
        elif step.kind == "call":
            yield from call_notes(step)
        elif step.inner is not None:
            yield from _level_notes(step.inner, units)
            if step.nodes == (None,):
                yield Note(
                    step.tokens[0].start,
                    "There is no clause in these parentheses: looking for one fails.",
                    "Take them away, or write a clause into them.",
                )


def _ends_at_a_call(step: Step) -> bool:
    """Whether a group was closed by the `)` of a call inside it: the call then finds the end in place of its own `)`."""
    if step.inner is None or not step.inner.steps:
        return False
    last = step.inner.steps[-1]
    return last.kind == "call" and last.tokens[-1].kind == "end"


def _is_cut_short(steps: tuple[Step, ...], place: int) -> bool:
    """Whether such a group goes on in the text. Where its own `)` comes next, nothing is lost."""
    following = steps[place + 1] if place + 1 < len(steps) else None
    return _ends_at_a_call(steps[place]) and following is not None and following.tokens[0].kind != ")"


def _cut_note(level: Level, group: Step) -> Note:
    return Note(
        group.tokens[0].start,
        "A call inside parentheses ends the group at its own `)`. What follows joins the outer level, all of which is"
        f" joined by `{level.joiner}`.",
        "Put the call last in its group, or give each alternative a trigger of its own.",
    )


def _mixed_joiner_notes(level: Level) -> Iterator[Note]:
    joiners = [step.tokens[0] for step in level.steps if step.kind == "joiner"]
    other = next((joiner for joiner in joiners if joiner.value != level.joiner), None)
    if other is not None:
        yield Note(
            other.start,
            f"`and` and `or` are mixed without parentheses. The last one counts for all: every clause is joined by"
            f" `{level.joiner}`.",
            "Put parentheses around what belongs together.",
        )


def _joint_notes(level: Level) -> Iterator[Note]:
    """`and` and `or` with no clause on one side, and clauses with neither between them."""
    pending: Token | None = None
    seen_clause = joint_open = excused = False
    for step in level.steps:
        token = step.tokens[0]
        if step.kind == "joiner":
            if not seen_clause or pending is not None:
                yield _dangling_note(token, level)
            pending = token
        elif step.kind in _CLAUSES:
            if joint_open and pending is None and not excused:
                yield Note(
                    token.start,
                    f"No `and` or `or` stands before this clause: it is joined by `{level.joiner}` all the same.",
                    f"Write `{level.joiner}` between the clauses.",
                )
            seen_clause = joint_open = True
            pending, excused = None, False
        elif token.kind != ")":
            # What is skipped has its own note. It was meant as a clause, or as what joins two.
            excused = True
            if not _is_like_a_joiner(token):
                seen_clause, pending = True, None
    if pending is not None:
        yield _dangling_note(pending, level)


def _dangling_note(joiner: Token, level: Level) -> Note:
    return Note(
        joiner.start,
        f"`{joiner.value}` has no clause on one side. It counts all the same: the clauses here are joined by `{level.joiner}`.",
        f"Take `{joiner.value}` away, or write the missing clause.",
    )


def _skipped_notes(level: Level, units: str, *, after_cut: bool) -> Iterator[Note]:
    """Words that mean nothing; one note for each run of them, and one for each that looks like `and`, `or`, `not`.

    None for what follows a clause that was misread already, nor for the `)` that a group cut short leaves behind.
    """
    previous: Step | None = None
    in_run = False
    for step in level.steps:
        if step.kind == "skipped":
            token = step.tokens[0]
            closes_cut_group = token.kind == ")" and (after_cut or (previous is not None and _ends_at_a_call(previous)))
            if _is_like_a_joiner(token):
                yield _like_a_joiner_note(token, level)
                in_run = False
            elif not in_run and not closes_cut_group:
                yield _skipped_note(token, previous)
                in_run = True
        else:
            in_run = step.kind == "comparison" and bool(step.nodes) and misread_note(step, units) is not None
        previous = step


def _is_like_a_joiner(token: Token) -> bool:
    return token.kind == "ident" and token.value.lower() in (*_JOINERS, "not")


def _like_a_joiner_note(token: Token, level: Level) -> Note:
    word = token.value
    if word in _JOINERS:
        what = f"`{word}` needs a blank after it. It is ignored: the clauses here are joined by `{level.joiner}`."
        return Note(token.start, what, f"Write `{word} (`.")
    if word.lower() == "not":
        return Note(token.start, f"`{word}` means nothing and is ignored.", "Use `!=`, `!contains(…)` or `!match(…)`.")
    what = f"`{word}` is not `{word.lower()}`. It is ignored: the clauses here are joined by `{level.joiner}`."
    return Note(token.start, what, f"Write `{word.lower()}` in small letters.")


def _skipped_note(token: Token, previous: Step | None) -> Note:
    """Why one word, the first of its run, is ignored. previous: what was read before it."""
    last = previous.tokens[-1] if previous is not None else None
    touches = last is not None and last.end == token.start
    if token.kind == "operator" and token.value == "!":
        what = "`!` works only in front of `contains` or `match`. Here it is ignored: nothing is negated."
        return Note(token.start, what, "Use `!=`, or turn each clause around.")
    if token.kind == "string" and last is not None and last.kind == "string" and touches:
        what = (
            "A closing quote needs a blank, a comma, a bracket or the end after it. This one opens a new text instead."
        )
        return Note(token.start, what, "Put a blank after the quote.")
    if last is not None and last.kind == "number" and touches:
        what = f"The number ends here: `{token.value}` is not part of it, and is ignored."
        return Note(token.start, what, "Write the number out in digits: no exponents, no units.")
    if token.kind == ")":
        return Note(token.start, "This `)` closes nothing and is ignored.", "Take it away, or write the `(`.")
    if (
        token.kind == "ident"
        and previous is not None
        and previous.kind == "comparison"
        and last is not None
        and last.kind == "ident"
    ):
        what = (
            f"`{token.value}` is ignored: a text without quotes ends at a blank, so the value is `{last.value}` alone."
        )
        return Note(token.start, what, f'Write `"{last.value} {token.value}"`.')
    if token.kind == "ident":
        return _unknown_field_note(token)
    return Note(
        token.start, f"`{token.value}` does not belong here and is ignored.", "Join clauses with `and` or `or`."
    )


def _unknown_field_note(token: Token) -> Note:
    first, _, rest = token.value.partition(".")
    what = f"`{token.value}` is no field of a trigger: it is ignored, and so is what it is compared with."
    if first in _OUT_OF_REACH:
        return Note(
            token.start,
            what,
            f"`{first}` cannot be used in a trigger. Use `userId`, or a property, trait or context field.",
        )
    meant = _MEANT.get(first.lower()) or _nearest_root(first)
    if meant is None and first in ("event", "message", "payload", "body"):
        meant = "properties"
    if meant is None:
        return Note(
            token.start,
            what,
            f"Write `properties.{token.value}`, `traits.{token.value}` or `context.{token.value}`; quote texts.",
        )
    return Note(token.start, what, f"Write `{meant}.{rest}`." if rest else f"Write `{meant}`.")


def _nearest_root(word: str) -> str | None:
    by_lower = {root.lower(): root for root in ROOTS}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.75)
    return by_lower[near[0]] if near else None
