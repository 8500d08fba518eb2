"""Configuration of the service processes: one YAML file from the chart, secrets beside it.

Every field here is a chart value or follows from one; `docs/configuration.md` is checked against it.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from agentsession_core.api.template import AgentSessionTemplateSpec
from agentsession_core.api.values import AgentType
from agentsession_core.yaml_text import read_yaml

CONFIG_FILE: Final = "/etc/agentsession/config.yaml"
SECRETS_DIRECTORY: Final = "/etc/agentsession/secrets"

REDIS_PASSWORD: Final = "redis-password"
ANTHROPIC_API_KEY: Final = "anthropic-api-key"
ANTHROPIC_OAUTH_TOKEN: Final = "anthropic-oauth-token"
TELEGRAM_TOKEN: Final = "telegram-token"
DATABASE_PASSWORD: Final = "orchestrator-database-password"
TELEGRAM_WEBHOOK_SECRET: Final = "telegram-webhook-secret"
USE_CLI_AGENT: Final = "USE_CLI_AGENT"
ENCRYPTION_KEY: Final = "orchestrator-encryption-key"


class SettingsError(Exception):
    """The configuration cannot be used; the message names file, field and cause."""


class SettingsModel(BaseModel):
    """A part of the configuration. Unknown keys are refused: a typo must not be a silent default."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class AgentImage(SettingsModel):
    """An agent image and when to pull it."""

    image: str = Field(min_length=1)
    pull_policy: str = Field(default="IfNotPresent", pattern="^(Always|IfNotPresent|Never)$")


class RedisSettings(SettingsModel):
    """Where Redis or Valkey is. The password is the secret file `redis-password`."""

    url: str = Field(default="redis://agentsession-redis:6379/0", pattern=r"^rediss?://")


class ModelPrice(SettingsModel):
    """US dollars per million tokens, as decimal strings."""

    input: str = Field(pattern=r"^\d+(\.\d+)?$")
    output: str = Field(pattern=r"^\d+(\.\d+)?$")
    cache_read: str = Field(pattern=r"^\d+(\.\d+)?$")
    cache_write: str = Field(pattern=r"^\d+(\.\d+)?$")


class AnthropicSettings(SettingsModel):
    """The model API behind the gateway."""

    base_url: str = Field(
        default="https://api.anthropic.com", pattern=r"^https?://", alias="baseURL"
    )


class ModelSettings(SettingsModel):
    """Upstreams of the gateway's model pass-through."""

    anthropic: AnthropicSettings = AnthropicSettings()
    prices: dict[str, ModelPrice] = {}


class GatewaySettings(SettingsModel):
    """The gateway as run pods see it, and its upstreams."""

    url: str = Field(default="http://agentsession-gateway:8080", pattern=r"^https?://")
    port: int = Field(default=8080, ge=1, le=65535)
    metrics_port: int = Field(default=9090, ge=1, le=65535)
    # Whose tokens the bridge takes, in the release's namespace.
    service_account: str = Field(default="agentsession-gateway", min_length=1)
    models: ModelSettings = ModelSettings()


class OperatorSettings(SettingsModel):
    """The operator's own limits. Times in seconds."""

    workers: int = Field(default=8, ge=1, le=64)
    port: int = Field(default=8080, ge=1, le=65535)
    metrics_port: int = Field(default=9090, ge=1, le=65535)
    sweep_seconds: float = Field(default=30, gt=0)
    anti_entropy_seconds: float = Field(default=600, gt=0)
    # The API server sends a bookmark a minute: a watch without a byte for longer is dead.
    watch_silence_seconds: float = Field(default=70, gt=0)
    drain_grace_seconds: float = Field(default=30, gt=0)
    backoff_base_seconds: float = Field(default=2, gt=0)
    backoff_limit_seconds: float = Field(default=300, gt=0)
    hello_timeout_seconds: float = Field(default=120, gt=0)
    max_concurrent_runs: int = Field(default=100, ge=1, le=100_000)
    reserved_task_percent: int = Field(default=10, ge=0, le=90)
    placement_seconds: float = Field(default=60, gt=0)
    message_lifetime_seconds: float = Field(default=86_400, gt=0)


class TelegramSettings(SettingsModel):
    """The Bot API. The bot's token is the secret file `telegram-token`.

    With `webhook_url` Telegram brings updates there instead of being asked for them; the secret file
    `telegram-webhook-secret` is then needed.
    """

    api_url: str = Field(
        default="https://api.telegram.org", pattern=r"^https?://[^/]+$", alias="apiURL"
    )
    webhook_url: str = Field(
        default="", pattern=r"^(https?://[^/?#]+/[A-Za-z0-9/_.-]+)?$", alias="webhookURL"
    )


class LimitSettings(SettingsModel):
    """What one person may send. 0 means no limit of the bridge's own."""

    messages_per_hour: int = Field(default=120, ge=0, le=100_000)
    waiting_messages: int = Field(default=20, ge=0, le=100)


class PairingSettings(SettingsModel):
    """Whether strangers get a code that `kubectl agents approve` takes."""

    enabled: bool = True


class Route(StrEnum):
    """Kinds of agent that people get."""

    CLI_AGENT = "cli-agent"
    OTHER = "other"


