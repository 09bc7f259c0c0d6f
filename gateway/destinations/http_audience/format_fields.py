"""Reading `fields`, `target` and `settings` of a definition file: what a sync maps, what it names, what is configured."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, cast

import msgspec

from gateway.core.identifiers import (
    Algorithm,
    Encoding,
    digits_of,
    is_advertising_id,
    is_e164,
    is_email,
    normalise_country,
    normalise_email,
    normalise_email_uid2,
    normalise_name,
    normalise_phone,
    normalise_postal_code,
    trim_lower,
)
from gateway.core.javascript import is_number, trim
from gateway.core.mapping import validate_mapping
from gateway.destinations.http_audience.found import Findings, entries, listed, step
from gateway.destinations.http_audience.normalising import (
    normalise_country_upper,
    normalise_email_google,
    normalise_phone_digits,
    normalise_words,
)
from gateway.destinations.http_audience.shape import ACTION_NAMES, FieldRule, SettingKey, TargetKey
from gateway.destinations.http_audience.trees import cast_boolean, cast_number

FIELDS_MAX: Final = 200
TARGETS_MAX: Final = 50
SETTINGS_MAX: Final = 50
VALIDATIONS_MAX: Final = 10
CHOICES_MAX: Final = 1000
PATTERN_CHARS_MAX: Final = 200
PATTERN_REPEATS_MAX: Final = (
    3  # unbounded repeats; with TARGET_CHARS_MAX that keeps the slowest pattern at some 8 million steps
)
TARGET_CHARS_MAX: Final = 200

NORMALIZERS: Final[dict[str, Callable[[str], str] | None]] = {
    "none": None,
    "trim": trim,
    "lower": str.lower,
    "trim_lower": trim_lower,
    "email": normalise_email,
    "email_uid2": normalise_email_uid2,
    "email_google": normalise_email_google,
    "phone_e164": normalise_phone,
    "phone_digits": normalise_phone_digits,
    "digits": digits_of,
    "name": normalise_name,
    "words": normalise_words,
    "country2": normalise_country,
    "country2_upper": normalise_country_upper,
    "postal": normalise_postal_code,
}

_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
# Other people's field names have blanks in them; a path can hold anything but its own marks.
_FIELD_KEY: Final = re.compile(r"(?![@$_\s])[^.\[\]{}\"'\x00-\x1f\x7f]{1,64}(?<!\s)")
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_MAX_LENGTH: Final = re.compile(r"max_length: ?([0-9]{1,6})")
_ONE_OF: Final = re.compile(r"one_of: ?\[(.*)\]", re.DOTALL)

Test = Callable[[object], bool]

_TESTS: Final[dict[str, Test]] = {
    "email": lambda value: isinstance(value, str) and is_email(value),
    "phone_e164": lambda value: isinstance(value, str) and is_e164(value),
    "uuid": lambda value: isinstance(value, str) and _UUID.fullmatch(value) is not None,
    "maid": lambda value: isinstance(value, str) and is_advertising_id(value),
    "number": lambda value: not isinstance(value, bool) and bool(is_number(cast_number(value))),
    "boolean": lambda value: isinstance(cast_boolean(value), bool),
}

_FIELD: Final = (
    "label", "help", "required", "identifier", "any_of", "static", "actions", "hash", "hash_encoding", "normalize",
    "default_country", "validate", "on_invalid", "multiple", "default",
)  # fmt: skip


def read_fields(found: Findings, file: Mapping[str, object]) -> dict[str, FieldRule]:
    """`fields`, in the file's order; broken ones are reported and left out."""
    rules: dict[str, FieldRule] = {}
    for key, entry in entries(found, file, "fields", "", most=FIELDS_MAX, what="fields").items():
        pointer = "/fields" + step(key)
        members = found.table(entry, pointer, _FIELD, what=f"the field `{key}`")
        if members is not None and _is_key(found, key, pointer, _FIELD_KEY):
            rules[key] = _field(found, key, members, pointer)
    return rules


