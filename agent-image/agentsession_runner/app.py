"""The runner after its first exchange: everything that takes longer to import."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentsession_runner.config import ConfigError, RunnerConfig, read_token
from agentsession_runner.drivers import UnsupportedAgentError, find_factory
from agentsession_runner.drivers.base import AgentError, AgentSetup, BaseAgent
from agentsession_runner.exporting import Exporter
from agentsession_runner.file_turns import FileTurns
from agentsession_runner.gateway_client import GatewayClient
from agentsession_runner.gateway_link import GatewayLink
from agentsession_runner.inbox import Inbox
from agentsession_runner.orders import OrderError, Welcome, parse_welcome
from agentsession_runner.outbox import Outbox
from agentsession_runner.platform_skills import find_platform_skills
from agentsession_runner.processes import ProcessTable, UnkillableError
from agentsession_runner.session_loop import RunOverError, SessionLoop
from agentsession_runner.transfer import Transfer
from agentsession_runner.turn_runner import TurnRelay, TurnRunner
from agentsession_runner.workspace import Workspace
from agentsession_runner.workspace_trouble import WorkspaceError

EXIT_ORDERLY = 0
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
EXIT_REFUSED = 3

Report = Callable[[str], None]


def new_uuid() -> str:
    """A random UUID as text."""
    return str(uuid.uuid4())


def serve(config: RunnerConfig, answer: Mapping[str, Any], report: Report) -> int:
    """Serve the run that `answer` (the gateway's `Welcome`) describes; returns the exit code."""
    try:
        return asyncio.run(_serve(config, parse_welcome(answer), report))
    except OrderError as error:
        report(f"the gateway's answer to hello is unfit: {error}; use images of one release")
        return EXIT_REFUSED
    except UnsupportedAgentError as error:
        report(str(error))
        return EXIT_CONFIGURATION
    except (WorkspaceError, AgentError, UnkillableError) as error:
        report(str(error))
        return EXIT_FAILED
    except RunOverError as error:
        report(str(error))
        return EXIT_REFUSED


async def _serve(config: RunnerConfig, welcome: Welcome, report: Report) -> int:
    report(
        f"run {welcome.run}, conversation {welcome.conversation}, "
        f"{config.agent_type} {config.cli_version} {welcome.process_mode}"
    )
    loop = asyncio.get_running_loop()
    processes = ProcessTable()
    if os.getpid() == 1:
        processes.adopt_orphans(loop)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    link = GatewayLink()
    client = GatewayClient(config.gateway, config.token_file, report, link)
    workspace = Workspace(Path(config.workspace))
    relay = TurnRelay()
    agent = _make_agent(config, welcome, workspace, processes, relay, report)
    turns = TurnRunner(
        agent=agent,
        workspace=workspace,
        relay=relay,
        link=link,
        welcome=welcome,
        new_id=new_uuid,
        redact=_redactor(config.token_file),
        report=report,
    )
    transfer = Transfer(config.gateway, config.token_file)
    inbox = Inbox(workspace.root, transfer, report)
    outbox = Outbox(workspace.root, client, transfer, report)
    runner = FileTurns(turns, inbox, outbox, workspace, report)
    exporter = Exporter(workspace, config.token_file, report)
    session_loop = SessionLoop(client, runner, random.random, report, exporter.carry_out)
    life = asyncio.create_task(_live(runner, session_loop))
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({life, stopping}, return_when=asyncio.FIRST_COMPLETED)
    orderly = life.done()
    if not orderly:
        report("told to end: the running turn is cut off and left to the next run")
        life.cancel()
        await asyncio.wait([life])
    await agent.close(at_once=not orderly or life.exception() is not None)
    await client.close()
    workspace.unlock()
    if orderly:
        life.result()
    stopping.cancel()
    return EXIT_ORDERLY


async def _live(runner: FileTurns, session_loop: SessionLoop) -> None:
    await runner.prepare()
    await session_loop.run()


def _make_agent(
    config: RunnerConfig,
    welcome: Welcome,
    workspace: Workspace,
    processes: ProcessTable,
    relay: TurnRelay,
    report: Report,
) -> BaseAgent:
    setup = AgentSetup(
        welcome=welcome,
        workspace=workspace.root,
        home=Path(config.environment.get("HOME", "/home/agent")),
        cli=config.cli,
        gateway_url=config.gateway.url,
        token_file=config.token_file,
        environment=config.environment,
        processes=processes,
        observer=relay,
        report=report,
        new_id=new_uuid,
        platform_skills=find_platform_skills(config.skills, config.environment),
    )
    return find_factory(config.agent_type)(setup)


def _redactor(token_file: str) -> Callable[[str], str]:
    def redact(text: str) -> str:
        try:
            return text.replace(read_token(token_file), "[token]")
        except ConfigError:
            return text

    return redact
