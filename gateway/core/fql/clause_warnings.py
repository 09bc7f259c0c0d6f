"""What will surprise in single clauses of a trigger's text: the value, the operator, the field, the call."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from gateway.core.fql.evaluator import TESTS
from gateway.core.fql.lexer import Token
from gateway.core.fql.parser import Step
from gateway.core.fql.tree import COMPARISONS, OBJECT_ROOTS, ROOTS, SCALAR_ROOTS, VALUELESS, Tree
from gateway.core.javascript import number_text, text_number

# A quoted number is an ordinary text in fields that are named like these, and nothing to warn of.
_TEXT_FIELDS = re.compile(r"(id|key|code|zip|postal|phone|sku|version|number|no)s?$", re.IGNORECASE)
_DIGITS_MAX = 15  # Longer ones are identifiers: a double could not hold them.
_LIKE_LITERALS = ("true", "false", "null", "none", "nil", "undefined")


class Note(msgspec.Struct, frozen=True):
    """One finding. at: the unit of the text it is about. what, mend: a sentence or two each."""

    at: int
    what: str
    mend: str


def comparison_notes(step: Step, units: str) -> Iterator[Note]:
    """What will surprise in `field operator value`: first what was misread, else what is read as written and means less."""
    field, operator, value = step.tokens
    root = field.value.split(".", 1)[0]
    if not step.nodes:
        yield Note(field.start, f"`{field.value}` is no field of a trigger: the clause is ignored.", _FIELDS)
        return
    if operator.kind != "dot":
        yield from _field_notes(field, root, units)
    misread = misread_note(step, units)
    if misread is not None:
        yield misread
    elif value.kind == "string" and root in OBJECT_ROOTS:
        yield from _quoted_number_notes(field, operator.value, value)


def misread_note(step: Step, units: str) -> Note | None:
    """What is wrong with a comparison's operator or value, if anything: what follows is then out of step as well."""
    field, operator, value = step.tokens
    return _operator_note(field, operator, value) or _value_note(field, operator, value, units)


def _field_notes(field: Token, root: str, units: str) -> Iterator[Note]:
    rest = field.value.partition(".")[2]
    if root in SCALAR_ROOTS and rest:
        inner = rest if rest.split(".", 1)[0] in ROOTS else f"properties.{rest}"
        yield Note(field.start, f"What follows `{root}` is ignored: `{field.value}` is `{root}`.", f"Write `{inner}`.")
    elif root in OBJECT_ROOTS and not rest:
        yield Note(
            field.start,
            f"`{root}` alone is not the object: it is read as `{root}.{root}`.",
            f"Name a field of it: `{root}.plan`.",
        )
    elif "\\." in units[field.start : field.end]:
        yield Note(
            field.start,
            f"An escaped dot is a dot: `{field.value}` goes one level down at each. A key that contains a dot is out of reach.",
            "Send the value under a key without dots.",
        )


def _operator_note(field: Token, operator: Token, value: Token) -> Note | None:
    """The operator is none, or is two."""
    name = field.value
    if operator.kind == "dot":
        return Note(
            operator.start,
            f"The path ends after `{name}`: `{value.value}` is read as a word or number of its own.",
            f"Escape its first character: `{name}.\\{value.value}`.",
        )
    if operator.value not in TESTS:
        return Note(
            operator.start,
            f"`{operator.value}` is no operator, so the clause on `{name}` is never true.",
            f"Use one of {', '.join(f'`{one}`' for one in COMPARISONS)}, or `contains({name}, …)`, `match({name}, …)`.",
        )
    if operator.value == "=" and value.value == "=" and value.kind == "operator":
        return Note(
            operator.start,
            f'`==` is not an FQL operator. Segment reads it as "{name} equals the text `=`", and so do we.',
            f'Write `{name} = "pro"` with a single `=`.',
        )
    if operator.value in ("<", ">") and value.kind == "operator" and value.value == "=":
        written = operator.value + "="
        return Note(
            operator.start,
            f'`{written}` needs a blank after it. Segment reads this as "{name} {operator.value} the text `=`", and so do we.',
            f"Write `{name} {written} 5`.",
        )
    return None


def _value_note(field: Token, operator: Token, value: Token, units: str) -> Note | None:
    """The value is read as something else than it looks like."""
    name, text = field.value, value.value
    if value.kind == "string":
        return _string_note(value)
    if value.kind == "number":
        return None
    if value.kind == "end":
        if operator.value in VALUELESS:
            return None  # `traits.plan exists` works, by accident.
        return Note(
            value.start, f"There is no value: Segment compares `{name}` with the text `eos`.", "Write the value."
        )
    if value.kind == "null" or text in ("true", "false"):
        return _literal_note(name, operator, value)
    if value.kind != "ident":
        return Note(
            value.start, f"`{text}` stands where the value belongs: `{name}` is compared with that text.", _VALUES
        )
    if text.lower() in _LIKE_LITERALS:
        return Note(
            value.start,
            f"`{text}` is a plain word here: `{name}` is compared with the text `{text}`.",
            "Write `true`, `false` and `null` in small letters, and other words in double quotes.",
        )
    if text in ("a", "n") and value.end - value.start > 1:
        written = units[value.start : value.end]
        return Note(
            value.start,
            f"A bare word at the very end loses letters: `{written}` is read as `{text}`.",
            f'Put it in quotes: `"{written}"`.',
        )
    return None