def _field(found: Findings, key: str, members: dict[str, object], pointer: str) -> FieldRule:
    algorithm = found.choice(members, "hash", pointer, ("none", "md5", "sha256", "sha512"), "none")
    encoding = found.choice(members, "hash_encoding", pointer, ("hex", "base64"), "hex")
    normalizer = found.choice(members, "normalize", pointer, tuple(NORMALIZERS), "none")
    if "hash_encoding" in members and algorithm == "none":
        found.add(
            f"{pointer}/hash_encoding", "`hash_encoding` means nothing without `hash`.", 'Add `"hash": "sha256"`.'
        )
    default = members.get("default", msgspec.UNSET)
    if default is not msgspec.UNSET:
        for problem in validate_mapping({"default": default}):
            found.add(pointer + problem.pointer, problem.message)
    return FieldRule(
        key=key,
        label=found.text(members, "label", pointer, default=key),
        help=found.text(members, "help", pointer, default=""),
        required=members.get("required") not in (False, None),
        required_in=_required_in(found, members, pointer),
        identifier=found.flag(members, "identifier", pointer, default=False),
        any_of=found.text(members, "any_of", pointer, default=""),
        static=found.flag(members, "static", pointer, default=False),
        actions=_actions(found, members, pointer),
        hash=None if algorithm == "none" else cast("Algorithm", algorithm),
        hash_encoding=cast("Encoding", encoding),
        normalize=_normalizer(found, normalizer, members, pointer),
        normalizer=normalizer,
        validate=_validations(found, members, pointer),
        on_invalid=cast(
            'Literal["drop", "reject"]', found.choice(members, "on_invalid", pointer, ("drop", "reject"), "drop")
        ),
        multiple=cast(
            'Literal["first", "all", "reject"]',
            found.choice(members, "multiple", pointer, ("first", "all", "reject"), "first"),
        ),
        default=default,
    )


def _is_key(found: Findings, key: str, pointer: str, form: re.Pattern[str] = _KEY) -> bool:
    if form.fullmatch(key):
        return True
    found.add(pointer, f"`{key}` cannot be a name here.", "Use letters, digits, `_` and `-`, beginning with a letter.")
    return False


def _required_in(found: Findings, members: dict[str, object], pointer: str) -> frozenset[str] | None:
    """Actions that need the field, where `required` lists them; None: it is true or false for all."""
    if isinstance(members.get("required", False), bool):
        return None
    names = members["required"]
    if not isinstance(names, list) or not names or any(name not in ACTION_NAMES for name in names):
        found.add(f"{pointer}/required", f"`required` must be true, false, or a list of {', '.join(ACTION_NAMES)}.")
        return None
    return frozenset(str(name) for name in names)


def _actions(found: Findings, members: dict[str, object], pointer: str) -> frozenset[str] | None:
    if "actions" not in members:
        return None
    names = listed(found, members, "actions", pointer, most=len(ACTION_NAMES))
    if not names or any(name not in ACTION_NAMES for name in names):
        found.add(f"{pointer}/actions", f"`actions` must list some of {', '.join(ACTION_NAMES)}.")
        return None
    return frozenset(str(name) for name in names)


def _normalizer(found: Findings, name: str, members: dict[str, object], pointer: str) -> Callable[[str], str] | None:
    country = found.text(members, "default_country", pointer, default="")
    if not country:
        return NORMALIZERS[name]
    if name != "phone_e164" or not _COUNTRY.fullmatch(country):
        found.add(
            f"{pointer}/default_country", "`default_country` is a two-letter code, for `normalize: phone_e164` only."
        )
        return NORMALIZERS[name]
    return lambda text: normalise_phone(text, country)


def _validations(found: Findings, members: dict[str, object], pointer: str) -> tuple[tuple[str, Test], ...]:
    given = members.get("validate")
    if given is None:
        return ()
    rules = given if isinstance(given, list) else [given]
    if len(rules) > VALIDATIONS_MAX:
        found.add(f"{pointer}/validate", f"A field has at most {VALIDATIONS_MAX} validations.")
        return ()
    made: list[tuple[str, Test]] = []
    for index, rule in enumerate(rules):
        place = f"{pointer}/validate/{index}" if isinstance(given, list) else f"{pointer}/validate"
        if isinstance(rule, dict) and list(rule) == ["pattern"] and isinstance(rule["pattern"], str):
            fits = _pattern(found, rule["pattern"], place)
            if fits is not None:
                made.append(("pattern", _of_text(fits)))
            continue
        test = _validation(rule)
        if test is None:
            found.add(
                place,
                "This is no validation.",
                f"Known: {', '.join(_TESTS)}, `max_length:50`, `one_of:[a, b]`, or an object for these two or a `pattern`.",
            )
        else:
            made.append(test)
    return tuple(made)


def _of_text(fits: Callable[[str], bool]) -> Test:
    return lambda value: isinstance(value, str) and fits(value)


def _validation(rule: object) -> tuple[str, Test] | None:
    if isinstance(rule, dict) and len(rule) == 1:
        ((name, argument),) = rule.items()
        if name == "max_length" and isinstance(argument, int) and not isinstance(argument, bool) and argument > 0:
            return _max_length(argument)
        if name == "one_of" and isinstance(argument, list) and 0 < len(argument) <= CHOICES_MAX:
            return _one_of(argument)
        return None
    if not isinstance(rule, str):
        return None
    if rule in _TESTS:
        return rule, _TESTS[rule]
    if match := _MAX_LENGTH.fullmatch(rule):
        return _max_length(int(match[1]))
    if match := _ONE_OF.fullmatch(rule):
        words: list[object] = [word.strip().strip("\"'") for word in match[1].split(",")]
        return _one_of(words) if len(words) <= CHOICES_MAX and all(words) else None
    return None


