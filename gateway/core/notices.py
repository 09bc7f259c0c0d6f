"""What is told of an alert: one value, and the texts that a webhook and an e-mail make of it. It holds nothing of a person."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

from gateway.core.alert_options import Level

MESSAGE_CHARS_MAX = 500

Kind = Literal["raised", "recovered"]


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One telling. alert: its name; sync: the sync's id as people write it. run: 0 where none is behind it. Times in µs."""

    kind: Kind
    alert: str
    level: Level
    sync: str
    message: str
    since_us: int
    at_us: int
    run: int = 0


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Notice)


def encode_notice(notice: Notice) -> bytes:
    """A notice as the store keeps it, its message cut to MESSAGE_CHARS_MAX."""
    return _encode(msgspec.structs.replace(notice, message=notice.message[:MESSAGE_CHARS_MAX]))


def read_notice(blob: bytes) -> Notice:
    """A kept notice."""
    return _decoder.decode(blob)


def webhook_body(notice: Notice) -> bytes:
    """The JSON that a webhook gets: `type`, `timestamp` and `data`, as the Standard Webhooks specification proposes."""
    return _encode(
        {
            "type": f"alert.{notice.kind}",
            "timestamp": _moment(notice.at_us),
            "data": {
                "alert": notice.alert,
                "level": notice.level,
                "sync": notice.sync,
                "message": notice.message,
                "since": _moment(notice.since_us),
                "run": notice.run or None,
            },
        }
    )


def mail_subject(notice: Notice) -> str:
    """One line: whether it is over, how grave, which alert, which sync."""
    state = "recovered" if notice.kind == "recovered" else notice.level
    return " ".join(f"[audience gateway] {state}: {notice.alert}, {notice.sync}".split())


def mail_text(notice: Notice) -> str:
    """The letter itself."""
    lines = [
        notice.message or ("It is over." if notice.kind == "recovered" else "See the sync."),
        "",
        f"Alert:  {notice.alert} ({notice.level}), {notice.kind}",
        f"Sync:   {notice.sync}",
        f"Since:  {_moment(notice.since_us)}",
        f"Told:   {_moment(notice.at_us)}",
    ]
    if notice.run:
        lines.append(f"Run:    {notice.run} (`gateway run show {notice.run}`)")
    return "\n".join([*lines, "", f"`gateway sync show {notice.sync}` shows how the sync stands.", ""])


def _moment(us: int) -> str:
    return f"{datetime.fromtimestamp(us / 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
