"""From the tokens of one clause to its node of the tree. Whatever the tokens are, there is an answer.

What a comparison means depends on its field more than on what is written: `= null` asks whether a property is missing, and
whether an event is named "null".
"""

from __future__ import annotations

from gateway.core.fql.lexer import Token
from gateway.core.fql.tree import OBJECT_ROOTS, ROOTS, SCALAR_ROOTS, VALUELESS, Tree
from gateway.core.javascript import code_units, joined, number_text, text_number, to_text

_EXPONENTS_FROM = 1e21  # JavaScript writes numbers from here on with an exponent.


def comparison_node(root: str, field: Token, operator: Token, value: Token) -> Tree:
    """The node of `field operator value`. Scalar roots ignore what follows their dot.

    `type` and `event` compare with text, always: `event != null` is "not the text null". `name` knows null, `userId`
    also true and false. Fields of objects know numbers as well, and keep their value's type.
    """
    if root in OBJECT_ROOTS:
        node: Tree = {"type": ROOTS[root], "name": _field_name(root, field.value)}
        special = _special(operator.value, value, ("null", "true", "false", _NUMBER))
        plain = plain_value(value)
    else:
        node = {"type": ROOTS[root]}
        special = _special(operator.value, value, _SCALARS_KNOW[root])
        plain = to_text(plain_value(value))
    node["operator"] = special or operator.value
    if special not in VALUELESS:
        node["value"] = plain
    return node


_NUMBER = None  # Stands for any number in the two tables below; a token's text is never None.
_SCALARS_KNOW: dict[str, tuple[str | None, ...]] = {
    "type": (),
    "event": (),
    "name": ("null",),
    "userId": ("null", "true", "false"),
}
_SPECIAL = {
    ("=", "null"): "not_exists",
    ("!=", "null"): "exists",
    ("=", "true"): "is_true",
    ("=", "false"): "is_false",
    ("=", _NUMBER): "number_equals",
    ("!=", _NUMBER): "number_not_equals",
}


def _special(operator: str, value: Token, known: tuple[str | None, ...]) -> str | None:
    """The tree's own operator for `= null`, `!= null`, `= true`, `= false`, `= 5`, `!= 5`, where the field knows it.

    The token's text is looked at, not its kind; a quoted `"true"` has quotes in its text. (`!= true` has no operator of
    its own: it is "not the text true".)
    """
    what = _NUMBER if value.kind == "number" else value.value
    return _SPECIAL.get((operator, what)) if what in known else None


def call_nodes(function: str, field: Token, value: Token, *, negated: bool) -> tuple[Tree, ...]:
    """The node of `contains(field, value)` or `match(field, value)`; none for `type` and anything else no field.

    `match` knows one star, at one end, and looks for it only at the end of the text: without it the *first* character
    is dropped, whatever it is, and the rest is a suffix.
    """
    node = _call_field(field.value)
    if node is None:
        return ()
    text = to_text(plain_value(value))
    if function == "contains":
        operator = "contains"
    elif value.value.endswith('*"'):
        operator, text = "starts_with", text[:-1]
    else:
        operator, text = "ends_with", joined(code_units(text)[1:])
    node["operator"] = "not_" + operator if negated else operator
    node["value"] = text
    return (node,)


def _call_field(text: str) -> Tree | None:
    """The start of a call's node. Object roots are recognised by the beginning of the text: `propertiesX` is one."""
    if text != "type" and text in SCALAR_ROOTS:
        return {"type": text}
    root = next((root for root in OBJECT_ROOTS if text.startswith(root)), None)
    return None if root is None else {"type": ROOTS[root], "name": _field_name(root, text)}


def _field_name(root: str, text: str) -> str:
    """The text after `properties.`; all of it where that is not how it begins: bare `properties` is a field so named."""
    return text.removeprefix(root + ".")


def plain_value(token: Token) -> object:
    """A value token as a value: text without its double quotes, a number, a boolean, else the token's own text.

    Single quotes stay part of the text, bare words are texts, and so is punctuation: `x = (` compares with `(`.
    """
    if token.kind == "string":
        return token.value.removeprefix('"').removesuffix('"')
    if token.kind == "number":
        return _tidy(text_number(token.value))
    if token.kind == "ident" and token.value in ("true", "false"):
        return token.value == "true"
    return token.value


def _tidy(number: float) -> float:
    """The same number, as an `int` where JavaScript writes it without point and exponent: trees show `5`, not `5.0`."""
    return int(number_text(number)) if abs(number) < _EXPONENTS_FROM and number.is_integer() else number
