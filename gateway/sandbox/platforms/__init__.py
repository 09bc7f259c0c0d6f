"""Fakes of the platforms whose definitions ship with the gateway, each a class over `list_partner.py`."""

from gateway.sandbox.platforms.braze import Braze
from gateway.sandbox.platforms.google_ads import GoogleAds
from gateway.sandbox.platforms.hubspot import HubSpot
from gateway.sandbox.platforms.mailchimp import Mailchimp
from gateway.sandbox.platforms.meta import Meta
from gateway.sandbox.platforms.salesforce import Salesforce
from gateway.sandbox.platforms.webhook import Webhook

__all__ = ["Braze", "GoogleAds", "HubSpot", "Mailchimp", "Meta", "Salesforce", "Webhook"]
