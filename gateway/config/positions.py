"""Strict JSON that remembers where everything stood: values by JSON Pointer → line and column.

The standard parser gives values without places and keeps the last of repeated members silently; a mapping file deserves
better, and is small enough for a slower reader of our own.
"""

from __future__ import annotations

import re

import msgspec

DEPTH_MAX = 64  # levels of nesting in a configuration file
FILE_BYTES_MAX = 4 * 1024 * 1024

_blank = re.compile(r"[ \t\n\r]*")
_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_text = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_words: dict[str, object] = {"true": True, "false": False, "null": None}


class JsonSyntaxError(Exception):
    """The text is not JSON. what: one sentence; line and column from 1."""

    def __init__(self, what: str, line: int, column: int) -> None:
        self.what = what
        self.line = line
        self.column = column
        super().__init__(f"line {line}, column {column}: {what}")


class Document(msgspec.Struct, frozen=True):
    """A parsed file. places: JSON Pointer → (line, column) of the value; repeated: pointers given more than once."""

    value: object
    places: dict[str, tuple[int, int]]
    repeated: list[str]

    def place(self, pointer: str) -> tuple[int, int]:
        """Line and column of a value, or of its nearest parent that has one."""
        while pointer not in self.places and pointer:
            pointer = pointer.rpartition("/")[0]
        return self.places.get(pointer, (1, 1))


def escape(key: str) -> str:
    """One step of a JSON Pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def read_json(text: str) -> Document:
    """Parse strict JSON. Raises JsonSyntaxError at the first fault."""
    return _Reader(text).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: dict[str, tuple[int, int]] = {}
        self.repeated: list[str] = []
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> Document:
        value = self.value("", 0)
        self.blank()
        if self.at < len(self.text):
            raise self.fault("There is text after the end of the document.")
        return Document(value, self.places, self.repeated)

    def where(self, at: int) -> tuple[int, int]:
        low, high = 0, len(self.line_starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.line_starts[middle] <= at else (low, middle)
        return low + 1, at - self.line_starts[low] + 1

    def fault(self, what: str) -> JsonSyntaxError:
        return JsonSyntaxError(what, *self.where(self.at))

    def blank(self) -> None:
        match = _blank.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def peek(self) -> str:
        self.blank()
        return self.text[self.at : self.at + 1]

    def value(self, pointer: str, depth: int) -> object:
        if depth > DEPTH_MAX:
            raise self.fault(f"The nesting is deeper than {DEPTH_MAX} levels.")
        first = self.peek()
        self.places[pointer] = self.where(self.at)
        if first == "{":
            return self.members(pointer, depth)
        if first == "[":
            return self.items(pointer, depth)
        if first == '"':
            return self.string()
        if match := _number.match(self.text, self.at):
            self.at = match.end()
            return msgspec.json.decode(match.group())
        for word, meaning in _words.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return meaning
        raise self.fault(self.expected_value(first))

    @staticmethod
    def expected_value(first: str) -> str:
        if not first:
            return "The document ends where a value should stand."
        if first == "'":
            return "Text stands between double quotes, not single ones."
        if first in "]},":
            return f"A value should stand here, not `{first}`; is there a comma too many?"
        if first == "/":
            return "JSON has no comments."
        return f"`{first}` does not begin a JSON value."

    def string(self) -> str:
        match = _text.match(self.text, self.at)
        if match is None:
            raise self.fault("This text is not closed on its line, or holds an escape that JSON does not have.")
        self.at = match.end()
        try:
            return msgspec.json.decode(match.group().encode("utf-8", "surrogatepass"), type=str)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise self.fault("This text holds half of a surrogate pair.") from error

    def members(self, pointer: str, depth: int) -> dict[str, object]:
        self.at += 1
        found: dict[str, object] = {}
        if self.peek() == "}":
            self.at += 1
            return found
        while True:
            if self.peek() != '"':
                raise self.fault('A member name in double quotes should stand here, such as "name".')
            key = self.string()
            place = f"{pointer}/{escape(key)}"
            if key in found:
                self.repeated.append(place)
            if self.peek() != ":":
                raise self.fault(f'A colon should follow "{key}".')
            self.at += 1
            found[key] = self.value(place, depth + 1)
            if not self.more("}"):
                return found

    def items(self, pointer: str, depth: int) -> list[object]:
        self.at += 1
        found: list[object] = []
        if self.peek() == "]":
            self.at += 1
            return found
        while True:
            found.append(self.value(f"{pointer}/{len(found)}", depth + 1))
            if not self.more("]"):
                return found

    def more(self, closing: str) -> bool:
        mark = self.peek()
        if mark not in (",", closing) or not mark:
            raise self.fault(f"A comma or `{closing}` should stand here.")
        self.at += 1
        return mark == ","
