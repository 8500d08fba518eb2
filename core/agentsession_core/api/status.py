"""`AgentSession.status`: written by the operator alone, under 4 KiB, no chat text but `prompt` replies."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import Field

from agentsession_core.api.base import ApiModel
from agentsession_core.api.values import (
    AgentType,
    ConditionStatus,
    ConditionType,
    LaunchType,
    Phase,
    Reason,
    TurnOutcome,
)

REPLY_BYTES: Final = 2048


class Condition(ApiModel):
    """One aspect of the session's state, as in Kubernetes' API conventions."""

    type: ConditionType = Field(description="The aspect.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: Reason = Field(description="Why, in one word of a closed list.")
    message: str = Field(max_length=1024, description="Why, for people.")
    last_transition_time: datetime = Field(description="When the status last changed.")
    observed_generation: int = Field(
        default=0, ge=0, description="The generation this condition speaks of."
    )


class EffectiveStatus(ApiModel):
    """The settings in force: the session's, else the template's, else the chart's."""

    agent_type: AgentType | None = Field(default=None, description="The agent CLI.")
    image: str | None = Field(default=None, max_length=512, description="The agent's image.")
    model: str | None = Field(default=None, max_length=128, description="The model asked for.")
    suspend_after_seconds: int | None = Field(
        default=None, description="Idle seconds until suspension."
    )
    delete_after_seconds: int | None = Field(
        default=None, description="Idle seconds until deletion; 0 is never."
    )


class Usage(ApiModel):
    """What the session has used, counted by the gateway."""

    turns: int = Field(default=0, ge=0, description="Finished turns.")
    input_tokens: int = Field(
        default=0,
        ge=0,
        description="Input tokens, those written to and read from the cache included.",
    )
    output_tokens: int = Field(default=0, ge=0, description="Output tokens.")
    cost_usd: str | None = Field(
        default=None,
        max_length=32,
        description="Cost in US dollars as a decimal string; absent where a model has no price.",
    )


class LastTurn(ApiModel):
    """The newest finished turn."""

    source: str = Field(max_length=32, description="Where its messages came from, e.g. prompt.")
    outcome: TurnOutcome = Field(description="How it ended.")
    started_at: datetime | None = Field(default=None, description="When it was given to the agent.")
    finished_at: datetime | None = Field(default=None, description="When its result was committed.")
    reply: str | None = Field(
        default=None,
        max_length=REPLY_BYTES,
        description="The agent's answer to a prompt, its first 2 KiB; absent for chat.",
    )
    truncated: bool | None = Field(
        default=None, description="Whether the answer was longer than reply."
    )


class AgentSessionStatus(ApiModel):
    """What the operator saw last."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="The generation of spec that this status speaks of."
    )
    effective: EffectiveStatus | None = Field(default=None, description="The settings in force.")
    phase: Phase | None = Field(
        default=None, description="The state in one word, for people; conditions say why."
    )
    conditions: list[Condition] | None = Field(
        default=None,
        max_length=16,
        description="The state in parts.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    runs: int | None = Field(default=None, ge=0, description="Number of the newest run.")
    job_name: str | None = Field(default=None, max_length=63, description="The newest run's Job.")
    pod_name: str | None = Field(default=None, max_length=253, description="The live run's pod.")
    volume_claim_name: str | None = Field(
        default=None, max_length=253, description="The workspace's PersistentVolumeClaim."
    )
    agent_session_id: str | None = Field(
        default=None, max_length=256, description="The agent CLI's own id of the conversation."
    )
    launch_type: LaunchType | None = Field(
        default=None,
        description="How the newest run began: cold (new conversation) or resume; warm once a later "
        "turn used it.",
    )
    last_activity_time: datetime | None = Field(
        default=None, description="The newest message or turn."
    )
    suspend_time: datetime | None = Field(
        default=None, description="When the run ends if nothing happens."
    )
    expiration_time: datetime | None = Field(
        default=None, description="When the session is deleted if nothing happens."
    )
    last_handled_message_id: str | None = Field(
        default=None,
        max_length=256,
        alias="lastHandledMessageID",
        description="The newest message that has an answer.",
    )
    last_handled_entry_id: str | None = Field(
        default=None,
        max_length=64,
        alias="lastHandledEntryID",
        description="Where the newest answered message stood in its queue: what stood before it has "
        "an answer, too.",
    )
    prompt_hash: str | None = Field(
        default=None, max_length=64, description="SHA-256 of the newest prompt that was accepted."
    )
    queue_position: int | None = Field(
        default=None, ge=1, description="Place in the queue for a run when the cluster is full."
    )
    startup_milliseconds: int | None = Field(
        default=None,
        ge=0,
        description="Milliseconds from the newest run's Job to its runner's hello.",
    )
    usage: Usage | None = Field(default=None, description="What the session has used.")
    last_turn: LastTurn | None = Field(default=None, description="The newest finished turn.")
