from __future__ import annotations

import pytest

pytest_plugins = [
    "agentsession_testing.valkey",
    "agentsession_testing.claude_cli",
    "agentsession_testing.model_gateway",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files instead of comparing"
    )
