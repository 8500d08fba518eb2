"""A platform of its own for each conversation: the orchestrator's API on SQLite, and its command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentsession_testing.orchestrator import DatabaseMaker, Orchestrator, opened
from workbench.commands import run
from workbench.tokens.conversations import Conversation
from workbench.tokens.scripts import command_line

USER: Final = "ada"
COMMAND: Final = str(Path(sys.executable).parent / "orchestrator")
SERVER: Final = "infra servers add web-1 --host web-1.example.com"


@dataclass(frozen=True)
class Ground:
    """Where commands are carried out. `environment`: what an agent's shell has."""

    environment: Mapping[str, str]

    def shell(self, script: str) -> str:
        """Carries out a script as the agent's shell does. Raises WorkbenchError."""
        return run(["bash", "-c", script], env=self.environment)

    def command(self, words: Sequence[str]) -> str:
        """Carries out the command with these words. Raises WorkbenchError."""
        return run([COMMAND, *words], env=self.environment)


@asynccontextmanager
async def new_ground(folder: Path, conversation: Conversation) -> AsyncIterator[Ground]:
    """An API with a server and what the conversation needs `before` it."""
    database = opened(await DatabaseMaker(folder).sqlite())
    api = Orchestrator(database)
    try:
        async with api.served() as url:
            path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
            common = {"PATH": path, "ORCHESTRATOR_API_URL": url, "ORCHESTRATOR_USER_ID": USER}
            administrator = await api.token(USER, "write", "admin")
            agent = await api.token(USER, "write")
            ground = Ground({**common, "ORCHESTRATOR_API_TOKEN": agent})
            await _in_order(Ground({**common, "ORCHESTRATOR_API_TOKEN": administrator}), (SERVER,))
            await _in_order(ground, conversation.before)
            yield ground
    finally:
        await database.close()


async def _in_order(ground: Ground, commands: tuple[str, ...]) -> None:
    for command in commands:
        await asyncio.to_thread(ground.shell, command_line(command))
