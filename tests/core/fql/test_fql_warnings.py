"""Warnings: said where Segment's reading will surely surprise, at the right column, and nowhere else."""

import pytest

from gateway.core.fql import TriggerWarning, compile_trigger

# What people and the app write every day.
QUIET = [
    'type = "track"',
    'type = "track" or type = "identify"',
    'type = "identify" or type = "track"',
    'event = "Audience Entered" or event = "Audience Exited"',
    'type = "track" and event = "Order Completed"',
    'type = "track" and (event = "Audience Entered" or event = "Audience Exited")',
    '(type = "identify" or type = "track") and traits.email != null',
    'event="A" and\ttype="track"\nand name != null',
    "properties.total >= 50",
    "properties.total != 5",
    "properties.n > 5 and properties.n < 6",
    "properties.n >= 5 and properties.n <= 5",
    "properties.size\\ in\\ cm = 42",
    "properties.items\\[0\\].id = 1",
    'properties.audience_id = "12345"',
    'traits.zip = "90210" or traits.phone != "5"',
    'properties.version = "2.0.1" and properties.rank = "05"',
    "properties.vip = true or properties.vip = false",
    "userId != null",
    "name = null",
    'properties.a != null and properties.a != ""',
    'properties.s != "a" and properties.s != "b"',
    'match(event, "*")',
    'match(event, "Order*") or match(event, "*ed")',
    '!match(traits.email, "*@test.example.com")',
    'contains(event, "Order") and !contains(traits.email, "@")',
    'match(event, "a*") and match(event, "*b") and contains(event, "x") and !contains(event, "c")',
    '(type = "track" or contains(event, "a")) and name = "c"',
    '(match(event, "a*"))',
    'context.personas.computation_class = "audience"',
    'context.personas.computation_key != null and type = "track"',
    "event = Shipped",
    'event contains "Order" and properties.n exists 1',
    "traits.plan exists",
]

