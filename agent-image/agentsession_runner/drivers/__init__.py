"""The drivers by agent type."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agentsession_runner.drivers.base import AgentSetup, BaseAgent
from agentsession_runner.drivers.claude_code import make_claude_code_agent

AgentFactory = Callable[[AgentSetup], BaseAgent]

FACTORIES: Mapping[str, AgentFactory] = {"claude-code": make_claude_code_agent}


class UnsupportedAgentError(Exception):
    """This image has no driver for the agent type."""


def find_factory(
    agent_type: str, factories: Mapping[str, AgentFactory] = FACTORIES
) -> AgentFactory:
    """The driver of an agent type.

    Raises:
        UnsupportedAgentError: there is none.
    """
    try:
        return factories[agent_type]
    except KeyError:
        raise UnsupportedAgentError(
            f"agent type {agent_type!r} is not supported by this image (it has: "
            f"{', '.join(sorted(factories))}); use the agent image of that type"
        ) from None
