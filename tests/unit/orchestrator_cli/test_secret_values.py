"""Values that nobody may see: from standard input, a file, or asked for at a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from agentsession_testing.canned_orchestrator import CannedApi
from agentsession_testing.orchestrator_canned_command import Run, call
from agentsession_testing.orchestrator_samples import SECRET
from orchestrator_cli.errors import Exit

__all__ = ["call"]

SET = "secret set 42 DATABASE_URL"
PUT = {"PUT /v1/projects/42/secrets/DATABASE_URL": SECRET}
DEADLINE_SECONDS = 30.0


@pytest.mark.parametrize("stdin", ["", "\n"])
def test_an_empty_value(call: Run, stdin: str) -> None:
    api = CannedApi(PUT)
    said = call(f"{SET} --json", api, stdin)
    assert (said.code, said.error["code"]) == (Exit.USAGE, "value_empty")
    assert "--from-file" in said.error["hint"]
    assert api.requests == []


def test_from_a_file(call: Run, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("two\nlines\n")
    api = CannedApi(PUT)
    assert call(f"{SET} --from-file {file}", api).code == Exit.OK
    assert api.requests[0].endswith('{"value":"two\\nlines"}')
    file.write_bytes(b"\xff\xfe")
    said = call(f"{SET} --from-file {file} --json", CannedApi({}))
    assert (said.code, said.error["code"]) == (Exit.USAGE, "value_unreadable")


def typed(arguments: Sequence[str], answer: str, config: Path) -> tuple[int, str]:
    """Types an answer to what the command asks at a terminal; its exit code and what was seen there."""
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "ORCHESTRATOR_CONFIG": str(config)}
    program = [sys.executable, "-m", "orchestrator_cli", *arguments]
    process = subprocess.Popen(
        program, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    seen, sent, deadline = b"", False, time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and select.select([ours], [], [], DEADLINE_SECONDS)[0]:
        try:
            seen += os.read(ours, 1024)
        except OSError:
            # Linux's end of a terminal that nobody holds any more.
            break
        if not sent and seen.endswith(b": "):
            os.write(ours, f"{answer}\n".encode())
            sent = True
    os.close(ours)
    return process.wait(timeout=DEADLINE_SECONDS), seen.decode()


def test_a_token_at_a_terminal_is_not_shown(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    code, seen = typed(["config", "set", "token"], "orc_hidden", config)
    assert (code, seen.split()[0]) == (Exit.OK, "Token:")
    assert "orc_hidden" not in seen
    assert json.loads(config.read_text()) == {"token": "orc_hidden"}


def test_what_is_kept_holds_everywhere(
    call: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("config set token-file ci.token").code == Exit.OK
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept == {"token-file": str(tmp_path / "ci.token")}
    said = call("config set url api.example.com --json")
    assert (said.code, said.error["code"]) == (Exit.USAGE, "usage")
    assert "http://" in said.error["message"]
