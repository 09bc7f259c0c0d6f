"""Triggers: the condition of a mapping, compiled once when the rulebook loads, then asked for every event."""

from __future__ import annotations

import msgspec

from gateway.core.fql.errors import FqlError
from gateway.core.fql.evaluator import Condition, compile_condition, never
from gateway.core.fql.explain import Explanation, Mask, explain
from gateway.core.fql.parser import Reading, read
from gateway.core.fql.tree import TREE_DEPTH_MAX, Tree, clause_count
from gateway.core.fql.warnings import NEVER_MATCHES, TriggerWarning, warnings_of_text, warnings_of_tree
from gateway.core.fql.writer import generate
from gateway.core.javascript import depth, is_truthy, utf16_length

# Bounds of one trigger; ours. The app's own triggers stay far below: a few hundred characters, a dozen clauses.
TEXT_UNITS_MAX = 100_000
CLAUSES_MAX = 2_000


class Trigger(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One trigger, ready to run.

    matches: the compiled condition, called directly: `trigger.matches(body)` with the event as an object. Raises
      TriggerError for the few triggers that fail on an event (see there), nothing else.
    text: the trigger as written, or as its tree is written; empty for a tree that has no text.
    tree: the condition tree; one with `error` where there is none.
    error: why no event will ever match, for the person who wrote it; None for a trigger that works.
    error_column: where in the text, in characters from 1; 0 where there is no place.
    """

    matches: Condition
    text: str
    tree: Tree
    error: str | None = None
    error_column: int = 0
    reading: Reading | None = None

    @property
    def warnings(self) -> tuple[TriggerWarning, ...]:
        """What will surprise whoever wrote it, in the order of the text. Worked out on each call; for `gateway check`."""
        if self.reading is not None:
            return warnings_of_text(self.text, self.reading)
        return warnings_of_tree(self.tree)

    def explain(self, body: dict[str, object], mask: Mask | None = None) -> Explanation:
        """The truth table for one event: every clause with both values, its result, and which of them decided.

        mask: given a clause's field (`traits.email`) and the event's value there, gives what may be shown of it.
        Worked out from the tree on each call; `matches` knows nothing of it. Never raises.
        """
        return explain(self.tree, body, mask)


def compile_trigger(source: str | Tree) -> Trigger:
    """A trigger from its text or its condition tree. Never raises: one that cannot work has an `error`, and never matches.

    Bounds: TEXT_UNITS_MAX UTF-16 units of text, CLAUSES_MAX clauses, TREE_DEPTH_MAX levels of JSON in a tree.
    """
    return _from_text(source) if isinstance(source, str) else _from_tree(source)


def _from_text(text: str) -> Trigger:
    if utf16_length(text) > TEXT_UNITS_MAX:
        return _broken(f"The trigger is longer than {TEXT_UNITS_MAX:,} characters.", text=text)
    reading = read(text)
    if reading.failure is not None:
        reason = warnings_of_text(text, reading)[0]
        what = f"Column {reason.column}: {reason.message.removesuffix(NEVER_MATCHES)} {reason.mend}"
        return _broken(what, text=text, tree=reading.tree, column=reason.column, reading=reading)
    if (problem := _too_large(reading.tree)) is not None:
        return _broken(problem, text=text)
    return Trigger(matches=compile_condition(reading.tree), text=text, tree=reading.tree, reading=reading)


def _from_tree(tree: Tree) -> Trigger:
    if (problem := _too_large(tree)) is not None:
        return _broken(problem)
    try:
        text = generate(tree)
    except FqlError:
        text = ""  # Not every tree has a text; it may work all the same.
    if is_truthy(tree.get("error")):
        return _broken("The condition tree is an error: its text was no trigger.", tree=tree)
    return Trigger(matches=compile_condition(tree), text=text, tree=tree)


def _too_large(tree: Tree) -> str | None:
    if depth(tree) > TREE_DEPTH_MAX:
        return f"The condition tree is nested deeper than {TREE_DEPTH_MAX} levels of JSON."
    if clause_count(tree) > CLAUSES_MAX:
        return f"The trigger has more than {CLAUSES_MAX:,} clauses."
    return None


def _broken(
    error: str, *, text: str = "", tree: Tree | None = None, column: int = 0, reading: Reading | None = None
) -> Trigger:
    """A trigger that never matches, and says why."""
    return Trigger(
        matches=never,
        text=text,
        tree=tree or {"error": error},
        error=error,
        error_column=column,
        reading=reading,
    )
