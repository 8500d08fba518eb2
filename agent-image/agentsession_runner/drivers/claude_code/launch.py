"""How Claude Code is started: arguments, environment, settings, and what goes to its stdin. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

PROGRAM: Final = "claude"
SHELLS: Final = ("bash", "zsh")
TEMPORARY: Final = "/tmp"  # noqa: S108 - where the CLI and its tools write
MODEL_PATH: Final = "/v1/model/anthropic"
TOKEN_LIFE_MILLISECONDS: Final = 60_000
# Claude Code deletes conversations older than this when it starts; a session may sleep for years.
KEEP_CONVERSATIONS_DAYS: Final = 36_500

# Set by the person's project or pod, these would lead model calls past the gateway.
ROUTING_VARIABLES: Final = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_UNIX_SOCKET",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_VERTEX",
)
PROXY_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
RUNNER_PREFIXES: Final = ("AGENTSESSION_", "AGENT_TYPE", "KUBERNETES_", "PYTHON")
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What a person may set otherwise in the pod's environment.
DEFAULTS: Final[Mapping[str, str]] = {
    "LANG": "C.UTF-8",
    "PATH": DEFAULT_PATH,
    # A task that ends after its turn would start a turn of its own that no message asked for; so would a
    # clock.
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_CRON": "1",
    # The CLI's own skills and workflows are about itself and its settings, and stand beside ours in every
    # request: 2,700 tokens.
    "CLAUDE_CODE_DISABLE_BUNDLED_SKILLS": "1",
    "CLAUDE_CODE_DISABLE_WORKFLOWS": "1",
    # By itself the CLI summarizes a conversation at 967,000 tokens, and each call carries them all.
    "CLAUDE_CODE_AUTO_COMPACT_WINDOW": "200000",
    # A line about the CLI's build, first in the system prompt and another in each conversation, so that no
    # two conversations could share a prompt cache.
    "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
    "CLAUDE_CODE_MAX_RETRIES": "2",
    "CLAUDE_CODE_API_KEY_HELPER_TTL_MS": str(TOKEN_LIFE_MILLISECONDS),
}
# Tools for a terminal with a person before it, or for other sessions of the same machine; the first would
# start turns that no message asked for. Denied tools are in no request.
NO_TOOLS: Final = ("ScheduleWakeup", "ListAgents", "SendMessage", "ReportFindings")
# One sets up a terminal's status line; the other is a second name of `general-purpose`.
NO_SUBAGENTS: Final = ("statusline-setup", "claude")
# Not among those that CLAUDE_CODE_DISABLE_BUNDLED_SKILLS takes away.
NO_SKILLS: Final = ("plugin-authoring",)
FIXED: Final[Mapping[str, str]] = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
}


def command_line(
    program: str,
    *,
    session_id: str,
    resume: bool,
    settings_file: str,
    model: str | None,
    extra: Sequence[str],
) -> list[str]:
    """The command of a process that takes turns on stdin."""
    command = [
        program,
        "-p",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--include-partial-messages",
        "--dangerously-skip-permissions",
        "--strict-mcp-config",
        "--settings",
        settings_file,
    ]
    if model:
        command += ["--model", model]
    return [*command, *extra, "--resume" if resume else "--session-id", session_id]


def cli_environment(
    pod: Mapping[str, str], *, config_directory: str, gateway_url: str
) -> dict[str, str]:
    """The CLI's environment: the pod's without the runner's own, and without other ways out."""
    kept = {
        name: value
        for name, value in pod.items()
        if not name.startswith(RUNNER_PREFIXES)
        and not name.startswith("ANTHROPIC_")
        and name not in ROUTING_VARIABLES
    }
    return {
        **DEFAULTS,
        **kept,
        **FIXED,
        **_without_proxy(kept, gateway_url),
        "CLAUDE_CONFIG_DIR": config_directory,
        "ANTHROPIC_BASE_URL": gateway_url + MODEL_PATH,
    }


def temporary_directory(path: str) -> dict[str, str]:
    """The environment of a CLI whose pod has no `/tmp` that can be written."""
    return {"CLAUDE_CODE_TMPDIR": path, "TMPDIR": path}


def settings(environment: Mapping[str, str], token_file: str) -> dict[str, Any]:
    """The CLI's settings, given as user settings and, to stand above a project's, as an argument.

    A project's own settings are read too (its skills and CLAUDE.md are wanted), so whatever in
    them could keep the CLI from the gateway is named here.
    """
    proxies = {
        spelling: environment.get(spelling, "")
        for name in PROXY_VARIABLES
        for spelling in (name, name.lower())
    }
    return {
        "apiKeyHelper": f"cat {shlex.quote(token_file)}",
        "disableAllHooks": True,
        "permissions": {"deny": [*NO_TOOLS, *(f"Agent({name})" for name in NO_SUBAGENTS)]},
        "skillOverrides": dict.fromkeys(NO_SKILLS, "off"),
        "enableAllProjectMcpServers": False,
        "cleanupPeriodDays": KEEP_CONVERSATIONS_DAYS,
        "env": {
            **dict.fromkeys(ROUTING_VARIABLES, ""),
            **proxies,
            **{name: environment[name] for name in FIXED},
            "ANTHROPIC_BASE_URL": environment["ANTHROPIC_BASE_URL"],
        },
    }


def user_message(prompt: str, message_id: str) -> bytes:
    """The stdin line of a prompt."""
    message = {"role": "user", "content": plain_text(prompt)}
    return _line({"type": "user", "uuid": message_id, "message": message})


def interrupt_request(request_id: str) -> bytes:
    """The stdin line that asks the CLI to stop the running turn."""
    request = {"subtype": "interrupt"}
    return _line({"type": "control_request", "request_id": request_id, "request": request})


def plain_text(prompt: str) -> str:
    """The prompt, made safe: a leading slash would be run as a command (`/clear`, `/compact`)."""
    return f" {prompt}" if prompt.startswith("/") else prompt


def _without_proxy(environment: Mapping[str, str], gateway_url: str) -> dict[str, str]:
    names = [
        name for name in PROXY_VARIABLES if environment.get(name, environment.get(name.lower()))
    ]
    if not names:
        return {}
    host = gateway_url.split("://", 1)[-1].split("/", 1)[0].rsplit(":", 1)[0]
    known = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    value = f"{known},{host}" if known else host
    return {"NO_PROXY": value, "no_proxy": value}


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"
