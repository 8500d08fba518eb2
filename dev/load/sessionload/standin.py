"""The stand-in: what kubelet and runner do for a pod that only kwok has started.

It asks for the pod's own token as a kubelet does, speaks the runner protocol with the runner's own
code (connection, stream, ledger, events, results, bye), and writes the pod's end into its status.
Only the agent is played: it answers after a while. One process serves thousands of pods.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentsession_core import naming
from agentsession_runner.config import GatewayAddress, RunnerConfig
from agentsession_runner.event_sender import EventSender
from agentsession_runner.gateway_client import GatewayClient
from agentsession_runner.gateway_link import GatewayLink
from agentsession_runner.hello import (
    Effects,
    GatewayUnreachableError,
    HelloRefusedError,
    say_hello,
)
from agentsession_runner.orders import TurnOrder, parse_welcome
from agentsession_runner.reports import TurnReport
from agentsession_runner.session_loop import RunOverError, SessionLoop
from agentsession_runner.turn_runner import stopped_report
from sessionload.api import Api, ApiError, Body, core_path
from sessionload.pods import MANAGED_BY_LOAD, RunPod, ended_status, running_pod, token_request
from sessionload.records import Journal

TOKEN_SECONDS = 7200
HELLOS_AT_ONCE = 64
EXIT_ORDERLY, EXIT_FAILED = 0, 1
NOT_FOUND = 404
SELECTOR = f"{naming.LABEL_MANAGED_BY} in ({naming.MANAGED_BY},{MANAGED_BY_LOAD})"


@dataclass(frozen=True)
class Settings:
    """How the played agent behaves. `think_seconds` from a turn to its answer."""

    namespace: str
    folder: Path
    think_seconds: float


class PlayedAgent:
    """In the place of the runner's TurnRunner: answers every turn."""

    def __init__(self, think_seconds: float, session_id: str | None, mark: Callable[[str], None]):
        self._think = think_seconds
        self._session_id = session_id or str(uuid.uuid4())
        self._mark = mark
        self._stopped = asyncio.Event()

    async def run(self, order: TurnOrder, sender: EventSender) -> TurnReport:
        """One turn: says its conversation's id, a piece of text, then the answer."""
        self._mark("turn")
        self._stopped.clear()
        sender.add("state", {"agentSessionID": self._session_id})
        with suppress(TimeoutError):
            async with asyncio.timeout(self._think):
                await self._stopped.wait()
                return stopped_report()
        answer = f"Done: {order.messages[-1].text[:80]}"
        sender.text(answer)
        self._mark("answer")
        return TurnReport("Succeeded", answer, self._session_id)

    def stop(self) -> None:
        """Ends the running turn."""
        self._stopped.set()


class StandIn:
    """Lives the lives of all run pods of a namespace."""

    def __init__(self, api: Api, settings: Settings, journal: Journal) -> None:
        self._api = api
        self._settings = settings
        self._journal = journal
        self._hellos = ThreadPoolExecutor(HELLOS_AT_ONCE)
        self._lives: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serves until cancelled."""
        async for change in self._api.watch(core_path(self._settings.namespace, "pods"), SELECTOR):
            uid = change.body["metadata"]["uid"]
            pod = running_pod(change.body)
            if change.kind == "DELETED":
                self._cancel(self._lives.pop(uid, None))
            elif "deletionTimestamp" in change.body["metadata"]:
                self._cancel(self._lives.get(uid))
            elif pod is not None and uid not in self._lives:
                # An ended life stays known until its pod is gone: a late event begins no second one.
                self._lives[uid] = asyncio.create_task(self._live(pod, change.body))

    def _cancel(self, life: asyncio.Task[None] | None) -> None:
        if life is not None:
            life.cancel()

    async def _live(self, pod: RunPod, body: Body) -> None:
        stamps: dict[str, Any] = {"pod": pod.name, "session": pod.session, "running": time.time()}

        def mark(what: str) -> None:
            stamps.setdefault(what, time.time())

        try:
            # A plain Job's pod has nobody to speak to: it ends with its first instruction.
            code = await self._serve(pod, mark) if pod.gateway else EXIT_ORDERLY
        except (ApiError, HelloRefusedError, GatewayUnreachableError, RunOverError) as error:
            stamps["error"] = str(error)
            code = EXIT_FAILED
        mark("ended")
        problem = await self._end(pod, body, code)
        if problem:
            stamps.setdefault("error", problem)
        self._journal.write({**stamps, "exit": code})

    async def _serve(self, pod: RunPod, mark: Callable[[str], None]) -> int:
        token_file = self._settings.folder / pod.uid
        path = core_path(self._settings.namespace, "serviceaccounts", naming.RUNNER_SERVICE_ACCOUNT)
        answer = await self._api.post(f"{path}/token", token_request(pod, TOKEN_SECONDS))
        token_file.write_text(answer["status"]["token"])
        mark("token")
        try:
            return await self._speak(pod, token_file, mark)
        finally:
            token_file.unlink(missing_ok=True)

    async def _speak(self, pod: RunPod, token_file: Path, mark: Callable[[str], None]) -> int:
        config = _config(pod, token_file)
        effects = Effects(time.monotonic, time.sleep, random.random)
        hello = asyncio.get_running_loop().run_in_executor(
            self._hellos, say_hello, config, effects, lambda: None, _ignore
        )
        welcome = parse_welcome(await hello)
        mark("hello")
        client = GatewayClient(config.gateway, str(token_file), _ignore, GatewayLink())
        agent = PlayedAgent(self._settings.think_seconds, welcome.agent_session_id, mark)
        loop = SessionLoop(client, agent, random.random, _ignore)
        try:
            await loop.run()
        finally:
            await client.close()
        return EXIT_ORDERLY

    async def _end(self, pod: RunPod, body: Body, code: int) -> str:
        """Says how the pod ended; answers what kept that from being said."""
        path = core_path(self._settings.namespace, "pods", pod.name)
        status = ended_status(body, code, time.time())
        try:
            await self._api.patch(f"{path}/status", {"status": status})
        except ApiError as error:
            # A pod that is gone meanwhile has no status.
            return "" if error.status == NOT_FOUND else str(error)
        return ""


def _config(pod: RunPod, token_file: Path) -> RunnerConfig:
    host, _, port = pod.gateway.removeprefix("http://").partition(":")
    return RunnerConfig(
        gateway=GatewayAddress(pod.gateway, host, int(port), ""),
        agent_type=pod.agent_type,
        token_file=str(token_file),
        workspace="/",
        cli="",
        cli_version="stand-in",
        skills="",
        environment={},
    )


def _ignore(_: str) -> None:
    """The runner's words about passing trouble; what ends a life is in the journal."""
