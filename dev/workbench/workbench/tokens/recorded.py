"""A scripted model for one conversation, and what it was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from agentsession_core.api import Network
from agentsession_dev.model_server.rules import parse_rules
from agentsession_dev.model_server.server import serve_in_thread
from agentsession_gateway.instructions import render_instructions
from workbench.tokens.conversations import Conversation

Bodies = list[dict[str, Any]]


def instructions(*, has_platform: bool) -> str:
    """What every agent of the release is told; only one that has the command is told of it."""
    return render_instructions(
        display_name=None, network=Network.NONE, has_platform=has_platform, addition=""
    )


@dataclass(frozen=True)
class Model:
    """The scripted model's server."""

    url: str

    def bodies(self, conversation: Conversation, answers: Sequence[str]) -> Bodies:
        """The model calls' bodies, oldest first, once these were the last answers.

        Raises:
            RuntimeError: the conversation went another way than its script.
        """
        wanted = [each.answer for each in conversation.turns][-len(answers) :]
        if list(answers) != wanted:
            raise RuntimeError(f"{conversation.title}: {answers} instead of {wanted}")
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            found = client.get("/_control/requests").raise_for_status().json()["requests"]
            paths = [f"/_control/requests/{item['sequence']}/body" for item in found]
            return [client.get(path).raise_for_status().json() for path in paths]


@contextmanager
def served(rules: bytes) -> Iterator[Model]:
    """A server with these rules."""
    with serve_in_thread(rules=parse_rules(rules), any_key=True) as url:
        yield Model(url)
