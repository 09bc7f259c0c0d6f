"""What can go wrong with a trigger: its text or tree is not usable, or an event makes it fail."""

from __future__ import annotations


class FqlError(Exception):
    """A text or tree that cannot be read, written or compiled; `messages` says why, in the evaluator's words."""

    def __init__(self, *messages: str) -> None:
        self.messages = messages
        super().__init__("; ".join(messages))


class TriggerError(FqlError):
    """A trigger failed while it looked at an event, where Segment's own evaluator throws.

    Three things do that: empty parentheses, a field name made of dots and brackets only, and (in hand-made trees) a
    node that is no object or has no children. Treat it as "does not match", and say so to the operator.
    """
