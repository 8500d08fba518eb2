"""A turn with its files: what came with the messages before it, what the agent sends behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from agentsession_runner.event_sender import EventSender
from agentsession_runner.inbox import Inbox
from agentsession_runner.orders import Message, TurnOrder
from agentsession_runner.outbox import Outbox
from agentsession_runner.reports import TurnReport
from agentsession_runner.turn_runner import TurnRunner, stopped_report
from agentsession_runner.workspace import Workspace
from agentsession_runner.workspace_trouble import WorkspaceError

FETCH_SECONDS = 300.0
SEND_SECONDS = 300.0
# A turn whose time is over still hands over what is there: the operator waits this long and more.
LEAST_SEND_SECONDS = 15.0


class FileTurns:
    """In the place of a TurnRunner: the same turns, with files."""

    def __init__(
        self,
        runner: TurnRunner,
        inbox: Inbox,
        outbox: Outbox,
        workspace: Workspace,
        report: Callable[[str], None],
    ) -> None:
        self._runner = runner
        self._inbox = inbox
        self._outbox = outbox
        self._workspace = workspace
        self._report = report
        self._stop = asyncio.Event()
        # The agent does not see what was added to its answer.
        self._untold = ""

    async def prepare(self) -> None:
        """As the runner's.

        Raises:
            WorkspaceError: the volume cannot be used, but perhaps by another pod.
        """
        await self._runner.prepare()

    def stop(self) -> None:
        """Stop the running turn."""
        self._stop.set()
        self._runner.stop()

    async def run(self, order: TurnOrder, sender: EventSender) -> TurnReport:
        """Carry out a turn to its end, whatever the end is."""
        self._stop.clear()
        loop = asyncio.get_running_loop()
        ends = loop.time() + max(order.remaining_seconds, 0.0)
        if any(message.attachments for message in order.messages):
            order = await self._with_files(order, ends)
            if self._stop.is_set():
                return stopped_report()
            order = replace(order, remaining_seconds=ends - loop.time())
        report = await self._runner.run(self._with_note(order), sender)
        return await self._with_outbox(order, report, ends)

    async def _with_files(self, order: TurnOrder, ends: float) -> TurnOrder:
        try:
            # Before anything is written: another pod may still be writing.
            await self._workspace.lock(self._report)
        except WorkspaceError:
            # The turn itself says so.
            return order
        until = min(ends, asyncio.get_running_loop().time() + FETCH_SECONDS)
        fetching = asyncio.create_task(self._inbox.take(order, until))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({fetching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return fetching.result() if fetching.done() else order
        finally:
            for task in (fetching, stopping):
                task.cancel()
            await asyncio.wait({fetching, stopping})

    def _with_note(self, order: TurnOrder) -> TurnOrder:
        note, self._untold = self._untold, ""
        if not note or not order.messages:
            return order
        first = order.messages[0]
        told = Message(first.id, f"[About your last answer:]\n{note}\n\n{first.text}", first.files)
        return replace(order, messages=(told, *order.messages[1:]))

    async def _with_outbox(self, order: TurnOrder, report: TurnReport, ends: float) -> TurnReport:
        try:
            await self._workspace.lock(self._report)
            if report.outcome == "Cancelled":
                self._untold = await self._outbox.set_aside(order.turn)
                return report
            now = asyncio.get_running_loop().time()
            until = max(min(ends, now + SEND_SECONDS), now + LEAST_SEND_SECONDS)
            numbers, note = await self._outbox.send(order.turn, until)
        except (WorkspaceError, OSError) as error:
            self._report(f"the outbox of turn {order.turn}: {error}")
            return report
        self._untold = note
        text = "\n\n".join(filter(None, (report.text, note)))
        return replace(report, text=text, files=numbers)
