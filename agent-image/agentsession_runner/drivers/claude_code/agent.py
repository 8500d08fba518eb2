"""Claude Code as a process: kept between turns, or one per turn."""

from __future__ import annotations

import asyncio
import os
import shutil

from agentsession_runner.drivers.base import (
    AgentError,
    AgentResult,
    AgentSetup,
    BaseAgent,
    Verdict,
)
from agentsession_runner.drivers.claude_code import (
    config_directory,
    launch,
    saved_conversation,
    verdict,
)
from agentsession_runner.drivers.claude_code.process import ClaudeProcess
from agentsession_runner.drivers.claude_code.turn import TurnCollector
from agentsession_runner.workspace import RUNNER_DIRECTORY
from agentsession_runner.workspace_trouble import WorkspaceError

# The interrupt is answered within 0.1 s unless the CLI itself hangs.
INTERRUPT_GRACE_SECONDS = 3.0
CLOSE_GRACE_SECONDS = 2.0


class ClaudeCodeAgent(BaseAgent):
    """Claude Code over stream-json; `keeps_process` decides between the two process modes."""

    def __init__(self, setup: AgentSetup, *, keeps_process: bool) -> None:
        self._setup = setup
        self._keeps_process = keeps_process
        self._config = setup.workspace / RUNNER_DIRECTORY / config_directory.DIRECTORY
        # Without a place for its tools' output every tool call of the CLI fails.
        writable = os.access(launch.TEMPORARY, os.W_OK | os.X_OK)
        self._own_directories = () if writable else (config_directory.TEMPORARY,)
        temporary = (
            {}
            if writable
            else launch.temporary_directory(str(self._config / config_directory.TEMPORARY))
        )
        self._environment = launch.cli_environment(
            {"HOME": str(setup.home), **temporary, **setup.environment},
            config_directory=str(self._config),
            gateway_url=setup.gateway_url,
        )
        self._process: ClaudeProcess | None = None
        self._stopping = False
        self._is_fresh = False

    def write_configuration(self) -> None:
        """Make the configuration directory ours; unfit skills are reported and left out."""
        welcome = self._setup.welcome
        unfit = config_directory.unfit_skills(welcome.skills)
        for name, reason in unfit.items():
            self._setup.report(f"skill {name[:80]!r} is left out: {reason}")
        try:
            config_directory.write_config_directory(
                self._setup.workspace,
                settings=launch.settings(self._environment, self._setup.token_file),
                instructions=welcome.instructions,
                skills=[skill for skill in welcome.skills if skill.name not in unfit],
                platform_skills=self._setup.platform_skills,
                directories=self._own_directories,
            )
        except OSError as error:
            raise WorkspaceError(f"cannot write {self._config}", error) from None
        self._is_fresh = True

    def conversation_bytes(self, session_id: str) -> int:
        """Size of the conversation's file on the volume; 0 if its beginning is gone."""
        return saved_conversation.conversation_bytes(self._config, session_id)

    async def prepare(self, session_id: str) -> None:
        """Start the kept process: its 0.5 s of start-up passes before the first turn comes."""
        if not self._keeps_process:
            return
        try:
            await self._process_for(session_id)
        except (AgentError, WorkspaceError) as error:
            self._setup.report(f"{error}; every turn will say so")

    async def execute(self, prompt: str, session_id: str) -> AgentResult:
        """Give the prompt to the session's process and wait for its result."""
        self._stopping = False
        kept = self._process
        process, turn = await self._run_turn(prompt, session_id)
        died_idle = process is kept and turn.result is None and not process.has_answered
        if died_idle and not turn.interrupted:
            # It was dead or dying when the prompt came: not a byte came back.
            process, turn = await self._run_turn(prompt, session_id)
        if not self._keeps_process:
            await self.close()
        result = _agent_result(process, turn)
        process.end_turn()
        return result

    async def interrupt(self) -> None:
        """Ask the CLI to stop its turn; if it does not answer, end it with everything below it."""
        self._stopping = True
        process = self._process
        if process is None or process.turn is None:
            return
        process.turn.interrupted = True
        process.child.write(launch.interrupt_request(self._setup.new_id()))
        try:
            async with asyncio.timeout(INTERRUPT_GRACE_SECONDS):
                await process.turn_over()
        except TimeoutError:
            self._setup.report("the agent did not answer an interrupt: ending its process")
            await process.child.end()

    async def close(self, *, at_once: bool = False) -> None:
        """End the process: by closing its stdin, or at once."""
        process, self._process = self._process, None
        if process is None:
            return
        if not at_once:
            process.child.close_stdin()
            await process.child.wait(CLOSE_GRACE_SECONDS)
        await process.child.end()

    def judge(self, result: AgentResult) -> Verdict:
        """What a result means."""
        return verdict.judge(result)

    async def _run_turn(self, prompt: str, session_id: str) -> tuple[ClaudeProcess, TurnCollector]:
        process = await self._process_for(session_id)
        turn = TurnCollector(self._setup.new_id(), self._setup.observer)
        if self._stopping:
            turn.interrupted = True
            return process, turn
        process.begin_turn(turn)
        process.child.write(launch.user_message(prompt, turn.message_id))
        await process.turn_over()
        return process, turn

    async def _process_for(self, session_id: str) -> ClaudeProcess:
        process = self._process
        if process is not None and process.is_running and process.session_id == session_id:
            return process
        await self.close()
        if not self._is_fresh:
            # The agent has had the directory since: what it left there must not start with the CLI.
            self.write_configuration()
        self._is_fresh = False
        process = ClaudeProcess(session_id)
        command = self._command(session_id)
        try:
            child = await self._setup.processes.start(
                command,
                directory=self._setup.workspace,
                environment=self._environment,
                on_stdout=process.take_stdout,
                on_stderr=process.take_stderr,
                on_end=process.take_end,
            )
        except OSError as error:
            raise AgentError(f"cannot start {command[0]}: {error}") from None
        process.attach(child)
        self._process = process
        return process

    def _command(self, session_id: str) -> list[str]:
        welcome = self._setup.welcome
        return launch.command_line(
            self._program(),
            session_id=session_id,
            resume=self.conversation_exists(session_id),
            settings_file=str(self._config / config_directory.SETTINGS),
            model=welcome.model,
            extra=welcome.args,
        )

    def _program(self) -> str:
        name = self._setup.cli or launch.PROGRAM
        # Looked up in the CLI's own PATH: the runner's may be another.
        found = shutil.which(name, mode=os.X_OK, path=self._environment["PATH"])
        if found is None:
            raise AgentError(
                f"there is no program {name!r} in this image: use the agent image for Claude Code"
            )
        path = self._environment["PATH"]
        if not any(shutil.which(shell, mode=os.X_OK, path=path) for shell in launch.SHELLS):
            # Without one every tool call fails, and the turn "succeeds".
            raise AgentError(
                "there is neither bash nor zsh in this image, and Claude Code needs one"
            )
        return found


def _agent_result(process: ClaudeProcess, turn: TurnCollector) -> AgentResult:
    record = turn.result
    notes = process.diagnostics
    if record is not None and record.problems:
        notes += f"\nunfit result record: {'; '.join(record.problems)}"
    reported = record.record.get("session_id") if record is not None else None
    return AgentResult(
        stdout=turn.said,
        stderr=notes,
        exit_code=process.exit_code,
        session_id=reported if isinstance(reported, str) else process.session_id,
        structured_output=None if record is None or record.problems else record.record,
    )
