"""`AgentSessionTemplate`: defaults and limits for the sessions of a namespace."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from agentsession_core.api.base import ApiModel
from agentsession_core.api.session import (
    SUSPEND_BEFORE_DELETE,
    TURN_BEFORE_DEADLINE,
    AgentSpec,
    EnvVarName,
    EnvVarValue,
    IdlePolicy,
    Metadata,
    ObjectName,
    ResourceList,
    Resources,
    RunPolicy,
    Workspace,
)
from agentsession_core.api.values import Approvals, Network
from agentsession_core.crd.cel import Rule, preserve_unknown_fields, rules

VALUE_OR_SOURCE: Final = Rule(
    "has(self.value) != has(self.valueFrom)", "set either value or valueFrom"
)


class LocalObjectReference(ApiModel):
    """A reference to an object of the same namespace."""

    name: ObjectName = Field(description="Its name.")


class Toleration(ApiModel):
    """A toleration, as in a Pod."""

    key: str | None = Field(default=None, max_length=316, description="The taint's key.")
    operator: str | None = Field(
        default=None, pattern="^(Exists|Equal)$", description="Exists or Equal."
    )
    value: str | None = Field(default=None, max_length=63, description="The taint's value.")
    effect: str | None = Field(
        default=None,
        pattern="^(NoSchedule|PreferNoSchedule|NoExecute)$",
        description="The taint's effect; all if unset.",
    )
    toleration_seconds: int | None = Field(
        default=None, description="Seconds a NoExecute taint is tolerated."
    )


class TemplateEnvVar(ApiModel):
    """An environment variable of a template: a value, or where the cluster finds it."""

    model_config = ConfigDict(json_schema_extra=rules(VALUE_OR_SOURCE))

    name: EnvVarName = Field(description="Name of the variable.")
    value: EnvVarValue | None = Field(default=None, description="Its value. Not for secrets.")
    value_from: dict[str, Any] | None = Field(
        default=None,
        description="Where the value comes from, as in a container. The agent sees it: a Secret "
        "named here is one that its users may know.",
        json_schema_extra=preserve_unknown_fields,
    )


class TemplatePod(ApiModel):
    """What a template says about its sessions' pods."""

    resources: Resources | None = Field(
        default=None, description="Resources of the agent's container."
    )
    max_resources: ResourceList | None = Field(
        default=None, description="The most that a session may ask for, e.g. cpu: 4, memory: 8Gi."
    )
    env: list[TemplateEnvVar] | None = Field(
        default=None, max_length=64, description="Environment variables for the agent."
    )
    image_pull_secrets: list[LocalObjectReference] | None = Field(
        default=None, max_length=16, description="Secrets for pulling the image."
    )
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] | None = Field(
        default=None, max_length=32, description="Labels the node must have."
    )
    tolerations: list[Toleration] | None = Field(
        default=None, max_length=32, description="Taints the pod tolerates."
    )
    runtime_class_name: str | None = Field(
        default=None, max_length=253, description="The RuntimeClass, e.g. gvisor."
    )
    volumes: list[dict[str, Any]] | None = Field(
        default=None,
        max_length=16,
        description="Further volumes, as in a Pod.",
        json_schema_extra=preserve_unknown_fields,
    )
    volume_mounts: list[dict[str, Any]] | None = Field(
        default=None,
        max_length=16,
        description="Where the further volumes are mounted, as in a container.",
        json_schema_extra=preserve_unknown_fields,
    )


class SecretRef(ApiModel):
    """A reference to a Secret of the same namespace."""

    name: ObjectName = Field(description="Name of the Secret.")


class Credentials(ApiModel):
    """Model credentials of this template's sessions."""

    secret_ref: SecretRef = Field(
        description="A Secret labelled agentsession.dev/credentials with the key apiKey. The "
        "gateway reads it; it is never mounted."
    )


class AgentSessionTemplateSpec(ApiModel):
    """Defaults and limits."""

    agent: AgentSpec | None = Field(default=None, description="Which agent CLI runs, and how.")
    image: str | None = Field(
        default=None, max_length=512, description="The agent's image; the chart's if unset."
    )
    image_pull_policy: str | None = Field(
        default=None,
        pattern="^(Always|IfNotPresent|Never)$",
        description="When the image is pulled; the chart's if unset.",
    )
    models: list[Annotated[str, Field(min_length=1, max_length=128)]] | None = Field(
        default=None,
        max_length=64,
        description="The models a session may use; any if unset. The gateway refuses others.",
    )
    network: Network | None = Field(
        default=None,
        description="None: the gateway and the cluster's DNS only. Internet: the world besides.",
    )
    instructions: str | None = Field(
        default=None,
        max_length=65_536,
        description="Standing instructions to the agent, Markdown; they "
        "follow those of the release (docs/instructions.md).",
    )
    skills: list[LocalObjectReference] | None = Field(
        default=None,
        max_length=32,
        description="ConfigMaps with skills: each key NAME.md becomes the skill NAME. Of two of one name "
        "the first is taken; one of the release's own is replaced.",
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
    pod: TemplatePod | None = Field(default=None, description="What the pods are like.")
    approvals: Approvals | None = Field(
        default=None,
        description="Which calls of the agent wait for the person: Destructive ones or All that "
        "change something.",
    )
    credentials: Credentials | None = Field(
        default=None, description="Model credentials; the gateway's own if unset."
    )


class AgentSessionTemplate(ApiModel):
    """A template as read from the API server."""

    metadata: Metadata
    spec: AgentSessionTemplateSpec = AgentSessionTemplateSpec()

    @classmethod
    def from_api(cls, body: dict[str, Any]) -> AgentSessionTemplate:
        """Reads an object of the API server. Raises pydantic.ValidationError if it does not fit."""
        return cls.model_validate(body)
