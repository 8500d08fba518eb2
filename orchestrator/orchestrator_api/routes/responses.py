"""What an agent says to its person in the middle of a turn."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from agentsession_core.mailbox.answers import RunAnswer
from agentsession_core.mailbox.responses import RESPONSES_PER_TURN, RespondAnswer, Responded
from agentsession_core.problems import ProblemError
from agentsession_core.run_access import require_current
from agentsession_core.terminal import OPEN_SOURCES
from orchestrator_api.callers import Scope
from orchestrator_api.calls import Answer, Call, gate
from orchestrator_api.rights import Operation
from orchestrator_api.routes.common import DryRun, problems
from orchestrator_api.views import View, Wish

router: Final = APIRouter(prefix="/v1/responses", tags=["sessions"])
RESPOND: Final = gate(Operation("session.respond", Scope.WRITE))
_REFUSED: Final = {
    RespondAnswer.NO_TURN: (
        409,
        "no_turn",
        "no turn of this run is going on: nobody has asked anything that this could belong to",
    ),
    RespondAnswer.STOPPED: (
        409,
        "turn_stopped",
        "the person has stopped this turn; say nothing more and end",
    ),
    # Not 429: in this turn no later try would be taken.
    RespondAnswer.TOO_MANY: (
        409,
        "too_many_responses",
        f"a turn has at most {RESPONSES_PER_TURN} of them; put the rest into the final answer",
    ),
}


class NewResponse(Wish):
    """Something to say before the turn ends, in Markdown."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "The tests pass; I deploy it now."}]}
    )

    text: Annotated[str, StringConstraints(min_length=1, max_length=16_384, strip_whitespace=True)]


class ResponseView(View):
    """What was said. `reaches` is the chat, or whoever follows the session at a terminal."""

    id: str
    turn: str | None = Field(description="The running turn; null where it has ended meanwhile.")
    reaches: Literal["chat", "terminal"] | None


@router.post("", status_code=201, response_model=ResponseView, responses=problems(409))
async def respond(wish: NewResponse, call: Call = RESPOND, dry_run: DryRun = False) -> Response:
    """Says something to the running turn's person at once, before the turn's own answer."""
    run, store = call.caller.run, call.deps.runs
    if run is None or store is None:
        raise ProblemError(
            403,
            "only_for_runs",
            "only an agent can respond, to whoever its running turn answers",
        )
    known = await call.take_key()
    if known is not None:
        return known
    response, said = _identity(call), Responded(RespondAnswer.SAID)
    if not call.dry_run:
        # Before the transaction: SQLite's only writer must not wait for Redis. Sent again, it is known.
        said = await store.respond(call.caller.mailbox, run=run, response=response, text=wish.text)
        _require_said(said)

    async def work(_: AsyncSession) -> Answer:
        view = ResponseView(id=response, turn=said.turn, reaches=_reaches(said.source))
        return Answer(view, f"mailbox/{call.caller.mailbox}", 201, detail={"turn": said.turn})

    return await call.change(work)


def _identity(call: Call) -> str:
    """The same for the same request, however often it is sent."""
    key = call.idempotency_key or call.request_id
    said = f"{call.caller.user}\n{call.caller.mailbox}\n{key}"
    return f"respond.{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def _require_said(said: Responded) -> None:
    if said.answer in (RespondAnswer.LOST, RespondAnswer.STALE):
        require_current(RunAnswer(said.answer))
    refused = _REFUSED.get(said.answer)
    if refused is not None:
        raise ProblemError(*refused)


def _reaches(source: str | None) -> Literal["chat", "terminal"] | None:
    if source is None:
        return None
    return "terminal" if source in OPEN_SOURCES else "chat"
