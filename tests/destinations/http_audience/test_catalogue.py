"""The catalogue as files: they load without a warning, say what they are, hash as their platforms ask, and have current pages."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from http_audience_cases import NOW_US, Scripted, findings_of, owed_of, performed, said

from gateway.config.files import Problem, parse_file, read_file
from gateway.core.http_messages import NoAnswerError
from gateway.core.mapping import compile_mapping
from gateway.core.payloads import compile_check, defaults_of
from gateway.destinations import REGISTRY
from gateway.destinations.base import Batch, Context
from gateway.destinations.http_audience.catalog import CatalogError, _Trusted, catalog
from gateway.destinations.http_audience.fields import Rejection
from gateway.destinations.http_audience.loading import catalog_files, load_definition
from gateway.destinations.http_audience.page import contents
from gateway.destinations.http_audience.perform import HttpAudience
from gateway.destinations.http_audience.reports import sample_report, stand_in
from gateway.destinations.rehearsal import FreshNotes

ROOT = Path(__file__).parents[3]
FILES = {path.stem: path for path in catalog_files()}
SLUGS = sorted(FILES)
PROMISED = {
    "braze-user-attribute", "facebook-custom-audience", "facebook-custom-audience-replace", "google-ads-customer-match",
    "hubspot-list", "mailchimp-audience-tag", "salesforce-campaign", "signed-webhook", "webhook-audience",
}  # fmt: skip


# What a record is named by while another field of it is looked at.
ANCHORS: dict[str, object] = {
    "email": "anchor@example.com",
    "phone": "+34600111222",
    "external_id": "anchor",
    "user_id": "anchor",
    "contact_id": "003RM000003oLrLYAU",
    "lead_id": "00QRM000003oLrLYAU",
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def adding(destination: HttpAudience) -> str:
    """The operation by which somebody comes on a list."""
    return "enter" if "add" in destination.file.actions else "replace"


def loaded(slug: str, **variables: str) -> HttpAudience:
    """The file through the strict reader."""
    raw = read_file(FILES[slug], FILES[slug].name)
    assert not isinstance(raw, Problem)
    destination, problems = load_definition(parse_file(raw), variables=variables)
    assert problems == []
    assert destination is not None
    return destination


def test_the_catalogue_holds_the_platforms_it_promises():
    """One file each, named by its slug; no name is taken twice, nor that of a destination written in code."""
    assert list(catalog()) == SLUGS
    assert set(SLUGS) >= PROMISED
    names = [name for one in catalog().values() for name in (one.file.slug, *one.file.names)]
    taken = {name for one in REGISTRY.values() for name in (one.definition.slug, *one.definition.names)}
    assert len(set(names)) == len(names)
    assert not taken & set(names)
    assert catalog() is catalog()


@pytest.mark.parametrize("slug", SLUGS)
def test_a_definition_loads_without_a_warning_and_passes_its_samples(slug: str):
    """By the strict reader, and the same by the catalogue's own."""
    file = loaded(slug).file
    shipped = catalog()[slug].definition
    assert shipped.docs_page == f"docs/destinations/catalogue/{slug}.md" in contents()
    assert msgspec.structs.replace(shipped, docs_page=loaded(slug).definition.docs_page) == loaded(slug).definition
    assert file.slug == slug
    assert file.checked_on == str(date.fromisoformat(file.checked_on))
    assert file.api_version
    report = asyncio.run(sample_report(file))
    assert report["passed"], report["samples"]
    assert {sample.action for sample in file.samples} >= {"add", "remove"} & set(file.actions)
    assert any(sample.rejected for sample in file.samples)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_field_says_what_becomes_of_it_where_it_is_hashed(slug: str):
    """A hashed field has words for people, a normaliser, and is sent as lower-case hex."""
    for rule in loaded(slug).file.fields.values():
        if rule.hash is not None:
            assert rule.help
            assert rule.normalize is not None
            assert (rule.hash, rule.hash_encoding) == ("sha256", "hex")


