# ruff: noqa: RUF001 - look-alike letters are the point of some texts
"""Seeded cases for holding the mapping kit against Segment's: mappings, events and values as JSON lines would carry them."""

import random
from collections.abc import Callable, Iterator

from tests.oracle.liquid_cases import LiquidCases

TEXTS = (
    "", " ", "x", "Ann", "a-b-c", "Hi😀", "é", "😀😀", "ß", "İ", "ΑΣ", "true", "0", "5", "-1", "01", "0x10", "1e3",
    "2.50", "null",
    "{{s}}", "{{{s}}}", "$&", "$.s", "@path", "a.b", "x]y", "'q'", '"', "line\nbreak", "\u2028", "\ufeff x\u00a0",
    "\x1c", "\ud83d",
    "\ude00x", "[1,2]", '{"a":{"b":1},"2":3}', "[1,]", "1e400", "Kk", "ſS", "σςΣ", "2024-03-05T07:08:09.045Z",
    "a,b,,c", "length",
    "<b>x</b>", "a+b%20c", "constructor", "日本語 text", "ann@example.com",
)  # fmt: skip
KEYS = (
    "a", "b", "s", "n", "l", "o", "list", "items", "traits", "properties", "email", "id", "q", "0", "1", "2", "10",
    "01", "-1", "x y",
    "x.y", "", "$", "@a", "_metadata", "length", "size", "[k]", "é", "nul", "no", "zero", "4294967294", "4294967295",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 5, 2.5, 0.1, 1e21, 1e-7, 12345678901234567890, 1234567890123456789, 9007199254740993, -0.5, 100, 3.0,
    1709622489, 1e300,
    123456789.125,
)  # fmt: skip
PATHS = (
    "$.", "$", "", ".", "..", "$.s", "s", "$.n", "$.o", "$.l", "$.items", "$.items[0].id", "items.0.id",
    "items[1]['id']", "l.length",
    "l[-1]", "items[*].id", "items.id", "items[0", "s.length", "s[0]", "s[2]", "s[3]", "$.o['a b'].c", "$.o.a b.c",
    'o["a b"].c',
    "o.x.y", "o['x.y']", "o.[k]", "o['']", " s", "$.zero.deep", "$.no.deep", "$.nul.deep", "$.n.deep", "$.nope.deep",
    "$.$", "$.$.q",
    "q.$.s", "s$.", "o..b...c", ".n.", "$.traits.email", "traits", "properties.plan", "$.emoji[2]", "$.emoji.length",
    "l.01", "l.1",
    "o.size", "$.nope", "a]b", "a']]b", "l[0]]", "'l'[0]", "items[0][id]", "$.js", "$.date", "$.big", "deep.a.b.c.d",
    "$.tpl",
)  # fmt: skip
DIRECTIVES = (
    "@path", "@template", "@literal", "@if", "@case", "@replace", "@arrayPath", "@merge", "@transform", "@flatten",
    "@json",
    "@excludeWhenNull", "@liquid",
)  # fmt: skip


