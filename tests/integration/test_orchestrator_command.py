"""The `orchestrator` command against a served API."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agentsession_testing.orchestrator import Orchestrator
from agentsession_testing.orchestrator_command import Command, command, url
from orchestrator_cli.errors import Exit

__all__ = ["command", "url"]


async def test_projects(command: Command) -> None:
    made = (await command("project", "create", "todo-app", "--json")).json
    assert made["created"] is True
    number = str(made["id"])

    again = (await command("--json", "project", "create", "todo-app")).json
    assert (again["id"], again["created"]) == (made["id"], False)

    table = await command("project", "list")
    assert "Projects for user ada" in table.out
    assert "todo-app" in table.out
    assert max(map(len, table.out.splitlines())) <= 80
    assert [item["id"] for item in (await command("project", "list", "--json")).json] == [
        made["id"]
    ]

    assert (await command("project", "get", "todo-app", "--json")).json["id"] == made["id"]
    strange = await command("project", "get", "todo", "--json")
    assert (strange.code, strange.error["code"]) == (Exit.NOT_FOUND, "project_not_found")

    changed = await command("project", "update", "todo-app", "--description", "Lists")
    assert "Lists" in changed.out
    assert (await command("project", "get", number, "--json")).json["description"] == "Lists"
    assert (await command("project", "status", number, "--json")).json["status"] == "created"
    assert "todo-app" in (await command("project", "status", number)).out

    refused = await command("project", "delete", number)
    assert refused.code == Exit.USAGE
    assert "--yes" in refused.err
    assert (await command("project", "delete", number, "--yes")).code == Exit.OK
    gone = await command("project", "get", number, "--json")
    assert gone.code == Exit.NOT_FOUND
    assert gone.out == ""
    assert gone.error["code"] == "project_not_found"
    assert gone.error["request_id"]
    assert "project list" in gone.error["hint"]


async def test_dry_runs(command: Command) -> None:
    said = await command("project", "create", "todo-app", "--dry-run", "--json")
    assert (said.json["dry_run"], said.json["created"]) == (True, False)
    assert (await command("project", "list", "--json")).json == []
    assert "none" in (await command("project", "list")).out
    number = str((await command("project", "create", "todo-app", "--json")).json["id"])
    assert (await command("project", "delete", number, "--dry-run", "--json")).json == {
        "id": int(number),
        "deleted": False,
        "dry_run": True,
    }
    assert (await command("project", "get", number)).code == Exit.OK


async def test_the_same_command_again(command: Command) -> None:
    first = await command("project", "create", "a", "--idempotency-key", "k", "--json")
    second = await command("project", "create", "a", "--idempotency-key", "k", "--json")
    assert first.json == second.json
    other = await command("project", "create", "b", "--idempotency-key", "k", "--json")
    assert other.code == Exit.CONFLICT
    assert other.error["code"] == "idempotency_key_reused"


async def test_many_pages(command: Command, orchestrator_on_sqlite: Orchestrator) -> None:
    async with orchestrator_on_sqlite.client(await orchestrator_on_sqlite.token("ada")) as client:
        for number in range(60):
            await client.post("/v1/projects", json={"name": f"p{number}"})
    assert len((await command("project", "list", "--json")).json) == 60
    assert len((await command("project", "list", "--limit", "55", "--json")).json) == 55


async def test_names_are_no_markup(command: Command) -> None:
    await command("project", "create", "a", "--description", "[red]x\x1b[31m[/red]")
    shown = await command("project", "get", "1")
    assert "[red]x" in shown.out
    assert "\x1b" not in shown.out


async def test_tokens(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "ci.token"
    arguments = ("token", "create", "ci", "--scope", "read", "--days", "7")
    made = await command(*arguments, "--to", str(target), "--json")
    assert "token" not in made.json
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    taken = await command(*arguments, "--to", str(target), "--json")
    assert (taken.code, taken.error["code"]) == (Exit.USAGE, "file_unusable")
    shown = (await command(*arguments, "--json")).json
    assert shown["token"].startswith("orc_")
    listed = await command("token", "list", "--json")
    assert "orc_" not in listed.out
    assert {item["name"] for item in listed.json} == {"ci", "of a test"}
    assert "ci" in (await command("token", "list")).out

    monkeypatch.delenv("ORCHESTRATOR_API_TOKEN")
    monkeypatch.setenv("ORCHESTRATOR_API_TOKEN_FILE", str(target))
    assert (await command("project", "list")).code == Exit.OK
    denied = await command("project", "create", "a", "--json")
    assert (denied.code, denied.error["code"]) == (Exit.NOT_ALLOWED, "scope_missing")

    monkeypatch.setenv("ORCHESTRATOR_API_TOKEN", "")
    refused = await command("token", "revoke", made.json["id"], "--json")
    assert refused.error["code"] == "scope_missing"


async def test_a_revoked_token(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    made = (await command("token", "create", "x", "--scope", "read", "--json")).json
    assert (await command("token", "revoke", made["id"], "--json")).json["revoked"] is True
    monkeypatch.setenv("ORCHESTRATOR_API_TOKEN", made["token"])
    refused = await command("project", "list", "--json")
    assert (refused.code, refused.error["code"]) == (Exit.NOT_ALLOWED, "token_revoked")


async def test_doctor(command: Command, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    well = await command("doctor", "--json")
    assert well.code == Exit.OK
    assert [check["check"] for check in well.json["checks"]] == ["url", "token", "api", "caller"]
    assert "user ada" in (await command("doctor")).out
    monkeypatch.setenv("ORCHESTRATOR_USER_ID", "bob")
    forged = await command("doctor", "--json")
    assert forged.code == Exit.NOT_ALLOWED
    assert forged.json["checks"][-1]["error"]["code"] == "user_mismatch"
    monkeypatch.setenv("ORCHESTRATOR_API_TOKEN", "")
    assert (await command("doctor")).code == Exit.NOT_ALLOWED
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "")
    assert "ORCHESTRATOR_API_URL" in (await command("doctor")).out


async def test_nobody_answers(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("orchestrator_cli.api.FIRST_PAUSE_SECONDS", 0.0)
    refused = await command("project", "list", "--json")
    assert (refused.code, refused.error["code"]) == (Exit.UNAVAILABLE, "unreachable")
    assert refused.error["retryable"] is True


async def test_usage(command: Command) -> None:
    wrong = await command("--json", "project", "get", "X")
    assert (wrong.code, wrong.error["code"]) == (Exit.USAGE, "usage")
    assert (await command("nothing")).code == Exit.USAGE
    assert (await command("project", "update", "1")).code == Exit.USAGE


async def test_configuration(
    command: Command, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await command("config", "set", "url", "https://elsewhere")).code == Exit.OK
    assert (await command("config", "set", "token", "orc_x")).code == Exit.USAGE
    assert stat.S_IMODE((tmp_path / "config.json").stat().st_mode) == 0o600
    shown = (await command("config", "show", "--json")).json
    assert shown["url"] == {"value": url, "source": "ORCHESTRATOR_API_URL"}
    assert shown["token"]["value"] == "***"
    assert "ORCHESTRATOR_API_URL" in (await command("config", "show")).out
    monkeypatch.delenv("ORCHESTRATOR_API_URL")
    shown = (await command("config", "show", "--json")).json
    assert shown["url"]["value"] == "https://elsewhere"
    assert (await command("config", "unset", "url")).code == Exit.OK
    refused = await command("project", "list", "--json")
    assert (refused.code, refused.error["code"]) == (Exit.USAGE, "url_missing")
    (tmp_path / "config.json").write_text("[]")
    refused = await command("project", "list", "--json")
    assert (refused.code, refused.error["code"]) == (Exit.USAGE, "config_unusable")


async def test_version(command: Command) -> None:
    assert (await command("version", "--json")).json["version"] in (await command("version")).out
