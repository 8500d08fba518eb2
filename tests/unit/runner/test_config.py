from __future__ import annotations

from pathlib import Path

import pytest

from agentsession_runner.config import (
    ConfigError,
    parse_gateway_url,
    read_config,
    read_token,
)

ENVIRONMENT = {"AGENTSESSION_GATEWAY_URL": "http://gateway:8080", "AGENT_TYPE": "claude-code"}


@pytest.mark.parametrize(
    ("url", "host", "port", "prefix"),
    [
        ("http://gateway", "gateway", 80, ""),
        ("http://gateway:8080/", "gateway", 8080, ""),
        ("http://gateway.system.svc:8080/a/b/", "gateway.system.svc", 8080, "/a/b"),
        ("http://[fd00::1]:8080", "fd00::1", 8080, ""),
    ],
)
def test_gateway_urls(url: str, host: str, port: int, prefix: str) -> None:
    address = parse_gateway_url(url)
    assert (address.host, address.port, address.prefix) == (host, port, prefix)
    assert address.url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["", "gateway:8080", "https://gateway", "http://", "http://g:0", "http://g:x", "http://:1"],
)
def test_unusable_gateway_urls_are_named(url: str) -> None:
    with pytest.raises(ConfigError, match="AGENTSESSION_GATEWAY_URL"):
        parse_gateway_url(url)


def test_defaults() -> None:
    config = read_config(ENVIRONMENT)
    assert config.workspace == "/workspace"
    assert config.token_file == "/var/run/secrets/agentsession.dev/gateway/token"
    assert (config.cli, config.cli_version) == ("", "")
    assert config.skills == "/opt/agentsession/skills"


@pytest.mark.parametrize("name", ["AGENTSESSION_GATEWAY_URL", "AGENT_TYPE"])
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is not set"):
        read_config({**ENVIRONMENT, name: ""})


def test_relative_paths_are_refused() -> None:
    with pytest.raises(ConfigError, match="AGENTSESSION_WORKSPACE must be an absolute path"):
        read_config({**ENVIRONMENT, "AGENTSESSION_WORKSPACE": "here"})


def test_the_token_is_read_without_its_line_break(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("abc\n")
    assert read_token(str(file)) == "abc"


@pytest.mark.parametrize("content", [b"", b" \n", b"a b", b"a\r\nX-Evil: b", b"\xff"])
def test_what_is_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="token"):
        read_token(str(file))


def test_a_missing_token_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        read_token(str(tmp_path / "nowhere"))
