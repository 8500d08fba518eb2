"""Which session of the CLI a turn goes on in, and what is kept of it on the volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agentsession_runner.conversation import LOST_NOTE, Session, choose_session
from agentsession_runner.drivers.base import AgentResult, BaseAgent, Verdict
from agentsession_runner.event_sender import EventSender
from agentsession_runner.orders import Welcome
from agentsession_runner.reports import Problem
from agentsession_runner.workspace import Workspace, is_session_id
from agentsession_runner.workspace_trouble import WorkspaceError

ANNOUNCE_SECONDS = 2.0
UNSAVED_NOTE = (
    "The agent did not save this conversation on the workspace volume: the next run will not know "
    "it."
)


class ConversationKeeper:
    """The agent's conversation, from turn to turn of one run and from run to run."""

    def __init__(
        self,
        agent: BaseAgent,
        workspace: Workspace,
        welcome: Welcome,
        new_id: Callable[[], str],
        report: Callable[[str], None],
    ) -> None:
        self._agent = agent
        self._workspace = workspace
        self._welcome = welcome
        self._announced = welcome.agent_session_id
        self._new_id = new_id
        self._report = report
        self._session: Session | None = None
        self._saved_before = 0

    def session_of(self, conversation: int) -> Session:
        """The session of that conversation: the one in use, else the one that is known of it."""
        if self._session is None or self._session.conversation != conversation:
            known = self._welcome.agent_session_id
            self._session = choose_session(
                conversation,
                known if conversation == self._welcome.conversation else None,
                self._workspace.read_session(),
                self._agent.conversation_bytes,
                self._new_id,
            )
        return self._session

    async def begin(self, session: Session, sender: EventSender) -> None:
        """A turn begins in the session: kept on the volume, and told to the gateway if it is new."""
        self._session = session
        self._saved_before = self._agent.conversation_bytes(session.agent_session_id)
        if session.lost:
            sender.add("state", {"note": LOST_NOTE})
            self._report("the saved conversation was not found: a new one begins")
        self._save(session)
        if session.agent_session_id != self._announced:
            sender.add("state", {"agentSessionID": session.agent_session_id})
            # Before the first model call: a run that dies in it must find the conversation again.
            await sender.flush(ANNOUNCE_SECONDS)
            self._announced = session.agent_session_id

    def follow(self, session: Session, result: AgentResult) -> Session:
        """The session in which the agent ended: it may have gone on under another id."""
        reported = result.session_id
        if reported is None or reported == session.agent_session_id:
            return session
        if not is_session_id(reported) or not self._agent.conversation_exists(reported):
            return session
        self._report("the agent went on under another session id")
        self._saved_before = 0
        return replace(session, agent_session_id=reported, saved_bytes=0)

    def finish(self, session: Session, verdict: Verdict, sender: EventSender) -> Verdict:
        """Keeps what the turn left; the verdict fails where the volume took none of it."""
        saved = self._agent.conversation_bytes(session.agent_session_id)
        grew = saved > self._saved_before
        answered = session.answered + (1 if saved else 0)
        # A file that an agent removed and its CLI began again stays shorter than this: the next
        # run must find the conversation lost.
        kept = max(saved, session.saved_bytes + max(saved - self._saved_before, 0))
        self._session = replace(session, answered=answered, saved_bytes=kept, lost=False)
        stored = self._save(self._session)
        problem = None
        if verdict.outcome == "Failed" or not (grew and stored) or self._workspace.is_short():
            problem = self._workspace.trouble()
        if problem is not None and verdict.outcome in ("Succeeded", "Failed"):
            self._report(problem.message)
            self._workspace.release_reserve()
            verdict = Verdict("Failed", verdict.text, _because(problem, verdict.problem))
        elif verdict.outcome == "Succeeded" and not saved:
            sender.add("state", {"note": UNSAVED_NOTE})
            self._report(UNSAVED_NOTE)
        return verdict

    def _save(self, session: Session) -> bool:
        try:
            self._workspace.write_session(session.stored())
        except WorkspaceError as error:
            # The gateway knows the session too; the turn itself may still succeed.
            self._report(str(error))
            return False
        return True


def _because(problem: Problem, seen: Problem | None) -> Problem:
    """The workspace's trouble, with what the agent made of it."""
    if seen is None:
        return problem
    return replace(problem, message=f"{problem.message}; {seen.message}")
