"""What can be wrong with a mapping, before any event (`MappingProblem`, `MappingWarning`) and with one (`MappingError`)."""

import msgspec

from gateway.core.errors import GatewayError


class MappingError(GatewayError):
    """A mapping cannot be used, or gave no payload for one event; `messages` are Segment's own wording where it has one.

    A mapping that is wrong in several places has several messages, in the order of the mapping.
    """

    def __init__(self, messages: tuple[str, ...] | list[str] | str) -> None:
        self.messages = (messages,) if isinstance(messages, str) else tuple(messages)
        super().__init__("; ".join(self.messages))


class MappingProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One place of a mapping that cannot work.

    pointer: JSON Pointer from the mapping's root, escaped as RFC 6901 says.
    message: what is wrong and what to write instead.
    reference_message: Segment's wording when it refuses such a mapping outright. None where it lets the mapping pass and
        fails events later, one by one.
    """

    pointer: str
    message: str
    reference_message: str | None

    @property
    def refused_by_segment(self) -> bool:
        """Whether Segment refuses the mapping too, before it sees an event."""
        return self.reference_message is not None


class MappingWarning(msgspec.Struct, frozen=True, kw_only=True):
    """One place of a mapping that works, and surely not as its author means. pointer, message: as in `MappingProblem`."""

    pointer: str
    message: str


class Place(msgspec.Struct, frozen=True):
    """Where in a mapping a check stands: the true way there, and the way Segment's messages give.

    The two part inside `@arrayPath`, where Segment leaves out the index, and inside `@merge`, where it starts over.
    """

    steps: tuple[str, ...] = ()
    reference_steps: tuple[str, ...] = ()

    def key(self, key: str) -> "Place":
        """The value of a key here."""
        return Place((*self.steps, key), (*self.reference_steps, key))

    def item(self, index: int) -> "Place":
        """An item of the list here; Segment has no step for it."""
        return Place((*self.steps, str(index)), self.reference_steps)

    def restarted(self) -> "Place":
        """The same place, which Segment calls the root."""
        return Place(self.steps, ())

    @property
    def pointer(self) -> str:
        """The JSON Pointer (RFC 6901): `~` is written `~0`, `/` is written `~1`."""
        return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in self.steps)

    def reference_message(self, complaint: str) -> str:
        """Segment's message: its place, unescaped, and the complaint."""
        return f"/{'/'.join(self.reference_steps)} {complaint}."
