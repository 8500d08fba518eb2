"""Full-text search in both databases' own ways: all the words, in any form of writing."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import Select, desc, func, select, text

from orchestrator_api.tables import Article

WORDS: Final = 20
# One table of words for SQLite, which has no such index; triggers keep it (migration 0002).
SQLITE_TABLE: Final = "articles_words"


def words_of(query: str) -> list[str]:
    """The words of a query; whatever else stands in it is no operator."""
    return re.findall(r"\w+", query)[:WORDS]


def search(query: str, *, sqlite: bool) -> Select[Article]:
    """Articles that have all the words, the best first; without words the newest first."""
    words = words_of(query)
    if not words:
        return select(Article).order_by(Article.id.desc())
    if sqlite:
        match = " ".join(f'"{word}"' for word in words)
        return (
            select(Article)
            .join(text(SQLITE_TABLE), text(f"{SQLITE_TABLE}.rowid = articles.id"))
            .where(text(f"{SQLITE_TABLE} MATCH :match"))
            .params(match=match)
            .order_by(text("rank"))
        )
    vector = func.to_tsvector(text("'simple'"), Article.title + " " + Article.body)
    wanted = func.plainto_tsquery(text("'simple'"), " ".join(words))
    return (
        select(Article)
        .where(vector.op("@@")(wanted))
        .order_by(desc(func.ts_rank(vector, wanted)), Article.id)
    )
