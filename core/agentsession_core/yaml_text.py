"""YAML that somebody else wrote."""

from __future__ import annotations

from typing import Any

import yaml


def read_yaml(text: str) -> Any:
    """What the text says. Raises yaml.YAMLError, whatever is wrong with it.

    The library lets a date that is none, a number that is none and too many brackets through as errors
    of its own insides.
    """
    try:
        return yaml.safe_load(text)
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        problem = f"a value in it cannot be read ({type(error).__name__})"
        raise yaml.MarkedYAMLError(problem=problem) from error
