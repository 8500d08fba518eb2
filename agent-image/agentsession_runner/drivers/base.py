"""What every agent CLI's driver offers, whatever the CLI is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agentsession_runner.orders import Welcome
from agentsession_runner.processes import ProcessTable
from agentsession_runner.reports import Outcome, Problem


@dataclass(frozen=True)
class AgentResult:
    """How one execution ended.

    `stdout` is what the agent said to the person, as far as it came; `stderr` the end of the CLI's
    stderr and of anything on its stdout that is no record; `exit_code` is None while the CLI's
    process stays up; `structured_output` is the CLI's own final record if it is a valid one.
    """

    stdout: str
    stderr: str
    exit_code: int | None
    session_id: str | None
    structured_output: Mapping[str, Any] | None


@dataclass(frozen=True)
class Verdict:
    """What a result means. `conversation_lost`: the CLI does not know the session any more."""

    outcome: Outcome
    text: str
    problem: Problem | None = None
    conversation_lost: bool = False


class Observer(Protocol):
    """Hears what happens during an execution."""

    def text(self, text: str) -> None:
        """The agent said a piece of its answer."""

    def tool(self, name: str, summary: str) -> None:
        """The agent uses a tool."""


@dataclass(frozen=True)
class AgentSetup:
    """Everything a driver is made from. `cli` empty means the driver's own program name.

    `platform_skills`: the skills that came with the image, name to folder.
    """

    welcome: Welcome
    workspace: Path
    home: Path
    cli: str
    gateway_url: str
    token_file: str
    environment: Mapping[str, str]
    processes: ProcessTable
    observer: Observer
    report: Callable[[str], None]
    new_id: Callable[[], str]
    platform_skills: Mapping[str, str] = field(default_factory=dict)


class AgentError(Exception):
    """The CLI cannot be used at all; the message says why."""


class BaseAgent(ABC):
    """One agent CLI, one conversation at a time."""

    @abstractmethod
    def write_configuration(self) -> None:
        """Write the operator's instructions, skills and settings; drop what an agent left behind.

        Raises:
            WorkspaceError: the volume refuses.
        """

    @abstractmethod
    def conversation_bytes(self, session_id: str) -> int:
        """How much of this conversation is saved on the volume; it only grows.

        0 if it cannot be gone on with.
        """

    def conversation_exists(self, session_id: str) -> bool:
        """Whether the CLI has saved this conversation on the volume."""
        return self.conversation_bytes(session_id) > 0

    @abstractmethod
    async def prepare(self, session_id: str) -> None:
        """Start what can be started before the first turn. Never raises: `execute` will."""

    @abstractmethod
    async def execute(self, prompt: str, session_id: str) -> AgentResult:
        """Give a prompt to the conversation and wait for the end of the agent's work.

        Raises:
            AgentError: the CLI cannot be started.
            WorkspaceError: the volume refuses what the CLI needs.
        """

    @abstractmethod
    async def interrupt(self) -> None:
        """End the running execution, asking first; returns at once, `execute` returns soon."""

    @abstractmethod
    async def close(self, *, at_once: bool = False) -> None:
        """End the CLI: in order, or at once with everything below it."""

    @abstractmethod
    def judge(self, result: AgentResult) -> Verdict:
        """What a result means. Pure."""
