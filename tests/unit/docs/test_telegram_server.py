"""docs/telegram-server.md names the methods, routes and options that there are."""

from __future__ import annotations

import re
from pathlib import Path

import click
from fastapi.routing import APIRoute

from agentsession_dev.connections import Connections
from agentsession_dev.telegram_server.__main__ import main
from agentsession_dev.telegram_server.app import create_app
from agentsession_dev.telegram_server.methods import Methods
from agentsession_dev.telegram_server.sending import Effects
from agentsession_dev.telegram_server.service import Settings, TelegramService

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "telegram-server.md").read_text("utf-8")
EFFECTS = Effects(now=lambda: 0.0, new_id=lambda: "id")


def test_every_method_is_named() -> None:
    service = TelegramService(Settings(token="1:x"), EFFECTS)
    assert isinstance(service.methods, Methods)
    listed = PAGE.split("Methods: ", 1)[1].split("Any other", 1)[0]
    named = {name.lower() for name in re.findall(r"`(\w+)`", listed)}
    assert named == set(service.methods.names)


def test_every_control_route_is_named() -> None:
    app = create_app(Settings(token="1:x"), EFFECTS, Connections())
    paths = {
        re.sub(r"\{.*?\}", "{}", route.path.removeprefix("/_control"))
        for route in app.routes
        if isinstance(route, APIRoute) and route.path.startswith("/_control")
    }
    named = {re.sub(r"\{.*?\}", "{}", path) for path in re.findall(r"`[A-Z]* ?(/[^\s`?]*)", PAGE)}
    places = {"/people/{}/unblock", "/flood-limits/{}"}
    assert {path for path in paths - places if path not in named} == set()


def test_every_option_is_named() -> None:
    options = {
        name
        for option in main.params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }
    assert {name for name in options if f"`{name}`" not in PAGE} == set()
