"""The faults only The Trade Desk and its storage host can show: refusals in their own words."""

from typing import Annotated

import msgspec

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.faults import CommonFault, Fault, HeaderText

Text = Annotated[str, msgspec.Meta(max_length=1000)]
Code = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]{1,60}$")]


class Refusal(Fault, tag="refusal", frozen=True, kw_only=True):
    """A status with the API's error body; nothing is carried out. An empty `property_name` names none.

    bare: the body is the message alone, a JSON string, as a 429's may be.
    """

    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 400
    message: Text = "The sandbox was told to refuse this."
    property_name: Text = ""
    bare: bool = False
    retry_after: int | HeaderText | None = None

    def lets_through(self) -> bool:
        """Never."""
        return False

    def own_answer(self) -> Answer:
        """The error body."""
        headers = () if self.retry_after is None else (("retry-after", str(self.retry_after)),)
        if self.bare:
            return json_answer(self.status, self.message, headers=headers)
        answer = refusal(self.status, self.message, self.property_name)
        return msgspec.structs.replace(answer, headers=(*answer.headers, *headers))


class StorageRefusal(Fault, tag="storage_refusal", frozen=True, kw_only=True):
    """A status with the storage host's XML body; nothing is carried out."""

    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 503
    code: Code = "SlowDown"

    def lets_through(self) -> bool:
        """Never."""
        return False

    def own_answer(self) -> Answer:
        """The error body."""
        return storage_refusal(self.status, self.code)


TheTradeDeskFault = CommonFault | Refusal | StorageRefusal


def refusal(status: int, message: str, property_name: str = "") -> Answer:
    """The API's answer to what it does not take."""
    body: dict[str, object] = {"Message": message}
    if property_name:
        body["ErrorDetails"] = [{"Property": property_name, "Reasons": [message]}]
    return json_answer(status, body)


def storage_refusal(status: int, code: str) -> Answer:
    """The storage host's answer to what it does not take."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>Sandbox</Message></Error>'
    return Answer(status=status, body=body.encode(), headers=(("content-type", "application/xml"),))
