"""The sinks of alerts that the settings ask for."""

from __future__ import annotations

from gateway.alerting.email import Email, Mailbox, Security
from gateway.alerting.sinks import Sink
from gateway.alerting.webhook import Webhook
from gateway.config.environment import Environment
from gateway.destinations.http_client import PartnerHttp

_CONNECTIONS_MAX = 1
_securities: dict[str, Security] = {"starttls": "starttls", "tls": "tls", "none": "none"}


def alert_sinks(settings: Environment, http: PartnerHttp) -> list[Sink]:
    """The webhook and the mailbox, as far as they are set. The operator wrote the address, so it may be private."""
    sinks: list[Sink] = []
    if settings.alert_webhook_url:
        way_out = http.lane(allow_private=True, connections_max=_CONNECTIONS_MAX)
        sinks.append(Webhook(url=settings.alert_webhook_url, secret=settings.alert_webhook_secret, http=way_out))
    if settings.alert_email_to:
        sinks.append(
            Email(
                Mailbox(
                    host=settings.smtp_host,
                    port=settings.smtp_port,
                    security=_securities[settings.smtp_security],
                    sender=settings.alert_email_from,
                    recipients=settings.alert_email_to,
                    user=settings.smtp_user,
                    password=settings.smtp_password,
                )
            )
        )
    return sinks
