"""FQL, the language of trigger conditions: text or condition tree in, one compiled function out.

Read `tree` (what a condition is), `lexer` and `parser` (how text becomes one), `evaluator` (what it says of an event).
Everything is as Segment's own evaluator does it, down to what surprises; `warnings` says where it will.
"""

from gateway.core.fql.errors import FqlError, TriggerError
from gateway.core.fql.evaluator import Condition
from gateway.core.fql.explain import ClauseResult, Explanation, GroupResult, Mask
from gateway.core.fql.parser import parse
from gateway.core.fql.reference import evaluate, evaluate_tree, parse_json
from gateway.core.fql.tree import Tree
from gateway.core.fql.trigger import Trigger, compile_trigger
from gateway.core.fql.warnings import TriggerWarning
from gateway.core.fql.writer import generate

__all__ = [
    "ClauseResult",
    "Condition",
    "Explanation",
    "FqlError",
    "GroupResult",
    "Mask",
    "Tree",
    "Trigger",
    "TriggerError",
    "TriggerWarning",
    "compile_trigger",
    "evaluate",
    "evaluate_tree",
    "generate",
    "parse",
    "parse_json",
]
