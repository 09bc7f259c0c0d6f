"""Templates of the `@liquid` directive, made from its grammar: mostly right, sometimes broken."""

import random

NAMES = (
    "s", "n", "l", "o", "items", "traits", "properties", "nope", "nul", "no", "t", "e", "zero", "emoji", "x", "y",
    "size", "date", "big",
    "deep", "js", "first",
)  # fmt: skip
PROPERTIES = (
    ".a", ".b", ".c", ".id", ".q", ".size", ".first", ".last", ".length", "[0]", "[-1]", "[1]", "['a b']", '["x.y"]',
    "[n]", "[s]",
    ".email", ".plan", ".list", ".0", ".x-y", "[nil]", "['']", "[1.5]", "[zero]",
)  # fmt: skip
STRINGS = (
    "''", "'a'", '"b"', "'it\\'s'", '"\\u0041\\101"', "','", "'-'", "' '", "'😀'", "'%Y-%m-%d'", "'a b c'", "'A,B,,'",
    "'%'", "'5'",
    "'<p>a</p>'", "'id'", "'q'", "'ordinal'", "'US'", "'x\\ny'", "'ÀÉß ŒÆ_x'", "'America/New_York'", "'default'",
    "'latin'", "'\\ud83d'",
    "'a'", "'日本 word 語'", "'&lt;b>&'", "'aXbX'", "'X'", "'0x10'", "'  a b '", "'Infinity'", "'1e3'",
)  # fmt: skip
NUMBERS = ("0", "1", "2", "-1", "3", "5.5", "10", "-2.5", "5.", "+4", "100", "0.1", "1.005", "-4.5", "50", "7")
LITERALS = ("true", "false", "nil", "null", "empty", "blank")
OPERATORS = ("==", "!=", ">", "<", ">=", "<=", "contains", "and", "or")
FILTERS = (
    "append", "prepend", "upcase", "downcase", "capitalize", "strip", "lstrip", "rstrip", "strip_newlines",
    "strip_html",
    "normalize_whitespace", "replace", "remove", "replace_first", "replace_last", "remove_first", "remove_last",
    "split", "slice",
    "truncate", "truncatewords", "number_of_words", "escape", "xml_escape", "escape_once", "url_encode",
    "cgi_escape", "uri_escape",
    "url_decode", "slugify", "base64_encode", "base64_decode", "sha256", "hmac_sha256", "raw", "default", "abs",
    "ceil", "floor", "plus",
    "minus", "times", "divided_by", "modulo", "at_least", "at_most", "round", "to_integer", "join", "first", "last",
    "size", "compact",
    "push", "unshift", "pop", "shift", "where", "sum", "json", "jsonify", "inspect", "date", "date_to_xmlschema",
    "date_to_rfc822",
    "date_to_string", "date_to_long_string", "nosuch", "Upcase",
)  # fmt: skip
DISABLED = ("map", "sort", "concat", "reverse", "uniq", "type", "find")
FORMATS = "aAbBCdeHIjklLmMNpPqsSuUwWyYzZtn%cxXhQ"


