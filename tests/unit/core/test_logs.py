"""One JSON object per line, whoever writes it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from agentsession_core import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


def test_structlog_and_standard_library_alike(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "gateway")
    structlog.get_logger("a.b").info("one", text="Grüße\nzwei", number=1)
    logging.getLogger("c").warning("two %s", "arguments", extra={"more": 2})
    logging.getLogger("c").debug("not this")
    first, second = lines(capsys)
    assert first.pop("at").endswith("Z")
    assert first == {
        "event": "one",
        "text": "Grüße\nzwei",
        "number": 1,
        "level": "info",
        "logger": "a.b",
        "service": "gateway",
    }
    assert (second["event"], second["level"], second["logger"]) == ("two arguments", "warning", "c")
    assert (second["service"], second["more"]) == ("gateway", 2)


def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "gateway")
    try:
        raise ValueError("cause")
    except ValueError:
        structlog.get_logger("a").exception("failed")
    [line] = lines(capsys)
    assert "ValueError: cause" in line["exception"]


def test_libraries_that_write_urls_and_bodies_are_quiet_even_at_debug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("DEBUG", "gateway")
    logging.getLogger("httpx").info("HTTP Request: POST https://api.example/bot-token")
    logging.getLogger("aiohttp.client").debug("response body: a secret")
    logging.getLogger("telegram.Bot").debug("Set Bot API URL: https://api.example/bot1:token")
    logging.getLogger("telegram.Bot").critical("Received data was 'a private word'")
    assert lines(capsys) == []
