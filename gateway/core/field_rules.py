"""One compiled rule for each shape of field: a plain value, a list, an object; used by `core/payloads.py` only.

A rule has two ways through it. The quick one takes values that need no mending and gives up on everything else. The slow
one cleans, coerces and collects sentences, in the reference's order: conditions, missing fields, then fields as defined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from gateway.core.coercion import JsonType, coerced, fits
from gateway.core.definitions import Field
from gateway.core.field_sentences import characters, field_name, listed, quoted, wrong_format, wrong_type
from gateway.core.formats import FORMAT_NAMES, NUMBER_FORMATS, TEXT_FORMATS
from gateway.core.javascript import UNDEFINED, number_text, utf16_length
from gateway.core.requirements import compile_requirements

Record = dict[str, object]

_KINDS: Final[dict[str, tuple[type, type]]] = {
    "string": (str, str),
    "number": (int, float),
    "integer": (int, int),
    "boolean": (bool, bool),
    "object": (dict, dict),
}


class Rule(Protocol):
    """What is known of one field."""

    @property
    def kinds(self) -> tuple[type, type]:
        """The Python types that a value which needs no mending can have."""

    @property
    def takes_null(self) -> bool:
        """Whether null is one of the field's types."""

    @property
    def is_fine(self) -> Callable[[object], bool] | None:
        """Whether a value of the right kind needs no mending; None when every such value is fine."""

    @property
    def quick_inside(self) -> Callable[[object], object] | None:
        """For values with insides: the checked value, or None when it must go the slow way."""

    def clean(self, value: object) -> object:
        """The value without its empties; UNDEFINED when nothing is left."""

    def check(self, value: object, pointer: str, messages: list[str]) -> object:
        """The coerced value; faults are added to messages."""


def compile_rule(field: Field) -> Rule:
    """The rule of one field. Raises ValueError for an unknown format."""
    if field.format is not None and field.format not in FORMAT_NAMES:
        raise ValueError(f"Field {field.key!r} asks for the unknown format {field.format!r}.")
    if field.type == "any":
        return AnyRule()
    if field.multiple:
        return ListRule(field)
    if field.type == "object" and field.properties:
        return ObjectRule(field.label, field.properties, keep_unknown=field.additional_properties)
    return ValueRule(field)


class ValueRule:
    """A text, a number, a boolean, or an object of any shape.

    is_item: it stands for the items of a list, which have the type and the choices, but no label, format or limits.
    """

    quick_inside = None

    def __init__(self, field: Field, *, is_item: bool = False) -> None:
        types = _json_types(field)
        choices: list[str | None] = [choice.value for choice in field.choices]
        self.kinds = _KINDS[types[0]]
        self.takes_null = field.allow_null and not is_item
        self._types: tuple[JsonType, ...] = (*types, "null") if self.takes_null else types
        self._choices = [*choices, None] if choices and field.allow_null else choices
        self._label = "" if is_item else field.label
        self._format = "" if is_item else "date-like" if field.type == "datetime" else field.format or ""
        self._text_format = TEXT_FORMATS.get(self._format)
        self._number_format = NUMBER_FORMATS.get(self._format)
        least, most = (None, None) if is_item else (field.minimum or None, field.maximum or None)  # 0 is no bound
        self._lengths = (least, most) if field.type == "string" else (None, None)
        self._range = (least, most) if field.type == "number" else (None, None)
        self.is_fine = self._quickest_test()

    def _quickest_test(self) -> Callable[[object], bool] | None:
        has_limits = (*self._lengths, *self._range) != (None,) * 4
        if self.kinds == (int, float) or has_limits or self._number_format:  # A float may be infinite.
            return self._is_right
        if self._choices:
            return self._is_right if self._text_format else frozenset(self._choices).__contains__
        return self._text_format if self.kinds == (str, str) else None  # type: ignore[return-value] # kinds come first

    def _is_right(self, value: object) -> bool:
        messages: list[str] = []
        return self.check(value, "", messages) is value and not messages

    def clean(self, value: object) -> object:
        """See Rule."""
        if (value is None and not self.takes_null) or (value == "" and "string" not in self._types):
            return UNDEFINED
        return value

    def check(self, value: object, pointer: str, messages: list[str]) -> object:
        """See Rule."""
        is_right, value = coerced(self._types, value)
        name = field_name(self._label, pointer)
        if not is_right:
            messages.append(wrong_type(name, self._types, value))
        if self._choices and ((value is not None and not isinstance(value, str)) or value not in self._choices):
            messages.append(f"{name} must be one of: {listed([quoted(choice) for choice in self._choices])}.")
        if isinstance(value, str):
            self._check_text(value, name, messages)
        elif isinstance(value, (int, float)) and fits("number", value):
            self._check_number(value, name, messages)
        return value

    def _check_text(self, text: str, name: str, messages: list[str]) -> None:
        least, most = self._lengths
        if most is not None and len(text) > most:
            messages.append(f"{name} must be {characters(most)} or fewer but it was {characters(utf16_length(text))}.")
        if least is not None and len(text) < least:
            messages.append(f"{name} must be {characters(least)} or more but it was {characters(utf16_length(text))}.")
        if self._text_format is not None and not self._text_format(text):
            messages.append(wrong_format(name, self._format))

    def _check_number(self, number: float, name: str, messages: list[str]) -> None:
        least, most = self._range
        if most is not None and number > most:
            messages.append(f"{name} must be equal to or less than {number_text(most)}.")
        if least is not None and number < least:
            messages.append(f"{name} must be equal to or greater than {number_text(least)}.")
        if self._number_format is not None and not self._number_format(number):
            messages.append(wrong_format(name, self._format))


