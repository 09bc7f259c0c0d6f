"""Every destination's docs page: its tables are current, its switches and fields are in it, its example works."""

import json
import re
from pathlib import Path

import pytest

from gateway.core.mapping import compile_mapping
from gateway.core.payloads import compile_check, defaults_of
from gateway.destinations import REGISTRY
from gateway.destinations.docs_page import refreshed

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("slug", REGISTRY)
def test_the_tables_are_current(slug: str):
    """Otherwise run `python -m gateway.destinations.docs_page`."""
    definition = REGISTRY[slug].definition
    page = (ROOT / definition.docs_page).read_text("utf-8")
    assert refreshed(page, definition) == page


@pytest.mark.parametrize("slug", REGISTRY)
def test_everything_that_can_be_set_is_in_the_page(slug: str):
    """Settings, fields, corrections, the version and the day it was checked."""
    definition = REGISTRY[slug].definition
    page = (ROOT / definition.docs_page).read_text("utf-8")
    named = [field.key for field in definition.settings] + [one.name for one in definition.corrections]
    named += [field.key for action in definition.actions for field in action.fields]
    assert [name for name in named if f"`{name}`" not in page and f"`{name}[]`" not in page] == []
    assert definition.checked_on in page
    assert definition.api_version in page


@pytest.mark.parametrize("slug", REGISTRY)
def test_the_first_example_compiles(slug: str):
    """Its mappings, laid over the defaults, are ready for events."""
    definition = REGISTRY[slug].definition
    page = (ROOT / definition.docs_page).read_text("utf-8")
    example = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    assert example["destination"] == slug
    compile_check(definition.settings).check_settings(
        {key: "12345" if isinstance(value, dict) else value for key, value in example["settings"].items()}
    )
    for mapping in example["mappings"]:
        action = definition.action(mapping.get("action", definition.actions[0].slug))
        assert set(mapping.get("fields", {})) <= {field.key for field in action.fields}
        compile_mapping({**defaults_of(action.fields), **mapping.get("fields", {})})
