"""Puts the routes together."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from agentsession_dev.connections import Connections
from agentsession_dev.telegram_server.bot_api import BotApi
from agentsession_dev.telegram_server.browsers import OwnPageAlone
from agentsession_dev.telegram_server.chat import chat_router
from agentsession_dev.telegram_server.control import control_router
from agentsession_dev.telegram_server.errors import ApiError
from agentsession_dev.telegram_server.sending import Effects
from agentsession_dev.telegram_server.service import Settings, TelegramService


def create_app(settings: Settings, effects: Effects, connections: Connections) -> FastAPI:
    """Return the ASGI application of one stand-in."""
    service = TelegramService(settings, effects)
    bot_api = BotApi(service, connections)
    app = FastAPI(title="Telegram stand-in", openapi_url=None, redirect_slashes=False)

    app.add_middleware(OwnPageAlone)

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.body(), error.code)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    app.include_router(control_router(service))
    app.include_router(chat_router(service))
    app.add_route("/bot{token}/{method}", bot_api.call, methods=["GET", "POST"])
    app.add_route("/file/bot{token}/{path:path}", bot_api.download, methods=["GET"])
    return app
