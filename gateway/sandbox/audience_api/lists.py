"""The fake audience API's memory: lists, the people on them by hashed e-mail or telephone number, tags on contacts."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from gateway.sandbox.audience_api.configuration import LISTS_MAX, USERS_MAX

_DIGEST = re.compile(r"[0-9a-f]{64}")


class RecordError(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was not taken: its place in the request, a word for the reason, the field at fault."""

    position: int
    reason: str
    detail: str


class AudienceList:
    """One list: its name, and each person's record by the identifier it came with first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.users: dict[str, Mapping[str, object]] = {}


class Lists:
    """Everything the partner knows of lists and contacts."""

    def __init__(self, lists: Mapping[str, str]) -> None:
        self.all = {list_id: AudienceList(name) for list_id, name in lists.items()}
        self.tags: dict[str, dict[str, object]] = {}  # tag → contact → what came with it
        self._numbers = 9001

    def create(self, name: str) -> str | None:
        """A new list's id; None when there are LISTS_MAX."""
        if len(self.all) >= LISTS_MAX:
            return None
        while str(self._numbers) in self.all:
            self._numbers += 1
        list_id = str(self._numbers)
        self.all[list_id] = AudienceList(name)
        return list_id

    def add(self, chosen: AudienceList, users: Sequence[object]) -> list[RecordError]:
        """Put people on a list; those that are there are overwritten. Bad records are told and left out."""
        errors: list[RecordError] = []
        for position, user in enumerate(users):
            problem = problem_of(user, position)
            if problem is not None:
                errors.append(problem)
            elif isinstance(user, dict) and len(chosen.users) < USERS_MAX:
                chosen.users[key_of(user)] = user
        return errors

    def remove(self, chosen: AudienceList, users: Sequence[object]) -> list[RecordError]:
        """Take people off a list; those that are not on it are fine."""
        errors: list[RecordError] = []
        for position, user in enumerate(users):
            problem = problem_of(user, position)
            if problem is not None:
                errors.append(problem)
            elif isinstance(user, dict):
                chosen.users.pop(key_of(user), None)
        return errors


def problem_of(user: object, position: int) -> RecordError | None:
    """Why a record cannot be taken: it names nobody, or not by lower-case SHA-256."""
    if not isinstance(user, dict) or not (user.get("em") or user.get("ph")):
        return RecordError(position=position, reason="NO_IDENTIFIER", detail="em")
    for field in ("em", "ph"):
        value = user.get(field)
        if value is not None and (not isinstance(value, str) or _DIGEST.fullmatch(value) is None):
            return RecordError(position=position, reason="BAD_HASH", detail=field)
    return None


def key_of(user: Mapping[str, object]) -> str:
    """What a person is known by: the e-mail, else the telephone number."""
    return str(user.get("em") or user.get("ph"))
