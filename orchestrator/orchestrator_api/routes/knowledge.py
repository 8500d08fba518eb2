"""Articles worth knowing, found by their words."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.problems import ProblemError
from orchestrator_api import knowledge, quotas
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.projects import not_found
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import DryRun, problems
from orchestrator_api.routes.incidents import Title
from orchestrator_api.tables import Article
from orchestrator_api.views import Page, Text, Time, View, Wish

router: Final = APIRouter(prefix="/v1/articles", tags=["knowledge"])
SEARCH: Final = gate(Operation("article.search", Scope.READ))
GET: Final = gate(Operation("article.get", Scope.READ))
CREATE: Final = gate(Operation("article.create", Scope.WRITE))
DELETE: Final = gate(Operation("article.delete", Scope.WRITE, runs=False))
ArticleId = Annotated[int, Path(ge=1, le=2**53, examples=[1])]


class NewArticle(Wish):
    """An article. `shared` ones are everybody's, and for administrators to write."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"title": "How we name services", "body": "After what they do."}]
        }
    )

    title: Title
    body: Text
    shared: bool = False


class ArticleView(View):
    """An article."""

    id: int
    title: str
    body: str
    shared: bool
    created_at: Time
    updated_at: Time


def _view(row: Article) -> ArticleView:
    return ArticleView(
        id=row.id,
        title=row.title,
        body=row.body,
        shared=row.user_id == "",
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


@router.get("", response_model=Page[ArticleView], responses=problems())
async def search_articles(
    call: Call = SEARCH,
    q: Annotated[str, Query(max_length=500, description="Words; without any, the newest.")] = "",
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> Response:
    """The user's and everybody's articles that have all the words, the best first."""
    mine = or_(Article.user_id == call.caller.user, Article.user_id == "")
    async with call.reading() as session:
        query = knowledge.search(q, sqlite=call.deps.database.is_sqlite).where(mine).limit(limit)
        rows = (await session.scalars(query)).all()
    return call.shown(Page[ArticleView](items=[_view(row) for row in rows]))


@router.post("", status_code=201, response_model=ArticleView, responses=problems(409))
async def create_article(
    wish: NewArticle, call: Call = CREATE, dry_run: DryRun = False
) -> Response:
    """Keeps an article."""
    if wish.shared and Scope.ADMIN not in call.caller.scopes:
        raise ProblemError(
            403, "scope_missing", "everybody's articles need a token with scope admin"
        )

    async def work(session: AsyncSession) -> Answer:
        if not wish.shared:
            await quotas.require_room(session, call.caller.user, quotas.ARTICLES)
        row = Article(
            user_id="" if wish.shared else call.caller.user,
            title=wish.title,
            body=wish.body,
            created_at=call.now,
            updated_at=call.now,
        )
        session.add(row)
        await session.flush()
        return Answer(_view(row), f"article/{row.id}", 201)

    return await call.change(work)


@router.get("/{article_id}", response_model=ArticleView, responses=problems(404))
async def get_article(article_id: ArticleId, call: Call = GET) -> Response:
    """An article."""
    async with call.reading() as session:
        row = await session.scalar(select(Article).where(Article.id == article_id))
    if row is None or row.user_id not in ("", call.caller.user):
        raise not_found("article", article_id)
    return call.shown(_view(row))


@router.delete("/{article_id}", status_code=204, responses=problems(404))
async def delete_article(
    article_id: ArticleId, call: Call = DELETE, dry_run: DryRun = False
) -> Response:
    """Forgets an article; everybody's are for administrators."""

    async def work(session: AsyncSession) -> Answer:
        row = await session.get(Article, article_id)
        owners = {call.caller.user} | ({""} if Scope.ADMIN in call.caller.scopes else set())
        if row is None or row.user_id not in owners:
            raise not_found("article", article_id)
        await session.delete(row)
        return Answer(None, f"article/{article_id}", detail={"title": row.title})

    return await call.change(work)
