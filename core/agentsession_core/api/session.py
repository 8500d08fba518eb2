"""`AgentSession`: one user's agent. The models here are the source of its CRD.

Fields that a template may set have no default: a schema default would be indistinguishable from
the user's own choice and would hide the template's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field

from agentsession_core.api.base import ApiModel
from agentsession_core.api.status import AgentSessionStatus
from agentsession_core.api.values import AgentType, OperatingMode, ProcessMode, WhenDeleted
from agentsession_core.crd.cel import Rule, int_or_string, rules
from agentsession_core.naming import IDENTIFIER_PATTERN

PROMPT_LIMIT: Final = 131_072
SECONDS_LIMIT: Final = 315_360_000

Identifier = Annotated[str, Field(min_length=1, max_length=63, pattern=IDENTIFIER_PATTERN)]
Seconds = Annotated[int, Field(ge=0, le=SECONDS_LIMIT)]
PositiveSeconds = Annotated[int, Field(ge=1, le=SECONDS_LIMIT)]
Quantity = Annotated[str, Field(max_length=32, json_schema_extra=int_or_string)]
ResourceList = Annotated[dict[str, Quantity], Field(max_length=16)]
ObjectName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]


class User(ApiModel):
    """Whose session this is."""

    id: Identifier = Field(
        description="The user's id: authorization, budget and fair share follow it. Immutable. "
        "Letters, digits, '_', '.', '-'; starts and ends with a letter or digit. Quote numbers.",
        json_schema_extra=rules(Rule("self == oldSelf", "is immutable")),
    )
    display_name: str | None = Field(
        default=None, max_length=256, description="A name for people to read. Never used to decide."
    )


class TemplateRef(ApiModel):
    """A reference to an AgentSessionTemplate of the same namespace."""

    name: ObjectName = Field(description="Name of the AgentSessionTemplate.")


class AgentSpec(ApiModel):
    """Which agent CLI runs, and how."""

    type: AgentType | None = Field(
        default=None,
        description="The agent CLI. Pinned at the first run; a set type can be neither changed nor "
        "removed.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="The model the CLI asks for. Must be one of the template's models, if it lists any.",
    )
    args: list[Annotated[str, Field(max_length=4096)]] | None = Field(
        default=None, max_length=64, description="Further arguments for the CLI."
    )
    process_mode: ProcessMode | None = Field(
        default=None,
        description="Persistent keeps the CLI's process between the turns of a run (fast); PerTurn "
        "starts a new one for each turn.",
    )


class Inbox(ApiModel):
    """A wake-up call from a bridge. Never the truth: what waits is in Redis."""

    last_message_id: str | None = Field(
        default=None,
        max_length=256,
        alias="lastMessageID",
        description="Id of the newest message that was accepted.",
    )
    last_message_time: datetime | None = Field(
        default=None, description="When the newest message was accepted."
    )


class IdlePolicy(ApiModel):
    """When an idle session is suspended and deleted, counted from its last message or turn."""

    suspend_after_seconds: Seconds | None = Field(
        default=None,
        description="Idle seconds after which the run ends; the workspace stays. 0: right after the turn.",
    )
    delete_after_seconds: Seconds | None = Field(
        default=None,
        description="Idle seconds after which the session is deleted. 0: never, the setting for "
        "sessions that are kept in Git.",
    )
    warn_before_delete_seconds: Seconds | None = Field(
        default=None,
        description="Seconds before its deletion at which the session's user is warned, at most half "
        "of its idle time; a message or a keep renews it. 0: no warning.",
    )


class RunPolicy(ApiModel):
    """Limits of turns and runs."""

    turn_timeout_seconds: PositiveSeconds | None = Field(
        default=None, description="Seconds after which a turn is ended."
    )
    active_deadline_seconds: PositiveSeconds | None = Field(
        default=None, description="Seconds after which a run (one Job) is ended."
    )
    max_lifetime_seconds: PositiveSeconds | None = Field(
        default=None,
        description="Seconds after its creation at which the session is deleted. Unset: none.",
    )


class VolumeClaimResources(ApiModel):
    """Storage that the claim asks for."""

    requests: ResourceList | None = Field(
        default=None, description="Requested amounts, e.g. storage: 5Gi."
    )


class VolumeClaimSpec(ApiModel):
    """The claim's spec, as in a PersistentVolumeClaim."""

    access_modes: (
        list[Annotated[str, Field(pattern="^(ReadWriteOnce|ReadWriteOncePod|ReadWriteMany)$")]]
        | None
    ) = Field(default=None, max_length=3, description="Access modes; ReadWriteOnce if unset.")
    storage_class_name: str | None = Field(
        default=None,
        max_length=253,
        description="The StorageClass; the cluster's default if unset.",
    )
    resources: VolumeClaimResources | None = Field(
        default=None, description="Storage that the claim asks for."
    )


