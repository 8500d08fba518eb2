"""The gateway's page against its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "gateway.md").read_text()
SOURCES = (ROOT / "gateway" / "agentsession_gateway", ROOT / "core" / "agentsession_core")


def raised() -> Iterator[tuple[int, str]]:
    """Status and code of every ProblemError that is written out."""
    for folder in SOURCES:
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(
                        func=ast.Name(id="ProblemError"),
                        args=[ast.Constant(value=int(status)), ast.Constant(value=str(code)), *_],
                    ):
                        yield status, code


def listed() -> set[tuple[int, str]]:
    rows = re.findall(r"^\| (\d{3}(?:, \d{3})*) \|(.*)\|$", PAGE, re.MULTILINE)
    return {
        (int(status), code)
        for statuses, codes in rows
        for status in statuses.split(", ")
        for code in re.findall(r"`(\w+)`", codes)
    }


def test_every_refusal_is_listed_with_its_status() -> None:
    found = set(raised())
    assert len(found) > 40
    assert found - listed() == set()
