"""Full-text search in both databases' own ways: all the words, in any form of writing."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import Select, column, desc, func, select, table, text

from orchestrator_api.tables import Article

WORDS: Final = 20
# One table of words for SQLite, which has no such index; triggers keep it (migration 0002).
SQLITE_TABLE: Final = table("articles_words", column("rowid"), column("rank"))


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
            .join(SQLITE_TABLE, SQLITE_TABLE.c.rowid == Article.id)
            .where(text("articles_words MATCH :match"))
            .params(match=match)
            .order_by(SQLITE_TABLE.c.rank, Article.id)
        )
    vector = func.to_tsvector(text("'simple'"), Article.title + " " + Article.body)
    wanted = func.plainto_tsquery(text("'simple'"), " ".join(words))
    return (
        select(Article)
        .where(vector.op("@@")(wanted))
        .order_by(desc(func.ts_rank(vector, wanted)), Article.id)
    )