class AnyRule:
    """A field of any type: nothing about a value is wrong but its absence."""

    kinds = (str, str)
    takes_null = False
    is_fine = None
    quick_inside = None

    def clean(self, value: object) -> object:
        """See Rule."""
        return UNDEFINED if value is None or value == "" else value

    def check(self, value: object, pointer: str, messages: list[str]) -> object:  # noqa: ARG002 - a rule like the others
        """See Rule."""
        return value


class ListRule:
    """A field with `multiple`: empty items are dropped, the others are checked but not cleaned inside."""

    kinds = (list, list)
    takes_null = False
    is_fine = None

    def __init__(self, field: Field) -> None:
        self._label = field.label
        has_shape = field.type == "object" and field.properties
        self._item: Rule = (
            ObjectRule("", field.properties, keep_unknown=field.additional_properties)
            if has_shape
            else ValueRule(field, is_item=True)
        )

    def quick_inside(self, value: object) -> object:
        """See Rule."""
        assert isinstance(value, list)
        item_rule = self._item
        kind, other_kind = item_rule.kinds
        is_fine, quick_inside = item_rule.is_fine, item_rule.quick_inside
        checked: list[object] = []
        for item in value:
            if type(item) is not kind and type(item) is not other_kind:
                return None
            if quick_inside is not None:
                inside = quick_inside(item) if _is_flat(item) else None
                if inside is None:
                    return None
                checked.append(inside)
            elif is_fine is None or is_fine(item):
                checked.append(item)
            else:
                return None
        return checked

    def clean(self, value: object) -> object:
        """See Rule."""
        if value is None or value == "":
            return UNDEFINED
        if not isinstance(value, list):
            return value
        clean = self._item.clean
        return [item for item in value if item is not UNDEFINED and clean(item) is not UNDEFINED]

    def check(self, value: object, pointer: str, messages: list[str]) -> object:
        """See Rule."""
        _, value = coerced(("array",), value)
        if not isinstance(value, list):
            messages.append(wrong_type(field_name(self._label, pointer), ("array",), value))
            return value
        check = self._item.check
        return [check(item, f"{pointer}/{place}", messages) for place, item in enumerate(value)]


