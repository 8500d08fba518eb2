"""Claude Code, driven over stream-json."""

from __future__ import annotations

from agentsession_runner.drivers.base import AgentSetup, BaseAgent
from agentsession_runner.drivers.claude_code.agent import ClaudeCodeAgent


def make_claude_code_agent(setup: AgentSetup) -> BaseAgent:
    """The driver in the process mode that the session asks for."""
    return ClaudeCodeAgent(setup, keeps_process=setup.welcome.process_mode == "Persistent")
