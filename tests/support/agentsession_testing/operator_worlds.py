"""Worlds to decide about: a plain one, changed by keyword."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agentsession_core.api import AgentSession, AgentSessionTemplateSpec, AgentType, Reason
from agentsession_core.effective import merge
from agentsession_core.mailbox.model import (
    MailboxState,
    RunRecord,
    RunState,
    TurnRecord,
)
from agentsession_core.settings import AgentImage
from agentsession_operator.builders.job import config_hash
from agentsession_operator.builders.services import Services
from agentsession_operator.model import Children, ClaimView, JobView, PodView
from agentsession_operator.plan import plan
from agentsession_operator.world import Limits, World

NOW = 1_800_000_000.0
UID = "11111111-2222-3333-4444-555555555555"
SERVICES = Services("http://agentsession-gateway.agentsession-system:8080")
IMAGES = {AgentType.CLAUDE_CODE: AgentImage(image="localhost/agent:1")}
EMPTY = replace(MailboxState.unused("e1", NOW), session_uid=UID, last_activity=NOW)
WAITING = replace(EMPTY, waiting=1)
# Its sender knows that the session sleeps by hand.
KNOWN = replace(WAITING, held_told=True)
TURN = TurnRecord(
    turn="t1",
    run=f"{UID}/1",
    source="prompt",
    attempt=1,
    started_at=NOW - 1,
    deadline=NOW + 1799,
)


def make_session(*, age: float = 10, **overrides: Any) -> AgentSession:
    """A session that is `age` seconds old; `overrides` go into its spec, `status` into its status."""
    status = overrides.pop("status", {})
    metadata = overrides.pop("metadata", {})
    return AgentSession.from_api(
        {
            "metadata": {
                "name": "anna",
                "namespace": "agents",
                "uid": UID,
                "generation": 1,
                "resourceVersion": "7",
                "creationTimestamp": datetime.fromtimestamp(NOW - age, UTC).isoformat(),
                **metadata,
            },
            "spec": {"user": {"id": "42"}, **overrides},
            "status": status,
        }
    )


def make_world(session: AgentSession | None = None, **changes: Any) -> World:
    """A World with nothing in it but the session; `changes` replace its fields."""
    session = session or make_session()
    template: AgentSessionTemplateSpec | None = changes.pop("template", None)
    images = changes.pop("images", IMAGES)
    world = World(
        session=session,
        effective=merge(session.spec, template, AgentSessionTemplateSpec(), images),
        template_missing=template is None,
        ignored_type=None,
        available_types=frozenset(images),
        children=Children(),
        mailbox=EMPTY,
        holds_mailbox=True,
        limits=Limits(drain_grace=30, backoff_base=2, backoff_limit=300, hello_timeout=120),
        services=SERVICES,
    )
    return replace(world, **changes)


def make_run(number: int = 1, **changes: Any) -> RunRecord:
    """An open run that said hello a moment ago."""
    record = RunRecord(
        run=f"{UID}/{number}",
        state=RunState.OPEN,
        begun_at=NOW - 5,
        pod_uid="pod-1",
        pod="anna-r1-x",
        hello_at=NOW - 4,
    )
    return replace(record, **changes)


def make_job(number: int = 1, **changes: Any) -> JobView:
    """A running Job with today's settings."""
    job = JobView(
        name=f"anna-r{number}",
        uid=f"job-{number}",
        session_uid=UID,
        run=number,
        config_hash=config_hash(make_world().effective, SERVICES),
        deleting=False,
        failed_reason=None,
        complete=False,
    )
    return replace(job, **changes)


def make_pod(number: int = 1, **changes: Any) -> PodView:
    """A running pod."""
    pod = PodView(
        name=f"anna-r{number}-x",
        uid=f"pod-{number}",
        session_uid=UID,
        run=number,
        phase="Running",
        deleting=False,
        node="node-1",
        started=True,
        started_at=NOW - 4.5,
        terminated=False,
        exit_code=None,
        exit_reason=None,
        disruption=None,
        end_message=None,
        waiting_reason=None,
        waiting_message=None,
        unschedulable=None,
        node_lost=False,
    )
    return replace(pod, **changes)


def make_claim(**changes: Any) -> ClaimView:
    """A bound claim of the session."""
    claim = ClaimView(
        name="anna-workspace",
        uid="claim-1",
        user="42",
        owner_uid=UID,
        phase="Bound",
        deleting=False,
    )
    return replace(claim, **changes)


def make_live_world(session: AgentSession | None = None, **changes: Any) -> World:
    """A World with run 1 awake and idle."""
    mailbox = changes.pop("mailbox", replace(EMPTY, run=make_run()))
    children = changes.pop(
        "children", Children(jobs=(make_job(),), pods=(make_pod(),), claim=make_claim())
    )
    return make_world(session, mailbox=mailbox, children=children, **changes)


def reason(world: World, kind: str) -> Reason:
    """The reason of one condition in the status that is planned."""
    return verdict(world, kind)[0]


def verdict(world: World, kind: str) -> tuple[Reason, str]:
    """Reason and message of one condition in the status that is planned."""
    conditions = {c.type: c for c in plan(world).status.conditions or ()}
    found = conditions[kind]  # type: ignore[index]
    return found.reason, found.message
