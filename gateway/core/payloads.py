"""Checking a payload (or settings) against fields: empties dropped, values coerced, unknown keys removed, all faults told.

The rules are Segment's (its schema builder, empty-value remover and JSON-schema validator in one). They are compiled once, in
`core/field_rules.py`; a payload that needs no mending costs one pass over its keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.core.definitions import Field
from gateway.core.field_rules import ObjectRule, Record

DYNAMIC_AUTH_KEY: Final = (
    "dynamicAuthSettings"  # Set aside before the check and put back after it, as in the reference.
)


class PayloadError(Exception):
    """A payload or settings that do not fit. messages: one sentence a fault; they name fields, never their values."""

    def __init__(self, messages: list[str]) -> None:
        self.messages = messages
        super().__init__(" ".join(messages))


class PayloadCheck:
    """The compiled check of one action's fields, or of a destination's settings."""

    __slots__ = ("_root",)

    def __init__(self, fields: Sequence[Field]) -> None:
        self._root = ObjectRule("", fields, is_root=True) if fields else None

    def check(self, payload: Record, *, batched: bool) -> Record:
        """The payload with empties and unknown keys removed and values coerced, keys in their order; a new dict.

        batched: empty texts on the top level survive where the field takes text; an event sent alone loses them.
        Without fields the payload comes back as it is. Raises PayloadError with every fault, also for a payload that is
        no object at all (a root directive can give one).
        """
        root = self._root
        if root is None:
            return payload
        checked = root.quick(payload, drop_empty_text=not batched) if type(payload) is dict else None
        if checked is None:
            checked = _checked(root, root.clean_record(payload, drop_empty_text=not batched))
        if DYNAMIC_AUTH_KEY in payload:
            checked[DYNAMIC_AUTH_KEY] = payload[DYNAMIC_AUTH_KEY]
        return checked

    def check_settings(self, settings: Record) -> Record:
        """The same for settings and audience settings, of which nothing is dropped: null and "" are values like others.

        Raises PayloadError with every fault.
        """
        if self._root is None:
            return settings
        checked = _checked(self._root, settings)
        if DYNAMIC_AUTH_KEY in settings:
            checked[DYNAMIC_AUTH_KEY] = settings[DYNAMIC_AUTH_KEY]
        return checked


def compile_check(fields: Sequence[Field]) -> PayloadCheck:
    """Compile fields. Raises ValueError for a format that nobody knows: the definition must be mended."""
    return PayloadCheck(fields)


def defaults_of(fields: Sequence[Field]) -> Record:
    """The default mapping of an action: what is laid under a mapping that leaves fields out."""
    return {field.key: field.default for field in fields if field.default is not msgspec.UNSET}


def _checked(root: ObjectRule, record: Record) -> Record:
    messages: list[str] = []
    checked = root.check(root.with_lists(record), "", messages)
    if messages:
        raise PayloadError(messages)
    assert isinstance(checked, dict), "what is no object has a message"
    return checked