@pytest.mark.parametrize(
    ("slug", "field", "given", "sent"),
    [
        # Meta: digests of normalised values; ids as they are.
        ("facebook-custom-audience", "email", " Ana.Reyes@Example.COM ", digest("ana.reyes@example.com")),
        ("facebook-custom-audience", "email", "no address", None),
        ("facebook-custom-audience", "phone", "+44 844 412 4653", digest("448444124653")),
        ("facebook-custom-audience", "phone", "1-(650)-561-5622", digest("16505615622")),
        ("facebook-custom-audience", "phone", "0049 30 123456", digest("4930123456")),
        ("facebook-custom-audience", "first_name", "Ana María", digest("ana maría")),
        ("facebook-custom-audience", "last_name", " O'Reyes-Díaz ", digest("oreyesdíaz")),
        ("facebook-custom-audience", "gender", "F", digest("f")),
        ("facebook-custom-audience", "gender", "female", None),
        ("facebook-custom-audience", "birth_year", 1988, digest("1988")),
        ("facebook-custom-audience", "birth_year", "88", None),
        ("facebook-custom-audience", "birth_month", "3", None),
        ("facebook-custom-audience", "birth_month", "03", digest("03")),
        ("facebook-custom-audience", "birth_day", "31", digest("31")),
        ("facebook-custom-audience", "city", "San Sebastián", digest("sansebastián")),
        ("facebook-custom-audience", "state", " CA ", digest("ca")),
        ("facebook-custom-audience", "postal_code", "94107-1234", digest("94107")),
        ("facebook-custom-audience", "postal_code", "SW1A 1AA", digest("sw1a1aa")),
        ("facebook-custom-audience", "country", "ES", digest("es")),
        ("facebook-custom-audience", "country", "Spain", None),
        ("facebook-custom-audience", "mobile_advertising_id", "AECE52E7-03EE-455A-B3C4-E57283966239",
         "aece52e7-03ee-455a-b3c4-e57283966239"),
        ("facebook-custom-audience", "mobile_advertising_id", "00000000-0000-0000-0000-000000000000", None),
        # Google: gmail is special, names keep their punctuation, places are plain.
        ("google-ads-customer-match", "email", "Cloudy.SanFrancisco+shopping@gmail.com", digest("cloudysanfrancisco@gmail.com")),
        ("google-ads-customer-match", "email", "a.b+c@GoogleMail.com ", digest("ab@googlemail.com")),
        ("google-ads-customer-match", "email", "user.name+NYC@Example.com", digest("user.name+nyc@example.com")),
        ("google-ads-customer-match", "phone", "+1 (800) 555-0100", digest("+18005550100")),
        ("google-ads-customer-match", "phone", "(800) 555-0100", None),
        ("google-ads-customer-match", "first_name", " Ana María ", digest("ana maría")),
        ("google-ads-customer-match", "last_name", "O'Reyes-Díaz", digest("o'reyes-díaz")),
        ("google-ads-customer-match", "country", "es", "ES"),
        ("google-ads-customer-match", "postal_code", " 94045 ", "94045"),
        ("google-ads-customer-match", "ad_user_data", "yes", None),
        # The rest take people as they are, tidied.
        ("hubspot-list", "email", " Bo@Example.org ", "bo@example.org"),
        ("salesforce-campaign", "contact_id", " 003RM000003oLrHYAU ", "003RM000003oLrHYAU"),
        ("salesforce-campaign", "contact_id", "003' OR Name != '12", None),
        ("salesforce-campaign", "contact_id", "00QRM000003oLrHYAU", None),
        ("braze-user-attribute", "phone", "+1 202 555 0111", "+12025550111"),
        ("mailchimp-audience-tag", "email", "BO@EXAMPLE.ORG", "bo@example.org"),
        ("webhook-audience", "email", " Bo@Example.org", "bo@example.org"),
    ],
)  # fmt: skip
def test_values_are_normalised_as_the_platform_asks(slug: str, field: str, given: object, sent: object):
    """Each by its own rule; what cannot be right is left out."""
    destination = catalog()[slug]
    others = [key for key, rule in destination.file.fields.items() if rule.identifier and key != field]
    record = destination.prepared(adding(destination), {**{key: ANCHORS[key] for key in others[:1]}, field: given})
    assert not isinstance(record, Rejection), record
    assert record.get(field) == sent


@pytest.mark.parametrize("slug", SLUGS)
def test_nobody_can_be_sent_without_an_identifier(slug: str):
    """It would count, and name nobody."""
    destination = catalog()[slug]
    rejection = destination.prepared(adding(destination), {"first_name": "Bo", "attributes": {"plan": "gold"}})
    assert isinstance(rejection, Rejection)
    assert rejection.code == "missing_required_field"


# --- Pages ---


@pytest.mark.parametrize("name", sorted(contents()))
def test_a_page_is_current(name: str):
    """Otherwise run `python -m gateway.destinations.http_audience.page`. It shows every request of the samples."""
    assert (ROOT / name).read_text("utf-8") == contents()[name]


