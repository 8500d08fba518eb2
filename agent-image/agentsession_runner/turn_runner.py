"""Carries out one turn: session, prompt, deadline, verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal, TypeVar

from agentsession_runner.conversation import (
    BLANK_ANSWER,
    LOST_NOTE,
    Session,
    compose_prompt,
    is_blank,
)
from agentsession_runner.conversation_keeper import ConversationKeeper
from agentsession_runner.drivers.base import AgentError, AgentResult, BaseAgent, Verdict
from agentsession_runner.event_sender import EventSender
from agentsession_runner.gateway_link import GatewayLink
from agentsession_runner.orders import TurnOrder, Welcome
from agentsession_runner.reports import Problem, TurnReport
from agentsession_runner.workspace import Workspace
from agentsession_runner.workspace_trouble import WorkspaceError

T = TypeVar("T")
StopReason = Literal["TimedOut", "Cancelled"]
END_GRACE_SECONDS = 5.0
# The verdict's code for model calls that got no answer at all, not even the gateway's.
CONNECTION_CODE = "model_error_connection"
GO_ON_LIMIT = 3
GO_ON_NOTE = (
    "[The connection to the model was lost in the middle of your work. Go on where you stopped.]"
)
CANCELLED = Problem("cancelled", "the turn was stopped on request")


def stopped_report() -> TurnReport:
    """The report of a turn that was stopped before it began."""
    return TurnReport("Cancelled", "", None, CANCELLED)


class TurnRelay:
    """Hands what the agent says to the turn that runs; between turns nobody listens."""

    def __init__(self) -> None:
        self.sender: EventSender | None = None

    def text(self, text: str) -> None:
        """The agent said a piece of its answer."""
        if self.sender is not None:
            self.sender.text(text)

    def tool(self, name: str, summary: str) -> None:
        """The agent uses a tool."""
        if self.sender is not None:
            self.sender.tool(name, summary)


class TurnRunner:
    """The agent and its conversation, one turn after the other."""

    def __init__(
        self,
        *,
        agent: BaseAgent,
        workspace: Workspace,
        relay: TurnRelay,
        link: GatewayLink,
        welcome: Welcome,
        new_id: Callable[[], str],
        redact: Callable[[str], str],
        report: Callable[[str], None],
    ) -> None:
        self._agent = agent
        self._workspace = workspace
        self._relay = relay
        self._link = link
        self._welcome = welcome
        self._new_id = new_id
        self._keeper = ConversationKeeper(agent, workspace, welcome, new_id, report)
        self._redact = redact
        self._report = report
        self._stop = asyncio.Event()
        self._is_ready = False
        self._reserving: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Take the workspace and start the CLI for the conversation that comes most likely next.

        Raises:
            WorkspaceError: the volume cannot be used, but perhaps by another pod.
        """
        if self._welcome.drained:
            # It is there to hand over the workspace: no agent until a turn comes all the same.
            return
        try:
            await self._take_workspace()
        except WorkspaceError as error:
            if not error.lasting:
                raise
            self._report(f"{error}; every turn will say so")
            return
        session = self._keeper.session_of(self._welcome.conversation)
        await self._agent.prepare(session.agent_session_id)

    def stop(self) -> None:
        """Stop the running turn."""
        self._stop.set()

    async def run(self, order: TurnOrder, sender: EventSender) -> TurnReport:
        """Carry out a turn to its end, whatever the end is."""
        if is_blank(order.messages):
            # A model's API refuses such a message, and an agent would make something up.
            return TurnReport("Succeeded", BLANK_ANSWER)
        deadline = asyncio.get_running_loop().time() + max(order.remaining_seconds, 0.0)
        self._stop.clear()
        self._relay.sender = sender
        try:
            verdict, session = await self._with_room(lambda: self._answer(order, sender, deadline))
        except AgentError as error:
            cause = Problem("agent_not_started", self._redact(str(error)))
            return TurnReport("Failed", "", None, cause)
        except WorkspaceError as error:
            self._report(str(error))
            return TurnReport("Failed", "", None, error.problem)
        finally:
            self._relay.sender = None
        verdict = self._keeper.finish(session, verdict, sender)
        text = f"{LOST_NOTE}\n\n{verdict.text}" if session.lost else verdict.text
        problem = verdict.problem
        if problem is not None:
            problem = replace(problem, message=self._redact(problem.message))
        return TurnReport(verdict.outcome, text, session.agent_session_id, problem)

    async def _take_workspace(self) -> None:
        if self._is_ready:
            return
        await self._workspace.lock(self._report)
        self._agent.write_configuration()
        # Beside the CLI's start: 1 MiB that must reach the disk can take a while.
        self._reserving = asyncio.create_task(asyncio.to_thread(self._workspace.keep_reserve))
        self._is_ready = True

    async def _with_room(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except WorkspaceError as error:
            if not error.is_full or not self._workspace.release_reserve():
                raise
            self._report(f"{error}; the reserve is given back")
            return await work()

    async def _answer(
        self, order: TurnOrder, sender: EventSender, deadline: float
    ) -> tuple[Verdict, Session]:
        await self._take_workspace()
        session = self._keeper.session_of(order.conversation)
        prompt = compose_prompt(order.messages, order.attempt)
        losses = self._link.losses
        verdict, session = await self._attempt(order, prompt, session, sender, deadline)
        if verdict.conversation_lost:
            session = Session(order.conversation, self._new_id(), lost=True)
            verdict, session = await self._attempt(order, prompt, session, sender, deadline)
        for _ in range(GO_ON_LIMIT):
            if not await self._gateway_was_away(verdict, losses, deadline):
                break
            losses = self._link.losses
            verdict, session = await self._attempt(order, GO_ON_NOTE, session, sender, deadline)
        return verdict, session

    async def _gateway_was_away(self, verdict: Verdict, losses: int, deadline: float) -> bool:
        """Whether a turn ended because the gateway went, and the gateway is back.

        Model calls go through the gateway, and the CLI gives up on them within two seconds.
        """
        if verdict.problem is None or verdict.problem.code != CONNECTION_CODE:
            return False
        left = deadline - asyncio.get_running_loop().time()
        if self._link.losses == losses or self._stop.is_set() or left <= 0:
            return False
        self._report("the gateway went away in the turn: it goes on when the gateway is back")
        return await self._link.back(left)

    async def _attempt(
        self,
        order: TurnOrder,
        prompt: str,
        session: Session,
        sender: EventSender,
        deadline: float,
    ) -> tuple[Verdict, Session]:
        await self._keeper.begin(session, sender)
        result, reason = await self._supervise(prompt, session.agent_session_id, deadline)
        verdict = _with_reason(self._agent.judge(result), reason, order.remaining_seconds)
        return verdict, self._keeper.follow(session, result)

    async def _supervise(
        self, prompt: str, session_id: str, deadline: float
    ) -> tuple[AgentResult, StopReason | None]:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return AgentResult("", "", None, session_id, None), "TimedOut"
        execution = asyncio.create_task(self._agent.execute(prompt, session_id))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait(
                {execution, stopping}, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if execution.done():
                return execution.result(), None
            await self._agent.interrupt()
            await asyncio.wait({execution}, timeout=END_GRACE_SECONDS)
            reason: StopReason = "Cancelled" if stopping.done() else "TimedOut"
            if execution.done():
                return execution.result(), reason
            self._report("the agent did not end its turn: killing it")
            await self._agent.close(at_once=True)
            return AgentResult("", "", None, session_id, None), reason
        finally:
            stopping.cancel()
            execution.cancel()


def _with_reason(verdict: Verdict, reason: StopReason | None, seconds: float) -> Verdict:
    """What a stopped turn's verdict becomes; one that was done at that moment stays."""
    if reason is None or verdict.outcome == "Succeeded":
        return verdict
    if reason == "Cancelled":
        problem = CANCELLED
    else:
        problem = Problem(
            "turn_timeout", f"the turn was ended: it took longer than the {seconds:.0f} s it had"
        )
    return Verdict(reason, verdict.text, problem)
