"""Turns of a run, from their messages to their result, as typed calls."""

from __future__ import annotations

import json
from typing import Final

import structlog

from agentsession_core.mailbox.answers import CommitAnswer, RunAnswer, TurnGrant
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.parse import read_message
from agentsession_core.mailbox.scripted import Scripted
from agentsession_core.mailbox.stages import Stage, read_passed

log = structlog.get_logger(__name__)
TURN_MESSAGES: Final = 100


class Turns(Scripted):
    """The hash `user:<mailbox>:turn`. Raises redis.RedisError."""

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
