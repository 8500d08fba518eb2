"""A conversation without a cluster."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, cast

import pytest

from agentsession_core.terminal import History, MessageReceipt
from kubectl_agents.chat import Chat
from kubectl_agents.gateway import Gateway
from kubectl_agents.screen import Screen


class BrokenGateway:
    """Takes messages, and fails while it is followed as no gateway should."""

    def history(self) -> History:
        return History(turns=(), cursor="0-0", running=None, waiting=0, conversation=0)

    def events(self, after: str) -> Iterator[Any]:
        raise LookupError(f"nobody foresaw {after}")

    def send(self, message: str, text: str) -> MessageReceipt:
        return MessageReceipt(id=message, new=True, conversation=0)


class Watch:
    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


def test_what_breaks_the_following_ends_the_wait_for_an_answer() -> None:
    chat = Chat(
        cast("Gateway", BrokenGateway()), Screen(io.StringIO()), lambda: "m1", lambda _: Watch()
    )
    chat.begin(history=0)
    with pytest.raises(LookupError, match="nobody foresaw 0-0"):
        chat.ask("hi", timeout=30)
