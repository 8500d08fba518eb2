"""`status` as people and tools read it."""

from __future__ import annotations

from decimal import Decimal

from agentsession_core import naming
from agentsession_core.api import (
    AgentSessionStatus,
    EffectiveStatus,
    LastTurn,
    LaunchType,
    Phase,
    Usage,
)
from agentsession_core.api.status import REPLY_BYTES
from agentsession_core.mailbox.model import LastTurnRecord, UsageRecord, later_entry
from agentsession_core.mailbox.stages import Passed, Stage
from agentsession_operator.assess import Assessment, moment, pod_trouble
from agentsession_operator.conditions import conditions
from agentsession_operator.times import backoff_until, expiration, suspension
from agentsession_operator.world import Action, StartRun, World

PROMPT_SOURCE = "prompt"


def describe(world: World, found: Assessment, actions: tuple[Action, ...]) -> AgentSessionStatus:
    """The whole status. Fields of parts that Redis has forgotten keep what they said."""
    before, box, last = world.session.status, world.mailbox, newest_turn(world)
    starting = next((action for action in actions if isinstance(action, StartRun)), None)
    runs = starting.run if starting else found.newest_run
    name = world.session.metadata.name
    now_phase = phase(world, found, starting=starting is not None)
    claim = naming.volume_claim_name(name) if world.children.claim or starting else None
    return AgentSessionStatus(
        observed_generation=world.session.metadata.generation,
        effective=_effective(world),
        phase=now_phase,
        conditions=conditions(world, found),
        runs=runs or None,
        job_name=naming.job_name(name, runs) if runs else None,
        pod_name=found.pod.name if found.live and found.pod else None,
        volume_claim_name=claim,
        agent_session_id=box.agent_session_id or before.agent_session_id,
        launch_type=_launch_type(found, starting) or before.launch_type,
        last_activity_time=moment(found.last_activity),
        suspend_time=moment(suspension(world, found)),
        expiration_time=moment(expiration(world, found)),
        last_handled_message_id=(last.message_id if last else None)
        or before.last_handled_message_id,
        last_handled_entry_id=later_entry(box.handled_entry, before.last_handled_entry_id),
        prompt_hash=box.prompt_hash or before.prompt_hash,
        queue_position=world.place.position if now_phase is Phase.QUEUED else None,
        startup_milliseconds=_startup(found) or before.startup_milliseconds,
        usage=_usage(box.usage) if box.usage.turns or box.usage.input_tokens else before.usage,
        last_turn=_last_turn(last) if last else before.last_turn,
    )


def newest_turn(world: World) -> LastTurnRecord | None:
    """The newest turn in Redis; None where status knows a newer one (Redis was restored)."""
    last, told = world.mailbox.last, world.session.status.last_handled_entry_id
    if last is None or not last.entry or later_entry(last.entry, told) == last.entry:
        return last
    return None


def answered(world: World, status: AgentSessionStatus) -> Passed | None:
    """The prompt whose answer a status brings: delivered when that is written, now at the earliest."""
    last, before = newest_turn(world), world.session.status.last_handled_message_id
    if last is None or last.source != PROMPT_SOURCE or last.came_at is None:
        return None
    if status.last_handled_message_id in (None, before):
        return None
    return Passed(Stage.DELIVERED, last.launch, world.now - last.came_at)


def phase(world: World, found: Assessment, *, starting: bool) -> Phase:
    """The state in one word."""
    if world.session.metadata.deletion_timestamp is not None:
        return Phase.TERMINATING
    if found.live:
        return _live_phase(world, found)
    if found.may_run:
        return Phase.PENDING if found.wanted else Phase.SUSPENDING
    if found.refusal or not world.holds_mailbox or found.workspace:
        return Phase.FAILED
    if world.suspended_by_hand or not found.wanted:
        return Phase.SUSPENDED
    if starting:
        return Phase.STARTING
    if world.now < backoff_until(world):
        return Phase.FAILED
    return Phase.PENDING if world.place.free else Phase.QUEUED


def _live_phase(world: World, found: Assessment) -> Phase:
    if found.draining:
        return Phase.SUSPENDING
    if not found.connected:
        return Phase.FAILED if world.complaint or pod_trouble(world, found.pod) else Phase.STARTING
    return Phase.WORKING if found.work_waits else Phase.IDLE


def _effective(world: World) -> EffectiveStatus:
    effective = world.effective
    return EffectiveStatus(
        agent_type=effective.agent_type,
        image=effective.image.image if effective.image else None,
        model=effective.model,
        suspend_after_seconds=effective.suspend_after,
        delete_after_seconds=effective.delete_after,
    )


def _launch_type(found: Assessment, starting: StartRun | None) -> LaunchType | None:
    if starting:
        return LaunchType.RESUME if starting.resumes else LaunchType.COLD
    if found.record is None:
        return None
    return LaunchType.WARM if found.record.turns >= 2 else LaunchType(found.record.launch)


def _startup(found: Assessment) -> int | None:
    record = found.record
    if record is None or record.hello_at is None:
        return None
    return max(0, round((record.hello_at - record.begun_at) * 1000))


def _usage(usage: UsageRecord) -> Usage:
    cost = None
    if usage.cost_nanousd is not None:
        cost = f"{Decimal(usage.cost_nanousd).scaleb(-9).quantize(Decimal('0.000001')):f}"
    return Usage(
        turns=usage.turns,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=cost,
    )


def _last_turn(last: LastTurnRecord) -> LastTurn:
    reply, truncated = None, None
    if last.source == PROMPT_SOURCE:
        # No chat text in the cluster's store: only what came in through the cluster goes back into it.
        reply, truncated = first_bytes(last.reply, REPLY_BYTES)
    return LastTurn(
        source=last.source,
        outcome=last.outcome,
        started_at=moment(last.started_at),
        finished_at=moment(last.finished_at),
        reply=reply,
        truncated=truncated,
    )


def first_bytes(text: str, limit: int) -> tuple[str, bool]:
    """As many whole characters as fit into `limit` bytes of UTF-8, and whether some are left."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text, False
    return encoded[:limit].decode(errors="ignore"), True