class RoutingSettings(SettingsModel):
    """Which kind of agent, so which template, a new person gets.

    The CLI agent: people of the list, and that percentage of all; nobody if not `use_cli_agent`. The
    environment's USE_CLI_AGENT (true, false) comes before `use_cli_agent`. A template's name may be
    empty: the namespace's default.
    """

    use_cli_agent: bool = Field(default=True, alias="useCLIAgent")
    cli_agent_percent: int = Field(default=100, ge=0, le=100, alias="cliAgentPercent")
    cli_agent_users: frozenset[str] = Field(default=frozenset(), alias="cliAgentUsers")
    cli_agent_template: str = Field(default="", alias="cliAgentTemplate")
    other_template: str = ""

    @model_validator(mode="after")
    def _has_another_kind(self) -> RoutingSettings:
        everyone = self.use_cli_agent and self.cli_agent_percent == 100
        if not everyone and not self.other_template:
            raise ValueError("otherTemplate is needed for those who do not get the CLI agent")
        return self


class BridgeSettings(SettingsModel):
    """Telegram on one side, AgentSessions on the other."""

    telegram: TelegramSettings = TelegramSettings()
    url: str = Field(default="http://agentsession-bridge:8080", pattern=r"^http://")
    limits: LimitSettings = LimitSettings()
    pairing: PairingSettings = PairingSettings()
    routing: RoutingSettings = RoutingSettings()
    port: int = Field(default=8080, ge=1, le=65535)
    metrics_port: int = Field(default=9090, ge=1, le=65535)


class DatabaseSettings(SettingsModel):
    """Where the orchestrator keeps its tables: SQLite in a file, or PostgreSQL.

    The password is the secret file `orchestrator-database-password`, never part of the URL.
    """

    url: str = Field(
        default="sqlite:////var/lib/orchestrator/orchestrator.db",
        pattern=r"^(sqlite:///[^?]+|postgresql://[^:@/]+@[^@]+)$",
    )
    connections: int = Field(default=10, ge=1, le=200)


class RateLimitSettings(SettingsModel):
    """How often one caller of the orchestrator's API may ask each replica. 0: as often as it likes."""

    requests_per_minute: int = Field(default=600, ge=0, le=1_000_000)
    burst: int = Field(default=120, ge=1, le=100_000)


class RetentionSettings(SettingsModel):
    """Days that the orchestrator keeps what is over. 0: for ever. The audit log is kept longest."""

    tasks: int = Field(default=90, ge=0, le=36_500)
    incidents: int = Field(default=180, ge=0, le=36_500)
    summaries: int = Field(default=180, ge=0, le=36_500)
    approvals: int = Field(default=90, ge=0, le=36_500)
    audit: int = Field(default=365, ge=0, le=36_500)

    @model_validator(mode="after")
    def _keeps_the_audit_log_longest(self) -> RetentionSettings:
        others = (self.tasks, self.incidents, self.summaries, self.approvals)
        if self.audit and not all(0 < days <= self.audit for days in others):
            raise ValueError(
                "audit must be kept longest: 0, or no fewer days than each of the others"
            )
        return self


class OrchestratorSettings(SettingsModel):
    """The platform's API."""

    port: int = Field(default=8080, ge=1, le=65535)
    metrics_port: int = Field(default=9090, ge=1, le=65535)
    # Where run pods reach it; empty where there is none.
    url: str = Field(default="", pattern=r"^(https?://[^/]+)?$")
    database: DatabaseSettings = DatabaseSettings()
    # All: an agent's person is also asked about deployments and new values of secrets.
    approvals: str = Field(default="Destructive", pattern="^(Destructive|All)$")
    rate_limit: RateLimitSettings = RateLimitSettings()
    retention_days: RetentionSettings = RetentionSettings()


class RolloutSettings(SettingsModel):
    """How live sessions move to a newer image or template."""

    max_at_once: int = Field(default=5, ge=1, le=10_000)


class Settings(SettingsModel):
    """The whole configuration of one release."""

    release: str = "agentsession"
    namespace: str = "agentsession-system"
    session_namespaces: tuple[str, ...] = ("agents",)
    redis: RedisSettings = RedisSettings()
    agent_images: dict[AgentType, AgentImage] = {}
    defaults: AgentSessionTemplateSpec = AgentSessionTemplateSpec()
    gateway: GatewaySettings = GatewaySettings()
    operator: OperatorSettings = OperatorSettings()
    bridge: BridgeSettings = BridgeSettings()
    orchestrator: OrchestratorSettings = OrchestratorSettings()
    rollout: RolloutSettings = RolloutSettings()
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")


def load_settings(path: Path) -> Settings:
    """Reads the configuration file. Raises SettingsError."""
    try:
        raw: Any = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; give its path with --config") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {error}") from error
    try:
        return Settings.model_validate(raw or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{path}: {where}: {first['msg']}") from error


def with_cli_agent(settings: Settings, value: str) -> Settings:
    """The settings as the environment's USE_CLI_AGENT has them; "" leaves them. Raises SettingsError."""
    if not value:
        return settings
    if value.lower() not in ("true", "false"):
        raise SettingsError(f"{USE_CLI_AGENT} is {value!r}; it can be true or false")
    routing = settings.bridge.routing.model_dump() | {"use_cli_agent": value.lower() == "true"}
    try:
        changed = RoutingSettings.model_validate(routing)
    except ValidationError as error:
        raise SettingsError(f"{USE_CLI_AGENT}: {error.errors()[0]['msg']}") from error
    bridge = settings.bridge.model_copy(update={"routing": changed})
    return settings.model_copy(update={"bridge": bridge})


class SecretFiles:
    """Secrets mounted as files, read at each use so that a rotated Secret needs no restart."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, name: str) -> SecretStr | None:
        """The secret's value, or None where it is not set."""
        try:
            value = (self._directory / name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        return SecretStr(value) if value else None