# text, column, beginning of the message, part of the mend
LOUD = [
    ('properties.plan == "pro"', 17, "`==` is not an FQL operator.", '`properties.plan = "pro"` with a single `=`'),
    ("properties.total <=5", 18, "`<=` needs a blank after it.", "`properties.total <= 5`"),
    ("properties.total >=5", 18, "`>=` needs a blank after it.", "`properties.total >= 5`"),
    ("properties.total => 5", 19, "`>` stands where the value belongs", "a number"),
    ("properties.total<5", 17, "`<` cannot directly follow a name.", "blank"),
    ('event!="A"', 6, "`!` must be followed by", "!="),
    ("event = 'A'", 9, "Single quotes are part of the text: the value is 'A'", '`"A"`'),
    ("match(event, 'a*')", 14, "Single quotes are part of the text", '`"a*"`'),
    ('event = "a\\"b"', 9, "Nothing is escaped inside quotes", "`contains`"),
    ('event = "A"and type = "B"', 11, "A closing quote needs a blank", "blank after the quote"),
    ('event = "unclosed', 9, "A string is not closed.", 'Put a `"`'),
    ("event = “A”", 9, "`“` has no meaning", "straight quotes"),
    ('event = "A" and', 13, "`and` has no clause on one side.", "Take `and` away"),
    ('or event = "A"', 1, "`or` has no clause on one side.", "Take `or` away"),
    ('event = "A" and and type = "B"', 17, "`and` has no clause on one side.", "missing clause"),
    ('(event = "A" or ) and type = "B"', 14, "`or` has no clause on one side.", "Take `or` away"),
    ('event = "A" AND type = "B"', 13, "`AND` is not `and`.", "small letters"),
    ('event = "A" Or type = "B"', 13, "`Or` is not `or`. It is ignored: the clauses here are joined by `and`.", "`or`"),
    ('event = "A" or(type = "B")', 13, "`or` needs a blank after it.", "`or (`"),
    ('event = "A" && type = "B"', 13, "`&` has no meaning", "`and`"),
    ('event = "A" || type = "B"', 13, "`|` has no meaning", "`or`"),
    ('event = "A" not type = "B"', 13, "`not` means nothing", "`!contains(…)`"),
    ('event = "A" type = "B"', 13, "No `and` or `or` stands before this clause", "`and`"),
    ('event = "A", type = "B"', 12, "`,` does not belong here", "`and`"),
    ('event = "A" and type = "b" or name = "c"', 13, "`and` and `or` are mixed", "parentheses"),
    ('event = "A" or type = "b" and name = "c"', 13, "`and` and `or` are mixed", "parentheses"),
    ('(contains(event, "a") or type = "b") and name = "c"', 1, "A call inside parentheses ends the group", "last in its group"),
    ('type = "b" and (match(event, "a*") or match(event, "b*"))', 16, "A call inside parentheses ends the group", "own"),
    ('!(event = "A")', 1, "`!` works only in front of", "`!=`"),
    ('!event = "A"', 1, "`!` works only in front of", "`!=`"),
    ('((event = "A"))', 2, "A parenthesis is not closed, or stands inside another", "inner parentheses"),
    ('event = "A")', 12, "This `)` closes nothing", "Take it away"),
    ('() and event = "A"', 1, "There is no clause in these parentheses", "Take them away"),
    ("()", 1, "There is no clause in these parentheses", "Take them away"),
    ("", 1, "There is no clause in it. No event ever matches.", '`type = "track"`'),
    ('properties.total = "5"', 20, '`"5"` in quotes is a text', "`properties.total = 5`"),
    ('properties.total != "2.5"', 21, '`"2.5"` in quotes is a text: it equals the text `2.5`, and `!=` is true', "2.5"),
    ("properties.total = 1e5", 21, "The number ends here: `e5`", "digits"),
    ("properties.total = .5", 20, "`.` stands where the value belongs", "a number"),
    ("properties.total = 5.", 20, "A number ends with its dot", "`5.0`"),
    ("properties.total = -", 18, "No value of `properties.total` satisfies", "Compare"),
    ("properties.vip != true", 16, "`!= true` means", "`properties.vip = false`"),
    ("properties.vip = True", 18, "`True` is a plain word here", "small letters"),
    ("properties.vip = None", 18, "`None` is a plain word here", "small letters"),
    ("event != null", 10, "`event` is compared with the text `null`, it does not know the value, so this is true", "match"),
    ("type = null", 8, "`type` is compared with the text `null`", "Write a text"),
    ("name = true", 8, "`name` is compared with the text `true`", "to say so"),
    ("event = an", 9, "A bare word at the very end loses letters: `an` is read as `a`", '`"an"`'),
    ("event = nul", 9, "A bare word at the very end loses letters", '`"nul"`'),
    ("event =", 8, "There is no value: Segment compares `event` with the text `eos`.", "value"),
    ("event", 1, "It ends right after `event`.", 'event = "…"'),
    ("event = Order Completed", 15, "`Completed` is ignored", '`"Order Completed"`'),
    ('name = "😀" AND type = "B"', 12, "`AND` is not", "and"),
    ('type in ["track"]', 6, "`in` is no operator", "`=`"),
    ("length(event) > 5", 1, "`length` is no function of triggers", "field"),
    ("contains", 1, "`contains` needs a field and a text", 'contains(event, "Order")'),
    ('contains(type, "a")', 10, "`contains` cannot look at `type`", '`type = "track"`'),
    ('contains("event", "a") and type = "b"', 10, '`contains` cannot look at `"event"`', "Fields begin with"),
    ('contains(event "a")', 16, '`"a"` stands where a call of `contains` has its `,`', "Write"),
    ('contains(propertiesX, "a")', 10, "`propertiesX` is read as the field", "properties.propertiesX"),
    ('match(event, "plain")', 14, "Without a star at either end", '`"plain*"` or `"*plain"`'),
    ('match(name, "a*b")', 13, "Without a star at either end", '`match(name, "a*") and match(name, "*b")`'),
    ('match(name, "*a*")', 13, "Only one star, at one end", '`contains(name, "a")`'),
    ('match(name, "a*b*")', 13, "Only one star, at one end", '`match(name, "a*") and match(name, "*b")`'),
    ("$.properties.total = 5", 1, "`$` has no meaning", "no `$.` in front"),
    ('trait.email != null and type = "track"', 1, "`trait.email` is no field", "`traits.email`"),
    ("properites.total = 5", 1, "`properites.total` is no field", "`properties.total`"),
    ('Type = "track"', 1, "`Type` is no field", "`type`"),
    ('user_id = "u"', 1, "`user_id` is no field", "`userId`"),
    ('groupId = "g"', 1, "`groupId` is no field", "cannot be used in a trigger"),
    ('plan = "pro"', 1, "`plan` is no field", "`properties.plan`"),
    ('constructor = "x" and type = "a"', 1, "`constructor` is no field", "Fields begin with"),
    ("event.properties.total = 5", 1, "What follows `event` is ignored", "`properties.total`"),
    ('type.anything = "track"', 1, "What follows `type` is ignored", "`properties.anything`"),
    ('properties = "x"', 1, "`properties` alone is not the object", "`properties.plan`"),
    ("properties.a\\.b = 1", 1, "An escaped dot is a dot", "without dots"),
    ("properties.5x = 1", 11, "The path ends after `properties`", "`properties.\\5`"),
    ("properties.null = 1", 11, "The path ends after `properties`", "`properties.\\null`"),
    ("properties.é = 1", 12, "`é` has no meaning", "escape"),
    ("properties.items[0] = 1", 17, "`[` cannot directly follow a name", "\\[0\\]"),
    ('event = "A"\r\nand type = "B"', 11, "A closing quote needs a blank", "blank"),
    ('type = "a" and type = "b"', 16, "No value of `type` satisfies all that is asked", "`or`"),
    ('type = "a" and (name = "n" and type = "b")', 32, "No value of `type` satisfies all", "`or`"),
    ('properties.n = 5 and properties.n = "5"', 22, "No value of `properties.n` satisfies all", "number"),
    ("properties.n > 5 and properties.n < 5", 22, "No value of `properties.n` satisfies all", "number"),
    ("properties.n = 5 and properties.n != 5", 22, "No value of `properties.n` satisfies all", "number"),
    ('name = null and contains(name, "a")', 17, "No value of `name` satisfies all", "`or`"),
    ('match(event, "a*") and match(event, "b*")', 24, "No value of `event` satisfies all", "`or`"),
    ('contains(event, "ab") and !contains(event, "b")', 27, "No value of `event` satisfies all", "`or`"),
    ('properties.date > "2024-01-01"', 17, "`>` compares numbers, and `2024-01-01` is none", "no order"),
]  # fmt: skip


