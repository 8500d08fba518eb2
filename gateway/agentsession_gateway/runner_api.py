"""The runner protocol of `agentsession_core.wire`."""

from __future__ import annotations

import json
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.answers import CommitAnswer, RunAnswer
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.stages import Stage
from agentsession_core.problems import ProblemError
from agentsession_core.run_access import require_current, state_lost
from agentsession_core.wire import (
    EVENT_LIMIT_BYTES,
    PROTOCOL,
    RESULT_LIMIT_BYTES,
    ByeReceipt,
    EventBatch,
    EventKind,
    Hello,
    ResultReceipt,
    TurnEvent,
    TurnResult,
    Welcome,
    WireModel,
)
from agentsession_gateway import access
from agentsession_gateway.bodies import parse_body
from agentsession_gateway.deps import Deps
from agentsession_gateway.exports import ExportDesk
from agentsession_gateway.instructions import render_instructions
from agentsession_gateway.limits import BodyBudget, RateLimiter, read_body
from agentsession_gateway.stream import TurnDesk, stream_response

OLDEST_PROTOCOL: Final = max(1, PROTOCOL - 1)
EVENTS_PER_SECOND: Final = 50
# One full batch must pass, else a runner that fills its batches is never heard.
EVENTS_BURST: Final = 256
HELLO_BODY_BYTES: Final = 4 * 1024
EVENTS_BODY_BYTES: Final = 5 * 1024 * 1024
# A control character of a text takes six bytes in JSON.
RESULT_BODY_BYTES: Final = 6 * RESULT_LIMIT_BYTES + 64 * 1024
AGENT_SESSION_ID_LIMIT: Final = 256
_log = structlog.get_logger(__name__)


class RunnerApi:
    """Handlers of `/v1/runner/*`."""

    def __init__(self, deps: Deps, bodies: BodyBudget, exports: ExportDesk) -> None:
        self._deps = deps
        self._exports = exports
        self._bodies = bodies
        self._events = RateLimiter(EVENTS_PER_SECOND, EVENTS_BURST, deps.clock)

    async def hello(self, request: Request) -> Response:
        """Binds the pod to its run and answers everything the runner needs to begin."""
        deps = self._deps
        started = deps.clock()
        recognised = await access.recognise(deps, request, fresh=True)
        caller = recognised.caller
        with self._bodies.hold(caller.session_uid) as held:
            hello = parse_body(Hello, await read_body(request, HELLO_BODY_BYTES, held))
        effective = await deps.sessions.effective(recognised.session, fresh=True)
        _check_hello(hello, effective.agent_type)
        given = await deps.sessions.skills(caller.namespace, effective.skills)
        answer = await deps.store.hello(
            caller.mailbox,
            run=caller.run,
            pod_uid=caller.pod_uid,
            pod=caller.pod,
            uptime=hello.uptime_seconds,
            skill_problem=given.problem,
        )
        require_current(answer.answer)
        welcome = Welcome(
            protocol=min(hello.protocol, PROTOCOL),
            run=caller.run,
            conversation=answer.conversation,
            agent_session_id=answer.agent_session_id,
            model=effective.model,
            args=effective.args,
            process_mode=effective.process_mode,
            instructions=render_instructions(
                display_name=recognised.session.spec.user.display_name,
                network=effective.network,
                has_platform=bool(deps.settings.orchestrator.url),
                addition=effective.instructions,
            ),
            skills=given.skills,
            drained=answer.drained,
        )
        deps.metrics.hello_seconds.observe(deps.clock() - started)
        _log.info(
            "hello",
            session=caller.session,
            namespace=caller.namespace,
            run=caller.run,
            pod=caller.pod,
            agent_type=hello.agent_type,
            cli_version=hello.cli_version,
        )
        return JSONResponse(welcome.to_wire())

    async def stream(self, request: Request) -> Response:
        """Turns, cancels and drains as they come."""
        deps = self._deps
        recognised = await access.recognise(deps, request)
        require_current((await access.check(deps, recognised)).answer)
        effective = await deps.sessions.effective(recognised.session)
        desk = TurnDesk(deps.store, recognised.caller, effective, deps.new_turn_id)
        return stream_response(deps.hub, desk, recognised.caller, deps.clock)

    async def events(self, request: Request) -> Response:
        """Publishes what happens in the current turn."""
        deps = self._deps
        recognised = await access.recognise(deps, request)
        caller = recognised.caller
        standing = await access.check(deps, recognised)
        require_current(standing.answer)
        turn = request.path_params["turn"]
        if standing.turn != turn:
            raise ProblemError(
                410, "unknown_turn", "that turn is not the running one; drop its events"
            )
        with self._bodies.hold(caller.session_uid) as held:
            batch = parse_body(EventBatch, await read_body(request, EVENTS_BODY_BYTES, held))
        _check_sizes(batch)
        if not self._events.take(caller.session_uid, len(batch.events)):
            raise ProblemError(
                429,
                "too_many_events",
                f"more than {EVENTS_PER_SECOND} events per second; merge deltas",
                retry_after=1,
            )
        await deps.store.publish_events(
            caller.mailbox,
            turn,
            standing.source,
            [(event.seq, event.kind, event.data) for event in batch.events],
        )
        if not standing.answering and any(event.kind is EventKind.DELTA for event in batch.events):
            await deps.store.pass_stage(caller.mailbox, turn=turn, stage=Stage.FIRST_TOKEN)
        agent_session_id = _agent_session_id(batch)
        if agent_session_id is not None:
            await deps.store.remember_conversation(
                caller.mailbox, run=caller.run, turn=turn, agent_session_id=agent_session_id
            )
        return Response(status_code=202)

    async def result(self, request: Request) -> Response:
        """Commits the turn's result; again and again with the same answer."""
        deps = self._deps
        recognised = await access.recognise(deps, request)
        caller = recognised.caller
        standing = await access.check(deps, recognised)
        if standing.answer is RunAnswer.OTHER_POD:
            require_current(standing.answer)
        with self._bodies.hold(caller.session_uid) as held:
            result = parse_body(TurnResult, await read_body(request, RESULT_BODY_BYTES, held))
        if len(result.text.encode(errors="replace")) > RESULT_LIMIT_BYTES:
            raise ProblemError(
                413, "result_too_large", f"the text is larger than {RESULT_LIMIT_BYTES} bytes"
            )
        answer = await deps.store.commit_result(
            caller.mailbox,
            run=caller.run,
            turn=request.path_params["turn"],
            result=_record(result),
        )
        if answer is CommitAnswer.LOST:
            raise state_lost()
        if answer is CommitAnswer.STALE:
            raise ProblemError(409, "stale_run", "the turn was given to another run; exit")
        if answer is CommitAnswer.UNKNOWN_TURN:
            raise ProblemError(410, "unknown_turn", "no such turn is open; drop its result")
        return _answer(ResultReceipt(committed=answer is CommitAnswer.COMMITTED))

    async def export(self, request: Request) -> Response:
        """Hands the workspace on to whoever waits for it, piece by piece."""
        deps = self._deps
        recognised = await access.recognise(deps, request)
        require_current((await access.check(deps, recognised)).answer)
        export = self._exports.find(request.path_params["export"], recognised.caller.mailbox)
        whole = False
        try:
            async for piece in request.stream():
                if piece:
                    await export.put(piece)
            whole = True
        except ClientDisconnect:
            raise ProblemError(400, "body_cut", "the workspace's end did not come") from None
        finally:
            await export.finish(whole=whole)
        return Response(status_code=204)

    async def bye(self, request: Request) -> Response:
        """Lets the runner go, unless a message came meanwhile."""
        deps = self._deps
        caller = (await access.recognise(deps, request)).caller
        answer = await deps.store.bye(caller.mailbox, run=caller.run, pod_uid=caller.pod_uid)
        require_current(answer)
        return _answer(ByeReceipt(reopened=answer is RunAnswer.REOPENED))


