"""The fake Trade Desk: CRM data segments behind one listener, uploads behind the other, with the documented checks."""

from gateway.sandbox.the_trade_desk.configuration import TheTradeDeskConfiguration
from gateway.sandbox.the_trade_desk.partner import TheTradeDesk
from gateway.sandbox.the_trade_desk.partner_faults import Refusal, StorageRefusal
from gateway.sandbox.the_trade_desk.segments import Drop, Segment

__all__ = ["Drop", "Refusal", "Segment", "StorageRefusal", "TheTradeDesk", "TheTradeDeskConfiguration"]
