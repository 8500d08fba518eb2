from __future__ import annotations

from agentsession_testing.bridge_world import (
    agent,
    bridge,
    bridge_api_server,
    bridge_log_level,
    world,
)
from agentsession_testing.mailboxes import box
from agentsession_testing.orchestrator_callers import ada, root, todo, vps, worker
from agentsession_testing.real_claude import model
from agentsession_testing.runner_process import cli

__all__ = [
    "ada",
    "agent",
    "box",
    "bridge",
    "bridge_api_server",
    "bridge_log_level",
    "cli",
    "model",
    "root",
    "todo",
    "vps",
    "worker",
    "world",
]
