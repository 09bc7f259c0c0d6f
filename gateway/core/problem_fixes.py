"""What to do about a line of the sync log that did not get through, by its stage, status and HTTP status."""

from __future__ import annotations

from typing import Final

_MAPPING: Final = {
    "payload_invalid": "A required field is missing or of the wrong type: look at the mapping's `fields`, and at the event "
    "with `gateway explain`.",
    "mapping_failed": "A directive of the mapping failed on the event: `gateway explain` shows which.",
    "no_identifiers": "The event names nothing the platform knows people by: map an e-mail, phone or device id.",
    "no_payload": "No event that matched gave a payload: look at the trigger and the fields.",
    "mapping_removed": "The mapping was taken out of its file.",
}
_BY_HTTP: Final = {
    401: "The platform refuses the credentials: renew the secret, then `gateway resume` the destination.",
    403: "The credentials may not do this: check the account's rights, then `gateway resume` the destination.",
    404: "The platform knows no such list or record: check the audience's `external_id`.",
    409: "The platform says that it conflicts with what it holds: look there, or send everybody again with `--resend`.",
    413: "The request was too large; it is halved by itself. If it goes on, lower the batch size.",
    429: "The platform asks for patience: lower `limits.requests_per_second`, or let the next run try.",
}
SERVER_ERROR_FROM: Final = 500


def fix_for(*, stage: str, status: str, code: str, http_status: int) -> str:
    """One sentence for the operator. Always says something; never a value of a person."""
    if status == "unsure":
        return (
            "The answer was lost, so nobody knows. The next run asks again, which settles it; where the platform may not be asked "
            "twice, `gateway sync resolve` does."
        )
    if stage == "mapping":
        return _MAPPING.get(
            code, "The mapping makes no record of these members: look at its `fields` and their events."
        )
    if http_status in _BY_HTTP:
        return _BY_HTTP[http_status]
    if http_status >= SERVER_ERROR_FROM:
        return "The platform has trouble of its own; the next run tries again."
    if status == "rejected":
        return (
            "The platform refuses these records: the message says why. They wait until the data or the mapping changes, or "
            "`gateway sync retry`."
        )
    if status == "cancelled":
        return "The run was stopped before; the next run plans them again."
    return "The platform could not be reached, or gave no usable answer; the next run tries again."
