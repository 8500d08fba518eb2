"""The Messages API behind the HTTP routes: checks, records, decides."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from agentsession_dev.connections import Connections
from agentsession_dev.model_server.answers import (
    Plan,
    estimate_tokens,
    plan_turn,
    side_answer,
)
from agentsession_dev.model_server.auth import check_key, key_error
from agentsession_dev.model_server.conversation import kind_of, purpose_of, read_conversation
from agentsession_dev.model_server.errors import ApiError
from agentsession_dev.model_server.failures import FailureBook
from agentsession_dev.model_server.player import ScriptResponse, Sleep
from agentsession_dev.model_server.records import (
    Outcome,
    RecordedRequest,
    RequestLog,
    recorded_headers,
)
from agentsession_dev.model_server.rules import RuleBook
from agentsession_dev.model_server.script import (
    Script,
    apply_failure,
    script_answer,
    script_error,
    script_json,
)
from agentsession_dev.model_server.wire import (
    CountTokensRequest,
    InvalidRequestError,
    MessagesRequest,
    RequestT,
    parse_request,
)

MAX_BODY_BYTES = 32 * 1024 * 1024
DEFAULT_MODELS = ("claude-opus-5-5", "claude-sonnet-5", "claude-haiku-4-5")
MODEL_CREATED_AT = "2026-01-01T00:00:00Z"

logger = logging.getLogger(__name__)

Decide = Callable[[RecordedRequest, bytes], Script]


@dataclass(frozen=True)
class Effects:
    """Everything that is not a pure function: the clock (Unix seconds), ids, waiting."""

    now: Callable[[], float]
    new_id: Callable[[str], str]
    sleep: Sleep


class ModelService:
    """Answers requests by the rules and keeps a record of each."""

    def __init__(
        self,
        *,
        rules: RuleBook,
        api_keys: frozenset[str],
        any_key: bool,
        effects: Effects,
        connections: Connections,
    ) -> None:
        self.rules = rules
        self.failures = FailureBook()
        self.log = RequestLog()
        self._api_keys = api_keys
        self._any_key = any_key
        self._effects = effects
        self._connections = connections

    def replace_rules(self, rules: RuleBook) -> None:
        """Use other rules from the next request on and forget all failures."""
        self.rules = rules
        self.failures.reset()

    async def answer(
        self, request: Request, decide: Decide, *, key_needed: bool = True
    ) -> ScriptResponse:
        """Record a request, check it and return the answer that ``decide`` finds."""
        record = self._open_record(request)
        body = b""
        try:
            body = await _read_body(request)
            record.body_bytes = len(body)
            if key_needed:
                self._check_access(request, record)
            script = decide(record, body)
        except ApiError as error:
            script = script_error(error, record.request_id)
        await self.log.add(record, body)
        return self._respond(record, script)

    def messages(self, record: RecordedRequest, body: bytes) -> Script:
        """Answer ``POST /v1/messages``."""
        request = _parsed(MessagesRequest, body)
        conversation = read_conversation(request)
        record.purpose = purpose_of(request, conversation, record.headers)
        record.kind = kind_of(record.purpose)
        record.describe(
            conversation,
            model=request.model,
            tools=request.tool_names(),
            stream=request.stream,
        )
        self._check_model(request.model)
        if record.purpose in ("turn", "subagent"):
            tool_use_id = self._effects.new_id("toolu")
            plan = plan_turn(self.rules, request, conversation, len(body), tool_use_id)
        else:
            plan = Plan(side_answer(record.purpose, request, conversation, len(body)))
        record.rule, record.step = plan.rule, plan.step
        script = script_answer(
            plan.answer,
            stream=request.stream,
            message_id=self._effects.new_id("msg"),
            model=request.model,
            request_id=record.request_id,
        )
        return self._with_failure(script, plan, record, conversation.last_user_text)

    def count_tokens(self, record: RecordedRequest, body: bytes) -> Script:
        """Answer ``POST /v1/messages/count_tokens`` with an estimate."""
        count_request = _parsed(CountTokensRequest, body)
        record.purpose = "count_tokens"
        record.describe(
            read_conversation(count_request),
            model=count_request.model,
            tools=count_request.tool_names(),
            stream=False,
        )
        self._check_model(count_request.model)
        return script_json({"input_tokens": estimate_tokens(len(body))}, record.request_id)

    def list_models(self, record: RecordedRequest, body: bytes) -> Script:
        """Answer ``GET /v1/models``."""
        names = self.rules.models or DEFAULT_MODELS
        data = [_model_entry(name) for name in names]
        page = {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}
        return script_json(page, record.request_id)

    def get_model(self, name: str) -> Decide:
        """Return how ``GET /v1/models/{name}`` is answered."""

        def decide(record: RecordedRequest, body: bytes) -> Script:
            if name not in (self.rules.models or DEFAULT_MODELS):
                raise ApiError(404, f"model: {name}")
            return script_json(_model_entry(name), record.request_id)

        return decide

    def hello(self, record: RecordedRequest, body: bytes) -> Script:
        """Answer the reachability check of the CLI."""
        return script_json({"message": "hello"}, record.request_id)

    def unknown_route(self, record: RecordedRequest, body: bytes) -> Script:
        """Refuse a path or method that the server does not have."""
        raise ApiError(404, f"not found: {record.method} {record.path}")

    def _open_record(self, request: Request) -> RecordedRequest:
        check = check_key(request.headers, self._api_keys, any_key=self._any_key)
        return RecordedRequest(
            received_at=self._effects.now(),
            method=request.method,
            path=request.url.path,
            query=request.url.query,
            credential=check.credential,
            key_valid=check.valid,
            headers=recorded_headers(request.headers),
            header_names=sorted(set(request.headers)),
            request_id=self._effects.new_id("req"),
        )

    def _check_access(self, request: Request, record: RecordedRequest) -> None:
        if not record.key_valid:
            raise key_error(record.credential)
        if not request.headers.get("anthropic-version"):
            raise ApiError(400, "anthropic-version: header is required")

    def _check_model(self, model: str) -> None:
        if self.rules.models and model not in self.rules.models:
            raise ApiError(404, f"model: {model}")

    def _with_failure(
        self, script: Script, plan: Plan, record: RecordedRequest, last_user_text: str
    ) -> Script:
        failure = self.failures.take_injected(record.kind, last_user_text)
        if failure is None and plan.failure is not None and plan.rule is not None:
            failure = self.failures.take_written(plan.rule, plan.step or 0, plan.failure)
        return script if failure is None else apply_failure(script, failure, record.request_id)

    def _respond(self, record: RecordedRequest, script: Script) -> ScriptResponse:
        async def first_byte(status: int) -> None:
            record.status = status
            record.first_byte_at = self._effects.now()
            await self.log.notify()

        async def end(outcome: Outcome) -> None:
            record.outcome = outcome
            record.finished_at = self._effects.now()
            _log_end(record)
            await self.log.notify()

        return ScriptResponse(
            script,
            sleep=self._effects.sleep,
            now=self._effects.now,
            connections=self._connections,
            on_first_byte=first_byte,
            on_end=end,
        )


def _log_end(record: RecordedRequest) -> None:
    logger.info(
        "request %d: %s %s %s, rule %s step %s, status %s, %s",
        record.sequence,
        record.method,
        record.path,
        record.purpose,
        record.rule,
        record.step,
        record.status,
        record.outcome,
    )


async def _read_body(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise ApiError(413, f"Request exceeds the maximum size of {MAX_BODY_BYTES} bytes")
            chunks.append(chunk)
    except ClientDisconnect:
        raise ApiError(400, "the connection ended before the whole body had arrived") from None
    return b"".join(chunks)


def _parsed(model: type[RequestT], body: bytes) -> RequestT:
    try:
        return parse_request(model, body)
    except InvalidRequestError as error:
        raise ApiError(400, str(error)) from None


def _model_entry(name: str) -> dict[str, str]:
    return {"type": "model", "id": name, "display_name": name, "created_at": MODEL_CREATED_AT}