@pytest.mark.parametrize("slug", SLUGS)
def test_the_mapping_of_a_page_is_ready_for_events(slug: str):
    """Its settings and its audience are accepted, and the defaults fill the fields."""
    destination = catalog()[slug]
    definition = destination.definition
    page = contents()[f"docs/destinations/catalogue/{slug}.md"]
    found = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert found is not None
    example = json.loads(found[1])
    settings = {key: "x" if isinstance(value, dict) else value for key, value in example["settings"].items()}
    compile_check(definition.settings).check_settings(settings)
    assert destination.check_settings(settings, frozenset()) == []
    (entry,) = example["mappings"][0]["audiences"].values()
    assert set(entry) <= {one.key for one in definition.actions[0].audience_settings}
    compile_mapping(defaults_of(definition.actions[0].fields))


# --- Privacy ---

CANARY: dict[str, Any] = {
    "email": "quetzalbird@canarymail.example.com", "phone": "+34600977120", "first_name": "Quetzalina",
    "last_name": "Canarywing", "external_id": "quetzal-77120", "user_id": "quetzal-77120", "contact_id": "003QUETZAL77120",
    "anonymous_id": "quetzal-a-77120", "postal_code": "77120", "city": "Plumage",
}  # fmt: skip
TRACES = ("quetzal", "canary", "600977120", "77120", "plumage", "s3cr3t", digest("quetzalbird@canarymail.example.com"))
SECRET = "czNjcjN0LWM0bmFyeS1rZXkgczNjcjN0"  # Base64, so that webhooks can be signed with it


@pytest.mark.parametrize("operation", ["enter", "exit", "replace"])
@pytest.mark.parametrize("status", [200, 207, 400, 401, 403, 404, 413, 429, 500])
@pytest.mark.parametrize("slug", SLUGS)
def test_nothing_of_a_person_stands_in_a_reason_or_a_summary(slug: str, status: int, operation: str):
    """Whatever the platform answers, even when it repeats all it was sent."""
    destination = catalog()[slug]
    asked = {"enter": "add", "exit": "remove"}.get(operation, operation)

    def echo(request: Any) -> Any:
        said_back = request.body.decode() + request.url + json.dumps(CANARY)
        if b"grant_type" in request.body:
            return said(200, {"access_token": SECRET, "expires_in": 60})
        return said(status, {"error": {"message": said_back}, "message": said_back, "errors": [{"message": said_back}]})

    setting = stand_in(destination.file)
    settings = {**setting.settings, **{one.name: SECRET for one in destination.file.login.secrets.values()}}
    batch = Batch(
        action="syncAudience",
        settings=settings,
        corrections=frozenset(),
        owed=owed_of([CANARY, {**CANARY, "email": "bo@example.org"}], operation, audience_settings=setting.entry),
    )
    done = asyncio.run(destination.perform(batch, Context(http=Scripted(echo), notes=FreshNotes(), now_us=NOW_US)))
    assert len(done.outcomes) == 2
    assert asked in destination.file.actions or not any("Delivered" in repr(one) for one in done.outcomes)
    assert [word for word in TRACES if word in repr(done).lower()] == []


@pytest.mark.parametrize("slug", SLUGS)
def test_no_answer_is_unsure_and_nobody_is_refused(slug: str):
    """A connection that breaks after the request went out."""
    destination = catalog()[slug]
    setting = stand_in(destination.file)
    settings = {**setting.settings, **{one.name: SECRET for one in destination.file.login.secrets.values()}}
    broken = Scripted(NoAnswerError("reset", sent=True))
    owed = owed_of([CANARY], adding(destination), audience_settings=setting.entry)
    done = performed(destination, owed, broken, settings=settings)
    assert [type(one).__name__ for one in done.outcomes] == ["Unreachable"]


# --- Reading shipped files ---


@pytest.mark.parametrize(
    "value",
    [[], {"kind": "other"}, {"kind": "http_audience", "slug": 1}, {"kind": "http_audience", "slug": "a", "spare": 1},
     {"kind": "http_audience", "slug": "a", "name": "A", "allow_http": "yes"},
     {"kind": "http_audience", "slug": "a", "name": "A", "base_url": "https://a.example", "limits": {"concurrency": "4"}},
     {"kind": "http_audience", "slug": "a", "name": "A", "base_url": "https://a.example", "auth": {"type": "magic"}}],
)  # fmt: skip
def test_a_shipped_file_that_is_wrong_raises_with_its_place(value: object):
    """An installation that was edited says so at once."""
    with pytest.raises(CatalogError, match=r"some\.json#"):
        load_definition(_Trusted("some.json", value))
    _, problems = load_definition(findings_of(value))
    assert problems
