"""How many examples a random test tries: some hundreds always, many when somebody asks for them.

    RANDOM_EXAMPLES=10000 .venv/bin/python -m pytest tests/unit -m random

A failure prints what plays it again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings


def examples(usually: int) -> Callable[[Any], Any]:
    """Decorates a test: `usually` examples, or as many as RANDOM_EXAMPLES says."""
    number = int(os.environ.get("RANDOM_EXAMPLES", usually))
    return settings(max_examples=number, suppress_health_check=[HealthCheck.too_slow])
