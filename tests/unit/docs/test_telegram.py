"""docs/telegram.md quotes what agents and people are told about files: word for word."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

from agentsession_core.api import Network
from agentsession_gateway.instructions import render_instructions
from agentsession_runner.conversation import compose_prompt
from agentsession_runner.inbox import LIMIT_BYTES, Inbox
from agentsession_runner.orders import Attachment, Message, TurnOrder
from agentsession_runner.outbox import collect
from agentsession_runner.transfer import Transfer

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "telegram.md").read_text("utf-8")
TOLD = PAGE.partition("### What the agent is told\n")[2].partition("\n## ")[0]
QUOTES = re.findall(r"^```\n(.*?)\n```$", TOLD, re.MULTILINE | re.DOTALL)


class Gateway:
    """Has every file."""

    async def fetch(self, path: str, take: Callable[[bytes], None]) -> None:
        take(b"a plan")


def test_the_instructions() -> None:
    told = render_instructions(
        display_name=None, network=Network.NONE, has_platform=False, addition=""
    )
    assert QUOTES[0] in told
    assert QUOTES[0].startswith("# Files\n")


async def test_a_message_with_files(tmp_path: Path) -> None:
    files = (
        Attachment("f1", "film.mp4", LIMIT_BYTES + 1),
        Attachment("f2", "plan.pdf", 6),
    )
    order = TurnOrder("t1", 1, 1, (Message("71.5", "Here is the plan.", (), files),), 60.0)
    inbox = Inbox(tmp_path, cast("Transfer", Gateway()), lambda _: None)
    taken = await inbox.take(order, asyncio.get_running_loop().time() + 60)
    assert compose_prompt(taken.messages, attempt=1) == QUOTES[1]


def test_an_answer_whose_files_were_not_all_sent(tmp_path: Path) -> None:
    (tmp_path / "outbox" / "build").mkdir(parents=True)
    assert collect(tmp_path, "t1").note() == QUOTES[2]
