"""One record's values on their way to the partner; pure, and no message ever holds a value.

Static ones are laid over, empties dropped, required ones asked for; then each value is checked against the hashing switch,
normalised, validated and hashed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from gateway.core.identifiers import hashed as digest_of
from gateway.core.identifiers import looks_hashed, reencoded
from gateway.core.javascript import is_number, number_text, trim
from gateway.destinations.http_audience.shape import FieldRule, Hashing

Record = dict[str, object]

HASHED_CHARS_MAX: Final = 10_000  # ours: nothing that names a person is longer


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record (or a batch) is not sent, as one JSON object. code: one of a fixed set; message: names no value.

    details: what else the code carries: `fields`, `rule`, `pointer`, `placeholder`, `bytes`, `limit`, `status`, `action`.
    """

    code: str
    message: str
    details: dict[str, object] = {}

    @property
    def reason(self) -> str:
        """For an outcome: the code and the sentence."""
        return f"{self.code}: {self.message}"

    def shown(self, record_id: object) -> dict[str, object]:
        """For a report."""
        return {"record_id": record_id, "code": self.code, **self.details, "message": self.message}


def prepare(
    values: Mapping[str, object],
    action: str,
    fields: Mapping[str, FieldRule],
    *,
    hashing: Hashing,
    static: Mapping[str, object] | None = None,
) -> Record | Rejection:
    """A record as templates see it, or why it is not sent. static: literals of the sync, laid over the values.

    Fields that the file does not declare pass as they are; those it keeps for other actions are left out.
    """
    given = {**values, **(static or {})} if static else values
    record: Record = {}
    for key, value in given.items():
        rule = fields.get(key)
        if value is not None and value != "" and (rule is None or rule.is_sent_in(action)):
            record[key] = value
    missing = missing_fields(record, action, fields)
    if missing:
        return _missing(missing)
    for key in list(record):
        rule = fields.get(key)
        if rule is None:
            continue
        value = _processed(record[key], rule, hashing, rejects=rule.rejects_in(action))
        if isinstance(value, Rejection):
            return value
        if value is None or value in ("", []):
            del record[key]
        else:
            record[key] = value
    missing = missing_fields(record, action, fields)
    if missing:
        return _missing(missing)
    if not record:
        return Rejection(code="empty_record", message="No field of the record has a value; map at least one.")
    return record


def missing_fields(record: Record, action: str, fields: Mapping[str, FieldRule]) -> list[str]:
    """Required fields without a value, and every field of a group of which none has one."""
    missing: list[str] = []
    groups: dict[str, list[str]] = {}
    for key, rule in fields.items():
        if not rule.is_sent_in(action):
            continue
        if rule.is_required_in(action) and key not in record:
            missing.append(key)
        if rule.any_of:
            groups.setdefault(rule.any_of, []).append(key)
    for names in groups.values():
        if not any(name in record for name in names):
            missing.extend(name for name in names if name not in missing)
    return missing


def _missing(names: Iterable[str]) -> Rejection:
    listed = list(names)
    shown = ", ".join(f"`{name}`" for name in listed)
    return Rejection(
        code="missing_required_field",
        message=f"{shown} {'has' if len(listed) == 1 else 'have'} no value; map something that every member has.",
        details={"fields": listed},
    )


def _processed(value: object, rule: FieldRule, hashing: Hashing, *, rejects: bool) -> object:
    """The value to be sent, a Rejection, or None where nothing is left of it. rejects: rather than drop what is not valid."""
    if isinstance(value, list) and (rule.hash or rule.identifier):
        return _several(value, rule, hashing, rejects=rejects)
    return _single(value, rule, hashing, rejects=rejects)


def _single(value: object, rule: FieldRule, hashing: Hashing, *, rejects: bool) -> object:
    return _hashed(value, rule, hashing, rejects=rejects) if rule.hash else _plain(value, rule, rejects=rejects)


def _several(values: list[object], rule: FieldRule, hashing: Hashing, *, rejects: bool) -> object:
    """A list where one value is meant: its first, all of it, or a refusal."""
    there = [value for value in values if value is not None and value != ""]
    if rule.multiple == "reject" and len(there) > 1:
        return _invalid(rule, "multiple", "holds several values, and one is all it may have")
    made: list[object] = []
    for value in there:
        one = _single(value, rule, hashing, rejects=rejects)
        if isinstance(one, Rejection):
            return one
        if one is not None and one != "":
            if rule.multiple != "all":
                return one
            made.append(one)
    return made if rule.multiple == "all" else None


def _hashed(value: object, rule: FieldRule, hashing: Hashing, *, rejects: bool) -> object:
    text = _text_of(value)
    if text is None or len(text) > HASHED_CHARS_MAX:
        what = "is a list or an object" if text is None else f"has more than {HASHED_CHARS_MAX} characters"
        return Rejection(
            code="record_invalid",
            message=f"`{rule.key}` {what}, and only a text or a number can be hashed.",
            details={"pointer": f"/fields/{rule.key}"},
        )
    assert rule.hash is not None
    trimmed = trim(text)
    if looks_hashed(trimmed, rule.hash, rule.hash_encoding):
        if hashing == "on":
            return Rejection(
                code="already_hashed",
                message=f"`{rule.key}` is hashed already, but hashing is on; send it plain, or switch hashing to off or auto.",
                details={"fields": [rule.key]},
            )
        return reencoded(trimmed, rule.hash, rule.hash_encoding)
    if hashing == "off":
        return Rejection(
            code="not_hashed",
            message=f"`{rule.key}` is not hashed, but hashing is off; send a {rule.hash} digest, or switch hashing on.",
            details={"fields": [rule.key]},
        )
    checked = _plain(text, rule, rejects=rejects)
    if not isinstance(checked, str) or not checked:
        return checked
    return digest_of(checked, rule.hash, rule.hash_encoding)


def _plain(value: object, rule: FieldRule, *, rejects: bool) -> object:
    """Normalised and validated; lists and objects that are no identifiers stay as they are."""
    if rule.normalize is not None and not isinstance(value, (list, dict)):
        text = _text_of(value)
        assert text is not None, "what is no list and no object has a text"
        value = rule.normalize(text)
        if not value:
            return None
    for name, test in rule.validate:
        if not test(value):
            if rejects:
                return _invalid(rule, name, f"is not valid ({name})")
            return None
    return value


def _invalid(rule: FieldRule, name: str, what: str) -> Rejection:
    return Rejection(
        code="invalid_value",
        message=f"`{rule.key}` {what}; mend it at its source or in the mapping.",
        details={"fields": [rule.key], "rule": name},
    )


def _text_of(value: object) -> str | None:
    """Text as it is, numbers in shortest decimal form, `true` and `false`; None for lists and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if is_number(value) else None  # type: ignore[arg-type] # it is a number
