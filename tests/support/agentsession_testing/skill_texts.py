"""Texts of skills."""

from __future__ import annotations


def skill(
    name: str, description: str = "Does it. Use when it is wanted.", body: str = "How."
) -> str:
    """A SKILL.md."""
    return f"---\nname: {name}\ndescription: {description}\n---\n\n{body}\n"
