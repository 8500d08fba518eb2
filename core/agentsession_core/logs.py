"""Logging of the service processes: one JSON object per line, on standard output as a rule."""

from __future__ import annotations

import logging
import sys
from typing import Final, TextIO

import structlog

# These write request URLs or whole response bodies, Secrets among them, at their lower levels.
_QUIET: Final = (
    "aiohttp",
    "httpx",
    "httpcore",
    "urllib3",
    "asyncio",
    "redis",
)
# The bot's token and what people say, at every level: what went wrong is ours to tell.
_SILENT: Final = ("telegram",)


def configure(level: str, service: str, stream: TextIO | None = None) -> None:
    """Sends the process's structlog and standard-library records to a stream as JSON; standard output
    if none is given.

    `level` is a level of the standard library, e.g. INFO; `service` stands in every line.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _named(service),
        _without_colour,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _without_colour(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    # uvicorn's second copy of its message, for terminals.
    event.pop("color_message", None)
    return event


def _named(service: str) -> structlog.typing.Processor:
    def add(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add
