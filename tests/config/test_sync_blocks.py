"""The `sync` block in mapping files: defaults of whole lists, the hour of the settings, lists kept twice."""

from __future__ import annotations

import json

import pytest

from gateway.config.files import RawFile
from gateway.config.folder import FolderText
from gateway.config.rulebooks import compile_rulebook
from gateway.config.secrets import SecretSource
from gateway.core.schedules import Every
from gateway.destinations import REGISTRY

HOUR_S = 3_600


def compiled(*files, **settings):
    """What comes of mapping files of The Trade Desk, each with these audiences and members."""
    known = {slug: one.definition for one in REGISTRY.values() for slug in (one.definition.slug, *one.definition.names)}
    raw = []
    for number, (audiences, members) in enumerate(files):
        mapping = {"name": "Sync", "fields": {"pii_type": "Email"}, "audiences": audiences, **members}
        whole = {
            "destination": "the-trade-desk-crm",
            "settings": {"auth_token": {"$env": "TOKEN"}, "advertiser_id": "adv", **settings},
            "mappings": [mapping],
        }
        raw.append(RawFile(name=f"mappings/f{number}.json", stem=f"f{number}", text=json.dumps(whole)))
    text = FolderText(sources=None, mappings=tuple(raw), unreadable=())
    return compile_rulebook(text, lambda _text: (known, []), SecretSource(variables={"TOKEN": "t"}))


def test_an_action_of_whole_lists_syncs_daily_at_three():
    """Without any block."""
    loaded = compiled(({"*": {}}, {}))
    (destination,) = loaded.value.destinations
    options = destination.mappings[0].sync
    assert (options.mode, options.schedule) == ("mirror", Every(every_s=24 * HOUR_S, offset_s=3 * HOUR_S))
    assert destination.mappings[0].capabilities.min_distinct == 1_500


def test_the_hour_of_the_settings_is_the_schedule():
    """Unless the block says one, too: then neither is guessed."""
    loaded = compiled(({"*": {}}, {}), sync_hour_utc=5)
    assert loaded.value.destinations[0].mappings[0].sync.schedule == Every(every_s=24 * HOUR_S, offset_s=5 * HOUR_S)
    loaded = compiled(({"*": {}}, {"sync": {"schedule": {"daily": "04:00"}}}), sync_hour_utc=5)
    assert [problem.pointer for problem in loaded.problems if problem.severity == "error"] == [
        "/mappings/0/sync/schedule"
    ]


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ({"mode": "subtractive"}, "/mappings/0/sync/mode"),
        ({"schedule": {"continuous": {}}}, "/mappings/0/sync/schedule/continuous"),
        ({"scedule": {"manual": True}}, "/mappings/0/sync/scedule"),
        ({"filter": "("}, "/mappings/0/sync/filter"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(block, pointer):
    """Each with its place."""
    loaded = compiled(({"*": {}}, {"sync": block}))
    assert pointer in [problem.pointer for problem in loaded.problems if problem.severity == "error"]


def test_one_list_is_kept_by_one_sync():
    """Two would undo each other."""
    entry = {"vip": {"external_id": "cc9b84o"}}
    assert compiled((entry, {}), ({"vip": {"external_id": "other01"}}, {})).value is not None
    loaded = compiled((entry, {}), (entry, {}))
    (problem,) = [one for one in loaded.problems if one.severity == "error"]
    assert (problem.file, problem.pointer) == ("mappings/f1.json", "/mappings/0/audiences/vip")
