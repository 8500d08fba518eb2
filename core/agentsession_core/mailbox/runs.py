"""Runs of a mailbox, from their begin to their end, as typed calls."""

from __future__ import annotations

from agentsession_core.api.values import LaunchType
from agentsession_core.mailbox.answers import HelloAnswer, RunAnswer, RunCheck
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import RunState
from agentsession_core.mailbox.scripted import Scripted


class Runs(Scripted):
    """The hash `user:<mailbox>:run`. Raises redis.RedisError."""

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
