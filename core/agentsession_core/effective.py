"""The settings in force for a session: its own, else its template's, else the chart's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agentsession_core.api import (
    AgentSessionSpec,
    AgentSessionTemplateSpec,
    AgentType,
    EnvVar,
    Network,
    ProcessMode,
    Resources,
    TemplateEnvVar,
    TemplatePod,
    VolumeClaimTemplate,
    WhenDeleted,
)
from agentsession_core.settings import AgentImage

T = TypeVar("T")


@dataclass(frozen=True)
class Effective:
    """Every setting that decides how a session runs. Times are in seconds."""

    agent_type: AgentType
    image: AgentImage | None
    model: str | None
    models: tuple[str, ...]
    args: tuple[str, ...]
    process_mode: ProcessMode
    instructions: str
    skills: tuple[str, ...]
    network: Network
    suspend_after: int
    delete_after: int
    warn_before_delete: int
    turn_timeout: int
    active_deadline: int
    max_lifetime: int | None
    claim: VolumeClaimTemplate | None
    when_deleted: WhenDeleted
    resources: Resources | None
    env: tuple[EnvVar | TemplateEnvVar, ...]
    pod: TemplatePod
    credentials_secret: str | None


def merge(
    spec: AgentSessionSpec,
    template: AgentSessionTemplateSpec | None,
    defaults: AgentSessionTemplateSpec,
    images: dict[AgentType, AgentImage],
    pinned_type: AgentType | None = None,
) -> Effective:
    """The effective settings; the first layer that says something about a field wins.

    `pinned_type` is the agent type of the session's first run: a later template cannot change it.
    """
    layers: tuple[AgentSessionSpec | AgentSessionTemplateSpec, ...] = tuple(
        layer for layer in (spec, template, defaults) if layer is not None
    )
    templates = tuple(layer for layer in (template, defaults) if layer is not None)

    agents = [layer.agent for layer in layers if layer.agent]
    idle = [layer.idle_policy for layer in layers if layer.idle_policy]
    runs = [layer.run for layer in layers if layer.run]
    workspaces = [layer.workspace for layer in layers if layer.workspace]
    pods = [layer.pod for layer in layers if layer.pod]
    template_pods = [layer.pod for layer in templates if layer.pod]

    agent_type = pinned_type or _first(agent.type for agent in agents) or AgentType.CLAUDE_CODE
    return Effective(
        agent_type=agent_type,
        image=_image(agent_type, templates, images),
        model=_first(agent.model for agent in agents),
        models=tuple(_first(layer.models for layer in templates) or ()),
        args=tuple(_first(agent.args for agent in agents) or ()),
        process_mode=_first(agent.process_mode for agent in agents) or ProcessMode.PERSISTENT,
        instructions=_first(layer.instructions for layer in templates) or "",
        skills=tuple(skill.name for skill in _first(layer.skills for layer in templates) or ()),
        network=_first(layer.network for layer in templates) or Network.NONE,
        suspend_after=_default(_first(p.suspend_after_seconds for p in idle), 300),
        delete_after=_default(_first(p.delete_after_seconds for p in idle), 86_400),
        warn_before_delete=_default(_first(p.warn_before_delete_seconds for p in idle), 3_600),
        turn_timeout=_default(_first(r.turn_timeout_seconds for r in runs), 1_800),
        active_deadline=_default(_first(r.active_deadline_seconds for r in runs), 43_200),
        max_lifetime=_first(r.max_lifetime_seconds for r in runs),
        claim=_first(w.volume_claim_template for w in workspaces),
        when_deleted=_first(
            w.retention_policy.when_deleted for w in workspaces if w.retention_policy
        )
        or WhenDeleted.DELETE,
        resources=_first(pod.resources for pod in pods),
        env=_merge_env([pod.env for pod in reversed(pods) if pod.env]),
        pod=_merge_pods(template_pods),
        credentials_secret=_first(
            layer.credentials.secret_ref.name for layer in templates if layer.credentials
        ),
    )


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)


def _default(value: int | None, fallback: int) -> int:
    return fallback if value is None else value


def _image(
    agent_type: AgentType,
    templates: Sequence[AgentSessionTemplateSpec],
    images: dict[AgentType, AgentImage],
) -> AgentImage | None:
    chart = images.get(agent_type)
    own = _first(layer.image for layer in templates)
    policy = _first(layer.image_pull_policy for layer in templates)
    if own is not None:
        return AgentImage(image=own, pull_policy=policy or "IfNotPresent")
    if chart is not None and policy is not None:
        return chart.model_copy(update={"pull_policy": policy})
    return chart


def _merge_env(
    lowest_first: Sequence[Sequence[EnvVar | TemplateEnvVar]],
) -> tuple[EnvVar | TemplateEnvVar, ...]:
    merged = {variable.name: variable for layer in lowest_first for variable in layer}
    return tuple(merged[name] for name in sorted(merged))


def _merge_pods(highest_first: Sequence[TemplatePod]) -> TemplatePod:
    merged: dict[str, object] = {}
    for pod in reversed(highest_first):
        merged.update({name: getattr(pod, name) for name in pod.model_fields_set if name != "env"})
    return TemplatePod.model_construct(**merged)  # type: ignore[arg-type]
