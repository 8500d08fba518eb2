"""The bench put together: one run on the installed release."""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
from kubernetes.client.exceptions import ApiException
from redis import Redis, RedisError

from workbench.bench.audit import AuditLog
from workbench.bench.chats import measure_chats
from workbench.bench.context import Context
from workbench.bench.figures import Section
from workbench.bench.ground import WAIT_SECONDS, Body, Ground
from workbench.bench.images import measure_images
from workbench.bench.machine import Machine, describe_machine
from workbench.bench.mailboxes import Mailboxes
from workbench.bench.many_chats import CHATS, measure_many_chats
from workbench.bench.memory import MemoryLog
from workbench.bench.messages import RestedMessages, measure_suspended, measure_warm
from workbench.bench.model import ModelServer
from workbench.bench.passthrough import measure_passthrough
from workbench.bench.report import markdown, to_json
from workbench.bench.sessions import Session
from workbench.bench.starts import measure_starts
from workbench.bench.table import make_console, show
from workbench.bench.volumes import measure_new_volumes
from workbench.bench.writes import measure_writes
from workbench.clusters import Cluster
from workbench.console import Reporter, WorkbenchError
from workbench.forward import port_forward
from workbench.images import read_images
from workbench.settings import ClusterKind, Names, Settings
from workbench.testing import control_plane_program

DEFAULT_ROUNDS = 30
REDIS_SECONDS = 10
FAILURES = (
    WorkbenchError,
    ApiException,
    RedisError,
    httpx.HTTPError,
    OSError,
    ValueError,
    KeyError,
)


def run_bench(
    settings: Settings, cluster: Cluster, names: Names, reporter: Reporter, rounds: int
) -> None:
    """Prints the figures and writes `.build/bench.json` and `.build/bench.md`.

    Raises:
        WorkbenchError: something could not be measured; what could be is in the report.
    """
    try:
        with _opened(settings, cluster, names, reporter, rounds) as context:
            # First: afterwards a connection may be gone, and the figures must not go with it.
            machine = describe_machine(settings, context)
            bench = _Bench(settings, context)
            sections, unmeasured = bench.run()
            load = os.getloadavg()[0]
    except ApiException as error:
        raise WorkbenchError(
            f"the API server answered {error.status} {error.reason}",
            "make install",
            str(error.body),
        ) from error
    except (RedisError, httpx.HTTPError) as error:
        raise WorkbenchError(f"{type(error).__name__}: {error}", "make install") from error
    machine = replace(machine, load_after=load, agent_cli=bench.agent_cli)
    _write(settings, machine, rounds, sections, unmeasured)
    show(make_console(), machine.sentence(), sections, unmeasured)
    if unmeasured:
        raise WorkbenchError(
            f"{len(unmeasured)} measurement(s) failed", ".build/bench.json holds the others"
        )


