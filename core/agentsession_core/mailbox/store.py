"""The mailbox scripts as typed calls."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from agentsession_core.api.values import LaunchType, TurnOutcome
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import (
    CommitAnswer,
    FailureRecord,
    HelloAnswer,
    LastTurnRecord,
    MailboxState,
    PromptAdmission,
    ResultRecord,
    RunAnswer,
    RunCheck,
    RunRecord,
    RunState,
    SessionHint,
    TurnGrant,
    TurnRecord,
    UsageRecord,
)
from agentsession_core.wire import TurnMessage

INCOMING_MESSAGES: Final = 100
INCOMING_BYTES: Final = 1024 * 1024
TURN_MESSAGES: Final = 100
EVENTS_KEPT: Final = 1000
DAILY_USAGE_SECONDS: Final = 40 * 86_400
_SCRIPTS: Final = (
    "ingest_prompt",
    "begin_run",
    "hello",
    "check_run",
    "begin_turn",
    "commit_result",
    "drain",
    "bye",
    "close_mailbox",
    "reopen_mailbox",
    "purge",
    "state",
    "model_status",
    "run_failed",
    "remember_conversation",
)


class MailboxStore:
    """Every transition of a mailbox, each one Lua script. Raises redis.RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        folder = files("agentsession_core.mailbox") / "scripts"
        self._scripts: dict[str, AsyncScript] = {
            name: redis.register_script((folder / f"{name}.lua").read_text(encoding="utf-8"))
            for name in _SCRIPTS
        }

    async def _run(self, name: str, keys: Sequence[str], args: Iterable[object]) -> list[str]:
        answer = await self._scripts[name](keys=keys, args=[str(arg) for arg in args])
        return [_text(part) for part in answer]

    async def ping(self) -> None:
        """Raises redis.RedisError when Redis cannot be used."""
        await self._redis.ping()

    async def ingest_prompt(
        self,
        mailbox: str,
        *,
        uid: str,
        generation: int,
        sha256: str,
        text: str,
        known_sha256: str | None,
    ) -> PromptAdmission:
        """Takes `spec.prompt` as a message iff it is new (DESIGN §5.1)."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "ingest_prompt",
            [k.incoming, k.prompt, k.state],
            [
                mailbox,
                uid,
                generation,
                sha256,
                text,
                known_sha256 or "",
                INCOMING_MESSAGES,
                INCOMING_BYTES,
            ],
        )
        return PromptAdmission(answer[0])

    async def begin_run(
        self, mailbox: str, *, run: str, expected: str, session_uid: str, launch: LaunchType
    ) -> bool:
        """Makes `run` current if `expected` ('' for none) still is. Idempotent."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "begin_run", [k.run, k.state], [mailbox, run, expected, session_uid, launch]
        )
        return answer[0] == "ok"

    async def run_failed(self, mailbox: str, *, run: str, reason: str) -> None:
        """Counts a run that ended before its time, once."""
        await self._run("run_failed", [MailboxKeys(mailbox).state], [run, reason])

    async def hello(self, mailbox: str, *, run: str, pod_uid: str, pod: str) -> HelloAnswer:
        """Binds the first pod that says hello to the run."""
        k = MailboxKeys(mailbox)
        answer = await self._run("hello", [k.run, k.state], [mailbox, run, pod_uid, pod])
        if answer[0] != "ok":
            return HelloAnswer(RunAnswer(answer[0]))
        return HelloAnswer(RunAnswer.OK, int(answer[1]), answer[2] or None)

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
            RunAnswer.OK, answer[1] == RunState.DRAINED, answer[2] or None, answer[3] == "1"
        )

    async def begin_turn(
        self, mailbox: str, *, run: str, pod_uid: str, turn: str, timeout_seconds: int
    ) -> TurnGrant:
        """The run's turn: the recorded one again, or a new one (named `turn`) of what waits."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "begin_turn",
            [k.incoming, k.run, k.turn, k.state],
            [mailbox, run, pod_uid, turn, timeout_seconds, TURN_MESSAGES],
        )
        if answer[0] != "turn":
            return TurnGrant(RunAnswer(answer[0]))
        _, granted, attempt, conversation, deadline, now, messages = answer
        return TurnGrant(
            RunAnswer.TURN,
            granted,
            int(attempt),
            int(conversation),
            max(0.0, float(deadline) - float(now)),
            tuple(_message(entry) for entry in json.loads(messages)),
        )

    async def commit_result(
        self, mailbox: str, *, run: str, turn: str, result: ResultRecord
    ) -> CommitAnswer:
        """Ends the turn: its messages go and its answer stays, in one step."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "commit_result",
            [k.incoming, k.turn, k.last, k.state, k.usage, k.outgoing, k.events, k.run],
            [
                mailbox,
                run,
                turn,
                result.outcome,
                result.text,
                result.agent_session_id or "",
                result.error_code,
                result.error_message,
            ],
        )
        return CommitAnswer(answer[0])

    async def model_status(self, mailbox: str, *, turn: str, status: int) -> None:
        """Remembers the status of the turn's newest model call; 200 clears it."""
        await self._run("model_status", [MailboxKeys(mailbox).turn], [turn, status])

    async def remember_conversation(
        self, mailbox: str, *, run: str, turn: str, agent_session_id: str
    ) -> bool:
        """Keeps the CLI's id of the running turn's conversation; False if it is not the current one."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "remember_conversation", [k.turn, k.state], [run, turn, agent_session_id]
        )
        return answer[0] == "ok"

    async def drain(self, mailbox: str, *, run: str, by_hand: bool) -> RunAnswer:
        """Asks the run to end: DRAINED, BUSY (refused) or STALE."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "drain", [k.run, k.turn, k.incoming], [mailbox, run, "1" if by_hand else "0"]
        )
        return RunAnswer(answer[0])

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

    async def purge(self, mailbox: str, *, session_uid: str) -> bool:
        """Deletes the mailbox of a deleted session; False if a newer session has taken it."""
        k = MailboxKeys(mailbox)
        every = [k.state, *(key for key in k.all() if key != k.state)]
        return (await self._run("purge", every, [mailbox, session_uid]))[0] == "purged"

    async def state(self, mailbox: str) -> MailboxState:
        """One consistent look at the mailbox."""
        k = MailboxKeys(mailbox)
        answer = await self._scripts["state"](
            keys=[k.incoming, k.state, k.run, k.turn, k.last, k.usage, k.prompt], args=[mailbox]
        )
        return _state(answer)

    async def begin_epoch(self, epoch: str) -> str:
        """Marks this Redis as known; answers the epoch in force."""
        await self._redis.set(keys.SESSIONS_EPOCH, epoch, nx=True)
        return _text(await self._redis.get(keys.SESSIONS_EPOCH))

    async def backlog(self) -> list[str]:
        """Mailboxes in which messages wait."""
        return sorted(_text(m) for m in await self._redis.smembers(keys.SESSIONS_BACKLOG))

    async def mailboxes(self) -> list[str]:
        """Every mailbox that a session has used."""
        return sorted(_text(m) for m in await self._redis.smembers(keys.SESSIONS_MAILBOXES))

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

    async def publish_events(
        self, mailbox: str, turn: str, events: Sequence[tuple[int, str, Any]]
    ) -> None:
        """Appends (seq, kind, data) to the mailbox's events in order: telemetry, trimmed."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for seq, kind, data in events:
                pipe.xadd(
                    MailboxKeys(mailbox).events,
                    {
                        "turn": turn,
                        "seq": seq,
                        "kind": kind,
                        "data": json.dumps(data, ensure_ascii=False),
                    },
                    maxlen=EVENTS_KEPT,
                    approximate=True,
                )
            await pipe.execute()

    async def hints(self, block_seconds: float) -> AsyncGenerator[SessionHint, None]:
        """Follows `sessions:events` from now on, for ever. Raises redis.RedisError when cut off.

        The first hint has no mailbox: from it on nothing is missed, so the caller looks at all
        state then, and again at the first hint after each cut.
        """
        newest = await self._redis.xrevrange(keys.SESSIONS_EVENTS, count=1)
        after = _text(newest[0][0]) if newest else "0-0"
        yield SessionHint(after, "", "following")
        while True:
            answer = await self._redis.xread(
                {keys.SESSIONS_EVENTS: after}, count=1000, block=int(block_seconds * 1000)
            )
            for _, entries in _streams(answer):
                for entry_id, fields in entries:
                    after = _text(entry_id)
                    entry = {_text(k): _text(v) for k, v in fields.items()}
                    yield SessionHint(after, entry.get("mailbox", ""), entry.get("kind", ""))


def _streams(answer: Any) -> Iterable[tuple[Any, list[tuple[Any, dict[Any, Any]]]]]:
    # RESP3 answers a mapping whose values are wrapped in one more list, RESP2 a list of pairs.
    if isinstance(answer, dict):
        return [(name, entries[0]) for name, entries in answer.items()]
    return answer or []


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _message(entry: dict[str, str]) -> TurnMessage:
    return TurnMessage(id=entry["id"], text=entry["text"], files=tuple(json.loads(entry["files"])))


def _pairs(flat: Any) -> dict[str, str]:
    if isinstance(flat, dict):
        return {_text(k): _text(v) for k, v in flat.items()}
    parts = [_text(part) for part in flat]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _number(value: str | None) -> float | None:
    return float(value) if value else None


def _state(answer: list[Any]) -> MailboxState:
    waiting, mailbox, run, turn, last, usage, prompt, activity, epoch, now = answer
    box = _pairs(mailbox)
    return MailboxState(
        waiting=int(waiting),
        closed=box.get("state") == "closed",
        session_uid=box.get("session"),
        conversation=int(box.get("conversation", "1")),
        agent_session_id=box.get("agent_session_id"),
        run=_run_record(_pairs(run)),
        turn=_turn_record(_pairs(turn)),
        last=_last_record(_pairs(last)),
        failure=_failure_record(box),
        usage=_usage_record(_pairs(usage)),
        prompt_hash=_pairs(prompt).get("sha256"),
        last_activity=_number(_text(activity)),
        epoch=_text(epoch) or None,
        now=float(_text(now)),
    )


def _run_record(run: dict[str, str]) -> RunRecord | None:
    if "run" not in run:
        return None
    return RunRecord(
        run=run["run"],
        state=RunState(run.get("state", RunState.OPEN)),
        begun_at=float(run.get("begun_at", "0")),
        pod_uid=run.get("pod_uid"),
        pod=run.get("pod"),
        hello_at=_number(run.get("hello_at")),
        drained_at=_number(run.get("drained_at")),
        bye_at=_number(run.get("bye_at")),
        launch=run.get("launch", "cold"),
        turns=int(run.get("turns", "0")),
    )


def _turn_record(turn: dict[str, str]) -> TurnRecord | None:
    if "turn" not in turn:
        return None
    return TurnRecord(
        turn=turn["turn"],
        run=turn["run"],
        source=turn["source"],
        attempt=int(turn["attempt"]),
        started_at=float(turn["started_at"]),
        deadline=float(turn["deadline"]),
    )


def _last_record(last: dict[str, str]) -> LastTurnRecord | None:
    if "turn" not in last:
        return None
    return LastTurnRecord(
        turn=last["turn"],
        run=last["run"],
        source=last["source"],
        outcome=TurnOutcome(last["outcome"]),
        reply=last["reply"],
        error_code=last["error_code"],
        error_message=last["error_message"],
        model_status=int(last["model_status"]) if last["model_status"] else None,
        started_at=float(last["started_at"]),
        finished_at=float(last["finished_at"]),
        message_id=last["message_id"],
    )


def _failure_record(box: dict[str, str]) -> FailureRecord | None:
    if "failures" not in box:
        return None
    return FailureRecord(
        count=int(box["failures"]),
        run=box["failed_run"],
        reason=box["failure"],
        at=float(box["failed_at"]),
    )


def _usage_record(usage: dict[str, str]) -> UsageRecord:
    cost = usage.get("cost_nanousd")
    return UsageRecord(
        turns=int(usage.get("turns", "0")),
        input_tokens=int(usage.get("input_tokens", "0")),
        output_tokens=int(usage.get("output_tokens", "0")),
        cost_nanousd=int(cost) if cost is not None and "unpriced" not in usage else None,
    )