@pytest.mark.parametrize("text", QUIET)
def test_an_ordinary_trigger_has_no_warning(text: str) -> None:
    """No false alarms."""
    trigger = compile_trigger(text)
    assert (trigger.warnings, trigger.error) == ((), None)
    assert compile_trigger(trigger.tree).warnings == ()


@pytest.mark.parametrize(("text", "column", "message", "mend"), LOUD, ids=[row[0] for row in LOUD])
def test_a_surprise_is_named_with_its_column_and_its_mend(text: str, column: int, message: str, mend: str) -> None:
    """Each surprise has its warning, and at most one more comes of it."""
    warnings = compile_trigger(text).warnings
    found = [one for one in warnings if one.column == column and one.message.startswith(message)]
    assert found, warnings
    assert mend in found[0].mend
    assert len(warnings) <= 2


def test_one_surprise_is_one_warning_as_a_rule() -> None:
    """What follows from a misread clause is not reported again."""
    alone = [text for text, *_ in LOUD if len(compile_trigger(text).warnings) == 1]
    assert len(alone) > len(LOUD) * 0.9


def test_all_surprises_of_a_trigger_are_told_in_its_order() -> None:
    """Several at once, each at its place."""
    warnings = compile_trigger("event = 'A' AND !type = \"b\" and properties.n == 5 or").warnings
    assert [(one.column, one.message.split(".")[0][:24]) for one in warnings] == [
        (9, "Single quotes are part o"),
        (13, "`AND` is not `and`"),
        (17, "`!` works only in front "),
        (29, "`and` and `or` are mixed"),
        (46, "`==` is not an FQL opera"),
        (51, "`or` has no clause on on"),
    ]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"error": "x"}, "The tree is an error"),
        ({"operator": "xor", "children": []}, "A group joined by `xor` is never true."),
        ({"operator": "and"}, "A group without a list of `children`"),
        ({"operator": "and", "children": [None]}, "A null among `children`"),
        ({"operator": "and", "children": [{"type": "audience"}]}, "A child of no known `type`"),
        ({"operator": "and", "children": [{"type": "event", "operator": "in", "value": "a"}]}, "`in` is no operator"),
        ({"operator": "and", "children": [{"type": "event-property", "operator": "exists"}]}, "No value of"),
        (
            {"operator": "or", "children": [{"type": "group", "operator": "nor", "children": []}]},
            "A group joined by `nor`",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_tree_that_cannot_work_is_warned_about(tree: dict[str, object], message: str) -> None:
    """Trees have no columns: their warnings stand at the first."""
    (warning,) = compile_trigger(tree).warnings
    assert warning.message.startswith(message)
    assert (warning.column, bool(warning.mend)) == (1, True)


def test_a_warning_is_a_plain_value() -> None:
    """Two with the same words are equal."""
    assert compile_trigger("type = 'a'").warnings == (
        TriggerWarning(
            column=8,
            message="Single quotes are part of the text: the value is 'a', quotes included.",
            mend='Use double quotes: `"a"`.',
        ),
    )