class _Bench:
    """The measurements one after the other; one that fails leaves the others as they are."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._memory = MemoryLog()
        self._rested = RestedMessages()
        self._sections: list[Section] = []
        self._unmeasured: list[str] = []
        self.agent_cli = "agent CLI of unknown version"

    def run(self) -> tuple[list[Section], list[str]]:
        """The sections, and why others are missing."""
        context, rounds = self._context, self._context.rounds
        awake = context.session("awake")
        self._do("memory of the parts, idle", lambda: self._memory.parts(context, "idle"))
        self._do("a session that stays awake", lambda: self._wake(awake))
        self._measure(
            f"starts beside plain Jobs: {rounds} pairs",
            lambda: measure_starts(context, _run_pod(context, awake)),
        )
        self._send_rested(awake)
        self._measure(
            "starts with a new volume",
            lambda: measure_new_volumes(context, _run_pod(context, awake)),
        )
        self._send_rested(awake)
        self._measure(f"awake: {rounds} messages", lambda: measure_warm(context, awake))
        self._measure(f"suspended: {rounds} messages", lambda: measure_suspended(context))
        self._measure(f"chat: twice {rounds} messages", lambda: measure_chats(context))
        program = control_plane_program(self._settings)
        self._measure(
            f"{CHATS} chats at once", lambda: measure_many_chats(self._settings.clone, program)
        )
        self._send_rested(awake)
        self._measure("pass-through", lambda: measure_passthrough(context, awake))
        self._measure("operator's writes", lambda: measure_writes(context))
        self._send_rested(awake)
        if self._rested.rounds:
            self._sections.append(self._rested.section())
        self._do("memory after the run", lambda: self._memory_after(awake))
        self._sections.append(self._memory.section())
        images = read_images(self._settings.clone)
        self._measure("image sizes", lambda: measure_images(context, images))
        return self._sections, self._unmeasured

    def _wake(self, session: Session) -> None:
        session.create("first")
        session.wait_answer(1)
        self.agent_cli = session.cli_version()
        self._memory.agent(self._context, session, "after its first answer")

    def _send_rested(self, session: Session) -> None:
        self._do("awake, after a rest", lambda: self._rested.send(self._context, session))

    def _memory_after(self, session: Session) -> None:
        self._memory.parts(self._context, "after the run")
        self._memory.agent(self._context, session, "after the run")

    def _measure(self, title: str, measurement: Callable[[], Section]) -> None:
        self._do(title, lambda: self._sections.append(measurement()))

    def _do(self, title: str, action: Callable[[], None]) -> None:
        reporter = self._context.reporter
        try:
            with reporter.step(title):
                action()
        except WorkbenchError as error:
            reporter.fail(error)
            self._unmeasured.append(f"{title}: {error.cause}")
        except FAILURES as error:
            reporter.fail(WorkbenchError(f"{type(error).__name__}: {error}"))
            self._unmeasured.append(f"{title}: {type(error).__name__}: {error}")


@contextmanager
def _opened(
    settings: Settings, cluster: Cluster, names: Names, reporter: Reporter, rounds: int
) -> Iterator[Context]:
    """Connections to all that is asked, and everything that was made gone afterwards."""
    if settings.model_key:
        raise WorkbenchError(
            "figures are made with the scripted model server, never with a real key",
            "unset ANTHROPIC_API_KEY and run make bench again",
        )
    ground = Ground(cluster, names, uuid.uuid4().hex[:6])
    model_server, redis = f"svc/{names.release}-model-server", f"svc/{names.release}-redis"
    with (
        port_forward(cluster, names.namespace, model_server, 8080) as model_url,
        port_forward(cluster, names.namespace, redis, 6379) as redis_url,
        httpx.Client(base_url=model_url, timeout=WAIT_SECONDS + 10) as http,
        _redis(ground, redis_url) as store,
    ):
        audit = _audit(settings)
        context = Context(ground, ModelServer(http), Mailboxes(store), audit, reporter, rounds)
        with reporter.step("remove what an earlier bench left"):
            ground.clean()
        try:
            yield context
        finally:
            with reporter.step("remove what the bench made"):
                ground.clean()


def _redis(ground: Ground, url: str) -> Redis:
    name = f"{ground.names.release}-redis"
    secret = ground.core.read_namespaced_secret(name, ground.names.namespace)
    password = base64.b64decode(secret.data["redis-password"]).decode()
    address = urlsplit(url)
    return Redis(
        host=address.hostname or "",
        port=address.port or 0,
        password=password,
        decode_responses=True,
        socket_timeout=REDIS_SECONDS,
    )


def _audit(settings: Settings) -> AuditLog | None:
    if settings.cluster is not ClusterKind.LOCAL:
        return None
    file = settings.clone / ".cluster" / "log" / "audit.log"
    return AuditLog(file) if file.exists() else None


def _run_pod(context: Context, session: Session) -> Body:
    """The pod spec of a session's Job as the operator built it, before anyone has added to it."""
    listed = context.ground.batch.list_namespaced_job(
        context.ground.namespace, label_selector=session.selector
    )
    spec: Body = context.ground.plain(listed)["items"][0]["spec"]["template"]["spec"]
    return spec


def _write(
    settings: Settings,
    machine: Machine,
    rounds: int,
    sections: list[Section],
    unmeasured: list[str],
) -> None:
    folder = settings.clone / ".build"
    report = to_json(machine.to_json(), rounds, sections, unmeasured)
    (folder / "bench.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    title = f"{machine.at[:10]}: figures"
    text = markdown(title, machine.sentence(), sections, unmeasured)
    (folder / "bench.md").write_text(text)
