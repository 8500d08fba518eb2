"""The mailbox scripts as typed calls."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import structlog

from agentsession_core.api.values import LaunchType
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.connect import connected
from agentsession_core.mailbox.events import Events
from agentsession_core.mailbox.exports import Exports
from agentsession_core.mailbox.files import Files
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.letters import Letters
from agentsession_core.mailbox.life import Life
from agentsession_core.mailbox.messages import Messages
from agentsession_core.mailbox.model import (
    CommitAnswer,
    HelloAnswer,
    MailboxState,
    ResultRecord,
    RunAnswer,
    RunCheck,
    RunState,
    SessionHint,
    TurnGrant,
)
from agentsession_core.mailbox.parse import (
    read_fields,
    read_message,
    read_state,
    read_streams,
    read_text,
)
from agentsession_core.mailbox.responses import Responses
from agentsession_core.mailbox.stages import Stage, read_passed
from agentsession_core.mailbox.streams import newest_id

log = structlog.get_logger(__name__)
TURN_MESSAGES: Final = 100
DAILY_USAGE_SECONDS: Final = 40 * 86_400


class MailboxStore(Messages, Responses, Letters, Life, Events, Exports, Files):
    """Every transition of a mailbox, each one Lua script. Raises redis.RedisError."""

    async def ping(self) -> None:
        """Raises redis.RedisError when Redis cannot be used."""
        await self._redis.ping()

    async def connected(self) -> frozenset[str]:
        """The parts of ours that are connected to Redis."""
        return await connected(self._redis)

    async def begin_run(
        self,
        mailbox: str,
        *,
        run: str,
        expected: str,
        session_uid: str,
        launch: LaunchType,
        user: str = "",
        export_only: bool = False,
        held: bool = False,
    ) -> bool:
        """Makes `run` current if `expected` ('' for none) still is. Idempotent.

        `export_only`: it begins drained, to hand over the workspace; `held`: and leaves although
        messages wait.
        """
        k = MailboxKeys(mailbox)
        flags = ["1" if flag else "0" for flag in (export_only, held)]
        answer = await self._run(
            "begin_run",
            [k.run, k.state, k.export, k.ended],
            [mailbox, run, expected, session_uid, launch, user, *flags],
        )
        if answer[0] == "begun":
            self._observer.run_began(launch)
        return answer[0] != "conflict"

    async def run_failed(self, mailbox: str, *, run: str, reason: str, message: str) -> None:
        """Counts a run that ended before its time, once."""
        k = MailboxKeys(mailbox)
        answer = await self._run("run_failed", [k.state, k.run], [run, reason, message])
        if answer[0] == "counted":
            self._observer.run_failed(reason, greeted=answer[1] == "1")

    async def end_run(
        self, mailbox: str, *, run: str, reason: str, message: str, counted: bool
    ) -> None:
        """Ends the run for good: its pod is refused from now on. `counted`: as a failure."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "end_run", [k.run, k.state], [mailbox, run, reason, message, "1" if counted else "0"]
        )
        if answer[0] == "counted":
            self._observer.run_failed(reason, greeted=answer[1] == "1")

    async def job_made(self, mailbox: str, *, run: str) -> None:
        """The run's Job is there."""
        await self._run("job_made", [MailboxKeys(mailbox).run], [run])

    async def hello(
        self,
        mailbox: str,
        *,
        run: str,
        pod_uid: str,
        pod: str,
        uptime: float | None = None,
        skill_problem: str = "",
    ) -> HelloAnswer:
        """Binds the first pod that says hello to the run; its runner began `uptime` seconds ago.

        `skill_problem`: what is wrong with the template's skills.
        """
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "hello",
            [k.run, k.state],
            [mailbox, run, pod_uid, pod, "" if uptime is None else uptime, skill_problem],
        )
        if answer[0] != "ok":
            return HelloAnswer(RunAnswer(answer[0]))
        drained = answer[3] == RunState.DRAINED
        if answer[4]:
            self._observer.run_greeted(answer[4], float(answer[5]))
        return HelloAnswer(RunAnswer.OK, int(answer[1]), answer[2] or None, drained)

    async def check_run(
        self, mailbox: str, *, run: str, pod_uid: str, grace_seconds: float
    ) -> RunCheck:
        """Whether the pod may speak for the run, and whether a turn runs (or did within the grace)."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "check_run", [k.run, k.turn, k.last], [run, pod_uid, grace_seconds]
        )
        if answer[0] != "ok":
            return RunCheck(RunAnswer(answer[0]))
        return RunCheck(
            RunAnswer.OK,
            answer[1] == RunState.DRAINED,
            answer[2] or None,
            answer[3] == "1",
            answer[4],
            answer[5] == "1",
            answer[6] == "1",
        )

    async def begin_turn(
        self, mailbox: str, *, run: str, pod_uid: str, turn: str, timeout_seconds: int
    ) -> TurnGrant:
        """The run's turn: the recorded one again, or a new one (named `turn`) of what waits."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "begin_turn",
            [k.incoming, k.run, k.turn, k.state, k.events, k.last],
            [mailbox, run, pod_uid, turn, timeout_seconds, TURN_MESSAGES],
        )
        if answer[0] != "turn":
            return TurnGrant(RunAnswer(answer[0]))
        _, granted, attempt, conversation, deadline, now, messages, cancelled, step, stages = answer
        self._tell_passed(stages)
        if step:
            self._observer.turn_given(again=step == "again")
            ids = [entry["id"] for entry in json.loads(messages)]
            log.info(
                "turn given",
                mailbox=mailbox,
                run=run,
                turn=granted,
                attempt=int(attempt),
                message_ids=ids,
            )
        return TurnGrant(
            RunAnswer.TURN,
            granted,
            int(attempt),
            int(conversation),
            max(0.0, float(deadline) - float(now)),
            tuple(read_message(entry) for entry in json.loads(messages)),
            cancelled == "1",
        )

    async def commit_result(
        self, mailbox: str, *, run: str, turn: str, result: ResultRecord
    ) -> CommitAnswer:
        """Ends the turn: its messages go and its answer stays, in one step."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "commit_result",
            [k.incoming, k.turn, k.last, k.state, k.usage, k.outgoing, k.events, k.run, k.files],
            [
                mailbox,
                run,
                turn,
                result.outcome,
                result.text,
                result.agent_session_id or "",
                result.error_code,
                result.error_message,
                json.dumps([str(number) for number in result.files]),
            ],
        )
        if answer[0] == CommitAnswer.COMMITTED:
            self._observer.turn_ended(answer[1], result.outcome)
            self._tell_passed(answer[2])
            log.info(
                "turn ended",
                mailbox=mailbox,
                run=run,
                turn=turn,
                outcome=str(result.outcome),
                message_ids=json.loads(answer[3]),
            )
        return CommitAnswer(answer[0])

    async def pass_stage(self, mailbox: str, *, turn: str, stage: Stage) -> None:
        """The turn's messages have passed MODEL_REQUEST or FIRST_TOKEN; only the first time counts."""
        answer = await self._run("pass_stage", [MailboxKeys(mailbox).turn], [turn, stage])
        self._tell_passed(answer[1])

    def _tell_passed(self, stages: str) -> None:
        for passed in read_passed(stages):
            self._observer.stage_passed(passed)

    async def model_status(
        self, mailbox: str, *, turn: str, status: int, code: str = "", detail: str = ""
    ) -> None:
        """Remembers how the turn's newest model call ended; status 200 clears it."""
        await self._run("model_status", [MailboxKeys(mailbox).turn], [turn, status, code, detail])

    async def remember_conversation(
        self, mailbox: str, *, run: str, turn: str, agent_session_id: str
    ) -> bool:
        """Keeps the CLI's id of the running turn's conversation; False if it is not the current one."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "remember_conversation", [k.turn, k.state], [run, turn, agent_session_id]
        )
        return answer[0] == "ok"

    async def drain(self, mailbox: str, *, run: str, by_hand: bool, why: str = "") -> RunAnswer:
        """Asks the run to end: DRAINED, BUSY (refused) or STALE.

        `by_hand`: although messages wait; BUSY then means after the running turn. `why` is the
        reason, as status shows it.
        """
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "drain", [k.run, k.turn, k.incoming], [mailbox, run, "1" if by_hand else "0", why]
        )
        return RunAnswer(answer[0])

    async def keep_run(self, mailbox: str, *, run: str) -> None:
        """Takes back that the running turn is the run's last."""
        k = MailboxKeys(mailbox)
        await self._run("keep_run", [k.run, k.state], [run])

    async def bye(self, mailbox: str, *, run: str, pod_uid: str) -> RunAnswer:
        """The drained runner leaves: BYE, or REOPENED when a message came meanwhile."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "bye", [k.run, k.incoming, k.turn, k.state], [mailbox, run, pod_uid]
        )
        return RunAnswer(answer[0])

    async def close(self, mailbox: str, *, session_uid: str) -> bool:
        """Closes the mailbox before an idle session is deleted; False while there is work."""
        k = MailboxKeys(mailbox)
        answer = await self._run("close_mailbox", [k.state, k.incoming, k.turn], [session_uid])
        return answer[0] == "closed"

    async def reopen(self, mailbox: str, *, session_uid: str) -> None:
        """Takes `close` back."""
        await self._run("reopen_mailbox", [MailboxKeys(mailbox).state], [session_uid])

    async def state(self, mailbox: str) -> MailboxState:
        """One consistent look at the mailbox."""
        k = MailboxKeys(mailbox)
        answer = await self._scripts["state"](
            keys=[
                *(k.incoming, k.state, k.run, k.turn, k.last, k.usage, k.prompt, k.export),
                k.ended,
            ],
            args=[mailbox],
        )
        return read_state(answer)

    async def epoch(self) -> str | None:
        """The mark of a Redis whose state is known; None where it was emptied."""
        known = await self._redis.get(keys.SESSIONS_EPOCH)
        return None if known is None else read_text(known)

    async def begin_epoch(self, epoch: str) -> str:
        """Marks this Redis as known; answers the epoch in force."""
        await self._redis.set(keys.SESSIONS_EPOCH, epoch, nx=True)
        return read_text(await self._redis.get(keys.SESSIONS_EPOCH))

    async def backlog(self) -> list[str]:
        """Mailboxes in which messages wait."""
        return sorted(read_text(m) for m in await self._redis.smembers(keys.SESSIONS_BACKLOG))

    async def publish_queue(self, positions: Mapping[str, int], keep_seconds: int) -> None:
        """Replaces `sessions:queue` (mailbox → place in its queue); it is gone after `keep_seconds`."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(keys.SESSIONS_QUEUE)
            if positions:
                pipe.zadd(keys.SESSIONS_QUEUE, dict(positions))
                pipe.expire(keys.SESSIONS_QUEUE, keep_seconds)
            await pipe.execute()

    async def queue_position(self, mailbox: str) -> int | None:
        """The mailbox's place in the queue for a run, from 1; None if it does not wait for one."""
        score = await self._redis.zscore(keys.SESSIONS_QUEUE, mailbox)
        return None if score is None else int(score)

    async def mailboxes(self) -> list[str]:
        """Every mailbox that a session has used."""
        return sorted(read_text(m) for m in await self._redis.smembers(keys.SESSIONS_MAILBOXES))

    async def add_usage(
        self, mailbox: str, user: str, day: str, amounts: Mapping[str, int]
    ) -> None:
        """Adds to the mailbox's sums and the user's sums of the day (`YYYY-MM-DD`)."""
        daily = keys.daily_usage(user, day)
        async with self._redis.pipeline(transaction=True) as pipe:
            for name, amount in amounts.items():
                pipe.hincrby(MailboxKeys(mailbox).usage, name, amount)
                pipe.hincrby(daily, name, amount)
            pipe.expire(daily, DAILY_USAGE_SECONDS)
            await pipe.execute()

    async def usage_of_day(self, user: str, day: str) -> dict[str, int]:
        """A user's sums of a day (`YYYY-MM-DD`); empty where nothing was used."""
        found = read_fields(await self._redis.hgetall(keys.daily_usage(user, day)))
        return {name: int(amount) for name, amount in found.items()}

    async def hints(self, block_seconds: float) -> AsyncGenerator[SessionHint, None]:
        """Follows `sessions:events` from now on, for ever. Raises redis.RedisError when cut off.

        The first hint has no mailbox: from it on nothing is missed, so the caller looks at all
        state then, and again at the first hint after each cut.
        """
        after = await newest_id(self._redis, keys.SESSIONS_EVENTS)
        yield SessionHint(after, "", "following")
        while True:
            answer = await self._redis.xread(
                {keys.SESSIONS_EVENTS: after}, count=1000, block=int(block_seconds * 1000)
            )
            for _, entries in read_streams(answer):
                for entry_id, fields in entries:
                    after = read_text(entry_id)
                    entry = read_fields(fields)
                    yield SessionHint(after, entry.get("mailbox", ""), entry.get("kind", ""))
