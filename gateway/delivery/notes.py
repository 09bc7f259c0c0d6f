"""The small values a destination keeps between batches, in the state store under its lane's name."""

from __future__ import annotations

from gateway.store.api import StateStore

NOTE_BYTES_MAX = 64 * 1024


def note_key(lane: str, key: str) -> str:
    """What the note is called in the store. Those whose key begins with `debug/` go with the next deletion of a person."""
    return f"destination/{lane}/{key}"


class LaneNotes:
    """`base.Notes` of one lane."""

    def __init__(self, state: StateStore, lane: str) -> None:
        self._state = state
        self._lane = lane

    async def get(self, key: str) -> bytes | None:
        """Value or None."""
        return await self._state.read(lambda view: view.note(note_key(self._lane, key)))

    async def put(self, key: str, value: bytes) -> None:
        """Keep. Raises ValueError for more than NOTE_BYTES_MAX: these are notes, not files."""
        if len(value) > NOTE_BYTES_MAX:
            raise ValueError(f"a note holds at most {NOTE_BYTES_MAX} bytes")
        await self._state.write(lambda tx: tx.put_note(note_key(self._lane, key), value))
