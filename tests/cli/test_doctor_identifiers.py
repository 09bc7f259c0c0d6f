"""`gateway doctor` says what looks wrong with the identifiers that were sent."""

from gateway.cli.keeping import _identifiers
from gateway.core.hash_linter import FAULTS


def test_each_kind_of_fault_is_a_finding_with_its_mend() -> None:
    """Mapping, field, code, how often and when last; a lane without any gives none."""
    warning = {
        "mapping": "ads/buyers",
        "field": "email",
        "code": "hash_upper_case",
        "count": 7,
        "first_us": 1_760_000_000_000_000,
        "last_us": 1_760_000_100_000_000,
    }
    (finding,) = _identifiers({"lane": "ads", "identifier_warnings": [warning]})
    what, mend = FAULTS["hash_upper_case"]
    assert (finding.level, finding.mend) == ("warning", mend)
    assert finding.what == f"ads/buyers, `email`: hash_upper_case, 7 times, last on 2025-10-09. {what}"
    assert list(_identifiers({"lane": "ads"})) == []
