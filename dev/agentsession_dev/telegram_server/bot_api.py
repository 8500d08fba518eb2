"""The Bot API's routes: /bot<token>/<method> and /file/bot<token>/<path>."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agentsession_dev.connections import Connections
from agentsession_dev.telegram_server.account import MAX_UPLOAD_BYTES
from agentsession_dev.telegram_server.errors import ApiError
from agentsession_dev.telegram_server.methods import Uploads
from agentsession_dev.telegram_server.sending import Upload
from agentsession_dev.telegram_server.service import TelegramService

# A form around a file of the largest size.
MAX_BODY_BYTES = MAX_UPLOAD_BYTES + 1024 * 1024


# What faults call a download: it is no method.
DOWNLOAD = "file"


class Gone(Response):
    """An answer that never comes: the connection ends instead."""

    def __init__(self, connections: Connections, *, reset: bool) -> None:
        super().__init__()
        self._connections = connections
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """End the connection."""
        leave = self._connections.reset if self._reset else self._connections.close
        address = scope.get("client")
        if address is None or not leave(tuple(address)):
            raise ConnectionResetError("a fault on order")
        # uvicorn takes an application that returns before the connection is gone for a mistake.
        while (await receive())["type"] != "http.disconnect":
            pass


class BotApi:
    """Adapts HTTP to the service."""

    def __init__(self, service: TelegramService, connections: Connections) -> None:
        self._service = service
        self._connections = connections

    async def call(self, request: Request) -> Response:
        """Answer a method."""
        token, name = request.path_params["token"], request.path_params["method"]
        try:
            values, uploads = await _read(request)
            answer = await self._service.call(token, name, values, uploads)
        except ApiError as error:
            return JSONResponse(error.body(), error.code)
        except ConnectionResetError:
            return Gone(self._connections, reset=True)
        if answer.fault is not None and answer.fault.kind == "lost":
            return Gone(self._connections, reset=False)
        if answer.fault is not None and answer.fault.kind == "delay":
            await asyncio.sleep(answer.fault.seconds)
        return JSONResponse(answer.body, answer.status)

    async def download(self, request: Request) -> Response:
        """Answer a download of a file that getFile has named."""
        if request.path_params["token"] != self._service.settings.token:
            return JSONResponse(ApiError(401).body(), 401)
        try:
            fault = self._service.faults.take(DOWNLOAD, None)
        except ApiError as error:
            return JSONResponse(error.body(), error.code)
        if fault is not None and fault.kind in ("lost", "reset"):
            return Gone(self._connections, reset=fault.kind == "reset")
        path = request.path_params["path"]
        parts = path.split("/")
        file = self._service.account.files.get(parts[1]) if len(parts) == 3 else None
        if file is None or file.path != path:
            return JSONResponse(ApiError(404).body(), 404)
        return Response(file.content, media_type="application/octet-stream")


async def _read(request: Request) -> tuple[dict[str, Any], Uploads]:
    """Return the parameters and files of a call, from query, form or JSON.

    Raises:
        ApiError: 413 for a body that is too large, 400 for JSON that is no object.
    """
    if int(request.headers.get("content-length", "0")) > MAX_BODY_BYTES:
        raise ApiError(413)
    values: dict[str, Any] = dict(request.query_params)
    kind = request.headers.get("content-type", "").split(";")[0]
    if kind == "application/json":
        return values | _json_object(await request.body()), {}
    async with request.form(max_part_size=MAX_BODY_BYTES) as form:
        uploads = await _uploads(form)
        fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    return values | fields, uploads


async def _uploads(form: FormData) -> Uploads:
    return {
        name: Upload(
            value.filename or name,
            value.content_type or "application/octet-stream",
            await value.read(),
        )
        for name, value in form.multi_items()
        if isinstance(value, UploadFile)
    }


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ApiError(400, "can't parse JSON object")
    return found
