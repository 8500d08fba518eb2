"""If-Match and If-None-Match as RFC 9110 has them."""

from __future__ import annotations

import pytest

from orchestrator_api.conditions import is_known, may_change


@pytest.mark.parametrize(
    ("header", "changes", "known"),
    [
        (None, True, False),
        ("*", True, True),
        (' "3"', True, True),
        ('"2", "3"', True, True),
        ('"2","4"', False, False),
        ('W/"3"', False, True),
        ('"2", W/"3"', False, True),
        ("3", False, False),
        ("", False, False),
    ],
)
def test_versions(header: str | None, changes: bool, known: bool) -> None:
    assert may_change(header, '"3"') is changes
    assert is_known(header, '"3"') is known
