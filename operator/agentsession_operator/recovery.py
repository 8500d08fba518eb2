"""Mailboxes that are not as they should be: left by a session that is gone, or forgotten by Redis.

An ordinary look finds nothing here and costs nothing. Everything is made from what the API server
knows and can be done again: a crash between two steps leaves what the next look finds.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

import structlog

from agentsession_core import naming
from agentsession_core.api import AgentSession, LaunchType, Phase
from agentsession_core.mailbox.life import LiveRun, Rebuild
from agentsession_core.mailbox.model import MailboxState, RunRecord, UsageRecord, later_entry
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.cache import Cache
from agentsession_operator.model import Children, JobView, Key, PodView, timestamp

log = structlog.get_logger(__name__)
DELETED_TEXT: Final = (
    "The session was deleted before it came to this. Send it again to begin a new one."
)
LOST_PROMPT: Final = "prompt"
_AT_WORK: Final = frozenset({Phase.WORKING, Phase.STARTING, Phase.PENDING, Phase.QUEUED})


class Recovery:
    """Brings a mailbox in order before anything is decided from it. Raises redis.RedisError."""

    def __init__(self, cache: Cache, store: MailboxStore) -> None:
        self._cache = cache
        self._store = store

    async def settle(self, key: Key, session: AgentSession, state: MailboxState) -> MailboxState:
        """The mailbox as the session that holds it may use it."""
        previous = state.session_uid
        if previous not in (None, session.metadata.uid):
            await self._succeed(session, state, previous or "")
            state = await self._store.state(session.mailbox)
        rebuild = rebuild_of(session, state, self._cache.children(key))
        if rebuild is None:
            return state
        if await self._store.rebuild(rebuild):
            log.warning(
                "mailbox rebuilt from the cluster",
                run=rebuild.live.run if rebuild.live else None,
                lost_message=rebuild.lost_message,
            )
        return await self._store.state(session.mailbox)

    async def _succeed(self, session: AgentSession, state: MailboxState, previous: str) -> None:
        """The mailbox is of a session that nobody saw go."""
        if is_heir(session, state):
            await self._store.adopt(
                session.mailbox,
                previous_uid=previous,
                session_uid=session.metadata.uid,
                user=session.spec.user.id,
            )
            log.info("mailbox taken over", previous=previous)
            return
        answer = await self._store.end_mailbox(
            session.mailbox, session_uid=previous, text=DELETED_TEXT
        )
        log.info("previous session's mailbox ended", answer=answer.value)


def is_heir(session: AgentSession, state: MailboxState) -> bool:
    """Whether the session goes on with the mailbox of one whose deletion nobody saw.

    A restored session does: it has a new uid, and all that was said and asked is still its own.
    Not after a deletion for idleness had begun, and never another user's.
    """
    if state.closed or state.reopened:
        return False
    return state.user in (None, session.spec.user.id)


def rebuild_of(session: AgentSession, state: MailboxState, children: Children) -> Rebuild | None:
    """What has to be put into Redis; None where it knows at least as much as the API server.

    Status follows Redis and a Job its run's record. Where they are ahead, Redis was emptied or
    restored from an older file.
    """
    status, uid = session.status, session.metadata.uid
    forgotten = state.session_uid is None and bool(status.runs)
    known, told = state.handled_entry, status.last_handled_entry_id
    behind = told is not None and later_entry(known, told) != known
    live = _live_run(session, state.run, children)
    if not (forgotten or behind or live):
        return None
    return Rebuild(
        mailbox=session.mailbox,
        session_uid=uid,
        user=session.spec.user.id,
        agent_session_id=status.agent_session_id,
        last_activity=timestamp(status.last_activity_time) or 0.0,
        handled=later_entry(known, told),
        live=live,
        expected=state.run.run if state.run else "",
        lost_message=lost_message(session) if forgotten else None,
        usage=_usage(session),
    )


def lost_message(session: AgentSession) -> str | None:
    """A message that came in and was not answered when status was last written.

    With an open run a bridge writes the inbox late: one that is older than the newest turn was in
    it or before it.
    """
    status, inbox = session.status, session.spec.inbox
    at_work = status.phase in _AT_WORK
    if inbox and inbox.last_message_id and inbox.last_message_id != status.last_handled_message_id:
        last = status.last_turn.started_at if status.last_turn else None
        later = last is None or (inbox.last_message_time or last) >= last
        return inbox.last_message_id if later or at_work else None
    # A session that never answered takes its prompt as a new one.
    is_prompt = session.spec.prompt and status.prompt_hash and status.last_handled_message_id
    return LOST_PROMPT if at_work and is_prompt else None


def _live_run(
    session: AgentSession, record: RunRecord | None, children: Children
) -> LiveRun | None:
    """The run of a live Job that Redis has no record of, or only an older one."""
    uid = session.metadata.uid
    jobs = [job for job in children.jobs if job.session_uid == uid and _is_live(job, children.pods)]
    newest = max(jobs, key=lambda job: job.run, default=None)
    if newest is None:
        return None
    if record is not None:
        owner, _, number = record.run.rpartition("/")
        if owner == uid and int(number) >= newest.run:
            return None
    pod = _pod_of(newest, children.pods)
    return LiveRun(
        run=naming.run_id(uid, newest.run),
        begun_at=newest.created_at,
        pod_uid=pod.uid if pod else None,
        pod=pod.name if pod else None,
        launch=_launch(session),
    )


def _is_live(job: JobView, pods: tuple[PodView, ...]) -> bool:
    pod = _pod_of(job, pods)
    return (
        not job.deleting
        and not job.finished
        and (pod is None or (pod.may_still_run and not pod.deleting))
    )


def _pod_of(job: JobView, pods: tuple[PodView, ...]) -> PodView | None:
    found = (pod for pod in pods if pod.session_uid == job.session_uid and pod.run == job.run)
    return next(found, None)


def _launch(session: AgentSession) -> str:
    known = session.status.launch_type
    return known.value if known in (LaunchType.COLD, LaunchType.RESUME) else LaunchType.RESUME.value


def _usage(session: AgentSession) -> UsageRecord:
    usage = session.status.usage
    if usage is None:
        return UsageRecord()
    try:
        cost = int(Decimal(usage.cost_usd).scaleb(9)) if usage.cost_usd is not None else None
    except InvalidOperation:
        cost = None
    return UsageRecord(usage.turns, usage.input_tokens, usage.output_tokens, cost)