class MappingCases:
    """Endless cases from one seed; the same seed gives the same cases."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.liquid = LiquidCases(self.random)

    def __iter__(self) -> Iterator[dict[str, object]]:
        number = 0
        while True:
            yield {"id": number, **self.case()}
            number += 1

    def case(self) -> dict[str, object]:
        chance = self.random.random()
        if chance < 0.04:
            return {
                "kind": "map-batch",
                "mapping": self.mapping(),
                "events": [self.event() for _ in range(self.random.randrange(4))],
            }
        if chance < 0.1:
            return {"kind": "keys", "value": self.mapping_value(3)}
        if chance < 0.4:
            return {"kind": "map", "mapping": {"v": {"@liquid": self.liquid.template()}}, "event": self.event()}
        case: dict[str, object] = {"kind": "map", "mapping": self.mapping(), "event": self.event()}
        if self.random.random() < 0.01:
            case["event"] = self.value(1)
        elif self.random.random() < 0.003:
            del case["event"]
        return case

    # --- Events ---

    def value(self, depth: int) -> object:
        pick = self.random.random()
        if depth <= 0 or pick < 0.55:
            return self.random.choice(
                (self.random.choice(TEXTS), self.random.choice(TEXTS), self.random.choice(NUMBERS), None, True, False)
            )
        if pick < 0.75:
            return [self.value(depth - 1) for _ in range(self.random.randrange(4))]
        return {self.random.choice(KEYS): self.value(depth - 1) for _ in range(self.random.randrange(5))}

    def event(self) -> dict[str, object]:
        event: dict[str, object] = {
            "s": self.random.choice(TEXTS),
            "n": self.random.choice(NUMBERS),
            "t": True,
            "no": False,
            "nul": None,
            "zero": 0,
            "e": "",
            "emoji": "Hi😀",
            "l": [self.value(1) for _ in range(self.random.randrange(4))],
            "items": [
                {"id": 1, "q": "a", "ts": 1709622489},
                self.random.choice(({"id": 2, "q": None}, None, 0, "text", [1, 2], {})),
                {"q": "c"},
            ],
            "o": {"a b": {"c": 1}, "x.y": 2, "[k]": 3, "": 4, "b": {"c": [1, None]}, "2": "two", "1": None},
            "$": {"q": 7},
            "js": self.random.choice(
                ('{"b":[1,{"k":null}],"10":1,"2":[]}', "{a:1}", '"\\ud83d"', "12345678901234567890", "[NaN]")
            ),
            "traits": {"email": self.random.choice(("ann@example.com", None, "")), "plan": None, "first_name": "Ann"},
            "properties": {"plan": "pro", "size in cm": 42, "list": [3, 1, 2]},
            "date": self.liquid.date_text(),
            "tpl": "{{s}}{{{n}}}",
            "deep": {"a": {"b": {"c": {"d": [[[1]]]}}}},
            "big": 12345678901234567890,
        }
        for _ in range(self.random.randrange(3)):
            event[self.random.choice(KEYS)] = self.value(2)
        return event

    # --- Mappings ---

    def mapping(self) -> object:
        pick = self.random.random()
        if pick < 0.02:
            return self.mapping_value(3)
        if pick < 0.05:
            return {
                "__segment_internal_directive": self.random.choice(
                    (
                        {"@transform": {"apply": {"s": {"@path": "$.s"}, "o": {"@path": "$.o"}}}},
                        {"@transform": {"apply": self.mapping_value(2)}},
                        self.directive(1),
                        {},
                        {"a": 1, "b": 2},
                        [{"k": {"@path": "$.s"}}],
                        "x",
                    )
                ),
                "f": self.mapping_value(2),
            }
        return {self.random.choice(KEYS): self.mapping_value(3) for _ in range(self.random.randrange(1, 4))}

    def mapping_value(self, depth: int) -> object:
        pick = self.random.random()
        if depth <= 0 or pick < 0.15:
            return self.value(1)
        if pick < 0.75:
            return self.directive(depth - 1)
        if pick < 0.87:
            return {self.random.choice(KEYS): self.mapping_value(depth - 1) for _ in range(self.random.randrange(4))}
        return [self.mapping_value(depth - 1) for _ in range(self.random.randrange(4))]

    def directive(self, depth: int) -> dict[str, object]:
        pick = self.random.random()
        if pick < 0.015:
            return {self.random.choice(("@nope", "@Path", "@", "@if ")): self.value(1)}
        name = self.random.choice(DIRECTIVES)
        option = self.value(2) if self.random.random() < 0.02 else self.option(name, depth)
        record: dict[str, object] = {name: option}
        if pick < 0.03:
            record["_metadata"] = {"label": "x"}
        elif pick < 0.035:
            record[self.random.choice(KEYS)] = 1
        elif pick < 0.04:
            record[self.random.choice(DIRECTIVES)] = self.value(1)
        return record

    def option(self, name: str, depth: int) -> object:
        makers: dict[str, Callable[[int], object]] = {
            "@path": self._path,
            "@template": self._template,
            "@literal": self.mapping_value,
            "@excludeWhenNull": self.mapping_value,
            "@if": self._if,
            "@case": self._case,
            "@replace": self._replace,
            "@arrayPath": self._array_path,
            "@merge": self._merge,
            "@transform": self._transform,
            "@flatten": self._flatten,
            "@json": self._json,
            "@liquid": lambda _depth: self.liquid.template(),
        }
        return makers[name](depth)

    def path(self) -> str:
        if self.random.random() < 0.8:
            return self.random.choice(PATHS)
        pieces = [
            self.random.choice((*KEYS, ".", "[", "]", "['", "']", '["', '"]', "[0]", ".length"))
            for _ in range(self.random.randrange(5))
        ]
        return "".join(pieces)

    def _path(self, depth: int) -> object:
        return self.path() if self.random.random() < 0.9 else self.mapping_value(depth)

    def _template(self, depth: int) -> object:
        if self.random.random() < 0.07:
            return self.mapping_value(depth)
        opening, closing = ("{{", "{{{", "{", "{{{{", "{{ "), ("}}", "}}}", "}", " }}", "}}}}")
        parts = [
            self.random.choice(("", "a", "}", "{", "é", "$&", "\n", "😀"))
            + self.random.choice(opening)
            + self.path()
            + self.random.choice(closing)
            for _ in range(self.random.randrange(4))
        ]
        return "".join(parts)

    def _options(self, **options: object) -> dict[str, object]:
        kept = {name.rstrip("_"): option for name, option in options.items() if self.random.random() < 0.93}
        if self.random.random() < 0.04:
            kept[self.random.choice(("extra", "value", "exists", "mapping", "omitArrays"))] = self.mapping_value(1)
        return kept

    def _if(self, depth: int) -> object:
        condition = self.mapping_value(depth)
        tests: dict[str, object] = self.random.choice(
            ({"exists": condition}, {"exists": condition}, {"blank": condition})
        )
        if self.random.random() < 0.08:
            tests = {"exists": self.mapping_value(depth), "blank": condition}
        then = condition if self.random.random() < 0.3 else self.mapping_value(depth)
        return self._options(**tests, then=then, else_=self.mapping_value(depth))

    def _case(self, depth: int) -> object:
        operator = self.random.choice(("lower", "upper", "upper", "title", "Lower"))
        return self._options(operator=operator, value=self.mapping_value(depth))

    def _short(self) -> object:
        texts = (
            "a",
            "-",
            ".",
            "b",
            "$&",
            "$$",
            "[$`|$']",
            "$1",
            "σ",
            "s",
            "S",
            "k",
            "ß",
            "12345678901",
            "",
            " ",
            "\\",
            "^x$",
            "😀",
            "\ud83d",
            "é",
            "{{",
        )
        return self.random.choice(texts)

    def _replace(self, depth: int) -> object:
        options = self._options(
            pattern=self._short(),
            replacement=self._short(),
            value=self.random.choice(({"@path": self.path()}, self.mapping_value(depth))),
        )
        for name, choices in (
            ("ignorecase", (True, False, None, "yes")),
            ("global", (True, False, None)),
            ("pattern2", (self._short(), 5, None)),
            ("replacement2", (self._short(), 5, None)),
        ):
            if self.random.random() < 0.3:
                options[name] = self.random.choice(choices)
        return options

    def _array_path(self, depth: int) -> object:
        path = self.random.choice((self.path(), "$.items", "$.l", "$.o", self.mapping_value(depth)))
        if self.random.random() < 0.15:
            return [path]
        shape = self.random.choice(
            (
                {"k": {"@path": self.random.choice(("$.id", "$.", "q", "length"))}, "v": self.mapping_value(depth)},
                self.mapping_value(depth),
            )
        )
        return [path, shape, *([1] if self.random.random() < 0.03 else [])]

    def _merge(self, depth: int) -> object:
        objects = [self.mapping_value(depth) for _ in range(self.random.randrange(4))]
        if self.random.random() < 0.6:
            objects = [
                {"a": 1, "2": {"@path": "$.nope"}},
                {"@path": "$.o"},
                *[each for each in objects if isinstance(each, dict)],
            ]
        return self._options(direction=self.random.choice(("left", "right", "left", "LEFT", "up")), objects=objects)

    def _transform(self, depth: int) -> object:
        apply = self.random.choice(
            (
                {
                    "s": {"@path": "$.s"},
                    "o": {"@path": "$.o"},
                    "n": {"@path": "$.nope"},
                    "l": [{"@path": "$.nope"}, {"@path": "$.items"}],
                },
                self.directive(depth),
                self.mapping_value(depth),
            )
        )
        return self._options(apply=apply, mapping=self.mapping_value(depth))

    def _flatten(self, depth: int) -> object:
        options = self._options(
            value=self.mapping_value(depth), separator=self.random.choice((".", "_", "", "😀", "."))
        )
        if self.random.random() < 0.3:
            options["omitArrays"] = self.random.choice((True, False, "no", {}, 0, None))
        return options

    def _json(self, depth: int) -> object:
        mode = self.random.choice(("encode", "decode", "encode", "decode", "Encode", "pack"))
        value = self.random.choice((self.mapping_value(depth), {"@path": "$.js"}, {"@path": self.path()}))
        return self._options(mode=mode, value=value)