class VolumeClaimTemplate(ApiModel):
    """The PersistentVolumeClaim made for the workspace."""

    spec: VolumeClaimSpec = Field(description="The claim's spec.")


class RetentionPolicy(ApiModel):
    """What becomes of the workspace volume."""

    when_deleted: WhenDeleted | None = Field(
        default=None,
        description="Delete removes the volume claim with the session; Retain keeps it.",
    )


class Workspace(ApiModel):
    """The volume that outlives the pods."""

    volume_claim_template: VolumeClaimTemplate | None = Field(
        default=None, description="The claim to make. Immutable, pinned at the first run."
    )
    retention_policy: RetentionPolicy | None = Field(
        default=None, description="What becomes of the volume when the session is deleted."
    )


class Resources(ApiModel):
    """Compute resources of the agent's container, as in a Pod."""

    requests: ResourceList | None = Field(default=None, description="Guaranteed amounts.")
    limits: ResourceList | None = Field(default=None, description="Upper limits.")


EnvVarName = Annotated[
    str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
]
EnvVarValue = Annotated[str, Field(max_length=4096)]


class EnvVar(ApiModel):
    """An environment variable with a literal value."""

    name: EnvVarName = Field(description="Name of the variable.")
    value: EnvVarValue = Field(description="Its value. Not for secrets.")


class PodSpec(ApiModel):
    """What a session may say about its pod."""

    resources: Resources | None = Field(
        default=None,
        description="Resources of the agent's container, within the template's maximum.",
    )
    env: list[EnvVar] | None = Field(
        default=None, max_length=64, description="Environment variables for the agent."
    )


_AGENT_TYPE_FIXED: Final = Rule(
    "!has(oldSelf.agent) || !has(oldSelf.agent.type) || "
    "(has(self.agent) && has(self.agent.type) && self.agent.type == oldSelf.agent.type)",
    "is immutable, and cannot be removed",
    ".agent.type",
)
_TEMPLATE_FIXED: Final = Rule(
    "has(self.templateRef) == has(oldSelf.templateRef) && "
    "(!has(self.templateRef) || self.templateRef == oldSelf.templateRef)",
    "is immutable, and cannot be added or removed later",
    ".templateRef",
)
_MAILBOX_FIXED: Final = Rule(
    "has(self.mailbox) == has(oldSelf.mailbox) && (!has(self.mailbox) || self.mailbox == oldSelf.mailbox)",
    "is immutable, and cannot be added or removed later",
    ".mailbox",
)
_CLAIM_FIXED: Final = Rule(
    "(has(self.workspace) && has(self.workspace.volumeClaimTemplate)) == "
    "(has(oldSelf.workspace) && has(oldSelf.workspace.volumeClaimTemplate)) && "
    "(!has(self.workspace) || !has(self.workspace.volumeClaimTemplate) || "
    "self.workspace.volumeClaimTemplate == oldSelf.workspace.volumeClaimTemplate)",
    "is immutable, and cannot be added or removed later",
    ".workspace.volumeClaimTemplate",
)
SUSPEND_BEFORE_DELETE: Final = Rule(
    "!has(self.suspendAfterSeconds) || !has(self.deleteAfterSeconds) || "
    "self.deleteAfterSeconds == 0 || self.suspendAfterSeconds < self.deleteAfterSeconds",
    "must be less than idlePolicy.deleteAfterSeconds",
    ".suspendAfterSeconds",
)
TURN_BEFORE_DEADLINE: Final = Rule(
    "!has(self.turnTimeoutSeconds) || !has(self.activeDeadlineSeconds) || "
    "self.turnTimeoutSeconds < self.activeDeadlineSeconds",
    "must be less than run.activeDeadlineSeconds",
    ".turnTimeoutSeconds",
)