def _answer(model: WireModel) -> Response:
    return JSONResponse(model.to_wire())


def _check_hello(hello: Hello, agent_type: str) -> None:
    if hello.protocol < OLDEST_PROTOCOL:
        raise ProblemError(
            409,
            "protocol_too_old",
            f"runner protocol {hello.protocol} is older than {OLDEST_PROTOCOL}, the oldest that "
            "this gateway speaks; update the agent image",
        )
    if hello.agent_type != agent_type:
        raise ProblemError(
            409,
            "agent_type_mismatch",
            f"the image runs {hello.agent_type!r}, the session wants {agent_type!r}; set the "
            "template's image to one for that agent",
        )


def _check_sizes(batch: EventBatch) -> None:
    for event in batch.events:
        size = len(json.dumps(event.data, ensure_ascii=False).encode(errors="replace"))
        if size > EVENT_LIMIT_BYTES:
            raise ProblemError(
                413,
                "event_too_large",
                f"event {event.seq} is larger than {EVENT_LIMIT_BYTES} bytes",
            )


def _agent_session_id(batch: EventBatch) -> str | None:
    found = [_id_in(event) for event in batch.events if event.kind is EventKind.STATE]
    return next((value for value in reversed(found) if value), None)


def _id_in(event: TurnEvent) -> str | None:
    value: Any = event.data.get("agentSessionID")
    fits = isinstance(value, str) and 0 < len(value) <= AGENT_SESSION_ID_LIMIT
    return value if fits else None


def _record(result: TurnResult) -> ResultRecord:
    return ResultRecord(
        outcome=TurnOutcome(result.outcome),
        text=result.text,
        agent_session_id=result.agent_session_id,
        error_code=result.error.code if result.error else "",
        error_message=result.error.message if result.error else "",
        files=result.files,
    )
