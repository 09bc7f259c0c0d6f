"""The plainest evaluator of condition trees: walks the tree for every event, in the order and words of the language."""

from typing import Any

from gateway.core.javascript import UNDEFINED, double, is_number, is_truthy, member, to_number, to_text

MEMBERS = {
    "event-type": "type",
    "event": "event",
    "name": "name",
    "userId": "userId",
    "event-property": "properties",
    "event-trait": "traits",
    "event-context": "context",
}


class ThrownError(Exception):
    """Where JavaScript throws."""


def slow_matches(tree: dict[str, Any], body: dict[str, Any]) -> bool:
    if is_truthy(tree.get("error", UNDEFINED)):
        return False
    return group(tree, body)


def group(tree: dict[str, Any], body: dict[str, Any]) -> bool:
    if tree.get("operator") not in ("and", "or"):
        return False
    if not isinstance(tree.get("children"), list):
        raise ThrownError
    for child in tree["children"]:
        if node(child, body) is (tree["operator"] == "or"):
            return tree["operator"] == "or"
    return tree["operator"] == "and"


def node(tree: Any, body: dict[str, Any]) -> bool:
    if tree is None:
        raise ThrownError
    if not isinstance(tree, dict):
        return False
    if tree.get("type") == "group":
        return group(tree, body)
    if not isinstance(tree.get("type"), str) or tree["type"] not in MEMBERS:
        return False
    actual = member(body, MEMBERS[tree["type"]])
    if MEMBERS[tree["type"]] in ("properties", "traits", "context"):
        actual = get(actual, tree.get("name", UNDEFINED))
    return holds(actual, tree.get("operator", UNDEFINED), tree.get("value", UNDEFINED))


def get(start: Any, name: Any) -> Any:
    if isinstance(name, list):
        keys = [to_text(key) for key in name]
    elif not is_truthy(name):
        return UNDEFINED
    elif not isinstance(name, str):
        raise ThrownError
    else:
        keys = name.replace("[", ".").replace("]", ".").split(".")
        keys = [key for key in keys if key]
        if not keys:
            raise ThrownError
    for key in keys:
        if is_truthy(start):
            start = member(start, key)
    return start


def holds(actual: Any, operator: Any, expected: Any) -> bool:
    text, number = to_text(expected), to_number(expected)
    if operator == "=":
        return isinstance(actual, str) and actual == text
    if operator == "!=":
        return not (isinstance(actual, str) and actual == text)
    if operator in ("exists", "not_exists"):
        return (actual is not None and actual is not UNDEFINED) is (operator == "exists")
    if operator in ("is_true", "is_false"):
        return actual is (operator == "is_true")
    if isinstance(actual, str) and isinstance(operator, str):
        whole, part = units(actual), units(text)
        answers = {
            "contains": part in whole,
            "starts_with": whole[: len(part)] == part,
            "ends_with": not part or whole[-len(part) :] == part,
        }
        wanted = operator.removeprefix("not_")
        return wanted in answers and answers[wanted] is (wanted == operator)
    if is_number(actual) and isinstance(operator, str):
        seen = double(actual)
        answers = {
            "<": seen < number,
            "<=": seen <= number,
            ">": seen > number,
            ">=": seen >= number,
            "number_equals": seen == number,
            "number_not_equals": seen != number,
        }
        return answers.get(operator, False)
    return False


def units(text: str) -> str:
    encoded = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(int.from_bytes(encoded[at : at + 2], "little")) for at in range(0, len(encoded), 2))