def _max_length(most: int) -> tuple[str, Test]:
    return f"max_length:{most}", lambda value: not isinstance(value, str) or len(value) <= most


def _one_of(choices: list[object]) -> tuple[str, Test]:
    # True and 1 are different values in JSON and equal ones in Python.
    known = {(type(choice), choice) for choice in choices if isinstance(choice, (str, int, float))}
    return "one_of", lambda value: isinstance(value, (str, int, float)) and (type(value), value) in known


# --- Target and settings ---


def read_target(found: Findings, file: Mapping[str, object]) -> tuple[TargetKey, ...]:
    """`target`: what a sync must give."""
    keys: list[TargetKey] = []
    for key, entry in entries(found, file, "target", "", most=TARGETS_MAX, what="keys").items():
        pointer = "/target" + step(key)
        members = found.table(
            entry, pointer, ("label", "required", "default", "pattern", "example"), what=f"the target key `{key}`"
        )
        if members is None or not _is_key(found, key, pointer):
            continue
        if key in {"sync_id", "sync_name", "mode"}:
            found.add(pointer, f"`{key}` is given by the gateway itself and needs no entry.")
        pattern = found.text(members, "pattern", pointer, default="")
        fits = _pattern(found, pattern, pointer) if pattern else None
        default = _optional_text(found, members, "default", pointer)
        if default is not None and fits is not None and not fits(default):
            found.add(f"{pointer}/default", "The default does not fit the pattern.")
        keys.append(
            TargetKey(
                key=key,
                label=found.text(members, "label", pointer, default=key),
                required=found.flag(members, "required", pointer, default=False),
                default=default,
                fits=fits,
                pattern=pattern,
                example=found.text(members, "example", pointer, default=""),
            )
        )
    return tuple(keys)


def _pattern(found: Findings, pattern: str, pointer: str) -> Callable[[str], bool] | None:
    """A test of a pattern that cannot become slow: no repeated groups, no looking around, few unbounded repeats."""
    place = f"{pointer}/pattern"
    bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "x", pattern)
    repeats = len(re.findall(r"[*+]|\{[0-9]*,\}", bare))
    if len(pattern) > PATTERN_CHARS_MAX or repeats > PATTERN_REPEATS_MAX:
        found.add(
            place, f"A pattern has at most {PATTERN_CHARS_MAX} characters and {PATTERN_REPEATS_MAX} of `*` and `+`."
        )
        return None
    if "(?" in bare or re.search(r"\)[*+{?]", bare) or re.search(r"\\[0-9]", pattern):
        found.add(place, "A pattern may not repeat groups, look around or refer back: it would grow slow on bad input.")
        return None
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        found.add(place, f"This is no regular expression: {error}.")
        return None
    return lambda text: len(text) <= TARGET_CHARS_MAX and compiled.search(text) is not None and "\n" not in text


def read_settings(found: Findings, file: Mapping[str, object]) -> tuple[SettingKey, ...]:
    """`settings`: values given when the destination is configured."""
    keys: list[SettingKey] = []
    for key, entry in entries(found, file, "settings", "", most=SETTINGS_MAX, what="settings").items():
        pointer = "/settings" + step(key)
        members = found.table(
            entry, pointer, ("label", "required", "default", "secret", "example"), what=f"the setting `{key}`"
        )
        if members is None or not _is_key(found, key, pointer):
            continue
        secret = found.flag(members, "secret", pointer, default=False)
        default = _optional_text(found, members, "default", pointer)
        if secret and default is not None:
            found.add(f"{pointer}/default", "A secret has no default: it would stand here in clear.", "Take it out.")
        keys.append(
            SettingKey(
                key=key,
                label=found.text(members, "label", pointer, default=key),
                required=found.flag(members, "required", pointer, default=False),
                default=None if secret else default,
                secret=secret,
                example=found.text(members, "example", pointer, default=""),
            )
        )
    return tuple(keys)


def _optional_text(found: Findings, members: dict[str, object], key: str, pointer: str) -> str | None:
    if key not in members:
        return None
    value = members[key]
    if isinstance(value, str) and len(value) <= TARGET_CHARS_MAX:
        return value
    found.add(f"{pointer}/{key}", f"`{key}` must be a text of at most {TARGET_CHARS_MAX} characters.")
    return None
