"""Seeded cases for FQL: triggers, trees and events, from what the app writes to what nobody should.

`cases(seed, count)` yields JSON-able dictionaries in the shape of the conformance protocol (`kind`, `fql` or `ast`, mostly
`event`; an absent `event` is undefined). The vocabulary is small on purpose, so that triggers and events meet.
"""

import json
import math
import random
import re
from collections.abc import Iterator
from typing import Any

ROOTS = ["type", "event", "name", "userId", "properties", "traits", "context"]
KEYS = [
    "n",
    "s",
    "list",
    "o",
    "a",
    "b",
    "k",
    "e",
    "length",
    "0",
    "1",
    "x y",
    "and",
    "or",
    "null",
    "5x",
    "é",
    "a-b",
    "_u",
]
INHERITED = ["constructor", "toString", "valueOf", "__proto__", "hasOwnProperty", "isPrototypeOf", "push", "trim"]
TEXTS = [
    "track",
    "identify",
    "Order Completed",
    "Order",
    "ted",
    "",
    " ",
    "5",
    "05",
    "5.0",
    "-1",
    "1e3",
    "0x10",
    "x",
    "X",
    "null",
    "true",
    "undefined",
    "NaN",
    "eos",
    "a,b",
    "*",
    "a*",
    "*a",
    "a😀",
    "😀",
    "\ud83d",
    "\ude00",
    "é",
    "e\u0301",
    "it's",
    "a\\b",
    "two\nlines",
    "\r\n",
    "(x)",
    "a.b",
    "$",
    "\u00a05\u00a0",
    "\ufeff5",
    "\u0085" + "5",
    "[object Object]",
]
NUMBERS: list[Any] = [
    5,
    7,
    2.5,
    0,
    1,
    -1,
    -0.0,
    -2.5,
    16,
    1000,
    1e21,
    1e-7,
    9007199254740991,
    9007199254740992,
    9007199254740993,
    12345678901234567890,
    10**400,
    -(10**400),
    5e-324,
    1.7976931348623157e308,
]
NUMBER_WORDS = [
    "5",
    "7",
    "2.5",
    "0",
    "05",
    "1",
    "+5",
    "-5",
    "-",
    "+",
    ".5",
    "5.",
    "5.0",
    "1.2.3",
    "1e5",
    "5abc",
    "-.5",
    "0",
    "-0",
    "7",
]
NUMBER_WORDS += ["9007199254740993", "12345678901234567890", "9" * 25, "9" * 400, "0.0000001", "1000000000000000000000"]
OPERATORS = ["=", "!=", "<", "<=", ">", ">="]
TREE_OPERATORS = [
    *OPERATORS,
    "number_equals",
    "number_not_equals",
    "contains",
    "not_contains",
    "starts_with",
    "not_starts_with",
    "ends_with",
    "not_ends_with",
    "exists",
    "not_exists",
    "is_true",
    "is_false",
]
BARE = ["true", "false", "null", "True", "NULL", "foo", "foo.bar", "A", "an", "no", "nul", "nope", "a", "n", "o", "or1"]
GLUE = [" ", " ", " ", " ", "", "  ", "\t", "\n", "\r", "\r\n", ",", ")", "]", "\u00a0", "\u2028"]
SOUP = [
    *"\"'\\!=<>.,()[]*$&|;/-+_ \t\n\r",
    *"andorulTevntypi5019",
    "é",
    "😀",
    "\ud83d",
    "\ude00",
    "\u017f",
    "\u212a",
    "٣",
    "\0",
]
PIECES = [
    *ROOTS,
    *OPERATORS,
    *BARE,
    *NUMBER_WORDS,
    "and",
    "or",
    "AND",
    "not",
    "in",
    "contains",
    "match",
    "!contains",
    "!match",
    "!",
    "(",
    ")",
    "()",
    "[",
    "]",
    ",",
    ".",
    '"x"',
    "'x'",
    '"track"',
    '""',
    '"',
    "'",
    "\\",
    "properties.n",
    "traits.s",
    "context.o.k",
    "foo.bar",
    "constructor",
    "__proto__",
    "contains(event,",
    "contains(event, ",
    'match(properties.s, "a*")',
    "a*",
    '\\a*\\"',
]  # fmt: skip


