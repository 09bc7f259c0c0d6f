"""The fault only Backstage can show: a refusal in its own words."""

from typing import Annotated

import msgspec

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.faults import CommonFault, Fault

Text = Annotated[str, msgspec.Meta(max_length=1000)]


class Refusal(Fault, tag="refusal", frozen=True, kw_only=True):
    """A status with Backstage's error body; nothing is carried out. Empty members are left out of the body."""

    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 400
    message: Text = "The sandbox was told to refuse this."
    offending_field: Text = ""
    message_code: Text = ""

    def lets_through(self) -> bool:
        """Never."""
        return False

    def own_answer(self) -> Answer:
        """The error body."""
        return refusal(self.status, self.message, offending_field=self.offending_field, message_code=self.message_code)


TaboolaFault = CommonFault | Refusal


def refusal(status: int, message: str, *, offending_field: str = "", message_code: str = "") -> Answer:
    """Backstage's answer to what it does not take."""
    body: dict[str, object] = {"http_status": status, "message": message}
    if offending_field:
        body["offending_field"] = offending_field
    if message_code:
        body["message_code"] = message_code
    return json_answer(status, body)
