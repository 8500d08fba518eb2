"""The inspection routes under ``/_control``: for tests, never called by an agent."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import ValidationError

from agentsession_dev.model_server.conversation import Kind
from agentsession_dev.model_server.failures import Injection
from agentsession_dev.model_server.records import RecordedRequest
from agentsession_dev.model_server.rules import InvalidRulesError, parse_rules
from agentsession_dev.model_server.service import ModelService
from agentsession_dev.model_server.wire import describe_first_error

MAX_WAIT_SECONDS = 300


def control_router(service: ModelService) -> APIRouter:
    """Return the routes that inspect and steer one server."""
    router = APIRouter(prefix="/_control")
    _add_request_routes(router, service)
    _add_rule_routes(router, service)
    _add_failure_routes(router, service)
    return router


def _add_request_routes(router: APIRouter, service: ModelService) -> None:
    @router.get("/requests")
    async def list_requests(
        after: Annotated[int, Query(ge=0)] = 0,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 0,
        kind: Kind | None = None,
        answered: bool = False,
    ) -> dict[str, Any]:
        def wanted(record: RecordedRequest) -> bool:
            done = record.outcome != "pending" or not answered
            return done and kind in (None, record.kind)

        if wait > 0:
            found = await service.log.wait_after(after, wanted, wait)
        else:
            found = service.log.after(after, wanted)
        # Taken after waiting: what arrived meanwhile is part of the answer.
        return {"last": service.log.last_sequence, "requests": found}

    @router.get("/requests/{sequence}/body")
    async def request_body(sequence: int) -> Response:
        body = service.log.body(sequence)
        if body is None:
            raise HTTPException(404, f"no body is kept for request {sequence}")
        return Response(body, media_type="application/json")

    @router.delete("/requests", status_code=204)
    async def clear_requests() -> None:
        service.log.clear()


def _add_rule_routes(router: APIRouter, service: ModelService) -> None:
    @router.get("/rules")
    async def get_rules() -> dict[str, Any]:
        return service.rules.model_dump(mode="json", exclude_defaults=True)

    @router.put("/rules")
    async def put_rules(request: Request) -> dict[str, Any]:
        try:
            rules = parse_rules(await request.body())
        except InvalidRulesError as error:
            raise HTTPException(422, str(error)) from None
        service.replace_rules(rules)
        return {"rules": [rule.name for rule in rules.rules]}


def _add_failure_routes(router: APIRouter, service: ModelService) -> None:
    @router.post("/fail")
    async def inject_failure(request: Request) -> dict[str, int]:
        try:
            injection = Injection.model_validate_json(await request.body())
        except ValidationError as error:
            raise HTTPException(422, describe_first_error(error)) from None
        service.failures.inject(injection)
        return {"remaining": service.failures.injected_remaining()}

    @router.get("/fail")
    async def injected_failures() -> dict[str, int]:
        return {"remaining": service.failures.injected_remaining()}

    @router.delete("/fail", status_code=204)
    async def clear_failures() -> None:
        service.failures.clear_injected()
