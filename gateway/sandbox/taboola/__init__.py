"""The fake Taboola: the token call and the audience calls of Backstage with the documented checks, and faults on demand."""

from gateway.sandbox.taboola.configuration import Client, TaboolaConfiguration
from gateway.sandbox.taboola.partner import Taboola
from gateway.sandbox.taboola.partner_faults import Refusal

__all__ = ["Client", "Refusal", "Taboola", "TaboolaConfiguration"]