class LiquidCases:
    """Templates and date texts from a random source."""

    def __init__(self, source: random.Random) -> None:
        self.random = source

    def template(self) -> str:
        pick = self.random.random()
        if pick < 0.25:
            text = "{{ " + self.expression(2) + " }}"
        elif pick < 0.4:
            text = "{{ " + self.date_expression() + " }}"
        else:
            text = "".join(self.part(2) for _ in range(self.random.randrange(1, 5)))
        return self.damaged(text) if self.random.random() < 0.05 else text

    def damaged(self, text: str) -> str:
        """The text with a piece lost, doubled or put in."""
        if not text:
            return text
        place = self.random.randrange(len(text))
        return self.random.choice(
            (
                text[:place] + text[place + 1 :],
                text[:place] + self.random.choice("|:,.[]'\"%{}-#()= \\\n😀") + text[place:],
                text[:place],
                text[:place] + text[place:][:3] + text[place:],
            )
        )

    def part(self, depth: int) -> str:
        pick = self.random.random()
        if pick < 0.25:
            return self.random.choice(("text", " ", "\n", "é😀", "{", "}", "  a\n ", "%}", "{ {"))
        if pick < 0.6 or depth <= 0:
            left, right = self.random.choice((("{{ ", " }}"), ("{{", "}}"), ("{{- ", " -}}"), ("{{-", "-}}")))
            return left + self.expression(1) + right
        return self.tag(depth)

    def body(self, depth: int) -> str:
        return "".join(self.part(depth - 1) for _ in range(self.random.randrange(3)))

    def tag(self, depth: int) -> str:
        left, right = self.random.choice((("{% ", " %}"), ("{%", "%}"), ("{%- ", " -%}")))

        def tag(text: str) -> str:
            return left + text + right

        name = self.random.choice(("x", "y", "s", "n", "count", "block"))
        condition = self.expression(1)
        body = self.body(depth)
        maker = self.random.randrange(17)
        if maker < 3:
            middle = self.random.choice(
                ("", tag("else") + self.body(depth), tag("elsif " + self.expression(1)) + self.body(depth))
            )
            return tag("if " + condition) + body + middle + tag("endif")
        return {
            3: lambda: (
                tag("unless " + condition)
                + body
                + self.random.choice(("", tag("else"), tag("elsif t")))
                + "u"
                + tag("endunless")
            ),
            4: lambda: tag(f"assign {name} = {condition}"),
            5: lambda: tag(f"assign {name} = {condition}") + "{{ " + name + " }}",
            6: lambda: tag(f"capture {name}") + body + tag("endcapture") + "{{ " + name + " }}",
            7: lambda: tag("comment") + body + tag("endcomment"),
            8: lambda: tag("raw") + body + tag("endraw"),
            9: lambda: tag("echo " + condition),
            10: lambda: tag(f"liquid assign {name} = {condition}\n echo {name}\n  if t\n echo 'z'\nendif"),
            11: lambda: tag("increment " + name) + "{{ " + name + " }}",
            12: lambda: tag("decrement " + name),
            13: lambda: tag("cycle 'a', n, 0") * 2 + tag("cycle 'g': s, 'b'") + tag("cycle x, y") + tag("cycle 1,2"),
            14: lambda: self.random.choice(
                (tag("break"), tag("continue"), tag("block b") + body + "{{ block }}" + tag("endblock"))
            ),
            15: lambda: tag("# note" + self.random.choice(("", "\n# more", "\n more"))),
            16: lambda: self.random.choice(
                (tag("for i in l") + tag("endfor"), tag("nosuch"), tag("else"), tag("case n") + tag("endcase"), tag(""))
            ),
        }[maker]()

    # --- Expressions ---

    def variable(self) -> str:
        return self.random.choice(NAMES) + "".join(
            self.random.choice(PROPERTIES) for _ in range(self.random.choice((0, 0, 1, 1, 2, 3)))
        )

    def operand(self) -> str:
        pick = self.random.random()
        if pick < 0.5:
            return self.variable()
        if pick < 0.7:
            return self.random.choice(STRINGS) + (self.random.choice(PROPERTIES) if self.random.random() < 0.05 else "")
        if pick < 0.85:
            return self.random.choice(NUMBERS)
        if pick < 0.94:
            return self.random.choice(LITERALS)
        return self.random.choice(
            ("(1..3)", "(n..7)", "(zero..l.size)", "(3..1)", "[s]", "['s']", "(1.5..'4')", "5x", "1e5", "(1..nope)")
        )

    def expression(self, depth: int) -> str:
        text = self.operand()
        for _ in range(self.random.choice((0, 0, 0, 1, 1, 2))):
            text += f" {self.random.choice(OPERATORS)} {self.random.choice(('', '', 'not '))}{self.operand()}"
        if self.random.random() < 0.05:
            text = "not " + text
        for _ in range(self.random.choice((0, 0, 1, 1, 2)) + (depth > 1)):
            text += self.filter()
        return text

    def filter(self) -> str:
        name = self.random.choice(FILTERS) if self.random.random() < 0.98 else self.random.choice(DISABLED)
        wanted = {
            "append": 1,
            "prepend": 1,
            "replace": 2,
            "replace_first": 2,
            "replace_last": 2,
            "slice": 2,
            "split": 1,
            "where": 2,
        }
        usual = wanted.get(name, self.random.choice((0, 0, 1, 1, 2)))
        count = usual if self.random.random() < 0.85 else self.random.randrange(4)
        arguments = [self.operand() for _ in range(count)]
        if name == "default" and self.random.random() < 0.4:
            arguments.append("allow_false: " + self.random.choice(("true", "false", "t")))
        if name == "where" and arguments:
            arguments[0] = self.random.choice(("'id'", "'q'", "'b.c'", "s", "nope"))
        if name == "round" and arguments:
            arguments[0] = self.random.choice(
                ("0", "1", "2", "-1", "'3'", "-2", "22", "nope", "nul")
            )  # pow() of more: see there
        return self.random.choice((" | ", "|")) + name + (": " + ", ".join(arguments) if arguments else "")

    # --- Dates ---

    def date_text(self) -> str:
        number = self.random.randrange
        year, month, day = number(1990, 2030), number(1, 13), number(1, 32)
        hour, minute, second = number(24), number(60), number(60)
        name = self.random.choice(("Jan", "March", "dec", "Sept", "May"))
        weekday = self.random.choice(("", "Tue, ", "Tuesday "))
        zone = self.random.choice(
            ("", "Z", " GMT", " UTC", "+05:30", " +0530", "-08", " EST", "z", " PM", "am", " GMT+2", "(x)")
        )
        return self.random.choice(
            (
                f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{number(1000):03}Z",
                f"{year}-{month:02}-{day:02}",
                f"{year}-{month:02}",
                f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}{zone}",
                f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{number(10**9)}{zone}",
                f"{year}-{month}-{day} {hour}:{minute:02}:{second:02}{zone}",
                f"{year}/{month}/{day} {hour}:{minute:02}{zone}",
                f"{month}/{day}/{self.random.choice((year, year % 100))} {hour}:{minute:02}{zone}",
                f"{weekday}{day} {name} {year} {hour:02}:{minute:02}:{second:02}{zone}",
                f"{name} {day}, {year}{zone}",
                f"{day} {name} {year}",
                f"{name} {year}",
                f"{name} {day}",
                self.random.choice(
                    (
                        "2024",
                        "1709622489",
                        "24:00",
                        "2024-13-45",
                        "+012024-01-01T00:00:00Z",
                        "-000000-01-01",
                        "nope 5",
                        "",
                    )
                ),
                self.random.choice(
                    (
                        "2024-01-01T24:00:00",
                        "2024-02-30",
                        "20240305",
                        "2024-W01",
                        "1/2",
                        "5",
                        "12 13 14",
                        "now is 5",
                        "0",
                    )
                ),
            )
        )

    def format(self) -> str:
        def code() -> str:
            flags = "".join(self.random.choice("-_0^#:") for _ in range(self.random.choice((0, 0, 0, 1, 2))))
            width = self.random.choice(("", "", "", "1", "3", "5", "12"))
            return "%" + flags + width + self.random.choice(("", "", "", "E", "O")) + self.random.choice(FORMATS)

        return self.random.choice((" ", "-", "T", "é ")).join(code() for _ in range(self.random.randrange(1, 5)))

    def date_expression(self) -> str:
        value = self.random.choice(
            (f"'{self.date_text()}'", "date", "1709622489", "items[0].ts", "-86400.5", "n", "t", "'5'", "l", "0.999")
        )
        name = self.random.choice(
            ("date", "date", "date", "date_to_string", "date_to_long_string", "date_to_xmlschema", "date_to_rfc822")
        )
        if name == "date":
            zone = self.random.choice(
                (
                    "",
                    "",
                    "",
                    ", 330",
                    ", -60",
                    ", 'America/New_York'",
                    ", 'utc'",
                    ", 'Asia/Kolkata'",
                    ", 'Nowhere/Land'",
                    ", nope",
                    ", nil",
                    ", t",
                )
            )
            return f"{value} | date: '{self.format()}'{zone}"
        return f"{value} | {name}" + self.random.choice(("", ": 'ordinal'", ": 'ordinal', 'US'"))