def _string_note(value: Token) -> Note | None:
    if value.value.startswith("'"):
        return Note(
            value.start,
            f"Single quotes are part of the text: the value is {value.value}, quotes included.",
            f'Use double quotes: `"{value.value[1:-1]}"`.',
        )
    if value.value.endswith('\\"'):
        return Note(
            value.start,
            'Nothing is escaped inside quotes: the text ends at the first `"`, with the backslash as its last character.',
            "Ask for a part of the text without quotes, with `contains` or `match`.",
        )
    return None


def _literal_note(name: str, operator: Token, value: Token) -> Note | None:
    """`null`, `true` and `false` where they are no more than words."""
    root, text = name.split(".", 1)[0], value.value
    if operator.value not in ("=", "!="):
        return None
    knows_null = root not in ("type", "event")
    if text == "null":
        mend = f'"Is there" is `match({name}, "*")`.' if operator.value == "!=" else f'Write a text: `{name} = "…"`.'
        always = ", so this is true for every event" if operator.value == "!=" else ""
        what = f"`{name}` is compared with the text `null`, it does not know the value{always}."
        return None if knows_null else Note(value.start, what, mend)
    if operator.value == "!=":
        other = "false" if text == "true" else "true"
        what = f'`!= {text}` means "is not the text `{text}`": it is true for the boolean {text} too.'
        return Note(operator.start, what, f"Write `{name} = {other}`, which asks for the boolean.")
    if root in ("type", "event", "name"):
        return Note(
            value.start, f"`{name}` is compared with the text `{text}`.", f'Write `{name} = "{text}"` to say so.'
        )
    return None


def _quoted_number_notes(field: Token, operator: str, value: Token) -> Iterator[Note]:
    text = value.value[1:-1]
    if operator not in ("=", "!=") or len(text) > _DIGITS_MAX or _TEXT_FIELDS.search(field.value):
        return
    if number_text(text_number(text)) != text or text in ("NaN", "Infinity", "-Infinity"):
        return
    effect = f"never the number {text}" if operator == "=" else f"and `!=` is true for the number {text}"
    yield Note(
        value.start,
        f'`"{text}"` in quotes is a text: it equals the text `{text}`, {effect}.',
        f"Write `{field.value} {operator} {text}` if events have a number there.",
    )


def call_notes(step: Step) -> Iterator[Note]:
    """What will surprise in a call of `contains` or `match`."""
    name, *taken = step.tokens[1:] if step.negated else step.tokens
    opening, field, comma, value = taken[:4]
    closing = taken[4] if len(taken) > 4 else None
    example = f'{name.value}(event, "{"Order" if name.value == "contains" else "Order*"}")'
    for token, expected in ((opening, "("), (comma, "comma"), (closing, ")")):
        if token is not None and token.kind not in (expected, "end"):
            what = f"`{token.value}` stands where a call of `{name.value}` has its `{',' if expected == 'comma' else expected}`."
            yield Note(token.start, what, f"Write `{example}`.")
            return
    if not step.nodes:
        mend = 'Write `type = "track"`.' if field.value == "type" else _FIELDS
        yield Note(field.start, f"`{name.value}` cannot look at `{field.value}`: the clause is ignored.", mend)
        return
    root = next((root for root in OBJECT_ROOTS if field.value.startswith(root)), None)
    if root is not None and not field.value.startswith(root + "."):
        meant = f"{root}.{field.value}"
        what = f"`{field.value}` is read as the field `{meant}`."
        yield Note(field.start, what, f"Write `{meant}` if you mean it, else `{root}.` and the field's name.")
    if (note := _string_note(value) if value.kind == "string" else None) is not None:
        yield note
    elif name.value == "match":
        yield from _pattern_notes(field, value, step.nodes[0])


def _pattern_notes(field: Token, value: Token, node: Tree | None) -> Iterator[Note]:
    """`match` knows one star, at one end."""
    pattern = value.value.removeprefix('"').removesuffix('"')
    text = str(node["value"]) if node is not None else ""
    head, star, tail = pattern.strip("*").partition("*")
    parts = f'Ask for the parts one by one: `match({field.value}, "{head}*") and match({field.value}, "*{tail}")`.'
    if not pattern.startswith("*") and not pattern.endswith("*"):
        what = f'Without a star at either end `match` drops the first character: this is "ends with `{text}`".'
        whole = f'Write `"{pattern}*"` or `"*{pattern}"`; for the whole text use `=`.'
        yield Note(value.start, what, parts if star else whole)
    elif "*" in text:
        which = "starts" if pattern.endswith("*") else "ends"
        what = f'Only one star, at one end, is a wildcard: this is "{which} with `{text}`", star included.'
        yield Note(value.start, what, parts if star else f'Write `contains({field.value}, "{head}")`.')


_FIELDS = "Fields begin with `type`, `event`, `name`, `userId`, `properties.`, `traits.` or `context.`."
_VALUES = "Write a text in double quotes, a number, `true`, `false` or `null`."