def cases(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield that many cases, the same ones for the same seed."""
    make = _Maker(random.Random(seed))
    for _ in range(count):
        # As it arrives over JSON: surrogate pairs joined, numbers as a decoder gives them.
        yield json.loads(json.dumps(make.case()))


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.pick = rng.choice
        # What the trigger or tree just made asks for: the path of each clause's field, and its value. Events are made to
        # have it, or something close to it, so that clauses are true about as often as false.
        self.asked: list[tuple[list[str], Any]] = []
        self.path: list[str] = []

    def one_in(self, chances: int) -> bool:
        return self.rng.randrange(chances) == 0

    def usual(self, items: list[Any]) -> Any:
        """Mostly one of the first few, so that what is asked for and what is there meet often."""
        return self.pick(items[:6] if self.one_in(2) else items)

    # --- whole cases ---

    def case(self) -> dict[str, Any]:
        kind = self.rng.choices(["fql", "fql-parse", "fql-ast", "fql-gen"], [10, 4, 4, 2])[0]
        case: dict[str, Any] = {"kind": kind}
        self.asked = []
        if kind in ("fql", "fql-parse"):
            case["fql"] = self.text()
        else:
            case["ast"] = self.tree()
        if kind in ("fql", "fql-ast") and not self.one_in(50):
            case["event"] = self.event()
        return case

    def text(self) -> str:
        form = self.rng.randrange(20)
        if form == 0:
            return "".join(self.pick(SOUP) for _ in range(self.rng.randrange(12)))
        if form <= 3:
            return "".join(self.pick(PIECES) + self.pick(GLUE) for _ in range(self.rng.randrange(1, 9)))
        text = self.trigger()
        for _ in range(self.rng.choice([0, 0, 0, 0, 1, 1, 2, 4])):
            text = self.mutated(text)
        return text

    # --- text, as people write it ---

    def trigger(self) -> str:
        parts = [self.clause_or_group()]
        while self.one_in(2) and len(parts) < 12:
            parts += [self.pick(["and", "or", "and", "or", "and", "or", "AND", ",", ""]), self.clause_or_group()]
        return " ".join(parts)

    def clause_or_group(self) -> str:
        if not self.one_in(4):
            return self.clause()
        inside = [self.clause()]
        while self.one_in(2):
            inside += [self.pick(["and", "or"]), self.clause()]
        return self.pick(["", "", "", "!"]) + "(" + " ".join(inside) + ")"

    def clause(self) -> str:
        if self.one_in(4):
            function = self.pick(["contains", "match", "!contains", "!match"])
            comma = self.pick([", ", ", ", ", ", ",", " ,", " "])
            return f"{function}({self.field()}{comma}{self.asks(self.pick([self.pattern, self.value])())})"
        operator = self.pick([*OPERATORS, *OPERATORS, *OPERATORS, "==", "=>", "<>", "contains", "number_equals", "in"])
        before, after = self.pick([(" ", " ")] * 6 + [("", ""), ("", " "), (" ", "")])
        return f"{self.field()}{before}{operator}{after}{self.asks(self.value())}"

    def asks(self, value: str) -> str:
        """Note what the clause being made asks for."""
        text = value.strip("\"'*")
        try:
            number = float(value)
            self.asked.append((self.path, number if math.isfinite(number) else 10**400))
        except ValueError:
            self.asked.append((self.path, {"true": True, "false": False, "null": None}.get(value, text)))
        return value

    def field(self) -> str:
        root = self.pick(ROOTS)
        self.path = [root]
        if root in ROOTS[:4] and not self.one_in(8):
            return root
        if self.one_in(30):
            return root
        keys = [self.key() for _ in range(self.pick([1, 1, 1, 1, 2, 2, 3, 7]))]
        dot = self.pick([".", ".", ".", ".", ".", " .", ". ", "\\.", ".."])
        return root + dot + dot.join(keys)

    def key(self) -> str:
        key = self.pick(INHERITED) if self.one_in(80) else self.usual(KEYS)
        self.path.append(key)
        form = self.rng.randrange(8)
        if form == 0:
            return key
        if form == 1:
            return "".join("\\" + character for character in key)
        if form == 2:
            return key + f"\\[{self.rng.randrange(3)}\\]"
        escaped = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "\\" + c for c in key)
        return "\\" + escaped if escaped[0].isdigit() else escaped

    def value(self) -> str:
        form = self.rng.randrange(10)
        if form <= 4:
            return f'"{self.usual(TEXTS)}"'
        if form == 5:
            return f"'{self.usual(TEXTS)}'"
        return self.usual(NUMBER_WORDS) if form <= 7 else self.pick(BARE)

    def pattern(self) -> str:
        text = self.usual(TEXTS)
        return '"' + self.pick([f"{text}*", f"*{text}", text, f"*{text}*", "*"]) + '"'

    def mutated(self, text: str) -> str:
        at = self.rng.randrange(len(text) + 1)
        other = self.rng.randrange(len(text) + 1)
        form = self.rng.randrange(6)
        if form == 0:
            return text[:at] + self.pick(SOUP) + text[at:]
        if form == 1:
            return text[:at] + text[at + 1 :]
        if form == 2:
            return text[:at] + self.pick(SOUP) + text[at + 1 :]
        if form == 3:
            return text[:at] + self.pick(GLUE) + self.pick(PIECES) + self.pick(GLUE) + text[at:]
        if form == 4:
            return text[:at]
        return text[:at] + text[min(at, other) : max(at, other)] + text[at:]

    # --- trees ---

    def tree(self) -> Any:
        if self.one_in(60):
            return self.pick([None, 5, "x", [], True, {}, {"error": "no"}, {"error": ""}, {"operator": "and"}])
        tree = self.group(0)
        if self.one_in(40):
            tree["error"] = self.pick(["no", "", 0, None, {}, []])
        if self.one_in(10):
            tree["type"] = self.pick(["event", None, "nonsense"])
        return tree

    def group(self, level: int) -> dict[str, Any]:
        children = [self.node(level + 1) for _ in range(self.pick([0, 1, 1, 1, 2, 2, 3, 4]))]
        operator = self.pick(["and", "or"] * 8 + ["xor", "AND", None, 5, ""])
        group: dict[str, Any] = {"type": "group", "operator": operator, "children": children}
        if self.one_in(60):
            group["children"] = self.pick([None, "ab", {}, 5])
        if self.one_in(60):
            del group[self.pick(["operator", "children"])]
        return group

    def node(self, level: int) -> Any:
        if level < 6 and self.one_in(4):
            return self.group(level)
        if self.one_in(30):
            return self.pick([None, 5, "x", True, [], {}, {"type": "nonsense", "operator": "="}])
        node_type = self.pick(
            ["event-type", "event", "name", "userId", "event-property", "event-trait", "event-context"]
        )
        node: dict[str, Any] = {"type": node_type}
        if node_type.startswith("event-") and node_type != "event-type":
            node["name"] = self.name()
        node["operator"] = self.pick(TREE_OPERATORS) if not self.one_in(30) else self.pick(["in", "", None, 5, ["="]])
        node["value"] = self.any_value(0)
        root = {"event-type": "type", "event-property": "properties", "event-trait": "traits"}.get(node_type, node_type)
        name = node.get("name", "")
        keys = re.findall(r"[^.\[\]]+", name) if isinstance(name, str) else []
        self.asked.append(([root.removeprefix("event-"), *keys], node["value"]))
        if self.one_in(8):
            del node[self.pick(sorted(node))]
        return node

    def name(self) -> Any:
        if self.one_in(25):
            return self.pick(
                ["", ".", "[]", "..", None, 0, 5, True, False, {}, [], ["a"], ["list", 0], [None], [["a", "b"]]]
            )
        key = self.usual(KEYS if not self.one_in(80) else INHERITED)
        rest = [
            self.pick([".{}", "[{}]", "..{}", "[{}].", "].{}"]).format(self.pick(KEYS))
            for _ in range(self.pick([0, 0, 1, 1, 2, 6]))
        ]
        return key + "".join(rest)

    # --- events ---

    def event(self) -> Any:
        if self.one_in(25):
            return self.pick([None, 5, 0, "text", "", [], [1], True, False, {}, {"properties": None}])
        event: dict[str, Any] = {}
        for member in ROOTS[:4]:
            if not self.one_in(4):
                event[member] = self.any_value(2) if self.one_in(4) else self.usual(TEXTS)
        for member in ROOTS[4:]:
            if not self.one_in(4):
                event[member] = self.any_value(2) if self.one_in(12) else self.record(0)
        for path, value in self.asked:
            if not self.one_in(4):
                self.put(event, path, self.near(value))
        return event

    def put(self, record: dict[str, Any], path: list[str], value: Any) -> None:
        for key in path[:-1]:
            if not isinstance(record.get(key), dict):
                record[key] = {}
            record = record[key]
        record[path[-1]] = value

    def near(self, value: Any) -> Any:
        """The value itself, one that differs by a little, or the same as another type."""
        if self.one_in(3):
            return value
        if isinstance(value, bool) or value is None:
            return self.pick([True, False, None, str(value).lower()])
        if isinstance(value, (int, float)) and abs(value) < 1e300:
            return self.pick(
                [int(value), float(value), value + 1, value - 1, value * 2, str(value), math.nextafter(value, 9e300)]
            )
        if isinstance(value, str):
            number = float(value) if re.fullmatch(r"[0-9.]*[0-9]", value) and value.count(".") < 2 else value
            return self.pick([value, value + "x", "x" + value, "x" + value + "x", value.upper(), value[:-1], number])
        return value

    def record(self, level: int) -> dict[str, Any]:
        return {self.usual(KEYS): self.any_value(level) for _ in range(self.rng.randrange(1, 12))}

    def any_value(self, level: int) -> Any:
        form = self.rng.randrange(12)
        if form <= 3:
            return self.usual(TEXTS)
        if form <= 6:
            return self.usual(NUMBERS)
        if form <= 8:
            return self.pick([True, False, None])
        if level > 3:
            return self.pick([[], {}, 5, "5"])
        if form == 9:
            return [self.any_value(level + 1) for _ in range(self.rng.randrange(4))]
        if form == 10 and self.one_in(5):
            deep: Any = self.usual(TEXTS)
            for _ in range(self.rng.randrange(1, 30)):
                deep = [deep]
            return deep
        return self.record(level + 1)
