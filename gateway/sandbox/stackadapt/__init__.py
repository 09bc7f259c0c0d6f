"""The fake StackAdapt: one GraphQL endpoint with the documented checks, lists that follow, and faults on demand."""

from gateway.sandbox.stackadapt.configuration import AccessToken, Advertiser, StackAdaptConfiguration
from gateway.sandbox.stackadapt.partner import StackAdapt
from gateway.sandbox.stackadapt.partner_faults import Errors, UserErrors

__all__ = ["AccessToken", "Advertiser", "Errors", "StackAdapt", "StackAdaptConfiguration", "UserErrors"]
