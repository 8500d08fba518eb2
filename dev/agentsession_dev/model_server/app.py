"""Puts the routes together."""

from __future__ import annotations

from fastapi import FastAPI, Request

from agentsession_dev.connections import Connections
from agentsession_dev.model_server.control import control_router
from agentsession_dev.model_server.player import ScriptResponse
from agentsession_dev.model_server.rules import RuleBook
from agentsession_dev.model_server.service import Effects, ModelService

ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app(
    *,
    rules: RuleBook,
    api_keys: frozenset[str] = frozenset(),
    any_key: bool = False,
    effects: Effects,
    connections: Connections | None = None,
) -> FastAPI:
    """Return the ASGI application of one scripted model server.

    Resetting and cutting connections needs ``connections`` of the HTTP server it runs under;
    without them such an answer ends with a ``ConnectionResetError``.
    """
    service = ModelService(
        rules=rules,
        api_keys=api_keys,
        any_key=any_key,
        effects=effects,
        connections=connections if connections is not None else Connections(),
    )
    app = FastAPI(title="Scripted model server", openapi_url=None, redirect_slashes=False)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    app.include_router(control_router(service))
    _add_api_routes(app, service)
    return app


def _add_api_routes(app: FastAPI, service: ModelService) -> None:
    async def messages(request: Request) -> ScriptResponse:
        return await service.answer(request, service.messages)

    async def count_tokens(request: Request) -> ScriptResponse:
        return await service.answer(request, service.count_tokens)

    async def list_models(request: Request) -> ScriptResponse:
        return await service.answer(request, service.list_models)

    async def get_model(request: Request) -> ScriptResponse:
        name: str = request.path_params["name"]
        return await service.answer(request, service.get_model(name))

    async def hello(request: Request) -> ScriptResponse:
        return await service.answer(request, service.hello, key_needed=False)

    async def unknown(request: Request) -> ScriptResponse:
        return await service.answer(request, service.unknown_route, key_needed=False)

    # Starlette's own routes hand the response through untouched.
    app.add_route("/v1/messages", messages, methods=["POST"])
    app.add_route("/v1/messages/count_tokens", count_tokens, methods=["POST"])
    app.add_route("/v1/models", list_models, methods=["GET"])
    app.add_route("/v1/models/{name}", get_model, methods=["GET"])
    app.add_route("/api/hello", hello, methods=["GET", "HEAD"])
    app.add_route("/{path:path}", unknown, methods=ALL_METHODS)
