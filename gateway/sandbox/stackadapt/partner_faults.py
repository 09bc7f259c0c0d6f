"""The faults only a GraphQL service can show: refusals inside an answer of status 200."""

from typing import Annotated

import msgspec

from gateway.sandbox.answers import Answer, json_answer
from gateway.sandbox.faults import CommonFault, Fault

Text = Annotated[str, msgspec.Meta(max_length=1000)]


class Errors(Fault, tag="errors", frozen=True, kw_only=True):
    """Status 200 with top-level `errors` and no data; nothing is carried out unless told to."""

    message: Text = "The sandbox was told to refuse this document."
    carried_out: bool = False

    def lets_through(self) -> bool:
        """Only when told to."""
        return self.carried_out

    def own_answer(self) -> Answer:
        """The errors."""
        return json_answer(200, {"data": None, "errors": [{"message": self.message}]})


class UserErrors(Fault, tag="user_errors", frozen=True, kw_only=True):
    """`userErrors` in the payload of the one field named as target, which is not carried out; the others are."""

    target: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    message: Text = "The sandbox was told to refuse this field."
    path: Annotated[tuple[Text, ...], msgspec.Meta(max_length=20)] | None = ("input",)


StackAdaptFault = CommonFault | Errors | UserErrors
