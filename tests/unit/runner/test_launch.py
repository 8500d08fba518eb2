from __future__ import annotations

import json
from typing import Any

import pytest

from agentsession_runner.drivers.claude_code import launch

POD = {
    "PATH": "/custom/bin",
    "HOME": "/home/agent",
    "MY_SETTING": "mine",
    "AGENTSESSION_GATEWAY_URL": "http://gateway:8080",
    "AGENT_TYPE": "claude-code",
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "PYTHONPATH": "/opt",
    "ANTHROPIC_API_KEY": "sk-own",
    "ANTHROPIC_BASE_URL": "http://elsewhere",
    "CLAUDE_CODE_USE_BEDROCK": "1",
    "CLAUDE_CODE_MAX_RETRIES": "7",
    "CLAUDE_CONFIG_DIR": "/elsewhere",
    "DISABLE_TELEMETRY": "0",
}


def environment(**changes: str) -> dict[str, str]:
    return launch.cli_environment(
        {**POD, **changes}, config_directory="/w/c", gateway_url="http://gateway:8080"
    )


def test_the_environment_is_the_pods_without_other_ways_to_a_model() -> None:
    assert environment() == {
        "PATH": "/custom/bin",
        "HOME": "/home/agent",
        "LANG": "C.UTF-8",
        "MY_SETTING": "mine",
        "ANTHROPIC_BASE_URL": "http://gateway:8080/v1/model/anthropic",
        "CLAUDE_CONFIG_DIR": "/w/c",
        "CLAUDE_CODE_API_KEY_HELPER_TTL_MS": "60000",
        "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
        "CLAUDE_CODE_AUTO_COMPACT_WINDOW": "200000",
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "CLAUDE_CODE_DISABLE_BUNDLED_SKILLS": "1",
        "CLAUDE_CODE_DISABLE_CRON": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_WORKFLOWS": "1",
        "CLAUDE_CODE_MAX_RETRIES": "7",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_TELEMETRY": "1",
    }


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p"}, "gateway"),
        ({"http_proxy": "http://p", "NO_PROXY": "a,b"}, "a,b,gateway"),
    ],
)
def test_the_gateway_is_never_behind_a_proxy(proxy: dict[str, str], expected: str | None) -> None:
    found = environment(**proxy)
    assert found.get("NO_PROXY") == expected
    assert found.get("no_proxy") == expected


def test_settings_stand_above_a_projects() -> None:
    settings = launch.settings(environment(HTTPS_PROXY="http://p"), "/run/the token")
    assert settings["apiKeyHelper"] == "cat '/run/the token'"
    assert settings["disableAllHooks"] is True
    assert {"ScheduleWakeup", "Agent(statusline-setup)"} <= set(settings["permissions"]["deny"])
    assert settings["cleanupPeriodDays"] > 10_000
    routes: dict[str, Any] = settings["env"]
    assert routes["ANTHROPIC_BASE_URL"] == "http://gateway:8080/v1/model/anthropic"
    assert routes["ANTHROPIC_API_KEY"] == routes["CLAUDE_CODE_USE_BEDROCK"] == ""
    assert (routes["HTTPS_PROXY"], routes["HTTP_PROXY"]) == ("http://p", "")
    assert "sk-own" not in json.dumps(settings)


@pytest.mark.parametrize(("resume", "option"), [(True, "--resume"), (False, "--session-id")])
def test_the_command(resume: bool, option: str) -> None:
    command = launch.command_line(
        "/bin/claude",
        session_id="the-id",
        resume=resume,
        settings_file="/w/settings.json",
        model="opus",
        extra=["--max-turns", "3"],
    )
    assert command[:2] == ["/bin/claude", "-p"]
    assert command[-2:] == [option, "the-id"]
    assert command[command.index("--model") + 1] == "opus"
    assert command[command.index("--max-turns") + 1] == "3"
    assert "--strict-mcp-config" in command


def test_no_model_means_the_clis_own() -> None:
    command = launch.command_line(
        "claude", session_id="i", resume=False, settings_file="s", model=None, extra=[]
    )
    assert "--model" not in command


@pytest.mark.parametrize(
    ("prompt", "content"),
    [
        ("/clear", " /clear"),
        ("-h", "-h"),
        ("a\nb", "a\nb"),
        ("see /etc", "see /etc"),
        ("\u2028🙂", "\u2028🙂"),
    ],
)
def test_a_prompt_is_one_line_and_never_a_command(prompt: str, content: str) -> None:
    line = launch.user_message(prompt, "id-1")
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    record = json.loads(line)
    assert record["uuid"] == "id-1"
    assert record["message"] == {"role": "user", "content": content}


def test_an_interrupt() -> None:
    record = json.loads(launch.interrupt_request("r1"))
    assert record == {
        "type": "control_request",
        "request_id": "r1",
        "request": {"subtype": "interrupt"},
    }