class ObjectRule:
    """A payload, or an object whose members are listed.

    keep_unknown: members that are not listed stay. is_root: it is the payload itself, not a field of one.
    """

    kinds = (dict, dict)
    takes_null = False
    is_fine = None

    def __init__(
        self, label: str, fields: Sequence[Field], *, keep_unknown: bool = False, is_root: bool = False
    ) -> None:
        self._label = label
        self._keep_unknown = keep_unknown
        self._rules = {field.key: compile_rule(field) for field in fields}
        # The reference drops the plain requirements of an inner object as soon as one of its members has conditions;
        # the conditions themselves are then asked one level up.
        is_asked_above = not is_root and any(not isinstance(field.required, bool) for field in fields)
        self._required = () if is_asked_above else tuple(field.key for field in fields if field.required is True)
        self._requirements = () if is_asked_above else compile_requirements(fields)
        # What the quick way needs of each rule, laid out flat.
        self._quick = {
            key: (*rule.kinds, rule.is_fine, rule.quick_inside, rule.takes_null) for key, rule in self._rules.items()
        }

    def quick(self, record: Record, *, drop_empty_text: bool) -> Record | None:
        """The checked object when nothing has to be coerced and nothing is wrong; None sends it the slow way."""
        if self._requirements:
            return None
        rules = self._quick
        checked: Record = {}
        for key, value in record.items():
            rule = rules.get(key)
            if rule is None:
                if self._keep_unknown:
                    checked[key] = value
                continue
            kind, other_kind, is_fine, quick_inside, takes_null = rule
            if type(value) is kind or type(value) is other_kind:
                if value == "" and drop_empty_text:
                    continue
                if quick_inside is not None:
                    value = quick_inside(value)  # noqa: PLW2901 (the checked value takes the place of the raw one)
                    if value is None:
                        return None
                elif is_fine is not None and not is_fine(value):
                    return None
                checked[key] = value
            elif value is not None or takes_null:
                return None
        for key in self._required:
            if key not in checked:
                return None
        return checked

    def quick_inside(self, value: object) -> object:
        """See Rule."""
        assert isinstance(value, dict)
        return self.quick(value, drop_empty_text=False)

    def clean_record(self, record: Record, *, drop_empty_text: bool) -> Record:
        """The object without its empties. What is no object comes back as it is."""
        if not isinstance(record, dict):
            return record
        cleaned: Record = {}
        for key, value in record.items():
            rule = self._rules.get(key)
            kept = value if rule is None else rule.clean(value)
            if kept is not UNDEFINED and not (drop_empty_text and kept == ""):
                cleaned[key] = kept
        return cleaned

    def clean(self, value: object) -> object:
        """See Rule."""
        if value is None or value == "":
            return UNDEFINED
        return self.clean_record(value, drop_empty_text=False) if isinstance(value, dict) else value

    def with_lists(self, record: Record) -> Record:
        """The object with the values of list fields wrapped where they are no lists; only the payload itself gets this."""
        if not isinstance(record, dict):
            return record
        wrapped = {
            key: [value]
            for key, value in record.items()
            if isinstance(self._rules.get(key), ListRule) and value is not None and not isinstance(value, list)
        }
        return {**record, **wrapped}

    def check(self, value: object, pointer: str, messages: list[str]) -> object:
        """See Rule."""
        name = field_name(self._label, pointer)
        if not isinstance(value, dict):
            messages.append(wrong_type(name, ("object",), value))
            return value
        for requirement in self._requirements:
            requirement(value, pointer, messages)
        messages.extend(f"{name} is missing the required field '{key}'." for key in self._required if key not in value)
        checked = {
            key: rule.check(value[key], f"{pointer}/{_pointer_piece(key)}", messages)
            for key, rule in self._rules.items()
            if key in value
        }
        if self._keep_unknown:
            return {key: checked.get(key, held) for key, held in value.items()}
        return {key: checked[key] for key in value if key in checked}


def _is_flat(item: object) -> bool:
    """Whether an item has neither nulls, which are not dropped but coerced there, nor anything that may hold some."""
    return isinstance(item, dict) and all(
        value is not None and type(value) is not dict and type(value) is not list for value in item.values()
    )


def _json_types(field: Field) -> tuple[JsonType, ...]:
    match field.type:
        case "string" | "text" | "password" | "any":
            return ("string",)
        case "datetime":
            return ("string", "number")
        case _:
            return (field.type,)


def _pointer_piece(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