class AgentSessionSpec(ApiModel):
    """What the session's owner wants."""

    user: User = Field(description="Whose session this is.")
    mailbox: Identifier | None = Field(
        default=None,
        description="The mailbox whose messages this session answers; the user's id if unset. "
        "One mailbox, one session. Immutable.",
    )
    template_ref: TemplateRef | None = Field(
        default=None,
        description="The AgentSessionTemplate with this session's defaults; 'default' of the "
        "namespace, where there is one, if unset. Immutable.",
    )
    agent: AgentSpec | None = Field(default=None, description="Which agent CLI runs, and how.")
    prompt: str | None = Field(
        default=None,
        max_length=PROMPT_LIMIT,
        description="A message to the agent. A changed prompt is a new message in the same "
        "conversation; the answer is in status.lastTurn.reply.",
    )
    operating_mode: OperatingMode = Field(
        default=OperatingMode.RUNNING,
        description="Running: awake when there is something to do. Suspended: messages wait. "
        "Never written by the operator.",
    )
    inbox: Inbox | None = Field(
        default=None, description="A wake-up call written by a bridge; not meant for people."
    )
    idle_policy: IdlePolicy | None = Field(
        default=None,
        description="When an idle session is suspended and deleted.",
        json_schema_extra=rules(SUSPEND_BEFORE_DELETE),
    )
    run: RunPolicy | None = Field(
        default=None,
        description="Limits of turns and runs.",
        json_schema_extra=rules(TURN_BEFORE_DEADLINE),
    )
    workspace: Workspace | None = Field(
        default=None, description="The volume that outlives the pods."
    )
    pod: PodSpec | None = Field(default=None, description="What the session says about its pod.")


class Metadata(ApiModel):
    """The parts of ObjectMeta that this project reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class AgentSession(ApiModel):
    """A session as read from the API server."""

    metadata: Metadata
    spec: AgentSessionSpec
    status: AgentSessionStatus = AgentSessionStatus()

    @property
    def mailbox(self) -> str:
        """The `<id>` of this session's Redis keys."""
        return self.spec.mailbox or self.spec.user.id

    @classmethod
    def from_api(cls, body: dict[str, Any]) -> AgentSession:
        """Reads an object of the API server. Raises pydantic.ValidationError if it does not fit."""
        return cls.model_validate(body)


SPEC_RULES: Final = (_AGENT_TYPE_FIXED, _TEMPLATE_FIXED, _MAILBOX_FIXED, _CLAIM_FIXED)
# Stands on the root because only there CEL sees spec and status together.
ROOT_RULES: Final = (
    Rule(
        "!has(self.spec.agent) || !has(self.spec.agent.type) || !has(self.status) || "
        "!has(self.status.runs) || self.status.runs == 0 || !has(self.status.effective) || "
        "!has(self.status.effective.agentType) || "
        "self.spec.agent.type == self.status.effective.agentType",
        "is pinned to the type of the first run (status.effective.agentType)",
        ".spec.agent.type",
    ),
)
