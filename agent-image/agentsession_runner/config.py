"""What the pod tells the runner. Imported before the first byte is sent: keep its imports few."""

from __future__ import annotations

import os
from collections.abc import Mapping

DEFAULT_TOKEN_FILE = "/var/run/secrets/agentsession.dev/gateway/token"  # noqa: S105 - a path
DEFAULT_WORKSPACE = "/workspace"
DEFAULT_SKILLS = "/opt/agentsession/skills"
HTTP_PORT = 80


class ConfigError(Exception):
    """The pod's environment cannot be used; the message names the variable and the cause."""


class GatewayAddress:
    """Where the gateway is: `http://host:port` and a path in front of every route."""

    __slots__ = ("host", "port", "prefix", "url")

    def __init__(self, url: str, host: str, port: int, prefix: str) -> None:
        self.url = url
        self.host = host
        self.port = port
        self.prefix = prefix


class RunnerConfig:
    """The runner's configuration, complete and checked."""

    __slots__ = (
        "agent_type",
        "cli",
        "cli_version",
        "environment",
        "gateway",
        "skills",
        "token_file",
        "workspace",
    )

    def __init__(
        self,
        *,
        gateway: GatewayAddress,
        agent_type: str,
        token_file: str,
        workspace: str,
        cli: str,
        cli_version: str,
        skills: str,
        environment: Mapping[str, str],
    ) -> None:
        self.gateway = gateway
        self.agent_type = agent_type
        self.token_file = token_file
        self.workspace = workspace
        self.cli = cli
        self.cli_version = cli_version
        self.skills = skills
        self.environment = environment


def parse_gateway_url(url: str) -> GatewayAddress:
    """Take a gateway's URL apart.

    Raises:
        ConfigError: the URL is not `http://host[:port][/path]`.
    """
    scheme, _, rest = url.partition("://")
    if scheme != "http" or not rest:
        raise ConfigError(
            f"AGENTSESSION_GATEWAY_URL must be http://host[:port][/path], not {url!r}"
        )
    authority, slash, path = rest.partition("/")
    host, port = _split_authority(authority, url)
    prefix = (slash + path).rstrip("/")
    return GatewayAddress(f"http://{authority}{prefix}", host, port, prefix)


def _split_authority(authority: str, url: str) -> tuple[str, int]:
    if authority.startswith("["):
        host, _, tail = authority[1:].partition("]")
        port = tail.removeprefix(":")
    else:
        host, _, port = authority.partition(":")
    if not host or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise ConfigError(f"AGENTSESSION_GATEWAY_URL names no usable host and port: {url!r}")
    return host, int(port) if port else HTTP_PORT


def read_config(environment: Mapping[str, str]) -> RunnerConfig:
    """Read the configuration from environment variables.

    Raises:
        ConfigError: a variable is missing or unfit.
    """
    return RunnerConfig(
        gateway=parse_gateway_url(_required(environment, "AGENTSESSION_GATEWAY_URL")),
        agent_type=_required(environment, "AGENT_TYPE"),
        token_file=_absolute(environment, "AGENTSESSION_TOKEN_FILE", DEFAULT_TOKEN_FILE),
        workspace=_absolute(environment, "AGENTSESSION_WORKSPACE", DEFAULT_WORKSPACE),
        cli=environment.get("AGENTSESSION_CLI", ""),
        cli_version=environment.get("AGENTSESSION_CLI_VERSION", "")[:64],
        skills=_absolute(environment, "AGENTSESSION_SKILLS", DEFAULT_SKILLS),
        environment=environment,
    )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise ConfigError(f"{name} is not set: the operator sets it in the pod it makes")
    return value


def _absolute(environment: Mapping[str, str], name: str, default: str) -> str:
    value = environment.get(name, "") or default
    if not os.path.isabs(value):  # noqa: PTH117 - pathlib costs start-up time
        raise ConfigError(f"{name} must be an absolute path, not {value!r}")
    return value


def read_token(path: str) -> str:
    """Read the projected token; read anew for every request because kubelet replaces it.

    Raises:
        ConfigError: the file is missing, unreadable, empty or holds more than one word.
    """
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib costs start-up time
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the gateway token in {path} cannot be read: {error}") from None
    if not token or len(token.split()) != 1:
        raise ConfigError(f"the file {path} holds no token")
    return token
