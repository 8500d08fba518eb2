from __future__ import annotations

import pytest
from hypothesis import settings

# A busy machine makes any example slow: figures are for `make bench`, never for tests.
settings.register_profile("agentsession", deadline=None, print_blob=True)
settings.load_profile("agentsession")

pytest_plugins = [
    "agentsession_testing.valkey",
    "agentsession_testing.claude_cli",
    "agentsession_testing.model_gateway",
    "agentsession_testing.orchestrator",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files instead of comparing"
    )
