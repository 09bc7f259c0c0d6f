"""What can be set on a fake partner: a frozen value over which the keys of a JSON object are laid."""

from typing import Annotated, Literal, Self

import msgspec

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all partners know. record: "counts" keeps neither headers nor bodies in the request log."""

    record: Literal["full", "counts"] = "full"

    def changed_by(self, changed: bytes) -> Self:
        """The configuration with the keys of a JSON object laid over it. Raises msgspec.DecodeError, ValidationError."""
        keys = msgspec.json.decode(changed, type=dict[str, msgspec.Raw])
        whole = {**msgspec.json.decode(msgspec.json.encode(self), type=dict[str, msgspec.Raw]), **keys}
        return msgspec.json.decode(msgspec.json.encode(whole), type=type(self))
