"""The format's page: every key, directive, root and code is in it, and its examples load."""

import json
import re
from pathlib import Path

import pytest
from http_audience_cases import loaded

from gateway.destinations.http_audience import (
    format as top,
)  # fmt: skip
from gateway.destinations.http_audience import (
    format_access as access,
)
from gateway.destinations.http_audience import (
    format_actions as actions,
)
from gateway.destinations.http_audience import (
    format_answers as answers,
)
from gateway.destinations.http_audience import (
    format_fields as fields,
)
from gateway.destinations.http_audience import (
    tree_checks as trees,
)
from gateway.destinations.http_audience.templates import ROOTS

PAGE = (Path(__file__).parents[3] / "docs/destinations/http-audience.md").read_text("utf-8")
CODES = (
    "config_invalid", "action_not_configured", "record_invalid", "missing_required_field", "empty_record", "already_hashed",
    "not_hashed", "invalid_value", "template_failed", "endpoint_unresolved", "record_too_large", "rate_limited",
    "destination_unavailable", "timeout", "auth_failed", "rejected_by_destination", "response_unreadable",
)  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        set(top._MEMBERS) - {"$schema"}, fields._FIELD, fields.NORMALIZERS, fields._TESTS, actions._ACTION,
        actions._STEP, actions.FORMATS, actions.METHODS, answers._RESPONSE, access._LIMITS, access._LOGIN_KEYS,
        trees.KIT, trees.OURS, CODES,
        {key for keys in access._LOGIN_KEYS.values() for part in keys for key in part},
    ],
)  # fmt: skip
def test_every_name_is_in_the_page(names):
    """In code, or at the head of an example."""
    missing = [name for name in names if not re.search(rf'[`"]{re.escape(name)}[`"(:]', PAGE)]
    assert missing == []


def test_every_root_is_in_the_page():
    """With its dollar."""
    assert [root for root in ROOTS - {"job"} if f"$.{root}" not in PAGE] == []


def test_the_first_example_loads():
    """Without a warning that matters."""
    example = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    assert loaded(example).definition.slug == "northwind-ads"
