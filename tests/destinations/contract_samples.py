"""What the contract suite has to know of each destination: what it needs, and how its fake partner is reached."""

import hashlib

from gateway.core.outcomes import Deferred, Delivered, Refused
from gateway.destinations import REGISTRY
from gateway.destinations.http_audience.catalog import catalog
from gateway.destinations.http_audience.reports import stand_in
from gateway.sandbox.platforms import Braze, GoogleAds, HubSpot, Mailchimp, Meta, Salesforce, Webhook
from gateway.sandbox.platforms.webhook import SECRET as WEBHOOK_SECRET
from gateway.sandbox.platforms.webhook import WebhookConfiguration
from gateway.sandbox.stackadapt import StackAdapt
from gateway.sandbox.taboola import Taboola
from gateway.sandbox.the_trade_desk import TheTradeDesk

NOW_US = 1_795_338_000_000_000
SECRET = "s3cr3t-c4nary-token"

# Nobody real: each of these words may stand in a request's body, and nowhere else.
CANARY = {
    "email": "quetzalbird@canarymail.example",
    "first_name": "Quetzalina",
    "last_name": "Canarywing",
    "phone": "+15550142223",
    "user_id": "canary-user-77120",
    "street": "7 Plumage Row",
}
SIGNING_SECRET = "czNjcjN0LWM0bmFyeS10b2tlbg=="  # SECRET in Base64, for those who sign
DIGESTS = tuple(
    hashlib.sha256(text.encode()).hexdigest()
    for text in (*(f"{number}.{CANARY['email']}" for number in range(3)), CANARY["phone"], CANARY["phone"].lstrip("+"))
)
TRACES = (
    *("quetzal", "canarymail", "canarywing", "5550142223", "77120", "plumage", SECRET, SIGNING_SECRET.rstrip("=")),
    *DIGESTS,
)

# What a destination needs beside required settings and defaults: settings, fields, audience settings.
# login: requests whose address ends so are answered well, since what follows them is what is tried.
# means: where its contract reads a status (without headers) otherwise than the rest.
# unreadable: what a 200 that cannot be read is, where it is not tried again.
SAMPLES = {
    "stackadapt-audience": {
        "settings": {"apiKey": SECRET, "advertiser_id": "31337"},
        "fields": {
            "marketing_status": "Opted-in",
            "custom_user_properties": [{"name": "note", "type": "STRING", "value": "Quetzalina of Plumage Row"}],
        },
    },
    "taboola": {
        "settings": {"client_id": "harbour", "client_secret": SECRET},
        "fields": {"device_id": {"@path": "$.userId"}},
        "audience_settings": {"account_id": "demo-advertiser"},
        "login": "/oauth/token",
        "means": {429: Deferred},
        "unreadable": Delivered,  # as in Segment's connector, which reads no body
    },
    "the-trade-desk-crm": {
        "settings": {"auth_token": SECRET, "advertiser_id": "adv123"},
        "fields": {"pii_type": "Email", "email": {"@path": "$.traits.email"}},
        "audience_settings": {"region": "EU"},
        "means": {429: Deferred},
        "unreadable": Refused,  # the next run sends the whole list again
    },
}

# The same of shipped definitions; settings and audience settings are those that their docs pages show.
SHIPPED = {
    "google-ads-customer-match": {"login": "/token"},
    "signed-webhook": {"unreadable": Delivered},  # Standard Webhooks: any 2xx
    "salesforce-campaign": {"login": "/services/oauth2/token", "fields": {"contact_id": "003RM000003oLrHYAU"}},
}


def shipped_sample(slug):
    """A line of SAMPLES for a shipped definition."""
    file = catalog()[slug].file
    setting = stand_in(file)
    secret = SIGNING_SECRET if file.login.type == "standard_webhooks" else SECRET
    return {
        "settings": {**setting.settings, **{one.name: secret for one in file.login.secrets.values()}},
        "audience_settings": setting.entry,
        "fields": {},
        **SHIPPED.get(slug, {}),
    }


def plain_sample(destination):
    """The line of a destination that has none: its required settings, and its fields' own defaults."""
    required = [field for field in destination.definition.settings if field.required]
    return {"settings": {field.key: SECRET if field.secret else "demo" for field in required}, "fields": {}}


EVERY = {**REGISTRY, **catalog()}
SAMPLES = (
    {slug: plain_sample(one) for slug, one in REGISTRY.items()}
    | SAMPLES
    | {slug: shipped_sample(slug) for slug in catalog()}
)

# Everybody in a list of a platform that takes whole lists only, enough for the most demanding one.
LIST_PEOPLE = 1_500


def taboola_audience(partner):
    return str(partner.create("demo-advertiser", "cart_rescue").number)


def trade_desk_segment(partner):
    return partner.create("adv123", "cart_rescue").external_id


def webhook():
    """A receiver whose clock shows the time of these tests; calls carry it, and an old one is refused."""
    return Webhook(WebhookConfiguration(lists={"vip-buyers": "VIP buyers"}), clock=lambda: NOW_US / 1_000_000)


META = {"access_token": "sandbox-token", "app_secret": "sandbox-secret", "base_url": "{url}/meta/v26.0"}

# slug: the fake, its address and what it knows as settings, and the id of the audience there. A new destination adds its line.
FAKES = {
    "stackadapt-audience": (
        StackAdapt, {"apiKey": "sandbox-token", "advertiser_id": "31337", "api_url": "{url}/stackadapt/graphql"}, None,
    ),
    "taboola": (
        Taboola,
        {
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "backstage_base_url": "{url}/taboola/backstage",
        },
        taboola_audience,
    ),
    "the-trade-desk-crm": (
        TheTradeDesk,
        {"auth_token": "sandbox-token", "advertiser_id": "adv123", "api_base_url": "{url}/the-trade-desk/v3"},
        trade_desk_segment,
    ),
    "braze-user-attribute": (Braze, {"api_key": "sandbox-key", "base_url": "{url}/braze"}, None),
    "facebook-custom-audience": (Meta, META, None),
    "facebook-custom-audience-replace": (Meta, META, None),
    "google-ads-customer-match": (
        GoogleAds,
        {
            "client_id": "sandbox-client", "client_secret": "sandbox-secret", "refresh_token": "sandbox-refresh",
            "customer_id": "1234567890", "login_customer_id": "1234567890", "terms_of_service": "ACCEPTED",
            "base_url": "{url}/google-ads/v1", "token_url": "{url}/google-ads/token",
        },
        None,
    ),
    "hubspot-list": (HubSpot, {"access_token": "sandbox-token", "base_url": "{url}/hubspot"}, None),
    "mailchimp-audience-tag": (Mailchimp, {"api_key": "sandbox-key-us6", "base_url": "{url}/mailchimp/3.0"}, None),
    "salesforce-campaign": (
        Salesforce,
        {"client_id": "sandbox-client", "client_secret": "sandbox-secret", "base_url": "{url}/salesforce"},
        None,
    ),
    "signed-webhook": (webhook, {"signing_secret": WEBHOOK_SECRET, "base_url": "{url}/webhook/hook"}, None),
    "webhook-audience": (webhook, {"signing_secret": WEBHOOK_SECRET, "base_url": "{url}/webhook"}, None),
}  # fmt: skip
