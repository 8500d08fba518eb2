"""The real Claude Code CLI against the scripted model server.

``CLAUDE_BINARY`` names the binary: unset, the tests are skipped; naming no file, they fail.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentsession_dev.model_server.server import demo_rules, serve_in_thread

pytestmark = [pytest.mark.claude, pytest.mark.timeout(180)]

KEY = "sk-scripted"
AGENT_UID = 1000
DEADLINE_SECONDS = 60
FLAGS = ("-p", "--dangerously-skip-permissions")
STREAMS = ("--input-format=stream-json", "--output-format=stream-json")
KEPT_FLAGS = (*FLAGS, *STREAMS, "--verbose", "--include-partial-messages")


@dataclass(frozen=True)
class Agent:
    """How the CLI is run: which binary, in which workspace, against which server."""

    binary: Path
    home: Path
    workspace: Path
    server: str

    def environment(self, **extra: str) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "CLAUDE_CONFIG_DIR": str(self.home / "claude"),
            "ANTHROPIC_BASE_URL": self.server,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        } | extra

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        # The CLI refuses to skip permissions as root; as another user nothing needs changing.
        as_agent: dict[str, Any] = (
            {"user": AGENT_UID, "group": AGENT_UID, "extra_groups": []} if os.geteuid() == 0 else {}
        )
        return subprocess.Popen(
            [str(self.binary), *arguments],
            cwd=self.workspace,
            env=self.environment(**extra),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **as_agent,
        )

    def turn(self, prompt: str, *arguments: str, **extra: str) -> dict[str, Any]:
        """Run one turn in a process of its own and return the result record."""
        process = self.start(*FLAGS, "--output-format", "json", *arguments, **extra)
        try:
            out, err = process.communicate(prompt, timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
        assert out, f"nothing on stdout, return code {process.returncode}, stderr: {err}"
        record: dict[str, Any] = json.loads(out)
        return record


class KeptProcess:
    """A CLI process that stays up between turns."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._records: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._records.put(json.loads(line))
        self._records.put(None)

    def turn(self, prompt: str) -> list[dict[str, Any]]:
        """Send a message and return the records up to and with the result."""
        assert self._process.stdin is not None
        message = {"type": "user", "message": {"role": "user", "content": prompt}}
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        seen: list[dict[str, Any]] = []
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not seen or seen[-1]["type"] != "result":
            try:
                record = self._records.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no result within {DEADLINE_SECONDS} s, seen: {seen}")
            if record is None:
                pytest.fail(f"the process ended before a result, seen: {seen}")
            seen.append(record)
        return seen

    def join(self) -> None:
        """Wait until the output of the ended process is read."""
        self._reader.join(timeout=10)

    def finish(self) -> int:
        """Close stdin and return the return code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(timeout=DEADLINE_SECONDS)


@contextmanager
def kept_process(agent: Agent, *arguments: str) -> Iterator[KeptProcess]:
    process = agent.start(*KEPT_FLAGS, *arguments)
    kept = KeptProcess(process)
    try:
        yield kept
    finally:
        process.kill()
        process.wait()
        kept.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def agent(claude_binary: Path) -> Iterator[Agent]:
    # Not tmp_path: its parents are closed to the user the CLI runs as.
    root = Path(tempfile.mkdtemp(prefix="claude-test-"))
    root.chmod(0o755)
    home, workspace = root / "home", root / "workspace"
    for folder in (home, workspace):
        folder.mkdir()
        if os.geteuid() == 0:
            os.chown(folder, AGENT_UID, AGENT_UID)
    try:
        with serve_in_thread(rules=demo_rules(), api_keys=frozenset({KEY})) as server:
            yield Agent(claude_binary, home, workspace, server)
    finally:
        shutil.rmtree(root)


def recorded(agent: Agent, **query: Any) -> list[dict[str, Any]]:
    response = httpx.get(f"{agent.server}/_control/requests", params=query)
    return list(response.json()["requests"])


def inject(agent: Agent, count: int, **failure: Any) -> None:
    sent = {"count": count, "fail": failure}
    httpx.post(f"{agent.server}/_control/fail", json=sent).raise_for_status()


def test_one_turn(agent: Agent) -> None:
    session = str(uuid.uuid4())
    record = agent.turn("hello", "--session-id", session)
    assert record["subtype"] == "success"
    assert record["is_error"] is False
    assert record["session_id"] == session
    assert record["result"].startswith("Hello! I am the scripted model")
    requests = recorded(agent)
    # Nothing but the model call: with the switch for traffic the CLI probes nothing.
    assert [(found["method"], found["path"]) for found in requests] == [("POST", "/v1/messages")]
    assert requests[0]["kind"] == "main"
    assert requests[0]["stream"] is True
    assert requests[0]["query"] == "beta=true"
    assert requests[0]["user_texts"] == ["hello"]
    assert requests[0]["headers"]["x-claude-code-session-id"] == session
    assert "Bash" in requests[0]["tools"]
    assert record["usage"]["output_tokens"] > 0


def test_shell_tool_and_its_output(agent: Agent) -> None:
    record = agent.turn("run: echo $((6 * 7)) > answer.txt; cat answer.txt; id -u")
    uid = AGENT_UID if os.geteuid() == 0 else os.geteuid()
    assert record["result"] == f"The command printed:\n42\n{uid}"
    assert record["num_turns"] == 2
    assert (agent.workspace / "answer.txt").read_text() == "42\n"
    assert [found["step"] for found in recorded(agent)] == [0, 1]
    assert recorded(agent)[1]["tool_result"] == f"42\n{uid}"


def test_resumed_conversation_carries_the_first_turn(agent: Agent) -> None:
    session = str(uuid.uuid4())
    agent.turn("remember that it's a 'blue' $HOME", "--session-id", session)
    record = agent.turn("what did I say first?", "--resume", session)
    assert record["session_id"] == session
    assert record["result"].endswith("was: remember that it's a 'blue' $HOME")
    last = recorded(agent)[-1]
    assert last["user_texts"] == ["remember that it's a 'blue' $HOME", "what did I say first?"]
    read = agent.turn("what should you remember?", "--resume", session)
    assert read["result"] == "notes.txt says:\nit's a 'blue' $HOME"


def test_kept_process_streams_two_turns(agent: Agent) -> None:
    session = str(uuid.uuid4())
    with kept_process(agent, "--session-id", session) as kept:
        for number, prompt in enumerate(("first words", "second words"), start=1):
            seen = kept.turn(prompt)
            deltas = [
                record["event"]["delta"]["text"]
                for record in seen
                if record["type"] == "stream_event"
                and record["event"]["type"] == "content_block_delta"
            ]
            assert len(deltas) > 3
            assert "".join(deltas) == seen[-1]["result"]
            assert seen[-1]["result"].startswith(f"You said: {prompt}\nThis is message {number} ")
            assert seen[-1]["session_id"] == session
        assert kept.finish() == 0
    assert recorded(agent)[-1]["user_texts"] == ["first words", "second words"]


def test_compaction_is_a_side_call_and_keeps_the_conversation(agent: Agent) -> None:
    with kept_process(agent, "--session-id", str(uuid.uuid4())) as kept:
        kept.turn("the sky is green")
        kept.turn("and the grass is red")
        kept.turn("/compact")
        after = kept.turn("what did I say first?")
    assert after[-1]["is_error"] is False
    assert {found["purpose"] for found in recorded(agent, kind="side")} == {"compact"}
    newest = recorded(agent)[-1]["sequence"]
    body = httpx.get(f"{agent.server}/_control/requests/{newest}/body").text
    assert "the sky is green" in body


def test_wrong_key(agent: Agent) -> None:
    record = agent.turn("hello", ANTHROPIC_API_KEY="sk-wrong", CLAUDE_CODE_MAX_RETRIES="0")
    assert record["is_error"] is True
    assert record["api_error_status"] == 401
    assert record["result"].startswith("Invalid API key")
    assert [(found["status"], found["key_valid"]) for found in recorded(agent)] == [(401, False)]


def test_bearer_token(agent: Agent) -> None:
    record = agent.turn("hello", ANTHROPIC_API_KEY="", ANTHROPIC_AUTH_TOKEN=KEY)
    assert record["is_error"] is False
    assert [found["credential"] for found in recorded(agent)] == ["bearer"]


@pytest.mark.parametrize(
    ("failure", "statuses"),
    [
        ({"status": 429, "retry_after": 1}, [429, 200]),
        ({"status": 500}, [500, 200]),
        ({"status": 529}, [529, 200]),
        ({"cut_mid": True}, [200, 200]),
        ({"error_mid": True}, [200, 200]),
        ({"reset": True}, [None, 200]),
    ],
)
def test_the_cli_recovers_from_one_failure(
    agent: Agent, failure: dict[str, Any], statuses: list[int | None]
) -> None:
    inject(agent, 1, **failure)
    record = agent.turn("hello")
    assert record["is_error"] is False
    assert record["result"].startswith("Hello!")
    requests = recorded(agent)
    assert [found["status"] for found in requests] == statuses
    waited = requests[1]["received_at"] - requests[0]["received_at"]
    assert waited >= failure.get("retry_after", 0)


@pytest.mark.parametrize("status", [402, 500])
def test_a_lasting_failure_ends_the_turn(agent: Agent, status: int) -> None:
    inject(agent, 100, status=status, message="scripted trouble")
    record = agent.turn("hello", CLAUDE_CODE_MAX_RETRIES="0")
    assert record["is_error"] is True
    assert record["api_error_status"] == status
    assert "scripted trouble" in record["result"]
