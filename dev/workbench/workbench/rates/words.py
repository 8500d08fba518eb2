"""Words that articles are made of, and that are searched for. Pure."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Final

WORDS: Final = tuple(
    first + middle + last
    for first, middle, last in product(
        ("ba", "de", "fi", "go", "lu", "me", "ni", "po", "ra", "su"),
        ("l", "n", "r", "st", "t"),
        ("an", "el", "in", "or", "us", "et"),
    )
)
ARTICLE_WORDS: Final = 60


def article_of(n: int) -> str:
    """The n-th article's text."""
    return " ".join(Random(n).choices(WORDS, k=ARTICLE_WORDS))  # noqa: S311 - nobody guesses


def words_of(n: int) -> str:
    """Two words that stand in some thirtieth of all articles."""
    return " ".join(Random(-1 - n).sample(WORDS, 2))  # noqa: S311
