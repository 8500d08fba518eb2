from __future__ import annotations

from pathlib import Path

import pytest

from agentsession_testing.chart import Helm, find_helm


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """helm with a folder of its own for values files."""
    return find_helm(tmp_path)
